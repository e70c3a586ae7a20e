"""Multiply-accumulates per pixel, against counts by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from temdenoise.networks import DnCNN, FourierUNet, SmallUNet, UNet, count_macs


def unet_by_hand(n_scales, base):
    """Two 3x3 convolutions per block: one encoder block per level, one decoder block per scale."""
    widths = [base * 2 ** max(0, min(level, n_scales - 1) - 2) for level in range(n_scales)]
    widths.append(widths[-1])
    total = 9 * (1 * base + base * base) + base  # the first block, and the 1x1 convolution
    for level in range(1, n_scales + 1):
        above, here = widths[level - 1], widths[level]
        total += 9 * (above * here + here * here) / 4**level
    for level in range(n_scales):
        here, out = widths[level], widths[max(level - 1, 0)]
        total += 9 * (2 * here * here + here * out) / 4**level
    return total


@pytest.mark.parametrize(("n_scales", "base"), [(1, 3), (2, 32), (4, 32), (4, 128), (6, 128)])
def test_unet(n_scales, base):
    with torch.device("meta"):
        network = UNet(n_scales, base)
    count = count_macs(network, (128, 192))
    assert count.layers == pytest.approx(unet_by_hand(n_scales, base), rel=1e-12)
    assert count.fft == 0


def test_the_papers_smallest_unet_at_full_resolution():
    assert count_macs(UNet(n_scales=4, base_channels=32)) == (54_176, 0, 0)


def test_plain_networks():
    # every pixel takes part once: the count is that of the weights
    weights = sum(m.weight.numel() for m in DnCNN().noise if isinstance(m, nn.Conv2d))
    assert count_macs(DnCNN(), (5, 7)) == (weights, 0, 0)
    assert weights == 9 * 64 * (1 + 18 * 64 + 1)
    fine = 25 * 32 + 9 * 32 * 32 + 9 * 96 * 32 + 25 * 32
    # four convolutions on half the resolution, and the transposed one: each of its 4x4 weights
    # meets each coarse pixel once
    coarse = (9 * 32 * 64 + 3 * 9 * 64 * 64 + 16 * 64 * 64) / 4
    assert count_macs(SmallUNet(), (64, 32)) == (fine + coarse, 0, 0)


@pytest.mark.parametrize("shape", [(48, 48), (160, 112)])
def test_fourier_unet(shape):
    height, width = shape
    count = count_macs(FourierUNet(n_scales=2, base_channels=4), shape)
    # widths 4 and 6, one residual block of two convolutions each way
    fine = 9 * 5 * 4 + 4 * 9 * 4 * 4 + 9 * 4
    between = (4 * 4 * 6 + 6 * 4) / 4
    coarse = 2 * 9 * 6 * 6 / 4
    assert count.layers == pytest.approx(fine + between + coarse, rel=1e-12)
    fft = 0
    for window, stride in ((24, 8), (48, 16), (72, 24)):
        # windows start at every multiple of the stride that covers a pixel
        n_windows = math.prod(math.ceil((n + window - stride) / stride) for n in shape)
        fft += 2 * n_windows * 2.5 * window**2 * math.log2(window**2)  # there and back
    assert count.fft == pytest.approx(fft / 2 / (height * width), rel=1e-12)


def test_padding_is_counted():
    padded = count_macs(UNet(4, 4), (17, 16)).layers * 17
    assert padded == pytest.approx(count_macs(UNet(4, 4), (32, 16)).layers * 32)


class Mixed(nn.Module):
    """What hooks on layers miss: functional calls, groups, dilation, a product of matrices."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2)
        self.linear = nn.Linear(8, 3)
        self.register_buffer("kernel", torch.ones(4, 1, 5, 5))

    def forward(self, x):
        x = self.grouped(F.conv2d(x, self.kernel, padding=2))
        x = self.linear(x.movedim(1, -1)).movedim(-1, 1)
        spectrum = torch.fft.fft2(torch.fft.fft(x))
        rows = spectrum.real @ torch.ones(x.shape[-1], 1, device=x.device, dtype=x.dtype)
        return rows.expand_as(x)[:, :1]


def test_operations_of_every_kind():
    count = count_macs(Mixed(), (8, 16))
    assert count.layers == 25 * 4 + 9 * 2 * 8 + 8 * 3 + 3
    # along the rows from real numbers, half the work; then along both axes, complex
    assert count.fft == 3 * 2.5 * (math.log2(16) / 2 + math.log2(8 * 16))


def test_the_network_is_left_as_it_was():
    network = UNet(2, 4).double().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert count_macs(network, (16, 16)).layers > 0
    assert network.training
    for name, tensor in network.state_dict().items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("shape", [64, (64,), (64, 64, 1), (64.0, 64), (True, 64), "ab"])
def test_shape_of_the_wrong_kind(shape):
    with pytest.raises(TypeError, match="shape must be"):
        count_macs(UNet(1, 1), shape)


@pytest.mark.parametrize("shape", [(0, 4), (4, -1)])
def test_shape_that_holds_nothing(shape):
    with pytest.raises(ValueError, match="at least 1"):
        count_macs(UNet(1, 1), shape)


@pytest.mark.parametrize("binning", [2, 5])
def test_bins_are_counted_per_pixel_of_the_detector(binning):
    network = UNet(2, 4)
    bins = (math.ceil(33 / binning), math.ceil(40 / binning))
    count = count_macs(network, (33, 40), binning=binning)
    per_bin = count_macs(network, bins).layers
    assert count.layers == pytest.approx(per_bin * math.prod(bins) / (33 * 40))
    # each pixel into its bin, the splines' filter, four taps along the columns and along the rows
    assert count.resampling == pytest.approx(1 + 8 / binning**2 + 4 / binning + 4)


@pytest.mark.parametrize(
    ("binning", "error", "message"),
    [
        (2.0, TypeError, "binning must be an integer"),
        (True, TypeError, "binning must be an integer"),
        (0, ValueError, "binning must be at least 1"),
    ],
)
def test_bad_binning(binning, error, message):
    with pytest.raises(error, match=message):
        count_macs(UNet(1, 1), binning=binning)
