"""The paper's own images, from a mirror that works, and from one that does not."""

import os
import tarfile

import numpy as np
import pytest
import tifffile
from mirror_site import SHAPE, content, fetch, image, listing, sha256, tarred, write, zipped

from temdenoise.datasets import fetch_ptceo2


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


def test_the_part_of_another_version_is_removed(tmp_path, mirror):
    folder = tmp_path / "ptceo2" / ".downloads" / "files"
    write(
        folder, {"1.zip.01234567.part": b"another version", "2.zip.01234567.part": b"another file"}
    )
    fetch(mirror, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["2.zip.01234567.part"]


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
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images.*does not have the files either"):
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
        ("<html>Sign in</html>", "is not a registry|no valid hash"),
        (f"{64 * '0'}  1.zip", "no valid hash"),  # as sha256sum writes it: the wrong way round
        ("1.zip", "is not a registry"),
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
