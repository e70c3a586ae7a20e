"""Mean and variance of the noise, from differences in which the image cancels.

The image cancels in differences of neighbouring frames, and of neighbouring pixels of one frame.
Each difference d, with weights w on its pixels, gives an unbiased variance ``d**2 / sum(w**2)``
and the mean that belongs to it (weighted by ``w**2``). The weights are not symmetric about zero,
so d also gives the third cumulant ``d**3 / sum(w**3)``.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

# Second differences cancel a linear change over three frames, or three pixels in a row.
_SECOND = np.array([1.0, -2.0, 1.0])
_PLANE = np.outer(_SECOND, _SECOND)

# The rest of the image is measured at these lags, in pixels. They are larger than the differences
# and than a detector's blur.
_NEAR, _FAR = 4, 16

# This many differences, evenly spaced, are enough: more change the result by less than a percent.
_MAX_DIFFERENCES = 64
# This many are enough for the edges of the bins, and for how much of the image is left.
_FEW = 5


class Sums(NamedTuple):
    """Sums over the differences of each tile (jackknife group) and each bin of brightness."""

    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    third: np.ndarray | None
    clipped: np.ndarray

    def total(self, leave_out=None):
        """Averages per bin, without one tile: number, mean, variance, third cumulant."""
        sums = [self.n, self.mean, self.variance] + ([] if self.third is None else [self.third])
        sums = [s.sum(axis=0) - (0 if leave_out is None else s[leave_out]) for s in sums]
        n = np.maximum(sums[0], 1)
        averages = [s / n for s in sums[1:]]
        return sums[0], averages[0], averages[1], averages[2] if len(averages) == 3 else None


def collect(movie, mask, *, temporal, levels, n_bins):
    """Sum the differences of a movie by tile and brightness.

    Parameters
    ----------
    movie : ndarray of shape (n_images, height, width), dtype float32
        Values as stored.
    mask : None or bool ndarray of the same shape
        Pixels not to use.
    temporal : bool
        True: differences between frames. False: differences between pixels.
    levels : tuple of two floats
        Values at which the detector clips, below and above; infinite if it does not.
    n_bins : int
        Number of bins of brightness.

    Returns
    -------
    sums : Sums
        Arrays of shape (n_tiles, n_bins).

    Notes
    -----
    The bin is chosen by pixels that are not in the difference (frames before and after, or a ring
    around it). Therefore the noise of the mean does not bend the line through the bins' means and
    variances, whatever the noise is.
    """
    count = _n_differences(movie, temporal)
    edges = _edges(movie, mask, temporal, count, n_bins)
    tiles, n_tiles = _tiles(movie.shape[1:])
    size, shape = n_tiles * (len(edges) + 1), (n_tiles, len(edges) + 1)
    sums = None
    for t in _spread(count, _MAX_DIFFERENCES):
        mean, d, squares, cubes = _difference(movie, t, temporal)
        keep = _whole(movie, mask, t, temporal)
        index = (
            tiles * (len(edges) + 1) + np.searchsorted(edges, _brightness(movie, t, temporal))
        )[keep]
        d, mean, clipped = d[keep], mean[keep], _clipped(movie, t, temporal, levels)[keep]
        weights = [None, mean, d**2 / squares, None if cubes == 0 else d**3 / cubes, clipped]
        new = [
            None if weight is None and i else np.bincount(index, weight, minlength=size)
            for i, weight in enumerate(weights)
        ]
        pairs = zip(sums or new, new, strict=True)
        sums = new if sums is None else [a if a is None else s + a for s, a in pairs]
    return Sums(*(s if s is None else s.reshape(shape) for s in sums))


def count_neighbourhoods(movie, mask):
    """Count the neighbourhoods of 3 x 3 pixels without a masked one, in a few frames.

    `collect` and `leftover` need them for differences of neighbouring pixels.
    """
    return sum(int(_whole(movie, mask, t, temporal=False).sum()) for t in _spread(len(movie), _FEW))


def leftover(movie, mask, *, temporal):
    """Autocorrelation of a few differences.

    Parameters
    ----------
    movie, mask, temporal
        As for `collect`.

    Returns
    -------
    structure : float
        Largest absolute autocorrelation at 4 to 16 pixels. It is about the share of the variance
        that comes from the image, as it moves or varies from pixel to pixel. Zero if it is below
        its own noise.
    along : tuple of two floats
        Autocorrelation at one pixel along columns and along rows.
    """
    total = number = 0.0
    count = _n_differences(movie, temporal)
    for t in _spread(count, _FEW):
        d, keep = _difference(movie, t, temporal)[1], _whole(movie, mask, t, temporal)
        if not keep.any():
            continue
        d = np.where(keep, d - d[keep].mean(), 0.0)
        total = total + autocorrelation(d, _FAR)
        number = number + autocorrelation(keep.astype(np.float64), _FAR)
    center = tuple(n // 2 for n in total.shape)
    rho = total / np.maximum(number, 1.0)
    if rho[center] <= 0:
        return 0.0, (0.0, 0.0)
    rho = rho / rho[center]
    y, x = np.ogrid[tuple(slice(-c, c + 1) for c in center)]
    # The correlation is noise at lags with few pairs. The largest of many is noise too, if it is
    # within five standard errors.
    far = (np.hypot(y, x) >= _NEAR) & (number > number[center] / 2)
    structure = float(np.abs(rho[far]).max()) if far.any() else 0.0
    # The differences overlap, so their autocorrelation scatters by up to twice that of white noise.
    if structure < (7 if temporal else 10) / np.sqrt(number[center]):
        structure = 0.0
    return structure, (float(rho[center[0] + 1, center[1]]), float(rho[center[0], center[1] + 1]))


def autocorrelation(image, reach):
    """Sum of the products of all pairs of pixels at each lag.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Values. Pixels that do not count are zero.
    reach : int
        Largest lag along each axis, in pixels. It is smaller for smaller images.

    Returns
    -------
    products : ndarray of shape (2 * n_rows + 1, 2 * n_columns + 1)
        Lag zero is in the middle.
    """
    reach = [min(reach, n - 1) for n in image.shape]
    shape = [n + r for n, r in zip(image.shape, reach, strict=True)]  # no wrap-around
    power = np.abs(np.fft.rfft2(image, shape)) ** 2
    products = np.fft.irfft2(power, shape)
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    return products[np.ix_(rows, columns)]


def _length(movie, temporal):
    return min(len(movie), 3) if temporal else 1


def _n_differences(movie, temporal):
    return len(movie) - _length(movie, temporal) + 1


def _spread(count, at_most):
    """Numbers from 0 to count - 1; if they are more than `at_most`, an even selection."""
    return np.unique(np.linspace(0, count - 1, at_most).astype(int))


def _difference(movie, t, temporal):
    """Mean, difference, sums of the squared and cubed weights."""
    if temporal:
        frames = movie[t : t + _length(movie, True)].astype(np.float64)
        weights = _SECOND if len(frames) == 3 else np.array([1.0, -1.0])
        d, mean = (np.tensordot(w, frames, axes=1) for w in (weights, weights**2))
    else:
        weights, d = _PLANE, movie[t].astype(np.float64)
        mean = d
        for axis in (0, 1):
            d = ndimage.correlate1d(d, _SECOND, axis=axis)
            mean = ndimage.correlate1d(mean, _SECOND**2, axis=axis)
    squares = (weights**2).sum()
    return mean / squares, d, squares, (weights**3).sum()


def _whole(movie, mask, t, temporal):
    """Mask of the differences whose pixels are all in the image and not masked."""
    if temporal:
        if mask is None:
            return np.ones(movie.shape[1:], bool)
        return ~mask[t : t + _length(movie, True)].any(axis=0)
    whole = np.zeros(movie.shape[1:], bool)
    whole[1:-1, 1:-1] = True
    if mask is not None:
        whole &= ~ndimage.binary_dilation(mask[t], np.ones((3, 3), bool))
    return whole


def _brightness(movie, t, temporal):
    """Local mean of pixels that are not in the difference."""
    length = _length(movie, temporal)
    if temporal:
        near = [i for i in (t - 2, t - 1, t + length, t + length + 1) if 0 <= i < len(movie)]
        if near:
            return ndimage.uniform_filter(movie[near].mean(axis=0, dtype=np.float64), 3)
    image = movie[t : t + length].mean(axis=0, dtype=np.float64)
    return (49 * ndimage.uniform_filter(image, 7) - 9 * ndimage.uniform_filter(image, 3)) / 40


def _clipped(movie, t, temporal, levels):
    """Whether any pixel of the difference is clipped."""
    frames = movie[t : t + _length(movie, temporal)]
    clipped = ((frames <= levels[0]) | (frames >= levels[1])).any(axis=0)
    return clipped if temporal else ndimage.binary_dilation(clipped, np.ones((3, 3), bool))


def _edges(movie, mask, temporal, count, n_bins):
    """Bin edges of equal numbers of differences, from a few of them."""
    sample = []
    for t in _spread(count, _FEW):
        sample.append(_brightness(movie, t, temporal)[_whole(movie, mask, t, temporal)])
    return np.unique(np.quantile(np.concatenate(sample), np.linspace(0, 1, n_bins + 1)[1:-1]))


def _tiles(shape, n=8):
    """Give each pixel the number of its tile, n along each axis (fewer on small images)."""
    number = [min(n, max(size // 8, 2)) for size in shape]
    rows, columns = (np.arange(size) * k // size for size, k in zip(shape, number, strict=True))
    return rows[:, None] * number[1] + columns, number[0] * number[1]
