"""Simulate the images of a model, and make its table of atom columns."""

from collections.abc import Sequence

import numpy as np
from scipy.fft import next_fast_len

from temdenoise._jobs import one_torch_thread
from temdenoise.datasets._catalogue import FIELD_OF_VIEW
from temdenoise.simulation.structures import pt_ceo2
from temdenoise.simulation.surface_defects import alter_surface, surface_sites

# A whole defocus series is sampled at once if it has at most this many pixels.
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

    The CPU uses one thread: on such small grids processes scale better than threads, and the result
    does not depend on their number.
    """
    import torch

    from temdenoise._device import choose_device
    from temdenoise.simulation import Microscope, exit_wave, sample_image

    with one_torch_thread():
        structure = structure_of(job)
        grid = tuple(fast_length(length / spacing) for length in structure.extent)
        wave = exit_wave(
            structure.numbers,
            structure.positions,
            structure.extent,
            grid,
            thickness=structure.thickness,
            tilt=job.tilt,
            device=choose_device(device),
        )
        # The whole series is sampled even if few images are selected: library routines may round
        # many transforms or products differently from a single one. Large images are sampled one by
        # one.
        microscope = Microscope(**(job.optics or {}))
        spectra, _ = microscope.image_spectra(wave, structure.extent, job.series)
        chosen = list(job.chosen)
        arguments = structure.extent, pixel_size, shape, structure.info["origin"]
        if shape[0] * shape[1] <= _SMALL:
            images = sample_image(spectra, *arguments)[chosen]
        else:
            images = torch.stack([sample_image(spectra[i], *arguments) for i in chosen])
        return (images * level).cpu().numpy()


def fast_length(n):
    """Next length of a quick transform: a multiple of 4 with factors 2, 3 and 5 alone."""
    return 4 * next_fast_len(int(np.ceil(n / 4)), real=True)


class ColumnTables(Sequence):
    """The true atom columns of each image, built when they are used.

    A model's table depends only on its atoms and takes milliseconds. All images of a model share
    it. The sequence can be iterated, indexed and sliced like a list of tables.
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
