"""Check whether values are counts of electrons: what was seen, and how to mend it."""

from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from temdenoise._validation import as_real_array, check_images, check_mask
from temdenoise.noise._independence import correlated, repeated
from temdenoise.noise._levels import (
    distinct,
    is_whole,
    missing_above,
    rounded_grid,
    spacing,
)
from temdenoise.noise._scatter import measure_scatter
from temdenoise.noise._vacuum import value_step
from temdenoise.noise.analysis import MIN_SIZE, analyze_noise

FRAMES = ("copies", "correlated frames")
"""Kinds of findings that only matter where frames are compared or summed."""

HARMLESS = ("constant", "no electrons")
"""Kinds of findings that make no estimate of the mean wrong."""

# About this many pixels are looked at, of at most so many frames.
_PIXELS, _FRAMES = 2**16, 4
# Fewer electrons than these say nothing.
_LEAST_COUNTS = 100
# Pairs of frames whose noise is compared.
_PAIRS = 6
# Counts have a variance over mean of one. It may be this far off: a detector that counts loses some
# of the electrons that arrive together, and is not quite even. Where a few bright pixels hold all
# electrons, a sharp image raises all measures.
_LOW, _HIGH = 0.75, 2.0
# And by so many standard errors.
_CLEAR_LOW, _CLEAR_HIGH = 5.5, 6.0
# Beyond these an estimate is wrong without doubt.
_SURELY_LOW, _SURELY_HIGH = 0.3, 3.0
# Share of the power at the highest frequencies that smoothing takes.
_SMOOTHED = 0.4
# Values with few levels for so many pixels were counts once.
_ENOUGH, _FEW_LEVELS = 3, 0.02
# Kinds of findings after which a gain is looked for.
_WITH_GAIN = ("steps", "offset", "too much scatter", "too little scatter", "negative values")
# Those after which one that is not of whole electrons is believed.
_ANY_GAIN = ("too much scatter", "negative values")
# Frames, and pixels along a side, from which a gain is measured.
_GAIN_FRAMES, _GAIN_SIDE = 8, 384

_RAW = "Give the counts as the detector recorded them"
_TO_COUNTS = "temdenoise.to_counts (--gain auto on the command line)"


class CountsWarning(UserWarning):
    """Values seem not to be counts of electrons, or not to be independent of each other."""


@dataclass(frozen=True)
class Finding:
    """One reason why values are not counts of electrons.

    Attributes
    ----------
    kind : str
        A short name.
    saw : str
        What was seen, with the numbers: a sentence without a full stop.
    mend : str
        What to do: a sentence without a full stop.
    certain : bool
        Whether an estimate from these values is wrong without doubt.
    """

    kind: str
    saw: str
    mend: str
    certain: bool = False

    def __str__(self):
        return f"{self.saw}. {self.mend}."


@dataclass(frozen=True, repr=False)
class CountsCheck:
    """The result of `check_counts`.

    Attributes
    ----------
    findings : tuple of Finding
        Reasons why the values are not counts. Empty if nothing was found.
    dose : float
        Mean of the values that were looked at, in electrons per pixel if they are counts.
    gain, offset : float or None
        Stored units per electron, and the stored value without electrons, if they were found.
    scatter : float
        Variance over mean of the noise: one for counts. NaN if too little is known. If an image
        of fine structure adds to all of its measures, it is too large.
    """

    findings: tuple
    dose: float
    gain: float | None
    offset: float | None
    scatter: float = field(default=np.nan)

    @property
    def ok(self):
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self):
        """Names of what was found, a tuple of str."""
        return tuple(finding.kind for finding in self.findings)

    def matters(self, *, frames=True):
        """Select what makes an estimate wrong.

        Parameters
        ----------
        frames : bool, default=True
            Whether frames are compared or summed, so that they must be independent.

        Returns
        -------
        findings : tuple of Finding
        """
        left_out = HARMLESS if frames else HARMLESS + FRAMES
        return tuple(finding for finding in self.findings if finding.kind not in left_out)

    def __repr__(self):
        if self.ok:
            return f"CountsCheck: the values may be counts ({self.dose:.3g} electrons/px)"
        lines = [f"CountsCheck: these are not counts of electrons (mean value {self.dose:.3g})"]
        lines += [f"- {finding.kind}: {finding}" for finding in self.findings]
        if self.gain is not None:
            lines.append(f"- gain {self.gain:.4g} per electron, offset {self.offset or 0:.4g}")
        return "\n".join(lines)


