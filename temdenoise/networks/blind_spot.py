"""The default blind-spot network: it estimates each bin from the bins around it."""

from numbers import Integral

from torch import nn

from temdenoise.networks._half_plane import look_four_ways
from temdenoise.networks._relative_to_level import RelativeToLevel, pointwise_tail
from temdenoise.networks._residual_unet import WIDTHS, ResidualUNet, rows_seen_above


class BlindSpotNet(RelativeToLevel):
    """Light blind-spot network for counts summed over bins.

    There are four branches with the same weights. Each sees one half of the image: the rows above a
    bin, the rows below it, the columns to its left, or the columns to its right. Convolutions of
    1x1 combine the branches. So the estimate of a bin depends on the bins around it, but never on
    the bin itself, at the borders too. If the noise of a bin is independent of all others, it
    cannot be predicted from them. Therefore a network that is trained to predict the noisy counts
    learns their mean.

    Parameters
    ----------
    base_channels : int, default=32
        Channels of each branch at the finest scale. The coarser scales have 1.5, 2, 3 and 4 times
        as many.
    n_scales : int, default=4
        Number of scales, 1 to 5, each half as fine as the one before.
    tail_channels : int, default=96
        Channels of the 1x1 convolutions.
    blind_spot : int, default=1
        Side in bins of the square that an estimate does not see, an odd number. Use more than 1 if
        the noise of neighbouring bins is correlated.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Buffer. The image is divided by this number of counts per bin. It is 1 in a new network.
        Training sets it to the mean of its images. It is not computed from the image to denoise,
        because the estimate of a bin would then depend on the bin.
    stride, grid : int
        Images of any size are padded with zeros to a multiple of it inside. Tiles may start at
        multiples of it.
    halo : int
        Largest distance in bins that an estimate can see.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the input has another shape than
        (n, 1, rows, columns).

    Notes
    -----
    The estimate does not depend on its bin, exactly to the last digit, if convolutions are computed
    directly. Algorithms that transform tiles of the image (Winograd's, on some GPUs) mix the last
    digits of neighbouring bins.

    References
    ----------
    Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019,
    arXiv:1901.10277.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import BlindSpotNet
    >>> network = BlindSpotNet(base_channels=4, n_scales=2)
    >>> counts = torch.poisson(torch.full((1, 1, 20, 30), 5.0))
    >>> _ = network.level.fill_(counts.mean())
    >>> rates = network(counts)
    >>> rates.shape
    torch.Size([1, 1, 20, 30])
    >>> counts[0, 0, 7, 9] += 100  # changes all estimates but that of the same bin
    >>> bool(network(counts)[0, 0, 7, 9] == rates[0, 0, 7, 9])
    True
    """

    def __init__(self, base_channels=32, n_scales=4, tail_channels=96, blind_spot=1):
        super().__init__()
        if not 1 <= n_scales <= len(WIDTHS) or base_channels < 1 or tail_channels < 1:
            raise ValueError(
                f"n_scales must be 1 to {len(WIDTHS)}, base_channels and tail_channels at least 1, "
                f"got {n_scales}, {base_channels} and {tail_channels}."
            )
        if not isinstance(blind_spot, Integral) or blind_spot < 1 or blind_spot % 2 == 0:
            raise ValueError(f"blind_spot must be an odd number of bins, got {blind_spot!r}.")
        self.blind_spot = blind_spot
        self.shift = 1 + blind_spot // 2
        self.branch = ResidualUNet(1, base_channels, n_scales, half_plane=True)
        self.stride = self.grid = self.branch.stride
        self.halo = rows_seen_above(n_scales) + self.shift
        widths = [4 * base_channels, tail_channels, tail_channels, 1]
        self.tail = pointwise_tail(widths, nn.ReLU())

    def _features(self, x):
        return look_four_ways(self.branch, x, self.shift)

    def _correction(self, x):
        return self.tail(self._features(x))
