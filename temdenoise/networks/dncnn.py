"""DnCNN, a network made for photographs (Mohan et al., Appendix B.2)."""

from torch import nn

from temdenoise.networks._layers import norm_layer


class DnCNN(nn.Module):
    """Plain stack of convolutions that estimates the noise and subtracts it.

    Parameters
    ----------
    depth : int, default=20
        Number of 3x3 convolutions; the field of view is ``2 * depth + 1`` pixels.
    channels : int, default=64
        Number of channels of the hidden layers.
    bias_free : bool, default=True
        Leave out all additive constants, so that the output scales with the input.

    Attributes
    ----------
    stride : int
        1: images of any size are used without padding.

    Notes
    -----
    The default has 665,856 parameters. The usual number for the bias-free network, 667,008,
    includes one bias per normalised channel that the network never uses. With ``bias_free=False``
    there are 668,225, the paper's 668K.

    References
    ----------
    Mohan et al., arXiv:2010.12970, Table 3.1 and Appendix B.2. The network is that of Zhang et al.,
    "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising",
    arXiv:1608.03981.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import DnCNN
    >>> DnCNN(depth=3, channels=4)(torch.ones(2, 1, 5, 9)).shape
    torch.Size([2, 1, 5, 9])
    """

    stride = grid = 1

    def __init__(self, depth=20, channels=64, bias_free=True):
        super().__init__()
        if depth < 2 or channels < 1:
            raise ValueError(
                f"depth must be at least 2 and channels at least 1, got {depth=}, {channels=}."
            )
        self.depth = self.halo = depth
        self.channels = channels
        self.bias_free = bias_free

        def conv(n_in, n_out):
            return nn.Conv2d(
                n_in, n_out, 3, padding=1, padding_mode="replicate", bias=not bias_free
            )

        layers = [conv(1, channels), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [
                conv(channels, channels),
                norm_layer(channels, bias_free),
                nn.ReLU(inplace=True),
            ]
        self.noise = nn.Sequential(*layers, conv(channels, 1))

    def forward(self, x):
        """Denoise ``x``, a float tensor of shape (n, 1, h, w)."""
        return x - self.noise(x)
