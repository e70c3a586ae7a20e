"""The contract that every denoiser keeps."""

import inspect
import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from temdenoise._validation import check_images, check_pair
from temdenoise.metrics.image_quality import psnr
from temdenoise.noise import PoissonNoise
from temdenoise.noise._gain_hint import gain_hint

# Seed of the noise that `score` draws: fixed, so that candidates are compared on the same noise.
_SCORE_SEED = 0


class BaseDenoiser(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Base class of all denoisers.

    A denoiser is a scikit-learn transformer of image stacks. ``X`` is an array of shape
    (n_images, height, width) with electron counts per pixel, or values proportional to them, of any
    real dtype; ``transform(X)`` returns float32 of the same shape, the estimated mean counts per
    pixel (the Poisson rate). A rate cannot be negative, but an estimate may be where the method
    allows it: it is returned as it is, because clipping would hide a bias from whoever averages
    the result.

    Notes
    -----
    To write a new method, subclass and define ``__init__`` with keyword-only parameters,
    ``_parameter_constraints`` and ``_transform(X)``; and ``_fit(X, y)`` if there is something to
    learn. A method that takes keywords with each call (``mask``, ``pixel_size``) overrides `fit` or
    `transform` themselves with those keywords in the signature, and starts with
    ``_check_fit_input`` or ``_check_transform_input``. The metadata requests of scikit-learn
    (``set_transform_request`` and so on) follow from the signature; `score` takes what `transform`
    takes. A method that can differentiate itself, as networks can, defines
    ``pixel_gradient(image, pixel, **keywords)`` for `temdenoise.inspection.equivalent_filter`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.base import BaseDenoiser
    >>> class MeanDenoiser(BaseDenoiser):
    ...     '''Replace each image by its mean.'''
    ...
    ...     def _transform(self, X):
    ...         return np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 8, 8))
    >>> MeanDenoiser().fit(noisy).transform(noisy).shape
    (2, 8, 8)
    """

    _parameter_constraints: dict = {}

    # Smallest image side, in pixels, the method can work on.
    _min_size = 1

    def __init_subclass__(cls, **kwargs):
        # `score` calls `transform`, so what may be routed to the one may be routed to the other.
        cls.__metadata_request__score = dict.fromkeys(_keywords(cls.transform))
        # Images do not fit a data frame: keep `set_output` and the global configuration out. The
        # setting is not inherited by subclasses, so it is repeated for each of them.
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X, y=None):
        """Check the images and learn what there is to learn.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Images, in counts per pixel.
        y : array-like of shape (n_images, height, width), default=None
            Clean images of the same shape, for methods that learn from pairs.

        Returns
        -------
        self : object
            The fitted denoiser.

        Raises
        ------
        ValueError
            If the images are not a valid stack (see the class), `y` does not fit them, or a
            parameter is out of range.
        """
        X, y = self._check_fit_input(X, y)
        self._fit(X, y)
        return self

    def transform(self, X):
        """Denoise images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images, in counts per pixel. Their size need not be that seen in `fit`.

        Returns
        -------
        denoised : ndarray of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If the images are not a valid stack.

        Warns
        -----
        UserWarning
            If the method needs counts and the values look like counts multiplied by a gain.
        """
        X = self._check_transform_input(X)
        denoised = np.require(self._transform(X), np.float32, requirements=["C", "W", "O"])
        # The checks hand float32 input on uncopied: what goes out must not alias it.
        return denoised.copy() if np.may_share_memory(denoised, X) else denoised

    def score(self, X, y=None, sample_weight=None, **transform_params):
        """Return the mean peak signal-to-noise ratio.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images if `y` is given; otherwise clean images, to which noise is added with a
            fixed seed, so that two denoisers are compared on the same noise.
        y : array-like of shape (n_images, height, width), default=None
            Clean images.
        sample_weight : array-like of shape (n_images,), default=None
            Weights of the images in the mean.
        **transform_params : dict
            Keywords of `transform`, passed on to it. Pixels of a ``mask`` do not count in the
            score.

        Returns
        -------
        score : float
            Mean over images of the PSNR, in dB, for a data range of one count per pixel.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If the images are not a valid stack, or `y` does not fit them.
        """
        check_is_fitted(self)
        name = type(self).__name__
        if y is None:
            clean = check_images(X, estimator_name=name, counts=True, min_size=self._min_size)
            noisy, clean = self._draw_noise(clean, _SCORE_SEED)
        else:
            noisy, clean = check_pair(X, y, estimator_name=name, min_size=self._min_size)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, clean)
        denoised = self.transform(noisy, **transform_params)
        values = psnr(clean, denoised, mask=transform_params.get("mask"))
        return float(np.average(values, weights=sample_weight))

    def _draw_noise(self, clean, seed):
        """Draw the noisy images that `score` denoises.

        A fitted ``noise_`` (as `PoissonNoise`) is used where a method has one.

        Parameters
        ----------
        clean : ndarray of shape (n_images, height, width), dtype float32
            Clean images.
        seed : int
            Seed of the draw.

        Returns
        -------
        noisy, clean : ndarrays of shape (n_images, height, width), dtype float32
            Noisy images, and the clean ones on the same scale.
        """
        noise = getattr(self, "noise_", None)
        noise = PoissonNoise() if noise is None else noise
        return noise.sample(clean, return_clean=True, random_state=seed)

    def _fit(self, X, y):
        """Learn from checked input; the default only records the mean counts per pixel."""
        self.dose_ = float(X.mean(dtype=np.float64))

    def _transform(self, X):
        """Denoise checked float32 images of shape (n_images, height, width); never write to X."""
        raise NotImplementedError(f"{type(self).__name__} defines no _transform")

    def _check_fit_input(self, X, y=None):
        """Validate parameters and input of `fit`; return them as float32."""
        self._validate_params()
        return self._check_input(X, y)

    def _check_transform_input(self, X):
        """Check that the denoiser is fitted, and its input; return it as float32.

        Methods that count are told by a warning, of the line that called `transform`, where the
        values look like counts that a gain was put on.
        """
        check_is_fitted(self)
        X = self._check_input(X)[0]
        if get_tags(self).input_tags.positive_only:
            hint = gain_hint(X, getattr(self, "gain", 1.0))
            if hint:
                warnings.warn(f"{type(self).__name__}: {hint}", UserWarning, stacklevel=3)
        return X

    def _check_input(self, X, y=None):
        options = {
            "estimator_name": type(self).__name__,
            "counts": get_tags(self).input_tags.positive_only,
            "min_size": self._min_size,
        }
        if y is None:
            return check_images(X, **options), None
        return check_pair(X, y, **options)


def _keywords(function):
    """Names of the keyword-only parameters of a function."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
