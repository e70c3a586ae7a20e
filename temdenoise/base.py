"""The contract that every denoiser keeps."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from temdenoise._calls import keyword_only, level_outside, only_taken
from temdenoise._masking import fill_masked
from temdenoise._validation import check_images, check_mask, check_pair
from temdenoise.images import ImageStack, PixelSizeWarning, pixel_size_of, settle_pixel_size
from temdenoise.metrics._against_constant import WorseThanConstantWarning, worse_than_constant
from temdenoise.metrics.image_quality import psnr
from temdenoise.noise import PoissonNoise, draw_noise
from temdenoise.noise._gate import is_passed, warn_unless_counts
from temdenoise.noise.bad_pixels import BadPixelsWarning
from temdenoise.noise.bad_pixels import bad_pixels as find_bad_in

# Seed of the noise that `score` draws: fixed, so that candidates are compared on the same noise.
_SCORE_SEED = 0


class BaseDenoiser(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Base class of all denoisers.

    A denoiser is a scikit-learn transformer of image stacks. ``X`` is an array of shape
    (n_images, height, width) with electron counts per pixel, or values proportional to them, of any
    real dtype. ``transform(X)`` returns float32 of the same shape: the estimated mean counts per
    pixel (the Poisson rate). A rate cannot be negative, but an estimate may be where the method
    allows it. It is returned without clipping, because clipping would give averages of the result
    a bias.

    Notes
    -----
    To write a new method, subclass and define ``_transform(X, mask)``. It gets checked float32
    images whose masked pixels are filled already, and a mask of their shape, or None. It must not
    write to ``X``. If the method learns from images, define ``_fit(X, y, mask)`` too. Parameters
    are keyword-only arguments of ``__init__``, checked by ``_parameter_constraints``. A method that
    needs the pixel size inherits from `ScaledDenoiser`. `temdenoise.testing.check_denoiser` checks
    whether a method keeps the contract.

    A method with automatic differentiation, such as a network, defines ``pixel_gradient(image,
    pixel, **keywords)`` for `temdenoise.inspection.equivalent_filter`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.base import BaseDenoiser
    >>> class MeanDenoiser(BaseDenoiser):
    ...     '''Replace each image by its mean.'''
    ...
    ...     def _transform(self, X, mask):
    ...         return np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 8, 8))
    >>> MeanDenoiser().fit(noisy).transform(noisy).shape
    (2, 8, 8)
    """

    _parameter_constraints: dict = {}

    # Smallest image side, in pixels, for which the method works.
    _min_size = 1
    # Filling of masked pixels: the mean counts nearby, or Poisson noise of that mean.
    _fill = "mean"
    # The images from which `fit` learns if it gets one stack: "noisy" or "clean".
    _fits_on = "noisy"
    # Number of frames on either side on which the estimate of a frame depends.
    _context = 0
    # Whether the images of a call decide together how they are denoised.
    _decides_by_call = False
    # A part of a movie must start at a multiple of this many frames to come out as in the whole.
    _time_step = 1

    def __init_subclass__(cls, **kwargs):
        # `score` calls `transform`, so both take the same keywords in metadata routing.
        cls.__metadata_request__score = dict.fromkeys(keyword_only(cls.transform))
        # Images do not fit in a data frame, so `set_output` and the global configuration must not
        # act here. Subclasses do not inherit this setting, so it is repeated for each of them.
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X, y=None, *, mask=None, bad_pixels="mask"):
        """Check the images and fit the denoiser.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Images, in counts per pixel.
        y : array-like of shape (n_images, height, width), default=None
            Clean images of the same shape, for methods that learn from pairs.
        mask : bool array-like of shape (height, width) or (n_images, height, width), default=None
            True marks pixels not to trust. They may hold any value, also NaN.
        bad_pixels : {"mask", "keep"}, default="mask"
            As for `transform`.

        Returns
        -------
        self : object
            The fitted denoiser.

        Raises
        ------
        ValueError
            If the images are not a valid stack (see the class), `y` or `mask` does not fit them, or
            a parameter is out of range.
        """
        self._validate_params()
        X, y, mask = self._check_images(X, y, mask)
        if y is None and self._fits_on == "noisy":
            mask = self._hide_bad_pixels(X, mask, bad_pixels, say=False)  # `transform` says it
        self._fit(fill_masked(X, mask), y, mask)
        return self

    def transform(self, X, *, mask=None, bad_pixels="mask"):
        """Denoise images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images, in counts per pixel. Their size need not be that seen in `fit`.
        mask : bool array-like of shape (height, width) or (n_images, height, width), default=None
            True marks pixels not to trust, such as a burnt-in label. They may hold any value, also
            NaN. They are filled from their surroundings first. The estimate there has no meaning.
        bad_pixels : {"mask", "keep"}, default="mask"
            "mask": pixels that no count of electrons explains, such as hot pixels, empty borders
            and labels, are masked too, with a warning that counts and places them
            (`temdenoise.noise.find_bad_pixels`). "keep": they are taken as they are.

        Returns
        -------
        denoised : ImageStack of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel. It knows the pixel size that `X` knows.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If the images are not a valid stack, or `mask` does not fit them.

        Warns
        -----
        BadPixelsWarning
            If pixels are masked because no count of electrons explains them.
        CountsWarning
            If the method needs counts and the values are none, see `temdenoise.noise.check_counts`.
        UserWarning
            If the estimate is not finite.
        """
        X, mask, pixel_size = self._check_call(X, mask, bad_pixels)
        return self._as_output(self._transform(self._filled(X, mask), mask), X, pixel_size)

    def fit_transform(self, X, y=None, **params):
        """Fit to images and denoise them.

        Parameters
        ----------
        X, y
            As for `fit`.
        **params : dict
            Keywords of `fit`, `transform` or both (such as ``mask``). Each gets those that it
            takes.

        Returns
        -------
        denoised : ImageStack of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel.

        Raises
        ------
        ValueError
            As `fit`.
        TypeError
            If neither `fit` nor `transform` takes a keyword.
        """
        to_fit, to_transform = only_taken(self.fit, **params), only_taken(self.transform, **params)
        if unknown := [
            k for k, v in params.items() if v is not None and k not in to_fit | to_transform
        ]:
            raise TypeError(f"{type(self).__name__} takes no keyword {unknown[0]!r}.")
        return self.fit(X, y, **to_fit).transform(X, **to_transform)

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
        pixel_size, mask = pixel_size_of(X), transform_params.get("mask")
        options = {"estimator_name": type(self).__name__, "min_size": self._min_size, "mask": mask}
        if y is None:
            clean = check_images(X, counts=True, **options)
            noisy, clean = self._draw_noise(clean, _SCORE_SEED)
        else:
            noisy, clean = check_pair(X, y, **options)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, clean)
        denoised = self.transform(ImageStack(noisy, pixel_size), **transform_params)
        return float(np.average(psnr(clean, denoised, mask=mask), weights=sample_weight))

    def _draw_noise(self, clean, seed):
        """Draw the noisy images that `score` denoises.

        If the method has a fitted ``noise_`` (such as `PoissonNoise`), it is used.

        Parameters
        ----------
        clean : ndarray of shape (n_images, height, width), dtype float32
            Clean images.
        seed : int
            Seed of the draw.

        Returns
        -------
        noisy, clean : ndarrays of shape (n_images, height, width), dtype float32
            Noisy images, and clean images on the same scale.
        """
        noise = getattr(self, "noise_", None)
        return draw_noise(PoissonNoise() if noise is None else noise, clean, seed)

    def _fit(self, X, y, mask):
        """Learn from checked input; the default only records the mean counts per pixel."""
        trusted = True if mask is None else ~mask
        self.dose_ = float(X.mean(dtype=np.float64, where=trusted))

    def _transform(self, X, mask):
        """Denoise checked float32 images of shape (n_images, height, width); never write to X."""
        raise TypeError(f"{type(self).__name__} must define _transform(X, mask).")

    def _check_call(self, X, mask, bad_pixels="mask"):
        """Check that the denoiser is fitted, and check the arguments of `transform`.

        Returns
        -------
        X : ndarray of shape (n_images, height, width), dtype float32
            The images. Masked pixels are 0 if they were not numbers.
        mask : None or bool ndarray of the same shape
            With the pixels that no count of electrons explains.
        pixel_size : float or None
            Pixel size that the images know, in pm.

        Methods for counts warn if the values are not counts (`temdenoise.noise.check_counts`). The
        warning names the line that called `transform`.
        """
        check_is_fitted(self)
        pixel_size = pixel_size_of(X)
        X, _, mask = self._check_images(X, None, mask)
        mask = self._hide_bad_pixels(X, mask, bad_pixels)
        if get_tags(self).input_tags.positive_only:
            warn_unless_counts(
                type(self).__name__,
                X,
                mask,
                gain=getattr(self, "gain", 1.0),
                frames=self._context > 0,
                but=("copies",),  # which mean something else to each method
            )
        return X, mask, pixel_size

    def _hide_bad_pixels(self, X, mask, bad_pixels, *, say=True):
        """Return the mask with the pixels that no count of electrons explains."""
        if bad_pixels not in ("mask", "keep"):
            raise ValueError(f'bad_pixels must be "mask" or "keep", got {bad_pixels!r}.')
        if bad_pixels == "keep" or is_passed():
            return mask
        bad = find_bad_in(X, mask)
        if bad and say:
            warnings.warn(
                f"{type(self).__name__} masks {bad.mask.mean():.2%} of the pixels, as no count of "
                f"electrons explains them: {bad}. To take them as they are, give "
                'bad_pixels="keep".',
                BadPixelsWarning,
                stacklevel=level_outside(),
            )
        return bad.added_to(mask)

    def _check_images(self, X, y=None, mask=None):
        """Check a stack, its partner and its mask; return them as float32 and bool."""
        options = {
            "estimator_name": type(self).__name__,
            "counts": get_tags(self).input_tags.positive_only,
            "min_size": self._min_size,
            "mask": mask,
        }
        if y is None:
            X = check_images(X, **options)
        else:
            X, y = check_pair(X, y, **options)
        return X, y, check_mask(mask, X.shape)

    def _filled(self, X, mask):
        return fill_masked(X, mask, with_noise=self._fill == "noise")

    def _as_output(self, denoised, X, pixel_size):
        """Return an estimate in the form that `transform` returns."""
        denoised = np.require(denoised, np.float32, requirements=["C", "W", "O"])
        if denoised.shape != X.shape:
            raise ValueError(
                f"{type(self).__name__}._transform returned shape {denoised.shape} for images of "
                f"shape {X.shape}. It must return one estimate per pixel."
            )
        finite = np.isfinite(denoised.sum(axis=(1, 2), dtype=np.float64))
        if not finite.all() and not np.isfinite(denoised).all():
            warnings.warn(
                f"The estimate of {type(self).__name__} is not finite, first that of image "
                f"{int(finite.argmin())}. The largest value of X is {X.max():.3g}. If that is "
                "no count of electrons, hide it with mask=.",
                UserWarning,
                stacklevel=level_outside(),
            )
        # The checks do not copy float32 input, so the output must not share its memory.
        denoised = denoised.copy() if np.may_share_memory(denoised, X) else denoised
        return ImageStack(denoised, pixel_size)


