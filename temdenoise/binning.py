"""Binning: sums of counts over larger pixels that stay Poisson, and interpolation back."""

from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline

from temdenoise._validation import as_float32, as_real_array

# More electrons than this in a pixel are shared by area. The noise of random sharing would be below
# single precision, and the counts would not fit an int64.
_TOO_MANY_TO_SHARE = 2**31


def _sum_along_rows(counts, edges, rng):
    """Sum rows (axis -2) between fractional `edges`; a row cut by an edge goes to both bins.

    Electrons of integer counts are shared at random (binomial draws), so that independent Poisson
    counts stay independent Poisson counts. Other values are shared by area.
    """
    whole = np.minimum(np.floor(edges).astype(int), counts.shape[-2] - 1)
    share = edges - whole
    cut = counts[..., whole, :]
    if rng is not None:
        p = np.broadcast_to(share[:, None], cut.shape)
        before = rng.binomial(cut.astype(np.int64), np.clip(p, 0, 1)).astype(np.float64)
    else:
        before = cut * share[:, None]
    total = np.cumsum(counts, axis=-2, dtype=np.float64)
    total = np.concatenate([np.zeros_like(total[..., :1, :]), total], axis=-2)
    return np.diff(total[..., whole, :] + before, axis=-2)


def bin_counts(images, factor, random_state=0):
    """Sum counts over square bins whose side may be a fraction of pixels.

    For a whole `factor` this is the plain sum over blocks. Otherwise each electron of a pixel on
    the edge of two bins goes to one of them at random, with probabilities proportional to the area.
    Therefore independent Poisson pixels give independent Poisson bins. Values that are not whole
    numbers are shared by area. Incomplete bins at the lower and right border are filled by the
    mirror image.

    Parameters
    ----------
    images : ndarray, shape (n_images, height, width)
        Counts per pixel.
    factor : float
        Side of a bin in pixels, at least 1.
    random_state : int, default=0
        Seed of the random sharing.

    Returns
    -------
    ndarray, float32, shape (n_images, ceil(height / factor), ceil(width / factor))
        Counts per bin.

    Raises
    ------
    ValueError
        If factor is below 1 or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.binning import bin_counts
    >>> bin_counts(np.ones((1, 4, 6)), 2)[0]
    array([[4., 4., 4.],
           [4., 4., 4.]], dtype=float32)
    >>> bins = bin_counts(np.ones((1, 5, 5)), 2.5)  # no electron is lost
    >>> bins.shape, float(bins.sum())
    ((1, 2, 2), 25.0)
    """
    if not 1 <= factor < np.inf:
        raise ValueError(
            f"A bin cannot be smaller than a pixel: factor must be >= 1 and finite, got {factor}."
        )
    images = as_real_array(images, "images", "bin_counts")
    height, width = images.shape[-2:]
    shape = [int(np.ceil(n / factor - 1e-9)) for n in (height, width)]
    pads = [
        int(np.ceil(m * factor - 1e-9)) - n for m, n in zip(shape, (height, width), strict=True)
    ]
    padding = [(0, 0)] * (images.ndim - 2) + [(0, p) for p in pads]
    images = np.pad(images, padding, mode="symmetric")
    if float(factor).is_integer():
        f = int(factor)
        blocks = images.reshape(*images.shape[:-2], shape[0], f, shape[1], f)
        return blocks.sum(axis=(-3, -1), dtype=np.float64).astype(np.float32)

    countable = images.min() >= 0 and images.max() < _TOO_MANY_TO_SHARE
    countable = countable and bool((images == np.round(images)).all())
    rng = np.random.default_rng(random_state) if countable else None
    for n in shape:  # rows first, then, transposed, columns
        edges = np.arange(n + 1) * factor
        images = np.swapaxes(_sum_along_rows(images, edges, rng), -1, -2)
    return images.astype(np.float32)


def unbin(rates, factor, shape):
    """Interpolate values on bins back to pixels with cubic splines, mirrored at the borders.

    Parameters
    ----------
    rates : ndarray, shape (n_images, rows, columns)
        Values per bin, as means (not sums) over its pixels.
    factor : float
        Side of a bin in pixels.
    shape : tuple of int
        (height, width) of the result.

    Returns
    -------
    ndarray, float32, shape (n_images, height, width)
        Values per pixel; where a bin is a pixel, a copy of the values themselves.

    Raises
    ------
    ValueError
        If there are too few bins for the pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.binning import unbin
    >>> unbin(np.full((1, 3, 3), 7.0), 4, (12, 11)).round(4).max()
    np.float32(7.0)
    """
    rates = as_float32(rates, "rates", "unbin")
    for n, m in zip(rates.shape[-2:], shape, strict=True):
        if m > np.ceil(n * factor - 1e-9):
            raise ValueError(f"{n} bins of {factor:g} pixels cannot fill {m} pixels.")
    if factor == 1:  # splines through every pixel would mix neighbours in the last digits
        return rates[..., : shape[0], : shape[1]].copy()
    rows, columns = (
        _spline_matrix(n, factor, m) for n, m in zip(rates.shape[-2:], shape, strict=True)
    )
    images = np.empty((*rates.shape[:-2], *shape), dtype=np.float32)
    for index in np.ndindex(rates.shape[:-2]):
        mirrored = np.pad(rates[index], _PAD, mode="symmetric")
        coefficients = ndimage.spline_filter(mirrored, order=3, mode="reflect")
        images[index] = (columns @ (rows @ coefficients).T).T
    return images


# Number of mirrored bins on either side. Two of them reach into the image. The others keep the
# filter's errors at the border away from very small images: errors decay by 0.27 per bin.
_PAD = 12


@lru_cache(maxsize=16)
def _spline_matrix(n, factor, m):
    """Sparse matrix (m, n + 2 * _PAD): cubic splines on n padded bins at the centres of m pixels.

    A row holds the four B-splines at a pixel. All frames of a movie use the same matrix.
    """
    centres = (np.arange(m) + 0.5) / factor - 0.5
    knots = np.arange(n + 2 * _PAD + 4) - 2.0  # B-spline j is centred on padded bin j
    return BSpline.design_matrix(centres + _PAD, knots, 3).astype(np.float32)
