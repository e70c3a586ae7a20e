"""Parallel work: frames and tiles in threads, models in processes or on a cluster."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import joblib
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

# Number of threads that code called in this thread may use.
_here = threading.local()
# torch's number of threads is also the default of future threads, so two threads must not set it
# at the same time.
_setting_threads = threading.Lock()
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

    Parameters
    ----------
    function : callable
        Called with one item.
    items : sequence
    n_jobs : int or None
        See `count_threads`.
    progress : callable, optional
        Called without arguments each time an item is done.

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

    def begin():
        _here.n = 1
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)

    with _torch_threads_kept():
        pool = ThreadPoolExecutor(n, initializer=begin)
        try:
            futures = [pool.submit(function, item) for item in items]
            for future in as_completed(futures):
                future.result()  # raises at the first error, not after all the others
                if progress is not None:
                    progress()
        finally:  # also after Ctrl-C: items that have not started are cancelled
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


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


def map_images(denoise_into, X, *more, n_jobs=None, progress=None):
    """Denoise the images of a stack in parallel.

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