def check_counts(X, *, mask=None, gain=1.0):
    """Check whether values are counts of electrons.

    Counts are whole numbers, their noise has the variance of their mean, and the noise of pixels
    and of frames is independent. This is a quick look at some 65,000 pixels, at both sides of
    that law. It is made so that it hardly ever takes counts for something else, whatever the image:
    lattices, edges, particles and drift add to the differences in which noise is measured, so that
    values scatter too much only if all measures say so. `analyze_noise` measures the noise in full.

    Parameters
    ----------
    X : array-like of shape (height, width) or (n_images, height, width)
        Values, of any real dtype.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels not to look at. They may hold any value.
    gain : float, default=1.0
        Known gain of the detector, by which the values are divided first.

    Returns
    -------
    check : CountsCheck
        Whether they may be counts, and what was found: ``check.ok``, ``check.findings``.

    Raises
    ------
    ValueError
        If the images are not valid, or `gain` is not a positive number.

    See Also
    --------
    analyze_noise : The noise in full, with standard errors.
    to_counts : Undo gain and offset.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import check_counts
    >>> counts = np.random.default_rng(0).poisson(2.0, size=(2, 128, 128))
    >>> check_counts(counts)
    CountsCheck: the values may be counts (1.99 electrons/px)
    >>> check = check_counts(40 * counts + 1000)
    >>> check.kinds, check.gain
    (('steps',), 40.0)
    >>> print(check.findings[0].saw)
    the values are all 40 apart, as counts times a gain of 40
    >>> check_counts(counts + 100).kinds
    ('too little scatter',)
    """
    if not isinstance(gain, Real) or isinstance(gain, bool) or not 0 < gain < np.inf:
        raise ValueError(f"gain must be a positive number, got {gain!r}.")
    X = as_real_array(X, "X", "check_counts")
    X = X[np.newaxis] if X.ndim == 2 else X
    images = check_images(X, estimator_name="check_counts", mask=mask)
    return inspect(images, check_mask(mask, images.shape), gain=gain)


def inspect(X, mask, *, gain=1.0):
    """Do the work of `check_counts` on checked images.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width), dtype float32
    mask : None or bool ndarray of the same shape
    gain : float

    Returns
    -------
    check : CountsCheck
    """
    frames, trusted, pairs = _sample(X, mask)
    frames = frames / gain
    values = frames.ravel() if trusted is None else frames[trusted]
    if not values.size:
        return CountsCheck((), np.nan, None, None)
    levels, numbers = distinct(values)
    dose = _mean(X, mask) / gain
    found, grid, scatter, usual = [], None, np.nan, 1.0
    if levels[0] < 0:
        found.append(_negative(levels, numbers))
    elif len(levels) == 1:
        found.append(_constant(levels[0]))
    elif _electrons(levels, numbers) >= _LEAST_COUNTS:
        measured = measure_scatter(frames, trusted, pairs)
        scatter = _typical(measured)
        usual = min(measured.least, 1.0) if measured.least > 0 else 1.0
        of_scatter = list(_of_scatter(measured, dose))
        found += _of_levels(levels, numbers, measured, frames, trusted)
        if of_scatter and found and found[0].kind == "saturated" and measured.least < _SURELY_LOW:
            found = []  # such as counts of inverted contrast
        if of_scatter and of_scatter[0].kind == "correlated":  # which also makes fractions
            found = [of_scatter.pop(), *(f for f in found if f.kind == "steps")]
        grid = rounded_grid(levels, numbers) if "rounded" in [f.kind for f in found] else None
        if not found or found[0].kind == "saturated":
            found += of_scatter
    if not found or found[0].kind not in HARMLESS:
        found += _of_frames(X, mask, usual)
    step = offset = None
    if grid is not None:
        step, offset = grid
    elif found and found[0].kind in _WITH_GAIN:
        step, offset = _measure_gain(X, mask, gain, counted=found[0].kind not in _ANY_GAIN)
        if step is None and found[0].kind == "steps":
            step = spacing(levels, scatter)
    return CountsCheck(tuple(found), dose, step, offset, float(scatter))


