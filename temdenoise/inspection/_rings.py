"""Fourier transforms of windowed images, and sums over rings of equal spatial frequency."""

import numpy as np
from scipy import fft, ndimage

# Share of a side over which the window falls to zero at each border.
_BORDER = 1 / 8
# About a masked region the window falls over as many times its half width, but over this number of
# pixels at least. So a dead pixel costs little, and a masked border is as smooth as one of the
# image.
_FALL, _LEAST_FALL = 4, 4


def make_window(shape, hidden=None):
    """Weights of the pixels that fall smoothly to zero at the borders and about masked pixels.

    A field of view is not periodic. Without a window the step from one border to the other has
    power at all frequencies along both axes: a cross.

    Parameters
    ----------
    shape : tuple of two int
    hidden : None or bool ndarray of this shape
        True marks pixels without weight.

    Returns
    -------
    window : ndarray of this shape, dtype float64
        0 to 1.
    """
    reach = max(1.0, min(shape) * _BORDER)
    rows, columns = (
        _rise(np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5, reach) for n in shape
    )
    window = np.outer(rows, columns)
    if hidden is None or not hidden.any():
        return window
    labels, n = ndimage.label(hidden, np.ones((3, 3)))
    depth = ndimage.maximum(ndimage.distance_transform_edt(hidden), labels, np.arange(1, n + 1))
    falls = np.clip(_FALL * np.ceil(depth), _LEAST_FALL, max(reach, _LEAST_FALL))
    for fall in np.unique(falls):
        these = np.isin(labels, np.flatnonzero(falls == fall) + 1)
        window *= _rise(ndimage.distance_transform_edt(~these), fall)
    return window


def _rise(distance, reach):
    return np.sin(np.pi / 2 * np.minimum(distance / reach, 1)) ** 2


class Rings:
    """Rings of equal width from zero to the Nyquist frequency along an axis, 0.5 cycles per pixel.

    Parameters
    ----------
    shape : tuple of two int
        Height and width of the images.
    n_rings : int

    Attributes
    ----------
    frequency : ndarray of shape (n_rings,)
        Mean frequency of the Fourier coefficients of each ring, in cycles per pixel.
    of_mode : ndarray of shape (height, width // 2 + 1)
        Number of the ring of each coefficient of `rfft2`; `n_rings` for those in no ring.
    """

    def __init__(self, shape, n_rings):
        self.shape, self.n_rings = shape, n_rings
        distance = np.hypot(fft.fftfreq(shape[0])[:, np.newaxis], fft.rfftfreq(shape[1]))
        self.of_mode = np.minimum((distance * 2 * n_rings).astype(np.int64), n_rings)
        # `rfft2` leaves out the conjugate of most coefficients. The mean is no structure.
        self._times = np.full(distance.shape, 2.0)
        self._times[:, 0] = 1
        if shape[1] % 2 == 0:
            self._times[:, -1] = 1
        self._times[0, 0] = 0
        with np.errstate(invalid="ignore"):
            self.frequency = self.sum(distance) / self.sum(np.ones_like(distance))

    def sum(self, values):
        """Sum of the values of all coefficients of each ring, shape (n_rings,)."""
        weights = (self._times * values).ravel()
        return np.bincount(self.of_mode.ravel(), weights, self.n_rings + 1)[: self.n_rings]

    def spread(self, of_ring):
        """Give each coefficient the value of its ring; zero outside all."""
        return np.append(of_ring, 0.0)[self.of_mode]


class Window:
    """A window, and the spectra of images under it.

    Parameters
    ----------
    weights : ndarray of shape (height, width)
    """

    def __init__(self, weights):
        self.weights = weights
        self._total = weights.sum()
        self._of_mean = fft.rfft2(weights) / self._total

    @property
    def correlation(self):
        """Factor by which the window, which mixes neighbours, raises variances of ring sums."""
        w2 = self.weights**2
        return w2.size * np.sum(w2**2) / np.sum(w2) ** 2

    @property
    def n_effective(self):
        """Number of pixels without a window that hold as much information."""
        return self.weights.size / self.correlation

    def spectrum(self, image):
        """Fourier transform of the image less its weighted mean, times the window."""
        image = np.asarray(image, dtype=np.float64)
        return fft.rfft2(self.weights * (image - (self.weights * image).sum() / self._total))

    def noise_power(self, counts):
        """Return the expected power of the shot noise in each coefficient of a spectrum.

        It is the sum of ``weights**2 * counts``, but less next to frequency zero, as the mean is
        subtracted. This is exact and has no bias.
        """
        power = fft.rfft2(self.weights**2 * counts)
        level = power[0, 0].real
        mean = self._of_mean
        return level * (1 + np.abs(mean) ** 2) - 2 * np.real(power * mean.conj())
