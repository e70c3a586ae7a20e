"""Archives that are damaged or mean harm, and unpacking that is interrupted."""

import io
import os
import stat
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from mirror_site import content, fetch, image, listing, sha256, tarred, zipped

from temdenoise.datasets import _data_home, _unpack


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
    monkeypatch.setattr(_unpack.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(OSError, match=r"only 0\.0001 GB are free. Make room"):
        fetch(mirror, tmp_path)
    assert not list(tmp_path.rglob("*.tif"))


def test_killed_while_moving_goes_on(tmp_path, mirror, monkeypatch):
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


@pytest.mark.parametrize("wanted", ["all is there", "a file is missing"])
def test_an_archive_that_a_killed_process_left_in_place(tmp_path, mirror, wanted):
    """Killed after the contents were placed, and before the archive was removed."""
    fetch(mirror, tmp_path)
    state = tmp_path / "ptceo2" / ".downloads"
    (state / "files").mkdir()
    (state / "files" / "1.zip").write_bytes(mirror.archive)
    (state / "probe-0123abcd").touch()
    begun = state / "files" / "2.zip.01234567.part"  # a download to continue
    begun.write_bytes(b"half of it")
    if wanted == "a file is missing":
        next(tmp_path.rglob("*.tif")).unlink()
    fetch(mirror, tmp_path)
    assert [path.name for path in (state / "files").iterdir()] == [begun.name]
    assert not (state / "probe-0123abcd").exists()
    assert len(fetch(mirror, tmp_path, load_images=True).data) == 2


def test_leavings_of_a_killed_process_are_cleared(tmp_path, mirror):
    dead = tmp_path / "ptceo2" / ".downloads" / "unpack-0123abcd" / "images"
    dead.mkdir(parents=True)
    (dead / "PtNp1-D0_240slc_1024x1024_7nmDefocus.tif").write_bytes(b"half of it")
    train = fetch(mirror, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert listing(tmp_path) == {f"ptceo2/{name}" for name in content()}
