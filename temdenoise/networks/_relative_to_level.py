"""Counts relative to a level that does not depend on the image at hand."""

import torch
from torch import nn
from torch.nn import functional as F


class RelativeToLevel(nn.Module):
    """Base of networks that see counts relative to a level fixed in training.

    A network that must not see some bins cannot use the mean of its image, because the mean depends
    on all bins. A subclass has ``stride`` and ``n_frames`` and defines ``_correction(x)``. It maps
    counts / level - 1 of shape (n, n_frames, h, w) to (n, 1, h, w). h and w are multiples of the
    stride.
    """

    takes_level = False
    # Only a correction of the level is rounded.
    tolerates_bfloat16 = True
    n_frames = 1

    def __init__(self):
        super().__init__()
        self.register_buffer("level", torch.ones(()))

    def forward(self, counts):
        """Map counts (n, n_frames, rows, columns) of any size to rates (n, 1, rows, columns).

        Raises
        ------
        ValueError
            If `counts` has another shape.
        """
        if counts.ndim != 4 or counts.shape[1] != self.n_frames:
            raise ValueError(
                f"{type(self).__name__} takes counts of shape (n, {self.n_frames}, rows, columns), "
                f"got {tuple(counts.shape)}."
            )
        rows, columns = counts.shape[-2:]
        # Zeros mean the level. With mirrored padding, pixels at the border would see themselves.
        padding = (0, -columns % self.stride, 0, -rows % self.stride)
        x = F.pad(counts / self.level - 1, padding)
        correction = self._correction(x)[..., :rows, :columns]
        return self.level * (1 + correction.to(counts.dtype))


def pointwise_tail(channels, activation):
    """Convolutions of 1x1 without bias, with activations between them; starts close to zero."""
    layers = []
    slope = getattr(activation, "negative_slope", 0.0)
    for n_in, n_out in zip(channels[:-1], channels[1:], strict=True):
        conv = nn.Conv2d(n_in, n_out, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight, a=slope)
        layers += [conv, activation]
    layers.pop()
    layers[-1].weight.data.mul_(0.1)
    return nn.Sequential(*layers)
