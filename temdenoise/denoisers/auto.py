"""Automatic choice of a denoiser for the images."""

import os

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from temdenoise._calls import only_taken
from temdenoise.base import ScaledDenoiser, WorseThanConstantWarning
from temdenoise.denoisers._choice import Comparison, choose
from temdenoise.denoisers.constant import ConstantDenoiser
from temdenoise.denoisers.lowpass import LowPassDenoiser
from temdenoise.denoisers.sbd import SBDDenoiser
from temdenoise.images import pixel_size_of

__all__ = ["AutoDenoiser", "WorseThanConstantWarning"]

# Cutoff of the low-pass filter, in cycles per pixel of 1 pm: 0.4 1/Angstrom.
_CUTOFF = 0.004


class AutoDenoiser(ScaledDenoiser):
    """The method that predicts electrons best: trained weights, a filter, or a constant.

    A part of the electrons is held out in a few frames, each method denoises the rest, and the
    squared error of its estimate is measured on what was held out
    (`temdenoise.metrics.paired_risk`). The candidates are a constant, a low-pass filter,
    `WindowedFourierDenoiser`, the strongest method without weights for crystals, and `SBDDenoiser`
    if its weights fit the pixel size and the dose. `choose` returns the choice, its reason, and the
    table of all candidates.

    Parameters
    ----------
    weights : str or path-like, default="general"
        Trained weights, as for `SBDDenoiser.from_pretrained`.
    fallback : denoiser or None, default=None
        The filter to compare with the weights, and to use without comparison where they do not fit
        and the values are not whole counts. None: `WindowedFourierDenoiser`.
    candidates : dict of str to denoiser, default=None
        Further methods to choose from, by name, the simplest first. They are cloned, and fitted to
        the images in `fit`. One that is fitted already stays as it is in a
        `sklearn.frozen.FrozenEstimator`. A method that has learnt from the very frames to denoise
        knows the electrons that are held out, and looks better than it is.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" takes a GPU if there is one.
    random_state : None, int or RandomState, default=0
        Determines which electrons are held out.

    Attributes
    ----------
    choice_ : sklearn.utils.Bunch
        What `transform` or `choose` chose last, as `choose` returns it. None before.
    sbd_ : SBDDenoiser
        The network with the trained weights.
    fallback_ : denoiser
        The fitted fallback.
    candidates_ : dict of str to denoiser
        The fitted further methods.
    dose_ : float
        Mean counts per pixel of the images seen in `fit`.

    Notes
    -----
    The weights fit if the pixel size is known, their bins are then 1 to 16 pixels wide, and the
    mean count of a bin is in the range of the training doses.

    The constant is taken unless a method is significantly better (95 % confidence). Otherwise it
    is the method of smallest error, or one of which the electrons cannot tell that it is worse: of
    these the network is preferred to the filters, and the low-pass filter to others. So nothing
    that is worse than no structure at all is taken in silence.

    The comparison looks at the middle 512 x 512 pixels of up to three frames, and holds out a tenth
    of the electrons twice; up to ten times if it is not clear whether anything is better than a
    constant. It costs as much as denoising at most six images of that size by all candidates.
    Values that are not whole counts cannot be split: the weights are then used if they
    fit, and the fallback otherwise.

    All images of a call are denoised by the same method.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import AutoDenoiser, load_sample_movie
    >>> movie = load_sample_movie().data[:1, 128:384, 128:384]
    >>> denoiser = AutoDenoiser().fit(movie)
    >>> choice = denoiser.choose(movie)
    >>> print(choice.method, "because", choice.reason)
    sbd because the weights 'general' fit: 6.22 pm/px (1.94 to 33 pm/px) and ... electrons/px ...
    >>> choice.table.index.tolist()
    ['sbd', 'constant', 'windowed-fourier', 'lowpass']
    >>> vacuum = np.random.default_rng(0).poisson(0.45, size=(1, 128, 128))
    >>> denoiser.choose(vacuum, pixel_size=6.22).method
    'constant'
    """

    _parameter_constraints: dict = {
        "weights": [str, os.PathLike],
        "fallback": [None, HasMethods(["fit", "transform", "get_params", "set_params"])],
        "candidates": [None, dict],
        "device": [str],
        "random_state": ["random_state"],
    }
    _decides_by_call = True

    def __init__(
        self, *, weights="general", fallback=None, candidates=None, device="auto", random_state=0
    ):
        self.weights = weights
        self.fallback = fallback
        self.candidates = candidates
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit(self, X, y, mask):
        from temdenoise.denoisers.windowed_fourier import WindowedFourierDenoiser

        super()._fit(X, y, mask)
        self.sbd_ = SBDDenoiser.from_pretrained(self.weights, device=self.device)
        self._last = {"choice": None}
        if self.fallback is None:
            self.fallback_ = WindowedFourierDenoiser(device=self.device).fit(X)
        else:
            try:
                self.fallback_ = clone(self.fallback).fit(X)
            except InvalidParameterError as error:
                # The message names the parameter of this class.
                message = str(error).replace("The '", "The 'fallback__", 1)
                raise InvalidParameterError(message) from error
        self.candidates_ = {}
        taken = ("sbd", "constant", "lowpass", self._fallback_name())
        for name, denoiser in (self.candidates or {}).items():
            if name in taken:
                raise ValueError(f"candidates: the name {name!r} is taken, give another one.")
            if not all(hasattr(denoiser, method) for method in ("fit", "transform", "get_params")):
                raise TypeError(f"candidates: {name!r} must be a denoiser, got {denoiser!r}.")
            self.candidates_[name] = clone(denoiser).fit(X)

    @property
    def choice_(self):
        """What was chosen last."""
        check_is_fitted(self)
        return self._last["choice"]

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

        Warns
        -----
        UserWarning
            As the method chosen. What was chosen, and why, is in ``choice_``.
        """
        known = pixel_size_of(X)
        X, mask, said = self._checked(X, mask, pixel_size, bad_pixels)
        choice = self._choose(X, mask, said)
        keep = only_taken(choice.denoiser.transform, bad_pixels="keep")  # they are masked already
        denoised = choice.denoiser.transform(X, mask=mask, **keep, **choice.params)
        return self._as_output(denoised, X, known if said in (None, "auto") else said)

    def choose(self, X, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Choose the method for images, without denoising all of them.

        Parameters
        ----------
        X, mask, pixel_size, bad_pixels
            As for `transform`. A few frames of a movie are enough.

        Returns
        -------
        choice : sklearn.utils.Bunch
            ``method`` ("sbd", "constant", "lowpass", "windowed-fourier", the class of your own
            fallback, or a name of `candidates`), ``reason`` (a sentence without a full stop),
            ``denoiser`` (fitted), ``params``, the keywords for its ``transform`` besides the mask,
            and ``table``, of all candidates, as `temdenoise.metrics.paired_risk` returns it: the
            chosen method comes first, the others have their difference to it. None if nothing was
            compared.

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
        fits, about, pixel_size = self._fit_of_weights(X, mask, pixel_size)
        low_pass = (
            LowPassDenoiser()
            if pixel_size is None
            else LowPassDenoiser(cutoff=_CUTOFF * pixel_size)
        )
        filters = {
            self._fallback_name(): self.fallback_,
            "lowpass": low_pass.fit(X[:1]),
            **self.candidates_,
        }
        if self.fallback is not None:
            del filters["lowpass"]  # the filter to use was said
        structured = {"sbd": self.sbd_, **filters} if fits else filters
        candidates = {
            name: (denoiser, only_taken(denoiser.transform, pixel_size=pixel_size))
            for name, denoiser in {"constant": ConstantDenoiser().fit(X[:1]), **structured}.items()
        }
        table = None
        why = self._why_not_compared(X, mask)
        if why is None:
            comparison = Comparison(candidates, X, mask, pixel_size, self.random_state)
            method, best = choose(comparison, list(structured), "constant")
            table = comparison.table(method)
            reason = f"{about}; {_found(table, method, best)}"
        else:
            method = "sbd" if fits else self._fallback_name()
            reason = f"{about}; {why}"
        denoiser, params = candidates[method]
        choice = Bunch(method=method, reason=reason, denoiser=denoiser, params=params, table=table)
        self._last["choice"] = choice
        return choice

    def _fallback_name(self):
        return "windowed-fourier" if self.fallback is None else type(self.fallback_).__name__

    def _why_not_compared(self, X, mask):
        """Reason why electrons of the images cannot be held out, or None."""
        for image, hidden in zip(X, [None] * len(X) if mask is None else mask, strict=True):
            values = image if hidden is None else image[~hidden]
            if (values != np.rint(values)).any():
                return "methods were not compared, as the values are not whole counts"
        if not X.any(where=True if mask is None else ~mask):
            return "methods were not compared, as there are no electrons"
        return None

    def _fit_of_weights(self, X, mask, pixel_size):
        """Whether the weights fit the images, what says so, and the pixel size to use or None."""
        if pixel_size == "auto":
            pixel_size, unknown = self._find_pixel_size(X, mask)
            if unknown:
                return False, unknown, None
        elif pixel_size is None:
            unknown = (
                "the pixel size is not known (give pixel_size in pm, or 'auto' to look for it)"
            )
            return False, unknown, None

        lowest, highest = self._pixel_sizes()
        about = f"{pixel_size:.3g} pm/px ({lowest:.3g} to {highest:.3g} pm/px)"
        weights = f"the weights {str(self.weights)!r}"
        if pixel_size < lowest:
            # such a pixel size is of no use to the filters either
            return False, f"{weights} do not fit {about}: is it in pm?", None
        if pixel_size > highest:
            return False, f"{weights} do not fit {about}: pixels too coarse", pixel_size
        dose = float(X.mean(where=True if mask is None else ~mask, dtype="float64"))
        low, high = self.sbd_.trained_doses(pixel_size)
        about_dose = f"{dose:.3g} electrons/px ({low:.3g} to {high:.3g} at this pixel size)"
        if not low <= dose <= high:
            return False, f"{weights} do not fit {about_dose}", pixel_size
        return True, f"{weights} fit: {about} and {about_dose}", pixel_size

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


def _found(table, method, best):
    """Say what the comparison found, in words."""
    others = ", ".join(
        f"{name} {row['difference']:+.2g} +- {row['difference_se']:.1g}"
        for name, row in table.iloc[1:].iterrows()
    )
    if method == "constant":
        what = "no method predicts held-out electrons significantly better than a constant"
    elif method == best:
        what = f"{method} predicts held-out electrons best"
    else:
        what = f"held-out electrons cannot tell {method} from {best}"
    return f"{what} (squared error in (counts/px)^2 less that of {method}: {others})"
