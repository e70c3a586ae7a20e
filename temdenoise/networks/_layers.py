"""Building blocks that several networks share."""

import torch
from torch import nn


class BiasFreeBatchNorm2d(nn.Module):
    """Batch normalisation without additive terms.

    Each channel is divided by its standard deviation and multiplied by a learnt scale. No mean is
    subtracted and no offset is added. Therefore the layer is linear once the running statistics are
    frozen: scaling the input scales the output (Mohan et al., arXiv:2010.12970, Section 3.3, which
    takes bias-free networks from arXiv:1906.05478).

    Parameters
    ----------
    channels : int
        Number of channels of the input.
    momentum : float, default=0.1
        Weight of the newest batch in the running variance.
    eps : float, default=1e-5
        Added to the variance, to avoid a division by zero for constant channels.
    """

    def __init__(self, channels, *, momentum=0.1, eps=1e-5):
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        """Normalise ``x`` of shape (n, channels, h, w)."""
        if self.training:
            # float32 also under autocast, because a variance in bfloat16 has only two digits. The
            # population variance (no correction) is finite for a single value per channel.
            var = x.float().var(dim=(0, 2, 3), correction=0)
            with torch.no_grad():
                self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)
        else:
            var = self.running_var
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale.to(x.dtype)[:, None, None]


def norm_layer(channels, bias_free):
    """Return the batch normalisation for a (bias-free) convolution."""
    return BiasFreeBatchNorm2d(channels) if bias_free else nn.BatchNorm2d(channels)
