"""Electrons that are held out, and two estimates compared by them.

Each electron of counts of the mean λ is held out with the probability s, independently of the
others. The counts b held out and those left are then Poisson and independent of each other. An
estimate f of λ from those left has, in expectation, the squared error ``((s f - b)**2 - b) / s**2``
whatever the method. Most of its scatter is that of b alone and the same for all methods. It is
gone from the difference of two estimates f and g, ``(g - f) (g + f - 2 b / s)``. For the error
itself, frequencies that hold no signal are left out (`temdenoise.metrics._band`).
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from temdenoise._band_limit import find_binning_of_stack
from temdenoise.metrics._band import Band, limit_in_cycles, risk_of_image
from temdenoise.noise import thin_counts

# From so many frames on, the spread over the frames counts in the standard error.
ENOUGH_FRAMES = 20
# Highest frequency of the signal times the side of bins that hold it, both in pixels: that of bins
# of 31 pm and 1.28 1/Angstrom.
_BIN_LIMIT = 0.4


def check_draws(share, n_draws):
    """Refuse a share and a number of draws that need more electrons than there are."""
    if not (isinstance(share, Real) and 0 < share < 1):
        raise ValueError(f"share must be a number between 0 and 1, excluded; got {share!r}.")
    if not isinstance(n_draws, Integral) or isinstance(n_draws, bool) or n_draws < 1:
        raise ValueError(f"n_draws must be a positive whole number, got {n_draws!r}.")
    if n_draws * share > 1 + 1e-9:
        raise ValueError(
            f"n_draws={n_draws} draws of a share of {share:g} are more than all electrons: no "
            f"electron is held out twice, so take n_draws <= {int(1 / share + 1e-9)}, or a smaller "
            "share."
        )


def hold_out(counts, share, n_draws, random_state):
    """Draw electrons to hold out, several times, no electron twice.

    Parameters
    ----------
    counts : ndarray of shape (n_images, height, width)
        Whole counts.
    share : float
        Share of all electrons in each draw.
    n_draws : int
        At most ``1 / share``.
    random_state : None, int or RandomState

    Returns
    -------
    held_out : ndarray of shape (n_draws, n_images, height, width)
        In the dtype of the counts. The draws are independent of each other.

    Raises
    ------
    ValueError
        If the counts are not whole, or the draws need more electrons than there are.
    """
    check_draws(share, n_draws)
    rng = check_random_state(random_state)
    held_out, left = [], counts
    for k in range(n_draws):
        of_left = share / (1 - k * share)
        if of_left > 1 - 1e-9:  # the last draw takes what is left
            part = left
        else:
            part, left = thin_counts(left, of_left, rng)
        held_out.append(part)
    return np.stack(held_out)


def difference_of_image(before, after, held_out, share, trusted=None):
    """Difference of the squared errors of two estimates of one image.

    Parameters
    ----------
    before, after : array-like of shape (n_draws, height, width)
        Estimates of the mean counts, each from the electrons that are not held out in this draw.
    held_out : array-like of the same shape
        Counts held out.
    share : float
        Share of the electrons held out in one draw.
    trusted : None or bool ndarray of shape (height, width)

    Returns
    -------
    difference : float
        Sum over the pixels of ``(after - clean)**2 - (before - clean)**2``, mean of the draws.
    variance : float
        Its variance from the shot noise of what is held out.
    n_pixels : int
    """
    where = np.ones(np.shape(held_out)[1:], dtype=bool) if trusted is None else trusted
    f, g, b = (np.asarray(a)[:, where].astype(np.float64) for a in (before, after, held_out))
    n = len(b)
    change = g - f
    difference = np.sum(change * (f + g - 2 * b / share)) / n
    # Given the change, b has the variance `share * clean`, of which b is an unbiased estimate.
    variance = 4 * np.sum(change**2 * b) / share**2
    if n > 1:
        # The electrons of one draw are part of what the other draws denoise. This correlates the
        # draws, at most by as much as the change differs between them. Without it ten draws look
        # more certain than they are by up to a factor of 1.4.
        rate = b.mean(axis=0) / share
        variance += 4 * n * np.sum((change - change.mean(axis=0)) ** 2 * rate) / share
    return float(difference), float(variance / n**2), int(b[0].size)


def mean_of_images(images):
    """Mean per pixel of what was summed over the pixels of images, and its standard error.

    Parameters
    ----------
    images : sequence of (float, float, int)
        What `difference_of_image` or `temdenoise.metrics._band.risk_of_image` returned for each
        image.

    Returns
    -------
    mean, standard_error : float
        The standard error is from the shot noise. Of 20 images or more it is from the spread over
        the images if this is larger, as it is where the counts are not quite Poisson or the images
        differ. (The spread alone is too small for several draws: the errors of the estimates that
        are tested go against the noise of the test.)

    Raises
    ------
    ValueError
        If no pixel is left.
    """
    differences, variances, pixels = (np.array(column) for column in zip(*images, strict=True))
    total, n = pixels.sum(), len(pixels)
    if total == 0:
        raise ValueError("mask hides every pixel of the images: nothing is left to compare.")
    mean = differences.sum() / total
    variance = variances.sum()
    if n >= ENOUGH_FRAMES:
        variance = max(variance, n / (n - 1) * np.sum((differences - mean * pixels) ** 2))
    return float(mean), float(np.sqrt(variance) / total)


def mean_risk(rates, held_out, share, limit, trusted=None):
    """Mean squared error per pixel of estimates of a stack, and its standard error.

    Parameters
    ----------
    rates, held_out, share
        As for `difference_of_image`, of stacks: (n_draws, n_images, height, width).
    limit : float or None
        Highest frequency of the signal, from `find_limit`.
    trusted : None or bool ndarray of shape (n_images, height, width)

    Returns
    -------
    risk, standard_error : float
    """
    shape = held_out.shape[2:]
    band = Band(shape, limit)
    images = []
    for k in range(held_out.shape[1]):
        if trusted is not None:
            band = Band(shape, limit, trusted[k])
        images.append(risk_of_image(rates[:, k], held_out[:, k], share, band))
    return mean_of_images(images)


def find_limit(binning, images, pixel_size):
    """Highest frequency of the signal, in cycles per pixel, or None where it may be any.

    Parameters
    ----------
    binning : int or "auto"
        Side in pixels of bins that hold the signal; 1 leaves out nothing.
    images : ndarray of shape (n_images, height, width)
        Counts.
    pixel_size : float or None
        In pm.

    Returns
    -------
    limit : float or None

    Raises
    ------
    ValueError
        If `binning` is neither, or larger than the images.
    """
    largest = min(images.shape[1:])
    if isinstance(binning, str) and binning == "auto":
        if pixel_size is not None:
            return limit_in_cycles(pixel_size)
        binning = min(find_binning_of_stack(images), largest)
    whole = isinstance(binning, Integral) and not isinstance(binning, bool)
    if not whole or not 1 <= binning <= largest:
        raise ValueError(
            f'binning must be "auto" or a whole number from 1 to {largest}, the side of the '
            f"images; got {binning!r}."
        )
    return _BIN_LIMIT / binning if binning > 1 else None