class ScaledDenoiser(BaseDenoiser):
    """Base class of the denoisers that use the pixel size.

    `fit` and `transform` take ``pixel_size``, in pm. By default they use the pixel size of the
    images, if these know it (`temdenoise.ImageStack`). A subclass defines ``_transform(X, mask,
    pixel_size)``, with a pixel size in pm or None.
    """

    # Whether `transform` warns where a constant predicts electrons better. It is of no use for
    # methods that have learnt from the very counts: they know those that are held out.
    _against_constant = False

    def transform(self, X, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Denoise images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images, in counts per pixel. Their size need not be that seen in `fit`.
        mask : bool array-like of shape (height, width) or (n_images, height, width), default=None
            True marks pixels not to trust, such as a burnt-in label. They may hold any value, also
            NaN. They are filled from their surroundings first. The estimate there has no meaning.
        pixel_size : float or "auto", default=None
            Length of a pixel's side in pm. By default that of `X`, if it knows it. "auto" is for
            methods that can find the pixel size.
        bad_pixels : {"mask", "keep"}, default="mask"
            "mask": pixels that no count of electrons explains, such as hot pixels, empty borders
            and labels, are masked too, with a warning that counts and places them
            (`temdenoise.noise.find_bad_pixels`). "keep": they are taken as they are.

        Returns
        -------
        denoised : ImageStack of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel. It knows the given pixel size, or that of `X`.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        TypeError
            If `pixel_size` is neither a number nor "auto".
        ValueError
            If the images are not a valid stack, `mask` does not fit them, or `pixel_size` is not
            positive, below 1 pm, or "auto" although the method cannot find it.

        Warns
        -----
        BadPixelsWarning
            If pixels are masked because no count of electrons explains them.
        PixelSizeWarning
            If the keyword differs from the pixel size of the images; the keyword is used. If the
            method needs the pixel size and it is not known.
        CountsWarning
            If the method needs counts and the values are none, see `temdenoise.noise.check_counts`.
        WorseThanConstantWarning
            If a constant predicts electrons significantly better than the estimate does
            (`SBDDenoiser` and `WindowedFourierDenoiser`, on whole counts).
        """
        said = self._settle_pixel_size(X, pixel_size)
        X, mask, known = self._check_call(X, mask, bad_pixels)
        used = self._find_pixel_size(X, mask) if said == "auto" else said
        denoised = self._transform(self._filled(X, mask), mask, used)
        if self._against_constant and not is_passed():
            self._warn_if_worse_than_constant(X, denoised, mask, used)
        # The pixel size that suits a method is not a calibration of the images.
        return self._as_output(denoised, X, known if said == "auto" else used)

    def _warn_if_worse_than_constant(self, X, denoised, mask, pixel_size):
        """Hold the estimate of a part of the images against electrons held out."""
        cheap = self._cheaper()

        def denoise(counts, hidden):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said for the images themselves
                return cheap._transform(cheap._filled(counts, hidden), hidden, pixel_size)

        excess = worse_than_constant(denoise, X, denoised, mask, self._context)
        if excess is not None:
            warnings.warn(
                f"{type(self).__name__}: a constant predicts the electrons of these images better "
                f"than the estimate does (squared error lower by {excess[0]:.2g} +- "
                f"{excess[1]:.1g} (counts/px)^2). Do not trust the structure it shows. More "
                "electrons help (sums of frames), trained weights can be adapted to the frames "
                "(SBDDenoiser.adapt), a low-pass filter or ConstantDenoiser claims less.",
                WorseThanConstantWarning,
                stacklevel=level_outside(),
            )

    def _cheaper(self):
        """Return the same method, or one that finds as much of the truth in less time."""
        return self

    def _settle_pixel_size(self, X, pixel_size):
        """Pixel size in pm, "auto", or None: the keyword, otherwise that of the images."""
        check_is_fitted(self)
        if isinstance(pixel_size, str) and pixel_size == "auto":
            if not hasattr(self, "_find_pixel_size"):
                raise ValueError(
                    f"pixel_size='auto': {type(self).__name__} cannot find the pixel size. Give it "
                    "in pm."
                )
            return "auto"
        return settle_pixel_size(X, pixel_size, stacklevel=level_outside() + 1)


def warn_assumed(name, assumed):
    """Say which pixel size a method assumes where nobody says it."""
    warnings.warn(
        f"{name} does not know the pixel size of the images and assumes {assumed}. Give "
        "pixel_size in pm, or images that know it (temdenoise.ImageStack).",
        PixelSizeWarning,
        stacklevel=level_outside(),
    )
