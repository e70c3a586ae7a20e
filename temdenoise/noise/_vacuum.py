"""Tests of the noise where the image is flat."""

import numpy as np
from scipy import ndimage, stats

from temdenoise.noise._differences import autocorrelation

# A region with fewer trusted pixels says nothing about the noise.
_MIN_PIXELS = 64


def find_vacuum(movie, mask):
    """Find the flattest rectangle, a quarter of the image's sides long.

    Parameters
    ----------
    movie : ndarray of shape (n_images, height, width), dtype float32
        Values as stored.
    mask : None or bool ndarray of the same shape
        Pixels not to use; the rectangle avoids them.

    Returns
    -------
    vacuum : bool ndarray of shape (height, width)
        True in the rectangle. If the mask leaves too little of it, True everywhere except in the
        mask.
    """
    image = movie.mean(axis=0, dtype=np.float64)
    hidden = None if mask is None else mask.any(axis=0)
    # A slight blur of the mean image keeps the structure and removes the noise. The ratio of the
    # two has no unit, and it does not prefer dark regions, where shot noise is smaller.
    smooth = ndimage.gaussian_filter(image, 2)
    size = [min(max(n // 4, 8), n) for n in image.shape]
    structure = ndimage.uniform_filter(smooth**2, size) - ndimage.uniform_filter(smooth, size) ** 2
    noise = ndimage.uniform_filter((image - smooth) ** 2, size)
    ratio = structure / np.maximum(noise, np.finfo(float).tiny)
    # Windows do not count if they reach over the border or over the (blurred) mask.
    bad = (
        np.zeros(image.shape, bool) if hidden is None else ndimage.binary_dilation(hidden, None, 6)
    )
    bad = np.pad(bad, 1, constant_values=True)
    bad = ndimage.maximum_filter(bad, size)[1:-1, 1:-1]
    if bad.all():  # no window avoids it: take the cleanest
        bad = np.zeros_like(bad)
    row, column = np.unravel_index(np.where(bad, np.inf, ratio).argmin(), ratio.shape)
    vacuum = np.zeros(image.shape, bool)
    top, left = (
        int(np.clip(center - length // 2, 0, n - length))
        for center, length, n in zip((row, column), size, image.shape, strict=True)
    )
    vacuum[top : top + size[0], left : left + size[1]] = True
    if hidden is None:
        return vacuum
    vacuum &= ~hidden
    return vacuum if vacuum.sum() >= _MIN_PIXELS else ~hidden


def check_vacuum(vacuum, movie, mask):
    """Convert the argument `vacuum` to a mask of trusted pixels, or None."""
    shape = movie.shape[1:]
    if isinstance(vacuum, str):
        if vacuum != "auto":
            raise ValueError(f"vacuum must be 'auto', None, a mask or slices; got {vacuum!r}.")
        return find_vacuum(movie, mask)
    if vacuum is None:
        return None
    if _are_slices(vacuum):
        region = np.zeros(shape, bool)
        region[vacuum] = True
        what = f"vacuum={vacuum!r}"
    else:
        region, what = np.asarray(vacuum), "vacuum"
        if region.dtype != np.bool_ or region.shape != shape:
            raise ValueError(
                f"vacuum must be 'auto', None, two slices as np.s_[0:100, 0:100], or a mask of "
                f"dtype bool and shape {shape}, True in vacuum; got {region.dtype} of shape "
                f"{region.shape}."
            )
    if mask is not None:
        region = region & ~mask.any(axis=0)
    if region.sum() < _MIN_PIXELS:
        raise ValueError(
            f"{what} holds {int(region.sum())} trusted pixels of images of {shape}; at least "
            f"{_MIN_PIXELS} are needed to say anything about the noise."
        )
    return region


def dispersion_test(movie, region):
    """Test whether neighbouring counts scatter about their mean as Poisson counts do.

    The test takes the difference of the two diagonals in each square of 2 x 2 pixels. An even field
    and a slope cancel in it. The index is the mean squared difference over the mean sum of counts
    in a square. Given the sum n of a square, each Poisson count falls on either diagonal with equal
    probability, so the squared difference has the mean n and the variance 2 n (n - 1), at any dose.

    Parameters
    ----------
    movie : ndarray of shape (n_images, height, width)
        Counts, not negative.
    region : bool ndarray of shape (height, width)
        Where to test.

    Returns
    -------
    index, index_se, p_value : floats
        Variance over mean, its standard error for Poisson counts, and the two-sided p-value. NaN
        if there is no count, or no whole square.
    """
    height, width = (n // 2 * 2 for n in region.shape)
    whole = region[:height, :width].reshape(height // 2, 2, width // 2, 2).all(axis=(1, 3))
    squares = total = variance = 0.0
    for image in movie:
        c = image[:height, :width].astype(np.float64)
        one = (c[::2, ::2] + c[1::2, 1::2])[whole]
        other = (c[::2, 1::2] + c[1::2, ::2])[whole]
        n = one + other
        squares += ((one - other) ** 2).sum()
        total += n.sum()
        variance += 2 * (n * np.maximum(n - 1, 0)).sum()
    if not variance > 0:
        return np.nan, np.nan, np.nan
    index, error = squares / total, np.sqrt(variance) / total
    return float(index), float(error), float(2 * stats.norm.sf(abs(index - 1) / error))


def vacuum_correlation(movie, region, reach=2):
    """Correlation of the noise of neighbouring pixels, from differences of consecutive frames.

    Parameters
    ----------
    movie : ndarray of shape (n_images, height, width)
        At least two frames.
    region : bool ndarray of shape (height, width)
        Where to measure. A region in which nothing moves is best.
    reach : int, default=2
        Largest lag, in pixels.

    Returns
    -------
    correlation : ndarray of shape (2 * reach + 1, 2 * reach + 1)
        Correlation coefficient by lag (rows, columns), with a one in the middle.
    error : float
        Standard error of the coefficient of uncorrelated pixels.
    """
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, total = region[box], 0.0
    for t in range(len(movie) - 1):
        d = movie[t + 1][box].astype(np.float64) - movie[t][box]
        total = total + autocorrelation(np.where(inside, d - d[inside].mean(), 0.0), reach)
    pairs = autocorrelation(inside.astype(np.float64), reach) * (len(movie) - 1)
    rho = total / np.maximum(pairs, 1.0)
    middle = tuple(n // 2 for n in rho.shape)
    variance = rho[middle]
    rho = rho / variance if variance > 0 else np.zeros_like(rho)
    rho[middle] = 1.0
    # Neighbouring differences share a frame, so they are not independent of each other.
    return rho, float(1 / np.sqrt(inside.sum() * max(len(movie) - 1, 1) / 1.5))


def separable_correlation(along, n_pixels, reach=2):
    """Correlation of the noise, from the correlation of second differences of pixels.

    Mixed second differences of white noise have the correlation -2/3 at one pixel along an axis.
    If the noise of direct neighbours has the correlation rho, theirs is
    ``(-2/3 + 7/6 rho) / (1 - 4/3 rho)``. This is solved for rho.

    Parameters
    ----------
    along : tuple of two floats
        Correlation of the differences at one pixel along columns and along rows.
    n_pixels : int
        Number of pixels from which it was measured.
    reach : int, default=2
        Largest lag of the result, in pixels.

    Returns
    -------
    correlation : ndarray of shape (2 * reach + 1, 2 * reach + 1)
        As from `vacuum_correlation`, zero beyond direct neighbours.
    error : float
        Standard error of the correlation of uncorrelated pixels.
    factor : float
        Share of the variance that is in the differences. It differs from one only if a correlation
        exceeds three errors.
    """
    error = 3 / np.sqrt(n_pixels)  # larger than 1 / sqrt(n): the differences are correlated
    rho = [float(np.clip((c + 2 / 3) / (7 / 6 + 4 / 3 * c), -0.5, 0.5)) for c in along]
    profile = []
    for value in rho:
        line = np.zeros(2 * reach + 1)
        line[reach - 1 : reach + 2] = value, 1.0, value
        profile.append(line)
    seen = [1 - 4 / 3 * value for value in rho if abs(value) > 3 * error]
    return np.outer(*profile), float(error), float(np.prod(seen))


def histogram(movie, region, step, n_bins=60):
    """Count the values in a region.

    Parameters
    ----------
    movie : ndarray of shape (n_images, height, width)
        Values as stored.
    region : bool ndarray of shape (height, width)
        Where to count.
    step : float or None
        Spacing of the values, if they have one. Each bin then holds the same number of values.
    n_bins : int, default=60
        Approximate largest number of bins.

    Returns
    -------
    edges : ndarray of shape (n + 1,)
        Bin edges, in stored units. They lie between values.
    frequencies : ndarray of shape (n,), dtype int64
        Number of pixels in each bin.
    """
    low = float(min(image[region].min() for image in movie))
    high = float(max(image[region].max() for image in movie))
    if step is None:
        edges = np.linspace(low, high if high > low else low + 1.0, n_bins + 1)
    else:
        width = step * max(int(np.ceil(((high - low) / step + 1) / n_bins)), 1)
        n = int((high - low) // width) + 1
        edges = low - step / 2 + width * np.arange(n + 1)
    frequencies = sum(np.histogram(image[region], edges)[0] for image in movie)
    return edges, frequencies


def value_step(values):
    """Spacing of the values, if all are a whole number of steps apart; else None.

    Parameters
    ----------
    values : ndarray
        Sorted, distinct values.

    Returns
    -------
    step : float or None
        In stored units.
    """
    if len(values) < 2:
        return None
    if (np.rint(values) == values).all() and np.abs(values).max() < 2**52:
        return float(np.gcd.reduce(np.diff(values).astype(np.int64)))
    gaps = np.diff(values.astype(np.float64))
    step = gaps.min()
    # Values in float32 have rounding errors. Gaps of that size are not a spacing.
    rounding = 4 * np.finfo(np.float32).eps * np.abs(values).max()
    if step < 20 * rounding:
        return None
    steps = (values - values[0]) / step
    whole = np.rint(steps)
    if np.abs(steps - whole).max() > 0.05 or len(values) < 3:
        return None
    return float((values[-1] - values[0]) / whole[-1])


def _are_slices(vacuum):
    parts = vacuum if isinstance(vacuum, tuple) else (vacuum,)
    return len(parts) <= 2 and all(isinstance(p, slice) or p is Ellipsis for p in parts)
