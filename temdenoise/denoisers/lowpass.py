"""Linear low-pass filters."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import fft
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._lengths import check_pixel_size
from temdenoise._masking import fill_masked
from temdenoise._validation import check_mask
from temdenoise.base import BaseDenoiser


class LowPassDenoiser(BaseDenoiser):
    """Linear low-pass filter, the simplest baseline.

    One of the methods compared in Section 5 of "Deep denoising for scientific discovery: a case
    study in electron microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    kind : {"gaussian", "ideal", "butterworth"}, default="gaussian"
        Transfer function of the spatial frequency f, with the cutoff c: ``exp(-(f / c)**2 / 2)``,
        which is a Gaussian blur of standard deviation ``1 / (2 pi c)``; one up to c and zero
        beyond; or ``1 / sqrt(1 + (f / c)**(2 order))``.
    cutoff : float, default=0.025
        Cutoff frequency, in cycles per pixel (0.5 is the highest along an axis); or in 1/Angstrom
        where `transform` is given a `pixel_size`. The default is a blur of 6.4 px.
    order : int, default=2
        Steepness of the Butterworth filter; not used by the others.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Notes
    -----
    Images are continued beyond their borders by reflection, not periodically, so nothing leaks
    from one border to the opposite one. The filter is linear and knows nothing of the noise: values
    of any sign and scale are welcome, negative ones are not refused. The ideal and the Butterworth
    filter have negative side lobes: their estimate may fall below zero near strong edges.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(2, 64, 64))
    >>> denoised = LowPassDenoiser(cutoff=0.03).fit(noisy).transform(noisy)
    >>> bool(denoised.std() < 0.1 * noisy.std())
    True
    """

    _parameter_constraints: dict = {
        "kind": [StrOptions({"gaussian", "ideal", "butterworth"})],
        "cutoff": [Interval(Real, 0, None, closed="neither")],
        "order": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, kind="gaussian", cutoff=0.025, order=2):
        self.kind = kind
        self.cutoff = cutoff
        self.order = order

    def transform(self, X, *, mask=None, pixel_size=None):
        """Filter images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images, in counts per pixel.
        mask : None or bool array-like of shape (height, width) or (n_images, height, width)
            True marks pixels not to trust: they are replaced by the mean around the closest
            trusted pixel before filtering.
        pixel_size : float, default=None
            Length of a pixel's side, in pm. If given, `cutoff` is in 1/Angstrom.

        Returns
        -------
        denoised : ndarray of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        TypeError
            If `pixel_size` is not a number.
        ValueError
            If the images are not a valid stack, `mask` does not fit them, or `pixel_size` is not
            positive.

        Warns
        -----
        UserWarning
            If the cutoff is below half a cycle over the images' longer side.
        """
        X = self._check_transform_input(X)
        X = fill_masked(X, check_mask(mask, X.shape))
        cutoff = self.cutoff
        if pixel_size is not None:
            cutoff = cutoff * check_pixel_size(pixel_size) / 100  # 100 pm = 1 Angstrom
            if 2 * max(X.shape[1:]) * cutoff < 1:
                warnings.warn(
                    f"At {pixel_size=:g} pm a cutoff of {self.cutoff:g} 1/Angstrom leaves "
                    "nothing but the images' mean: is it in pm?",
                    stacklevel=2,
                )
        response = self._response(X.shape[1:], cutoff).astype(np.float32)
        denoised = np.empty_like(X)
        for out, image in zip(denoised, X, strict=True):
            # The type-2 cosine transform is the Fourier transform of the image reflected at its
            # borders without end, so that this multiplication is the reflecting convolution.
            out[:] = fft.idctn(fft.dctn(image, type=2) * response, type=2)
        return denoised

    def _response(self, shape, cutoff):
        """Transfer function at the frequencies of the cosine transform, k / (2 n) cycles/px."""
        rows, columns = (np.arange(n) / (2 * n) for n in shape)
        ratio = np.hypot(rows[:, np.newaxis], columns) / cutoff
        if self.kind == "ideal":
            return (ratio <= 1).astype(np.float64)
        # Far beyond the cutoff a square or power may overflow to inf, whose response is rightly 0.
        with np.errstate(over="ignore", under="ignore"):
            if self.kind == "gaussian":
                return np.exp(-(ratio**2) / 2)
            return 1 / np.sqrt(1 + ratio ** (2 * self.order))
