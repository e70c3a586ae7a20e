"""Receptive field of a network."""

import copy

import torch
from torch import nn


def receptive_field(network, *, worst_case=False):
    """Return the side of the square of input pixels that one output pixel can depend on.

    The field depends on the layers, not on the weights. A copy of the network is made strictly
    positive (positive weights, average instead of maximum pooling), so that no path can cancel or
    be cut off. The field is where the gradient of one output pixel with respect to the input is not
    zero.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, 1, h, w) to (n, 1, h, w) by convolutions, pooling, interpolation, normalisation and
        activations that are increasing for positive input, with ``nn.MaxPool2d`` as a module. A
        network with global operations (for instance Fourier transforms of the whole image) has no
        finite field.
    worst_case : bool, default=False
        In networks that pool, the field depends on the position of the pixel. False gives the field
        of the pixel at the image's centre, the number that the paper quotes. True gives the largest
        over all positions relative to the pooling grid, which a halo must cover.

    Returns
    -------
    side : int
        Side in pixels, odd, of the smallest square, centred on the output pixel, that holds all
        input pixels on which the output pixel can depend.

    Raises
    ------
    ValueError
        If the field is not finite (larger than 8192 pixels).

    Notes
    -----
    Memory and time grow with the number of channels, but the field does not depend on it. Measure a
    narrow network of the same depth.

    References
    ----------
    Mohan et al., arXiv:2010.12970, Section 3.2 and Table 3.1 ("field of view").

    Examples
    --------
    >>> from temdenoise.networks import UNet, receptive_field
    >>> receptive_field(UNet(n_scales=4, base_channels=2))
    221
    """
    positive = _positive_copy(network)
    stride = getattr(network, "stride", 1)
    size = max(64, 4 * stride)
    while size <= 8192:
        # The centre of an even number of pixels is the first one of the right half.
        pixels = [size // 2 + k for k in range(stride if worst_case else 1)]
        extents = [_extent(positive, size, pixel, stride) for pixel in pixels]
        # If the field meets the border, the image was too small.
        if all(first > 0 and last < size - 1 for first, last in extents):
            radii = [max(p - a, b - p) for p, (a, b) in zip(pixels, extents, strict=True)]
            return 2 * max(radii) + 1
        size *= 2
    raise ValueError("The network's receptive field is larger than 8192 pixels, or not finite.")


def _extent(network, size, pixel, height):
    """First and last input column that output column ``pixel`` depends on."""
    # The networks treat rows and columns in the same way, so a strip of one stride is enough.
    x = torch.ones(1, 1, height, size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[..., pixel].sum(), x)
    columns = torch.nonzero(gradient.abs().amax(dim=(0, 1, 2))).ravel()
    return int(columns[0]), int(columns[-1])


def _positive_copy(network):
    # float64, because the weight at the corner of a field is 1e-30 or less.
    network = copy.deepcopy(network).to(device="cpu", dtype=torch.float64).eval()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, name, pool)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.fill_(1 / parameter[0].numel())
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
            elif name.endswith("running_var"):
                buffer.fill_(1.0)
    return network
