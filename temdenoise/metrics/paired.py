"""Methods compared on raw counts alone, as paired differences of their squared errors."""

from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist

import numpy as np
import pandas as pd

from temdenoise._calls import only_taken
from temdenoise._validation import check_images, check_mask
from temdenoise.images import pixel_size_of
from temdenoise.metrics._held_out import (
    difference_of_image,
    find_limit,
    hold_out,
    mean_of_images,
    mean_risk,
)
from temdenoise.metrics._scoring import with_pixel_size, without_hidden
from temdenoise.noise._gate import refuse_unless_counts


def paired_risk(
    denoisers,
    counts,
    *,
    mask=None,
    pixel_size=None,
    share=0.1,
    n_draws=5,
    binning="auto",
    random_state=0,
):
    """Compare denoisers on raw counts, without a clean image.

    A share of the electrons is held out, all methods denoise the rest, and their estimates are
    tested on what was held out. The result is the expected squared error of each method (its risk)
    and, what matters more, its difference to that of the first method. The shot noise of the
    electrons held out hits all methods alike: the difference is many times better known than the
    risk itself. From few frames, trust the differences alone.

    Parameters
    ----------
    denoisers : dict of str to (fitted denoiser or callable), or a sequence of them
        The methods, by name; the methods of a sequence are named 0, 1, 2 ... All are compared with
        the first. A callable maps counts (n_images, height, width) to estimates of the same shape.
        ``mask`` and ``pixel_size`` are passed on to those that take them. A method that learns from
        the very frames must not see the electrons held out: give a function that trains it anew,
        ``lambda X: clone(method).fit_transform(X)``.
    counts : array-like of shape (n_images, height, width)
        Electron counts: whole numbers, of any real dtype. They should be Poisson distributed and
        independent of each other (`temdenoise.analyze_noise` tells).
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels that do not count. They may hold anything.
    pixel_size : float or "auto", default=None
        Side of a pixel in pm, for methods that take it. By default that of `counts`, if they know
        it.
    share : float, default=0.1
        Share of the electrons that is held out in a draw.
    n_draws : int, default=5
        Number of draws. Each method denoises the frames once for each draw. More draws scatter
        less. No electron is held out twice, so ``n_draws * share`` is at most 1.
    binning : int or "auto", default="auto"
        Side, in pixels, of bins that would lose nothing of the clean image. The risk leaves out the
        noise at frequencies above ``0.4 / binning`` cycles per pixel, which such bins do not hold,
        and so scatters less. "auto" leaves out those above 1.28 1/Angstrom if the pixel size is
        known, otherwise what the spectrum of the frames allows. 1 leaves out none. The differences
        are always measured at all frequencies.
    random_state : None, int or RandomState, default=0
        Determines which electrons are held out.

    Returns
    -------
    table : pandas.DataFrame
        A row for each method, with the columns ``risk`` and ``risk_se``, its standard error;
        ``difference``, the risk less that of the first method (below zero is better), and
        ``difference_se``, its own standard error, in (counts per pixel)**2; and ``z``, the
        difference in units of its standard error. The difference of the first method is 0, its z
        is NaN.

    Raises
    ------
    TypeError
        If a method is neither a callable nor has a ``transform``.
    ValueError
        If there is no method, the values are no counts or frames share their noise
        (`temdenoise.noise.check_counts`), all pixels are masked, a method returns another
        shape or values that are not finite, or a parameter is out of range.

    Warns
    -----
    CountsWarning
        If the values may not be counts.

    See Also
    --------
    upsnr_scorer : the risk of one method, for scikit-learn's model selection.
    compare_risk : two methods, or two estimates, with a verdict.
    unbiased_mse : the risk of an estimate on counts that it has not seen.
    pure_risk : the risk of an estimate of all counts, for methods that depend smoothly on them.

    Notes
    -----
    The risk is that of denoising a share ``1 - share`` of the electrons. With the default share it
    is 1.07 to 1.09 times the risk at all counts, with half of the electrons 1.5 to 1.8 times. A
    method that wins at the low dose alone can win wrongly: keep the share small.

    The risk is measured as by `unbiased_mse`, of the method of smallest risk only. The risks of the
    others are that plus their difference.

    Counts that are not quite Poisson, or not independent of each other, shift the risks of all
    methods alike, even to below zero: one more reason to trust the differences alone.

    The standard errors are from the shot noise of the electrons held out, with an upper bound of
    the correlation between draws. Of 20 frames or more they are from the spread over the frames, if
    this is larger.

    Examples
    --------
    >>> from temdenoise import LowPassDenoiser, load_sample_movie
    >>> from temdenoise.metrics import paired_risk
    >>> movie = load_sample_movie().data[:2, :256, :256]
    >>> methods = {f"cutoff {c}": LowPassDenoiser(cutoff=c).fit(movie) for c in (0.02, 0.04)}
    >>> table = paired_risk(methods, movie, n_draws=2)
    >>> bool(table["z"]["cutoff 0.04"] > 3)  # it lets too much noise pass
    True
    """
    functions = _as_functions(denoisers)
    said = pixel_size_of(counts) if pixel_size is None else pixel_size
    known = None if isinstance(said, str) else said
    X = check_images(without_hidden(counts, mask), estimator_name="paired_risk", name="counts")
    mask = check_mask(mask, X.shape)
    trusted = None if mask is None else ~mask
    held_out = hold_out(X, share, n_draws, random_state)
    refuse_unless_counts("counts", X, mask, frames=True)
    limit = find_limit(binning, X, known)

    def estimates(name):
        """Estimated mean counts of each draw, (n_draws, n_images, height, width)."""
        function = functions[name]
        taken = only_taken(function, mask=mask, pixel_size=said)
        rates = []
        for part in held_out:
            denoised = np.asarray(function(with_pixel_size(X - part, known), **taken))
            _check_estimate(denoised, X.shape, trusted, name)
            rates.append(denoised / np.float32(1 - share))
        return np.stack(rates)

    first = best_rates = None
    best = 0.0
    rows = {}
    for name in functions:
        rates = estimates(name)
        if first is None:
            first = best_rates = rates
            rows[name] = (0.0, 0.0)
            continue
        rows[name] = mean_of_images(
            [
                difference_of_image(
                    first[:, k], rates[:, k], held_out[:, k], share,
                    None if trusted is None else trusted[k],
                )
                for k in range(len(X))
            ]
        )  # fmt: skip
        if rows[name][0] < best:
            best, best_rates = rows[name][0], rates
    return risk_table(rows, mean_risk(best_rates, held_out, share, limit, trusted))


