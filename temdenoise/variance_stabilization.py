"""Transforms of electron counts to noise of variance one, and their unbiased inverses."""

from functools import lru_cache
from numbers import Real

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import gammaln, xlogy

from temdenoise._validation import as_real_array

METHODS = ("exact_unbiased", "asymptotic", "algebraic")
"""Names of the inverses."""

# Rates in the tables of the exact inverse: up to the square of the first number, the second is how
# many. For higher rates the asymptotic inverse with one more term is exact to a millionth.
_SQRT_HIGHEST, _N_RATES = 14.0, 500
# Gaussian read noise is integrated up to this number of standard deviations, with so many nodes.
_REACH, _N_NODES = 9.0, 96


def anscombe(counts):
    """Anscombe transform of Poisson counts, ``2 sqrt(counts + 3/8)``.

    Its variance is close to one for means above about 2 counts (0.92 at 2, 0.7 at 1, 0.3 at 0.3).
    F. J. Anscombe, "The transformation of Poisson, binomial and negative-binomial data", Biometrika
    35, 246 (1948).

    Parameters
    ----------
    counts : array-like of any shape
        Electron counts, not negative.

    Returns
    -------
    stabilized : ndarray of the shape of `counts`, float64

    Raises
    ------
    ValueError
        If a count is negative, NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.variance_stabilization import anscombe
    >>> counts = np.random.default_rng(0).poisson(20.0, size=100_000)
    >>> round(float(anscombe(counts).std()), 2)
    1.0
    """
    counts = _real(counts, "counts")
    if counts.size and counts.min() < 0:
        raise ValueError(
            f"counts must not be negative, got {counts.min():g}. For values with an offset or read "
            "noise use generalized_anscombe."
        )
    return 2 * np.sqrt(counts + 3 / 8)


def generalized_anscombe(values, *, gain=1.0, offset=0.0, read_noise=0.0):
    """Generalised Anscombe transform of Poisson counts with gain, offset and read noise.

    For values ``gain * electrons + offset + noise`` it is ``2 / gain * sqrt(gain * (values -
    offset) + 3/8 gain**2 + read_noise**2)``, and 0 where the argument of the root is negative.
    J.-L. Starck, F. Murtagh and A. Bijaoui, "Image Processing and Data Analysis", Cambridge
    University Press (1998).

    Parameters
    ----------
    values : array-like of any shape
        Values from the detector.
    gain : float, default=1.0
        Value per electron.
    offset : float, default=0.0
        Value without electrons.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise, in the unit of `values`.

    Returns
    -------
    stabilized : ndarray of the shape of `values`, float64

    Raises
    ------
    ValueError
        If a value is not finite, the gain is not positive, or the read noise negative.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.variance_stabilization import generalized_anscombe
    >>> rng = np.random.default_rng(0)
    >>> values = 7 * rng.poisson(20.0, size=100_000) + rng.normal(100, 15, size=100_000)
    >>> stabilized = generalized_anscombe(values, gain=7, offset=100, read_noise=15)
    >>> round(float(stabilized.std()), 2)
    1.0
    """
    gain, offset, read_noise = check_noise(gain, offset, read_noise)
    electrons = (_real(values, "values") - offset) / gain
    return 2 * np.sqrt(np.maximum(electrons + 3 / 8 + (read_noise / gain) ** 2, 0))


def inverse_anscombe(stabilized, *, method="exact_unbiased"):
    """Inverse of the Anscombe transform, for denoised (averaged) values.

    The mean of a root is not the root of the mean. Therefore the direct inverse ("algebraic") has a
    bias of 0.1 to 0.25 counts at low rates. M. Makitalo and A. Foi, "Optimal inversion of the
    Anscombe transformation in low-count Poisson image denoising", IEEE Trans. Image Process. 20, 99
    (2011).

    Parameters
    ----------
    stabilized : array-like of any shape
        Estimate of the mean of the transformed counts.
    method : {"exact_unbiased", "asymptotic", "algebraic"}, default="exact_unbiased"
        "exact_unbiased": the rate whose transformed counts have this mean, or 0 if the mean is
        below that of rate 0. "asymptotic": ``s**2 / 4 - 1/8``, correct for high rates.
        "algebraic": ``s**2 / 4 - 3/8``, with values below 0 replaced by 0.

    Returns
    -------
    rate : ndarray of the shape of `stabilized`, float64
        In counts.

    Raises
    ------
    ValueError
        If a value is not finite or the method is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.variance_stabilization import anscombe, inverse_anscombe
    >>> counts = np.random.default_rng(0).poisson(0.5, size=1_000_000)
    >>> mean = anscombe(counts).mean()
    >>> [round(float(inverse_anscombe(mean, method=m)), 2) for m in ("exact_unbiased", "algebraic")]
    [0.5, 0.38]
    """
    return inverse_generalized_anscombe(stabilized, method=method)


