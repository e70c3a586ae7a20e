"""Whether a constant predicts electrons better than an estimate does.

With the estimate f of the mean counts c and the mean k of the image, the squared error of f less
that of k is the sum of ``(f - k)**2 - 2 (f - k) (c - k)``. The first term is known from the
estimate at hand. The second, what f has in common with the truth, takes electrons that f has not
seen. So a fifth of them is held out in a part of the images, and the rest is denoised once more.
"""

import numpy as np

from temdenoise.noise import thin_counts

# Share of the electrons held out.
_SHARE = 0.2
# Standard errors that make a difference clear: a chance of 1 in 700 for an estimate as good as the
# constant.
_CLEAR = 3.0
# Sides of what is looked at, in pixels: a small part of one image, and if that does not tell a
# larger part of one image in ten; a part of a block of frames where neighbours are used too.
_SMALL, _LARGE, _OF_BLOCK = 160, 512, 256
# Most images that are looked at.
_MOST = 32
# Fewer pixels than these cannot tell.
_LEAST = 96**2
_SEED = 852_031_779


class WorseThanConstantWarning(UserWarning):
    """A constant predicts the electrons of the images better than the estimate does.

    The structure that the estimate shows is further from the truth than no structure at all. Where
    electrons are few for the contrast of the specimen this happens to every method. What helps:
    more electrons (sums of frames), `SBDDenoiser.adapt`, or a stronger low-pass filter.
    """


def worse_than_constant(denoise, counts, denoised, mask=None, context=0):
    """By how much a constant predicts electrons better than an estimate, if it clearly does.

    Parameters
    ----------
    denoise : callable
        Maps counts (n_images, height, width) and their mask, or None, to estimates.
    counts : ndarray of shape (n_images, height, width)
        Counts per pixel.
    denoised : ndarray of the same shape
        Their estimate.
    mask : None or bool ndarray of the same shape
    context : int, default=0
        Number of frames on either side on which an estimate depends.

    Returns
    -------
    excess : (float, float) or None
        Squared error of the estimate less that of the mean of each image, in (counts per
        pixel)**2, and its standard error, in the part that was looked at. None if the constant is
        not clearly better, or the values are not whole counts.
    """
    if counts.size < _LEAST:
        return None
    if context:
        n = min(len(counts), context + 1)
        first = (len(counts) - n) // 2
        part = _Part(counts, None, mask, slice(first, first + n), _OF_BLOCK, denoise)
        return _verdict([part], denoise)
    n = int(np.clip(len(counts) // 10, 1, _MOST))
    images = np.linspace(0, len(counts) - 1, n + 2)[1:-1].astype(int)
    if max(counts.shape[1:]) > _SMALL:
        middle = images[n // 2]
        small = _Part(counts, denoised, mask, slice(middle, middle + 1), _SMALL)
        if small.whole and _is_fine(*small.excess(denoise)):
            return None
    parts = [_Part(counts, denoised, mask, slice(k, k + 1), _LARGE) for k in images]
    return _verdict(parts, denoise)


class _Part:
    """The middle of some images, and how their estimate differs from a constant."""

    def __init__(self, counts, denoised, mask, images, side, denoise=None):
        inside = tuple(
            slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) for n in counts.shape[1:]
        )
        part = (images, *inside)
        self.hidden = None if mask is None else mask[part]
        self.where = np.ones(counts[part].shape, dtype=bool)
        if mask is not None:
            self.where = ~self.hidden
        self.counts = np.where(self.where, counts[part], 0)
        self.whole = bool((self.counts == np.rint(self.counts)).all())
        if self.whole:
            level = self._level(self.counts)
            estimate = denoise(self.counts, self.hidden) if denoised is None else denoised[part]
            change = np.where(self.where, estimate - level, 0).astype(np.float64)
            self.power = np.sum(change**2)
            # no electron in an image does not mean that there could be none
            self.rate = self._level(self.counts, more=1)
            # of an estimate that has nothing in common with the truth
            self.variance = 4 * np.sum(change**2 * self.rate) / _SHARE

    def _level(self, counts, more=0):
        """Mean counts of each image, with so many more, (n_images, 1, 1)."""
        n = np.maximum(self.where.sum(axis=(1, 2), keepdims=True), 1)
        return (counts.sum(axis=(1, 2), keepdims=True, dtype=np.float64) + more) / n

    def excess(self, denoise):
        """Squared error less that of the constant, and its variance, summed over the pixels."""
        held_out, kept = thin_counts(self.counts, _SHARE, np.random.RandomState(_SEED))
        level = self._level(kept)
        thinned = np.where(self.where, denoise(kept, self.hidden) - level, 0) / (1 - _SHARE)
        rate = held_out / np.float64(_SHARE)
        common = np.sum(thinned * (rate - level / (1 - _SHARE)))
        # From fewer electrons a method finds less of the truth, but at least the same share of what
        # it finds from all of them. So the estimate is given the benefit of the doubt.
        factor = 2 / (1 - _SHARE)
        squares = thinned.astype(np.float64) ** 2
        noise = max(np.sum(squares * rate), np.sum(squares * self.rate))
        return self.power - factor * common, factor**2 * noise / _SHARE


def _is_fine(excess, variance):
    return excess < -_CLEAR * np.sqrt(variance)


def _verdict(parts, denoise):
    """Sum over parts, until it is clear that the estimate is the better one."""
    parts = [part for part in parts if part.whole]
    if sum(part.power for part in parts) <= _CLEAR * np.sqrt(sum(part.variance for part in parts)):
        return None  # it could not be clear
    excess = variance = 0.0
    for part in parts:
        one, its_variance = part.excess(denoise)
        excess, variance = excess + one, variance + its_variance
        if _is_fine(excess, variance):
            return None
    if excess <= _CLEAR * np.sqrt(variance):
        return None
    n = sum(np.count_nonzero(part.where) for part in parts)
    return float(excess / n), float(np.sqrt(variance) / n)
