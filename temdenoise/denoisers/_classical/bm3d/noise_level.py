"""Standard deviation of white noise, from the image alone."""

import numpy as np
from scipy import stats

# High-pass filters of the Daubechies wavelets 2 and 1 (the latter is Haar's), of norm one.
_ROOT = np.sqrt(3)
_DAUBECHIES = np.array([1 - _ROOT, _ROOT - 3, 3 + _ROOT, -1 - _ROOT]) / np.sqrt(32)
_HAAR = np.array([1, -1]) / np.sqrt(2)


def estimate_sigma(image):
    """Estimate the standard deviation of white Gaussian noise.

    The median absolute value of the finest diagonal wavelet coefficients over that of the normal
    distribution (Donoho & Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994): there,
    an image has hardly anything but noise.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Noisy image. NaN marks pixels not to trust.

    Returns
    -------
    sigma : float
        Standard deviation of the noise, in the image's unit. Zero if the image is constant.

    Raises
    ------
    ValueError
        If no wavelet fits between the pixels not to trust.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.denoisers._classical.bm3d.noise_level import estimate_sigma
    >>> noise = np.random.default_rng(0).normal(0, 2, (256, 256))
    >>> round(estimate_sigma(noise + np.arange(256)), 1)
    2.0
    """
    detail = np.asarray(image, dtype=np.float64)
    if detail.size == 1:
        return 0.0
    for _ in range(2):
        n = len(detail)
        if n > 1:  # else nothing varies along this axis
            taps = _DAUBECHIES if n >= len(_DAUBECHIES) else _HAAR
            m = n - len(taps) + 1
            detail = sum(tap * detail[i : i + m] for i, tap in enumerate(taps))
        detail = detail.T
    detail = detail[np.isfinite(detail)]
    if not detail.size:
        raise ValueError("Too few pixels to estimate sigma of the noise from: give sigma a number.")
    sigma = float(np.median(np.abs(detail)) / stats.norm.ppf(0.75))
    # Of very sparse counts more than half of the coefficients are zero.
    return sigma if sigma > 0 else float(np.sqrt(np.mean(detail**2)))
