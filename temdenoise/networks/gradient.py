"""Automatic differentiation of one place of a network's output with respect to its input."""

import copy

import numpy as np
import torch

from temdenoise._device import choose_device
from temdenoise.networks.apply import TILE, average_over_orientations


def gradient_of_bins(network, bins, weights, *, device="auto", orientations=1):
    """Differentiate a weighted sum of a network's rates with respect to its input.

    Parameters
    ----------
    network : torch.nn.Module
        The network. It is not changed; a copy computes in double precision.
    bins : ndarray of shape (rows, columns), dtype float64
        Counts per bin.
    weights : (ndarray of shape (rows,), ndarray of shape (columns,))
        Weights of the rates are the outer product of the two. Rates farther than a tile from the
        largest weight are not used.
    device : str, default="auto"
    orientations : {1, 2, 4, 8}, default=1
        Number of orientations of the image to average over.

    Returns
    -------
    rate : float
        The weighted sum.
    gradient : ndarray of shape (rows, columns), dtype float64
        Its derivative.
    """
    device = choose_device(device)
    if device.type == "mps":  # it has no double precision
        device = torch.device("cpu")
    network = copy.deepcopy(network).to(device).double().eval().requires_grad_(False)
    whole = getattr(network, "halo", None) is None
    seen = tuple(
        slice(0, len(w)) if whole else _tile(len(w), int(np.abs(w).argmax()), network.grid)
        for w in weights
    )
    rows, columns = (
        torch.tensor(w[part], device=device) for w, part in zip(weights, seen, strict=True)
    )
    counts = torch.tensor(bins, device=device, requires_grad=True)
    options = {"level": counts.mean()} if getattr(network, "takes_level", False) else {}
    rates = average_over_orientations(
        lambda turned: network(turned[None, None], **options)[0, 0], counts[seen], orientations
    )
    rate = rows @ rates @ columns
    rate.backward()
    return float(rate.detach()), counts.grad.cpu().numpy()


def _tile(n_bins, centre, grid):
    """Bins that are used along one axis: all, or those of a tile about the centre."""
    if n_bins <= TILE:
        return slice(0, n_bins)
    start = int(np.clip(centre - TILE // 2, 0, n_bins - TILE)) // grid * grid
    return slice(start, start + TILE if start + TILE + grid <= n_bins else n_bins)