def risk_table(differences, of_best):
    """Table of methods: their risks, and the differences to that of one of them.

    Parameters
    ----------
    differences : dict of str to (float, float)
        Difference to the risk of one method, and its standard error.
    of_best : (float, float)
        Risk of the method of smallest difference, and its standard error.

    Returns
    -------
    table : pandas.DataFrame
        As `paired_risk` returns it.
    """
    columns = ["difference", "difference_se"]
    table = pd.DataFrame.from_dict(differences, orient="index", columns=columns)
    table.insert(0, "risk", of_best[0] + table["difference"] - table["difference"].min())
    # What is added to the risk of the best has an error of its own.
    best = table["difference"].idxmin()
    added = np.hypot(table["difference_se"], table["difference_se"][best]).where(
        table.index != best, 0.0
    )
    table.insert(1, "risk_se", np.hypot(of_best[1], added))
    table["z"] = table["difference"] / table["difference_se"].where(table["difference_se"] > 0)
    return table


@dataclass(frozen=True)
class RiskComparison:
    """Which of two methods or estimates has the smaller squared error, if it can be told.

    Printed, it is a sentence. See `compare_risk`.

    Attributes
    ----------
    verdict : {"a is better", "b is better", "cannot tell"}
        What the interval says. If it holds 0, the counts cannot tell.
    difference : float
        Mean squared error of b less that of a, in (counts per pixel)**2; below zero b is better.
    standard_error : float
        Of the difference.
    z : float
        The difference in units of its standard error; NaN if a and b are the same.
    interval : (float, float)
        Confidence interval of the difference.
    confidence : float
        Its level.
    """

    verdict: str
    difference: float
    standard_error: float
    z: float
    interval: tuple
    confidence: float

    def __str__(self):
        """Say the verdict and the difference."""
        return (
            f"{self.verdict}: the squared error of b less that of a is {self.difference:.2g} +- "
            f"{self.standard_error:.1g} (counts/px)^2, with {100 * self.confidence:g} % confidence "
            f"from {self.interval[0]:.2g} to {self.interval[1]:.2g}"
        )


