"""From a model to its images, and from many models to a stack, serially or in many processes."""

import threading
from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.fft import next_fast_len

from ..simulation.structures import pt_ceo2
from ..simulation.surface_defects import alter_surface, surface_sites
from ._catalogue import FIELD_OF_VIEW

# Models handed out at once, per process: what bounds the memory when storing is slow.
_BATCH = 8
# Pixels up to which a whole defocus series is sampled at once.
_SMALL = 256 * 256


def structure_of(job):
    """Build the atoms of a `ModelImages`."""
    structure = pt_ceo2(field_of_view=FIELD_OF_VIEW, **job.arguments)
    if job.change is not None:
        change, index = job.change
        columns, new = surface_sites(structure)
        structure = alter_surface(structure, change, (new if change == "added" else columns)[index])
    return structure


def columns_of(job, pixel_size, shape):
    """Projected atom columns of a model inside the image, in pixels."""
    structure = structure_of(job)
    columns = structure.columns(job.tilt)
    origin = np.array(structure.info["origin"][::-1])
    columns[["x", "y"]] = (columns[["x", "y"]] - origin) * (100 / pixel_size)
    inside = columns["x"].between(0, shape[1] - 1) & columns["y"].between(0, shape[0] - 1)
    return columns[inside].reset_index(drop=True)


def simulate(job, pixel_size, shape, spacing, level, device):
    """Images (n, height, width) of a model, float32, `level` in vacuum.

    On one thread, unless a GPU computes: processes scale better than threads on grids this small,
    and the result does not depend on how many there are.
    """
    import torch

    from ..denoisers._device import choose_device
    from ..simulation import Microscope, exit_wave, sample_image

    with one_thread():
        structure = structure_of(job)
        grid = tuple(_fast_length(length / spacing) for length in structure.extent)
        wave = exit_wave(
            structure.numbers,
            structure.positions,
            structure.extent,
            grid,
            thickness=structure.thickness,
            tilt=job.tilt,
            device=choose_device(device),
        )
        # The whole series even if few images are wanted: library routines for many transforms or
        # products at once may round otherwise than for one. Large images are sampled singly.
        microscope = Microscope(**(job.optics or {}))
        spectra, _ = microscope.image_spectra(wave, structure.extent, job.series)
        chosen = list(job.chosen)
        arguments = structure.extent, pixel_size, shape, structure.info["origin"]
        if shape[0] * shape[1] <= _SMALL:
            images = sample_image(spectra, *arguments)[chosen]
        else:
            images = torch.stack([sample_image(spectra[i], *arguments) for i in chosen])
        return (images * level).cpu().numpy()


def _fast_length(n):
    """Next length of a quick transform: a multiple of 4 with factors 2, 3 and 5 alone."""
    return 4 * next_fast_len(int(np.ceil(n / 4)), real=True)


@contextmanager
def one_thread():
    """Let torch compute on one thread, and on as many as before afterwards.

    A thread beside others of its process (a worker of dask) leaves the setting alone afterwards:
    it is the process's, and others rely on it.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            torch.set_num_threads(threads)


def _simulate_numbered(number, job, *settings):
    return number, simulate(job, *settings)


def simulate_all(jobs, settings, n_jobs=None, client=None):
    """Yield (number, images) of every (number, job), in the order in which they are done."""
    import torch

    threads = torch.get_num_threads()
    try:
        if client is not None:
            yield from _on_cluster(jobs, settings, client)
            return
        n_batch = _BATCH * effective_n_jobs(n_jobs)
        with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as parallel:
            for first in range(0, len(jobs), n_batch):
                batch = jobs[first : first + n_batch]
                yield from parallel(delayed(_simulate_numbered)(*job, *settings) for job in batch)
    finally:
        torch.set_num_threads(threads)


def _on_cluster(jobs, settings, client):
    from distributed import as_completed

    waiting = iter(jobs)
    n_ahead = 2 * max(1, sum(client.nthreads().values()))

    def submit():
        for number, job in waiting:
            return client.submit(_simulate_numbered, number, job, *settings, pure=False)

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


class ColumnTables(Sequence):
    """The true atom columns of each image, built when asked for.

    A model's table is a function of its atoms alone and takes milliseconds; images of one model
    share it. Iterates, indexes and slices like a list of tables.
    """

    def __init__(self, jobs, pixel_size, shape):
        self._jobs = list(jobs)
        self._pixel_size, self._shape = pixel_size, shape
        self._job_of = np.repeat(np.arange(len(jobs)), [len(job.chosen) for job in jobs])
        self._last = (None, None)

    def __len__(self):
        return len(self._job_of)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = int(self._job_of[index])
        if self._last[0] != number:
            table = columns_of(self._jobs[number], self._pixel_size, self._shape)
            self._last = (number, table)
        return self._last[1].copy()

    def __repr__(self):
        return f"<{len(self)} tables of atom columns>"
