"""The training and the validation part of the images."""

import hashlib
from dataclasses import dataclass

import numpy as np

from temdenoise.denoisers._trained.bins import Bins

# Number of batches for validation. They are drawn once and used in all epochs.
_VALIDATION_BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Part:
    """Settings of the training or the validation batches, without the images."""

    name: str  # "train" or "valid"
    bins: Bins
    pixel_size: float | None  # of the images in pm; None: that of the frames to denoise
    shape: tuple  # height and width of the images in pixels
    patch_size: int  # in pixels of the frames to denoise
    batch_size: int
    n_batches: int
    seed: int
    device: object  # a torch.device
    trusted: np.ndarray | None = None  # bool, of the shape of the images; None: all pixels are
    dose: float | None = None  # mean counts per pixel of the images to train on

    @property
    def zoom(self):
        """Side of a bin in pixels of the images."""
        if self.pixel_size is None or self.bins.size is None:
            return float(self.bins.binning)
        return self.bins.size / self.pixel_size

    @property
    def common(self):
        """Keywords that all kinds of `temdenoise.training.batches.Batches` take.

        Raises
        ------
        ValueError
            If an image is smaller than a bin.
        """
        return {
            "batch_size": self.batch_size,
            "size": self._patch_bins(),
            "binning": self.bins.binning,
            "n_batches": self.n_batches,
            "seed": self.seed,
        }

    def _patch_bins(self):
        """Side of a patch in bins: `patch_size`, or less for smaller images."""
        side = self.zoom * (self.bins.zoom[1] if self.bins.any_size else 1.0)
        fits = int(min(self.shape) * 1.01 / side)
        if fits < 1:
            raise ValueError(
                f"X holds images of {self.shape} pixels, but a bin of the network is {side:.3g} "
                "pixels wide: give larger images, or lower binning."
            )
        return min(max(1, self.patch_size // self.bins.binning), fits)


def split(fraction, *stacks):
    """Split off the last images for validation. A single image is used for both parts.

    Parameters
    ----------
    fraction : float
        Share of the images for validation.
    *stacks : ndarray or None
        Stacks with the same number of images.

    Returns
    -------
    train, valid : lists, one entry per stack
    """
    n_images = len(stacks[0])
    if n_images == 1:
        return list(stacks), list(stacks)
    n = min(max(1, round(fraction * n_images)), n_images - 1)
    train = [None if stack is None else stack[:-n] for stack in stacks]
    return train, [None if stack is None else stack[-n:] for stack in stacks]


def number_of_batches(steps_per_epoch):
    """Batches of each part."""
    return {"train": steps_per_epoch, "valid": _VALIDATION_BATCHES}


def fingerprint(pixel_size, binning, *stacks):
    """Fingerprint of the data of a training."""
    digest = hashlib.sha256(repr((pixel_size, binning)).encode())
    for stack in stacks:
        if stack is not None:
            digest.update(repr(stack.shape).encode())
            digest.update(np.ascontiguousarray(stack))
    return digest.hexdigest()
