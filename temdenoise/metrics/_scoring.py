"""Scores of estimates, image by image: code that the scorers and `evaluate` share."""

from functools import partial
from inspect import Parameter

import numpy as np

from temdenoise._calls import only_taken, parameters_of
from temdenoise._validation import check_mask
from temdenoise.images import ImageStack
from temdenoise.metrics.atom_metrics import atom_f1, atom_jaccard, atom_precision, atom_recall
from temdenoise.metrics.image_quality import psnr, ssim

METRICS = {
    "psnr": psnr,
    "ssim": ssim,
    "atom_precision": atom_precision,
    "atom_recall": atom_recall,
    "atom_f1": atom_f1,
    "atom_jaccard": atom_jaccard,
}

_LARGEST = float(np.finfo(np.float32).max)

# Score of an estimate that cannot be scored. It is finite, because scikit-learn computes means and
# standard deviations of scores. No finite float32 image has a lower PSNR.
_WORST = {psnr: -20 * np.log10(_LARGEST), ssim: -1.0} | dict.fromkeys(
    (atom_precision, atom_recall, atom_f1, atom_jaccard), 0.0
)

# Keywords that describe the images. They are left out for methods that do not take them. Any other
# unknown keyword is a mistake, and `transform` raises the error.
_ABOUT_IMAGES = ("mask", "pixel_size")


def find_metric(metric):
    """Return the function of a metric, given by name or as a callable.

    Parameters
    ----------
    metric : str or callable

    Returns
    -------
    metric : callable

    Raises
    ------
    ValueError
        If there is no metric of this name.
    """
    if callable(metric):
        return metric
    if isinstance(metric, str) and metric in METRICS:
        return METRICS[metric]
    raise ValueError(f"metric must be a callable or one of {sorted(METRICS)}, got {metric!r}.")


def named_metrics(metrics, name="metrics"):
    """Return a dict of name to function, from a sequence of names or a dict of name to metric.

    Parameters
    ----------
    metrics : sequence of str, or dict of str to (str or callable)
    name : str, default="metrics"
        Name of the argument in the error messages.

    Returns
    -------
    metrics : dict of str to callable

    Raises
    ------
    ValueError
        If `metrics` is neither, is empty, or holds an unknown name.
    """
    if not isinstance(metrics, dict):
        sequence = isinstance(metrics, list | tuple)
        if not sequence or not all(isinstance(m, str) for m in metrics):
            raise ValueError(
                f"{name} must be a sequence of names or a dict of name to metric, got {metrics!r}."
            )
        metrics = {m: m for m in metrics}
    if not metrics:
        raise ValueError(f"{name} must hold at least one metric.")
    return {key: find_metric(metric) for key, metric in metrics.items()}


def worst_score(metric, *, greater_is_better=True):
    """Return the score of an estimate that cannot be scored.

    Parameters
    ----------
    metric : callable
        `functools.partial` of a metric counts as the metric itself.
    greater_is_better : bool, default=True

    Returns
    -------
    worst : float
        -771 dB for `psnr`, -1 for `ssim`, 0 for scores of atoms. For any other metric the lowest
        number of float32, or the largest if a smaller score is better.
    """
    while isinstance(metric, partial):
        metric = metric.func
    if not greater_is_better:
        return _LARGEST
    return _WORST.get(metric, -_LARGEST)


def image_scores(metric, clean, denoised, *, mask=None, pixel_size=None, worst=None):
    """Score each image.

    Parameters
    ----------
    metric : callable
        See `temdenoise.metrics.make_denoising_scorer`.
    clean : ndarray of shape (n_images, height, width)
        Clean images.
    denoised : array-like of shape (n_images, height, width)
        Their estimates.
    mask : None or bool ndarray of the same shape
        True marks pixels that do not count.
    pixel_size : float or None
        Pixel size in pm, for metrics that take it.
    worst : float, optional
        Score of an estimate that cannot be scored. The estimate is not finite, or its metric is NaN
        or raises ValueError although the clean image can be scored against itself. By default that
        of `worst_score`.

    Returns
    -------
    scores : ndarray of shape (n_images,)
        If the metric returns one number for all images, each image has this score.

    Raises
    ------
    ValueError
        If the estimate has another shape or is not real, or the metric raises ValueError for the
        clean images as well.
    """
    if pixel_size is not None and _is_open(metric, "pixel_size"):
        metric = partial(metric, pixel_size=pixel_size)
    worst = worst_score(metric) if worst is None else worst
    denoised = _check_estimate(denoised, clean)
    usable = np.isfinite(denoised)
    usable = (usable if mask is None else usable | mask).all(axis=(1, 2))
    scores = np.full(len(clean), float(worst))
    if usable.any():
        hidden = None if mask is None else mask[usable]
        scores[usable] = _finite_scores(metric, clean[usable], denoised[usable], hidden, worst)
    return scores


