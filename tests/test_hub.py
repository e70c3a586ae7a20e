"""Weights from a repository, served by a real HTTP server on this machine."""

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_training import lattices

from temdenoise import SBDDenoiser
from temdenoise.denoisers._trained import hub as hub_module

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


def fit(seed):
    return SBDDenoiser(
        training_pixel_size=24.9, n_scales=1, base_channels=4, patch_size=20 * 25, batch_size=1,
        steps_per_epoch=1, max_epochs=1, device="cpu", random_state=seed,
    ).fit(lattices(2, 30, 30))  # fmt: skip


@pytest.fixture(scope="module")
def denoisers():
    return {"main": fit(0), "v1": fit(1)}


def forget_hub():
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


@pytest.fixture
def hub(denoisers, tmp_path, monkeypatch):
    """A repository "lab/weights" with a branch and a tag; `hub.asked` is what was asked for."""
    pytest.importorskip("huggingface_hub")
    for revision, denoiser in denoisers.items():
        denoiser.save_pretrained(tmp_path / revision)
        (tmp_path / revision / "train.py").write_text("raise SystemExit('executed')")
    folders = {**denoisers, **{COMMITS[r]: r for r in denoisers}}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def answer(self, code, body=b"", **headers):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self):
            repository, _, rest = self.path.partition("/resolve/")
            if rest:  # the client has questions of its own, too
                asked.append((self.command, self.path))
            revision, _, name = rest.partition("/")
            if repository != "/lab/weights":
                return self.answer(404, X_Error_Code="RepoNotFound")
            if revision not in folders:
                return self.answer(404, X_Error_Code="RevisionNotFound")
            branch = next(r for r in COMMITS if revision in (r, COMMITS[r]))
            file = tmp_path / branch / name
            if not file.is_file():
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMITS[branch])
            body = file.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()}"'
            return self.answer(200, body, ETag=tag, X_Repo_Commit=COMMITS[branch])

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # huggingface_hub reads these when it is imported
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    forget_hub()

    def stop():
        server.shutdown()  # does no harm if it is down already
        server.server_close()

    yield SimpleNamespace(asked=asked, folder=tmp_path, stop=stop)
    stop()
    forget_hub()


def assert_same(loaded, expected):
    for name, value in expected.network_.state_dict().items():
        np.testing.assert_array_equal(loaded.network_.state_dict()[name], value)


def test_repository(hub, denoisers):
    assert_same(SBDDenoiser.from_pretrained("hf://lab/weights"), denoisers["main"])
    names = {path.rsplit("/", 1)[1] for _, path in hub.asked}
    assert names == {"config.json", "model.safetensors"}  # and nothing executable
    # both of one commit, even if the branch had moved in between
    assert any(COMMITS["main"] in path for _, path in hub.asked if "model" in path)


def test_revision(hub, denoisers):
    assert_same(SBDDenoiser.from_pretrained("hf://lab/weights@v1"), denoisers["v1"])
    pinned = SBDDenoiser.from_pretrained(f"hf://lab/weights@{COMMITS['main']}")
    assert_same(pinned, denoisers["main"])


def test_downloaded_once_and_then_without_a_connection(hub, denoisers, monkeypatch):
    SBDDenoiser.from_pretrained("hf://lab/weights")
    count = sum(command == "GET" for command, _ in hub.asked)
    SBDDenoiser.from_pretrained("hf://lab/weights")
    assert sum(command == "GET" for command, _ in hub.asked) == count == 2
    hub.stop()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # else it tries for half a minute
    forget_hub()
    assert_same(SBDDenoiser.from_pretrained("hf://lab/weights"), denoisers["main"])
    with pytest.raises(ConnectionError, match="hf://lab/weights@v1' cannot be reached"):
        SBDDenoiser.from_pretrained("hf://lab/weights@v1")


def test_tampered(hub):
    path = hub.folder / "main" / "model.safetensors"
    body = bytearray(path.read_bytes())
    body[-3] ^= 1
    path.write_bytes(body)
    with pytest.raises(ValueError, match="damaged or were changed: the checksum"):
        SBDDenoiser.from_pretrained("hf://lab/weights")


@pytest.mark.parametrize("name", ["hf://lab/nothing", "hf://lab/weights@v9"])
def test_no_such_repository_or_revision(hub, name):
    with pytest.raises(FileNotFoundError, match=f"{name}' cannot be loaded: there is no such"):
        SBDDenoiser.from_pretrained(name)


def test_a_repository_of_something_else(hub):
    (hub.folder / "main" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        SBDDenoiser.from_pretrained("hf://lab/weights")


@pytest.mark.parametrize("name", ["hf://", "hf://lab", "hf://lab/a/b", "hf://lab/w@", "hf://l b/w"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="does not name a repository: write 'hf://owner/name'"):
        SBDDenoiser.from_pretrained(name)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if not installed
    with pytest.raises(ImportError, match=r"pip install 'temdenoise\[hub\]'"):
        hub_module.download("hf://lab/weights", ["config.json"])


def test_owner_and_name_alone_are_a_folder():
    with pytest.raises(FileNotFoundError, match="neither a folder.*'hf://owner/name'"):
        SBDDenoiser.from_pretrained("lab/weights")