def _mean(X, mask):
    """Average the frames that are looked at, all of each."""
    means = [
        np.mean(X[k], where=True if mask is None else ~mask[k], dtype=np.float64)
        for k in _chosen(len(X))
    ]
    return float(np.mean(means))


def _chosen(n):
    """Return the numbers of the frames that are looked at."""
    return list(range(n)) if n <= _FRAMES else [0, 1, n // 2, n // 2 + 1]


def _sample(X, mask):
    """Take the middle of some frames, the trusted pixels, and say which frames are neighbours."""
    chosen = _chosen(len(X))
    side = int(np.sqrt(_PIXELS / len(chosen)))
    window = _middle(X.shape[1:], side)
    if min(X.shape[1:]) > 1.5 * side:
        window = _busy(X[chosen[0]], None if mask is None else mask[chosen[0]], side, window)
    pairs = [(i, i + 1) for i in range(len(chosen) - 1) if chosen[i + 1] == chosen[i] + 1]
    frames = np.stack([X[k][window] for k in chosen]).astype(np.float64)
    trusted = None
    if mask is not None:
        trusted = ~np.stack([mask[k][window] for k in chosen])
        trusted = None if trusted.all() else trusted
    return frames, trusted, pairs


def _middle(shape, side):
    return tuple(slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) for n in shape)


def _busy(image, mask, side, middle):
    """Choose the middle of an image, or another part if it is empty or hidden there."""
    hidden = None if mask is None else mask[middle]
    shown = np.count_nonzero(image[middle] if hidden is None else image[middle][~hidden])
    if shown >= 2 * _LEAST_COUNTS and (hidden is None or hidden.mean() < 0.5):
        return middle
    best = middle, -1
    for y in (0, image.shape[0] - side):
        for x in (0, image.shape[1] - side):
            part = np.s_[y : y + side, x : x + side]
            lit = image[part] != 0 if mask is None else (image[part] != 0) & ~mask[part]
            if (n := np.count_nonzero(lit)) > best[1]:
                best = part, n
    return best[0]


def _electrons(levels, numbers):
    """Pixels that are not at the lowest level, or not zero."""
    return int(numbers[1:].sum() if levels[0] == 0 else numbers.sum())


def _typical(measured):
    """One number for the scatter: that which is wrong, if any."""
    low, high = measured.least, measured.most
    return low if low < _LOW else high


def _negative(levels, numbers):
    share = numbers[levels < 0].sum() / numbers.sum()
    return Finding(
        "negative values",
        f"{share:.1%} of the values are below zero, down to {levels[0]:.4g}",
        "Counts cannot be negative. If a dark reference or the mean was subtracted, or the file "
        f"holds unsigned values that were read as signed, undo it. {_RAW}, or take "
        f"{_TO_COUNTS} for camera values",
        True,
    )


def _constant(value):
    if value == 0:
        return Finding(
            "no electrons", "all values are zero", "Check that the right file and frames are read"
        )
    return Finding(
        "constant",
        f"all values are {value:.6g}",
        "Counts scatter. Check that the right file and frames are read",
        True,
    )


