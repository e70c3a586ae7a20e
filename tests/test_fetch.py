"""Fetchers, against a real HTTP server on this machine and archives in the authors' layout."""

import hashlib
import io
import json
import os
import re
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pooch
import pytest
import tifffile

from temdenoise.datasets import fetch_ptceo2, fetch_ptceo2_movie

HEADER = "image,particle,nx,ny,thickness,tilt_x,tilt_y,cs,c5,kv,defocus,contrast"
ROWS = [
    "{folder}PtNp1-D0_240slc_1024x1024_7nmDefocus.tif,PtNp1-D0,1,1,40,0,2,0,0,300,7,white",
    "{folder}PtNp3-Dh_180slc_1024x1024_9nmDefocus.tif,PtNp3-Dh,1,1,30,1,0,0,0,300,9,white",
    "{folder}PtNp2-D1_360slc_1024x1024_5nmDefocus.tif,PtNp2-D1,1,1,60,0,0,0,0,300,5,white",
]
SHAPE = (180, 190)  # noise of that size is longer than what one read of a socket brings


def image(i, shape=SHAPE):
    return np.random.default_rng(i).uniform(0.2, 0.7, shape).astype(np.float32)


def pages(stack):
    """A TIFF file written page by page, as cameras do."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, metadata=None)
    return buffer.getvalue()


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


# a copy on this machine


def test_local_copy_is_read_as_it_is(tmp_path, site):
    write(tmp_path, content())
    before = listing(tmp_path)
    train = fetch(site, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert train.data.dtype == np.float32
    assert [os.path.basename(name)[:8] for name in train.filenames] == ["PtNp1-D0", "PtNp3-Dh"]
    expected = pd.DataFrame(
        {
            "subset": ["train", "train"],
            "structure": ["PtNp1", "PtNp3"],
            "defect": ["D0", "Dh"],
            "thickness": [40.0, 30.0],
            "tilt_x": [0.0, 1.0],
            "tilt_y": [2.0, 0.0],
            "defocus": [7.0, 9.0],
            "contrast": ["white", "white"],
        }
    )
    pd.testing.assert_frame_equal(train.frame, expected, check_dtype=False)
    assert train.pixel_size == 4.89
    assert "17,955" in train.DESCR
    assert site.requests == []
    assert listing(tmp_path) == before


def test_images_are_read_only_on_request(tmp_path):
    write(tmp_path, content())
    for path in tmp_path.glob("images/*"):
        path.write_bytes(b"not looked at")
    train = fetch_ptceo2(data_home=tmp_path)
    assert train.data is None
    assert len(train.filenames) == 2


def test_all_subsets_and_the_first_images(tmp_path):
    write(tmp_path, content())
    every = fetch_ptceo2(subset="all", data_home=tmp_path)
    assert every.frame["subset"].tolist() == ["train", "train", "valid", "test"]
    first = fetch_ptceo2(subset="all", n_images=3, data_home=tmp_path, load_images=True)
    assert first.frame["subset"].tolist() == ["train", "train", "valid"]
    assert np.array_equal(first.data[2], image(2))


def test_first_images_do_not_need_the_others(tmp_path):
    files = content()
    del files["images/PtNp3-Dh_180slc_1024x1024_9nmDefocus.tif"]
    write(tmp_path, files)
    assert len(fetch_ptceo2(n_images=1, data_home=tmp_path).filenames) == 1


def test_several_contrasts_have_a_list_of_their_own(tmp_path):
    files = content()
    files["train_black_white.csv"] = files["train_white.csv"]
    write(tmp_path, files)
    for contrast in ("white-black", ["black", "white"], ("white", "black")):
        assert len(fetch_ptceo2(contrast=contrast, data_home=tmp_path).frame) == 2


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        ("D:\\data\\ptceo2\\images\\", "images/"),
        ("/scratch/someone/images/", "images/"),
        ("images\\", "images/"),
        ("./images/", "images/"),
        ("/scratch/someone/images/", ""),
        ("", "deeper/images/"),
        ("images/", "unpacked/images/"),
        ("/scratch/here/", "there/"),
        ("../../outside/", "there/"),
    ],
)
def test_paths_of_another_machine_are_found(tmp_path, listed, stored):
    files = {n: d for n, d in content(listed).items() if n.endswith(".csv")}
    files |= {n: d for n, d in content(stored).items() if n.endswith(".tif")}
    write(tmp_path, files)
    train = fetch_ptceo2(data_home=tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])


def test_nothing_outside_the_folder_is_read(tmp_path):
    home = tmp_path / "home"
    files = content("../secret/")
    write(home, files)  # "../secret" of the lists lies beside home
    assert (tmp_path / "secret" / ROWS[0].format(folder="").split(",")[0]).is_file()
    with pytest.raises(FileNotFoundError, match="2 of 2 images"):
        fetch_ptceo2(data_home=home)


def test_same_name_in_two_folders_is_told_apart(tmp_path):
    # tilts are not in the names, so that a name alone does not say which image it is
    name = "PtNp1-D0_240slc_1024x1024_7nmDefocus.tif"
    rows = [f"/old/{i}/{name},PtNp1-D0,1,1,40,{i},0,0,0,300,7,white" for i in (1, 2)]
    (tmp_path / "train_white.csv").write_text("\n".join([HEADER, *rows]))
    for i in (1, 2):
        (tmp_path / str(i)).mkdir()
        tifffile.imwrite(tmp_path / str(i) / name, image(i))
    train = fetch_ptceo2(data_home=tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(1), image(2)])
    assert train.frame["tilt_x"].tolist() == [1, 2]

    # with one of them gone, the other must not stand in for it, not even for one row alone
    (tmp_path / "2" / name).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 images"):
        fetch_ptceo2(data_home=tmp_path)
    (tmp_path / "test_white.csv").write_text("\n".join([HEADER, rows[1]]))
    with pytest.raises(FileNotFoundError, match="1 of 1 images"):
        fetch_ptceo2(subset="test", data_home=tmp_path)


def test_ambiguous_copies_are_refused(tmp_path):
    write(tmp_path, content("images/") | content("spare/images/"))
    lines = [HEADER, ROWS[0].format(folder="/old/images/")]
    (tmp_path / "test_white.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"Several files .* can be '/old/images/PtNp1"):
        fetch_ptceo2(subset="test", data_home=tmp_path)


def test_two_rows_cannot_share_a_file(tmp_path):
    write(tmp_path, content())
    lines = [HEADER, ROWS[0].format(folder="images/"), ROWS[0].format(folder="x/images/")]
    (tmp_path / "train_white.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="lead to the one file"):
        fetch_ptceo2(data_home=tmp_path)


def test_missing_images_are_named_or_dropped(tmp_path):
    files = content()
    del files["images/PtNp1-D0_240slc_1024x1024_7nmDefocus.tif"]
    write(tmp_path, files)
    with pytest.raises(FileNotFoundError, match=r"(?s)1 of 2 images.*PtNp1-D0_240.*make_ptceo2"):
        fetch_ptceo2(data_home=tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 images .* left out"):
        train = fetch_ptceo2(data_home=tmp_path, on_missing="drop", load_images=True)
    assert train.frame["structure"].tolist() == ["PtNp3"]
    assert np.array_equal(train.data, [image(1)])
    # one that is there is all that was asked for
    assert len(fetch_ptceo2(data_home=tmp_path, on_missing="drop", n_images=1).frame) == 1


def test_missing_list_names_the_others(tmp_path):
    write(tmp_path, content())
    with pytest.raises(FileNotFoundError, match=r"no train_black\.csv.*there are test_white\.csv"):
        fetch_ptceo2(contrast="black", data_home=tmp_path)
    with pytest.raises(FileNotFoundError, match="pass that as data_home"):
        write(tmp_path / "home" / "dataset", content())
        fetch_ptceo2(data_home=tmp_path / "home")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Cannot read the list"),
        (HEADER, "0 rows"),
        ("image,particle\na.tif,PtNp1-D0", "2 columns; expected .* 10 defocus"),
        (ROWS[0] + "\n" + ROWS[1], "first line must name"),
        (HEADER + ",index\n" + "7," + ROWS[0], "column 'path'.*got 7"),
        (HEADER + "\n" + ROWS[0].replace(",PtNp1-D0,", ",PtNp1,"), "column 'particle'.*'PtNp1'"),
        (HEADER + "\n" + ROWS[0].replace("white", "grey"), "column 'contrast'.*'grey'"),
        (HEADER + "\n" + ROWS[0].replace(",40,", ",thick,"), "column 'thickness'.*'thick'"),
        (HEADER + "\n" + ROWS[0] + "\n" + ROWS[1].replace(",9,", ",,"), "row 1, column 'defocus'"),
    ],
)
def test_lists_of_another_layout_are_refused(tmp_path, text, message):
    (tmp_path / "train_white.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path)


def test_list_of_other_contrasts_is_pointed_out(tmp_path):
    files = content()
    files["train_white.csv"] = files["train_white.csv"].replace(b"9,white", b"9,black")
    write(tmp_path, files)
    with pytest.warns(UserWarning, match="other contrasts too: black"):
        train = fetch_ptceo2(data_home=tmp_path)
    assert train.frame["contrast"].tolist() == ["white", "black"]


def test_images_of_different_size_need_a_common_one(tmp_path):
    write(tmp_path, content())
    larger = image(9, (SHAPE[0] + 6, SHAPE[1] + 10))
    tifffile.imwrite(next(tmp_path.glob("images/PtNp3*")), larger)
    with pytest.raises(ValueError, match="differ in size.*shape="):
        fetch_ptceo2(data_home=tmp_path, load_images=True)
    train = fetch_ptceo2(data_home=tmp_path, load_images=True, shape=SHAPE)
    assert np.array_equal(train.data[1], larger[3:-3, 5:-5])
    with pytest.raises(ValueError, match="fewer than shape"):
        fetch_ptceo2(data_home=tmp_path, load_images=True, shape=(181, 10))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"II*\0 and then nothing", "damaged, truncated or no TIFF"),
        (b"", "damaged, truncated or no TIFF"),
        (tiff(image(0))[:-1], "1 bytes are missing"),
        (tiff(image(0), rowsperstrip=8)[:-5000], "bytes are missing"),
        (np.ones((4, 4), np.uint8), "dtype uint8; expected .* floating-point"),
        (np.ones((2, 4, 4), np.float32), r"shape \(2, 4, 4\)"),
        (np.full((4, 4), np.nan, np.float32), "NaN, inf or negative"),
        (-np.ones((4, 4), np.float32), "NaN, inf or negative"),
    ],
)
def test_damaged_images_are_refused(tmp_path, stored, message):
    write(tmp_path, content())
    path = next(tmp_path.glob("images/PtNp1*"))
    if isinstance(stored, bytes):
        path.write_bytes(stored)
    else:
        tifffile.imwrite(path, stored, photometric="minisblack")
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path, load_images=True)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"subset": "training"}, "subset"),
        ({"contrast": "grey"}, "contrast"),
        ({"contrast": []}, "contrast"),
        ({"contrast": "white-white"}, "contrast"),
        ({"contrast": 3}, "contrast"),
        ({"n_images": 0}, "n_images"),
        ({"n_images": 1.5}, "n_images"),
        ({"on_missing": "ignore"}, "on_missing"),
        ({"shape": (5, 5)}, "load_images=True"),
        ({"shape": 5, "load_images": True}, "shape"),
        ({"shape": (5, 0), "load_images": True}, "shape"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "/a/folder"}, "base_url"),
    ],
)
def test_bad_requests_are_refused(tmp_path, keywords, message):
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path, **keywords)
    assert listing(tmp_path) == set()


def test_data_home_must_be_a_path():
    with pytest.raises(TypeError, match="data_home.*3"):
        fetch_ptceo2(data_home=3)


def test_default_folder_is_the_cache_of_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("TEMDENOISE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = os.path.join(pooch.os_cache("temdenoise"), "ptceo2")
    with pytest.raises(FileNotFoundError, match=re.escape(repr(expected))):
        fetch_ptceo2(subset="test", download_if_missing=False)


# downloads


def test_first_call_downloads_and_the_second_needs_no_network(tmp_path, mirror):
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert {path for path, _ in mirror.requests} == set(mirror.files)
    assert listing(tmp_path) == {f"ptceo2/{name}" for name in content()}
    mirror.stop()
    again = fetch(mirror, tmp_path, subset="all", load_images=True, shape=SHAPE)
    assert np.array_equal(again.data[:2], train.data)
    assert len(again.data) == 4


def test_progress_is_shown_on_request(tmp_path, mirror, capsys):
    fetch(mirror, tmp_path / "a")
    assert capsys.readouterr().err == ""
    fetch(mirror, tmp_path / "b", verbose=True, load_images=True)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("lists.zip: 100%", "1.zip: 100%", "read: 100%"))


def test_environment_names_folder_and_mirror(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("TEMDENOISE_DATA", str(tmp_path / "from environment"))
    monkeypatch.setenv("TEMDENOISE_PTCEO2_URL", mirror.url + "/")
    assert len(fetch_ptceo2(n_images=1).filenames) == 1
    assert (tmp_path / "from environment" / "ptceo2" / "test_white.csv").is_file()


def test_registry_can_be_given(tmp_path, mirror):
    del mirror.files["/mirror/registry.txt"]
    path = tmp_path / "registry.txt"
    path.write_text("\n".join(f"{name} {digest}" for name, digest in mirror.registry.items()))
    for i, registry in enumerate([mirror.registry, path, str(path)]):
        train = fetch(mirror, tmp_path / str(i), registry=registry, load_images=True)
        assert np.array_equal(train.data[0], image(0))


def test_bare_files_and_tar_archives_are_understood(tmp_path, site):
    files = content()
    images = [(n, d) for n, d in files.items() if n.endswith(".tif")]
    served = {n: d for n, d in files.items() if n.endswith(".csv")}
    root = tarfile.TarInfo("./")
    root.type = tarfile.DIRTYPE
    served["archives/a 1.tar.gz"] = tarred(root, *images[:2])
    served["b.tar.xz"] = tarred(images[2], mode="w:xz")
    site.files = {f"/mirror/{name}": data for name, data in served.items()}
    registry = {name: sha256(data) for name, data in served.items()}
    every = fetch(site, tmp_path, registry=registry, subset="all", load_images=True)
    assert np.array_equal(every.data, [image(0), image(1), image(2), image(2)])
    assert listing(tmp_path) == {f"ptceo2/{name}" for name in files}


def test_only_what_is_missing_is_downloaded_again(tmp_path, mirror):
    fetch(mirror, tmp_path)
    kept = tmp_path / "ptceo2" / "images" / "PtNp3-Dh_180slc_1024x1024_9nmDefocus.tif"
    tifffile.imwrite(kept, image(77))
    next((tmp_path / "ptceo2" / "images").glob("PtNp1*")).unlink()
    mirror.requests.clear()
    train = fetch(mirror, tmp_path, load_images=True)
    assert {path for path, _ in mirror.requests} == {"/mirror/registry.txt", "/mirror/1.zip"}
    assert np.array_equal(train.data[0], image(0))
    assert np.array_equal(train.data[1], image(77))  # files of the user are not replaced


def test_local_copy_is_completed_in_place(tmp_path, mirror):
    write(tmp_path, {n: d for n, d in content().items() if n.endswith(".csv")})
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert listing(tmp_path) == set(content())


def test_broken_transfer_is_resumed(tmp_path, mirror):
    size = len(mirror.archive)
    mirror.cuts["/mirror/1.zip"] = [200_000, 100_000]
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    ranges = [r for path, r in mirror.requests if path == "/mirror/1.zip"]
    assert ranges[0] is None
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in ranges[1:]]
    assert len(starts) == 2
    assert 100_000 < starts[0] < starts[1] < size


def test_broken_transfer_is_resumed_by_a_later_call(tmp_path, mirror):
    mirror.cuts["/mirror/1.zip"] = [200_000]
    with pytest.raises(OSError, match="bytes are kept"):
        fetch(mirror, tmp_path, n_retries=0)
    assert not list(tmp_path.rglob("*.tif"))
    fetch(mirror, tmp_path, n_retries=0)
    assert mirror.requests[-1][0] == "/mirror/1.zip"
    assert mirror.requests[-1][1].startswith("bytes=1")
    assert listing(tmp_path) == {f"ptceo2/{name}" for name in content()}


def test_complete_but_unchecked_part_is_not_fetched_again(tmp_path, mirror):
    folder = tmp_path / "ptceo2" / ".downloads" / "files"
    name = f"1.zip.{mirror.registry['1.zip'][:8]}.part"
    write(folder, {name: mirror.archive})
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data[1], image(1))
    assert ("/mirror/1.zip", f"bytes={len(mirror.archive)}-") in mirror.requests


@pytest.mark.parametrize(
    "keywords",
    [{"n_retries": -1}, {"n_retries": 1.5}, {"delay": "long"}, {"max_unpacked_size": -1}],
)
def test_bad_limits_are_refused(tmp_path, mirror, keywords):
    with pytest.raises(ValueError, match=f"{next(iter(keywords))} must be"):
        fetch(mirror, tmp_path, **keywords)
    assert listing(tmp_path) == set()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("begin", [b"wrong bytes", b"x" * 10**6])
def test_damaged_part_is_fetched_afresh(tmp_path, mirror, ranges, begin):
    mirror.ranges = ranges
    folder = tmp_path / "ptceo2" / ".downloads" / "files"
    write(folder, {f"1.zip.{mirror.registry['1.zip'][:8]}.part": begin})
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data[1], image(1))


def test_server_without_ranges_is_asked_from_the_start(tmp_path, mirror):
    mirror.ranges = False
    mirror.cuts["/mirror/1.zip"] = [200_000]
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])


def test_busy_server_is_asked_again_and_a_dead_one_given_up(tmp_path, mirror):
    mirror.errors["/mirror/1.zip"] = [503, 429]
    fetch(mirror, tmp_path / "a")
    mirror.errors["/mirror/1.zip"] = [500] * 9
    with pytest.raises(OSError, match=r"(?s)1\.zip cannot be had: the server answers 500"):
        fetch(mirror, tmp_path / "b", n_retries=2)
    assert len(mirror.errors["/mirror/1.zip"]) == 6
    assert not list((tmp_path / "b").rglob("*.tif"))


def test_damaged_download_leaves_nothing(tmp_path, mirror):
    mirror.files["/mirror/1.zip"] = mirror.archive[:-10] + b"0123456789"
    with pytest.raises(
        ValueError, match=rf"its sha256 is \w+, expected {mirror.registry['1.zip']}"
    ):
        fetch(mirror, tmp_path)
    assert not list(tmp_path.rglob("*.tif"))
    assert not list(tmp_path.rglob("*zip*"))
    mirror.files["/mirror/1.zip"] = mirror.archive
    assert len(fetch(mirror, tmp_path).filenames) == 2


def test_absent_file_is_not_asked_for_twice(tmp_path, mirror):
    del mirror.files["/mirror/1.zip"]
    with pytest.raises(OSError, match=r"(?s)1\.zip cannot be had.*404.*make_ptceo2.*data_home"):
        fetch(mirror, tmp_path)
    assert [path for path, _ in mirror.requests].count("/mirror/1.zip") == 1


def test_gone_server_is_said_in_plain_words(tmp_path, mirror):
    mirror.stop()
    with pytest.raises(OSError, match=r"(?s)registry\.txt cannot be reached.*make_ptceo2") as first:
        fetch(mirror, tmp_path)
    assert "refused" in str(first.value)
    with pytest.raises(OSError, match=r"(?s)cannot be had: the connection failed.*make_ptceo2"):
        fetch(mirror, tmp_path, registry=mirror.registry, n_retries=1)


def test_mirror_without_the_image_is_said_so(tmp_path, mirror):
    lists = zipped({"train_white.csv": content()["train_white.csv"].replace(b"PtNp3", b"PtNp4")})
    mirror.files["/mirror/lists.zip"] = lists
    registry = mirror.registry | {"lists.zip": sha256(lists)}
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images.*do not hold it either"):
        fetch(mirror, tmp_path, registry=registry)
    mirror.requests.clear()
    with pytest.warns(UserWarning, match="1 of 2 images"):
        train = fetch(mirror, tmp_path, registry=registry, on_missing="drop")
    assert len(train.filenames) == 1
    assert mirror.requests == []  # what the mirror has is here


def test_without_permission_or_mirror_nothing_is_downloaded(tmp_path, mirror):
    with pytest.raises(FileNotFoundError, match=r"(?s)download_if_missing=False.*make_ptceo2"):
        fetch(mirror, tmp_path, download_if_missing=False)
    with pytest.raises(FileNotFoundError, match=r"(?s)No mirror is given.*TEMDENOISE_PTCEO2_URL"):
        fetch_ptceo2(data_home=tmp_path)
    assert mirror.requests == []
    assert listing(tmp_path) == set()


def test_unwritable_folder_is_said_so(tmp_path, mirror):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write into the folder.*choose another data_home"):
        fetch(mirror, tmp_path / "file" / "home")
    assert all(path == "/mirror/registry.txt" for path, _ in mirror.requests)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_folder_without_permission_is_said_so(tmp_path, mirror):
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="choose another data_home"):
        fetch(mirror, home)


@pytest.mark.parametrize(
    ("registry", "message"),
    [
        ({}, "no files"),
        ({"1.zip": None}, "no valid hash for '1.zip'"),
        ({"1.zip": "abc"}, "no valid hash"),
        ({"1.zip": "crc:" + 64 * "0"}, "no valid hash"),
        ({"../1.zip": 64 * "0"}, "unsafe path"),
        ({"/etc/1.zip": 64 * "0"}, "unsafe path"),
        ("<html>Sign in</html>", "is no registry|no valid hash"),
        (f"{64 * '0'}  1.zip", "no valid hash"),  # as sha256sum writes it: the wrong way round
        ("1.zip", "is no registry"),
        (f"1.zip {64 * '0'} file:///etc/passwd", "base_url must be"),
    ],
)
def test_bad_registries_are_refused(tmp_path, mirror, registry, message):
    if isinstance(registry, str):
        mirror.files["/mirror/registry.txt"] = registry.encode()
        registry = None
    with pytest.raises(ValueError, match=message):
        fetch(mirror, tmp_path, registry=registry)
    assert listing(tmp_path) == set()


# archives


def special(name, kind, target="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("images")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    return buffer.getvalue()


def encrypted():
    data = bytearray(zipped({"a.csv": b"a"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    return bytes(data)


GOOD = ("train_white.csv", b"written before the evil one?")
HOSTILE = {
    "dots.zip": (zipped(dict([GOOD, ("../../evil.txt", b"")])), "unsafe path"),
    "deep.zip": (zipped(dict([GOOD, ("a/../../../evil.txt", b"")])), "unsafe path"),
    "root.zip": (zipped(dict([GOOD, ("/tmp/evil.txt", b"")])), "unsafe path"),
    "drive.zip": (zipped(dict([GOOD, ("C:\\evil.txt", b"")])), "unsafe path"),
    "windows.zip": (zipped(dict([GOOD, ("..\\..\\evil.txt", b"")])), "unsafe path"),
    "state.zip": (zipped(dict([GOOD, (".downloads/record.json", b"{}")])), "reserved"),
    "link.zip": (zip_link(), "link or a device"),
    "encrypted.zip": (encrypted(), "encrypted"),
    "bomb.zip": (zipped(dict([GOOD, ("zeros.tif", bytes(3 * 10**6))])), "more than 0.002 GB"),
    "damaged.zip": (zipped({"a.tif": image(0).tobytes()})[:-40], "damaged"),
    "text.zip": (b"<html>Quota exceeded</html>", "damaged"),
    "dots.tar": (tarred(GOOD, ("../../evil.txt", b""), mode="w"), "unsafe path"),
    "root.tar.gz": (tarred(GOOD, ("/tmp/evil.txt", b"")), "unsafe path"),
    "link.tar": (tarred(GOOD, special("images", tarfile.SYMTYPE), mode="w"), "link or a device"),
    "hard.tar": (tarred(GOOD, special("images", tarfile.LNKTYPE), mode="w"), "link or a device"),
    "device.tar": (tarred(GOOD, special("images", tarfile.CHRTYPE), mode="w"), "link or a device"),
    "pipe.tar.xz": (tarred(special("p", tarfile.FIFOTYPE), mode="w:xz"), "link or a device"),
    "bomb.tar.gz": (tarred(GOOD, ("zeros.tif", bytes(3 * 10**6))), "more than 0.002 GB"),
    "twice.tar": (tarred(GOOD, GOOD, mode="w"), "twice"),
    "damaged.tar.gz": (tarred(("a.tif", image(0).tobytes()))[:-4000], "damaged"),
    "damaged.tar.bz2": (b"BZh9 and then nothing", "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_write_nothing(tmp_path, site, name):
    data, message = HOSTILE[name]
    site.files[f"/mirror/{name}"] = data
    home = tmp_path / "a" / "b"
    with pytest.raises(ValueError, match=message):
        fetch(site, home, registry={name: sha256(data)}, max_unpacked_size=2 * 10**6)
    assert listing(tmp_path) == set()
    assert not list(tmp_path.rglob("unpack-*"))


def test_lying_zip_header_does_not_get_past_the_limit(tmp_path, site):
    # the header promises 100 bytes, the stream holds 3 MB
    data = zipped({"zeros.tif": bytes(3 * 10**6)})
    size = (3 * 10**6).to_bytes(4, "little")
    assert data.count(size) == 2
    data = data.replace(size, (100).to_bytes(4, "little"))
    site.files["/mirror/liar.zip"] = data
    with pytest.raises(ValueError, match="damaged"):
        fetch(site, tmp_path, registry={"liar.zip": sha256(data)}, max_unpacked_size=10**6)
    assert listing(tmp_path) == set()


def test_full_disk_is_said_before_anything_is_written(tmp_path, mirror, monkeypatch):
    from temdenoise.datasets import _unpack

    monkeypatch.setattr(_unpack.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(OSError, match=r"only 0\.0001 GB are free; make room"):
        fetch(mirror, tmp_path)
    assert not list(tmp_path.rglob("*.tif"))


def test_killed_while_moving_goes_on(tmp_path, mirror, monkeypatch):
    from temdenoise.datasets import _data_home

    replace, moved = os.replace, []

    def killed(source, target):
        if str(target).endswith(".tif"):
            moved.append(target)
            if len(moved) == 2:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(_data_home.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch(mirror, tmp_path)
    assert len(list(tmp_path.rglob("*.tif"))) == 1
    monkeypatch.undo()
    mirror.requests.clear()
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert "/mirror/1.zip" not in {path for path, _ in mirror.requests}  # it lay there, checked
    assert listing(tmp_path) == {f"ptceo2/{name}" for name in content()}


def test_several_processes_share_one_download(tmp_path, mirror):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(mirror, tmp_path, load_images=True)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(np.array_equal(r.data, [image(0), image(1)]) for r in results)
    assert [path for path, _ in mirror.requests].count("/mirror/1.zip") == 1


# the movie

MOVIE = np.random.default_rng(3).poisson(1.6, (5, 40, 50)).astype(np.uint8)


@pytest.fixture
def record(site):
    """A record with the programming interface and checksums of Zenodo."""
    files = {
        "Figure 4.zip": zipped(
            {
                "Figure 4/raw.tif": tiff(MOVIE),
                "Figure 4/notes.txt": b"",
                "__MACOSX/Figure 4/._raw.tif": b"not an image",
            }
        ),
        "Figure 5.zip": zipped({"a/raw.tif": tiff(MOVIE[:3]), "udvd.tif": tiff(MOVIE[0])}),
        "packed.tif": tiff(MOVIE, compression="zlib"),
        "colour.tif": tiff(np.zeros((4, 8, 8, 3), np.uint8), photometric="rgb"),
        "readme.zip": zipped({"readme.txt": b"hello"}),
    }
    site.files = {f"/records/14618961/files/{name}": data for name, data in files.items()}
    listed = [
        {"key": name, "checksum": f"md5:{hashlib.md5(data).hexdigest()}", "size": len(data)}
        for name, data in files.items()
    ]
    site.files["/api/records/14618961"] = json.dumps({"id": 14618961, "files": listed}).encode()
    site.url = f"{site.host}/records/14618961/files"
    return site


def fetch_movie(site, home, *args, **keywords):
    return fetch_ptceo2_movie(*args, data_home=home, base_url=site.url, delay=0.01, **keywords)


def test_movie_is_fetched_from_its_record_once(tmp_path, record):
    movie = fetch_movie(record, tmp_path)
    assert isinstance(movie.data, np.memmap)
    assert np.array_equal(movie.data, MOVIE)
    assert movie.data.dtype == np.uint8
    assert movie.pixel_size is None
    assert "14618961" in movie.DESCR
    assert len(record.requests) == 2
    record.stop()
    again = fetch_movie(record, tmp_path, mmap=False)
    assert not isinstance(again.data, np.memmap)
    assert np.array_equal(again.data, MOVIE)
    assert again.filename == movie.filename


def test_movie_of_several_is_chosen_by_name(tmp_path, record):
    with pytest.raises(ValueError, match=r"several TIFF files.*'a/raw\.tif', 'udvd\.tif'"):
        fetch_movie(record, tmp_path, "Figure 5.zip")
    for member in ("raw.tif", "a/raw.tif"):
        movie = fetch_movie(record, tmp_path, "Figure 5.zip", member=member)
        assert np.array_equal(movie.data, MOVIE[:3])
    assert fetch_movie(record, tmp_path, "Figure 5.zip", member="udvd.tif").data.shape[0] == 1
    with pytest.raises(ValueError, match="no files 'x.tif'"):
        fetch_movie(record, tmp_path, "Figure 5.zip", member="x.tif")
    # another file of the record does not get in the way
    assert len(fetch_movie(record, tmp_path).data) == 5


def test_bare_movie_and_compressed_one(tmp_path, record):
    movie = fetch_movie(record, tmp_path, "packed.tif")
    assert np.array_equal(movie.data, MOVIE)
    assert movie.filename == str(tmp_path / "ptceo2_movie" / "packed.tif")


def test_movie_from_a_mirror_with_a_registry(tmp_path, site, monkeypatch):
    site.files["/mirror/m.tif"] = tiff(MOVIE)
    monkeypatch.setenv("TEMDENOISE_PTCEO2_MOVIE_URL", site.url)
    registry = {"m.tif": sha256(tiff(MOVIE))}
    movie = fetch_ptceo2_movie("m.tif", data_home=tmp_path, registry=registry)
    assert np.array_equal(movie.data, MOVIE)


@pytest.mark.parametrize(
    ("filename", "error", "message"),
    [
        ("Figure 6.zip", ValueError, "no file 'Figure 6.zip', only 'Figure 4.zip'"),
        ("readme.zip", ValueError, "no TIFF file"),
        ("colour.tif", ValueError, "grey values"),
        ("../x.tif", ValueError, "unsafe path"),
        (4, TypeError, "filename"),
    ],
)
def test_wrong_movies_are_refused(tmp_path, record, filename, error, message):
    with pytest.raises(error, match=message):
        fetch_movie(record, tmp_path, filename)


def test_movie_that_cannot_be_had(tmp_path, record):
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_movie(record, tmp_path, download_if_missing=False)
    assert record.requests == []
    del record.files["/records/14618961/files/Figure 4.zip"]
    with pytest.raises(OSError, match=r"(?s)404.*load_sample_movie"):
        fetch_movie(record, tmp_path)
    record.files["/api/records/14618961"] = b"<html>"
    with pytest.raises(ValueError, match="does not list files with checksums"):
        fetch_movie(record, tmp_path)


def test_half_unpacked_movie_is_not_taken_for_whole(tmp_path, record):
    with pytest.raises(ValueError, match="several"):
        fetch_movie(record, tmp_path, "Figure 5.zip")
    (tmp_path / "ptceo2_movie" / "Figure 5" / "udvd.tif").unlink()
    with pytest.raises(FileNotFoundError):
        fetch_movie(record, tmp_path, "Figure 5.zip", download_if_missing=False)
    movie = fetch_movie(record, tmp_path, "Figure 5.zip", member="udvd.tif")
    assert np.array_equal(movie.data[0], MOVIE[0])


STORED = {
    "plain": tiff(MOVIE),
    "imagej": tiff(MOVIE, imagej=True),
    "bigtiff": tiff(MOVIE, bigtiff=True),
    "big-endian": tiff(MOVIE, byteorder=">"),
    "tiles": tiff(MOVIE, tile=(16, 16)),
    "compressed": tiff(MOVIE, compression="zlib"),
    "pages": pages(MOVIE),
}


@pytest.mark.parametrize("kind", STORED)
def test_movie_is_read_however_it_is_stored(tmp_path, kind):
    write(tmp_path / "ptceo2_movie" / "Figure 4", {"raw.tif": STORED[kind]})
    for mmap in (True, False):
        data = fetch_ptceo2_movie(data_home=tmp_path, mmap=mmap).data
        mapped = mmap and kind not in ("tiles", "compressed", "pages")
        assert isinstance(data, np.memmap) == mapped
        assert np.array_equal(data, MOVIE)


@pytest.mark.parametrize("kind", STORED)
def test_truncated_movie_is_refused(tmp_path, kind):
    for lost in (50, MOVIE[0].nbytes, 2 * MOVIE[0].nbytes + 300):
        write(tmp_path / "ptceo2_movie" / "Figure 4", {"raw.tif": STORED[kind][:-lost]})
        for mmap in (True, False):
            with pytest.raises(ValueError, match="damaged"):
                fetch_ptceo2_movie(data_home=tmp_path, mmap=mmap)
