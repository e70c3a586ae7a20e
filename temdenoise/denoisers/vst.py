"""Denoisers for Gaussian noise, applied to counts by variance stabilisation."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
)

from temdenoise._band_limit import find_binning
from temdenoise._jobs import map_images
from temdenoise._validation import check_offset
from temdenoise.base import BaseDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.variance_stabilization import (
    METHODS,
    check_noise,
    exact_rates,
    generalized_anscombe,
    inverse_generalized_anscombe,
)


class VSTDenoiser(BaseDenoiser):
    """Variance-stabilising transform around a denoiser for Gaussian noise.

    The (generalised) Anscombe transform gives counts noise of variance one. Then the denoiser
    works, and the exact unbiased inverse transforms the result back to counts. This gives "VST +
    BM3D" and "VST + NLM" of Section 5 of "Deep denoising for scientific discovery: a case study in
    electron microscopy" (Mohan et al., arXiv:2010.12970). The transform fails below about one
    count. Therefore counts are summed over bins first, and the result is interpolated by cubic
    splines. With several `iterations` the estimate is refined: it is averaged with the counts,
    which reduces their noise, and denoised again in finer bins (L. Azzari and A. Foi, "Variance
    stabilization for noisy+estimate combination in iterative Poisson denoising", IEEE Signal
    Process. Lett. 23, 1086, 2016).

    Parameters
    ----------
    denoiser : None or denoiser, default=None
        Denoiser for Gaussian noise: an object with ``fit`` and ``transform`` for stacks of images.
        If its parameter ``sigma`` is None or "auto", it is set to 1, the noise after the transform;
        a number is kept. None: ``BM3DDenoiser(sigma=1.0)``.
    binning : "auto" or int, default="auto"
        Side of a bin in pixels, in the last of the `iterations`. "auto": the largest that each
        image's spectrum allows, at most 6 pixels.
    iterations : int, default=3
        Number of times the image is denoised. The bins of the first iteration are twice as wide as
        those of the last.
    final_weight : float, default=0.2
        Weight of the counts in their average with the estimate, in the last iteration. It falls
        linearly from 1 in the first one. Not used with one iteration.
    gain : float, default=1.0
        Value per electron: X is ``gain * electrons + offset + noise``.
    offset : float, default=0.0
        Value without electrons. Without read noise, values below it are refused.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise, in the unit of X.
    inverse : {"exact_unbiased", "asymptotic", "algebraic"}, default="exact_unbiased"
        Inverse transform, see `temdenoise.variance_stabilization.inverse_anscombe`.
    n_jobs : int or None, default=None
        Number of images denoised in parallel, in threads. None and -1: all CPUs. None also follows
        joblib's parallel_config and other workers on the machine.

    Attributes
    ----------
    denoiser_ : denoiser
        The fitted inner denoiser.
    dose_ : float
        Mean value per pixel of the images seen in `fit`.

    Notes
    -----
    The result is in the unit of X, with its gain and offset. Values can be negative with read
    noise, or with a negative offset.

    Names such as ``denoiser__h`` set parameters of the inner denoiser, in ``set_params`` and grids.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import NLMDenoiser, VSTDenoiser
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 64, 64))
    >>> denoiser = VSTDenoiser(denoiser=NLMDenoiser(), binning=4).fit(noisy)
    >>> bool(denoiser.transform(noisy).std() < 0.2 * noisy.std())
    True
    """

    _parameter_constraints: dict = {
        "denoiser": [None, HasMethods(["fit", "transform", "get_params", "set_params"])],
        "binning": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "iterations": [Interval(Integral, 1, None, closed="left")],
        "final_weight": [Interval(Real, 0, 1, closed="right")],
        "gain": [Interval(Real, 0, None, closed="neither")],
        "offset": [Interval(Real, None, None, closed="neither")],
        "read_noise": [Interval(Real, 0, None, closed="left")],
        "inverse": [StrOptions(set(METHODS))],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        *,
        denoiser=None,
        binning="auto",
        iterations=3,
        final_weight=0.2,
        gain=1.0,
        offset=0.0,
        read_noise=0.0,
        inverse="exact_unbiased",
        n_jobs=None,
    ):
        self.denoiser = denoiser
        self.binning = binning
        self.iterations = iterations
        self.final_weight = final_weight
        self.gain = gain
        self.offset = offset
        self.read_noise = read_noise
        self.inverse = inverse
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.offset == 0 and self.read_noise == 0
        return tags

    def _check_images(self, X, y=None, mask=None):
        X, y, mask = super()._check_images(X, y, mask)
        check_offset(X, self.offset, self.read_noise, mask)
        return X, y, mask

    def _fit(self, X, y, mask):
        super()._fit(X, y, mask)
        inner = self._inner()
        try:
            stabilized = generalized_anscombe(X, **self._noise()).astype(np.float32)
            self.denoiser_ = inner.fit(stabilized)
        except InvalidParameterError as error:
            # The message names the parameter of this class.
            message = str(error).replace("The '", "The 'denoiser__", 1)
            raise InvalidParameterError(message) from error

    def _transform(self, X, mask):
        return map_images(self._denoise_into, X, n_jobs=self.n_jobs)

    def _inner(self):
        if self.denoiser is None:
            from temdenoise.denoisers.bm3d import BM3DDenoiser

            return BM3DDenoiser(sigma=1.0)
        inner = clone(self.denoiser)
        sigma = inner.get_params(deep=False).get("sigma", 1.0)
        if sigma is None or (isinstance(sigma, str) and sigma == "auto"):
            inner.set_params(sigma=1.0)
        return inner

    def _noise(self):
        gain, offset, read_noise = check_noise(self.gain, self.offset, self.read_noise)
        return {"gain": gain, "offset": offset, "read_noise": read_noise}

    def _denoise_into(self, out, image):
        noise = self._noise()
        electrons = (image - noise["offset"]) / noise["gain"]
        sigma = noise["read_noise"] / noise["gain"]
        last = find_binning(electrons, sigma) if self.binning == "auto" else self.binning
        rates = None
        for step in np.linspace(0, 1, self.iterations):
            weight = 1 - (1 - self.final_weight) * step
            factor = last if self.iterations == 1 else round(last * (2 - step))
            mixed = electrons if rates is None else weight * electrons + (1 - weight) * rates
            bins = self._denoise_bins(bin_counts(mixed[None], factor), sigma * factor, weight)
            rates = unbin(bins / factor**2, factor, image.shape)[0]
        out[:] = noise["gain"] * rates + noise["offset"]

    def _denoise_bins(self, bins, sigma, weight):
        """Rates (1, rows, columns) of counts, averaged with weight `weight` with an estimate."""
        values = bins / weight**2
        sigma_there = sigma / weight  # that of the noise in `values`
        stabilized = generalized_anscombe(values, read_noise=sigma_there).astype(np.float32)
        estimate = self.denoiser_.transform(stabilized).astype(np.float64)
        if self.inverse == "exact_unbiased":
            return exact_rates(estimate, sigma, weight)
        rates = inverse_generalized_anscombe(estimate, read_noise=sigma_there, method=self.inverse)
        return rates * weight**2