def _of_levels(levels, numbers, scatter, frames, trusted):
    """Tell what spacing, gaps and the highest value say."""
    n_pixels = numbers.sum()
    step = spacing(levels, scatter.most)
    if step is not None:
        yield _steps(step)
        levels = np.rint((levels - levels[0]) / step) + np.rint(levels[0] / step)
    elif is_whole(levels):
        if len(levels) > 1 and (np.rint(levels) != levels).any():
            levels, inverse = np.unique(np.rint(levels), return_inverse=True)
            numbers = np.bincount(inverse, numbers)
        gaps, _ = missing_above(levels, numbers)
        if len(gaps):
            yield _rounded(levels, numbers) or _gaps(gaps)
            return
    else:
        steps = _steps_of_frames(frames, trusted, scatter.most)
        if steps is not None:
            yield Finding(
                "frames scaled one by one",
                f"the values of each frame are evenly spaced, but by {steps[0]:.4g} in one and "
                f"{steps[1]:.4g} in another",
                f"Frames were scaled one by one. {_RAW}",
                True,
            )
            return
        step = value_step(levels)
        if step is not None and abs(step - 1) < 1e-3:
            yield Finding(
                "offset",
                f"the values are whole numbers plus {levels[0] % 1:.3g}",
                f"Subtract it. {_RAW}",
            )
            return
        if _ENOUGH < len(levels) < _FEW_LEVELS * n_pixels and step is None:
            yield Finding(
                "uneven levels",
                f"the values are {len(levels)} fractional levels that are not evenly spaced",
                "A function such as a logarithm or a root was applied, or a table of colours: undo "
                f"it. {_RAW}",
                True,
            )
            return
        lit = levels > 0
        total, n_lit = float(np.sum(levels[lit] * numbers[lit])), numbers[lit].sum()
        if total < 0.8 * n_lit and not scatter.least >= _LOW:
            yield Finding(
                "fractions",
                f"the mean of the values that are not zero is {total / n_lit:.3g}, and a counted "
                "electron is one",
                f"The values were divided by something: multiply by it again. {_RAW}",
                True,
            )
        return
    whole = np.abs(levels - np.rint(levels)).max() <= 0.1
    if whole and missing_above(np.rint(levels), numbers)[1]:
        share = numbers[-1] / n_pixels
        yield Finding(
            "saturated",
            f"{share:.2%} of the pixels hold the highest value, {levels[-1]:g} electrons, and none "
            "holds more",
            "The detector, or a conversion, cut off all above it: use frames of less dose, or "
            "convert without clipping. If the contrast is inverted, invert it again",
            bool(share > 0.05),
        )


def _steps(step):
    if step > 1:
        return Finding(
            "steps",
            f"the values are all {step:.4g} apart, as counts times a gain of {step:.4g}",
            f"Convert the values: {_TO_COUNTS} finds gain and offset. If you know the gain, divide "
            "by it",
            bool(step >= _SURELY_HIGH),
        )
    return Finding(
        "steps",
        f"the values are all {step:.4g} apart, and whole electrons are one apart",
        "If frames were averaged, or counts divided by something, multiply by "
        f"{1 / step:.4g}: sums are counts too. {_TO_COUNTS} finds gain and offset",
        bool(step <= _SURELY_LOW),
    )


def _rounded(levels, numbers):
    grid = rounded_grid(levels, numbers)
    if grid is None:
        return None
    return Finding(
        "rounded",
        f"the values are counts times a gain of {grid.gain:.4g}, rounded to whole numbers "
        f"({', '.join(f'{v:g}' for v in levels[:5])} ...)",
        f"Convert the values: {_TO_COUNTS} finds gain and offset",
        bool(grid.gain >= _SURELY_HIGH),
    )


def _gaps(gaps):
    return Finding(
        "gaps",
        f"whole numbers are missing between common ones ({', '.join(f'{v:g}' for v in gaps[:4])}"
        f"{' ...' if len(gaps) > 4 else ''})",
        "The contrast was stretched, or a function such as a logarithm was applied and the result "
        f"rounded. {_RAW}",
        True,
    )


