"""What the values themselves tell: their spacing, gaps between them, and a highest one."""

from typing import NamedTuple

import numpy as np

from temdenoise.noise._vacuum import value_step

# A gain that is off by less changes no estimate by more than its error.
_ALIKE = 0.05
# Nor do values that are not whole, if they scatter about as counts do.
_ALMOST = (0.8, 1.3)
# A spacing is trusted from so many distinct values on.
_ENOUGH_LEVELS = 4
# Values of float32 that are this close to whole numbers are taken for whole.
_WHOLE = 0.1
# Levels hold so many pixels at least if anything is concluded from them.
_POPULOUS = 20
# Fewest pixels that must be missing at a level.
_MISSING = 20.0
# Largest number of levels that are looked at one by one.
_MOST_LEVELS = 4096


class Grid(NamedTuple):
    """Values that are ``gain * k + offset``, rounded to whole numbers, for whole numbers k."""

    gain: float
    offset: float


def distinct(values):
    """Sorted distinct values, and how many pixels have each.

    Parameters
    ----------
    values : ndarray
        In one dimension.

    Returns
    -------
    levels, numbers : ndarrays
    """
    low, high = (float(v) for v in (values.min(), values.max()))
    if 0 <= low and high < 65536 and (values == np.rint(values)).all():
        numbers = np.bincount(values.astype(np.int64))  # much faster than sorting
        levels = np.flatnonzero(numbers)
        return levels.astype(np.float64), numbers[levels]
    return np.unique(values, return_counts=True)


def is_whole(levels):
    """Whether all values are whole numbers, or close to them."""
    return bool(np.abs(levels - np.rint(levels)).max() <= _WHOLE)


def spacing(levels, scatter):
    """Spacing of the values; None if it is about one, there is none, or it may be chance.

    Parameters
    ----------
    levels : ndarray
        Sorted distinct values.
    scatter : float
        Variance over mean of the noise.

    Returns
    -------
    step : float or None
    """
    step = value_step(levels)
    if step is None or abs(step - 1) < _ALIKE or len(levels) < 2:
        return None
    if (np.rint(levels) == levels).all():
        return step
    if _ALMOST[0] < scatter < _ALMOST[1]:  # counts with a little read noise, in whole numbers
        return None
    if len(levels) >= _ENOUGH_LEVELS or step / 4 < scatter < 4 * step:
        return step
    return None


def missing_above(levels, numbers):
    """Find whole numbers that must occur among counts, and do not.

    For counts of any image, whatever its rates, the probabilities p of the numbers k obey
    ``p(k + 1) >= p(k)**2 / p(k - 1) * k / (k + 1)``, since ``k! p(k)`` are the moments of a
    distribution.

    Parameters
    ----------
    levels, numbers : ndarrays
        Distinct whole numbers and how many pixels have each.

    Returns
    -------
    gaps : ndarray
        Numbers that are missing, or almost, below others that are common.
    piled : bool
        Whether numbers above the highest one are missing.
    """
    low, high = int(levels[0]), int(levels[-1])
    if low < 0 or high - low > 2 * _MOST_LEVELS:
        return np.zeros(0), False
    count = np.zeros(high - low + 3)
    count[np.rint(levels).astype(int) - low + 1] = numbers
    here, before, after = count[1:-1], count[:-2], count[2:]
    k = low + np.arange(len(here))
    surely = np.maximum(here - 4 * np.sqrt(here), 0)
    at_most = before + 4 * np.sqrt(before) + 8
    expected = surely**2 / at_most * k / (k + 1)
    missing = (expected > _MISSING) & (after < 0.3 * expected)
    # A gap is followed by a number that is more common.
    beyond = np.append(np.maximum.accumulate(here[::-1])[::-1], [0, 0])[2:]
    gaps = k[missing & (beyond > 2 * after + _POPULOUS)] + 1
    return gaps, bool(missing[-1])


def rounded_grid(levels, numbers):
    """Find gain and offset of values that were rounded to whole numbers.

    Parameters
    ----------
    levels, numbers : ndarrays
        Sorted distinct whole numbers, and how many pixels have each.

    Returns
    -------
    grid : Grid or None
        None if the values do not lie on such a grid, or lie on one of whole numbers.
    """
    if len(levels) < _ENOUGH_LEVELS or len(levels) > _MOST_LEVELS:
        return None
    # As long as levels hold many pixels, the next number of electrons is the next level.
    scarce = np.flatnonzero(numbers < _POPULOUS)
    n = int(scarce[0]) if len(scarce) else len(levels)
    if n < _ENOUGH_LEVELS:
        return None
    k = np.arange(n, dtype=np.float64)
    gain = (levels[n - 1] - levels[0]) / (n - 1)
    if gain < 1.1 or np.abs(levels[:n] - levels[0] - gain * k).max() > 1.1:
        return None
    # Then they are found by the gain so far, as long as that says which number it is.
    known = list(k)
    for value in levels[n:]:
        steps = (value - levels[0]) / gain
        if steps / known[-1] > 0.35 * gain:
            break
        known.append(float(np.rint(steps)))
        if abs(value - levels[0] - gain * known[-1]) <= 1.1:
            gain = _slope(np.array(known), levels[: len(known)])
    known = np.array(known)
    used = levels[: len(known)]
    gain = _slope(known, used)
    offset = float(np.mean(used - gain * known))
    off = np.abs(used - gain * known - offset)
    if off.max() > 0.75 or not (np.diff(known) > 0).all():
        return None
    first = np.rint(offset / gain) if abs(offset / gain - np.rint(offset / gain)) * gain < 1 else 0
    if first and abs(offset - first * gain) < 1:  # the lowest value is not that of no electron
        return Grid(gain, float(offset - first * gain))
    return Grid(gain, offset)


def _slope(k, values):
    return float(np.polyfit(k, values, 1)[0])


def unround(movie, grid):
    """Return the values of a grid as they were before they were rounded.

    Parameters
    ----------
    movie : ndarray
    grid : Grid

    Returns
    -------
    movie : ndarray of the same shape, dtype float32
    """
    k = np.rint((movie - np.float32(grid.offset)) / np.float32(grid.gain))
    return (k * np.float32(grid.gain) + np.float32(grid.offset)).astype(np.float32)
