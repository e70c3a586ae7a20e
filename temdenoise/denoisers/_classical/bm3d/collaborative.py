"""Collaborative filtering of stacks of similar blocks, and their aggregation."""

import numpy as np
import torch

from temdenoise.denoisers._classical.bm3d.transforms import haar_matrix, overlap_add

# Number of blocks filtered at once: on a CPU as many as fit in its cache, on a GPU enough to keep
# it busy.
_BLOCKS_AT_ONCE = {"cpu": 1 << 13}
_BLOCKS_AT_ONCE_ELSEWHERE = 1 << 20


def hard_threshold(stacks, threshold):
    """Set small coefficients to zero.

    Parameters
    ----------
    stacks : list of one Tensor of shape (n_blocks, n_stacks, n_values)
        Coefficients of the noisy stacks; the first of each is its mean.
    threshold : float
        Coefficients up to this size are noise. The mean is always kept: an image's brightness must
        not matter.

    Returns
    -------
    filtered : Tensor of shape (n_blocks, n_stacks, n_values)
    weight : Tensor of shape (n_stacks,)
        One over the variance that is left, in that of one coefficient.
    """
    (noisy,) = stacks
    kept = noisy.abs() > threshold
    kept[0, :, 0] = True
    return noisy * kept, 1 / kept.sum(dim=(0, 2))


def empirical_wiener(stacks, noise_variance):
    """Shrink coefficients as a Wiener filter that takes a first estimate for the truth.

    Parameters
    ----------
    stacks : list of two Tensors of shape (n_blocks, n_stacks, n_values)
        Coefficients of the noisy stacks and of the same in the first estimate.
    noise_variance : float
        Variance of the noise in a coefficient.

    Returns
    -------
    filtered, weight
        As for `hard_threshold`.
    """
    noisy, pilot = stacks
    power = pilot.square()
    gain = power / (power + noise_variance)
    gain[0, :, 0] = 1
    return noisy * gain, 1 / gain.square().sum(dim=(0, 2))


def filter_stacks(tables, index, size, shrink):
    """Filter every stack along its third dimension too, and add up the results at their places.

    Parameters
    ----------
    tables : list of Tensors of shape (n_places, n_values)
        Transformed blocks at every place of the images that `shrink` needs.
    index : Tensor of shape (n_stacks, n_blocks), dtype int64
        Places of the blocks of each stack.
    size : Tensor of shape (n_stacks,), dtype int64
        How many of them to use, a power of two.
    shrink : callable
        Maps a list of stacks of coefficients to the filtered ones and their weights, as
        `hard_threshold`.

    Returns
    -------
    total : Tensor of shape (n_places, n_values)
        Weighted sum of the estimates of each place's coefficients.
    weight : Tensor of shape (n_places,)
        Sum of the weights.
    """
    total = torch.zeros_like(tables[0])
    weight = total.new_zeros(len(total))
    at_once = _BLOCKS_AT_ONCE.get(total.device.type, _BLOCKS_AT_ONCE_ELSEWHERE)
    for n in size.unique().tolist():
        haar = torch.from_numpy(haar_matrix(n).astype(np.float32)).to(total.device)
        for part in index[size == n, :n].split(max(1, at_once // n)):
            # Blocks first: then the third transform of all stacks is one matrix product.
            places = part.T.reshape(-1)
            stacks = [_along_stack(haar, table[places], n) for table in tables]
            filtered, stack_weight = shrink([stack.view(n, len(part), -1) for stack in stacks])
            estimates = _along_stack(haar.T, filtered * stack_weight[:, None], n)
            total.index_add_(0, places, estimates.view(len(places), -1))
            weight.index_add_(0, places, stack_weight.repeat(n))
    return total, weight


def aggregate(total, weight, inverse, window, shape, block):
    """Weighted mean of all estimates of each pixel.

    Parameters
    ----------
    total, weight : Tensors
        From `filter_stacks`.
    inverse : Tensor of shape (n_values, n_values)
        Inverse transform of a block.
    window : Tensor of shape (n_values,)
        Weights of the pixels of a block.
    shape : tuple of int
        Height and width of the image.
    block : tuple of int
        Height and width of a block.

    Returns
    -------
    image : Tensor of shape (height, width)
    """
    blocks = (inverse * window[:, None]) @ total.T
    pixel_weight = overlap_add(window[:, None] * weight, shape, block)
    return overlap_add(blocks, shape, block) / pixel_weight


def _along_stack(matrix, blocks, n):
    """Apply a matrix (n, n) along the first axis of blocks (n * n_stacks or n, ...)."""
    return matrix @ blocks.reshape(n, -1)
