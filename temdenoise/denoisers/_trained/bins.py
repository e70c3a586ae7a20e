"""The bins of a network, and their side in pixels of a frame."""

from dataclasses import dataclass
from math import sqrt
from numbers import Real

import numpy as np

from temdenoise._lengths import check_pixel_size

# If a bin is wider than this, in pixels, the pixel size is probably in another unit, unless the
# training had such bins.
_MANY_PIXELS = 16


@dataclass(frozen=True)
class Bins:
    """Square bins of pixels on which a network was trained."""

    binning: int  # side in pixels of the training
    size: float | None  # in pm, if known; for a range of pixel sizes, at the geometric mean
    zoom: tuple = (0.97, 1.03)  # least and greatest factor on it that the network knows
    any_size: bool = False  # trained on a range of pixel sizes

    @property
    def pixel_size(self):
        """Pixel size of the training in pm, None if it is not known."""
        return None if self.size is None else self.size / self.binning

    @property
    def most_pixels(self):
        """Widest bin in pixels for which the unit of the pixel size is not in doubt."""
        return max(_MANY_PIXELS, self.binning)

    def factor(self, pixel_size=None):
        """Side of a bin in pixels of this size (pm), a whole number if the training allows it.

        Raises
        ------
        ValueError
            If a pixel is coarser than a bin.
        """
        if pixel_size is None or self.size is None:
            return self.binning
        exact = self.size / check_pixel_size(pixel_size)
        low, high = self.zoom
        # all frames in a range get the same bins, as if their pixel size was not known
        for whole in ([self.binning] if self.any_size else []) + [max(1, round(exact))]:
            if low <= whole / exact <= high:
                return whole
        if exact < 1:
            raise ValueError(
                f"pixel_size={pixel_size:g} pm is too coarse: this network works on "
                f"{self.size:.3g} pm. Train one for it (training_pixel_size={pixel_size:g})."
            )
        return exact


def make_bins(pixel_size, *, binning, zoom, goal=None, size=None):
    """Return the bins for frames of a pixel size.

    Parameters
    ----------
    pixel_size : float or (float, float)
        Pixel size in pm of the frames to denoise, or its range.
    binning : int or "auto"
        Side of a bin in pixels.
    zoom : (float, float)
        Range of the factor on the side of a bin in training.
    goal : float, optional
        "auto" chooses the bins closest to this side in pm. None: bins are pixels.
    size : float, optional
        Side of the bins in pm if it is known, as for stored weights.

    Returns
    -------
    bins : Bins

    Raises
    ------
    ValueError
        If `pixel_size` or `zoom` is no range, or the pixel size is below 1 pm.
    """
    low, high = check_range(zoom, "zoom")
    any_size = np.ndim(pixel_size) > 0
    if any_size:
        finest, coarsest = check_range(pixel_size, "training_pixel_size")
        check_pixel_size(finest, "training_pixel_size")
        pixel_size = sqrt(finest * coarsest)
        low, high = low * finest / pixel_size, high * coarsest / pixel_size
    check_pixel_size(pixel_size, "training_pixel_size")
    if size is not None:
        binning = max(1, round(size / pixel_size))
    elif binning == "auto":
        binning = 1 if goal is None else max(1, round(goal / pixel_size))
    size = binning * pixel_size if size is None else size
    return Bins(int(binning), float(size), (low, high), any_size)


def check_range(values, name):
    """Return a range as (low, high); raise ValueError if it is none."""
    numbers = len(values) == 2 and all(isinstance(v, Real) for v in values)
    if not numbers or not 0 < values[0] <= values[1] < np.inf:
        raise ValueError(f"{name} must be (low, high) with 0 < low <= high, got {values!r}.")
    return float(values[0]), float(values[1])
