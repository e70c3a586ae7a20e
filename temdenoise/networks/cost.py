"""Computing cost of a network: multiply-accumulate operations per pixel."""

import math
from numbers import Integral
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode


class MacCount(NamedTuple):
    """Multiply-accumulate operations (MACs) per pixel of the detector; ``sum`` is the total.

    Parameters
    ----------
    layers : float
        MACs of convolutions, transposed convolutions, linear layers and other matrix products.
    fft : float
        MACs of Fourier transforms: half the floating-point operations of the textbook's radix-2
        algorithm.
    resampling : float, default=0
        MACs of the sums over bins and of the cubic splines back to pixels.
    """

    layers: float
    fft: float
    resampling: float = 0.0


def count_macs(network, shape=(1024, 1024), *, binning=1):
    """Count the multiply-accumulate operations of a network per pixel of the detector.

    The network runs on shapes alone (torch's "meta" device). Nothing is computed, and activations
    need no memory, for any size of the image.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (1, 1, height, width) to the same shape. Its operations must not depend on the values
        of the image, only on its shape. The network is not changed.
    shape : (int, int), default=(1024, 1024)
        Height and width of the image in pixels of the detector. Padding is included, so small or
        odd sizes cost more per pixel than large ones.
    binning : int, default=1
        Side of the network's bins in pixels.

    Returns
    -------
    count : MacCount
        ``layers``, ``fft`` and ``resampling``, each in MACs per pixel of `shape`.

    Raises
    ------
    TypeError
        If `shape` is not a pair of integers, or `binning` is not an integer.
    ValueError
        If a side of `shape`, or `binning`, is below 1.

    Notes
    -----
    A 3x3 convolution from ``a`` to ``b`` channels has ``9 * a * b`` MACs per output pixel. A
    complex Fourier transform of ``n`` points takes ``5 * n * log2(n)`` additions and
    multiplications, and one from or to real numbers half of these. Two of them are one MAC.
    Operations on single values are not counted: additions, activations, normalisation, pooling,
    interpolation, windows.

    With bins, each pixel is added to its bin once. Cubic splines back to pixels take four taps per
    pixel along one axis, and before that along the other axis for each row of bins. Their recursive
    filter takes two operations per bin and axis, forward and backward.

    References
    ----------
    Mohan et al., arXiv:2010.12970. Table 3.1 compares the networks by parameters; the cost per
    pixel differs much more.

    Examples
    --------
    >>> from temdenoise.networks import UNet, count_macs
    >>> count_macs(UNet(n_scales=4, base_channels=32), (512, 512))
    MacCount(layers=54176.0, fft=0.0, resampling=0.0)
    """
    height, width = _checked_shape(shape)
    binning = _checked_binning(binning)
    on_meta = {
        name: tensor.detach().to("meta")
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    bins = (-(-height // binning), -(-width // binning))
    image = torch.empty(1, 1, *bins, device="meta", dtype=_dtype(network))
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
    per_pixel = (n / 2 / (height * width) for n in (total - fft, fft))
    return MacCount(*per_pixel, _resampling_macs(binning))


def _resampling_macs(binning):
    """Operations per pixel of the sums over bins, and of cubic splines back to pixels."""
    return 0.0 if binning == 1 else 1 + 4 + 4 / binning + 8 / binning**2


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


def _checked_binning(binning):
    if isinstance(binning, bool) or not isinstance(binning, Integral):
        raise TypeError(f"binning must be an integer, got {binning!r}.")
    if binning < 1:
        raise ValueError(f"binning must be at least 1, got {binning}.")
    return int(binning)
