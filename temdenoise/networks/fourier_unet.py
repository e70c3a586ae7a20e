"""The default network: a U-Net that corrects windowed-Fourier estimates of binned counts."""

import torch
from torch import nn

from temdenoise.networks._padding import pad_to_multiple
from temdenoise.networks._residual_unet import WIDTHS, ResidualUNet
from temdenoise.networks.relative import level_of
from temdenoise.networks.windowed_fourier import windowed_fourier_threshold

# (window, stride, threshold) of the estimates at the network's input, in bins. The network corrects
# the last one.
ESTIMATES = ((24, 8, 5.0), (48, 16, 7.0), (72, 24, 8.0))


class FourierUNet(ResidualUNet):
    """Residual U-Net on counts and windowed-Fourier estimates of them.

    Crystals are sparse in a local Fourier transform. Therefore the network's input has, besides the
    counts, three such estimates with windows of different size. The network adds the details that
    they miss: surfaces, defects, the ends of the lattice. It is for counts summed over bins of
    about 31 pm, a little finer than necessary for the finest detail of the images (77 pm). A field
    of view of many unit cells then costs 25 times less than at 6 pm per pixel. The counts are
    divided by their mean, and the relative noise level is one more channel, so that one network
    works for a range of doses.

    Parameters
    ----------
    n_scales : int, default=5
        Number of scales, 1 to 5, each half as fine as the one before.
    base_channels : int, default=32
        Channels at the finest scale. The coarser scales have 1.5, 2, 3 and 4 times as many.

    Raises
    ------
    ValueError
        If `n_scales` is not 1 to 5 or `base_channels` is below 1.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import FourierUNet
    >>> network = FourierUNet(n_scales=2, base_channels=8)
    >>> network(torch.full((1, 1, 30, 40), 5.0)).shape
    torch.Size([1, 1, 30, 40])
    """

    takes_level = True
    # Convolutions only correct an estimate in float32. Rounding them changes it by about 0.02 %.
    tolerates_bfloat16 = True
    # Tiles may start at multiples of this, a common multiple of the strides of windows and scales.
    grid = 48
    # Bins farther away than this change an estimate too little to make a visible seam.
    halo = 96

    def __init__(self, n_scales=5, base_channels=32):
        if not 1 <= n_scales <= len(WIDTHS) or base_channels < 1:
            raise ValueError(
                f"n_scales must be 1 to {len(WIDTHS)} and base_channels at least 1, got {n_scales} "
                f"and {base_channels}."
            )
        super().__init__(len(ESTIMATES) + 2, base_channels, n_scales)
        self.head = nn.Conv2d(base_channels, 1, 3, padding=1, bias=False)
        self.head.weight.data.mul_(0.1)  # training starts at the windowed-Fourier estimate

    def forward(self, counts, level=None):
        """Map counts (n, 1, h, w) to estimated rates of the same shape.

        `level` is the mean for the normalisation, by default that of each image. The tiles of a
        large image need the mean of the whole image; otherwise there would be visible seams.
        """
        h, w = counts.shape[-2:]
        level = level_of(counts, level)
        estimates = [windowed_fourier_threshold(counts, *e) / level - 1 for e in ESTIMATES]
        noise = level.rsqrt().expand_as(counts)
        x = torch.cat([counts / level - 1, *estimates, noise], dim=1)
        correction = self.head(super().forward(pad_to_multiple(x, self.stride)))[..., :h, :w]
        return level * (1 + estimates[-1] + correction.to(counts.dtype))
