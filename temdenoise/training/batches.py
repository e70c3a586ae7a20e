"""Training patches, drawn afresh for every step, on the device that trains."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from temdenoise.binning import bin_counts

# Pixels whose splines are computed at once.
_AT_ONCE = 2**22


def spline_coefficients(images, device="cpu"):
    """Cubic B-spline coefficients of a stack of images, as a float32 tensor of its shape.

    They solve a system of equations along each axis, the same for all rows or columns. With its
    inverse they are two products of matrices, which for images of some hundred pixels a side is
    quicker than solving, and which a GPU does as well.
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
    # It fades away from the diagonal, down to numbers so small that processors are slow at them.
    return inverse.masked_fill(inverse.abs() < 1e-12, 0)


def _mirrored(index, n):
    """Bring indices into 0 ... n - 1 by mirroring about the first and the last of n pixels."""
    period = max(2 * (n - 1), 1)
    index = torch.remainder(index, period)
    return torch.minimum(index, period - index).clamp_max(n - 1)


def spline_sample(coefficients, index, y, x):
    """Evaluate splines at any place: what a clean image is between its pixels.

    Parameters
    ----------
    coefficients : torch.Tensor, shape (n_images, height, width)
        From `spline_coefficients`.
    index : torch.Tensor of int64, shape (n,)
        Which image.
    y, x : torch.Tensor, shape (n, rows, columns)
        Places in pixels; beyond the borders the image is mirrored.

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


@dataclass(kw_only=True)
class CleanPatches(torch.utils.data.Dataset):
    """Batches cut from clean images, rotated, flipped, scaled and stretched, with fresh noise.

    Noise is drawn on the network's grid: the sum of Poisson counts over a bin is Poisson again, so
    drawing it there is exact. Batch k depends on the seed and k alone.

    Each item is ``(noisy, (clean, unit))``: the images in counts per bin, of shape (batch, 1, size,
    size), and in `unit` (batch, 1, 1, 1) how many of those one unit of the original images is.
    """

    coefficients: torch.Tensor
    zoom: float  # side of a bin in pixels of the images
    size: int  # side of a patch in bins
    noise: object
    area: float  # pixels of the detector in a bin
    batch_size: int
    n_batches: int
    seed: int
    rotation: float = 180.0  # degrees either way
    scale: tuple = (1.0, 1.0)
    stretch: float = 0.0  # of the aspect ratio, either way
    first: int = 0  # number of the first batch

    def __len__(self):
        return self.n_batches

    def __getitem__(self, k):
        if k >= self.n_batches:
            raise IndexError(k)
        device = self.coefficients.device
        generator = torch.Generator(device).manual_seed(hash((self.seed, self.first + k)) % 2**63)

        def uniform(low, high):
            u = torch.rand(self.batch_size, 1, 1, generator=generator, device=device)
            return low + (high - low) * u

        n, *shape = self.coefficients.shape
        index = torch.randint(n, (self.batch_size,), generator=generator, device=device)
        angle = uniform(-1, 1) * math.radians(self.rotation)
        step = self.zoom * uniform(*self.scale)
        flip = torch.where(uniform(-1, 1) < 0, -1.0, 1.0)
        # the patch's inscribed circle stays inside the image; its corners may see mirrored pixels
        centres = []
        for length in shape:
            margin = (step * self.size / 2).clamp_max((length - 1) / 2)
            centres.append(margin + (length - 1 - 2 * margin) * uniform(0, 1))
        offset = torch.arange(self.size, device=device, dtype=torch.float32) - (self.size - 1) / 2
        v, u = offset[:, None] * step, offset[None, :] * step * flip
        dy = v * torch.cos(angle) - u * torch.sin(angle)
        dx = v * torch.sin(angle) + u * torch.cos(angle)
        if self.stretch:
            dy, dx = self._stretched(dy, dx, uniform)
        y, x = centres[0] + dy, centres[1] + dx

        clean = spline_sample(self.coefficients, index, y, x).clamp_min(0)[:, None] * self.area
        noisy, scaled = self.noise.sample(clean, return_clean=True, random_state=generator)
        means = [c.mean((-2, -1), keepdim=True).clamp_min(1e-12) for c in (scaled, clean)]
        return noisy, (scaled, self.area * means[0] / means[1])

    def _stretched(self, dy, dx, uniform):
        """Lengthen along a random direction what is shortened across it: areas stay."""
        half = uniform(0, math.log1p(self.stretch)) / 2
        twice = uniform(0, 2 * math.pi)  # the direction's angle
        mean, along, shear = half.cosh(), half.sinh() * twice.cos(), half.sinh() * twice.sin()
        return (mean - along) * dy + shear * dx, shear * dy + (mean + along) * dx


@dataclass(kw_only=True)
class PairedPatches(torch.utils.data.Dataset):
    """Batches cut from pairs of noisy and target images, flipped and turned by multiples of 90 deg.

    Items are those of `CleanPatches`.
    """

    noisy: np.ndarray
    target: np.ndarray
    binning: int
    size: int  # side of a patch in bins
    batch_size: int
    n_batches: int
    seed: int
    device: torch.device
    first: int = 0

    def __len__(self):
        return self.n_batches

    def __getitem__(self, k):
        if k >= self.n_batches:
            raise IndexError(k)
        rng = np.random.default_rng([self.seed, self.first + k])
        side = self.size * self.binning
        n, height, width = self.noisy.shape
        patches = []
        for _ in range(self.batch_size):
            i, turns, mirrored = rng.integers(n), rng.integers(4), rng.integers(2)
            y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
            pair = np.stack([a[i, y : y + side, x : x + side] for a in (self.noisy, self.target)])
            pair = np.rot90(bin_counts(pair, self.binning), turns, axes=(1, 2))
            patches.append(pair[..., ::-1] if mirrored else pair)
        batch = torch.from_numpy(np.ascontiguousarray(np.stack(patches))).to(self.device)
        unit = torch.full((self.batch_size, 1, 1, 1), float(self.binning**2), device=self.device)
        return batch[:, :1], (batch[:, 1:], unit)
