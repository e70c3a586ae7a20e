"""Parallel work: frames and tiles in threads, models in processes or on a cluster."""

import os
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import joblib
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

# Number of threads that code called in this thread may use.
_here = threading.local()
# torch's number of threads is also the default of future threads, so two threads must not set it
# at the same time.
_setting_threads = threading.Lock()
# Seconds that an item must take to be worth threads. Shorter items mostly wait for each other's
# Python code.
_WORTH_THREADS = 0.015
# Largest number of jobs in progress per process. It limits the memory if results are stored slowly.
_AHEAD = 8


def count_threads(n_jobs=None):
    """Return the number of threads that may work in parallel here.

    Parameters
    ----------
    n_jobs : int or None
        As joblib counts them. None: all CPUs, unless joblib's `parallel_config` or torch was told
        of fewer, or this is one of several workers already.

    Returns
    -------
    n : int
        At least 1.
    """
    inside = getattr(_here, "n", None)
    if inside is not None:
        return inside
    backend, configured = get_active_backend()  # None: nobody configured joblib
    if n_jobs is not None or configured is not None:
        return max(1, effective_n_jobs(n_jobs))
    if backend.nesting_level and threading.current_thread() is not threading.main_thread():
        return 1  # one of joblib's threads; its processes know by torch's number what is theirs
    limits = [joblib.cpu_count()]
    if torch := sys.modules.get("torch"):
        limits.append(torch.get_num_threads())
    elif (told := os.environ.get("OMP_NUM_THREADS", "")).isdigit():  # torch follows it, too
        limits.append(int(told))
    return max(1, min(limits))


def side_by_side(function, items, *, n_jobs=None, progress=None):
    """Call a function for all items, in threads with one torch thread each.

    Threads are enough, because NumPy, SciPy, scikit-image and torch release the interpreter's lock
    during long work, and nothing is copied. Each thread uses one torch thread: threads that share a
    small kernel mostly wait for each other, especially on a busy machine. Nested calls in such a
    thread process their items one by one. A single item is processed in the thread of the caller,
    so that nested calls can work in parallel.

    The caller works, too. The other threads begin as soon as an item takes longer than 15 ms; for
    shorter ones they cost more than they gain.

    Parameters
    ----------
    function : callable
        Called with one item.
    items : sequence
    n_jobs : int or None
        See `count_threads`.
    progress : callable, optional
        Called without arguments once for each item that is done, in the thread of the caller.

    Returns
    -------
    results : list
        In the order of the items.
    """
    items = list(items)
    n = min(count_threads(n_jobs), len(items))
    if n <= 1:
        results = []
        for item in items:
            results.append(function(item))
            if progress is not None:
                progress()
        return results
    waiting, results = deque(range(len(items))), {}
    ending = threading.Event()
    n_told = 0

    def take_items(tell=None):
        _use_one_thread()
        while waiting:
            try:
                k = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                results[k] = function(items[k])
            except BaseException:
                waiting.clear()  # the first error ends the work
                raise
            if tell is not None:
                tell()

    def tell():
        nonlocal n_told
        for _ in range(len(results) - n_told):
            n_told += 1
            if progress is not None:
                progress()

    def help_if_long():
        n_left = len(items) - 1  # the caller has taken the first
        while waiting and not ending.wait(_WORTH_THREADS):
            if len(waiting) == n_left:  # no item was taken meanwhile
                with ThreadPoolExecutor(n - 1) as pool:
                    futures = [pool.submit(take_items) for _ in range(n - 1)]
                for future in futures:
                    future.result()
                return
            n_left = len(waiting)

    before = getattr(_here, "n", None)
    with _torch_threads_kept(), ThreadPoolExecutor(1) as watcher:
        helped = watcher.submit(help_if_long)
        try:
            take_items(tell)
        finally:  # also after Ctrl-C: items that have not begun are left
            waiting.clear()
            ending.set()
            _here.n = before
        helped.result()  # raises the error of another thread
    tell()
    return [results[k] for k in range(len(items))]


