"""Cubic splines through clean images, evaluated at any place on the device of the training."""

import numpy as np
import torch

# Number of pixels whose splines are computed at once.
_AT_ONCE = 2**22


def spline_coefficients(images, device="cpu"):
    """Cubic B-spline coefficients of a stack of images, as a float32 tensor of its shape.

    The coefficients solve a system of equations along each axis, the same for all rows or columns.
    With its inverse they are two matrix products. For images of some hundred pixels a side this is
    faster than solving, and a GPU can do it.
    """
    rows, columns = (_spline_filter(n).float().to(device) for n in images.shape[1:])
    coefficients = torch.empty(images.shape, dtype=torch.float32, device=device)
    at_once = max(1, _AT_ONCE // (len(rows) * len(columns)))
    for first in range(0, len(images), at_once):
        part = slice(first, first + at_once)
        some = torch.from_numpy(np.array(images[part], dtype=np.float32)).to(device)
        coefficients[part] = rows @ some @ columns.T
    return coefficients


def _spline_filter(n):
    """Matrix (n, n) from the values at n pixels, mirrored about the ends, to the coefficients."""
    samples = torch.zeros(n, n, dtype=torch.float64)
    pixel = torch.arange(n)
    for k, weight in ((-1, 1 / 6), (0, 4 / 6), (1, 1 / 6)):
        samples[pixel, _mirrored(pixel + k, n)] += weight
    inverse = torch.linalg.inv(samples)
    # The values decay away from the diagonal, down to numbers so small that CPUs are slow.
    return inverse.masked_fill(inverse.abs() < 1e-12, 0)


def _mirrored(index, n):
    """Map indices to 0 ... n - 1 by mirroring about the first and the last of n pixels."""
    period = max(2 * (n - 1), 1)
    index = torch.remainder(index, period)
    return torch.minimum(index, period - index).clamp_max(n - 1)


def spline_sample(coefficients, index, y, x):
    """Evaluate splines at any place, also between the pixels of a clean image.

    Parameters
    ----------
    coefficients : torch.Tensor, shape (n_images, height, width)
        From `spline_coefficients`.
    index : torch.Tensor of int64, shape (n,)
        Number of the image.
    y, x : torch.Tensor, shape (n, rows, columns)
        Places in pixels. The image is mirrored beyond its borders.

    Returns
    -------
    torch.Tensor, shape (n, rows, columns)
    """
    flat = coefficients.reshape(-1)
    taps = []
    for position, n in zip((y, x), coefficients.shape[1:], strict=True):
        first = torch.floor(position)
        t = position - first
        u = 1 - t
        weights = (u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6)
        taps.append((weights, [_mirrored(first.long() + k, n) for k in range(-1, 3)]))
    (wy, iy), (wx, ix) = taps
    base = (index * coefficients[0].numel())[:, None, None]
    width = coefficients.shape[2]
    result = torch.zeros_like(y)
    for weight_y, row in zip(wy, iy, strict=True):
        start = base + row * width
        line = sum(w * flat[start + column] for w, column in zip(wx, ix, strict=True))
        result += weight_y * line
    return result
