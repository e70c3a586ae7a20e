"""How much values scatter, in variances over means, whatever the image is.

Counts have the variance of their mean. Three measures of the noise are taken: from squares of
2 x 2 pixels, from the spectrum, and from differences of frames. An image can only add to each of
them. So counts scatter too little if any of them is low, and too much if all of them are high.
"""

from typing import NamedTuple

import numpy as np

# Side of blocks in px.
_BLOCK = 16
# Parts of the squares, from dark to bright, that are tested each.
_PARTS = 4
# Frequencies, as the larger of |y| and |x| in cycles per pixel, at which an image has least power.
_HIGH, _LOWER = 0.42, (0.25, 0.33)
# Share of the frequencies, and of the blocks, in which an image is weakest.
_QUIET = 0.3
# The spectrum of smaller images, or of fewer electrons, is not looked at.
_LEAST_SIDE, _LEAST_COUNTS = 32, 200
# Share of the mean below which the middle of an image, which the window of the spectrum shows, is
# too dark to stand for all of it.
_DARK = 0.3


class Scatter(NamedTuple):
    """Variance over mean. Infinite, or NaN, where it cannot be measured."""

    least: float  # of the dark, middle and bright parts, and of the spectrum: the lowest
    least_error: float  # its standard error, if the values are counts
    most: float  # the lowest of those that an image can only raise
    most_error: float
    loss: float  # share of the noise's power that is missing at the highest frequencies


def measure_scatter(frames, trusted, pairs):
    """Measure the scatter.

    Parameters
    ----------
    frames : ndarray of shape (n, height, width), dtype float64
        Values, not negative.
    trusted : None or bool ndarray of the same shape
    pairs : list of (int, int)
        Frames that follow each other.

    Returns
    -------
    scatter : Scatter
    """
    squares = [_squares(frame, _of(trusted, k)) for k, frame in enumerate(frames)]
    lows = list(_parts(squares))
    lows.append(_low_blocks(squares))
    highs = [_quietest(squares)]
    loss = np.nan
    spectra = [_spectrum(frame, _of(trusted, k)) for k, frame in enumerate(frames)]
    spectra = [s for s in spectra if s is not None]
    if spectra:
        high, lower = (np.concatenate([s[k] for s in spectra]) for k in (0, 1))
        ratio, error = _of_spectrum(high, np.mean([s[2] for s in spectra]))
        lows.append((ratio, error, 0.15))
        highs.append((ratio, error))
        loss = 1 - ratio / max(_of_spectrum(lower)[0], 1e-12)
    if pairs:
        differences = [_pair(frames[a], frames[b], _both(trusted, a, b)) for a, b in pairs]
        highs.append(_quietest([d for d in differences if d is not None]))
    lows = [low for low in lows if np.isfinite(low[0])]
    highs = [high for high in highs if np.isfinite(high[0])]
    # The spectrum is less exact at few electrons than its error says, so more is asked of it.
    low = min(lows, key=lambda low: low[0] + 5.5 * low[1] + low[2], default=(np.nan, np.nan, 0))
    high = min(highs, default=(np.nan, np.nan))
    return Scatter(low[0], low[1], high[0], high[1], float(loss))


def _of(trusted, k):
    return None if trusted is None else trusted[k]


def _both(trusted, a, b):
    return None if trusted is None else trusted[a] & trusted[b]


