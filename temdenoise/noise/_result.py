"""The result of an analysis of the noise."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

# Counts may differ from the expected dispersion or gain by this share. Coincidence loss and a
# slightly uneven detector are of this size.
TOLERANCE = 0.05

# Pixels are not independent if the correlation of neighbours is larger than this.
CORRELATED = 0.1

# Above this many electrons per pixel, the Poisson distribution is drawn as a normal one.
_MANY = 100


@dataclass(frozen=True, repr=False)
class NoiseAnalysis:
    """The result of `analyze_noise`. Lengths of arrays: n_bins bins of brightness.

    Counts are in electrons, a gain is in stored units ("ADU") per electron, and all other values
    are in stored units. Standard errors (``_se``) come from a jackknife over tiles of the image.
    They are NaN where a value was assumed.

    Attributes
    ----------
    gain, gain_se : float
        Stored units per electron: the slope of the mean-variance line or, if whole electrons were
        recognised, the spacing of the values.
    slope, slope_se : float
        Slope of the fitted line.
    offset, offset_se : float
        Value of a pixel without electrons.
    read_noise, read_noise_se : float
        Standard deviation of the noise that does not depend on the electrons, in stored units.
    intercept, intercept_se : float
        Intercept of the line, ``read_noise**2 - gain * offset``. Means and variances determine
        this combination only; a variance stabilisation needs no more.
    split : str
        How the intercept was split: "counted" (whole electrons were recognised, no read noise),
        "given", "skewness" (by the third cumulant), "no read noise" or "no offset" (assumed).
    method : str
        "temporal" (differences between frames) or "spatial" (between neighbouring pixels).
    means, variances, variances_se : ndarray of shape (n_bins,)
        Points of the mean-variance line, from dark to bright.
    used : bool ndarray of shape (n_bins,)
        Bins to which the line was fitted: those without clipped pixels.
    misfit : float
        Root mean square of the points' relative deviation from the line, beyond their errors.
    structure : float
        Share of the image that the differences did not cancel.
    counted : bool
        Whether the values are counts of electrons, perhaps scaled and shifted.
    is_integer : bool
        Whether all trusted pixels hold whole numbers.
    step : float or None
        Spacing of the values; None if they have none.
    dispersion, dispersion_se, p_value : float
        Variance over mean of neighbouring counts in the vacuum, its error for Poisson counts, and
        the two-sided p-value of the Poisson distribution. They are those of the stored values,
        unless `counted`. NaN if the values cannot be counts.
    correlation, correlation_se : ndarray of shape (5, 5), float
        Correlation of the noise of pixels by lag (rows, columns), with a one in the middle; and
        its error.
    vacuum : None or bool ndarray of shape (height, width)
        The region that was tested.
    histogram : None or tuple of ndarrays
        Bin edges and numbers of pixels of the values in the vacuum.
    vacuum_mean, vacuum_variance : float
        Mean and variance of the values in the vacuum; NaN without a vacuum.
    saturated : float
        Share of the pixels at the value where the detector clips.
    problems : tuple of str
        Reasons why the gain cannot be trusted. Empty if it can.
    caveats : tuple of str
        Reasons why the noise differs from that of independent, linear pixels.
    notes : tuple of str
        Other remarks.
    """

    gain: float
    gain_se: float
    slope: float
    slope_se: float
    offset: float
    offset_se: float
    read_noise: float
    read_noise_se: float
    intercept: float
    intercept_se: float
    split: str
    method: str
    means: np.ndarray = field(repr=False)
    variances: np.ndarray = field(repr=False)
    variances_se: np.ndarray = field(repr=False)
    used: np.ndarray = field(repr=False)
    misfit: float
    structure: float
    counted: bool
    is_integer: bool
    step: float | None
    dispersion: float
    dispersion_se: float
    p_value: float
    correlation: np.ndarray = field(repr=False)
    correlation_se: float
    vacuum: np.ndarray | None = field(repr=False)
    histogram: tuple | None = field(repr=False)
    vacuum_mean: float
    vacuum_variance: float
    saturated: float
    problems: tuple
    caveats: tuple
    notes: tuple

    def __repr__(self):
        return (
            f"NoiseAnalysis(gain={self.gain:.4g}, offset={self.offset:.4g}, "
            f"read_noise={self.read_noise:.4g}, is_poisson={self.is_poisson()}, "
            f"problems={len(self.problems)})"
        )

    def is_poisson(self):
        """Whether the movie is, as stored, independent Poisson counts of electrons.

        Returns
        -------
        is_poisson : bool
            True if the values are whole numbers of zero or more, scatter like Poisson counts to
            within 5 %, and the correlation of neighbours is at most 0.1. Both limits are widened by
            three standard errors. With millions of pixels the p-value rejects harmless deviations;
            this test does not.
        """
        return bool(self.counted and self.gain == 1 and self.offset == 0 and not self._correlated())

    def check(self):
        """Raise an error if the gain cannot be trusted.

        Returns
        -------
        self : NoiseAnalysis
            The analysis itself, so that calls can be chained.

        Raises
        ------
        ValueError
            If there are `problems`. The message names them all and the remedy.
        """
        if self.problems:
            raise ValueError(
                "The gain cannot be found from these images: "
                + "; ".join(self.problems)
                + ". Give the gain (and offset) of the detector, or record a movie of a still or "
                "empty field with bright and dark parts to measure them on."
            )
        return self

    def variance(self, mean):
        """Variance of a pixel's noise.

        Parameters
        ----------
        mean : array-like
            Mean values, in stored units.

        Returns
        -------
        variance : ndarray or float
            In stored units squared, from the fitted line. Zero where the line is negative.
        """
        return np.maximum(self.gain * np.asarray(mean, dtype=np.float64) + self.intercept, 0.0)[()]

    def expected_histogram(self):
        """Numbers of pixels that the fitted noise predicts for the bins of `histogram`.

        The prediction is for an even field.

        Returns
        -------
        expected : None or ndarray of shape (n_histogram_bins,)
            Numbers of pixels; None without a vacuum, or if no noise could be fitted.
        """
        if self.histogram is None or not self.gain > 0:
            return None
        edges, frequencies = self.histogram
        rate = max((self.vacuum_mean - self.offset) / self.gain, 0.0)
        widths = np.diff(edges)
        if rate > _MANY:
            sigma = np.sqrt(self.variance(self.vacuum_mean))
            below = stats.norm.cdf(edges, self.vacuum_mean, max(sigma, widths.min() / 2))
        else:
            electrons = np.arange(int(rate + 8 * np.sqrt(rate)) + 10)
            centers = self.offset + self.gain * electrons
            # Each count has one exact value. Other values are as wide as their rounding at least.
            sigma = 0.0 if self.counted else max(self.read_noise, widths.min() / 2)
            away = np.subtract.outer(edges, centers)
            share = np.heaviside(away, 0.5) if sigma == 0 else stats.norm.cdf(away / sigma)
            below = share @ stats.poisson.pmf(electrons, rate)
        return frequencies.sum() * np.diff(below)

    def summary(self):
        """Say in plain words what was found.

        Returns
        -------
        summary : str
            Several lines.
        """
        lines = ["Poisson counts as stored: " + ("yes." if self.is_poisson() else "no.")]
        if self.counted and not self.is_poisson():
            lines.append(f"Whole electrons, stored as {self.gain:.6g} x count + {self.offset:.6g}.")
        how = "frames" if self.method == "temporal" else "neighbouring pixels"
        lines.append(
            f"Slope of the variance over the mean {_pm(self.slope, self.slope_se)}, from "
            f"differences of {how}."
        )
        if self.gain > 0:
            lines.append(f"Gain {_pm(self.gain, self.gain_se)} per electron.")
            lines.append(f"Offset {_pm(self.offset, self.offset_se)} ({_SPLITS[self.split]}).")
            lines.append(f"Read noise {_pm(self.read_noise, self.read_noise_se)}, in stored units.")
        if np.isfinite(self.dispersion):
            lines.append(
                f"Variance over mean of neighbouring {'counts' if self.counted else 'values'}: "
                f"{_pm(self.dispersion, self.dispersion_se)}, p = {self.p_value:.2g} "
                "(1 for Poisson counts)."
            )
        rows, columns = self._neighbours()
        lines.append(
            f"Correlation of the noise of neighbours: {columns:.3f} in a row, "
            f"{rows:.3f} in a column (error {self.correlation_se:.3f})."
        )
        lines += [f"Problem: {p}." for p in self.problems]
        lines += [f"Note: {n}." for n in self.caveats + self.notes]
        return "\n".join(lines)

    def _neighbours(self):
        middle = self.correlation.shape[0] // 2
        row = self.correlation[middle + 1, middle]
        return float(row), float(self.correlation[middle, middle + 1])

    def _correlated(self):
        return max(map(abs, self._neighbours())) > CORRELATED + 3 * self.correlation_se


_SPLITS = {
    "counted": "electrons were recognised",
    "given": "given, or from what was given",
    "skewness": "by the skewness of the noise",
    "no read noise": "assuming no read noise",
    "no offset": "assumed",
}


def _pm(value, error):
    return f"{value:.4g}" if not error > 0 else f"{value:.4g} +- {error:.2g}"
