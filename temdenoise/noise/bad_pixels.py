"""Pixels that no count of electrons explains: hot, dead, empty, or part of a label."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import ndimage, stats

from temdenoise._masking import fill_masked
from temdenoise._validation import check_images, check_mask
from temdenoise.noise import _bad_regions as regions

# A hot pixel counts more than this many times as much as its surroundings. An atom column of two
# pixels' width is less.
_TIMES = 3.0
# Chance that a count of this rate is reached by one of the electrons' accidents.
_CHANCE = 1e-12
# More pixels than these in a frame are no accidents, and are not looked at one by one.
_MOST_HOT = 2000
# A dead pixel counts less than this share of its surroundings, of so many counts at least.
_SHARE, _ENOUGH = 0.03, 30.0
_MOST_DEAD = 0.005
# A stack, or a frame, of which more is bad is another kind of image.
_MOST_BAD, _MOST_OF_FRAME = 0.6, 0.95
# Side in pixels of the surroundings that candidates are compared with.
_WIDE = 31
# Pixels that a message names.
_NAMED = 3


class BadPixelsWarning(UserWarning):
    """Pixels that no count of electrons explains were masked, or found."""


@dataclass
class BadPixels:
    """Pixels that no count of electrons explains.

    Attributes
    ----------
    mask : None or bool ndarray of shape (n_images, height, width)
        True marks them. None: there are none.
    found : list of str
        What they are, and where.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import find_bad_pixels
    >>> X = np.random.default_rng(0).poisson(2.0, size=(1, 64, 64))
    >>> X[0, 3, 4] = 1000
    >>> print(find_bad_pixels(X))
    1 hot pixel: (row, column) (3, 4)
    """

    mask: np.ndarray | None = None
    found: list = field(default_factory=list)

    def __bool__(self):
        return self.mask is not None

    def added_to(self, mask):
        """Return a mask, or None, with the bad pixels.

        Parameters
        ----------
        mask : None or bool ndarray of shape (n_images, height, width)

        Returns
        -------
        mask : None or bool ndarray of the same shape
        """
        if mask is None or self.mask is None:
            return self.mask if mask is None else mask
        return mask | self.mask

    def __str__(self):
        return "; ".join(self.found) if self.found else "no bad pixels"


def find_bad_pixels(X, *, mask=None):
    """Find pixels that no count of electrons explains, given the counts around them.

    These are hot and dead pixels, rows and columns; borders without electrons or of one value, as
    drift correction leaves them, and empty corners; boxes without electrons, with the labels in
    them; and pixels that have the same value in all frames of a movie. True features are wider than
    a pixel and scatter, however bright or dark they are.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width)
        Counts per pixel, or values proportional to them.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels that are known to be bad. They are not reported.

    Returns
    -------
    bad : BadPixels
        ``bad.mask`` (None if there are none) and ``bad.found``, in words. It is true if there are
        bad pixels.

    Raises
    ------
    ValueError
        If `X` is not a valid stack, or `mask` does not fit it.

    Notes
    -----
    A pixel is hot if its count would come about by chance once in 10^12 times at three times the
    rate of its surroundings. An area is empty if the chance is below 10^-10 that an area of a tenth
    of the mean rate has no count, and if it is a rectangle or lies at the border.

    Examples
    --------
    A border that drift correction left empty:

    >>> import numpy as np
    >>> from temdenoise.noise import find_bad_pixels
    >>> X = np.random.default_rng(0).poisson(0.5, size=(1, 96, 96))
    >>> X[0, :12] = 0
    >>> bad = find_bad_pixels(X)
    >>> bad.found, bool(bad.mask[0, :12].all()), int(bad.mask.sum()) == 12 * 96
    (['a border of one value: rows 0 to 11'], True, True)
    """
    X = check_images(X, estimator_name="find_bad_pixels", mask=mask)
    return bad_pixels(X, check_mask(mask, X.shape))


def bad_pixels(X, mask=None):
    """Do the work of `find_bad_pixels` on checked images and mask."""
    if X.min() < 0 or min(X.shape[1:]) < 8:
        return BadPixels()  # values that are no counts, or too few to know the surroundings
    images = fill_masked(X, mask)
    total = images.sum(axis=0, dtype=np.float64)
    gain = _gain(total)
    bad = np.zeros(X.shape, dtype=bool)
    found = []

    def note(what, where, say):
        """Add pixels of one frame (or of all), and a sentence, unless they are known."""
        new = where & ~bad[what] if mask is None else where & ~bad[what] & ~mask[what]
        if new.any():
            bad[what] |= new
            found.append((say, new))

    every = slice(None)
    for k, image in enumerate(images):
        border, words = regions.border(image)
        if border is not None:
            note(k, border, words)
    inside = ~bad.all(axis=0)
    for words, where in regions.of_movie(total, images, gain, inside):
        note(every, np.broadcast_to(where, X.shape), words)
    known = bad.any(axis=0)
    note(every, np.broadcast_to(hot(total, gain, known), X.shape), "hot")
    note(every, np.broadcast_to(dead(total, gain, bad.any(axis=0)), X.shape), "dead")
    if len(X) > 1:
        for k, image in enumerate(images):
            for words, where in regions.of_frame(image, gain, ~bad[k]):
                note(k, where, words)
            note(k, hot(image.astype(np.float64), gain, bad[k]), "hot")
    found = BadPixels(bad, _in_words(found)) if bad.any() else BadPixels()
    whole = bad.mean() > _MOST_BAD or (bad.mean(axis=(1, 2)) > _MOST_OF_FRAME).any()
    if whole or (found and found.added_to(mask).all(axis=(1, 2)).any()):
        return BadPixels()
    return found


def _in_words(found):
    """Sentences; pixels of a kind together."""
    sentences = []
    for kind in ("hot", "dead"):
        places = {}
        for what, where in found:
            if what == kind:
                for place in np.argwhere(where)[:, -2:].tolist():
                    places[tuple(place)] = None
        if places:
            named = ", ".join(str(place) for place in list(places)[:_NAMED])
            more = " ..." if len(places) > _NAMED else ""
            many = "s" if len(places) > 1 else ""
            sentences.append(f"{len(places)} {kind} pixel{many}: (row, column) {named}{more}")
    counted = {}
    for what, _ in found:
        if what not in ("hot", "dead"):
            counted[what] = counted.get(what, 0) + 1
    several = [what if n == 1 else f"{what} (in {n} frames)" for what, n in counted.items()]
    more = [f"and {len(several) - _NAMED} more"] if len(several) > _NAMED else []
    return several[:_NAMED] + more + sentences


def hot(image, gain, known):
    """Pixels that count far more than their surroundings.

    The surroundings of a pixel are the lower quartile of 5 x 5 pixels and its second lowest
    neighbour, so that pixels of a hot row are found too. Clusters are taken off from their corners.

    Parameters
    ----------
    image : ndarray of shape (height, width), dtype float64
    gain : float
        Values of one electron.
    known : bool ndarray of the same shape
        Pixels that do not count.

    Returns
    -------
    found : bool ndarray of the same shape
    """
    found = np.zeros(image.shape, dtype=bool)
    counts = np.where(known, 0, image) / gain
    if counts.max() <= _largest_count(_TIMES * _highest_rate(counts)):
        return found
    level = max(np.quantile(counts, 0.95), 3.0)
    around = ndimage.uniform_filter(np.minimum(counts, level), _WIDE, mode="mirror")
    waiting = np.argwhere((counts > _largest_count(_TIMES * around)) & ~known).tolist()
    if len(waiting) > _MOST_HOT:
        return found
    counts[known] = around[known]
    padded = np.pad(counts, 2, mode="reflect")
    while waiting:
        taken = [(y, x) for y, x in waiting if _is_hot(padded, around[y, x], y, x)]
        for y, x in taken:
            found[y, x] = True
            padded[y + 2, x + 2] = around[y, x]
        waiting = [(y, x) for y, x in waiting if not found[y, x]] if taken else []
    return found


def _is_hot(padded, around, y, x):
    here, window = padded[y + 2, x + 2], padded[y : y + 5, x : x + 5]
    beside = sorted((window[1, 2], window[3, 2], window[2, 1], window[2, 3]))
    if here <= _TIMES * beside[1]:
        return False
    rate = max(around, beside[1], np.partition(window, 6, axis=None)[6])
    return here > _largest_count(_TIMES * rate)


@cache
def _table():
    rates = np.append(0, np.geomspace(1e-3, 1e5, 300))
    return rates, stats.poisson.isf(_CHANCE, np.maximum(rates, 1e-9)) + 1


def _largest_count(rate):
    """Largest count of a rate, but for a chance in 10^12."""
    rates, counts = _table()
    return np.maximum(np.interp(rate, rates, counts), rate)


def _highest_rate(counts):
    """Largest mean of blocks of 8 x 8 pixels, but for a few."""
    height, width = (n // 8 * 8 for n in counts.shape)
    blocks = counts[:height, :width].reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    return float(np.quantile(blocks, 0.9))


def dead(total, gain, known):
    """Pixels that count nothing, or nearly, where their surroundings count.

    Parameters
    ----------
    total : ndarray of shape (height, width), dtype float64
        Sum of all frames.
    gain, known
        As for `hot`.

    Returns
    -------
    found : bool ndarray of the same shape
    """
    counts = total / gain
    found = np.zeros(total.shape, dtype=bool)
    if counts.mean() < _ENOUGH / 4:
        return found
    around = ndimage.uniform_filter(counts, 5, mode="mirror")
    for y, x in np.argwhere((counts < 2 * _SHARE * around) & (around >= _ENOUGH / 2) & ~known):
        window = counts[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        beside = [counts[y + i, x + j] for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))
                  if 0 <= y + i < counts.shape[0] and 0 <= x + j < counts.shape[1]]  # fmt: skip
        least = min(np.sort(beside)[-2], np.median(window))
        found[y, x] = least >= _ENOUGH and counts[y, x] < _SHARE * least
    # Of fine fringes every other pixel is dark.
    return found if found.mean() < _MOST_DEAD else np.zeros_like(found)


def _gain(total):
    """Variance over mean of neighbouring values, 1 at least: they may be counts times a gain."""
    values = np.minimum(total, np.quantile(total, 0.995))  # without hot pixels
    difference = values[:-1:2, ::2] - values[1::2, ::2]
    return max(1.0, float(np.mean(difference**2) / 2 / max(values.mean(), 1e-12)))