def _squares(frame, trusted):
    """Squared difference of the diagonals, and sum, of each square of 2 x 2 pixels.

    An even field and a slope cancel in the difference. Given the sum n, the square has the mean n
    and the variance 2 n (n - 1) if the values are counts. So squares may be chosen by their sums.
    """
    height, width = (m // 2 * 2 for m in frame.shape)
    c = frame[:height, :width]
    one, other = c[::2, ::2] + c[1::2, 1::2], c[::2, 1::2] + c[1::2, ::2]
    total = one + other
    known = np.ones(total.shape, bool)
    if trusted is not None:
        t = trusted[:height, :width]
        known = t[::2, ::2] & t[1::2, 1::2] & t[::2, 1::2] & t[1::2, ::2]
    return (one - other) ** 2, total, known & ~_filled(c)


def _filled(c):
    """Squares inside of areas of one value that is not zero: a border that was filled."""
    low = np.minimum(np.minimum(c[::2, ::2], c[1::2, 1::2]), np.minimum(c[::2, 1::2], c[1::2, ::2]))
    high = np.maximum(
        np.maximum(c[::2, ::2], c[1::2, 1::2]), np.maximum(c[::2, 1::2], c[1::2, ::2])
    )
    n = _BLOCK // 2
    rows, columns = (m // n for m in low.shape)
    filled = np.zeros(low.shape, bool)
    if rows and columns:
        blocks = (rows, n, columns, n)
        low = low[: rows * n, : columns * n].reshape(blocks).min(axis=(1, 3))
        high = high[: rows * n, : columns * n].reshape(blocks).max(axis=(1, 3))
        even = np.kron((low == high) & (low > 0), np.ones((n, n), bool))
        filled[: rows * n, : columns * n] = even
    return filled


def _pair(a, b, trusted):
    """As `_squares`, of the two values that a pixel has in two frames."""
    known = np.ones(a.shape, bool) if trusted is None else trusted
    total = a + b
    everything = float(np.sum(total, where=known))
    if not everything > 0:
        return None
    share = float(np.sum(a, where=known)) / everything  # the frames may differ in dose
    if not 0.1 < share < 0.9:
        return None
    return (a - share * total) ** 2 / (share * (1 - share)), total, known


def _parts(squares):
    """Variance over mean of the squares, by the brightness of the block that they are in."""
    blocks = [np.stack(_in_blocks(*one), axis=-1).reshape(-1, 4) for one in squares]
    blocks = np.concatenate(blocks)
    blocks = blocks[blocks[:, 1] > 0]
    if not len(blocks):
        return
    brightness = blocks[:, 1] / blocks[:, 3]
    edges = np.quantile(brightness, np.linspace(0, 1, _PARTS + 1)[1:-1])
    part = np.searchsorted(edges, brightness)
    for k in range(_PARTS):
        d, total, variance, _ = blocks[part == k].sum(axis=0)
        if total > 0:
            yield d / total, np.sqrt(max(variance, total)) / total, 0.0
    d, total, variance, _ = blocks.sum(axis=0)
    yield d / total, np.sqrt(max(variance, total)) / total, 0.0


def _low_blocks(squares):
    """Variance over mean that three in ten blocks do not reach, over that of counts.

    Compression and filters that adapt to the image remove noise from some blocks only.
    """
    d, total = (
        np.concatenate([a[k].ravel() for a in map(lambda s: _in_blocks(*s), squares)])
        for k in (0, 1)
    )
    lit = total > _LEAST_COUNTS
    if lit.sum() < 32:
        return np.nan, np.nan, 0.0
    # The variance of the (_BLOCK / 2)**2 squares of a block scatters.
    spread = np.sqrt(2) / (_BLOCK / 2)
    usual = 1 - 0.55 * spread
    ratio = float(np.quantile(d[lit] / total[lit], _QUIET)) / usual
    return ratio, float(1.5 * spread / np.sqrt(lit.sum())), 0.1


def _quietest(differences):
    """Variance over mean of the blocks in which it is least, and its standard error."""
    ratios, total, events, n = [], 0.0, 0.0, 0
    for one in differences:
        d, sums, _, number = (a.ravel() for a in _in_blocks(*one))
        lit = sums > 0
        ratios.append(d[lit] / sums[lit])
        total, n = total + sums.sum(), n + number.sum()
        events += np.sum(one[1] ** 2, where=one[2])
    if not total > 0:
        return np.nan, np.nan
    ratio = float(np.quantile(np.concatenate(ratios), _QUIET))
    # A variance scatters by its number of differences, and by that of electrons of this gain.
    return ratio, float(ratio * np.sqrt(2 * events + ratio * total) / total)


def _in_blocks(d, total, known):
    """Sum squares, totals, the variance that counts would have, and the number over blocks."""
    n = min(_BLOCK // 2, *d.shape)
    rows, columns = (max(m // n, 1) for m in d.shape)
    area = np.s_[: rows * n, : columns * n]
    variance = 2 * total * np.maximum(total - 1, 0)
    return tuple(
        np.where(known, a, 0.0)[area].reshape(rows, n, columns, n).sum(axis=(1, 3))
        for a in (d, total, variance, np.ones_like(d))
    )


def _spectrum(frame, trusted):
    """Power over that of counts, at the highest frequencies and at lower ones; the lit share."""
    if min(frame.shape) < _LEAST_SIDE or frame.min() == frame.max():
        return None
    window = np.hanning(frame.shape[0] + 2)[1:-1, None] * np.hanning(frame.shape[1] + 2)[1:-1]
    if trusted is not None:
        if trusted.mean() < 0.5:
            return None
        frame = np.where(trusted, frame, np.mean(frame, where=trusted))
        window = np.where(trusted, window, 0)
    if np.sum(window**2 * frame) < _DARK * np.sum(window**2) * frame.mean():
        window = (window > 0) * 1.0  # the middle is a hole
    total = float(np.sum(window**2 * frame))
    mean = float(np.sum(window * frame) / np.sum(window))
    if total < _LEAST_COUNTS / 4:
        return None
    spectrum = np.fft.rfft2((frame - mean) * window)
    power = (spectrum.real**2 + spectrum.imag**2) / total
    y = np.abs(np.fft.fftfreq(frame.shape[0]))[:, None]
    f = np.maximum(y, np.fft.rfftfreq(frame.shape[1]))
    return power[f >= _HIGH], power[(f >= _LOWER[0]) & (f <= _LOWER[1])], _lit(frame)


def _lit(frame):
    """Share of the area in which there are electrons."""
    n = _BLOCK // 2
    rows, columns = (m // n for m in frame.shape)
    blocks = frame[: rows * n, : columns * n].reshape(rows, n, columns, n)
    return float(blocks.any(axis=(1, 3)).mean())


def _of_spectrum(power, lit=1.0):
    """Mean of exponentially distributed power, from the weakest of it, and its standard error."""
    ratio = float(np.quantile(power, _QUIET) / -np.log(1 - _QUIET))
    # Neighbours share power because of the window, and more of them where little is lit.
    n = len(power) / 2.5 * max(lit, 1e-3)
    return ratio, float(ratio * np.sqrt(_QUIET / (1 - _QUIET) / n) / -np.log(1 - _QUIET))
