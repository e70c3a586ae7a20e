"""Padding by mirror images, which keeps the statistics of the noise."""

import torch


def mirror_pad(images, top, bottom, left, right):
    """Extend images by their mirror images, with repeated edge pixels.

    Padding with a single noisy edge pixel would make stripes. The padding may be wider than the
    image, which is then mirrored again.

    Parameters
    ----------
    images : torch.Tensor, shape (..., h, w)
    top, bottom, left, right : int
        Pixels to add at each edge.

    Returns
    -------
    torch.Tensor, shape (..., top + h + bottom, left + w + right)
        The images themselves if nothing is added.
    """
    for axis, before, after in ((-2, top, bottom), (-1, left, right)):
        if before or after:
            n = images.shape[axis]
            index = torch.arange(-before, n + after, device=images.device) % (2 * n)
            images = images.index_select(axis, torch.minimum(index, 2 * n - 1 - index))
    return images


def pad_to_multiple(images, multiple):
    """Extend images (..., h, w) at the bottom and right until both sizes are multiples."""
    h, w = images.shape[-2:]
    return mirror_pad(images, 0, -h % multiple, 0, -w % multiple)
