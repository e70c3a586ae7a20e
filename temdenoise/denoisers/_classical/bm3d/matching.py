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
    half_norms = blocks.square().sum(1).mul_(0.5).view(shape)
    blocks = blocks.view(n_rows, n_columns, -1)
    groups = _groups(reference_grid(n_columns, step), n_columns, radius)
    indices, distances = [], []
    for ys, top, bottom in _groups(reference_grid(n_rows, step), n_rows, radius):
        strip = slice(top, bottom)
        found = _match_in_strip(blocks[strip], half_norms[strip], ys - top, groups, n_blocks)
        indices.append(found[0].add_(top * n_columns))
        distances.append(found[1])
    return torch.cat(indices), torch.cat(distances)


def _match_in_strip(blocks, half_norms, ys, groups, n_blocks):
    """Match the references in the rows `ys` of a strip of blocks (height, n_columns, n_values).

    The groups of columns share all operations but the products: threads that denoise other images
    wait for each other at every small operation.
    """
    height, n_columns, n_values = blocks.shape
    counts = [len(ys) * len(xs) for xs, _, _ in groups]
    places = np.concatenate([(ys[:, None] * n_columns + xs).ravel() for xs, _, _ in groups])
    left, right = (np.repeat([group[k] for group in groups], counts) for k in (1, 2))
    width = right - left
    longest = height * int(width.max())
    own = places // n_columns * width + places % n_columns - left
    places, left, width, own = (
        torch.from_numpy(each)[:, None].to(blocks.device) for each in (places, left, width, own)
    )
    references = blocks.view(-1, n_values)[places[:, 0]]
    # |a - b|^2 / 2 = |a|^2 / 2 + (|b|^2 / 2 - a.b): the bracket suffices for the order.
    order = blocks.new_empty(len(places), longest)
    parts = zip(order.split(counts), references.split(counts), groups, strict=True)
    for part, own_blocks, (_, first, end) in parts:
        window = blocks[:, first:end].reshape(-1, n_values)
        norms = half_norms[:, first:end].reshape(1, -1)
        torch.addmm(norms, own_blocks, window.T, alpha=-1, out=part[:, : len(window)])
        part[:, len(window) :] = torch.inf
    order.scatter_(1, own, -torch.inf)  # the reference leads its stack
    order, found = order.topk(n_blocks, dim=1, largest=False)
    distance = order.add_(half_norms.view(-1)[places]).mul_(2)
    distance[:, 0] = 0
    row = found // width
    return found.sub_(row * width).add_(left).add_(row.mul_(n_columns)), distance


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


def _groups(places, n_places, radius):
    """Split places along an axis into groups, each with the bounds of its search window."""
    groups = [places[i : i + _GROUP] for i in range(0, len(places), _GROUP)]
    return [(g, max(0, g[0] - radius), min(n_places, g[-1] + radius + 1)) for g in groups]
