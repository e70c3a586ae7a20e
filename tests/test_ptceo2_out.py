"""Sets on disk: stopped at any moment, continued, shared out to processes, never half-written."""

import json
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from forks import start

from temdenoise import ImageStack, make_ptceo2
from temdenoise.datasets import _ptceo2

fcntl = pytest.importorskip("fcntl")
resource = pytest.importorskip("resource")

# Small particle on the thinnest support, one image a model: each takes a tenth of a second.
SET = {"structure": "PtNp3", "query": "thickness == 30", "images_per_model": 1, "n_images": 3}

# Angstrom between the points of the simulation: coarser than any preset, for speed.
SPACING = 0.2


@pytest.fixture(scope="module", autouse=True)
def coarse():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_ptceo2.PRESETS, "quick", SPACING)
        yield


@pytest.fixture(scope="module")
def expected(coarse):
    return make_ptceo2(**SET)


def _stop_after_a_model(out):
    """Make the set in another process, and have the system kill it after one of three models."""
    process = start(partial(make_ptceo2, **SET, out=out))
    while len(_journal(out)) < 2:  # the head and a model
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()


def _journal(out):
    path = Path(f"{out}.journal")
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A set whose run was killed after one of three models."""
    out = tmp_path_factory.mktemp("killed") / "set.npy"
    _stop_after_a_model(out)
    return out


@pytest.fixture
def stopped(killed, tmp_path):
    """A copy of it to go on with."""
    for path in killed.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / killed.name


def test_a_killed_run_goes_on_where_it_was(stopped, expected):
    before = _journal(stopped)
    assert 2 <= len(before) < 4
    sim = make_ptceo2(**SET, out=stopped)
    after = _journal(stopped)
    assert after[: len(before)] == before  # nothing done again
    assert len(after) == 4
    assert sorted(json.loads(line)["group"] for line in after[1:]) == list(range(3))
    assert type(sim.data) is ImageStack
    assert sim.data.pixel_size == sim.pixel_size
    assert isinstance(sim.data.base, np.memmap)
    assert not sim.data.flags.writeable
    assert np.array_equal(sim.data, expected.data)
    assert sim.frame.equals(expected.frame)
    assert {p.name for p in stopped.parent.iterdir()} == {"set.npy", "set.npy.journal"}


def test_half_a_line_and_damaged_images_are_done_again(stopped, expected):
    journal = Path(f"{stopped}.journal")
    lines = _journal(stopped)
    # killed in the middle of a line, and the images of the first model lost by the disk
    journal.write_text("\n".join(lines) + '\n{"crc32": 12, "gro')
    first = json.loads(lines[1])["group"]
    with Path(f"{stopped}.part").open("r+b") as file:
        file.seek(128 + first * 256 * 256 * 4 + 1000)
        file.write(b"\0" * 64)
    sim = make_ptceo2(**SET, out=stopped)
    assert np.array_equal(sim.data, expected.data)
    groups = [json.loads(line)["group"] for line in _journal(stopped)[1:]]
    assert groups.count(first) == 2
    assert sorted(set(groups)) == list(range(3))


def test_lost_images_are_noticed(stopped, expected):
    Path(f"{stopped}.part").unlink()
    assert np.array_equal(make_ptceo2(**SET, out=stopped).data, expected.data)


def test_other_arguments_are_refused(stopped):
    before = _journal(stopped), Path(f"{stopped}.part").read_bytes()
    with pytest.raises(ValueError, match="arguments: random_state = 0 there, 1 now; atoms_and"):
        make_ptceo2(**SET, random_state=1, out=stopped)
    with pytest.raises(ValueError, match="preset = 'quick' there, 'default' now"):
        make_ptceo2(**SET, preset="default", out=stopped)
    assert before == (_journal(stopped), Path(f"{stopped}.part").read_bytes())


def test_a_set_may_be_named_in_another_way(stopped, expected):
    # as version 0.1 noted a set whose number of images per model was not given
    journal = Path(f"{stopped}.journal")
    header, *done = _journal(stopped)
    header = json.loads(header) | {"images_per_model": None}
    journal.write_text("\n".join([json.dumps(header), *done]) + "\n")
    sim = make_ptceo2(**SET, out=stopped)
    assert np.array_equal(sim.data, expected.data)
    assert _journal(stopped)[: len(done) + 1] == [json.dumps(header), *done]


def test_two_runs_at_once_are_refused(stopped):
    before = _journal(stopped)
    with Path(f"{stopped}.journal").open("a+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="Another run is writing"):
            make_ptceo2(**SET, out=stopped)
    assert _journal(stopped) == before


def test_a_complete_set_is_not_made_again(tmp_path, monkeypatch):
    out = tmp_path / "set.npy"
    first = make_ptceo2(**SET | {"n_images": 1}, out=out)
    stamp = out.stat().st_mtime_ns
    monkeypatch.setattr(torch.fft, "fft2", None)  # nothing can be simulated now
    again = make_ptceo2(**SET | {"n_images": 1}, out=str(out))
    assert np.array_equal(first.data, again.data)
    assert out.stat().st_mtime_ns == stamp


def test_without_a_seed_a_stopped_run_keeps_the_one_it_drew(tmp_path):
    out = tmp_path / "set.npy"
    arguments = SET | {"n_images": 1, "random_state": None}
    first = make_ptceo2(**arguments, out=out)
    again = make_ptceo2(**arguments, out=out)
    assert first.frame.equals(again.frame)
    assert np.array_equal(first.data, again.data)


def test_files_of_others_are_left_alone(tmp_path):
    out = tmp_path / "set.npy"
    np.save(out, np.arange(3))
    with pytest.raises(FileExistsError, match="has no journal"):
        make_ptceo2(**SET, out=out)
    assert np.load(out).tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [out]
    diary = tmp_path / "my.npy.journal"
    diary.write_text("Dear diary,\nno news")
    with pytest.raises(ValueError, match="is not a journal of this function"):
        make_ptceo2(**SET, out=tmp_path / "my.npy")
    assert diary.read_text() == "Dear diary,\nno news"


def test_too_small_a_disk_is_noticed_before_the_work(tmp_path):
    # 1 pm: 100 MB an image, 1.8 TB in all
    if shutil.disk_usage(tmp_path).free > 1.7e12:
        pytest.skip("needs a disk with less than 1.7 TB free")
    with pytest.raises(OSError, match=r"1795\.500 GB remain to be written"):
        make_ptceo2(pixel_size=1, out=tmp_path / "set.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"Make it writable"):
            make_ptceo2(**SET, out=tmp_path / "set.npy")
    finally:
        tmp_path.chmod(0o700)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        make_ptceo2(**SET, out=tmp_path / "nowhere" / "set.npy")
    with pytest.raises(TypeError, match="out must be a path"):
        make_ptceo2(**SET, out=3)
    with pytest.raises(TypeError, match="distributed.Client"):
        make_ptceo2(**SET, client="tcp://localhost:8786")


# --- many processes -------------------------------------------------------------------------------


def test_processes_do_not_change_the_images(expected):
    sim = make_ptceo2(**SET, n_jobs=2)
    assert np.array_equal(sim.data, expected.data)
    assert sim.frame.equals(expected.frame)


def test_a_disk_that_fills_up_loses_nothing(tmp_path, expected):
    # the system refuses to let the file grow beyond one and a bit of three images
    out = tmp_path / "set.npy"
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 256 * 256 * 4 + 1000, most))
    try:
        # threads: processes would have to be started again for the next test
        with (
            pytest.raises(OSError, match="finished images are kept"),
            joblib.parallel_config(backend="threading"),
        ):
            make_ptceo2(**SET, out=out, n_jobs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    kept = _journal(out)
    assert 1 <= len(kept) <= 2  # the head, and what was done before the second or third
    assert not out.exists()
    assert np.array_equal(make_ptceo2(**SET, out=out).data, expected.data)
    assert _journal(out)[: len(kept)] == kept
    assert len(_journal(out)) == 4


def test_threads_of_torch_do_not_change_the_images(expected):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sim = make_ptceo2(**SET | {"n_images": 2})
        assert torch.get_num_threads() == 2  # as it was
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(sim.data, expected.data[:2])


@pytest.mark.filterwarnings("ignore")  # whatever the cluster's own libraries deprecate
def test_a_dask_cluster_does_not_change_the_images(expected, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    folder = {"local_directory": str(tmp_path / "dask"), "processes": False}
    with distributed.Client(**cluster, **folder) as client:
        sim = make_ptceo2(**SET, client=client, out=tmp_path / "set.npy")
    assert np.array_equal(sim.data, expected.data)
    assert len(_journal(tmp_path / "set.npy")) == 4


# --- zarr -----------------------------------------------------------------------------------------


def test_zarr_holds_the_same_images_and_goes_on(tmp_path, expected):
    zarr = pytest.importorskip("zarr")
    out = tmp_path / "set.zarr"
    part = tmp_path / "set.zarr.part"
    _stop_after_a_model(out)
    before = _journal(out)
    assert part.is_dir()
    sim = make_ptceo2(**SET, out=out)
    assert _journal(out)[: len(before)] == before
    assert isinstance(sim.data, zarr.Array)
    assert sim.data.chunks == (1, 256, 256)
    assert np.array_equal(sim.data[:], expected.data)
    assert not part.exists()
