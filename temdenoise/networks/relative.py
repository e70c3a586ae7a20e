"""Networks for counts summed over bins, where the mean hides the noise."""

import torch
from torch import nn


class RelativeToMean(nn.Module):
    """Shows a network how counts differ from their mean; it returns what to correct of the mean.

    Summed over bins, counts are large beside their noise. A network without additive constants
    that normalises by standard deviations, as the paper's do, then spends itself on the constant
    part and diverges; relative to the mean there is none.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, 1, h, w) to the same shape. Its last convolution is made ten times smaller, so that
        training starts close to the mean.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import DnCNN, RelativeToMean
    >>> network = RelativeToMean(DnCNN(depth=3, channels=4).eval())
    >>> network(torch.full((1, 1, 5, 9), 7.0)).unique()
    tensor([7.], grad_fn=<Unique2Backward0>)
    """

    takes_level = True

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.stride, self.grid, self.halo = network.stride, network.grid, network.halo
        *_, last = (m for m in network.modules() if isinstance(m, nn.Conv2d))
        with torch.no_grad():
            last.weight.mul_(0.1)

    def forward(self, counts, level=None):
        """Denoise counts (n, 1, h, w); `level` is their mean, that of each image unless given."""
        level = level_of(counts, level)
        return level * (1 + self.network(counts / level - 1))


def level_of(counts, level=None):
    """Mean by which to divide counts (n, 1, h, w), shape (n or 1, 1, 1, 1), never zero.

    `level` where it is given: the tiles of a large image need the mean of the whole, or seams would
    show.
    """
    if level is None:
        level = counts.mean((-2, -1), keepdim=True)
    level = torch.as_tensor(level, dtype=counts.dtype, device=counts.device)
    return level.reshape(-1, 1, 1, 1).clamp_min(1e-6)
