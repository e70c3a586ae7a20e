"""Make trained networks faster without changing their results."""

import copy

import torch
from torch import nn
from torch.nn.utils import fusion

from temdenoise.networks._in_tiles import EdgeConv2d, InTiles
from temdenoise.networks._layers import BiasFreeBatchNorm2d
from temdenoise.networks.unet import UNet


def fuse_for_inference(network):
    """Return a copy of a network that gives the same output in less time.

    With frozen running statistics, batch normalisation is a factor (and, unless bias-free, a
    constant) per channel. Both are included in the weights of the convolution before it. Images are
    no longer copied to repeat their edge pixels. The weights are stored with the channels last,
    because CPUs convolve fastest in this order. The blocks of a U-Net are applied in tiles, on a
    CPU one tile per thread at a time. Allocating large tensors takes longer than filling them, and
    threads that share a tile wait for each other.

    Parameters
    ----------
    network : torch.nn.Module
        A trained network. It is not changed, and stays on its device.

    Returns
    -------
    fused : torch.nn.Module
        In evaluation mode, for inference only: its parameters require no gradient. Normalisation
        layers after a convolution in an ``nn.Sequential`` are removed; all other layers remain.

    Notes
    -----
    A bias-free network (Section 3.3 of Mohan et al., arXiv:2010.12970) stays bias-free. The output
    differs from that of `network` by rounding only.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import UNet, fuse_for_inference
    >>> network = UNet(n_scales=2, base_channels=4).eval()
    >>> fused = fuse_for_inference(network)
    >>> x = torch.rand(1, 1, 16, 16)
    >>> torch.allclose(fused(x), network(x), rtol=1e-5)
    True
    """
    fused = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(fused.modules()):
        if isinstance(module, nn.Sequential):
            _fold_norms(module)
    for module in list(fused.modules()):
        for name, child in module.named_children():
            if _repeats_edges(child):
                setattr(module, name, EdgeConv2d(child))
    for module in list(fused.modules()):
        if isinstance(module, UNet):
            _in_tiles(module)
    return fused.to(memory_format=torch.channels_last)


def _fold_norms(layers):
    """Include the norms of an ``nn.Sequential`` in the convolutions before them, in place."""
    k = 1
    while k < len(layers):
        before, layer = layers[k - 1], layers[k]
        if isinstance(before, nn.Conv2d) and isinstance(
            layer, BiasFreeBatchNorm2d | nn.BatchNorm2d
        ):
            layers[k - 1] = _folded(before, layer)
            del layers[k]
        else:
            k += 1


def _folded(conv, norm):
    if isinstance(norm, nn.BatchNorm2d):
        return fusion.fuse_conv_bn_eval(conv, norm)
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    conv.weight.mul_(factor[:, None, None, None])
    if conv.bias is not None:
        conv.bias.mul_(factor)
    return conv


def _in_tiles(unet):
    """Apply the blocks of a U-Net tile by tile, the last one with the layers after it."""
    for blocks in (unet.encoder, unet.decoder):
        for k, block in enumerate(blocks):
            blocks[k] = InTiles(block)
    unet.decoder[-1].layers.append(unet.head)
    unet.head = nn.Identity()


def _repeats_edges(layer):
    """Whether a layer is a convolution that an `EdgeConv2d` can replace."""
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "replicate":
        return False
    p = layer.padding[0]
    reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return p > 0 and layer.stride == (1, 1) and layer.padding == (p, p) and reach == [2 * p, 2 * p]
