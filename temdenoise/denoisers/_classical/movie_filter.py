"""The windowed Fourier filter of movies, part by part."""

import math
from contextlib import nullcontext

import numpy as np

from temdenoise._jobs import one_torch_thread, side_by_side
from temdenoise.tiling import apply_tiled

# Bins of all frames of a part, which bound the memory: some ten arrays of this size are at work.
_BINS = 2**24
# Side of the tiles, in bins. Larger windows take larger tiles.
_TILE = 768
# Side of a tile, in halos, at least: most of what it computes is to be used.
_HALOS = 6


def time_step(n_frames):
    """Frames between blocks of `n_frames`: a third of a block."""
    return max(1, round(n_frames / 3))


class MovieFilter:
    """Filter parts of a movie; called with counts per bin (n_frames, rows, columns).

    Parameters
    ----------
    windows : list of int
        Sides of the windows in bins, whose estimates are averaged.
    n_frames : int
        Frames of a block.
    threshold : float
        In units of ``log(n_frames * window**2 / 2)`` times the power of the noise.
    mode : {"wiener", "hard", "soft"}
    halo : int
        Frames on either side that an estimate depends on, a multiple of the step in time.
    device : torch.device
    """

    def __init__(self, *, windows, n_frames, threshold, mode, halo, device):
        self.sizes = [{"window": n, "stride": max(1, n // 3)} for n in windows]
        self.time = {"depth": n_frames, "step": time_step(n_frames)}
        self.floors = [threshold * max(0.0, math.log(n_frames * n**2 / 2)) for n in windows]
        self.mode = mode
        self.halo = halo
        self.device = device

    def parts(self, n_frames, n_bins):
        """Parts of a movie whose memory is bounded.

        Parameters
        ----------
        n_frames : int
        n_bins : int
            Bins of a frame.

        Returns
        -------
        parts : list of (slice, slice)
            Frames that go into a part, and those of them whose estimates come out of it as they
            come out of the whole movie.
        """
        step = self.time["step"]
        length = max(2 * self.halo, _BINS // n_bins - 2 * self.halo, step) // step * step
        return [
            (
                slice(max(0, start - self.halo), min(n_frames, start + length + self.halo)),
                slice(start, min(n_frames, start + length)),
            )
            for start in range(0, n_frames, length)
        ]

    def __call__(self, bins):
        """Rates per bin of counts per bin (n_frames, rows, columns)."""
        # The dose is that of whole frames, whatever the tiles.
        dose = bins.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        widest = max(size["window"] for size in self.sizes)
        halo = widest * (2 if self.mode == "wiener" else 1)
        multiple = math.lcm(*(size["stride"] for size in self.sizes))
        return apply_tiled(
            lambda tile: self._tile(tile, dose),
            bins,
            tile=max(_TILE, _HALOS * halo),
            halo=halo,
            multiple=multiple if multiple <= halo else 1,
        )

    def _tile(self, tile, dose):
        import torch

        from temdenoise.networks.windowed_fourier_movie import movie_threshold, movie_wiener

        on_cpu = self.device.type == "cpu"
        counts, dose = (torch.from_numpy(a.copy()).to(self.device) for a in (tile, dose))

        def mean_over_sizes(estimate):
            def alone(k):
                with torch.inference_mode():
                    return estimate(k, self.sizes[k] | self.time)

            # What the windows need is a CPU's work for itself: sizes go side by side.
            estimates = side_by_side(alone, range(len(self.sizes)), n_jobs=None if on_cpu else 1)
            return sum(estimates) / len(estimates)

        def thresholded(k, size):
            mode = "soft" if self.mode == "soft" else "hard"
            return movie_threshold(counts, dose, threshold=self.floors[k], mode=mode, **size)

        with one_torch_thread() if on_cpu else nullcontext():
            rates = mean_over_sizes(thresholded)
            if self.mode == "wiener":
                pilot = rates
                rates = mean_over_sizes(lambda _, size: movie_wiener(counts, pilot, dose, **size))
        return rates.cpu().numpy()
