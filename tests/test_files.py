"""Files that are complete or not there, whatever ends the process that writes them."""

import errno
import multiprocessing
import os
import re
import signal

import numpy as np
import pytest
from forks import start

from temdenoise import write_stack
from temdenoise._files import naming, replacing, replacing_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, ready):
    with replacing(path) as file:
        file.write(b"half")
        file.flush()
        ready.set()
        signal.pause()


def fill_half(path, ready):
    with replacing_folder(path) as folder:
        (folder / "half").write_bytes(b"half")
        ready.set()
        signal.pause()


def whole(path):
    with replacing(path) as file:
        file.write(b"whole")


def whole_folder(path):
    with replacing_folder(path) as folder:
        (folder / "whole").mkdir()
        os.rename(folder / "whole", path)


@pytest.mark.parametrize(
    ("begin", "again", "n_left"), [(write_half, whole, 1), (fill_half, whole_folder, 2)]
)
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path, begin, again, n_left
):
    path = tmp_path / "a[1].tif"  # a name with a character of patterns
    ready = multiprocessing.Event()
    process = start(begin, path, ready)
    assert ready.wait(60)
    (tmp_path / ".b.tif.01234567.part").write_bytes(b"of another file")
    again(path)
    living = names(tmp_path)
    assert len(living) == 2 + n_left and path.name in living  # the other process writes still
    process.kill()
    process.join()
    if path.is_dir():
        path.rmdir()
    again(path)
    assert names(tmp_path) == [".b.tif.01234567.part", path.name]


def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "a.tif"
    for code in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(OSError, match="make room.*a.tif'") as info, replacing(path):
            raise OSError(code, os.strerror(code))
        assert info.value.errno == code and info.value.filename == str(path)
    with pytest.raises(PermissionError, match="cannot write it: .*a.tif'"), naming(path):
        raise PermissionError(errno.EACCES, "no", str(path.with_name(".a.tif.01234567.part")))
    # errors about other files stay as they are
    other = FileNotFoundError(errno.ENOENT, "no such file", "input.tif")
    with pytest.raises(FileNotFoundError) as info, replacing(path):
        raise other
    assert info.value is other
    assert names(tmp_path) == []


def write_too_much(path):
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing raises an error then
    try:
        write_stack(path, np.ones((3, 64, 64)))
    except OSError as error:
        path.with_suffix(".txt").write_text(str(error))


@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
def test_a_stack_that_does_not_fit(tmp_path, name):
    process = start(write_too_much, tmp_path / name)
    process.join()
    text = (tmp_path / "a.txt").read_text()
    assert re.search(rf"cannot write it: (File too large|\d+ requested.*); make room.*{name}", text)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_the_disk_that_is_full(tmp_path):
    with open("/dev/full", "wb", buffering=0) as full:
        with pytest.raises(OSError, match="cannot write it: No space left.*make room.*movie.npy"):
            with naming(tmp_path / "movie.npy"):
                full.write(b"x")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot write it: Permission denied.*a.tif'"):
        whole(tmp_path / "a.tif")
