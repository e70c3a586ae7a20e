"""Linear low-pass filters."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import fft
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._calls import level_outside
from temdenoise._jobs import map_images
from temdenoise.base import ScaledDenoiser


class LowPassDenoiser(ScaledDenoiser):
    """Linear low-pass filter, the simplest baseline.

    It is one of the methods compared in Section 5 of "Deep denoising for scientific discovery: a
    case study in electron microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    kind : {"gaussian", "ideal", "butterworth"}, default="gaussian"
        Transfer function of the spatial frequency f, with the cutoff c. "gaussian":
        ``exp(-(f / c)**2 / 2)``, a Gaussian blur of standard deviation ``1 / (2 pi c)``. "ideal":
        one up to c and zero above. "butterworth": ``1 / sqrt(1 + (f / c)**(2 order))``.
    cutoff : float, default=0.025
        Cutoff frequency, in the unit of `unit`. In cycles per pixel, 0.5 is the highest along an
        axis. The default is a blur of 6.4 px.
    unit : {"1/px", "1/angstrom"}, default="1/px"
        Unit of the cutoff. "1/angstrom" needs the pixel size of the images.
    order : int, default=2
        Steepness of the Butterworth filter. The other filters do not use it.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Notes
    -----
    Images are extended beyond their borders by reflection, not periodically, so opposite borders do
    not affect each other. The filter is linear and uses no model of the noise, so it takes values
    of any sign and scale. The ideal and the Butterworth filter have negative side lobes: their
    estimate can be negative near strong edges.

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
        "unit": [StrOptions({"1/px", "1/angstrom"})],
        "order": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, kind="gaussian", cutoff=0.025, unit="1/px", order=2):
        self.kind = kind
        self.cutoff = cutoff
        self.unit = unit
        self.order = order

    def _transform(self, X, mask, pixel_size):
        response = self._response(X.shape[1:], self._cutoff(X, pixel_size)).astype(np.float32)
        # The type-2 cosine transform is the Fourier transform of the infinitely reflected image, so
        # this multiplication is a convolution with reflecting borders.
        return map_images(
            lambda out, image: np.copyto(
                out, fft.idctn(fft.dctn(image, type=2) * response, type=2)
            ),
            X,
        )

    def _cutoff(self, X, pixel_size):
        """Cutoff in cycles per pixel."""
        if self.unit == "1/px":
            return self.cutoff
        if pixel_size is None:
            raise ValueError(
                "unit='1/angstrom' needs the pixel size: give pixel_size in pm, or images that "
                "know it (temdenoise.ImageStack)."
            )
        cutoff = self.cutoff * pixel_size / 100  # 100 pm = 1 Angstrom
        if 2 * max(X.shape[1:]) * cutoff < 1:
            warnings.warn(
                f"At {pixel_size=:g} pm a cutoff of {self.cutoff:g} 1/Angstrom leaves nothing but "
                "the images' mean: is it in pm?",
                stacklevel=level_outside(),
            )
        return cutoff

    def _response(self, shape, cutoff):
        """Transfer function at the frequencies of the cosine transform, k / (2 n) cycles/px."""
        rows, columns = (np.arange(n) / (2 * n) for n in shape)
        ratio = np.hypot(rows[:, np.newaxis], columns) / cutoff
        if self.kind == "ideal":
            return (ratio <= 1).astype(np.float64)
        # Far above the cutoff a power can overflow to inf. The response is then 0, as it should be.
        with np.errstate(over="ignore", under="ignore"):
            if self.kind == "gaussian":
                return np.exp(-(ratio**2) / 2)
            return 1 / np.sqrt(1 + ratio ** (2 * self.order))
