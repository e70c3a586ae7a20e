"""The line of variance over mean, and the gain, offset and read noise that follow from it."""

from typing import NamedTuple

import numpy as np


class Line(NamedTuple):
    """A mean-variance line with jackknife standard errors, in stored units."""

    gain: float
    gain_se: float
    intercept: float
    intercept_se: float
    offset: float  # for the read noise given, or none
    offset_se: float
    read_variance: float  # for the offset given, or none
    read_variance_se: float
    third_offset: float  # offset from the third cumulant; NaN if that is not available
    third_offset_se: float
    third_read_variance: float  # read variance that goes with it
    third_read_variance_se: float
    mean: float  # of the data, over the bins used
    variance: float
    scatter_se: float  # error of variance - step * mean
    means: np.ndarray  # of the bins
    variances: np.ndarray
    variances_se: np.ndarray
    used: np.ndarray  # bins without clipping
    misfit: float  # relative deviation of the variances from the line, beyond their errors


def fit_line(sums, *, factor=1.0, step=1.0, gain=None, offset=None, read_noise=None):
    """Fit a line through the bins.

    Parameters
    ----------
    sums : Sums
        Of `collect`.
    factor : float, default=1.0
        Share of the variance that is in the differences. Below 1 if the noise is correlated.
    step : float, default=1.0
        Gain to try. `scatter_se` says how precisely the offset follows from it.
    gain, offset, read_noise : float, default=None
        Values that are known already.

    Returns
    -------
    line : Line
        The line, or None if clipping leaves no bin.
    """
    number = sums.n.sum(axis=0)
    used = (number > 0) & (sums.clipped.sum(axis=0) <= 1e-3 * number)
    if not used.any():
        return None

    def estimate(leave_out=None):
        n, mean, variance, third = sums.total(leave_out)
        variance = variance / factor
        n_used = np.where(used, n, 0.0)
        slope, intercept, expected = _weighted_line(
            n_used, mean, variance, gain, offset, read_noise
        )
        third_offset = np.nan
        if third is not None and slope != 0:
            weight = n_used / expected**3  # the scatter of a third cumulant goes with variance**3
            third_offset = np.average(mean - third / slope**2, weights=weight)
        average = np.average(mean, weights=n_used), np.average(variance, weights=n_used)
        slope_or_nan = slope if slope != 0 else np.nan
        values = [
            slope,
            intercept,
            ((read_noise or 0.0) ** 2 - intercept) / slope_or_nan,
            intercept + slope * (offset or 0.0),
            third_offset,
            intercept + slope * third_offset,
        ]
        extra = [*average, average[1] - step * average[0]]
        return np.concatenate([values, extra, variance]), mean, expected

    values, means, expected = estimate()
    groups = np.flatnonzero(sums.n[:, used].sum(axis=1))
    k = len(groups)
    if k > 1:
        left_out = np.array([estimate(g)[0] for g in groups])
        errors = np.sqrt((k - 1) / k * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    else:
        errors = np.full(len(values), np.nan)
    variances, errors_bins = values[9:], errors[9:]
    excess = (((variances - expected) ** 2 - errors_bins**2) / expected**2)[used]
    misfit = np.sqrt(max(np.average(excess, weights=number[used]), 0.0))
    return Line(
        *(float(v) for pair in zip(values[:6], errors[:6], strict=True) for v in pair),
        mean=float(values[6]),
        variance=float(values[7]),
        scatter_se=float(errors[8]),
        means=means,
        variances=variances,
        variances_se=errors_bins,
        used=used,
        misfit=float(misfit),
    )


def _weighted_line(n, mean, variance, gain, offset, read_noise):
    """Slope, intercept and fitted variances; weights from the fit, so that they bring no bias."""
    average = np.average(variance, weights=n)
    expected, floor = np.full(len(n), average), 1e-3 * average
    if not average > 0:
        return np.nan, np.nan, np.ones(len(n))
    for _ in range(4):
        weight = n / expected**2  # a variance scatters in proportion to itself
        total = weight.sum()
        center, level = (weight * mean).sum() / total, (weight * variance).sum() / total
        x, y = mean - center, variance - level
        if gain is not None:
            slope = gain
        elif offset is not None and read_noise is not None:  # a point of the line is known
            x, y = mean - offset, variance - read_noise**2
            slope = (weight * x * y).sum() / max((weight * x * x).sum(), np.finfo(float).tiny)
            center, level = offset, read_noise**2
        else:
            spread = (weight * x * x).sum()
            slope = (weight * x * y).sum() / spread if spread > 0 else np.nan
        if not np.isfinite(slope):
            return np.nan, np.nan, expected
        intercept = level - slope * center
        expected = np.maximum(slope * mean + intercept, floor)
    return slope, intercept, expected


def split_intercept(line, *, darkest, offset=None, read_noise=None):
    """Split the line's intercept, ``read_noise**2 - gain * offset``, into its two causes.

    Parameters
    ----------
    line : Line
        With a positive gain.
    darkest : float
        Mean of the darkest bin. The offset cannot exceed it.
    offset, read_noise : float, default=None
        Values that are known already.

    Returns
    -------
    offset, offset_se, read_noise, read_noise_se : floats
        In stored units.
    source : str
        "given", "skewness", "no read noise" or "no offset".
    """
    if offset is not None and read_noise is not None:
        return float(offset), 0.0, float(read_noise), 0.0, "given"
    if read_noise is not None:
        return line.offset, line.offset_se, float(read_noise), 0.0, "given"
    if offset is not None:
        return float(offset), 0.0, *_root(line.read_variance, line.read_variance_se), "given"
    # The offset is lowest if there is no read noise. It cannot be above the darkest pixels.
    lowest = line.offset
    if line.third_offset_se < (darkest - lowest) / 4:
        offset = float(np.clip(line.third_offset, lowest, darkest))
        read_variance = line.intercept + line.gain * offset
        read_noise = _root(read_variance, line.third_read_variance_se)
        return offset, line.third_offset_se, *read_noise, "skewness"
    if lowest > 0:
        return lowest, line.offset_se, 0.0, np.nan, "no read noise"
    return 0.0, np.nan, *_root(line.intercept, line.intercept_se), "no offset"


def _root(variance, error):
    """Square root of a variance (zero if that is negative), and its standard error."""
    root = np.sqrt(max(variance, 0.0))
    # Errors do not propagate linearly near zero: there the square root of the error is taken.
    return float(root), float(error / (2 * root) if root**2 > error else np.sqrt(error))