def compare_risk(
    a,
    b,
    counts,
    *,
    mask=None,
    pixel_size=None,
    share=0.1,
    n_draws=5,
    confidence=0.95,
    random_state=0,
):
    """Compare two methods, or two estimates, on raw counts, without a clean image.

    What shot noise does to both alike cancels in the difference of their squared errors. The
    difference is therefore known many times better than each of the errors, and is what can rank
    methods. "cannot tell" is an answer: more frames tell more.

    Parameters
    ----------
    a, b : fitted denoiser or callable, or array-like of the shape of `counts`
        Two methods, as for `paired_risk`: they denoise the counts less those held out. Or two
        estimates, in counts per pixel of `counts`: then `counts` must be independent of the counts
        that were denoised, such as the other part of `temdenoise.thin_counts` or the next frame of
        a scene that stands still. An estimate of these very counts would be praised for the noise
        that it keeps.
    counts : array-like of shape (n_images, height, width)
        Electron counts; for methods whole numbers. For estimates also one image (height, width).
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels that do not count. They may hold anything.
    pixel_size : float or "auto", default=None
        Side of a pixel in pm, for methods that take it. By default that of `counts`.
    share : float, default=0.1
        Share of the electrons that is held out in a draw. Not used for estimates.
    n_draws : int, default=5
        Number of draws. Not used for estimates.
    confidence : float, default=0.95
        Level of the interval, between 0 and 1.
    random_state : None, int or RandomState, default=0
        Determines which electrons are held out.

    Returns
    -------
    comparison : RiskComparison
        ``verdict``, ``difference``, ``standard_error``, ``z``, ``interval``.

    Raises
    ------
    TypeError
        If one is a method and the other an estimate.
    ValueError
        If the shapes differ, an estimate is not finite, `confidence` is out of range, or as
        `paired_risk`.

    See Also
    --------
    paired_risk : several methods, in a table.

    Examples
    --------
    >>> from temdenoise import LowPassDenoiser, load_sample_movie
    >>> from temdenoise.metrics import compare_risk
    >>> movie = load_sample_movie().data[:2, :256, :256]
    >>> smooth, sharp = (LowPassDenoiser(cutoff=c).fit(movie) for c in (0.02, 0.04))
    >>> print(compare_risk(smooth, sharp, movie, n_draws=2))
    a is better: the squared error of b less that of a is ... +- ... (counts/px)^2, with 95 % ...
    >>> compare_risk(smooth, LowPassDenoiser(cutoff=0.0201).fit(movie), movie, n_draws=2).verdict
    'cannot tell'
    """
    confidence = _check_confidence(confidence)
    methods = [callable(each) or hasattr(each, "transform") for each in (a, b)]
    if all(methods):
        row = paired_risk(
            {"a": a, "b": b}, counts, mask=mask, pixel_size=pixel_size, share=share,
            n_draws=n_draws, binning=1, random_state=random_state,
        ).loc["b"]  # fmt: skip
        difference, error = float(row["difference"]), float(row["difference_se"])
    elif any(methods):
        raise TypeError(
            "a and b must be two methods (fitted denoisers or functions) or two estimates "
            f"(arrays); got {type(a).__name__} and {type(b).__name__}."
        )
    else:
        difference, error = _of_estimates(a, b, counts, mask)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    low, high = difference - half, difference + half
    verdict = "a is better" if low > 0 else "b is better" if high < 0 else "cannot tell"
    z = difference / error if error > 0 else np.nan
    return RiskComparison(verdict, difference, error, z, (low, high), confidence)


def _check_confidence(confidence):
    if not (isinstance(confidence, Real) and 0 < confidence < 1):
        raise ValueError(
            f"confidence must be a number between 0 and 1, excluded; got {confidence!r}."
        )
    return float(confidence)


def _of_estimates(a, b, counts, mask):
    """Difference of the squared errors of two estimates, and its standard error."""
    if np.ndim(counts) == 2:
        a, b, counts = (np.asarray(image)[None] for image in (a, b, counts))
    counts = check_images(
        without_hidden(counts, mask), estimator_name="compare_risk", name="counts", counts=True
    )
    mask = check_mask(mask, counts.shape)
    trusted = None if mask is None else ~mask
    estimates = []
    for estimate, name in ((a, "a"), (b, "b")):
        estimate = np.asarray(estimate)
        if estimate.dtype.kind not in "biuf" or estimate.shape != counts.shape:
            raise ValueError(
                f"{name} must be real numbers of the shape of counts, {counts.shape}; got "
                f"{estimate.dtype} of shape {estimate.shape}."
            )
        if not np.isfinite(estimate).all(where=True if trusted is None else trusted):
            raise ValueError(f"{name} holds NaN or infinity.")
        estimates.append(estimate)
    return mean_of_images(
        [
            difference_of_image(
                *(estimate[None, k] for estimate in estimates), counts[None, k], 1.0,
                None if trusted is None else trusted[k],
            )
            for k in range(len(counts))
        ]
    )  # fmt: skip


def _as_functions(denoisers):
    if not isinstance(denoisers, dict):
        if not isinstance(denoisers, list | tuple):
            raise TypeError(
                "denoisers must be a dict of names to denoisers, or a list of denoisers, got "
                f"{denoisers!r}."
            )
        denoisers = dict(enumerate(denoisers))
    if not denoisers:
        raise ValueError("denoisers must hold at least one method.")
    functions = {}
    for name, denoiser in denoisers.items():
        transform = getattr(denoiser, "transform", None)
        functions[name] = transform if callable(transform) else denoiser
        if not callable(functions[name]) or isinstance(denoiser, type):
            raise TypeError(
                f"denoisers: {name!r} must be a fitted denoiser or a function of images "
                f"(n_images, height, width), got {denoiser!r}."
            )
    return functions


def _check_estimate(denoised, shape, trusted, name):
    if denoised.dtype.kind not in "biuf" or denoised.shape != shape:
        raise ValueError(
            f"denoisers: {name!r} must return real images of shape {shape}; it returned "
            f"{denoised.dtype} of shape {denoised.shape}."
        )
    if not np.isfinite(denoised).all(where=True if trusted is None else trusted):
        raise ValueError(f"denoisers: {name!r} returned NaN or infinity.")
