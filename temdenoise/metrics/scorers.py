"""Scorers: callables ``scorer(estimator, X, y=None)`` for ``scoring=`` in scikit-learn.

All scorers follow one rule. With ``y``, X is noisy and y is clean. Without ``y``, X is clean and
the scorer draws noise with a fixed seed, so that all candidates are compared on the same noise.
"""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metadata_routing import MetadataRequest

from temdenoise._validation import check_images, check_mask, check_pair
from temdenoise.images import pixel_size_of
from temdenoise.metrics._band import Band
from temdenoise.metrics._held_out import find_limit, hold_out, mean_risk
from temdenoise.metrics._scoring import (
    denoise,
    find_metric,
    image_scores,
    named_metrics,
    needs_pixel_size,
    with_pixel_size,
    without_hidden,
    worst_score,
)
from temdenoise.metrics.image_quality import psnr
from temdenoise.noise import PoissonNoise, draw_noise
from temdenoise.noise._gate import refuse_unless_counts


class _Scorer(BaseEstimator):
    """Base of all scorers: representation, cloning, and routing of keywords to `transform`.

    It is a scikit-learn estimator only to have its parameters (clone, repr) and metadata requests.
    """

    def set_score_request(self, **requests):
        """Request keywords of `transform` for scikit-learn's metadata routing.

        Parameters
        ----------
        **requests : bool, None or str
            For each keyword (``pixel_size=True``), as in the estimators' methods of this name.

        Returns
        -------
        self : object
            The scorer.
        """
        routing = MetadataRequest(owner=self)
        for name, alias in requests.items():
            routing.score.add_request(param=name, alias=alias)
        self._metadata_request = routing
        return self


class _DenoisingScorer(_Scorer):
    """One or several metrics of one `transform`."""

    _parameter_constraints = {
        "metric": [dict, callable],
        "noise": [None, HasMethods("sample")],
        "n_realizations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "greater_is_better": ["boolean"],
    }

    def __init__(
        self, metric, *, noise=None, n_realizations=1, random_state=0, greater_is_better=True
    ):
        self.metric = metric
        self.noise = noise
        self.n_realizations = n_realizations
        self.random_state = random_state
        self.greater_is_better = greater_is_better

    def __call__(self, estimator, X, y=None, **transform_params):
        """Return the score, or a dict of scores if the metric is a dict."""
        self._validate_params()
        metrics = self.metric if isinstance(self.metric, dict) else {"score": self.metric}
        values = {name: [] for name in metrics}
        of_noisy, of_clean = known_pixel_sizes(X, y)
        for noisy, clean in self._pairs(X, y, transform_params.get("mask")):
            noisy = with_pixel_size(noisy, of_noisy)
            params = transform_params
            if any(needs_pixel_size(metric) for metric in metrics.values()):
                params = with_found_pixel_size(estimator, noisy, params)
            denoised = denoise(estimator, noisy, params)
            given = params.get("pixel_size")
            options = {
                "mask": check_mask(params.get("mask"), clean.shape),
                "pixel_size": of_clean if given is None else given,
            }
            for name, metric in metrics.items():
                worst = worst_score(metric, greater_is_better=self.greater_is_better)
                values[name].append(image_scores(metric, clean, denoised, worst=worst, **options))
        sign = 1 if self.greater_is_better else -1
        scores = {name: sign * float(np.mean(v)) for name, v in values.items()}
        return scores if isinstance(self.metric, dict) else scores["score"]

    def _pairs(self, X, y, mask):
        X = without_hidden(X, mask)
        if y is not None:
            yield check_pair(X, without_hidden(y, mask), estimator_name="The scorer")
            return
        clean = check_images(X, estimator_name="The scorer", counts=True)
        noise = PoissonNoise() if self.noise is None else self.noise
        rng = check_random_state(self.random_state)
        for _ in range(self.n_realizations):
            yield draw_noise(noise, clean, rng)


