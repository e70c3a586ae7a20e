"""Frames of another dose than a network's level, brought to it and back.

A blind-spot network sees counts relative to a level that is fixed in training. A frame of half the
dose is divided by a half before the network, and the estimate is multiplied by it. The estimate of
a bin must not depend on its own counts: so frames are seen as two halves, like the fields of a
chessboard, and the dose for the bins of one half is that of the other half.
"""

import numpy as np

# Doses are rounded to powers of two with so many steps between: noise does not change them.
_STEPS = 8
# A dose differs from the level if it does so by this many standard deviations of the counts.
_CLEAR = 3.0


def dose_of(mean, n_bins, level):
    """Return mean counts per bin over the level, rounded; 1 where it may be the level.

    Parameters
    ----------
    mean : float or ndarray
        Mean counts per bin of `n_bins` bins.
    n_bins : int
    level : float
        Counts per bin.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.denoisers._trained.dose import dose_of
    >>> dose_of(np.array([10.3, 9.8, 5.1, 0.0]), 10_000, 10.0).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    ratio = np.asarray(mean, dtype=np.float64) / level
    some = np.where(ratio > 0, ratio, 1.0)
    rounded = 2.0 ** (np.round(np.log2(some) * _STEPS) / _STEPS)
    noise = 1 / np.sqrt(max(n_bins * level, 1e-9))
    dose = np.where(np.abs(ratio - 1) > _CLEAR * noise, rounded, 1.0)
    return np.where(ratio > 0, dose, 0.0)


def estimate_at_dose(network, bins, level, *, reach=0):
    """Apply a network that has a fixed level to a frame of any dose.

    Parameters
    ----------
    network : callable
        Maps counts per bin, of the shape of `bins`, to rates (rows, columns).
    bins : ndarray of shape (rows, columns) or (n_frames, rows, columns), dtype float32
        Of several frames, the middle one is estimated.
    level : float
        Counts per bin.
    reach : int, default=0
        Bins on either side of one that its estimate does not depend on.

    Returns
    -------
    rates : ndarray of shape (rows, columns), dtype float32
    """
    frames = bins[None] if bins.ndim == 2 else bins
    doses = dose_of(frames.mean(axis=(1, 2), dtype=np.float64), frames[0].size, level)
    middle = frames[len(frames) // 2]
    halves = []
    for first in (False, True):
        wanted, far = _half(middle.shape, reach, first)
        n = int(far.sum())
        # an image too small to have the other half is taken as it is
        mean = middle.mean(where=far, dtype=np.float64) if n else level
        halves.append((wanted, float(dose_of(mean, n, level))))
    estimates = {}
    for dose in {dose for _, dose in halves}:
        if dose == 0:
            estimates[dose] = np.zeros_like(middle)
            continue
        doses[len(frames) // 2] = dose
        seen = frames / np.where(doses > 0, doses, 1)[:, None, None].astype(np.float32)
        estimates[dose] = network(seen if bins.ndim == 3 else seen[0]) * np.float32(dose)
    (first, one), (_, other) = halves
    return estimates[one] if one == other else np.where(first, estimates[one], estimates[other])


def _half(shape, reach, first):
    """Bins of one half of a chessboard, and those of the other half that are far from them all."""
    side = 4 * reach + 1  # of a field
    at = [np.arange(n) for n in shape]
    wanted = (at[0][:, None] // side + at[1] // side) % 2 == int(first)
    inner = [(i % side >= reach) & (i % side < side - reach) for i in at]
    return wanted, ~wanted & inner[0][:, None] & inner[1]
