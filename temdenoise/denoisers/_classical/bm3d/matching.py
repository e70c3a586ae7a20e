"""Block matching: for blocks on a grid, the most similar blocks around them."""

import numpy as np
import torch

# References along each axis that share one search window, and with it one matrix product.
_GROUP = 4


def reference_grid(n_places, step):
    """Places of reference blocks along an axis: every `step`, and the last."""
    places = np.arange(0, n_places, step)
    return places if places[-1] == n_places - 1 else np.append(places, n_places - 1)


def stack_size(n_blocks, shape, radius):
    """Largest power of two up to `n_blocks` that every search window holds."""
    held = min(shape[0], radius + 1) * min(shape[1], radius + 1)
    return 1 << (min(n_blocks, held).bit_length() - 1)


def match_blocks(blocks, shape, *, step, radius, n_blocks):
    """Find the blocks most similar to those of a grid.

    Parameters
    ----------
    blocks : Tensor of shape (n_rows * n_columns, n_values)
        The block at every place, or any isometric transform of it.
    shape : tuple of int
        (n_rows, n_columns) of places.
    step : int
        Distance of the reference blocks.
    radius : int
        Places up to this far from the reference along each axis are searched. Neighbouring
        references share their windows, so it may be some more.
    n_blocks : int
        How many blocks to find for each reference. The search windows must hold as many.

    Returns
    -------
    index : Tensor of shape (n_references, n_blocks), dtype int64
        Rows of `blocks`, the most similar first; the very first is the reference itself.
    distance : Tensor of shape (n_references, n_blocks)
        Sum of squared differences.
    """
    n_rows, n_columns = shape
    values = blocks.view(n_rows, n_columns, -1)
    half_norms = blocks.square().sum(1).mul_(0.5)
    indices, distances = [], []
    rows, columns = reference_grid(n_rows, step), reference_grid(n_columns, step)
    for ys in _groups(rows):
        top, bottom = max(0, ys[0] - radius), min(n_rows, ys[-1] + radius + 1)
        for xs in _groups(columns):
            left, right = max(0, xs[0] - radius), min(n_columns, xs[-1] + radius + 1)
            width = right - left
            own = _as_index((ys[:, None] - top) * width + (xs - left), blocks)
            window = values[top:bottom, left:right].reshape(-1, blocks.shape[1])
            norms = half_norms.view(n_rows, n_columns)[top:bottom, left:right].reshape(1, -1)
            # |a - b|^2 / 2 = |a|^2 / 2 + (|b|^2 / 2 - a.b): the bracket suffices for the order.
            order = torch.addmm(norms, window[own], window.T, alpha=-1)
            order.scatter_(1, own[:, None], -torch.inf)  # the reference leads its stack
            order, found = order.topk(n_blocks, dim=1, largest=False)
            distance = (order + norms[0, own][:, None]).mul_(2)
            distance[:, 0] = 0
            indices.append((found // width + top) * n_columns + found % width + left)
            distances.append(distance)
    return torch.cat(indices), torch.cat(distances)


def count_similar(distance, limit):
    """Size of each stack: the largest power of two of blocks no further than `limit`.

    Parameters
    ----------
    distance : Tensor of shape (n_references, n_blocks)
        Distances in ascending order, the first being zero.
    limit : float
        Largest distance.

    Returns
    -------
    size : Tensor of shape (n_references,), dtype int64
    """
    similar = (distance <= limit).sum(1)
    size = torch.ones_like(similar)
    while (larger := 2 * int(size.max())) <= distance.shape[1]:
        enough = similar >= larger
        if not enough.any():
            break
        size[enough] = larger
    return size


def _groups(places):
    return [places[i : i + _GROUP] for i in range(0, len(places), _GROUP)]


def _as_index(places, like):
    return torch.from_numpy(places.ravel()).to(like.device)