def _use_one_thread():
    """Let this thread, one of several, use one thread."""
    _here.n = 1
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def _torch_threads_kept():
    """Restore torch's number of threads at the end, also for future threads."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with _setting_threads:
        n = torch.get_num_threads()
        try:
            yield
        finally:
            torch.set_num_threads(n)


@contextmanager
def one_torch_thread():
    """Let torch compute on one thread, and restore its number of threads afterwards.

    Parallel work inside may still use the previous number of threads. A thread among others of its
    process (a worker of dask) does not restore the setting, because the setting belongs to the
    whole process and other threads use it.
    """
    import torch

    n, threads = torch.get_num_threads(), count_threads()
    if n == 1:
        yield
        return
    before = getattr(_here, "n", None)
    torch.set_num_threads(1)
    _here.n = threads
    try:
        yield
    finally:
        _here.n = before
        if threading.current_thread() is threading.main_thread():
            torch.set_num_threads(n)


class _OneBlasThread:
    """Let NumPy's matrix products use one thread, as long as this context is open anywhere.

    The threads of a product wait for each other in a loop, so that on a busy machine two take four
    times the CPU time of one.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.n_open = 0

    def __enter__(self):
        with self.lock:  # the setting belongs to the whole process
            if self.n_open == 0:
                self.limits = _libraries().limit(limits=1, user_api="blas")
            self.n_open += 1

    def __exit__(self, *error):
        with self.lock:
            self.n_open -= 1
            if self.n_open == 0:
                self.limits.restore_original_limits()


@cache
def _libraries():
    """Libraries with threads of their own: looking for them takes milliseconds."""
    return ThreadpoolController()


_one_blas_thread = _OneBlasThread()


def map_images(denoise_into, X, *more, n_jobs=None, progress=None):
    """Denoise the images of a stack in parallel, each with one thread of torch and of BLAS.

    Parameters
    ----------
    denoise_into : callable
        ``denoise_into(out, image, ...)`` writes the estimate of one image into `out`.
    X : ndarray of shape (n_images, height, width), dtype float32
        Noisy images.
    *more : sequences of length n_images
        Other arguments of `denoise_into`, image by image.
    n_jobs, progress
        As for `side_by_side`.

    Returns
    -------
    denoised : ndarray of shape (n_images, height, width), dtype float32
        The estimates.
    """
    denoised = np.empty_like(X)
    jobs = zip(denoised, X, *more, strict=True)
    with _one_blas_thread:
        side_by_side(lambda job: denoise_into(*job), jobs, n_jobs=n_jobs, progress=progress)
    return denoised


def run_numbered(function, jobs, settings, *, n_jobs=None, client=None):
    """Yield (number, result) of every (number, job), in the order in which they finish.

    Parameters
    ----------
    function : callable
        ``function(job, *settings)``, at the top level of a module.
    jobs : sequence of (int, object)
    settings : tuple
        Settings of all jobs.
    n_jobs : int or None
        Number of processes, as in joblib.
    client : distributed.Client, optional
        A dask cluster, used instead of the processes.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        if client is not None:
            yield from _on_cluster(function, jobs, settings, client)
            return
        n_batch = _AHEAD * effective_n_jobs(n_jobs)
        with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as parallel:
            for first in range(0, len(jobs), n_batch):
                batch = jobs[first : first + n_batch]
                yield from parallel(delayed(_numbered)(function, *job, *settings) for job in batch)
    finally:
        torch.set_num_threads(threads)


def _numbered(function, number, job, *settings):
    return number, function(job, *settings)


def _on_cluster(function, jobs, settings, client):
    from distributed import as_completed

    waiting = iter(jobs)
    n_ahead = 2 * max(1, sum(client.nthreads().values()))

    def submit():
        for number, job in waiting:
            return client.submit(_numbered, function, number, job, *settings, pure=False)

    futures = as_completed([f for f in (submit() for _ in range(n_ahead)) if f is not None])
    try:
        for future in futures:
            result = future.result()
            future.release()
            following = submit()
            if following is not None:
                futures.add(following)
            yield result
    finally:
        client.cancel(list(futures.futures))
