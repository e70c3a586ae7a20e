"""Automatic differentiation of a trained denoiser, from one denoised pixel back to the image."""

import numpy as np

from temdenoise.binning import unbin
from temdenoise.networks.gradient import gradient_of_bins


def pixel_gradient(est, image, pixel, factor):
    """Return one denoised pixel and its gradient; see `TrainedDenoiser.pixel_gradient`.

    Parameters
    ----------
    est : TrainedDenoiser
        Fitted.
    image : ndarray of shape (height, width)
        Counts per pixel.
    pixel : tuple of two int
        Row and column.
    factor : float
        Side of a bin in pixels.

    Returns
    -------
    value : float
        The denoised pixel in counts/px.
    gradient : ndarray of shape (height, width), dtype float64
        Its derivative with respect to `image`.
    """
    # Binning and the way back work on rows and columns in turn: two small matrices each.
    gather = [_shares(n, factor) for n in image.shape]
    axes = zip(gather, image.shape, pixel, strict=True)
    spread = [_spline_weights(len(shares), factor, n, at) for shares, n, at in axes]
    bins = gather[0] @ image.astype(np.float64) @ gather[1].T
    dose = est._dose_of(bins)
    if dose == 0:
        return 0.0, np.zeros(image.shape)
    rate, gradient = gradient_of_bins(
        est.network_, bins / dose, spread, device=est.device, orientations=est.orientations
    )
    rate = rate * dose
    return rate / factor**2, gather[0].T @ gradient @ gather[1] / factor**2


def _shares(n_pixels, factor):
    """Matrix (n_bins, n_pixels): the share of each pixel in each bin, mirrored at the end."""
    n_bins = int(np.ceil(n_pixels / factor - 1e-9))
    edges = np.arange(n_bins + 1) * factor
    n_padded = int(np.ceil(edges[-1] - 1e-9))
    first = np.arange(n_padded)
    overlap = np.minimum(first + 1, edges[1:, None]) - np.maximum(first, edges[:-1, None])
    overlap = np.clip(overlap, 0, None)
    shares = np.zeros((n_bins, n_pixels))
    around = first % (2 * n_pixels)
    np.add.at(shares.T, np.minimum(around, 2 * n_pixels - 1 - around), overlap.T)
    return shares


def _spline_weights(n_bins, factor, n_pixels, pixel):
    """Weights of the bins, along one axis, in the spline at one pixel."""
    each = np.eye(n_bins, dtype=np.float32)[:, :, np.newaxis]
    return unbin(each, factor, (n_pixels, 1))[:, pixel, 0].astype(np.float64)
