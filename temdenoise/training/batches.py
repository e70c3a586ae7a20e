"""Batches of patches, drawn anew for every step, on the device of the training.

An item is ``(noisy, {"target": ..., "unit": ...})``: images in counts per bin, of shape (batch, 1,
size, size), their targets, and in ``unit``, of shape (batch, 1, 1, 1), the counts per bin of one
unit of the original images.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from temdenoise._frames import frames_around
from temdenoise.binning import bin_counts
from temdenoise.noise import draw_noise
from temdenoise.training.splines import spline_sample


@dataclass(kw_only=True)
class Batches(torch.utils.data.Dataset):
    """Base class of all batches; batch k depends only on the seed and k.

    Parameters
    ----------
    batch_size : int
        Patches in a batch.
    size : int
        Side of a patch in bins.
    binning : int or float
        Side of a bin in pixels of the detector.
    n_batches : int
        Batches in an epoch.
    seed : int
    first : int, default=0
        Number of the first batch. The training sets it.
    """

    batch_size: int
    size: int
    binning: float
    n_batches: int
    seed: int
    first: int = 0

    def __len__(self):
        return self.n_batches

    def __getitem__(self, k):
        if k >= self.n_batches:
            raise IndexError(k)
        return self.draw(self.first + k)

    def draw(self, number):
        """Return the batch of this number."""
        raise TypeError(f"{type(self).__name__} must define draw(number).")

    def _fitting(self, height, width):
        """Side of a patch, in bins and in pixels: `size`, or what images hold in whole bins."""
        fits = max(1, int(min(height, width) / self.binning + 1e-9))
        size = min(self.size, fits)
        return size, min(height, width, math.ceil(size * self.binning - 1e-9))


@dataclass(kw_only=True)
class CleanBatches(Batches):
    """Patches cut from clean images, rotated, flipped, zoomed and stretched, with fresh noise.

    Noise with a method ``on_bins`` is drawn on the network's bins. This is exact, because the sum
    of Poisson counts over a bin is a Poisson count. Any other noise is drawn on the pixels.
    """

    coefficients: torch.Tensor  # from `spline_coefficients`
    zoom: float  # side of a bin in pixels of the images
    noise: object
    rotation: float = 180.0  # degrees in either direction
    zoom_range: tuple = (1.0, 1.0)  # factor on the side of a bin
    stretch: float = 0.0  # of the aspect ratio, either way

    def __post_init__(self):
        self._area = float(self.binning**2)
        on_bins = getattr(self.noise, "on_bins", None)
        self._noise_of_bins = None if on_bins is None else on_bins(self._area)

    def draw(self, number):
        """Return the batch of this number."""
        device = self.coefficients.device
        generator = torch.Generator(device).manual_seed(hash((self.seed, number)) % 2**63)
        index, places = self._places(generator)
        if self._noise_of_bins is None:
            return self._noisy_pixels(index, places, generator)
        clean = self._clean(index, places(1)) * self._area
        noisy, scaled = self._noise_of_bins.sample(clean, return_clean=True, random_state=generator)
        return noisy, {"target": scaled, "unit": self._area * _gain(scaled, clean)}

    def _places(self, generator):
        """Draw images and patches; return the indices, and a function that gives places (y, x)."""
        device = self.coefficients.device

        def uniform(low, high):
            u = torch.rand(self.batch_size, 1, 1, generator=generator, device=device)
            return low + (high - low) * u

        n, *shape = self.coefficients.shape
        index = torch.randint(n, (self.batch_size,), generator=generator, device=device)
        angle = uniform(-1, 1) * math.radians(self.rotation)
        step = self.zoom * uniform(*self.zoom_range)
        flip = torch.where(uniform(-1, 1) < 0, -1.0, 1.0)
        # the patch's inscribed circle is inside the image; its corners may hold mirrored pixels
        centres = []
        for length in shape:
            margin = (step * self.size / 2).clamp_max((length - 1) / 2)
            centres.append(margin + (length - 1 - 2 * margin) * uniform(0, 1))
        stretched = self._stretch(uniform) if self.stretch else None

        def places(finer):
            """Centres of bins, or of pixels that are `finer` times smaller."""
            n = self.size * finer
            offset = torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2
            offset = offset / finer if finer > 1 else offset
            v, u = offset[:, None] * step, offset[None, :] * step * flip
            dy = v * torch.cos(angle) - u * torch.sin(angle)
            dx = v * torch.sin(angle) + u * torch.cos(angle)
            if stretched is not None:
                dy, dx = stretched(dy, dx)
            return centres[0] + dy, centres[1] + dx

        return index, places

    def _stretch(self, uniform):
        """Stretch along a random direction and shrink across it, so that areas do not change."""
        half = uniform(0, math.log1p(self.stretch)) / 2
        twice = uniform(0, 2 * math.pi)  # the direction's angle
        mean, along, shear = half.cosh(), half.sinh() * twice.cos(), half.sinh() * twice.sin()
        return lambda dy, dx: ((mean - along) * dy + shear * dx, shear * dy + (mean + along) * dx)

    def _clean(self, index, places):
        return spline_sample(self.coefficients, index, *places).clamp_min(0)[:, None]

    def _noisy_pixels(self, index, places, generator):
        """Batch of a noise that is drawn pixel by pixel, as NumPy arrays."""
        clean = self._clean(index, places(self.binning))
        device = clean.device
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        images = clean[:, 0].cpu().numpy()
        drawn = draw_noise(self.noise, images, np.random.RandomState(seed))
        noisy, scaled = (
            torch.from_numpy(bin_counts(image, self.binning))[:, None].to(device) for image in drawn
        )
        clean = torch.from_numpy(bin_counts(images, self.binning))[:, None].to(device)
        return noisy, {"target": scaled, "unit": self._area * _gain(scaled, clean)}


def _gain(scaled, clean):
    """Factor by which the noise model scaled each clean image."""
    means = [c.mean((-2, -1), keepdim=True).clamp_min(1e-12) for c in (scaled, clean)]
    return means[0] / means[1]


@dataclass(kw_only=True)
class PairBatches(Batches):
    """Patches cut from pairs of noisy and target images, flipped and turned by quarter turns."""

    noisy: np.ndarray
    target: np.ndarray
    device: torch.device

    def draw(self, number):
        """Return the batch of this number."""
        rng = np.random.default_rng([self.seed, number])
        n, height, width = self.noisy.shape
        _, side = self._fitting(height, width)
        patches = []
        for _ in range(self.batch_size):
            i, turns, mirrored = rng.integers(n), rng.integers(4), rng.integers(2)
            y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
            pair = np.stack([a[i, y : y + side, x : x + side] for a in (self.noisy, self.target)])
            pair = np.rot90(bin_counts(pair, self.binning), turns, axes=(1, 2))
            patches.append(pair[..., ::-1] if mirrored else pair)
        batch = torch.from_numpy(np.ascontiguousarray(np.stack(patches))).to(self.device)
        unit = torch.full((self.batch_size, 1, 1, 1), float(self.binning**2), device=self.device)
        return batch[:, :1], {"target": batch[:, 1:], "unit": unit}


@dataclass(kw_only=True)
class FrameBatches(Batches):
    """Patches cut from noisy frames, turned, mirrored and shifted by parts of a bin.

    Input and target are the same counts: for networks that cannot see what they predict. Of a movie
    (`context` above 0) the input holds the frames before and after too, in channels; beyond its
    ends frames of the other side stand in. With a `drop_rate`, a second channel says which bins the
    input holds.
    """

    frames: np.ndarray  # (n_images, height, width), counts per pixel
    device: torch.device
    targets: np.ndarray | None = None  # of the shape of the frames; None: the frames themselves
    gain: float = 1.0  # from the scale of the frames to that of the targets
    trusted: np.ndarray | None = None  # bool, of the shape of the frames
    context: int = 0  # frames on either side
    whole: bool = False  # whole frames, in their order and as they are
    drop_rate: float = 0.0  # of bins that are left out of the input, and alone are the target
    doses: np.ndarray | None = None  # (n_images,), which the input is divided by; None: ones

    def draw(self, number):
        """Return the batch of this number."""
        rng = np.random.default_rng([self.seed, number])
        if self.whole:
            k = number % len(self.frames)
            cut = [(self._cut(k, slice(None), slice(None)), k)]
        else:
            cut = [self._patch(rng) for _ in range(self.batch_size)]
        noisy, y = self._batch([patch for patch, _ in cut], [k for _, k in cut])
        if self.drop_rate:
            kept = torch.from_numpy(rng.random(noisy.shape) >= self.drop_rate).to(self.device)
            noisy = torch.cat([noisy * kept, kept.to(noisy.dtype)], dim=1)
            y["trusted"] = y["trusted"] & ~kept if "trusted" in y else ~kept
        return noisy, y

    def _patch(self, rng):
        """Return counts per bin (channels, size, size), and the number of their frame.

        The channels are frames, target, what is not trusted.
        """
        n, height, width = self.frames.shape
        size, side = self._fitting(height, width)
        k, turns, mirrored, backwards = (rng.integers(m) for m in (n, 4, 2, 2))
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        bins = self._cut(k, slice(y, y + side), slice(x, x + side), backwards)
        bins = np.rot90(bins[:, :size, :size], turns, axes=(1, 2))
        return (bins[..., ::-1] if mirrored else bins), k

    def _cut(self, k, rows, columns, backwards=False):
        order = frames_around(k, self.context, len(self.frames))
        order = order[::-1] if backwards else order
        targets = self.frames if self.targets is None else self.targets
        frames = self.frames[order, rows, columns]
        if self.doses is not None:
            frames = frames / self.doses[order, None, None]
        parts = [*frames, targets[k, rows, columns]]
        if self.trusted is not None:
            parts.append(~self.trusted[k, rows, columns])
        return bin_counts(np.stack(parts), self.binning)

    def _batch(self, patches, numbers):
        batch = torch.from_numpy(np.ascontiguousarray(np.stack(patches))).to(self.device)
        n = 2 * self.context + 1
        unit = torch.full((len(batch), 1, 1, 1), float(self.binning**2), device=self.device)
        y = {"target": batch[:, n : n + 1], "unit": unit}
        if self.doses is not None:
            gains = torch.from_numpy(self.gain * self.doses[numbers]).to(unit)
            y["gain"] = gains.view(-1, 1, 1, 1)
        elif self.gain != 1.0:
            y["gain"] = torch.full_like(unit, self.gain)
        if self.trusted is not None:
            y["trusted"] = batch[:, n + 1 :] == 0
        return batch[:, :n], y


@dataclass(kw_only=True)
class ThinnedBatches(Batches):
    """Patches of frames whose electrons are split anew at every step: input and target.

    Each electron goes to the target with the probability `share`, drawn from a range for each
    patch, else to the input: two Poisson counts that are independent of each other
    (Noise2Noise by thinning; GR2R, Monroy, Bacca and Tachella, arXiv:2412.04648).
    """

    frames: np.ndarray  # (n_images, height, width), whole counts per pixel
    device: torch.device
    share: tuple = (0.05, 0.6)
    trusted: np.ndarray | None = None  # bool, of the shape of the frames

    def draw(self, number):
        """Return the batch of this number."""
        rng = np.random.default_rng([self.seed, number])
        n, height, width = self.frames.shape
        size, side = self._fitting(height, width)
        patches, gains = [], []
        for _ in range(self.batch_size):
            k, turns, mirrored = (rng.integers(m) for m in (n, 4, 2))
            y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
            place = (k, slice(y, y + side), slice(x, x + side))
            share = rng.uniform(*self.share)
            counts = self.frames[place].astype(np.int64)
            target = rng.binomial(counts, share)
            parts = [counts - target, target]
            if self.trusted is not None:
                parts.append(~self.trusted[place])
            bins = bin_counts(np.stack(parts), self.binning, rng.integers(2**31))
            bins = np.rot90(bins[:, :size, :size], turns, axes=(1, 2))
            patches.append(bins[..., ::-1] if mirrored else bins)
            gains.append(share / (1 - share))
        batch = torch.from_numpy(np.ascontiguousarray(np.stack(patches))).to(self.device)
        unit = torch.full((len(batch), 1, 1, 1), float(self.binning**2), device=self.device)
        gain = torch.tensor(gains, dtype=torch.float32, device=self.device).view(-1, 1, 1, 1)
        y = {"target": batch[:, 1:2], "unit": unit, "gain": gain}
        if self.trusted is not None:
            y["trusted"] = batch[:, 2:] == 0
        return batch[:, :1], y


class DrawnBatches(torch.utils.data.Dataset):
    """Batches that are drawn once and used in all epochs."""

    def __init__(self, batches):
        self.batches = [batches[k] for k in range(len(batches))]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]
