"""What a network costs: multiply-accumulate operations per pixel."""

import math
from numbers import Integral
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode


class MacCount(NamedTuple):
    """Multiply-accumulate operations (MACs) per input pixel; ``sum`` of it is the total.

    Parameters
    ----------
    layers : float
        MACs of convolutions, transposed convolutions, linear layers and other matrix products.
    fft : float
        Those of Fourier transforms: half the floating-point operations of the textbook's radix-2
        algorithm.
    """

    layers: float
    fft: float


def count_macs(network, shape=(1024, 1024)):
    """Count the multiply-accumulate operations that a network spends per input pixel.

    The network is run on shapes alone (torch's "meta" device): nothing is computed, and no memory
    is needed for activations, whatever the size of the image.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (1, 1, height, width) to the same shape. What it does must not depend on the values of
        the image, only on its shape. It is left untouched.
    shape : (int, int), default=(1024, 1024)
        Height and width of the image in the network's pixels. What the network pads is counted, so
        small or odd sizes cost more per pixel than large ones.

    Returns
    -------
    count : MacCount
        ``layers`` and ``fft``, each in MACs per pixel of `shape`. A network that works on bins of
        ``b x b`` pixels costs ``1 / b**2`` of it per pixel of the detector.

    Raises
    ------
    TypeError
        If `shape` is not a pair of integers.
    ValueError
        If a side of `shape` is below 1.

    Notes
    -----
    A 3x3 convolution from ``a`` to ``b`` channels has ``9 * a * b`` MACs per output pixel. A
    complex Fourier transform of ``n`` points takes ``5 * n * log2(n)`` additions and
    multiplications, one from or to real numbers half of them; two of either are one MAC. What moves
    or weights values one by one is not counted: additions, activations, normalisation, pooling,
    interpolation, windows.

    References
    ----------
    Mohan et al., arXiv:2010.12970, Table 3.1 compares the networks by parameters; cost per pixel
    differs much more.

    Examples
    --------
    >>> from temdenoise.networks import UNet, count_macs
    >>> count_macs(UNet(scales=4, base_channels=32), (512, 512))
    MacCount(layers=54176.0, fft=0.0)
    """
    height, width = _checked_shape(shape)
    on_meta = {
        name: tensor.detach().to("meta")
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    image = torch.empty(1, 1, height, width, device="meta", dtype=_dtype(network))
    aten = torch.ops.aten
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            aten._fft_r2c: lambda x, dim, *_, **__: _fft_flops(x, dim) / 2,
            aten._fft_c2r: lambda _x, dim, *_, out_shape, **__: _fft_flops(out_shape, dim) / 2,
            aten._fft_c2c: lambda x, dim, *_, **__: _fft_flops(x, dim),
        },
    )
    with torch.no_grad(), counter:
        torch.func.functional_call(network, on_meta, (image,))
    flops = counter.get_flop_counts()["Global"]
    fft = sum(n for operation, n in flops.items() if "fft" in str(operation))
    total = sum(flops.values())
    # two floating-point operations are one multiply-accumulate
    return MacCount(*(n / 2 / (height * width) for n in (total - fft, fft)))


def _fft_flops(shape, dim):
    """Operations of complex transforms of an array of `shape` along the axes `dim`."""
    points = math.prod(shape[axis] for axis in dim)
    return 5 * math.prod(shape) * math.log2(points)


def _dtype(network):
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


def _checked_shape(shape):
    sides = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if len(sides) != 2 or any(isinstance(n, bool) or not isinstance(n, Integral) for n in sides):
        raise TypeError(f"shape must be (height, width), two integers, got {shape!r}.")
    if min(sides) < 1:
        raise ValueError(f"Both sides of shape must be at least 1, got {shape!r}.")
    return int(sides[0]), int(sides[1])
