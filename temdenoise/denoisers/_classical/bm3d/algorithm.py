"""The two stages of BM3D for one image."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from temdenoise.denoisers._classical.bm3d.collaborative import (
    aggregate,
    empirical_wiener,
    filter_stacks,
    hard_threshold,
)
from temdenoise.denoisers._classical.bm3d.matching import count_similar, match_blocks, stack_size
from temdenoise.denoisers._classical.bm3d.transforms import (
    all_blocks,
    biorthogonal_matrix,
    block_transform,
    dct_matrix,
)

_BLOCK = 8  # side of the blocks, in pixels; less along an axis that is shorter
_THRESHOLD = 2.7  # of coefficients, in standard deviations of the noise
# Variance of the noise in the second stage. It is slightly below the true one, to keep fine detail
# that the first estimate has lost.
_WIENER_VARIANCE = 0.8
# Mean squared difference per pixel, in the first estimate, up to which blocks count as similar.
_MAX_DISTANCE = 2.5
_KAISER_BETA = 2.0  # of the window that fades blocks out towards their corners


@dataclass(frozen=True)
class Profile:
    """Parameters that trade speed for quality.

    Attributes
    ----------
    step : int
        Distance of the reference blocks, in pixels.
    radius : int
        How far similar blocks are searched, in pixels.
    n_blocks : tuple of int
        Most blocks in a stack, in the first and in the second layout.
    """

    step: int
    radius: tuple[int, int]
    n_blocks: tuple[int, int]


PROFILES = {
    "fast": Profile(step=5, radius=(9, 9), n_blocks=(16, 16)),
    "normal": Profile(step=3, radius=(12, 19), n_blocks=(16, 32)),
    "high": Profile(step=2, radius=(12, 19), n_blocks=(16, 32)),
    # A lattice has many more blocks alike, and further away, than a photograph.
    "crystal": Profile(step=5, radius=(24, 32), n_blocks=(64, 128)),
}


@torch.inference_mode()
def bm3d(image, profile):
    """Denoise an image whose noise has standard deviation one.

    Parameters
    ----------
    image : Tensor of shape (height, width), dtype float32
        Noisy image, of mean about zero for the sake of precision.
    profile : Profile
        Search and grid.

    Returns
    -------
    denoised : Tensor of shape (height, width), dtype float32
    """
    layout = _Layout(image.shape, profile, image.device)
    wavelet, unwavelet = layout.transform(biorthogonal_matrix)
    cosine, uncosine = layout.transform(dct_matrix)

    noisy = all_blocks(image, layout.block)
    index, _ = layout.match(noisy, 0)
    size = torch.full_like(index[:, 0], index.shape[1])
    shrink = partial(hard_threshold, threshold=_THRESHOLD)
    sums = filter_stacks([noisy @ wavelet.T], index, size, shrink)
    first = layout.aggregate(*sums, unwavelet)

    noisy = noisy @ cosine.T
    pilot = all_blocks(first, layout.block) @ cosine.T
    index, distance = layout.match(pilot, 1)
    size = count_similar(distance, _MAX_DISTANCE * pilot.shape[1])
    shrink = partial(empirical_wiener, noise_variance=_WIENER_VARIANCE)
    sums = filter_stacks([noisy, pilot], index, size, shrink)
    return layout.aggregate(*sums, uncosine)


class _Layout:
    """Places of the blocks of an image, and the steps that both stages share."""

    def __init__(self, shape, profile, device):
        self.shape = tuple(shape)
        self.profile = profile
        self.device = device
        # A power of two along each axis, so that an image narrower than a block needs no padding:
        # mirrored pixels would bring their noise along, and correlated noise passes the threshold.
        self.block = tuple(min(_BLOCK, 1 << (n.bit_length() - 1)) for n in self.shape)
        self.places = tuple(n - b + 1 for n, b in zip(self.shape, self.block, strict=True))
        window = np.outer(*(np.kaiser(b, _KAISER_BETA) for b in self.block))
        self.window = self._tensor(window.ravel())

    def transform(self, matrix):
        """Transform of a block and its inverse, as tensors."""
        return [self._tensor(each) for each in block_transform(matrix, self.block)]

    def match(self, blocks, stage):
        """Places of the similar blocks of every reference, and their distances."""
        # Every pixel must be in the block of a reference.
        step = min(self.profile.step, *self.block)
        radius = self.profile.radius[stage]
        n_blocks = stack_size(self.profile.n_blocks[stage], self.places, radius)
        return match_blocks(blocks, self.places, step=step, radius=radius, n_blocks=n_blocks)

    def aggregate(self, total, weight, inverse):
        """Image from the sums of filtered blocks."""
        return aggregate(total, weight, inverse, self.window, self.shape, self.block)

    def _tensor(self, array):
        return torch.from_numpy(array.astype(np.float32)).to(self.device)
