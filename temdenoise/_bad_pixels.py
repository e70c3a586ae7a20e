"""Pixels of the detector that count far too much, or nothing, in all frames."""

import warnings

import numpy as np
from scipy import ndimage

# A hot pixel counts more than this many standard deviations above its surroundings, and more than
# this many times as much: an atom column of two pixels' width is less.
_SIGMAS, _TIMES = 10.0, 3.0
# Least counts of the surroundings that a standard deviation is taken of.
_LEAST = 4.0
# A dead pixel counts less than this share of its surroundings, of so many counts at least.
_SHARE, _ENOUGH = 0.1, 30.0
# Pixels that a message names.
_NAMED = 3


def bad_pixels(X, mask=None):
    """Find hot and dead pixels in the sum of all frames.

    A pixel's surroundings are the median of 5 x 5 pixels, and its neighbours above, below, left and
    right: the second lowest of them, so that pixels of a hot row are found too. Of a dead pixel it
    is the second highest.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Counts per pixel, with masked pixels filled.
    mask : None or bool ndarray of the same shape
        True marks pixels not to trust. What is masked in any frame is not reported.

    Returns
    -------
    hot, dead : bool ndarrays of shape (height, width)

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._bad_pixels import bad_pixels
    >>> X = np.random.default_rng(0).poisson(9.0, size=(20, 16, 16))
    >>> X[:, 3, 4], X[:, 10] = 90, 0
    >>> hot, dead = bad_pixels(X)
    >>> np.argwhere(hot).tolist(), bool(dead[10].all()), int(dead.sum())
    ([[3, 4]], True, 16)
    """
    total = X.sum(axis=0, dtype=np.float64)
    median = ndimage.median_filter(total, size=5, mode="mirror")
    around = np.pad(total, 1, mode="symmetric" if min(total.shape) < 2 else "reflect")
    inside = slice(1, -1)
    neighbours = np.sort(
        [around[:-2, inside], around[2:, inside], around[inside, :-2], around[inside, 2:]], axis=0
    )
    most, least = np.maximum(neighbours[1], median), np.minimum(neighbours[2], median)
    gain = _gain(total, median)
    noise = np.sqrt(gain * np.maximum(most, gain * _LEAST))
    hot = total > np.maximum(_TIMES * most, most + _SIGMAS * noise)
    dead = (least >= gain * _ENOUGH) & (total < _SHARE * least)
    if mask is not None:
        trusted = ~mask.any(axis=0)
        hot, dead = hot & trusted, dead & trusted
    return hot, dead


def _gain(total, median):
    """Variance over mean of the values, 1 at least: they may be counts times a gain."""
    scatter = 1.4826 * np.median(np.abs(total - median))
    return max(1.0, scatter**2 / max(total.mean(), 1e-12))


def warn_of_bad_pixels(X, mask, *, stacklevel):
    """Name hot and dead pixels, and the mend.

    Parameters
    ----------
    X, mask
        As for `bad_pixels`.
    stacklevel : int
        Of the warning, from the caller.

    Warns
    -----
    UserWarning
        If there are any.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._bad_pixels import warn_of_bad_pixels
    >>> warn_of_bad_pixels(np.ones((3, 8, 8)), None, stacklevel=2)
    """
    found = bad_pixels(X, mask)
    for which, what, does in zip(found, ("hot", "dead"), ("far more", "far less"), strict=True):
        places = np.argwhere(which).tolist()
        if places:
            named = ", ".join(f"({y}, {x})" for y, x in places[:_NAMED])
            more = f" ... {len(places)} in all" if len(places) > _NAMED else ""
            warnings.warn(
                f"X seems to have {what} pixels, which count {does} than their surroundings in the "
                f"sum of the frames: (row, column) {named}{more}. Give mask= with True there.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