def inverse_generalized_anscombe(
    stabilized, *, gain=1.0, offset=0.0, read_noise=0.0, method="exact_unbiased"
):
    """Inverse of the generalised Anscombe transform, for denoised (averaged) values.

    M. Makitalo and A. Foi, "Optimal inversion of the generalized Anscombe transformation for
    Poisson-Gaussian noise", IEEE Trans. Image Process. 22, 91 (2013).

    Parameters
    ----------
    stabilized : array-like of any shape
        Estimate of the mean of the transformed values.
    gain, offset, read_noise : float
        As for `generalized_anscombe`.
    method : {"exact_unbiased", "asymptotic", "algebraic"}, default="exact_unbiased"
        As for `inverse_anscombe`; "asymptotic" and "algebraic" subtract ``(read_noise / gain)**2``
        too.

    Returns
    -------
    mean : ndarray of the shape of `stabilized`, float64
        Mean of the values, ``gain * rate + offset``.

    Raises
    ------
    ValueError
        If a value is not finite, the gain is not positive, the read noise negative, or the method
        unknown.

    Examples
    --------
    >>> from temdenoise.variance_stabilization import generalized_anscombe
    >>> from temdenoise.variance_stabilization import inverse_generalized_anscombe
    >>> noise = {"gain": 7, "offset": 100, "read_noise": 15}
    >>> stabilized = generalized_anscombe([150, 200], **noise)
    >>> inverse_generalized_anscombe(stabilized, **noise, method="algebraic")
    array([150., 200.])
    """
    gain, offset, read_noise = check_noise(gain, offset, read_noise)
    stabilized = _real(stabilized, "stabilized")
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}.")
    sigma = read_noise / gain
    if method == "exact_unbiased":
        rate = exact_rates(stabilized, sigma)
    else:
        rate = np.maximum(stabilized, 0) ** 2 / 4 - (1 if method == "asymptotic" else 3) / 8
        rate -= sigma**2
    return gain * rate + offset


def exact_rates(stabilized, read_noise=0.0, weight=1.0):
    """Rates whose transformed counts have the given means.

    With a `weight` below one, the counts were first averaged with an estimate of their rate,
    ``y = weight * counts + (1 - weight) * rate``. The variance of y is ``weight**2`` times that of
    the counts, so the variance of ``y / weight**2`` equals its mean, and the transform is
    ``2 sqrt((y + read_noise**2) / weight**2 + 3/8)``. L. Azzari and A. Foi, "Variance stabilization
    for noisy+estimate combination in iterative Poisson denoising", IEEE Signal Process. Lett. 23,
    1086 (2016).

    Parameters
    ----------
    stabilized : ndarray of any shape
        Estimated means of the transformed values.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise of the counts.
    weight : float, default=1.0
        Weight of the counts, above 0 and at most 1.

    Returns
    -------
    rates : ndarray of the shape of `stabilized`, float64
    """
    table, lowest, highest, rest = _table(float(read_noise), float(weight))
    rates = np.zeros(stabilized.shape)
    middle = (stabilized > lowest) & (stabilized < highest)
    rates[middle] = table(stabilized[middle])
    beyond = stabilized >= highest
    s = stabilized[beyond]
    rates[beyond] = _asymptotic(s, read_noise, weight) + rest / s**2
    return rates


def _asymptotic(stabilized, read_noise, weight):
    return weight**2 * (stabilized**2 / 4 - 1 / 8) - read_noise**2


@lru_cache(maxsize=64)
def _table(read_noise, weight):
    """Interpolator of the rates, the range of means for it, and the next asymptotic term."""
    rates = np.linspace(0, _SQRT_HIGHEST, _N_RATES) ** 2
    means = _expected(rates, read_noise, weight)
    lowest, highest = means[[0, -1]]
    rest = (rates[-1] - _asymptotic(highest, read_noise, weight)) * highest**2
    return PchipInterpolator(means, rates), lowest, highest, rest


def _expected(rates, read_noise, weight):
    """Mean of the transformed values at each rate, by summation over counts."""
    rates = rates[:, np.newaxis]
    k = np.arange(rates.max() + 12 * np.sqrt(rates.max()) + 20)
    chance = np.exp(xlogy(k, rates) - rates - gammaln(k + 1))
    sigma = read_noise / weight
    value = k if weight == 1 else (weight * k + (1 - weight) * rates) / weight**2
    return np.sum(chance * _mean_root(value + 3 / 8 + sigma**2, sigma), axis=1)


def _mean_root(value, sigma):
    """Mean of ``2 sqrt(max(value + sigma * t, 0))`` over a standard normal t."""
    if sigma == 0:
        return 2 * np.sqrt(value)
    # The integral starts where the root begins or the noise ends. In steps of v**2 the integrand is
    # smooth.
    start = np.minimum(value / sigma, _REACH)
    length = np.sqrt(start + _REACH)
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    total = np.zeros_like(value)
    for node, w in zip((nodes + 1) / 2, weights / 2, strict=True):
        v = node * length
        t = v**2 - start
        root = np.sqrt(np.maximum(value + sigma * t, 0))
        total += (w * 4 / np.sqrt(2 * np.pi)) * length * v * np.exp(-(t**2) / 2) * root
    return total


def check_noise(gain, offset, read_noise):
    """Check a detector's gain, offset and read noise; return them as floats."""
    for name, value in (("gain", gain), ("offset", offset), ("read_noise", read_noise)):
        if not (isinstance(value, Real) and np.isfinite(value)):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
    if gain <= 0:
        raise ValueError(f"gain must be positive (value per electron), got {gain!r}.")
    if read_noise < 0:
        raise ValueError(f"read_noise must not be negative, got {read_noise!r}.")
    return float(gain), float(offset), float(read_noise)


def _real(values, name):
    values = as_real_array(values, name, "variance stabilisation").astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but there is NaN or infinity.")
    return values
