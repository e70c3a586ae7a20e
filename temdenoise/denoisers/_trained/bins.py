"""The bins a network works on, and how many pixels of a frame make one."""

from dataclasses import dataclass
from math import sqrt
from numbers import Real

import numpy as np

from temdenoise._lengths import check_pixel_size

# The bin the default network is made for, in pm: an image holds nothing finer than twice that.
FOURIER_UNET_BIN = 31.1


@dataclass(frozen=True)
class Bins:
    """Square bins of pixels, as a network was trained on them."""

    binning: int  # side in pixels of the training
    size: float  # that side in pm; of a range of pixel sizes, at its geometric mean
    scale: tuple  # least and greatest factor on it in training
    scale_blind: bool  # trained on a range of pixel sizes

    def factor(self, pixel_size=None):
        """Side of a bin in pixels of this size (pm): whole numbers where the training allows it."""
        if pixel_size is None:
            return self.binning
        exact = self.size / check_pixel_size(pixel_size)
        low, high = self.scale
        # frames of a range are treated alike, as if their size was not known
        for whole in ([self.binning] if self.scale_blind else []) + [max(1, round(exact))]:
            if low <= whole / exact <= high:
                return whole
        if exact < 1:
            raise ValueError(
                f"pixel_size={pixel_size:g} pm is too coarse: this network works on "
                f"{self.size:.3g} pm. Train one for it with SBDDenoiser(pixel_size="
                f"{pixel_size:g}).fit(...)."
            )
        return exact


def bins_of(est, size=None):
    """Return the bins that the parameters of an `SBDDenoiser` stand for.

    Parameters
    ----------
    est : SBDDenoiser
    size : float, optional
        Side of the bins in pm where it is known, as with stored weights.

    Raises
    ------
    ValueError
        If `pixel_size` or `scale` is no range.
    """
    low, high = _range(est.scale, "scale")
    middle = est.pixel_size
    scale_blind = np.ndim(middle) > 0
    if scale_blind:
        finest, coarsest = _range(middle, "pixel_size")
        middle = sqrt(finest * coarsest)
        low, high = low * finest / middle, high * coarsest / middle
    binning = est.binning
    if size is not None:
        binning = max(1, round(size / middle))
    elif binning == "auto":
        fourier = est.architecture == "fourier_unet"
        binning = max(1, round(FOURIER_UNET_BIN / middle)) if fourier else 1
    size = binning * middle if size is None else size
    return Bins(int(binning), float(size), (low, high), scale_blind)


def _range(values, name):
    numbers = len(values) == 2 and all(isinstance(v, Real) for v in values)
    if not numbers or not 0 < values[0] <= values[1] < np.inf:
        raise ValueError(f"{name} must be (low, high) with 0 < low <= high, got {values!r}.")
    return float(values[0]), float(values[1])
