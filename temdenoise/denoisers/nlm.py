"""Non-local means."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._calls import level_outside
from temdenoise._jobs import map_images
from temdenoise.base import BaseDenoiser

# A mean that falls by more than this share, and by so many standard errors, is no chance.
_MOST_LOST, _CLEAR = 0.05, 3.0


class NLMDenoiser(BaseDenoiser):
    """Non-local means, by scikit-image, for Gaussian noise.

    Each pixel becomes the mean of pixels with similar surroundings (A. Buades, B. Coll and
    J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005). The noise of electron
    counts is not Gaussian. For counts use ``VSTDenoiser(denoiser=NLMDenoiser())``, one of the
    methods compared in Section 5 of "Deep denoising for scientific discovery: a case study in
    electron microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    sigma : "auto" or float, default="auto"
        Standard deviation of the noise, in the unit of the images. "auto": estimated from the
        differences of neighbours along both axes, for each image; details of the size of a pixel
        count as noise. With 0 the images are returned unchanged.
    h : float, default=0.8
        Largest difference of averaged pixels, in units of sigma. Larger values give smoother
        images.
    patch_size : int, default=7
        Side of the compared surroundings, in pixels.
    patch_distance : int, default=11
        Largest distance of averaged pixels, in pixels along each axis.
    n_jobs : int or None, default=None
        Number of images denoised in parallel, in threads. None and -1: all CPUs. None also follows
        joblib's parallel_config and other workers on the machine.

    Warns
    -----
    UserWarning
        In `transform`, if more than 5 % of the counts are lost.

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
        denoised = map_images(self._filter_into, X, self._sigmas(X, mask), n_jobs=self.n_jobs)
        _warn_if_counts_are_lost(X, denoised)
        return denoised

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
        # In units of the noise, without the mean: rounding errors of single precision are smaller.
        centre = image.mean(dtype=np.float64)
        scaled = ((image - centre) / sigma).astype(np.float64)
        filtered = denoise_nl_means(
            scaled,
            patch_size=self.patch_size,
            # Farther away there are only mirror images.
            patch_distance=min(self.patch_distance, max(image.shape)),
            h=self.h,
            sigma=1.0,
            fast_mode=True,
        )
        # scikit-image drops the second axis of images one pixel wide.
        out[:] = centre + sigma * filtered.reshape(image.shape)


def _warn_if_counts_are_lost(X, denoised):
    """Say by how much the mean fell, which Gaussian noise never makes it do.

    At few counts most pixels are equal zeros, so they are averaged more than those with electrons.
    """
    before, after = (images.mean(axis=(1, 2), dtype=np.float64) for images in (X, denoised))
    chance = X.std(axis=(1, 2)) / np.sqrt(X[0].size)
    lost = (before - after) / np.maximum(np.abs(before), 1e-12)
    lost[before - after < _CLEAR * chance] = 0
    if lost.max() > _MOST_LOST:
        k = int(lost.argmax())
        warnings.warn(
            f"NLMDenoiser lost {lost[k]:.0%} of the counts of image {k}: its noise is not "
            "Gaussian. For electron counts use VSTDenoiser(denoiser=NLMDenoiser()).",
            UserWarning,
            stacklevel=level_outside(),
        )


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
        raise ValueError("Too few pixels to estimate sigma of the noise: give a number for sigma.")
    return float(np.sqrt(np.mean(difference**2)))
