"""The default network for movies: it is blind only in the middle frame."""

import torch
from torch import nn

from temdenoise.networks._relative_to_level import pointwise_tail
from temdenoise.networks._residual_unet import ResidualUNet
from temdenoise.networks.blind_spot import BlindSpotNet


class HybridVideoNet(BlindSpotNet):
    """Light network that estimates the middle one of several frames of counts per bin.

    The middle frame goes through the four branches of a `BlindSpotNet`. They never see the bin that
    is estimated. The frames before and after it go through an ordinary residual U-Net. It sees
    these frames whole, including the same bin, because the noise of two frames is independent.

    Parameters
    ----------
    n_frames : {1, 3, 5}, default=3
        Number of frames; with 1 it is a `BlindSpotNet`.
    base_channels : int, default=32
        Channels of each branch at the finest scale. The coarser scales have 1.5, 2, 3 and 4 times
        as many.
    n_scales : int, default=4
        Number of scales, 1 to 5, each half as fine as the one before.
    tail_channels : int, default=96
        Channels of the 1x1 convolutions.
    blind_spot : int, default=1
        Side in bins of the square of the middle frame that an estimate does not see, an odd number.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Buffer. The frames are divided by this number of counts per bin. It is 1 in a new network.
        Training sets it to the mean of its frames.
    stride, grid : int
        Frames of any size are padded with zeros to a multiple of it inside. Tiles may start at
        multiples of it.
    halo : int
        Largest distance in bins that an estimate can see.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the input has another shape than
        (n, n_frames, rows, columns).

    See Also
    --------
    UDVDNet : The published network, blind to the same pixel of all frames.

    References
    ----------
    Sheth et al., "Unsupervised deep video denoising", ICCV 2021, arXiv:2011.15045, for the use of
    neighbouring frames.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import HybridVideoNet
    >>> network = HybridVideoNet(n_frames=5, base_channels=4, n_scales=2)
    >>> network(torch.ones(2, 5, 20, 30)).shape
    torch.Size([2, 1, 20, 30])
    """

    def __init__(self, n_frames=3, base_channels=32, n_scales=4, tail_channels=96, blind_spot=1):
        if n_frames not in (1, 3, 5):
            raise ValueError(f"n_frames must be 1, 3 or 5, got {n_frames!r}.")
        super().__init__(base_channels, n_scales, tail_channels, blind_spot)
        self.n_frames = n_frames
        if n_frames > 1:
            self.neighbours = ResidualUNet(n_frames - 1, base_channels, n_scales)
            widths = [5 * base_channels, tail_channels, tail_channels, 1]
            self.tail = pointwise_tail(widths, nn.ReLU())

    def _features(self, x):
        middle = self.n_frames // 2
        blind = super()._features(x[:, middle : middle + 1])
        if self.n_frames == 1:
            return blind
        others = torch.cat([x[:, :middle], x[:, middle + 1 :]], dim=1)
        return torch.cat([blind, self.neighbours(others)], dim=1)
