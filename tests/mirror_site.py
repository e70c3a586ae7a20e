"""A mirror on this machine: real HTTP, with the paper's data set in small and in its layout."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
import tifffile

from temdenoise.datasets import fetch_ptceo2

HEADER = "image,particle,nx,ny,thickness,tilt_x,tilt_y,cs,c5,kv,defocus,contrast"
ROWS = [
    "{folder}PtNp1-D0_240slc_1024x1024_7nmDefocus.tif,PtNp1-D0,1,1,40,0,2,0,0,300,7,white",
    "{folder}PtNp3-Dh_180slc_1024x1024_9nmDefocus.tif,PtNp3-Dh,1,1,30,1,0,0,0,300,9,white",
    "{folder}PtNp2-D1_360slc_1024x1024_5nmDefocus.tif,PtNp2-D1,1,1,60,0,0,0,0,300,5,white",
]
SHAPE = (180, 190)  # noise of that size is longer than what one read of a socket brings


def image(i, shape=SHAPE):
    return np.random.default_rng(i).uniform(0.2, 0.7, shape).astype(np.float32)


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **({"photometric": "minisblack"} | options))
    return buffer.getvalue()


def content(folder="images/"):
    """A small data set in the authors' layout: {path: bytes}."""
    files = {}
    for subset, rows in {"train": ROWS[:2], "valid": ROWS[2:], "test": ROWS[2:]}.items():
        lines = [HEADER, *(row.format(folder=folder) for row in rows)]
        files[f"{subset}_white.csv"] = "\n".join(lines).encode()
    for i, row in enumerate(ROWS):
        files[row.format(folder=folder).split(",")[0]] = tiff(image(i))
    return files


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*members, mode="w:gz"):
    """A tar archive of (name, data) and of ready TarInfo objects without data."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def listing(folder):
    """All files below a folder, but not the notes of what was downloaded."""
    paths = (p for p in folder.rglob("*") if p.is_file())
    names = {p.relative_to(folder).as_posix() for p in paths}
    return {n for n in names if not n.endswith((".downloads/lock", ".downloads/record.json"))}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        path = unquote(self.path)
        requested = self.headers.get("Range")
        site.requests.append((path, requested))
        if site.errors.get(path):
            return self.send_error(site.errors[path].pop(0))
        data = site.files.get(path)
        if data is None:
            return self.send_error(404)
        start = 0
        if requested and site.ranges:
            start = int(requested.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if site.cuts.get(path):
            body = body[: site.cuts[path].pop(0)]
        self.wfile.write(body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def site(monkeypatch):
    """Serve `files` {path: bytes}, note `requests`, and misbehave on demand.

    `cuts` {path: [bytes, ...]} ends the body of one answer after the other there, `errors` {path:
    [status, ...]} sends those instead, and `ranges` False ignores requests for a part.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("TEMDENOISE_DATA", "TEMDENOISE_PTCEO2_URL", "TEMDENOISE_PTCEO2_MOVIE_URL"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.site = SimpleNamespace(files={}, requests=[], cuts={}, errors={}, ranges=True)
    server.site.host = f"http://127.0.0.1:{server.server_port}"
    server.site.url = f"{server.site.host}/mirror"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()
        thread.join()

    server.site.stop = stop
    yield server.site
    if thread.is_alive():
        stop()


@pytest.fixture
def mirror(site):
    """The data set in two archives, with a registry."""
    files = content()
    parts = {
        "lists.zip": zipped({n: d for n, d in files.items() if n.endswith(".csv")}),
        "1.zip": zipped({n: d for n, d in files.items() if n.endswith(".tif")}),
    }
    site.archive = parts["1.zip"]
    site.files = {f"/mirror/{name}": data for name, data in parts.items()}
    site.registry = {name: sha256(data) for name, data in parts.items()}
    text = "# a comment\n" + "\n".join(f"{n} sha256:{h}" for n, h in site.registry.items())
    site.files["/mirror/registry.txt"] = text.encode()
    return site


def fetch(site, home, **keywords):
    return fetch_ptceo2(**{"data_home": home, "base_url": site.url, "delay": 0.01} | keywords)
