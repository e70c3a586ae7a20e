"""Score a fitted denoiser."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from temdenoise._validation import check_images, check_mask, check_pair
from temdenoise.metrics._scoring import (
    denoise,
    find_metric,
    image_scores,
    named_metrics,
    needs_pixel_size,
    with_pixel_size,
    without_hidden,
)
from temdenoise.metrics.scorers import known_pixel_sizes, with_found_pixel_size
from temdenoise.model_selection._generalization import as_labels, as_stack
from temdenoise.noise import PoissonNoise, draw_noise

# Name of the row of all images.
_ALL = "all"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a denoiser, as `evaluate` returns them.

    Attributes
    ----------
    images : pandas.DataFrame
        One row per image: its group if there are groups, and each metric as the mean over the draws
        of noise.
    summary : pandas.DataFrame
        One row per group, and a last row ``"all"`` for all images: ``n_images``, and for each
        metric the mean over images and its standard error ``<metric>_sem``.

    Examples
    --------
    >>> import pandas as pd
    >>> from temdenoise.model_selection import Evaluation
    >>> images = pd.DataFrame({"psnr": [30.0, 32.0]})
    >>> Evaluation(images, pd.DataFrame({"n_images": 2, "psnr": 31.0, "psnr_sem": 1.0}, ["all"]))
         n_images  psnr  psnr_sem
    all         2    31         1
    """

    images: pd.DataFrame
    summary: pd.DataFrame

    def __repr__(self):
        return self.summary.to_string(float_format="{:.4g}".format)

    def _repr_html_(self):
        return self.summary.to_html(float_format="{:.4g}".format)


