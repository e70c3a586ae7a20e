"""The one gate for counts: what methods, atoms, risks and the command line do with a check."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from temdenoise._calls import level_outside
from temdenoise.noise._independence import correlated, made_from, repeated
from temdenoise.noise.counts import CountsWarning, copies_of, correlation_of, inspect

# Whether a method hands on counts that were looked at already.
_passed = ContextVar("passed", default=False)


@contextmanager
def passed():
    """Within, values are not looked at again: a method hands on what it made from its counts."""
    token = _passed.set(True)
    try:
        yield
    finally:
        _passed.reset(token)


def is_passed():
    """Whether the values were looked at already."""
    return _passed.get()


def in_words(check, findings):
    """Describe findings, and the gain if it was found.

    Parameters
    ----------
    check : CountsCheck
    findings : sequence of Finding

    Returns
    -------
    text : str
        Sentences.
    """
    text = " Also, ".join(str(finding) for finding in findings)
    if check.gain is not None:
        offset = "" if check.offset is None else f", and an offset of {check.offset:.4g}"
        text += f" (A gain of {check.gain:.4g} per electron{offset} was found.)"
    return text


def warn_unless_counts(name, X, mask, *, gain=1.0, frames=False, but=()):
    """Warn if values are not counts.

    Parameters
    ----------
    name : str
        Who needs counts.
    X : ndarray of shape (n_images, height, width), dtype float32
    mask : None or bool ndarray of the same shape
    gain : float, default=1.0
        Known gain of the detector.
    frames : bool, default=False
        Whether frames are compared or summed.
    but : sequence of str
        Kinds of findings that are looked for elsewhere.

    Warns
    -----
    CountsWarning
    """
    if is_passed():
        return
    check = inspect(X, mask, gain=gain)
    findings = [f for f in check.matters(frames=frames) if f.kind not in but]
    if findings:
        warnings.warn(
            f"{name}: {in_words(check, findings)}", CountsWarning, stacklevel=level_outside()
        )


def refuse_unless_counts(name, X, mask, *, gain=1.0, frames=False):
    """Refuse values that make a statistic wrong without doubt, and warn of others.

    Parameters
    ----------
    name : str
        The argument.
    X, mask, gain, frames
        As for `warn_unless_counts`.

    Raises
    ------
    ValueError

    Warns
    -----
    CountsWarning
    """
    check = inspect(X, mask, gain=gain)
    findings = check.matters(frames=frames)
    if not findings:
        return
    text = f"{name} must hold counts of electrons: {in_words(check, findings)}"
    if any(finding.certain for finding in findings):
        raise ValueError(text)
    warnings.warn(text, CountsWarning, stacklevel=level_outside())


def refuse_dependent(name, X, pairs, mask=None):
    """Refuse frames of counts that test each other, and share their noise.

    Parameters
    ----------
    name : str
        The argument.
    X : ndarray of shape (n_images, height, width)
    pairs : sequence of (int, int)
        Frames that test each other.
    mask : None or bool ndarray of the same shape

    Raises
    ------
    ValueError
    """
    wanted = {frozenset(pair) for pair in pairs}
    groups = {k: first for k, first in repeated(X)}
    copies = []
    for pair in wanted:
        a, b = sorted(pair)
        if groups.get(a, a) == groups.get(b, b):
            copies.append((b, a))
    if copies:
        finding = copies_of(sorted(copies), len(X))
        raise ValueError(f"Frames of {name} must be independent of each other: {finding}")
    trusted = None if mask is None else ~mask
    shared, found = correlated(X, sorted(tuple(sorted(pair)) for pair in wanted), trusted)
    if found:
        finding = correlation_of(shared, found)
        raise ValueError(f"Frames of {name} must be independent of each other: {finding}")


def check_independent_counts(estimates, counts, mask):
    """Refuse a test of estimates on values that are no counts.

    Warn if the estimates were made from the very counts that are to test them.

    Parameters
    ----------
    estimates, counts : ndarrays of shape (n_images, height, width)
    mask : None or bool ndarray of the same shape
        The first images are looked at.

    Raises
    ------
    ValueError

    Warns
    -----
    CountsWarning
    """
    shown = counts if mask is None else np.where(mask, 0, counts)
    if np.isfinite(shown).all():
        refuse_unless_counts("noisy_other", shown.astype(np.float32), mask)
    for k in range(min(2, len(counts))):
        trusted = None if mask is None else ~mask[k]
        if made_from(np.asarray(estimates[k]), np.asarray(counts[k]), trusted):
            warnings.warn(
                f"Image {k} of denoised shares the noise of noisy_other, as if it was made from "
                "the same electrons: its error then seems too small. Test it on another frame, or "
                "on the other part of temdenoise.thin_counts.",
                CountsWarning,
                stacklevel=level_outside(),
            )
            return
