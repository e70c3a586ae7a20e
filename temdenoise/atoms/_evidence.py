"""Test each column that was found in an image on counts that are independent of this image."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

# The rate without the column is at least this fraction of the mean around it. If the denoiser drew
# a column too strong, the image without it can be near zero.
_FLOOR = 0.3

# A test needs at least this share of the pixels of a window.
_LEAST = 0.5

# A blob may belong to a fringe if its curvature along the ridge is less than this fraction of the
# curvature across. (This holds for one in fifty true columns, and for most blobs that are displaced
# from the true ones.)
_RIDGE = 0.1

# The saddlepoint approximation needs this many electrons in a window; of fewer, sums are drawn.
_FEW_ELECTRONS, _N_DRAWS = 30, 10_000

_COLUMNS = ["p_value", "p_contradicted", "z", "expected_z", "height_drawn", "height_counted"]


def column_tests(counts, image, xy, radius, sigma, trusted=None, template_xy=None):
    r"""Test columns found in one image on counts that are independent of it.

    The test statistic of a column is the weighted sum of the counts B about it,
    :math:`T = \sum_i w_i B_i`. Without a column the rate is a plane, up to the distance `radius`,
    and the mean of T is zero for any plane. The p-value is the probability of such a large T, by
    the saddlepoint approximation for weighted sums of Poisson counts.

    The weights are those of the matched filter: the mean radial profile of all columns of the
    image, minus its projection on 1, x and y, over the rate :math:`\lambda_0` without the column.
    The inner product is weighted by :math:`1 / \lambda_0`, so that
    :math:`\sum w = \sum w x = \sum w y = 0`. The rate without a column is the image minus the
    profile, which is fitted to the image.

    Any point on a fringe stands out from a plane. If a blob of the image is a ridge and not a spot,
    a Gaussian ridge along it is projected out as well. The test is then whether the counts have a
    maximum along the ridge.

    Parameters
    ----------
    counts : ndarray of shape (height, width)
        Poisson counts, independent of `image`.
    image : ndarray of shape (height, width)
        Denoised image in which the columns were found, in counts/px or proportional to them. It is
        scaled to the mean of the counts.
    xy : ndarray of shape (n_columns, 2)
        Positions in px.
    radius : float
        Radius of the windows in px.
    sigma : float
        Standard deviation in px of columns, and of the ridges.
    trusted : bool ndarray of shape (height, width), optional
        Pixels that count.
    template_xy : ndarray of shape (n, 2), optional
        Positions in px of the columns for the mean profile. By default `xy`.

    Returns
    -------
    tests : pandas.DataFrame
        A row for each column, all float64. NaN if less than half of a window can be used, or if the
        mean of the image in the window is not positive:

        - ``p_value``: of the hypothesis that there is no column;
        - ``p_contradicted``: of the hypothesis that there is one of at least half the drawn height;
        - ``z``: T in units of its standard deviation without the column;
        - ``expected_z``: the value of ``z`` that `image` predicts;
        - ``height_drawn``, ``height_counted``: height of the profile at the centre over its rim,
          in units of `counts`; the first is fitted to the image, the second follows from T.
    """
    return tests_of(gather_evidence(counts, image, xy, radius, sigma, trusted, template_xy))


def tests_of(evidence):
    """Table of the tests of single columns, as `column_tests` describes it.

    Parameters
    ----------
    evidence : list of Evidence or None

    Returns
    -------
    tests : pandas.DataFrame
    """
    tests = np.full((len(evidence), len(_COLUMNS)), np.nan)
    for k, column in enumerate(evidence):
        if column is not None:
            tests[k] = _test(column)
    return pd.DataFrame(tests, columns=_COLUMNS)


@dataclass(frozen=True)
class Evidence:
    """What the counts of one window say of a column.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        Of the statistic.
    rate : ndarray of shape (n,)
        Mean counts without a column.
    column : ndarray of shape (n,)
        Mean profile of columns.
    floor : float
        The rate is never taken to be smaller.
    observed, predicted : float
        Statistic of the counts, and of the image.
    amplitude : float
        Height of the column that the image shows, in units of `column`.
    centre : float
        Value of `column` at the centre, which turns amplitudes into heights in counts/px.
    """

    weights: np.ndarray
    rate: np.ndarray
    column: np.ndarray
    floor: float
    observed: float
    predicted: float
    amplitude: float
    centre: float

    @property
    def response(self):
        """Mean of the statistic for a column of amplitude 1."""
        return self.weights @ self.column

    @property
    def height(self):
        """Height in counts/px of the column that the image shows."""
        return self.amplitude * self.centre

    def rate_with(self, amplitude):
        """Mean counts with a column."""
        return np.maximum(self.rate + amplitude * self.column, self.floor)


def gather_evidence(counts, image, xy, radius, sigma, trusted=None, template_xy=None):
    """Statistics of the columns of an image on counts: see `column_tests`.

    Parameters
    ----------
    counts, image, xy, radius, sigma, trusted, template_xy
        As for `column_tests`.

    Returns
    -------
    evidence : list of Evidence or None
        None where nothing can be tested.
    """
    trusted = np.ones(np.shape(counts), dtype=bool) if trusted is None else trusted
    image = np.asarray(image, dtype=np.float64)
    evidence = [None] * len(xy)
    total = image[trusted].sum()
    if not (len(xy) and total > 0):  # an image of zeros has no scale
        return evidence
    image = image * (counts[trusted].sum(dtype=np.float64) / total)
    windows = [_Window(x, y, radius, trusted) for x, y in xy]
    if template_xy is None:
        profile = mean_profile(image, windows)
    else:
        profile = mean_profile(image, [_Window(x, y, radius, trusted) for x, y in template_xy])
    filled = np.where(trusted, image, image[trusted].mean())
    roundness, across = principal_curvatures(filled, xy, sigma)
    for k, window in enumerate(windows):
        if window.coverage < _LEAST:
            continue
        nuisance = [np.ones(len(window.rows)), window.dx / radius, window.dy / radius]
        if roundness[k] < _RIDGE:
            away = window.dx * np.cos(across[k]) + window.dy * np.sin(across[k])
            nuisance.append(np.exp(-(away**2) / (2 * sigma**2)))
        evidence[k] = _measure(counts, image, window, profile, np.column_stack(nuisance))
    return evidence


def height_tail(evidence, heights, *, at_least):
    """P-value of a hypothesis on the height of one column, on several independent counts together.

    Parameters
    ----------
    evidence : sequence of Evidence
        Of one column, on one or more counts.
    heights : sequence of float
        Boundary of the hypothesis in each of them, in counts/px.
    at_least : bool
        Whether the hypothesis is that the column has at least these heights (or at most).

    Returns
    -------
    p : float
        NaN if there is no evidence, or a height does not have the sign of the columns.

    Notes
    -----
    The statistics are added with the weights of the likelihood's derivative by the common ratio of
    height to boundary, so that each counts as much as it knows.
    """
    sign = -1.0 if at_least else 1.0
    excess, weights, rates = 0.0, [], []
    for column, height in zip(evidence, heights, strict=True):
        if not height * column.centre > 0:
            return np.nan
        amplitude = height / column.centre
        excess += amplitude * (column.observed - amplitude * column.response)
        weights.append(amplitude * column.weights)
        rates.append(column.rate_with(amplitude))
    if not weights:
        return np.nan
    return tail(sign * excess, sign * np.concatenate(weights), np.concatenate(rates))


class _Window:
    """Trusted pixels within a radius of a position. Lengths are in px."""

    def __init__(self, x, y, radius, trusted):
        height, width = trusted.shape
        rows = np.arange(max(0, np.ceil(y - radius)), min(height, np.floor(y + radius) + 1))
        columns = np.arange(max(0, np.ceil(x - radius)), min(width, np.floor(x + radius) + 1))
        rows, columns = np.meshgrid(rows.astype(int), columns.astype(int), indexing="ij")
        inside = np.hypot(rows - y, columns - x) <= radius
        inside &= trusted[rows, columns]
        self.rows, self.columns = rows[inside], columns[inside]
        self.dx, self.dy = self.columns - x, self.rows - y
        self.distance = np.hypot(self.dx, self.dy)
        self.coverage = len(self.rows) / (np.pi * radius**2)

    def of(self, image):
        """Return the values of an image on these pixels."""
        return image[self.rows, self.columns]


def mean_profile(image, windows):
    """Mean radial profile over windows, each minus its mean, at distances of 0, 1, 2 ... px."""
    n_bins = 2 + max((int(w.distance.max()) for w in windows if len(w.rows)), default=0)
    total, weight = np.zeros(n_bins), np.zeros(n_bins)
    for window in windows:
        if window.coverage < _LEAST:
            continue
        values = window.of(image)
        values = values - values.mean()
        # The inverse of linear interpolation: each pixel counts for the two radii next to it.
        below = window.distance.astype(int)
        share = window.distance - below
        for radii, part in ((below, 1 - share), (below + 1, share)):
            total += np.bincount(radii, values * part, n_bins)
            weight += np.bincount(radii, part, n_bins)
    return np.divide(total, weight, out=np.zeros(n_bins), where=weight > 0)


def principal_curvatures(image, xy, sigma):
    """Ratio of the weaker to the stronger curvature at positions, and direction of the stronger.

    Parameters
    ----------
    image : ndarray of shape (height, width)
    xy : ndarray of shape (n, 2)
        In px.
    sigma : float
        Standard deviation in px of the Gaussian by which the image is blurred.

    Returns
    -------
    ratio : ndarray of shape (n,)
        1 for a round spot, 0 for a ridge, negative for a saddle.
    angle : ndarray of shape (n,)
        Direction of the stronger curvature, from x towards y, in rad.
    """
    height, width = image.shape
    columns, rows = np.rint(xy).astype(int).reshape(-1, 2).T
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    reach = int(4 * sigma + 0.5)
    impulse = np.eye(2 * reach + 1)[reach]
    # weights of the pixels on either side for the Gaussian and its derivatives
    kernels = [gaussian_filter1d(impulse, sigma, order=o, mode="constant")[::-1] for o in range(3)]
    kernels[2] -= kernels[2].sum() * kernels[0]  # a truncated kernel would respond to a constant
    padded = np.pad(image, reach, mode="symmetric")
    windows = sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))[rows, columns]
    windows -= windows[:, reach, reach, np.newaxis, np.newaxis]  # a flat window is exactly zero
    along_x = np.stack([windows @ kernel for kernel in kernels])
    orders = ((0, 2), (2, 0), (1, 1))  # of the derivatives by y and x
    xx, yy, xy_ = (along_x[x] @ kernels[y] for y, x in orders)
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy_)
    strong, weak = np.abs(mean) + half, np.abs(mean) - half
    angle = np.arctan2(2 * xy_, xx - yy) / 2 + np.where(mean < 0, np.pi / 2, 0)
    return np.divide(weak, strong, out=np.ones(len(xy)), where=strong > 0), angle


def _measure(counts, image, window, profile, nuisance):
    drawn = window.of(image)
    level = drawn.mean()
    column = np.interp(window.distance, np.arange(len(profile)), profile)
    column -= column[window.distance > window.distance.max() - 1].mean()
    if not level > 0 or not column.any():
        return None
    plane = nuisance[:, :3]
    amplitude = np.linalg.lstsq(np.column_stack([column, plane]), drawn, rcond=None)[0][0]
    floor = _FLOOR * level
    rate = np.maximum(drawn - amplitude * column, floor)

    # Least squares with weights 1/rate: a projection on the complement of the nuisance terms.
    root = 1 / np.sqrt(rate)
    basis, _ = np.linalg.qr(nuisance * root[:, np.newaxis])
    residual = column * root
    weights = root * (residual - basis @ (basis.T @ residual))
    observed, predicted = weights @ window.of(counts), weights @ drawn
    centre = column[window.distance.argmin()]
    return Evidence(weights, rate, column, floor, observed, predicted, amplitude, centre)


def _test(column):
    deviation = np.sqrt(column.weights**2 @ column.rate)
    half = column.amplitude / 2
    return (
        tail(column.observed, column.weights, column.rate),
        tail(half * column.response - column.observed, -column.weights, column.rate_with(half)),
        column.observed / deviation,
        column.predicted / deviation,
        column.height,
        column.observed / column.response * column.centre,
    )


def tail(value, weights, rate):
    r"""Probability that a centred weighted sum of Poisson counts reaches a value.

    The saddlepoint approximation of Lugannani and Rice (Adv. Appl. Probab. 12, 475, 1980) for
    :math:`S = \sum_i w_i (B_i - \mu_i)`, B Poisson with means :math:`\mu`. It is for sums that are
    almost continuous. Below 30 electrons in the window, the sum is drawn 10,000 times instead.

    Parameters
    ----------
    value : float
    weights, rate : ndarray of shape (n,)
        w and :math:`\mu`.

    Returns
    -------
    p : float
        P(S >= value).

    Examples
    --------
    One count of a large mean is nearly normal:

    >>> import numpy as np
    >>> from temdenoise.atoms._evidence import tail
    >>> round(tail(164.5, np.ones(1), np.full(1, 1e4)), 2)
    0.05
    """
    if rate.sum() < _FEW_ELECTRONS:
        return _tail_by_drawing(value, weights, rate)
    variance = weights**2 @ rate
    z = value / np.sqrt(variance)
    if abs(z) < 1e-3:  # the formula is 0/0 here: use the first terms of Edgeworth's series
        skewness = weights**3 @ rate / variance**1.5
        return float(norm.sf(z) - norm.pdf(z) * skewness / 6 * (1 - z**2))
    # Solve K'(t) = value for the cumulant generating function K, by Newton's method.
    t = value / variance
    longest = 1 / np.abs(weights).max()  # a longer step could make the exponentials overflow
    for _ in range(100):
        growth = np.exp(t * weights)
        slope = weights * rate @ (growth - 1) - value
        curvature = weights**2 * rate @ growth
        step = np.clip(slope / curvature, -longest, longest)
        t -= step
        if abs(step) <= 1e-9 * abs(t):
            break
    cumulant = rate @ (np.expm1(t * weights) - t * weights)
    root = np.sign(t) * np.sqrt(2 * (t * value - cumulant))
    other = t * np.sqrt(weights**2 * rate @ np.exp(t * weights))
    return float(np.clip(norm.sf(root) + norm.pdf(root) * (1 / other - 1 / root), 0, 1))


def _tail_by_drawing(value, weights, rate):
    """Probability of a sum of few electrons: each falls on a pixel in proportion to its rate."""
    rng = np.random.default_rng(0)  # the same chance for the same counts
    n = rng.poisson(rate.sum(), size=_N_DRAWS)
    share = np.cumsum(rate) / rate.sum()
    hit = np.searchsorted(share, rng.random(n.sum()), side="right")
    drawn = np.repeat(np.arange(_N_DRAWS), n)
    sums = np.bincount(drawn, weights[np.minimum(hit, len(rate) - 1)], minlength=_N_DRAWS)
    # Sums that are equal but for rounding reach the value.
    reached = np.count_nonzero(sums - weights @ rate >= value - 1e-9 * np.abs(weights).max())
    return (1 + reached) / (1 + _N_DRAWS)
