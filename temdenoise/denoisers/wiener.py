"""Adaptive Wiener filter."""

from numbers import Integral, Real

import numpy as np
from scipy import ndimage
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._jobs import map_images
from temdenoise.base import BaseDenoiser


class WienerDenoiser(BaseDenoiser):
    """Adaptive Wiener filter from local means and variances.

    Each pixel is moved towards the mean of its neighbourhood. It is moved more if the variance of
    the neighbourhood is smaller, compared with that of the noise (J. S. Lim, "Two-dimensional
    signal and image processing", 1990). It is one of the methods compared in Section 5 of "Deep
    denoising for scientific discovery: a case study in electron microscopy" (Mohan et al.,
    arXiv:2010.12970).

    Parameters
    ----------
    window_size : int, default=13
        Side of the square neighbourhood, in pixels.
    noise : "poisson" or float, default="poisson"
        Variance of the noise. "poisson": the local mean, as for electron counts; values must not be
        negative then. A float: the same variance everywhere, in (counts per pixel)**2.
    n_jobs : int or None, default=None
        Number of images denoised in parallel, in threads. None and -1: all CPUs. None also follows
        joblib's parallel_config and other workers on the machine.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Notes
    -----
    Images are reflected at their borders. The estimate is between the local mean and the pixel's
    own value, so it is negative only if the image has negative values.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import WienerDenoiser
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 64, 64))
    >>> denoised = WienerDenoiser(window_size=15).fit(noisy).transform(noisy)
    >>> bool(denoised.std() < 0.5 * noisy.std())
    True
    """

    _parameter_constraints: dict = {
        "window_size": [Interval(Integral, 1, None, closed="left")],
        "noise": [StrOptions({"poisson"}), Interval(Real, 0, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(self, *, window_size=13, noise="poisson", n_jobs=None):
        self.window_size = window_size
        self.noise = noise
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.noise == "poisson"
        return tags

    def _transform(self, X, mask):
        return map_images(self._filter_into, X, n_jobs=self.n_jobs)

    def _filter_into(self, out, image):
        # In double precision: the variance is a small difference of large numbers.
        image = image.astype(np.float64)
        mean = ndimage.uniform_filter(image, self.window_size, mode="reflect")
        # Rounding errors of the running sums can give values below zero where the image is zero.
        np.clip(mean, image.min(), image.max(), out=mean)
        # The image's mean is subtracted first, so that rounding errors are smaller.
        centre = image.mean()
        square = ndimage.uniform_filter((image - centre) ** 2, self.window_size, mode="reflect")
        variance = square - (mean - centre) ** 2
        noise = mean if self.noise == "poisson" else self.noise
        gain = np.zeros_like(image)
        # There is signal only where the variance exceeds the noise. This avoids a division by zero.
        np.divide(variance - noise, variance, out=gain, where=variance > np.maximum(noise, 0))
        out[:] = mean + gain * (image - mean)