def _steps_of_frames(frames, trusted, scatter):
    """Two different spacings of frames; None if they have none, or a common one."""
    steps = []
    for k, frame in enumerate(frames):
        values = frame.ravel() if trusted is None else frame[trusted[k]]
        step = value_step(distinct(values)[0]) if len(values) else None
        if step is None:
            return None
        steps.append(step)
    low, high = min(steps), max(steps)
    return (steps[0], low if low != steps[0] else high) if high > 1.001 * low else None


def _of_scatter(measured, dose):
    low, low_error, high, high_error, loss = measured
    smoothed = loss > _SMOOTHED
    if low < _LOW and low + _CLEAR_LOW * low_error < 1:
        if smoothed:
            yield Finding(
                "correlated",
                f"neighbouring pixels share their noise: {loss:.0%} of its power is missing at the "
                f"highest frequencies, and it has {low:.2g} of the variance of counts",
                "The images were denoised, smoothed, interpolated (as by a drift correction), "
                f"enlarged or compressed before, or the detector blurs. {_RAW}",
                bool(low < _SURELY_LOW),
            )
        else:
            yield Finding(
                "too little scatter",
                f"the noise has {low:.2g} of the variance of counts, at a mean of {dose:.3g}",
                "A constant may be added to the counts, or they are averaged, inverted, scaled "
                f"down, or denoised before: undo it. {_RAW}",
                bool(low < _SURELY_LOW),
            )
    elif high > _HIGH and high - _CLEAR_HIGH * high_error > 1:
        more = ", and neighbouring pixels share it" if smoothed else ""
        yield Finding(
            "too much scatter",
            f"the noise has {high:.3g} times the variance of counts, at a mean of {dose:.3g}{more}",
            "The values are multiplied by a gain, or hold read noise: convert them. "
            f"{_TO_COUNTS} finds gain and offset. If you know the gain, divide by it",
            bool(high > _SURELY_HIGH),
        )


def _of_frames(X, mask, usual):
    """Tell whether frames are copies of others, or share their noise."""
    if len(X) < 2:
        return
    copies = repeated(X)
    if copies:
        yield copies_of(copies, len(X))
    distinct_frames = np.setdiff1d(np.arange(len(X)), [k for k, _ in copies])
    pairs = list(zip(distinct_frames[:-1], distinct_frames[1:], strict=True))
    some = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _PAIRS)).astype(int))
    trusted = None if mask is None else ~mask
    shared, found = correlated(X, [pairs[k] for k in some], trusted, usual)
    if found:
        yield correlation_of(shared, found)


def copies_of(copies, n_frames):
    """Describe frames that equal earlier ones."""
    k, first = copies[0]
    return Finding(
        "copies",
        f"{len(copies)} of {n_frames} frames are copies of others (frame {k} of frame {first})",
        "Their noise is the same, so they do not test each other: leave the copies out",
        True,
    )


def correlation_of(shared, pairs):
    """Describe frames whose noise is correlated."""
    a, b = pairs[0]
    return Finding(
        "correlated frames",
        f"frames share {shared:.0%} of their noise (the first are {a} and {b})",
        "They were averaged or interpolated in time, or are copies that were changed a little. "
        "Give the frames as they were recorded, or only those that share nothing",
        True,
    )


def _measure_gain(X, mask, gain, counted):
    """Gain and offset by `analyze_noise`; None if they cannot be found, or `counted` is asked for.

    Values that were averaged or subtracted from have a line of variance over mean too, but what it
    gives is only true if whole electrons come out.
    """
    if min(X.shape[1:]) < MIN_SIZE:
        return None, None
    n = len(X)
    first = max(0, (n - _GAIN_FRAMES) // 2)
    part = (slice(first, first + _GAIN_FRAMES), *_middle(X.shape[1:], _GAIN_SIDE))
    hidden = None if mask is None else mask[part]
    try:
        analysis = analyze_noise(X[part] / np.float32(gain), mask=hidden)
    except ValueError:
        return None, None
    if analysis.problems or not analysis.gain > 0 or (counted and not analysis.counted):
        return None, None
    if analysis.split in ("no read noise", "no offset"):
        return float(analysis.gain), None
    return float(analysis.gain), float(analysis.offset)
