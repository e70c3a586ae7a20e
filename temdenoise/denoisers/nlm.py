"""Non-local means."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._jobs import map_images
from temdenoise.base import BaseDenoiser


class NLMDenoiser(BaseDenoiser):
    """Non-local means, by scikit-image, for Gaussian noise.

    Each pixel becomes a mean of those whose surroundings look alike (A. Buades, B. Coll and
    J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005). Electron counts have
    another noise: wrap it as ``VSTDenoiser(denoiser=NLMDenoiser())``, one of the methods compared
    in Section 5 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    sigma : "auto" or float, default="auto"
        Standard deviation of the noise, in the unit of the images. "auto": that of the differences
        of neighbours along both axes, image by image, which takes detail of a pixel's size for
        noise. With 0 the images come back as they are.
    h : float, default=0.8
        How unlike the pixels averaged may be, in units of sigma: larger is smoother.
    patch_size : int, default=7
        Side of the surroundings compared, in pixels.
    patch_distance : int, default=11
        How far apart the pixels averaged may be, in pixels along each axis.
    n_jobs : int or None, default=None
        Number of images denoised side by side, in threads. None and -1 are all CPUs; None heeds
        joblib's parallel_config, and workers that share a machine.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import NLMDenoiser
    >>> noisy = np.random.default_rng(0).normal(5.0, 1.0, size=(2, 48, 48))
    >>> denoised = NLMDenoiser(sigma=1.0).fit(noisy).transform(noisy)
    >>> bool(denoised.std() < 0.3 * noisy.std())
    True
    """

    _parameter_constraints: dict = {
        "sigma": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "h": [Interval(Real, 0, None, closed="neither")],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "patch_distance": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(self, *, sigma="auto", h=0.8, patch_size=7, patch_distance=11, n_jobs=None):
        self.sigma = sigma
        self.h = h
        self.patch_size = patch_size
        self.patch_distance = patch_distance
        self.n_jobs = n_jobs

    def _transform(self, X, mask):
        return map_images(self._filter_into, X, self._sigmas(X, mask), n_jobs=self.n_jobs)

    def _sigmas(self, X, mask):
        if self.sigma != "auto":
            return [self.sigma] * len(X)
        trusted = X if mask is None else np.where(mask, np.nan, X)
        return [_estimate_sigma(image) for image in trusted]

    def _filter_into(self, out, image, sigma):
        from skimage.restoration import denoise_nl_means

        if sigma == 0:
            out[:] = image
            return
        # In units of the noise, about its mean: single precision cancels less.
        centre = image.mean(dtype=np.float64)
        scaled = ((image - centre) / sigma).astype(np.float64)
        filtered = denoise_nl_means(
            scaled,
            patch_size=self.patch_size,
            # Farther there is nothing but mirror images.
            patch_distance=min(self.patch_distance, max(image.shape)),
            h=self.h,
            sigma=1.0,
            fast_mode=True,
        )
        # scikit-image drops the second axis of images one pixel wide.
        out[:] = centre + sigma * filtered.reshape(image.shape)


def _estimate_sigma(image):
    """Return the deviation of white noise, from differences of neighbours along both axes.

    NaN marks pixels not to trust.
    """
    difference = image.astype(np.float64)
    for axis in (0, 1):
        if image.shape[axis] > 1:
            difference = np.diff(difference, axis=axis) / np.sqrt(2)
    if image.size == 1:
        return 0.0
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        raise ValueError("Too few pixels to estimate sigma of the noise from: give sigma a number.")
    return float(np.sqrt(np.mean(difference**2)))
