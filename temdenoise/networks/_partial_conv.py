"""Convolution of images with missing pixels."""

from torch import nn
from torch.nn import functional as F


class PartialConv2d(nn.Conv2d):
    """3x3 convolution that sees the pixels of a mask only.

    The sum over the pixels seen is scaled up as if the whole window were seen. Where nothing is
    seen the result is zero and stays missing. Pixels outside the image are missing.

    Parameters
    ----------
    n_in, n_out : int
        Channels of input and output.

    References
    ----------
    Liu et al., "Image inpainting for irregular holes using partial convolutions", ECCV 2018,
    arXiv:1804.07723.
    """

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out, 3, padding=1)

    def forward(self, x, mask):
        """Convolve what is seen of ``x``.

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_in, h, w)
        mask : torch.Tensor of shape (n, 1, h, w)
            1 where a pixel is seen, 0 where it is missing.

        Returns
        -------
        x : torch.Tensor of shape (n, n_out, h, w)
        mask : torch.Tensor of shape (n, 1, h, w)
            1 where at least one pixel of the window was seen.
        """
        n_seen = F.avg_pool2d(mask, 3, stride=1, padding=1, divisor_override=1)
        known = n_seen.clamp_max(1)
        scale = self.weight[0, 0].numel() / n_seen.clamp_min(1)
        sums = F.conv2d(x * mask, self.weight, padding=self.padding)
        return known * (scale * sums + self.bias[:, None, None]), known
