"""Whether the noise of frames, and of an estimate and the counts that test it, is independent."""

import numpy as np

from temdenoise._frames import copies

# Differences of independent counts have the variance of their sum. Those of a running sum of two
# frames have half of it. Copies have none.
_SHARED = 0.75
# And so many standard errors below one.
_CLEAR = 5.5
# Correlation of the phases of an estimate and of the noise of counts that it has not seen: below
# this, also where the image has some power at these frequencies.
_MADE_FROM = 0.75
# Frequencies at which that is looked for, as the larger of |y| and |x| in cycles per pixel.
_HIGH = 0.25
# The middle of images this large is enough. Smaller ones, or fewer electrons, tell nothing.
_SIDE, _LEAST_SIDE, _LEAST_COUNTS = 256, 24, 100


def repeated(X):
    """Find frames that equal an earlier one.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)

    Returns
    -------
    found : list of (int, int)
        The frame and the first one that it equals. Frames of one value are none.
    """
    found, first = [], {}
    for k, other in copies(X, len(X)):
        first[k] = first.get(other, other)
        if X[k].min() < X[k].max():
            found.append((k, first[k]))
    return found


def correlated(X, pairs, trusted=None, scatter=1.0):
    """Find pairs of frames whose noise is correlated.

    Squares of 2 x 2 pixels are compared between two frames, by the difference of the differences of
    their diagonals. An image, also one that moves or changes, can only add to it.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Counts.
    pairs : sequence of (int, int)
    trusted : None or bool ndarray of the same shape
    scatter : float, default=1.0
        Variance over mean of the noise of one frame, if the values are not counts.

    Returns
    -------
    shared : float
        One less the variance of the differences, over that of independent frames: mean of the
        pairs, of those that are clear if there are any.
    found : list of (int, int)
        The pairs whose noise is clearly correlated; all of them if it is so in the mean.
    """
    pairs = list(pairs)
    sums = np.array(
        [
            _compared(X[a], X[b], None if trusted is None else trusted[a] & trusted[b])
            for a, b in pairs
        ]
    ).reshape(-1, 3)
    lit = sums[:, 1] >= _LEAST_COUNTS
    ratio = np.where(lit, sums[:, 0] / np.maximum(sums[:, 1], 1), np.inf) / scatter
    error = np.sqrt(sums[:, 2]) / np.maximum(sums[:, 1], 1)
    clear = (ratio < _SHARED) & (ratio + _CLEAR * error < 1)
    if clear.any():
        found = [pair for pair, is_clear in zip(pairs, clear, strict=True) if is_clear]
        return float(1 - ratio[clear].mean()), found
    d, total, variance = sums.sum(axis=0)
    if not total >= _LEAST_COUNTS:
        return 0.0, []
    # A frame is in two pairs.
    ratio, error = d / total / scatter, np.sqrt(2 * variance) / total
    return float(1 - ratio), pairs if ratio < _SHARED and ratio + _CLEAR * error < 1 else []


def _compared(a, b, trusted):
    """Sum the squared differences of two frames, their counts, and the variance of counts."""
    area = tuple(
        slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + min(n, _SIDE) // 2 * 2)
        for n in a.shape
    )
    a, b = (np.asarray(frame[area], dtype=np.float64) for frame in (a, b))
    if not a.size or a.min() == a.max() or b.min() == b.max():
        return 0.0, 0.0, 0.0
    if trusted is not None:
        a, b = (np.where(trusted[area], frame, np.nan) for frame in (a, b))
    share = np.nansum(a) / max(np.nansum(a + b), 1e-12)  # the frames may differ in dose
    if not 0.1 < share < 0.9:
        return 0.0, 0.0, 0.0
    one = a[::2, ::2] + a[1::2, 1::2] - a[::2, 1::2] - a[1::2, ::2]
    other = b[::2, ::2] + b[1::2, 1::2] - b[::2, 1::2] - b[1::2, ::2]
    total = sum((a + b)[i::2, j::2] for i in (0, 1) for j in (0, 1))
    known = np.isfinite(total)
    # Weights that make the image cancel where the doses differ; the variance is that of counts.
    d = (one / share - other / (1 - share))[known] ** 2
    n = total[known]
    d *= share * (1 - share)
    return d.sum(), n.sum(), np.sum(2 * n * np.maximum(n - 1, 1) * _kurtosis(share))


def _kurtosis(share):
    """By how much unequal doses make the squared differences of counts scatter more."""
    return max(share, 1 - share) / min(share, 1 - share)


def made_from(estimate, counts, trusted=None):
    """Whether an estimate was made from these very counts.

    At high frequencies an image has no power, so what is common there is noise.

    Parameters
    ----------
    estimate, counts : ndarray of shape (height, width)
    trusted : None or bool ndarray of the same shape

    Returns
    -------
    made : bool
        Whether they have more in common than counts that the estimate has not seen.
    """
    a, b = (_noise_spectrum(image, trusted) for image in (estimate, counts))
    if a is None or b is None:
        return False
    # Each frequency counts alike, so that the few of a crystal do not matter.
    phases = (a * b.conj()).real / np.maximum(np.abs(a) * np.abs(b), 1e-300)
    rho, error = float(np.median(phases)), np.pi / 2 / np.sqrt(len(phases) / 2.5)
    return rho > _MADE_FROM and rho > _CLEAR * error


def _noise_spectrum(frame, trusted):
    """Spectrum at the frequencies of noise; None if the frame tells nothing."""
    middle = tuple(
        slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + _SIDE) for n in frame.shape
    )
    frame = np.asarray(frame[middle], dtype=np.float64)
    if min(frame.shape) < _LEAST_SIDE or np.count_nonzero(frame) < _LEAST_COUNTS:
        return None
    window = np.hanning(frame.shape[0] + 2)[1:-1, None] * np.hanning(frame.shape[1] + 2)[1:-1]
    if trusted is not None:
        t = trusted[middle]
        if t.mean() < 0.5:
            return None
        frame = np.where(t, frame, np.mean(frame, where=t))
        window = np.where(t, window, 0)
    spectrum = np.fft.rfft2((frame - frame.mean()) * window)
    y = np.abs(np.fft.fftfreq(frame.shape[0]))[:, None]
    spectrum = spectrum[np.maximum(y, np.fft.rfftfreq(frame.shape[1])) >= _HIGH]
    # What is below the rounding of float32 is no noise.
    scale = np.abs(frame).mean() * np.sqrt(np.sum(window**2))
    return spectrum if np.median(np.abs(spectrum)) > 1e-6 * scale else None