class _UPSNRScorer(_Scorer):
    """PSNR without a clean image: most of the counts are denoised, the others test the result."""

    def __init__(self, *, share=0.1, n_draws=4, binning="auto", random_state=0):
        self.share = share
        self.n_draws = n_draws
        self.binning = binning
        self.random_state = random_state

    def __call__(self, estimator, X, y=None, **transform_params):
        """Return the unbiased PSNR of the stack, in dB; `y` is not used."""
        mask, said = (transform_params.get(name) for name in ("mask", "pixel_size"))
        known = pixel_size_of(X)
        counts = check_images(without_hidden(X, mask), estimator_name="The scorer", counts=True)
        mask = check_mask(mask, counts.shape)
        held_out = hold_out(counts, self.share, self.n_draws, self.random_state)
        refuse_unless_counts("X", counts, mask)
        limit = find_limit(self.binning, counts, known if said in (None, "auto") else said)
        trusted = None if mask is None else ~mask
        rates = [
            np.asarray(denoise(estimator, with_pixel_size(counts - part, known), transform_params))
            for part in held_out
        ]
        rates = np.stack(rates).astype(np.float64) / (1 - self.share)
        if not np.isfinite(rates).all(where=True if trusted is None else trusted):
            return worst_score(psnr)
        # The logarithm is taken of the mean over stack and draws, because the estimated error of a
        # single image can be negative.
        error, _ = mean_risk(rates, held_out, self.share, limit, trusted)
        # Standard deviation of what the shot noise adds to the error of every method alike. The
        # order of scores is then that of the errors.
        where = True if trusted is None else trusted
        dose = counts.mean(where=where, dtype=np.float64)
        n_pixels = self.n_draws * np.count_nonzero(np.broadcast_to(where, counts.shape))
        band = Band(counts.shape[1:], limit).squared.mean()  # share of the frequencies compared
        return _finite_psnr(error, np.sqrt(2 * band / n_pixels) * dose / self.share)


def _finite_psnr(error, scatter):
    """PSNR in dB of an estimated error that may be below zero.

    Where the error is far above its scatter this is the PSNR. Around zero it goes on as a straight
    line does, so that a search can rank and average what it gets: asinh instead of the logarithm,
    as in the magnitudes of Lupton, Gunn and Szalay (Astron. J. 118, 1406, 1999).
    """
    positive = (error + np.hypot(error, scatter)) / 2
    return float(-10 * np.log10(max(positive, np.finfo(np.float32).tiny)))


def make_denoising_scorer(
    metric, *, noise=None, n_realizations=1, random_state=0, greater_is_better=True
):
    """Make a scorer for denoisers from a metric.

    Parameters
    ----------
    metric : {"psnr", "ssim", "atom_precision", "atom_recall", "atom_f1", "atom_jaccard"} or \
            callable
        A callable ``metric(clean, denoised)`` gets two stacks (n_images, height, width) and returns
        a float, or one value per image. For ``n_jobs`` it must be defined at a module's top level;
        ``functools.partial(atom_f1, region="surface")`` sets parameters. A metric with a parameter
        ``pixel_size`` gets the pixel size of the call, otherwise the one that the clean images know
        (`temdenoise.ImageStack`). "auto" is replaced by the pixel size that the estimator finds on
        the noisy images. Pixels of a ``mask`` of the call do not count: a metric with a parameter
        ``mask`` gets the mask, atoms are searched outside it, and any other metric gets the clean
        image on these pixels.
    noise : object with a method ``sample``, default=None
        Noise model such as `temdenoise.PoissonNoise`, used if no noisy images are given. Its
        ``sample(clean)`` gets ``random_state`` and ``return_clean`` if it takes them. None: Poisson
        noise on the clean images as they are, in counts per pixel.
    n_realizations : int, default=1
        Number of draws of noise. The score is their mean. Not used if noisy images are given.
    random_state : int, RandomState or None, default=0
        Seed of the noise. With an int, every call draws the same noise.
    greater_is_better : bool, default=True
        If False, the sign of the score is changed, so that a greater score is better.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, **transform_params)`` returns a float. With y, X is noisy and
        y is clean. Without y, X is clean. Keywords go to the estimator's ``transform``; ``mask``
        and ``pixel_size`` go there only if it takes them.

    Raises
    ------
    ValueError
        If `metric` is unknown.

    Notes
    -----
    An estimate that cannot be scored gets the worst score. This is an estimate with NaN or
    infinity, or one for which the metric returns NaN or raises ValueError although the clean image
    can be scored against itself. The worst PSNR is -771 dB, that of the largest number of float32;
    the worst SSIM is -1, the worst score of atoms is 0, and that of any other metric is the lowest
    number of float32. These scores are finite, so that a search can rank them. Input images that
    are not valid raise an error.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from temdenoise import PoissonNoise, WienerDenoiser
    >>> from temdenoise.metrics import make_denoising_scorer
    >>> clean = np.full((4, 32, 32), 0.45, dtype=np.float32)
    >>> scorer = make_denoising_scorer("psnr", noise=PoissonNoise(dose=0.2), n_realizations=2)
    >>> grid = {"window_size": [3, 15]}
    >>> GridSearchCV(WienerDenoiser(), grid, scoring=scorer, cv=2).fit(clean).best_params_
    {'window_size': 15}
    """
    return _DenoisingScorer(
        find_metric(metric),
        noise=noise,
        n_realizations=n_realizations,
        random_state=random_state,
        greater_is_better=greater_is_better,
    )