def denoise(estimator, X, params):
    """Call ``transform`` without those keywords on the images that it does not take.

    Parameters
    ----------
    estimator : object
        With a ``transform``.
    X : array of shape (n_images, height, width)
    params : dict
        Keywords. ``mask`` and ``pixel_size`` are left out if ``transform`` does not take them. All
        others are passed on.

    Returns
    -------
    denoised : ndarray of shape (n_images, height, width)
    """
    transform = estimator.transform
    known = {name: params[name] for name in _ABOUT_IMAGES if name in params}
    others = {name: value for name, value in params.items() if name not in known}
    return transform(X, **only_taken(transform, **known), **others)


def without_hidden(X, mask):
    """Replace NaN, infinity and negative counts on masked pixels by zeros.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width)
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)

    Returns
    -------
    X : array-like of shape (n_images, height, width)
        `X` itself if there is nothing to do.
    """
    if mask is None:
        return X
    values = np.asarray(X)
    if values.ndim != 3 or values.dtype.kind not in "if":
        return X  # `check_images` raises the error if X is not valid
    hidden = check_mask(mask, values.shape)
    if hidden is None:
        return X
    return np.where(hidden & ~((values >= 0) & (values < np.inf)), 0, values)


def with_pixel_size(images, pixel_size):
    """Return the images as an `ImageStack` if their pixel size is known.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width)
    pixel_size : float or None
        In pm.

    Returns
    -------
    images : ImageStack or ndarray of shape (n_images, height, width)
    """
    return images if pixel_size is None else ImageStack(images, pixel_size)


def needs_pixel_size(metric):
    """Whether a metric has a parameter ``pixel_size`` without a value."""
    return _is_open(metric, "pixel_size")


def _check_estimate(denoised, clean):
    denoised = np.asarray(denoised)
    if denoised.dtype.kind not in "biuf":
        raise ValueError(f"transform must return real numbers, got dtype {denoised.dtype}.")
    if denoised.shape != clean.shape:
        raise ValueError(
            f"transform must return images of the same shape, {clean.shape}; it returned "
            f"{denoised.shape}."
        )
    return denoised


def _finite_scores(metric, clean, denoised, mask, worst):
    try:
        scores = _call(metric, clean, denoised, mask)
    except ValueError as error:
        scores, fault = np.array(np.nan), error
    else:
        fault = None
    if not np.isnan(scores).any():
        return scores
    if len(clean) > 1:  # the others are scored
        hidden = (
            [None] * len(clean) if mask is None else [mask[k : k + 1] for k in range(len(clean))]
        )
        return np.concatenate(
            [
                np.atleast_1d(
                    _finite_scores(metric, clean[k : k + 1], denoised[k : k + 1], hidden[k], worst)
                )
                for k in range(len(clean))
            ]
        )
    # If the clean image cannot be scored either, this raises an error.
    of_clean = _call(metric, clean, clean, mask)
    return scores if fault is None and np.isnan(of_clean).any() else np.array(float(worst))


def _call(metric, clean, denoised, mask):
    """Values of a metric without the pixels of a mask: one value, or one per image."""
    if mask is None:
        scores = metric(clean, denoised)
    elif _is_open(metric, "mask"):
        scores = metric(clean, denoised, mask=mask)
    elif (finding := _default(metric, "find_params")) is not Parameter.empty:
        # atoms are searched outside the mask
        scores = [
            metric(*pair, find_params={**(finding or {}), "mask": hidden})
            for *pair, hidden in zip(clean, denoised, mask, strict=True)
        ]
    else:
        scores = metric(clean, np.where(mask, clean, denoised))  # masked pixels have no error
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape not in ((), (len(clean),)):
        raise TypeError(
            f"A metric must return one number, or one for each of the {len(clean)} images. It "
            f"returned an array of shape {scores.shape}."
        )
    return scores


def _default(metric, name):
    """Return the default of a metric's parameter; `Parameter.empty` if there is none."""
    parameters = parameters_of(metric)
    return parameters[name].default if name in parameters else Parameter.empty


def _is_open(metric, name):
    """Whether a metric has a parameter of this name without a value."""
    return _default(metric, name) is None
