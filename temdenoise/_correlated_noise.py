"""Tell whether the noise of neighbouring pixels, or of successive frames, is correlated."""

import numpy as np

# The middle of a few frames tells. Fewer pixels along a side, or in all frames, tell nothing.
_SIDE, _FRAMES, _LEAST_SIDE, _LEAST_PIXELS = 256, 8, 48, 9000
# Fewer counts per pixel and frame than these, or fewer in all, tell nothing.
_LEAST_DOSE, _LEAST_COUNTS = 0.02, 2000
# Frequencies of pure noise, and some less high, as the larger of |y| and |x| in cycles per pixel.
_HIGH, _LOWER = (0.42, 0.5), (0.25, 0.33)
# Values above the mean are cut off here, in roots of the mean: hot pixels are of all frequencies.
_CUT = 10.0


def noise_correlation(X):
    """Measure the noise at high frequencies.

    Medians over the frequencies are taken, as a crystal has power at few of them.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Counts per pixel, or values proportional to them.

    Returns
    -------
    loss : float
        One less the power of the noise at the highest frequencies over that at lower ones: 0 if
        the noise of pixels is independent, up to 1 if it was smoothed. 0 if nothing can be told.
    in_time : float
        Correlation of the noise of a frame with that of the next; 0 if it is independent, or if
        there is one frame.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._correlated_noise import noise_correlation
    >>> X = np.random.default_rng(0).poisson(1.0, size=(4, 97, 96)).astype(float)
    >>> [bool(abs(c) < 0.1) for c in noise_correlation(X)]
    [True, True]
    >>> noise_correlation((X[:, 1:] + X[:, :-1]) / 2)[0] > 0.9
    True
    >>> noise_correlation(X[1:] + X[:-1])[1] > 0.3
    True
    """
    middle = [
        slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + _SIDE) for n in X.shape[1:]
    ]
    start = max(0, (len(X) - _FRAMES) // 2)
    frames = X[(slice(start, start + _FRAMES), *middle)].astype(np.float64)
    mean = frames.mean()
    too_small = min(frames.shape[1:]) < _LEAST_SIDE or frames.size < _LEAST_PIXELS
    if too_small or mean < _LEAST_DOSE or frames.sum() < _LEAST_COUNTS:
        return 0.0, 0.0
    frames = np.minimum(frames, mean + _CUT * np.sqrt(max(mean, 1.0)))
    window = np.hanning(frames.shape[1] + 2)[1:-1, None] * np.hanning(frames.shape[2] + 2)[1:-1]
    means = frames.mean(axis=(1, 2), keepdims=True)
    spectra = np.fft.rfft2((frames - means) * window)
    y, x = np.abs(np.fft.fftfreq(frames.shape[1]))[:, None], np.fft.rfftfreq(frames.shape[2])
    power = np.mean(spectra.real**2 + spectra.imag**2, axis=0)
    ratios = []
    for f in (y + 0 * x, x + 0 * y):  # smoothed along rows, or along columns, or both
        high, lower = (np.median(power[(f >= low) & (f <= top)]) for low, top in (_HIGH, _LOWER))
        ratios.append(high / lower if lower > 0 else 1.0)
    if len(frames) == 1:
        return float(1 - min(ratios)), 0.0
    cross = np.mean((spectra[1:] * spectra[:-1].conj()).real, axis=0)
    noise = np.maximum(y, x) >= _HIGH[0]
    scale = np.median(power[noise])
    return float(1 - min(ratios)), float(np.median(cross[noise]) / scale) if scale > 0 else 0.0
