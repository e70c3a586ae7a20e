"""The small U-Net of DURR, a network made for photographs (Mohan et al., Appendix B.3)."""

import torch
from torch import nn

from temdenoise.networks._padding import pad_to_multiple


class SmallUNet(nn.Module):
    """U-Net of one scale and nine layers, with dilated convolutions and no normalisation.

    Every convolution except the last has a bias. The network has 233,440 parameters and a field of
    view of 45 x 45 pixels.

    Attributes
    ----------
    stride : int
        2. Images of any size are accepted. The network pads them to a multiple of this stride.

    References
    ----------
    Mohan et al., arXiv:2010.12970, Table 3.1 and Appendix B.3. The network is the restoration unit
    of Zhang et al., "Dynamically unfolding recurrent restorer", arXiv:1805.07709.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import SmallUNet
    >>> SmallUNet()(torch.ones(1, 1, 7, 10)).shape
    torch.Size([1, 1, 7, 10])
    """

    stride = grid = 2
    halo = 24  # the radius of the field of view for any pixel

    def __init__(self):
        super().__init__()

        def conv(n_in, n_out, size=3, *, stride=1, dilation=1, bias=True):
            return nn.Conv2d(
                n_in,
                n_out,
                size,
                stride=stride,
                padding=dilation * (size // 2),
                dilation=dilation,
                padding_mode="replicate",
                bias=bias,
            )

        self.fine = nn.Sequential(conv(1, 32, 5), nn.ReLU(), conv(32, 32), nn.ReLU())
        self.coarse = nn.Sequential(
            conv(32, 64, stride=2),
            nn.ReLU(),
            conv(64, 64),
            nn.ReLU(),
            conv(64, 64, dilation=2),
            nn.ReLU(),
            conv(64, 64, dilation=4),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Sequential(conv(96, 32), nn.ReLU(), conv(32, 1, 5, bias=False))

    def forward(self, x):
        """Denoise ``x``, a float tensor of shape (n, 1, h, w) of any h, w >= 1."""
        h, w = x.shape[-2:]
        fine = self.fine(pad_to_multiple(x, self.stride))
        return self.head(torch.cat([self.coarse(fine), fine], dim=1))[..., :h, :w]