@validate_params(
    {
        "denoiser": [HasMethods(["transform"])],
        "scoring": [str, list, tuple, dict, callable],
        "noise": [None, HasMethods("sample")],
        "n_realizations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "transform_params": [None, dict],
        "batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def evaluate(
    denoiser,
    X,
    y=None,
    *,
    scoring=("psnr", "ssim"),
    groups=None,
    noise=None,
    n_realizations=1,
    random_state=0,
    mask=None,
    pixel_size=None,
    transform_params=None,
    batch_size=None,
    verbose=False,
):
    """Score a fitted denoiser on each image, without fitting it again.

    ``cross_val_score`` and similar functions fit a clone in every fold, so they would train a new
    network instead of a pretrained one. This function uses the denoiser as it is.

    Parameters
    ----------
    denoiser : fitted denoiser
        A fitted denoiser, or any object with a ``transform``.
    X : array-like of shape (n_images, height, width)
        Noisy images if `y` is given; otherwise clean images, on which noise is drawn. In counts per
        pixel. The pixel size of a `temdenoise.ImageStack` is passed to ``transform`` and to the
        metrics. The images may be memory-mapped, see `batch_size`.
    y : array-like of shape (n_images, height, width), optional
        Clean images.
    scoring : str, callable, sequence of str, or dict, default=("psnr", "ssim")
        Metrics, by name or as callables ``metric(clean, denoised)``, as for
        `temdenoise.metrics.make_denoising_scorer`. Use a dict of name to metric for several
        callables.
    groups : array-like of shape (n_images,), optional
        Group of each image, such as its structure.
    noise : object with a method ``sample``, optional
        Noise model, used if `y` is not given. By default `temdenoise.PoissonNoise`, in counts per
        pixel.
    n_realizations : int, default=1
        Number of draws of noise for each image.
    random_state : int, RandomState instance or None, default=0
        Seed of the noise. The default gives the same noise as ``denoiser.score(X)`` and the
        scorers.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels not to trust. They do not count in the scores. The mask is passed to
        ``transform`` if it takes one.
    pixel_size : float or "auto", optional
        Pixel size in pm, for ``transform`` and metrics that take it. By default the one that the
        images know.
    transform_params : dict, optional
        Other keywords of ``transform``.
    batch_size : int, optional
        Number of images that are denoised at a time. It limits the memory. By default all.
    verbose : bool or int, default=False
        Show a progress bar. It is updated after every batch.

    Returns
    -------
    evaluation : Evaluation
        ``evaluation.images`` and ``evaluation.summary``, two tables.

    Raises
    ------
    NotFittedError
        If `denoiser` is not fitted.
    ValueError
        If the images, `mask` or `groups` are not valid or do not fit each other, a metric is
        unknown, a group is called "all", or parameters of the noise are given together with `y`.
    TypeError
        If a metric does not return one number, or one per image.

    See Also
    --------
    temdenoise.model_selection.benchmark : The experiment of the paper's Table 5.1.
    temdenoise.model_selection.generalization_matrix : Train on each group, test on each.

    Notes
    -----
    The standard error is the standard deviation over images (of the mean over the draws of noise)
    divided by the root of their number. Images of one group are not independent of each other.
    Therefore, with groups, the standard error of all images is that over groups, each weighted by
    its share of the images. For groups of equal size it is the standard deviation of their means
    divided by the root of the number of groups. It is not reliable for fewer than about five
    groups, and is NaN for a single image, or a single group.

    An estimate that cannot be scored gets the worst score, see
    `temdenoise.metrics.make_denoising_scorer`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.model_selection import evaluate
    >>> clean = np.full((4, 64, 64), 0.45)
    >>> denoiser = LowPassDenoiser().fit(clean)
    >>> result = evaluate(denoiser, clean, groups=list("aabb"))
    >>> result.images.columns.tolist(), result.summary.index.tolist()
    (['group', 'psnr', 'ssim'], ['a', 'b', 'all'])
    >>> bool(np.isclose(result.summary.loc["all", "psnr"], denoiser.score(clean)))
    True
    """
    if hasattr(denoiser, "fit"):
        check_is_fitted(denoiser)
    metrics = _metrics(scoring)
    of_noisy, of_clean = known_pixel_sizes(X, y)
    X = as_stack(X)
    y = None if y is None else as_stack(y)
    n = len(X)
    if y is not None:
        if X.shape != y.shape:
            check_pair(X, y, estimator_name="evaluate")  # raises the error
        if noise is not None or n_realizations != 1:
            raise ValueError(
                "With y, X is noisy already: leave out noise and n_realizations, or leave out y to "
                "have noise drawn on X."
            )
    if groups is not None:
        groups = as_labels("groups", groups, n)
        if _ALL in set(groups.tolist()):
            raise ValueError(f"No group may be called {_ALL!r}, the row of all images: rename it.")
    mask = check_mask(mask, X.shape)
    noise = PoissonNoise() if noise is None else noise
    rng = check_random_state(random_state)
    keywords = {"mask": mask, "pixel_size": pixel_size}
    keywords = {name: value for name, value in keywords.items() if value is not None}
    keywords |= transform_params or {}

    size = n if batch_size is None else batch_size
    totals = {name: np.zeros(n) for name in metrics}
    with tqdm(total=n * n_realizations, unit="image", disable=not verbose) as bar:
        for _ in range(n_realizations):
            for first in range(0, n, size):
                part = slice(first, min(first + size, n))
                hidden = None if mask is None else mask[part]
                clean = None if y is None else y[part]
                noisy, clean = _pair(X[part], clean, hidden, noise, rng)
                noisy = with_pixel_size(noisy, of_noisy)
                params = keywords if mask is None else keywords | {"mask": hidden}
                if any(needs_pixel_size(metric) for metric in metrics.values()):
                    params = with_found_pixel_size(denoiser, noisy, params)
                denoised = denoise(denoiser, noisy, params)
                scale = params.get("pixel_size", of_clean)
                for name, metric in metrics.items():
                    totals[name][part] += _scores(metric, clean, denoised, hidden, scale)
                bar.update(part.stop - part.start)
    images = pd.DataFrame({name: total / n_realizations for name, total in totals.items()})
    images.index.name = "image"
    summary = _summary(images, groups)
    if groups is not None:
        images.insert(0, "group", groups)
    return Evaluation(images, summary)


def _pair(X, y, mask, noise, rng):
    """Noisy and clean images, checked. Without `y`, X is clean and noise is drawn on it."""
    X = without_hidden(X, mask)
    if y is not None:
        return check_pair(X, without_hidden(y, mask), estimator_name="evaluate")
    clean = check_images(X, estimator_name="evaluate", counts=True)
    return draw_noise(noise, clean, rng)


def _scores(metric, clean, denoised, mask, pixel_size):
    """Score one image after the other, because a metric may return one number for all images."""
    denoised = np.asarray(denoised)
    if denoised.shape != clean.shape:
        image_scores(metric, clean, denoised)  # raises the error
    scores = []
    for k in range(len(clean)):
        one = slice(k, k + 1)
        hidden = None if mask is None else mask[one]
        scores.append(
            image_scores(metric, clean[one], denoised[one], mask=hidden, pixel_size=pixel_size)[0]
        )
    return np.array(scores)


def _metrics(scoring):
    if hasattr(scoring, "set_score_request"):
        raise ValueError(
            "scoring must be a metric, not a scorer: pass its metric, for instance scoring='psnr', "
            "and its noise=, n_realizations= and random_state=."
        )
    if isinstance(scoring, str):
        scoring = [scoring]
    elif callable(scoring):
        scoring = {getattr(scoring, "__name__", "score"): scoring}
    metrics = {
        name: find_metric(metric) for name, metric in named_metrics(scoring, "scoring").items()
    }
    reserved = {"group", "n_images"} & set(metrics)
    if reserved:
        raise ValueError(f"No metric may be called {reserved.pop()!r}, which is another column.")
    return metrics


def _summary(images, groups):
    """Means and standard errors, of each group and of all images."""
    rows = {}
    labels = [] if groups is None else np.unique(groups).tolist()
    for label in labels:
        rows[label] = _row(images[groups == label])
    rows[_ALL] = _row(images, groups)
    summary = pd.DataFrame.from_dict(rows, orient="index")
    return summary.astype({"n_images": int}).rename_axis(None if groups is None else "group")


def _row(images, groups=None):
    row = {"n_images": len(images)}
    for name, scores in images.items():
        row[name] = scores.mean()
        row[f"{name}_sem"] = scores.sem() if groups is None else _cluster_sem(scores, groups)
    return row


def _cluster_sem(scores, groups):
    """Return the standard error of a mean over images of which only groups are independent."""
    sums = (scores - scores.mean()).groupby(groups).sum()
    n = len(sums)
    if n < 2:
        return np.nan
    return np.sqrt(n / (n - 1) * (sums**2).sum()) / len(scores)
