"""Highest frequency of the detail in an image, and the largest bin that keeps this detail."""

import math

import numpy as np

# Side and distance of the windows of the averaged periodogram, in pixels.
_WINDOW, _STRIDE = 64, 32
# Bins are finer by this factor than the highest frequency requires. Harmonics of a lattice that are
# too weak in the periodogram can be strong in places, and finer bins only take more time.
_MARGIN = 3.0
_MAX_BINNING = 6
# Side of a bin in pm that is come closest to: images hold nothing finer than twice that.
_BIN = 31.1
# Frames that tell the spectrum of all.
_FEW = 8
# Chance that shot noise alone shows anywhere in the periodogram: exp(-5), beside the number of its
# coefficients.
_CAUTION = 5.0


def find_band_limit(image, read_noise=0.0):
    """Highest frequency at which an image shows more power than shot noise.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Electron counts.
    read_noise : float, default=0
        Standard deviation of Gaussian noise beside the shot noise, in electrons.

    Returns
    -------
    limit : float
        In cycles per pixel along the rows or columns, whichever is higher; 0 to 0.5. It is 0 where
        nothing but shot noise is found.
    """
    n = min(_WINDOW, *image.shape)
    edge = np.sin(np.pi * (np.arange(n) + 0.5) / n)
    weight = np.outer(edge, edge)
    windows = np.lib.stride_tricks.sliding_window_view(image, (n, n))[::_STRIDE, ::_STRIDE]
    windows = windows.reshape(-1, n, n)
    power = np.zeros((n, n // 2 + 1))
    noise = 0.0
    for part in np.array_split(windows, -(-len(windows) // 256)):  # bounds the memory
        part = part.astype(np.float64) * weight
        noise += np.sum(part * weight) + len(part) * read_noise**2 * np.sum(weight**2)
        part -= part.sum(axis=(1, 2), keepdims=True) / weight.sum() * weight
        power += np.sum(np.abs(np.fft.rfft2(part)) ** 2, axis=0)
    if noise <= 0:
        return 0.0
    # A mean of k independent exponential variables passes 1 + sqrt(2 u / k) + u / k with a chance
    # below exp(-u). Windows that do not overlap are independent, the others add a little.
    k = max(1.0, image.size / n**2)
    u = math.log(power.size) + _CAUTION
    found = power / noise > 1 + math.sqrt(2 * u / k) + u / k
    frequency = np.maximum(np.abs(np.fft.fftfreq(n))[:, None], np.fft.rfftfreq(n))
    return float(frequency[found].max(initial=0.0))


def find_binning(image, read_noise=0.0):
    """Largest whole number of pixels a bin may have without losing detail of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Electron counts.
    read_noise : float, default=0
        Standard deviation of Gaussian noise beside the shot noise, in electrons.

    Returns
    -------
    binning : int
        Side of a bin in pixels, 1 to 6.
    """
    limit = find_band_limit(image, read_noise)
    # In images of few pixels bins of many would leave nothing to filter.
    largest = max(1, min(_MAX_BINNING, min(image.shape) // 8))
    return max(1, min(largest, int(0.5 / (_MARGIN * limit)))) if limit else largest


def find_binning_of_stack(images, pixel_size=None):
    """Whole number of pixels of a bin that loses no detail of a stack of images.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width)
        Electron counts.
    pixel_size : float or None, default=None
        Side of a pixel in pm. None: the spectrum of some images decides.

    Returns
    -------
    binning : int
        What comes closest to bins of 31.1 pm, or what the spectrum allows.
    """
    if pixel_size is not None:
        return max(1, round(_BIN / pixel_size))
    return min(find_binning(image) for image in images[:: max(1, len(images) // _FEW)])
