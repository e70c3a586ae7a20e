"""Automatic choice of a denoiser for the images."""

import os

from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from temdenoise._calls import only_taken
from temdenoise.base import ScaledDenoiser
from temdenoise.denoisers.sbd import SBDDenoiser
from temdenoise.images import pixel_size_of


class AutoDenoiser(ScaledDenoiser):
    """Trained weights if they fit the images, otherwise the windowed Fourier filter.

    A network works best on images like its training images. If the pixel size and the dose of the
    images fit the trained weights, `SBDDenoiser` denoises them. Otherwise
    `WindowedFourierDenoiser` does, the strongest method without weights for crystals. `choose`
    returns the choice and its reason.

    Parameters
    ----------
    weights : str or path-like, default="general"
        Trained weights, as for `SBDDenoiser.from_pretrained`.
    fallback : denoiser or None, default=None
        The denoiser to use if the weights do not fit. None: `WindowedFourierDenoiser`.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" takes a GPU if there is one.

    Attributes
    ----------
    sbd_ : SBDDenoiser
        The network with the trained weights.
    fallback_ : denoiser
        The fitted fallback.
    dose_ : float
        Mean counts per pixel of the images seen in `fit`.

    Notes
    -----
    The weights fit if the pixel size is known, their bins are then 1 to 16 pixels wide, and the
    mean count of a bin is in the range of the training doses. The choice does not test whether the
    specimen is like those of the training. Look at the result, or compare methods by their risk on
    your images (`temdenoise.metrics.paired_risk`).

    All images of a call are denoised by the same method.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import AutoDenoiser, load_sample_movie
    >>> movie = load_sample_movie()
    >>> denoiser = AutoDenoiser().fit(movie.data)
    >>> choice = denoiser.choose(movie.data, pixel_size=movie.pixel_size)
    >>> print(choice.method, "because", choice.reason)
    sbd because the weights 'general' fit: 6.22 pm/px (1.94 to 33 pm/px) and ... electrons/px ...
    >>> denoiser.choose(np.asarray(movie.data)).method  # of unknown pixel size
    'windowed-fourier'
    """

    _parameter_constraints: dict = {
        "weights": [str, os.PathLike],
        "fallback": [None, HasMethods(["fit", "transform", "get_params", "set_params"])],
        "device": [str],
    }

    def __init__(self, *, weights="general", fallback=None, device="auto"):
        self.weights = weights
        self.fallback = fallback
        self.device = device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit(self, X, y, mask):
        from temdenoise.denoisers.windowed_fourier import WindowedFourierDenoiser

        super()._fit(X, y, mask)
        self.sbd_ = SBDDenoiser.from_pretrained(self.weights, device=self.device)
        if self.fallback is None:
            self.fallback_ = WindowedFourierDenoiser(device=self.device).fit(X)
            return
        try:
            self.fallback_ = clone(self.fallback).fit(X)
        except InvalidParameterError as error:
            # The message names the parameter of this class.
            message = str(error).replace("The '", "The 'fallback__", 1)
            raise InvalidParameterError(message) from error

    def transform(self, X, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Denoise images with the method that fits them.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Electron counts per pixel.
        mask : None or bool array-like of shape (height, width) or (n_images, height, width)
            True marks pixels not to trust.
        pixel_size : float or "auto", default=None
            Length of a pixel's side in pm. By default that of `X`, if it knows it. "auto" finds it
            with `SBDDenoiser.estimate_pixel_size`.
        bad_pixels : {"mask", "keep"}, default="mask"
            What is done with pixels that no count of electrons explains; see
            `BaseDenoiser.transform`.

        Returns
        -------
        denoised : ndarray of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        TypeError
            If `pixel_size` is neither a number nor "auto".
        ValueError
            If the images are not a valid stack or hold negative values, `mask` does not fit them,
            or `pixel_size` is not positive.
        """
        known = pixel_size_of(X)
        X, mask, said = self._checked(X, mask, pixel_size, bad_pixels)
        choice = self._choose(X, mask, said)
        keep = only_taken(choice.denoiser.transform, bad_pixels="keep")  # they are masked already
        denoised = choice.denoiser.transform(X, mask=mask, **keep, **choice.params)
        return self._as_output(denoised, X, known if said in (None, "auto") else said)

    def choose(self, X, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Choose the method for images, without denoising them.

        Parameters
        ----------
        X, mask, pixel_size, bad_pixels
            As for `transform`. A few frames of a movie are enough.

        Returns
        -------
        choice : sklearn.utils.Bunch
            ``method`` ("sbd", or "windowed-fourier", or the class of your own fallback), ``reason``
            (a sentence without a full stop), ``denoiser`` (fitted), and ``params``, the keywords
            for its ``transform`` besides the mask.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `transform`.
        """
        return self._choose(*self._checked(X, mask, pixel_size, bad_pixels))

    def _checked(self, X, mask, pixel_size, bad_pixels="mask"):
        """Images, mask and pixel size of a call. The chosen method checks for a gain."""
        check_is_fitted(self)
        said = self._settle_pixel_size(X, pixel_size)
        X, _, mask = self._check_images(X, None, mask)
        return X, self._hide_bad_pixels(X, mask, bad_pixels), said

    def _choose(self, X, mask, pixel_size):
        unknown = None
        if pixel_size == "auto":
            pixel_size, unknown = self._find_pixel_size(X, mask)
        elif pixel_size is None:
            unknown = (
                "the pixel size is not known (give pixel_size in pm, or 'auto' to look for it)"
            )
        if unknown:
            return self._fall_back(unknown, None)

        lowest, highest = self._pixel_sizes()
        about = f"{pixel_size:.3g} pm/px ({lowest:.3g} to {highest:.3g} pm/px)"
        weights = f"the weights {str(self.weights)!r}"
        if pixel_size < lowest:
            # such a pixel size is of no use to the fallback either
            return self._fall_back(f"{weights} do not fit {about}: is it in pm?", None)
        if pixel_size > highest:
            return self._fall_back(f"{weights} do not fit {about}: pixels too coarse", pixel_size)
        dose = float(X.mean(where=True if mask is None else ~mask, dtype="float64"))
        low, high = self.sbd_.trained_doses(pixel_size)
        about_dose = f"{dose:.3g} electrons/px ({low:.3g} to {high:.3g} at this pixel size)"
        if not low <= dose <= high:
            return self._fall_back(f"{weights} do not fit {about_dose}", pixel_size)
        return Bunch(
            method="sbd",
            reason=f"{weights} fit: {about} and {about_dose}",
            denoiser=self.sbd_,
            params={"pixel_size": pixel_size},
        )

    def _fall_back(self, reason, pixel_size):
        return Bunch(
            method="windowed-fourier" if self.fallback is None else type(self.fallback_).__name__,
            reason=reason,
            denoiser=self.fallback_,
            params=only_taken(self.fallback_.transform, pixel_size=pixel_size),
        )

    def _find_pixel_size(self, X, mask):
        """Return the pixel size in pm, or None and the reason why it cannot be found."""
        from temdenoise.denoisers._trained.pixel_size import search

        try:
            pixel_size, doubt = search(self.sbd_, X, mask)
        except ValueError as error:  # no whole counts, or too few pixels outside the mask
            doubt = str(error)
        if doubt:
            return None, f"no pixel size was found: {doubt.removesuffix('.')}"
        return pixel_size, None

    def _pixel_sizes(self):
        """Smallest and largest pixel size in pm for the weights."""
        bins = self.sbd_.bins_
        return bins.size / bins.most_pixels, bins.size * max(1.0, bins.zoom[1])