def make_multimetric_scorer(
    metrics=("psnr", "ssim"), *, noise=None, n_realizations=1, random_state=0
):
    """Make a scorer from several metrics that denoises only once.

    Parameters
    ----------
    metrics : sequence of str, or dict of str to metric
        The metrics, by name or as callables, as for `make_denoising_scorer`. The keys of a dict
        name the scores.
    noise, n_realizations, random_state
        As for `make_denoising_scorer`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, **transform_params)`` returns a dict of floats. Pass the
        scorer as ``scoring=`` of a search, and name the score that selects the best in ``refit=``.

    Raises
    ------
    ValueError
        If a metric is unknown, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.metrics import make_multimetric_scorer
    >>> clean = np.full((2, 32, 32), 0.45, dtype=np.float32)
    >>> sorted(make_multimetric_scorer()(LowPassDenoiser().fit(clean), clean))
    ['psnr', 'ssim']
    """
    return _DenoisingScorer(
        named_metrics(metrics),
        noise=noise,
        n_realizations=n_realizations,
        random_state=random_state,
    )


def make_upsnr_scorer(*, share=0.1, n_draws=4, binning="auto", random_state=0):
    """Make a scorer that needs no clean image, only raw counts.

    A share of the electrons is held out, the rest is denoised, and the electrons held out test the
    estimate (`unbiased_mse`). This is done several times, with other electrons each time.

    Parameters
    ----------
    share : float, default=0.1
        Share of the electrons held out in a draw.
    n_draws : int, default=4
        Number of draws, whose errors are averaged. The cost is that many calls of ``transform``. No
        electron is held out twice, so ``n_draws * share`` is at most 1.
    binning : int or "auto", default="auto"
        Side, in pixels, of bins that would lose nothing of the clean image, as for `paired_risk`:
        the frequencies that they do not hold are not compared.
    random_state : int, RandomState or None, default=0
        Seed of the draws. With an int, all candidates of a search are tested on the same electrons,
        and a score repeats exactly.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, **transform_params)`` returns a float, for ``scoring=`` of
        `GridSearchCV` and `cross_val_score`. X holds raw counts: whole numbers. `y` is not used.
        Keywords go to the estimator's ``transform``; ``mask`` and ``pixel_size`` go there only if
        it takes them. Pixels of the mask do not count.

    Raises
    ------
    ValueError
        From the scorer, if X is not whole counts, or `share` and `n_draws` are out of range.

    See Also
    --------
    paired_risk : methods compared on all frames, with standard errors.
    compare_risk : two methods or estimates, with a verdict.

    Notes
    -----
    The score is the PSNR, for a data range of one count per pixel, of denoising a share ``1 -
    share`` of the electrons. Its squared error is 1.07 to 1.09 times that at all counts for a share
    of 0.1 (0.3 to 0.4 dB), and 1.5 to 1.8 times for a share of 0.5.

    From few frames the score itself is hardly known. The shot noise of what is held out changes
    the error of every candidate by the same amount, about ``1.4 * dose / share * sqrt(band /
    (n_draws * n_pixels))`` (counts per pixel)**2, where ``band`` is the share of the frequencies
    that are compared (2 % at 6 pm per pixel). For one frame this can be more than the error of a
    good method. Only differences between scores on the same frames tell, and a search
    uses nothing else. An error that is estimated near or below zero gets a finite score, from which
    the order of the candidates can still be read.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from temdenoise import LowPassDenoiser, load_sample_movie
    >>> from temdenoise.metrics import make_upsnr_scorer
    >>> movie = load_sample_movie().data[:4, 60:316, 128:384]
    >>> grid = {"cutoff": [0.005, 0.02, 0.08]}
    >>> search = GridSearchCV(LowPassDenoiser(), grid, scoring=make_upsnr_scorer(n_draws=2), cv=2)
    >>> search.fit(movie).best_params_
    {'cutoff': 0.02}
    """
    return _UPSNRScorer(share=share, n_draws=n_draws, binning=binning, random_state=random_state)


