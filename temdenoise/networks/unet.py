"""The U-Net with a large field of view (Mohan et al., Section 3.2 and Appendix B.1)."""

from itertools import pairwise

import torch
from torch import nn

from temdenoise.networks._layers import norm_layer
from temdenoise.networks._padding import pad_to_multiple


class DoubleConv(nn.Sequential):
    """Convolution, normalisation and ReLU, twice, of one tensor or several concatenated ones."""

    def __init__(self, n_in, n_mid, n_out, bias_free):
        layers = []
        for a, b in ((n_in, n_mid), (n_mid, n_out)):
            layers += [
                nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate", bias=not bias_free),
                norm_layer(b, bias_free),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)

    def forward(self, *parts):
        """Map tensors (n, channels, h, w) to one of `n_out` channels."""
        return super().forward(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])


class UNet(nn.Module):
    """U-Net whose field of view depends on its depth, not on its width.

    It has ``n_scales`` down-blocks (2x2 max-pooling, then convolution, normalisation and ReLU,
    twice), the same number of up-blocks (bilinear upsampling, concatenation with the encoder's
    features, then convolution, normalisation and ReLU, twice) and a 1x1 convolution.

    The number of channels is ``base_channels`` on the three finest levels. It doubles on each
    further level except the coarsest, which has as many channels as the level above it.

    Parameters
    ----------
    n_scales : int, default=4
        Number of down-blocks. The paper uses 4 (field of view 221 x 221 pixels) and 6 (893 x 893).
    base_channels : int, default=32
        Number of channels of the finest level: 32, 64 or 128 in the paper.
    bias_free : bool, default=True
        Leave out all additive constants. Then the output scales with the input, so one network
        works for several doses. False gives ordinary convolutions and batch normalisation.

    Attributes
    ----------
    stride : int
        ``2**n_scales``. Images of any size are accepted. The network pads them to a multiple of it.

    Notes
    -----
    Parameters for (n_scales, base_channels): (4, 32) 351,264; (4, 64) 1,402,944; (4, 128)
    5,607,552; (6, 128) 70,495,104. The usual numbers (352,000; 1,404,416; 5,610,496; 70,504,960)
    include one bias per normalised channel that a bias-free network never uses. This network does
    not have these biases.

    References
    ----------
    Mohan et al., "Deep denoising for scientific discovery: a case study in electron microscopy",
    arXiv:2010.12970, Table 3.1 and Appendix B.1.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import UNet
    >>> network = UNet(n_scales=2, base_channels=4)
    >>> network(torch.ones(1, 1, 21, 30)).shape
    torch.Size([1, 1, 21, 30])
    """

    def __init__(self, n_scales=4, base_channels=32, bias_free=True):
        super().__init__()
        if n_scales < 1 or base_channels < 1:
            raise ValueError(
                f"n_scales and base_channels must be at least 1, got {n_scales} and "
                f"{base_channels}."
            )
        self.n_scales = n_scales
        self.base_channels = base_channels
        self.bias_free = bias_free
        self.stride = self.grid = 2**n_scales
        self.halo = 9 * 2**n_scales  # bounds the radius of the field of view for any pixel

        widths = [
            base_channels * 2 ** max(0, min(level, n_scales - 1) - 2) for level in range(n_scales)
        ]
        widths.append(widths[-1])
        self.encoder = nn.ModuleList([DoubleConv(1, widths[0], widths[0], bias_free)])
        for above, here in pairwise(widths):
            self.encoder.append(DoubleConv(above, here, here, bias_free))
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.decoder = nn.ModuleList()
        for level in reversed(range(n_scales)):
            # Features from the coarser level already have this level's width, so the concatenation
            # has twice this width. The output of the block has the width of the next finer level.
            both, out = 2 * widths[level], widths[max(level - 1, 0)]
            self.decoder.append(DoubleConv(both, both // 2, out, bias_free))
        self.head = nn.Conv2d(widths[0], 1, 1, bias=not bias_free)

    def forward(self, x):
        """Denoise ``x``, a float tensor of shape (n, 1, h, w) of any h, w >= 1."""
        h, w = x.shape[-2:]
        x = pad_to_multiple(x, self.stride)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = block(skips.pop(), self.upsample(x))
        return self.head(x)[..., :h, :w]
