"""Methods compared on raw counts alone, as paired differences of their squared errors."""

import numpy as np
import pandas as pd

from temdenoise._calls import only_taken
from temdenoise._validation import check_images, check_mask
from temdenoise.images import pixel_size_of
from temdenoise.metrics._held_out import (
    difference_of_image,
    find_side,
    hold_out,
    mean_difference,
    mean_risk,
    risk_of_bins,
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
        Side, in pixels, of the bins on which the risk is measured. It scatters less on bins than
        on pixels. "auto" takes about 31 pm if the pixel size is known, otherwise what the spectrum
        of the frames allows. The differences are always measured on pixels.
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
        (`temdenoise.noise.check_counts`), no bin is free of masked pixels, a method returns another
        shape or values that are not finite, or a parameter is out of range.

    Warns
    -----
    CountsWarning
        If the values may not be counts.

    See Also
    --------
    upsnr_scorer : the risk of one method, for scikit-learn's model selection.
    unbiased_mse : the risk of an estimate on counts that it has not seen.
    pure_risk : the risk of an estimate of all counts, for methods that depend smoothly on them.

    Notes
    -----
    The risk is that of denoising a share ``1 - share`` of the electrons. With the default share it
    is 1.07 to 1.09 times the risk at all counts, with half of the electrons 1.5 to 1.8 times. A
    method that wins at the low dose alone can win wrongly: keep the share small.

    On bins, the risk is that of a smooth curve through the bin means of the estimate, and the
    difference between this curve and the estimate is measured on pixels. What is left out is the
    error of the curve inside the bins: some 7 % of the error at a lattice spacing of seven bins.
    Only the method of smallest risk is measured like this. The risks of the others are that plus
    their difference.

    Counts that are not quite Poisson, or not independent of each other, shift the risks of all
    methods alike, even to below zero: one more reason to trust the differences alone.

    The standard error of a difference is from the shot noise of the electrons held out, with an
    upper bound of the correlation between draws. Of 20 frames or more it is from the spread over
    the frames, if this is larger.

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
    side = find_side(binning, X, known)

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
        rows[name] = mean_difference(
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
    risk, risk_se = mean_risk(*risk_of_bins(best_rates, held_out, share, side, mask))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "difference_se"])
    table.insert(0, "risk", risk + table["difference"] - best)
    table.insert(1, "risk_se", risk_se)
    table["z"] = table["difference"] / table["difference_se"].where(table["difference_se"] > 0)
    return table


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