def known_pixel_sizes(X, y):
    """Pixel sizes (pm, or None) that `transform` and the metrics find on the images.

    Parameters
    ----------
    X, y : array-like
        As for a scorer. If only one of them knows its pixel size, both have this one.

    Returns
    -------
    of_noisy, of_clean : float or None
    """
    of_noisy, of_clean = pixel_size_of(X), pixel_size_of(X if y is None else y)
    return (
        of_clean if of_noisy is None else of_noisy,
        of_noisy if of_clean is None else of_clean,
    )


def with_found_pixel_size(estimator, noisy, params):
    """Replace pixel_size="auto" by the number that `transform` would find.

    Parameters
    ----------
    estimator : object
        Fitted denoiser.
    noisy : ndarray of shape (n_images, height, width)
    params : dict
        Keywords of a call.

    Returns
    -------
    params : dict

    Raises
    ------
    ValueError
        If the estimator cannot find a pixel size.
    """
    pixel_size = params.get("pixel_size")
    if not (isinstance(pixel_size, str) and pixel_size == "auto"):
        return params
    find = getattr(estimator, "estimate_pixel_size", None)
    if find is None:
        raise ValueError(
            f"pixel_size='auto': {type(estimator).__name__} cannot find the pixel size. Give the "
            "pixel size in pm."
        )
    return params | {"pixel_size": find(noisy, mask=params.get("mask"))}


psnr_scorer = make_denoising_scorer("psnr")
psnr_scorer.__doc__ = "Mean PSNR in dB, for a data range of one count per pixel."

ssim_scorer = make_denoising_scorer("ssim")
ssim_scorer.__doc__ = "Mean SSIM, for a data range of one count per pixel."

atom_precision_scorer = make_denoising_scorer("atom_precision")
atom_precision_scorer.__doc__ = "Fraction of the atoms found that are in the clean image."

atom_recall_scorer = make_denoising_scorer("atom_recall")
atom_recall_scorer.__doc__ = "Fraction of the clean image's atoms that are found."

atom_f1_scorer = make_denoising_scorer("atom_f1")
atom_f1_scorer.__doc__ = "F1 score of the atoms found on the denoised image."

atom_jaccard_scorer = make_denoising_scorer("atom_jaccard")
atom_jaccard_scorer.__doc__ = "Jaccard index of the atoms found on the denoised image."

multimetric_scorer = make_multimetric_scorer()
multimetric_scorer.__doc__ = "PSNR and SSIM of one `transform`, as a dict."

# X is always the raw electron counts, with or without y. No clean image is needed.
upsnr_scorer = make_upsnr_scorer()
upsnr_scorer.__doc__ = (
    "PSNR in dB at 90 % of the electrons, estimated from raw counts alone: four times, a tenth of "
    "the electrons is held out and tests what is made of the others. See `make_upsnr_scorer`."
)
