"""Layers that see only the rows above, and four views around a pixel (Laine et al.)."""

import torch
from torch import nn
from torch.nn import functional as F


class HalfPlaneConv2d(nn.Conv2d):
    """3x3 convolution without bias that sees a pixel's own row and the two above it.

    Parameters
    ----------
    n_in, n_out : int
        Channels of input and output.
    repeat_edges : bool, default=False
        Whether the first and last column are repeated outside the image. Otherwise there are zeros,
        as there always are above the image. No output sees a row below its own in either case.
    """

    def __init__(self, n_in, n_out, repeat_edges=False):
        super().__init__(n_in, n_out, 3, bias=False)
        self.repeat_edges = repeat_edges

    def forward(self, x):
        """Convolve ``x`` of shape (n, n_in, h, w); the result has the same h and w."""
        if self.repeat_edges:
            x = F.pad(F.pad(x, (1, 1, 0, 0), mode="replicate"), (0, 0, 2, 0))
        else:
            x = F.pad(x, (1, 1, 2, 0))
        return super().forward(x)


def shift_down(x, n=1):
    """Move images (..., h, w) down by `n` rows; zeros come in at the top."""
    n = min(n, x.shape[-2])
    return F.pad(x, (0, 0, n, -n))


def look_four_ways(branch, x, shift):
    """Concatenate the features of a half-plane network for four directions of view.

    Parameters
    ----------
    branch : callable
        Maps (n, channels, h, w) to features (n, c, h, w). They depend on their own row and on the
        rows above it.
    x : torch.Tensor of shape (n, channels, h, w)
    shift : int
        Distance in rows to the nearest row seen. With 1 the features see all pixels except their
        own. With 2 they see all except a square of 3x3 pixels.

    Returns
    -------
    features : torch.Tensor of shape (n, 4 * c, h, w)
    """
    features = []
    for turns in ((0, 2), (1, 3)):  # an image and the same one upside down have one shape
        turned = torch.cat([torch.rot90(x, k, (-2, -1)) for k in turns])
        seen = shift_down(branch(turned), shift).chunk(2)
        features += [torch.rot90(s, -k, (-2, -1)) for s, k in zip(seen, turns, strict=True)]
    return torch.cat(features, dim=1)


class HalfPlaneUNet(nn.Module):
    """U-Net of Laine et al. and Sheth et al. that sees a pixel's own row and the rows above it.

    Parameters
    ----------
    n_in, n_out : int
        Channels of input and output.
    """

    stride = 4
    # Rows above its own that an output may see.
    reach = 72

    def __init__(self, n_in, n_out):
        super().__init__()
        self.enc1 = _layers(n_in, 48, 48, 48)
        self.enc2 = _layers(48, 48, 48, 48)
        self.enc3 = _layers(48, 96, 96, 48)
        self.dec2 = _layers(96, 96, 96, 96, 96)
        self.dec1 = _layers(96 + n_in, 96, 96, 96, n_out)
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x):
        """Map (n, n_in, h, w), multiples of 4, to (n, n_out, h, w)."""
        fine = self.pool(shift_down(self.enc1(x)))
        coarse = self.pool(shift_down(self.enc2(fine)))
        y = self.upsample(self.enc3(coarse))
        y = self.upsample(self.dec2(torch.cat([y, fine], dim=1)))
        return self.dec1(torch.cat([y, x], dim=1))


def _layers(*channels):
    layers = []
    for n_in, n_out in zip(channels[:-1], channels[1:], strict=True):
        conv = HalfPlaneConv2d(n_in, n_out, repeat_edges=True)
        nn.init.kaiming_normal_(conv.weight, a=0.1)
        layers += [conv, nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers)
