"""Electrons that are held out, and two estimates compared by them.

Each electron of counts of the mean λ is held out with the probability s, independently of the
others. The counts b held out and those left are then Poisson and independent of each other. An
estimate f of λ from those left has, in expectation, the squared error ``((s f - b)**2 - b) / s**2``
whatever the method. Most of its scatter is that of b alone and the same for all methods. It is
gone from the difference of two estimates f and g, ``(g - f) (g + f - 2 b / s)``. On bins of k x k
pixels it is k times smaller.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from temdenoise._band_limit import find_binning_of_stack
from temdenoise.binning import unbin
from temdenoise.noise import thin_counts

# From so many frames on, the spread over the frames counts in the standard error.
ENOUGH_FRAMES = 20


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


def mean_difference(images):
    """Mean difference per pixel, and its standard error.

    Parameters
    ----------
    images : sequence of (float, float, int)
        What `difference_of_image` returned for each image.

    Returns
    -------
    difference, standard_error : float
        The standard error is from the shot noise. Of 20 images or more it is from the spread over
        the images if this is larger, as it is where the counts are not quite Poisson or the images
        differ. (The spread alone is too small for several draws: the errors of the estimates that
        are tested go against the noise of the test.)
    """
    differences, variances, pixels = (np.array(column) for column in zip(*images, strict=True))
    total, n = pixels.sum(), len(pixels)
    mean = differences.sum() / total
    variance = variances.sum()
    if n >= ENOUGH_FRAMES:
        variance = max(variance, n / (n - 1) * np.sum((differences - mean * pixels) ** 2))
    return float(mean), float(np.sqrt(variance) / total)


def find_side(binning, images, pixel_size):
    """Side in pixels of the bins to measure a risk on.

    Parameters
    ----------
    binning : int or "auto"
    images : ndarray of shape (n_images, height, width)
        Counts.
    pixel_size : float or None
        In pm.

    Returns
    -------
    side : int

    Raises
    ------
    ValueError
        If `binning` is neither, or larger than the images.
    """
    largest = min(images.shape[1:])
    if isinstance(binning, str) and binning == "auto":
        return min(find_binning_of_stack(images, pixel_size), largest)
    whole = isinstance(binning, Integral) and not isinstance(binning, bool)
    if not whole or not 1 <= binning <= largest:
        raise ValueError(
            f'binning must be "auto" or a whole number from 1 to {largest}, the side of the '
            f"images; got {binning!r}."
        )
    return int(binning)


def risk_of_bins(rates, held_out, share, side, mask=None):
    """Estimate the squared error of estimates, bin by bin.

    Parameters
    ----------
    rates, held_out, share
        As for `difference_of_image`, of stacks: (n_draws, n_images, height, width).
    side : int
        Side of a bin in pixels. Incomplete bins at the lower and right border are left out.
    mask : None or bool ndarray of shape (n_images, height, width)

    Returns
    -------
    risks : ndarray of shape (n_images, rows, columns)
        Mean squared error per pixel, the mean of all draws.
    whole : bool ndarray of the same shape
        False for bins with masked pixels, whose risks mean nothing.

    Raises
    ------
    ValueError
        If no bin is free of masked pixels.
    """
    height, width = (n - n % side for n in rates.shape[-2:])
    area = side**2

    def sums(images):
        blocks = images.reshape(len(images), height // side, side, width // side, side)
        return blocks.sum(axis=(2, 4), dtype=np.float64)

    rates, held_out = (images[..., :height, :width] for images in (rates, held_out))
    whole = np.ones((rates.shape[1], height // side, width // side), dtype=bool)
    if mask is not None:
        mask = mask[:, :height, :width]
        rates = np.where(mask, rates.mean(where=~mask), rates)
        whole = sums(mask) == 0
    if not whole.any():
        raise ValueError(
            f"No bin of {side} x {side} pixels is free of masked pixels: give a smaller binning."
        )
    risks = np.zeros(whole.shape)
    for rate, part in zip(rates, held_out, strict=True):
        # The error of a smooth curve through the means of the bins, on bins, and what the estimate
        # adds to it, on pixels.
        smooth = rate if side == 1 else unbin(sums(rate) / area, side, (height, width))
        found = sums(part)
        risks += ((share * sums(smooth) - found) ** 2 - found) / (share * area) ** 2
        if side > 1:
            rate = rate.astype(np.float64)
            risks += sums((rate - smooth) * (rate + smooth - 2 * part / share)) / area
    return risks / len(rates), whole


def mean_risk(risks, whole):
    """Mean risk, and its standard error: from the spread over the images if there are enough.

    Of fewer images it is from the spread over the bins, which are independent of each other given
    the estimates.
    """
    values = risks[whole]
    frames = [risk[where].mean() for risk, where in zip(risks, whole, strict=True) if where.any()]
    spread = frames if len(frames) >= ENOUGH_FRAMES else values
    standard_error = np.std(spread) / np.sqrt(max(len(spread) - 1, 1))
    return float(values.mean()), float(standard_error)
