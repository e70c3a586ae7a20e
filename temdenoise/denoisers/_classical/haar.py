"""Unnormalised Haar transform of images of any size, undecimated or decimated.

Every coefficient is a sum (scaling coefficient) or a difference of two sums (detail) of pixels,
each pixel counted once. Sums of Poisson counts are Poisson counts, at every scale. Therefore the
risk estimate of `temdenoise.denoisers._classical.purelet` is exact.

No image is padded here. The undecimated transform uses the windows at all positions inside the
image. Its inverse averages over all windows that hold a pixel, which are fewer at the borders.
"""

import numpy as np


class Haar:
    """Haar transform of images of one size.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the images.
    n_scales : int
        Largest number of scales; an axis takes part in a scale only if the image is large enough.
    decimated : bool
        Whether to keep the windows side by side instead of those at all positions. An axis takes
        part in as many scales as its length can be halved then.

    Attributes
    ----------
    axes : list of list of int
        For each scale, from the finest, the axes that take part: -1, -2, or both.
    """

    def __init__(self, shape, n_scales, decimated=False):
        self.decimated = decimated
        self.axes = []
        for j in range(n_scales):
            if decimated:
                axes = [axis for axis in (-1, -2) if shape[axis] % 2 ** (j + 1) == 0]
            else:
                # Fewer windows of 2 * 2**j pixels would not cover the middle.
                axes = [axis for axis in (-1, -2) if shape[axis] >= 3 * 2**j - 1]
            if not axes:
                break
            self.axes.append(axes)

    @property
    def n_scales(self):
        """Number of scales that fit the images."""
        return len(self.axes)

    def analyse(self, low, scale):
        """Split the scaling coefficients of one scale into those of the next, and details.

        Parameters
        ----------
        low : ndarray of shape (..., h, w)
            Scaling coefficients, at the first scale (0) the image itself.
        scale : int
            Index of the scale.

        Returns
        -------
        low : ndarray of shape (..., h', w')
            Sums.
        details : dict of tuple of int to ndarray of shape (..., h', w')
            Differences, by the axes along which they were taken.
        """
        bands = {(): low}
        for axis in self.axes[scale]:
            split = {}
            for key, band in bands.items():
                a, b = self._pair(band, scale, axis)
                split[key] = a + b
                split[(*key, axis)] = a - b
            bands = split
        return bands.pop(()), bands

    def synthesise(self, low, details, scale):
        """Invert `analyse`.

        Parameters
        ----------
        low : ndarray of shape (..., h', w')
            Sums.
        details : dict of tuple of int to ndarray of shape (..., h', w')
            Differences; those left out count as zero.
        scale : int
            Index of the scale.

        Returns
        -------
        low : ndarray of shape (..., h, w)
            Scaling coefficients of the scale before.
        """
        bands = {(): low, **details}
        for axis in reversed(self.axes[scale]):
            keys = {tuple(a for a in key if a != axis) for key in bands}
            bands = {
                key: self._unpair(bands.get(key), bands.get((*key, axis)), scale, axis)
                for key in keys
            }
        return bands[()]

    def support(self, scale):
        """Return the number of pixels in a window of a scale."""
        return 2 ** sum(len(axes) for axes in self.axes[: scale + 1])

    def neighbours(self, band, scale, axis):
        """Coefficients one window before and after, with zeros where there is none.

        Their windows touch that of the coefficient and share no pixel with it.

        Parameters
        ----------
        band : ndarray of shape (..., h', w')
            Coefficients of scale `scale`.
        scale : int
            Index of the scale.
        axis : {-1, -2}
            Direction, one of those that take part in the scale.

        Returns
        -------
        before, after : ndarrays of shape (..., h', w')
            Neighbours.
        """
        shift = 1 if self.decimated else 2 ** (scale + 1)
        before, after = np.zeros_like(band), np.zeros_like(band)
        n = band.shape[axis]
        if shift < n:
            before[_along(axis, shift, None)] = band[_along(axis, None, n - shift)]
            after[_along(axis, None, n - shift)] = band[_along(axis, shift, None)]
        return before, after

    def _pair(self, band, scale, axis):
        if self.decimated:
            return band[_along(axis, None, None, 2)], band[_along(axis, 1, None, 2)]
        half = 2**scale
        return band[_along(axis, None, -half)], band[_along(axis, half, None)]

    def _unpair(self, low, high, scale, axis):
        if low is None:
            a, b = high, -high
        elif high is None:
            a = b = low
        else:
            a, b = low + high, low - high
        shape = list(a.shape)
        if self.decimated:
            shape[axis] *= 2
            out = np.empty(shape, a.dtype)
            out[_along(axis, None, None, 2)] = a
            out[_along(axis, 1, None, 2)] = b
            out *= 0.5
            return out
        half = 2**scale
        shape[axis] += half
        out = np.empty(shape, a.dtype)
        out[_along(axis, None, -half)] = a
        # At the end only one window holds each coefficient.
        out[_along(axis, -half, None)] = b[_along(axis, -half, None)]
        out[_along(axis, half, -half)] += b[_along(axis, None, -half)]
        out *= 0.5 / self._cover(shape[axis], scale, axis)
        return out

    def _cover(self, n, scale, axis):
        """Return the number of windows, along an axis, that hold each coefficient."""
        cover = np.ones(n)
        if not self.decimated:
            half = 2**scale
            cover[half : n - half] = 2
        return cover if axis == -1 else cover[:, np.newaxis]


def _along(axis, *bounds):
    """Index that slices one of the last two axes."""
    index = [Ellipsis, slice(None), slice(None)]
    index[axis] = slice(*bounds)
    return tuple(index)
