"""PURE-LET: Haar wavelet thresholds that minimise an unbiased estimate of the risk."""

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._calls import level_outside
from temdenoise._jobs import map_images
from temdenoise._masking import trusted_pixels
from temdenoise._validation import check_offset
from temdenoise.base import BaseDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers._classical.purelet import purelet

# "auto" binning: mean number of electrons that a bin should hold, the largest bin, and the smallest
# number of bins along a side. With fewer electrons per bin, details are lost in noise.
_AUTO_COUNTS, _AUTO_LARGEST, _AUTO_SIDE = 4.0, 8, 8

# Positions of cycle spins: powers of the inverse of the plastic number fill the square evenly.
_SPIN_STEPS = 0.7548776662466927, 0.5698402909980532


class PURELETDenoiser(BaseDenoiser):
    """Haar wavelet denoising by thresholds of least estimated risk (PURE-LET).

    The image is split into Haar details of several scales. Each band of details is replaced by a
    linear combination of simple functions of itself and its surroundings, with those coefficients
    that minimise PURE, the Poisson-Gaussian unbiased risk estimate: the mean squared error as
    estimated from the noisy image alone. There is nothing to train and no noise level to guess.
    Luisier, Vonesch, Blu and Unser, Signal Processing 90, 415 (2010); Luisier, Blu and Unser, IEEE
    Trans. Image Process. 20, 696 (2011). One of the methods compared in Section 5 of "Deep
    denoising for scientific discovery: a case study in electron microscopy" (Mohan et al.,
    arXiv:2010.12970).

    Parameters
    ----------
    n_scales : int, default=4
        Number of scales, 1 to 8; the coarsest windows are ``2**n_scales`` bins wide. Fewer are used
        where the image is too small.
    thresholding : {"pointwise", "interscale", "neighbours"}, default="neighbours"
        Input for the estimate of a detail. "pointwise": the detail alone, with a threshold that
        depends on the local mean. "interscale": also its prediction from the neighbouring scaling
        coefficients. "neighbours": also the neighbouring details. Each step adds functions to the
        expansion: 2, 5, and 7.
    cycle_spins : "all" or int, default="all"
        Positions of the windows over which the estimate is averaged. "all": every position (the
        undecimated transform). A number: this number of positions of adjacent windows (the
        decimated transform). 1 is the fastest and shows blocks.
    binning : "auto" or int, default="auto"
        Side, in pixels, of the bins that are denoised. Cubic splines interpolate back to pixels.
        Bins of Poisson counts are Poisson counts. "auto": for each image the smallest bin with a
        mean of four electrons, up to 8.
    gain : float, default=1.0
        Units of the images per electron.
    offset : float, default=0.0
        Value of a pixel without electrons.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise, in the units of the images. If zero, values below
        `offset` are refused.
    tile_size : int or None, default=None
        If given, the image is denoised in square tiles of this side, in pixels. Each tile has its
        own coefficients. Tiles overlap by half and are averaged. The paper uses 128.
    n_jobs : int or None, default=None
        Number of images denoised in parallel, in threads. None and -1: all CPUs. None also follows
        joblib's parallel_config and other workers on the machine.

    Attributes
    ----------
    dose_ : float
        Mean of the images seen in `fit`. The method learns nothing there: the coefficients depend
        only on the image that is denoised.

    See Also
    --------
    temdenoise.metrics.pure_risk : The risk estimate, for any denoiser.

    Notes
    -----
    An image is ``gain * Poisson(x / gain) + offset + Gaussian(read_noise)`` here. The method
    estimates ``x + offset``, the mean of the image in its own units.

    PURE is exact for these functions, not only to first order in the counts, because sums over
    windows are Poisson counts and neighbouring windows share no pixel. The coefficients of all
    bands together minimise the risk of the image, and not of each band. A coefficient that is not
    much larger than the noise of PURE itself is shrunk (as by James and Stein). Otherwise the
    number of coefficients would be too large for small images and tiles.

    Masked pixels do not count: the coefficients minimise the risk of the other pixels, and a bin
    that holds a masked pixel is left out. Details of scales at which an image, or a tile, has fewer
    than 4 windows of trusted bins are dropped. ``transform`` warns if an image is much smoother
    than its noise allows; the details of such an image are dropped too.

    With ``cycle_spins="all"``, windows that cross the border are left out, so nothing is padded.
    With a number of positions, the image is mirrored at its borders.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import PURELETDenoiser
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 64, 64))
    >>> denoised = PURELETDenoiser().fit(noisy).transform(noisy)
    >>> bool(denoised.std() < 0.1 * noisy.std())
    True
    """

    _parameter_constraints: dict = {
        "n_scales": [Interval(Integral, 1, 8, closed="both")],
        "thresholding": [StrOptions({"pointwise", "interscale", "neighbours"})],
        "cycle_spins": [StrOptions({"all"}), Interval(Integral, 1, None, closed="left")],
        "binning": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "gain": [Interval(Real, 0, None, closed="neither")],
        "offset": [Interval(Real, None, None, closed="neither")],
        "read_noise": [Interval(Real, 0, None, closed="left")],
        "tile_size": [None, Interval(Integral, 2, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        *,
        n_scales=4,
        thresholding="neighbours",
        cycle_spins="all",
        binning="auto",
        gain=1.0,
        offset=0.0,
        read_noise=0.0,
        tile_size=None,
        n_jobs=None,
    ):
        self.n_scales = n_scales
        self.thresholding = thresholding
        self.cycle_spins = cycle_spins
        self.binning = binning
        self.gain = gain
        self.offset = offset
        self.read_noise = read_noise
        self.tile_size = tile_size
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.read_noise == 0 and self.offset == 0
        return tags

    def _transform(self, X, mask):
        trusted = trusted_pixels(mask, len(X))
        doubts = []
        denoise_into = partial(self._denoise_into, doubts)
        denoised = map_images(denoise_into, X, trusted, n_jobs=self.n_jobs)
        if doubts:
            warnings.warn(
                f"PURELETDenoiser: an image is smoother than gain={self.gain:g}, "
                f"offset={self.offset:g} and read_noise={self.read_noise:g} say, so its details "
                "cannot be distinguished from noise, and were dropped. Correct these numbers, or "
                "give raw counts: not an image that is clean, filtered or interpolated.",
                UserWarning,
                stacklevel=level_outside(),
            )
        return denoised

    def _check_images(self, X, y=None, mask=None):
        X, y, mask = super()._check_images(X, y, mask)
        if self.binning != "auto" and self.binning > min(X.shape[1:]):
            raise ValueError(
                f"binning={self.binning} is larger than the images of {X.shape[1]} x {X.shape[2]} "
                'pixels. Use a smaller number, or "auto".'
            )
        check_offset(X, self.offset, self.read_noise, mask)
        return X, y, mask

    def _denoise_into(self, doubts, out, image, trusted):
        """Denoise one image; if one of its tiles is too smooth, add to the list `doubts`."""
        # In double precision: the linear system is not well conditioned.
        electrons = (image.astype(np.float64) - self.offset) / self.gain
        if self.read_noise == 0:
            electrons = np.maximum(electrons, 0)  # float32 may have rounded values below the offset
        factor = self.binning if self.binning != "auto" else _auto_binning(electrons, trusted)
        if factor > 1:
            binned = bin_counts(electrons, factor).astype(np.float64)
            if trusted is not None:  # a bin with a masked pixel has less noise
                trusted = bin_counts(~trusted, factor) == 0
            rates = self._denoise_tiles(binned, trusted, factor, doubts) / factor**2
            rates = unbin(rates, factor, image.shape)
        else:
            rates = self._denoise_tiles(electrons, trusted, 1, doubts)
        out[:] = rates * self.gain + self.offset

    def _denoise_tiles(self, counts, trusted, factor, doubts):
        if self.tile_size is None:
            return self._denoise(counts, trusted, factor, doubts)
        side = max(2, round(self.tile_size / factor))
        total, cover = np.zeros_like(counts), np.zeros_like(counts)
        for top in _tile_starts(counts.shape[0], side):
            for left in _tile_starts(counts.shape[1], side):
                tile = (slice(top, top + side), slice(left, left + side))
                known = None if trusted is None else trusted[tile]
                # A tile with more trusted pixels is more reliable, so it has more weight.
                weight = 1.0 if known is None else max(1, np.count_nonzero(known)) / known.size
                total[tile] += weight * self._denoise(counts[tile], known, factor, doubts)
                cover[tile] += weight
        return total / cover

    def _denoise(self, counts, trusted, factor, doubts):
        if trusted is not None and trusted.all():
            trusted = None
        rates = self._combine(counts, trusted, factor, doubts)
        # Windows at the borders have more weight than others, so the mean is that of the counts.
        if trusted is None or not trusted.any():
            return rates + (counts.mean() - rates.mean())
        rates = rates + (counts[trusted].mean() - rates[trusted].mean())
        # The risk does not include the functions in the other pixels.
        within = np.clip(rates, rates[trusted].min(), rates[trusted].max())
        return np.where(trusted, rates, within)

    def _combine(self, counts, trusted, factor, doubts):
        options = {
            "n_scales": self.n_scales,
            "thresholding": self.thresholding,
            "read_noise": self.read_noise / self.gain * factor,  # of the sum over a bin
        }
        if self.cycle_spins == "all":
            rates, believable = purelet(counts, trusted=trusted, **options)
            if not believable:
                doubts.append(factor)
            return rates
        # Blocks of the largest size that fits, and the smallest multiple of it for the image.
        blocks = [2 ** min(self.n_scales, n.bit_length() - 1) for n in counts.shape]
        total = np.zeros_like(counts)
        for spin in range(self.cycle_spins):
            shift = [int(spin * step % 1 * b) for step, b in zip(_SPIN_STEPS, blocks, strict=True)]
            padding = [
                (s, -(n + s) % b) for n, s, b in zip(counts.shape, shift, blocks, strict=True)
            ]
            padded = np.pad(counts, padding, mode="symmetric")
            known = None if trusted is None else np.pad(trusted, padding, mode="symmetric")
            inside = tuple(slice(s, s + n) for s, n in zip(shift, counts.shape, strict=True))
            rates, believable = purelet(padded, decimated=True, trusted=known, **options)
            if not believable:
                doubts.append(factor)
            total += rates[inside]
        return total / self.cycle_spins


def _auto_binning(electrons, trusted):
    """Smallest bin with enough electrons in the mean that leaves enough bins."""
    largest = max(1, min(_AUTO_LARGEST, min(electrons.shape) // _AUTO_SIDE))
    mean = electrons.mean(where=True if trusted is None else trusted)
    if mean * largest**2 <= _AUTO_COUNTS:
        return largest
    return int(np.ceil(np.sqrt(_AUTO_COUNTS / mean)))


def _tile_starts(size, side):
    """First pixels of tiles that are half a tile apart, with the last tile at the end."""
    if size <= side:
        return [0]
    return [*range(0, size - side, max(1, side // 2)), size - side]
