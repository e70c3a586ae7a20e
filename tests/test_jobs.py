"""Work side by side: the order of results, errors, threads of torch."""

import threading
import time

import joblib
import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController

from temdenoise._jobs import count_threads, map_images, one_torch_thread, side_by_side


@pytest.fixture(autouse=True)
def two_threads():
    """As on an idle machine of two CPUs or more, where torch takes them all."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items():
    def slow_at_first(k):
        time.sleep(0.02 if k == 0 else 0)
        return k

    assert side_by_side(slow_at_first, range(7), n_jobs=2) == list(range(7))
    assert side_by_side(slow_at_first, range(7), n_jobs=1) == list(range(7))
    assert side_by_side(slow_at_first, [], n_jobs=2) == []
    assert side_by_side(slow_at_first, iter([3]), n_jobs=2) == [3]


def test_two_work_at_once():
    meeting = threading.Barrier(2, timeout=20)  # breaks unless both are there
    side_by_side(lambda k: meeting.wait(), range(2), n_jobs=2)


def test_short_items_stay_in_the_thread_of_the_caller():
    here = threading.current_thread()
    threads = side_by_side(lambda k: threading.current_thread(), range(20), n_jobs=2)
    assert set(threads) == {here}


def test_one_long_item_among_short_ones_brings_help():
    meeting = threading.Barrier(2, timeout=20)
    # The fifth ends only when another thread takes the last.
    side_by_side(lambda k: k in (4, 9) and meeting.wait(), range(10), n_jobs=2)


def test_the_first_error_ends_the_work():
    begun = []

    def work(k):
        begun.append(k)
        if k == 0:
            raise OSError("disk full")
        time.sleep(0.05)

    with pytest.raises(OSError, match="disk full"):
        side_by_side(work, range(100), n_jobs=2)
    assert len(begun) < 10  # what had not begun was not begun
    with pytest.raises(OSError, match="disk full"):
        side_by_side(work, range(100), n_jobs=1)


def test_progress_is_told_once_for_each_item():
    told = []
    for n_jobs in (1, 2):
        side_by_side(lambda k: k, range(5), n_jobs=n_jobs, progress=lambda: told.append(1))
    assert len(told) == 10


def test_what_is_called_inside_works_one_by_one():
    def inner(k):
        return threading.get_ident()

    def outer(k):
        time.sleep(0.02)
        return threading.get_ident(), count_threads(), set(side_by_side(inner, range(4), n_jobs=2))

    results = side_by_side(outer, range(4), n_jobs=2)
    assert len({thread for thread, _, _ in results}) == 2
    for thread, n, inside in results:
        assert n == 1
        assert inside == {thread}
    # a single item leaves the threads to those inside of it
    ((_, n, _),) = side_by_side(outer, [0], n_jobs=2)
    assert n > 1 or joblib.cpu_count() == 1


def test_torch_computes_on_one_thread_inside_and_on_as_many_as_before_afterwards():
    seen = side_by_side(lambda k: torch.get_num_threads(), range(4), n_jobs=2)
    assert seen == [1] * 4
    assert torch.get_num_threads() == 2
    # threads to come, too
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]

    def fail(k):
        raise KeyError(k)

    with pytest.raises(KeyError):
        side_by_side(fail, range(4), n_jobs=2)
    assert torch.get_num_threads() == 2


def test_count_threads_heeds_joblib_and_torch(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert count_threads() == 2  # torch's
    torch.set_num_threads(16)
    assert count_threads() == 8
    assert count_threads(3) == 3
    with joblib.parallel_config(backend="threading", n_jobs=5):
        assert count_threads() == 5
        assert count_threads(3) == 3
    with joblib.parallel_config(n_jobs=1):
        assert count_threads() == 1


def test_workers_of_joblib_share_the_machine():
    counted = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(count_threads)() for _ in range(4)
    )
    assert counted == [1] * 4
    counted = joblib.Parallel(n_jobs=joblib.cpu_count() + 1)(
        joblib.delayed(count_threads)() for _ in range(4)
    )
    assert counted == [1] * 4


def test_parallel_config_is_respected():
    meeting = threading.Barrier(3, timeout=20)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        side_by_side(lambda k: meeting.wait(), range(3))


def test_one_torch_thread():
    with one_torch_thread():
        assert torch.get_num_threads() == 1
        with one_torch_thread():
            assert torch.get_num_threads() == 1
        if joblib.cpu_count() > 1:
            assert count_threads() == 2  # what works side by side inside may use both
    assert torch.get_num_threads() == 2
    with pytest.raises(OSError), one_torch_thread():
        raise OSError
    assert torch.get_num_threads() == 2


def test_images_are_denoised_with_one_thread_of_blas():
    libraries = ThreadpoolController().select(user_api="blas")

    def n_threads():
        return [library["num_threads"] for library in libraries.info()]

    before, seen = n_threads(), []
    with libraries.limit(limits=2):
        allowed = n_threads()
        map_images(lambda out, image: seen.append(n_threads()), np.zeros((2, 1, 1)))
        assert n_threads() == allowed
    assert seen == [[1] * len(before)] * 2


def test_map_images_fills_a_new_stack():
    X = np.random.default_rng(0).random((5, 4, 3), dtype=np.float32)
    more = np.arange(5.0)

    def denoise_into(out, image, k):
        out[...] = image * k

    for n_jobs in (1, 2):
        result = map_images(denoise_into, X, more, n_jobs=n_jobs)
        np.testing.assert_array_equal(result, X * more[:, None, None].astype(np.float32))
        assert not np.shares_memory(result, X)
    with pytest.raises(ValueError, match="zip"):
        map_images(denoise_into, X, more[:3], n_jobs=1)
