"""Networks for counts summed over bins, whose mean is much larger than their noise."""

import torch
from torch import nn


class RelativeToMean(nn.Module):
    """Network on the deviations of counts from their mean; its output corrects the mean.

    Counts summed over bins are large compared with their noise. A network without additive
    constants that normalises by standard deviations, such as the paper's, then spends its capacity
    on the constant part and diverges. Relative to the mean there is no constant part.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, 1, h, w) to the same shape. The weights of its last convolution are divided by ten,
        so that training starts close to the mean.

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
        """Denoise counts (n, 1, h, w); `level` is their mean, by default that of each image."""
        level = level_of(counts, level)
        return level * (1 + self.network(counts / level - 1))


def level_of(counts, level=None):
    """Mean by which to divide counts (n, 1, h, w), shape (n or 1, 1, 1, 1), never zero.

    `level` is used if given. The tiles of a large image need the mean of the whole image; otherwise
    there would be visible seams.
    """
    if level is None:
        level = counts.mean((-2, -1), keepdim=True)
    level = torch.as_tensor(level, dtype=counts.dtype, device=counts.device)
    return level.reshape(-1, 1, 1, 1).clamp_min(1e-6)
