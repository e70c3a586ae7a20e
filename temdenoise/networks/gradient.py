"""Automatic differentiation of `SBDDenoiser`, from one denoised pixel back to the noisy image."""

import copy

import numpy as np
import torch

from temdenoise._device import choose_device
from temdenoise.binning import unbin
from temdenoise.networks.apply import ORIENTATIONS, TILE


def pixel_gradient(est, image, pixel, pixel_size=None):
    """Return one denoised pixel and its gradient; see `SBDDenoiser.pixel_gradient`.

    Parameters
    ----------
    est : SBDDenoiser
        Fitted.
    image : ndarray of shape (height, width)
        Counts per pixel.
    pixel : tuple of two int
        Row and column.
    pixel_size : float, "auto" or None
        In pm.

    Returns
    -------
    value : float
        The denoised pixel in counts/px.
    gradient : ndarray of shape (height, width), dtype float64
        Its derivative with respect to `image`.
    """
    est._check_transform_input(image[np.newaxis])
    if isinstance(pixel_size, str) and pixel_size == "auto":
        pixel_size = est.estimate_pixel_size(image[np.newaxis])
    factor = est.bins_.factor(pixel_size)
    # Binning and the way back work on rows and columns in turn: two small matrices each.
    gather = [_shares(n, factor) for n in image.shape]
    axes = zip(gather, image.shape, pixel, strict=True)
    spread = [_spline_weights(len(shares), factor, n, at) for shares, n, at in axes]
    bins = gather[0] @ image.astype(np.float64) @ gather[1].T

    device = choose_device(est.device)
    if device.type == "mps":  # it has no double precision
        device = torch.device("cpu")
    network = copy.deepcopy(est.network_).to(device).double().eval().requires_grad_(False)
    seen = [_tile(len(w), int(np.abs(w).argmax()), network.grid) for w in spread]
    weights = [w[part] for w, part in zip(spread, seen, strict=True)]
    rate, gradient = _through_network(est, network, bins, tuple(seen), weights)
    return rate / factor**2, gather[0].T @ gradient @ gather[1] / factor**2


def _through_network(est, network, bins, seen, weights):
    """Weighted sum of the rates per bin and its derivative with respect to all counts per bin."""
    device = next(network.parameters()).device
    counts = torch.tensor(bins, device=device, requires_grad=True)
    options = {"level": counts.mean()} if getattr(network, "takes_level", False) else {}
    tile = counts[seen]
    total = torch.zeros_like(tile)
    for turns, mirrored in ORIENTATIONS[: est.orientations]:
        turned = torch.rot90(tile.flip(1) if mirrored else tile, turns)
        rates = torch.rot90(network(turned[None, None], **options)[0, 0], -turns)
        total = total + (rates.flip(1) if mirrored else rates)
    rows, columns = (torch.tensor(w, device=device) for w in weights)
    rate = rows @ (total / est.orientations) @ columns
    rate.backward()
    return float(rate.detach()), counts.grad.cpu().numpy()


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


def _tile(n_bins, centre, grid):
    """Bins seen along one axis: all, or as many as a tile has about the centre."""
    if n_bins <= TILE:
        return slice(0, n_bins)
    start = int(np.clip(centre - TILE // 2, 0, n_bins - TILE)) // grid * grid
    return slice(start, start + TILE if start + TILE + grid <= n_bins else n_bins)
