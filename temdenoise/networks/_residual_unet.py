"""The residual U-Net on bins that several networks are made of."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from temdenoise.networks._half_plane import HalfPlaneConv2d, shift_down

# Channels over those of the finest scale, and residual blocks each way, per scale.
WIDTHS = (1, 1.5, 2, 3, 4)
BLOCKS = (1, 1, 2, 2, 2)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), without norms or biases."""

    def __init__(self, channels, conv):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels)
        if self.first.weight.is_meta:  # shapes alone: the weights are loaded later
            return
        # without norms a deep stack of blocks must start close to the identity
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        self.second.weight.data.mul_(0.2)

    def forward(self, x):
        return x + self.second(F.relu(self.first(F.relu(x))))


class ResidualUNet(nn.Module):
    """Residual U-Net without norms or biases, up to the features of its finest scale.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    base_channels : int
        Channels of the finest scale and of the output. The coarser scales have 1.5, 2, 3 and 4
        times as many.
    n_scales : int
        Number of scales, 1 to 5, each half as fine as the one before.
    half_plane : bool, default=False
        Whether an output sees only its own row and the rows above it.
    """

    def __init__(self, n_channels, base_channels, n_scales, half_plane=False):
        super().__init__()
        widths = [round(base_channels * w) for w in WIDTHS[:n_scales]]
        blocks = BLOCKS[:n_scales]
        conv = HalfPlaneConv2d if half_plane else _conv
        self.half_plane = half_plane
        self.stride = 2 ** (n_scales - 1)
        self.stem = conv(n_channels, widths[0])
        self.encoder = nn.ModuleList(
            _blocks(c, n, conv) for c, n in zip(widths, blocks, strict=True)
        )
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in steps)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1, bias=False) for a, b in steps)
        self.decoder = nn.ModuleList(
            _blocks(c, n, conv) for c, n in zip(widths[:-1], blocks[:-1], strict=True)
        )

    def forward(self, x):
        """Map (n, n_channels, h, w), multiples of the stride, to (n, base_channels, h, w)."""
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        x = self.encoder[0](x.contiguous(memory_format=torch.channels_last))
        skips = []
        for down, blocks in zip(self.down, self.encoder[1:], strict=True):
            skips.append(x)
            # two rows become one, which must see nothing below the upper one
            x = blocks(down(shift_down(x) if self.half_plane else x))
        for up, blocks in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = F.interpolate(up(x), scale_factor=2, mode="nearest") + skips.pop()
            x = blocks(x)
        return x


def rows_seen_above(n_scales):
    """Return how many rows above its own an output of a half-plane U-Net may see."""
    rows = 2  # of the stem
    for k, n in enumerate(BLOCKS[:n_scales]):
        ways = 1 if k == n_scales - 1 else 2
        rows += 2**k * 4 * n * ways  # two convolutions a block, two rows each
        rows += 2**k * 2 * (ways - 1)  # the way down, from the lower row of a pair
    return rows


def _conv(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)


def _blocks(channels, n, conv):
    return nn.Sequential(*[ResidualBlock(channels, conv) for _ in range(n)])
