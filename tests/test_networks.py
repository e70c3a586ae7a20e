"""The paper's networks: their sizes, their reach, and the invariances they are built for."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from temdenoise import SBDDenoiser
from temdenoise.networks import (
    NETWORKS,
    DnCNN,
    RelativeToMean,
    SmallUNet,
    UNet,
    build_network,
    count_macs,
    receptive_field,
)
from temdenoise.networks._layers import BiasFreeBatchNorm2d
from temdenoise.networks._padding import pad_to_multiple

PAPER = ["unet", "dncnn", "small_unet"]


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def n_normalised_channels(network):
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, BiasFreeBatchNorm2d))


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("network_class", "options", "quoted"),
    [
        (DnCNN, {}, 667_008),
        (UNet, {"n_scales": 4, "base_channels": 32}, 352_000),
        (UNet, {"n_scales": 4, "base_channels": 64}, 1_404_416),
        (UNet, {"n_scales": 4, "base_channels": 128}, 5_610_496),
        (UNet, {"n_scales": 6, "base_channels": 128}, 70_504_960),
    ],
)
def test_bias_free_parameter_counts(network_class, options, quoted):
    with torch.device("meta"):  # shapes only: no memory for 70 million weights
        network = network_class(**options)
    # The quoted counts hold one unused bias per normalised channel.
    unused = n_normalised_channels(network)
    assert n_parameters(network) == quoted - unused
    assert 0 < unused / quoted < 0.003
    assert not any(name.endswith("bias") for name, _ in network.named_parameters())


def test_parameter_counts_of_the_biased_networks():
    assert n_parameters(DnCNN(bias_free=False)) == 668_225
    assert n_parameters(SmallUNet()) == 233_440


@pytest.mark.parametrize(
    ("parameters", "quoted"),
    [
        ({"network": "dncnn", "bias_free": False}, "668K"),
        ({"network": "small_unet"}, "233K"),
        ({"network": "unet", "n_scales": 2}, "102K"),  # Table 3.1b
        ({"network": "unet", "n_scales": 6, "base_channels": 32}, "4.4M"),
        ({"network": "unet", "n_scales": 4, "base_channels": 64}, "1.4M"),
        ({"network": "unet", "n_scales": 4, "base_channels": 128}, "5.61M"),
    ],
)
def test_table_3_1_by_the_parameters_of_the_denoiser(parameters, quoted):
    n = n_parameters(network_of(parameters))
    value, unit = float(quoted[:-1]), {"K": 1e3, "M": 1e6}[quoted[-1]]
    digits = len(quoted.partition(".")[2][:-1])
    assert round(n / unit, digits) == value


def network_of(parameters):
    """Shapes of the network that a denoiser of these parameters trains."""
    denoiser = SBDDenoiser(**parameters)
    with torch.device("meta"):
        return denoiser._make_network()


GUIDE = Path(__file__).parents[1] / "docs" / "user_guide" / "sbd.rst"


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not here")
def test_the_table_of_the_user_guide():
    row = re.compile(r"``network=(.+?)`` +([\d,]+) +(?:large|(\d+) px) +([\d,]+)$", re.M)
    rows = row.findall(GUIDE.read_text())
    assert len(rows) == 7
    for text, weights, field, macs in rows:
        parameters = {}
        for setting in f"network={text}".split(", "):
            name, value = setting.split("=")
            parameters[name] = int(value) if value.isdigit() else value.strip('"')
        network = network_of(parameters)
        assert f"{n_parameters(network):,}" == weights
        binning = 5 if parameters["network"] == "fourier_unet" else 1
        count = count_macs(network, (1024, 1024), binning=binning)
        assert f"{round(count.layers + count.fft):,}" == macs
        # the field does not depend on the width, and test_receptive_field has those of all depths
        fields = {("dncnn", 4): 41, ("small_unet", 4): 45, ("unet", 4): 221, ("unet", 6): 893}
        if field:
            assert int(field) == fields[parameters["network"], parameters.get("n_scales", 4)]


@pytest.mark.parametrize("n_scales", [1, 2, 3, 5])
def test_unet_of_any_depth(n_scales):
    network = UNet(n_scales=n_scales, base_channels=2).eval()
    x = torch.rand(1, 1, 40, 33)
    assert network(x).shape == x.shape
    assert network.stride == 2**n_scales


@pytest.mark.parametrize(
    ("network", "side", "worst"),
    [
        (DnCNN(channels=2), 41, 41),
        (SmallUNet(), 45, 47),
        (UNet(n_scales=2, base_channels=2), 53, 53),
        (UNet(n_scales=4, base_channels=2), 221, 245),
    ],
)
def test_receptive_field(network, side, worst):
    assert receptive_field(network) == side
    assert receptive_field(network, worst_case=True) == worst


def test_receptive_field_of_the_deep_unet():
    assert receptive_field(UNet(n_scales=6, base_channels=2)) == 893


def test_receptive_field_agrees_with_a_perturbation():
    # An independent look: change one input pixel, see which outputs of the real network move.
    network = SmallUNet().eval().double()
    x = torch.rand(1, 1, 96, 96, dtype=torch.float64)
    changed = x.clone()
    changed[0, 0, 48, 48] += 1
    with torch.no_grad():
        moved = (network(changed) != network(x))[0, 0]
    rows, columns = np.nonzero(moved.numpy())
    reach = (receptive_field(network, worst_case=True) - 1) // 2
    for index in (rows, columns):
        assert abs(index - 48).max() == reach


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("dncnn", {"channels": 16}, 64),
        ("unet", {"n_scales": 2, "base_channels": 4}, 96),
        ("unet", {"n_scales": 4, "base_channels": 4}, 288),
    ],
)
def test_receptive_field_is_what_the_gradient_reaches(name, options, size):
    # The network as it is: rectifiers and maxima let a pixel through in some images, not in others.
    torch.manual_seed(0)
    network = build_network(name, **options)
    pixel = size // 2
    images = torch.rand(4, 1, size, size, dtype=torch.float64, requires_grad=True)
    outputs = network.double().eval()(images)[:, 0, pixel, pixel]
    (gradient,) = torch.autograd.grad(outputs.sum(), images)
    reached = torch.nonzero((gradient != 0).any(dim=0)[0])
    for index in reached.T:
        assert (index - pixel).abs().max() == (receptive_field(network) - 1) // 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (17, 30), (32, 32)])
@pytest.mark.parametrize("name", PAPER)
def test_any_size(name, shape):
    options = {"unet": {"base_channels": 2}, "dncnn": {"channels": 4, "depth": 4}}
    network = build_network(name, **options.get(name, {})).eval()
    x = torch.rand(2, 1, *shape)
    out = network(x)
    assert out.shape == x.shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("network", [UNet(2, 4), UNet(3, 2), DnCNN(5, 8)])
def test_bias_free_networks_scale_with_their_input(network):
    network.train()(torch.rand(4, 1, 32, 32))  # running statistics other than the initial ones
    network.eval()
    x = torch.rand(1, 1, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(network(7.5 * x), 7.5 * network(x), rtol=1e-4, atol=1e-5)
        assert torch.count_nonzero(network(torch.zeros_like(x))) == 0


def test_biased_unet_does_not_scale_with_its_input():
    network = UNet(2, 4, bias_free=False).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 8, 8)).abs().max() > 0


def test_unet_does_not_tell_rows_from_columns():
    network = UNet(2, 4).eval()
    for p in network.parameters():
        if p.ndim == 4:
            p.data = (p.data + p.data.transpose(2, 3)) / 2
    x = torch.rand(1, 1, 16, 20)
    with torch.no_grad():
        torch.testing.assert_close(network(x.mT), network(x).mT, rtol=1e-4, atol=1e-6)


def test_every_parameter_learns():
    for network in (UNet(3, 4), DnCNN(4, 8), SmallUNet()):
        network.train()(torch.rand(2, 1, 16, 16)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_bias_free_batch_norm_divides_by_the_standard_deviation():
    layer = BiasFreeBatchNorm2d(3, momentum=0.25, eps=0.0)
    x = torch.randn(4, 3, 10, 10, dtype=torch.float64) * 5 + 20
    std = x.numpy().std(axis=(0, 2, 3))
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() / std[:, None, None], rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.75 + 0.25 * std**2, rtol=1e-5)
    layer.eval()
    frozen = layer(x).detach().numpy()
    np.testing.assert_allclose(
        frozen, x.numpy() / layer.running_var.sqrt().numpy()[:, None, None], rtol=1e-5
    )


def test_bias_free_batch_norm_of_one_value():
    out = BiasFreeBatchNorm2d(2)(torch.ones(1, 2, 1, 1))
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(("size", "multiple"), [(1, 16), (3, 16), (5, 4), (8, 4), (7, 8)])
def test_pad_to_multiple_is_numpys_symmetric_padding(size, multiple):
    x = np.random.default_rng(0).random((1, 1, size, 2 * size))
    padded = pad_to_multiple(torch.from_numpy(x), multiple).numpy()
    width = [(0, 0), (0, 0), (0, -size % multiple), (0, -2 * size % multiple)]
    np.testing.assert_array_equal(padded, np.pad(x, width, mode="symmetric"))


def test_build_network():
    assert set(PAPER) <= set(NETWORKS)
    network = build_network("unet", n_scales=3, base_channels=5)
    assert isinstance(network, UNet)
    assert (network.n_scales, network.base_channels) == (3, 5)
    with pytest.raises(ValueError, match=r"no network 'vgg'. Choose one of .*'unet'"):
        build_network("vgg")
    with pytest.raises(TypeError, match="width"):
        build_network("unet", width=3)


@pytest.mark.parametrize(
    "build", [lambda: UNet(n_scales=0), lambda: UNet(base_channels=0), lambda: DnCNN(depth=1)]
)
def test_impossible_sizes_are_refused(build):
    with pytest.raises(ValueError, match="must be at least"):
        build()


@pytest.mark.parametrize("inner", [UNet(2, 8), DnCNN(5, 8), SmallUNet()])
def test_relative_to_the_mean(inner):
    torch.manual_seed(0)
    network = RelativeToMean(copy.deepcopy(inner)).eval()
    counts = torch.poisson(torch.full((2, 1, 16, 20), 7.0))
    out = network(counts)
    # at first close to the mean, or (DnCNN, which subtracts noise) to the counts
    start = counts if isinstance(inner, DnCNN) else counts.mean((2, 3), keepdim=True)
    assert (out - start).abs().mean() < 0.3 * (counts - counts.mean()).abs().mean()
    # counts of another unit give rates of that unit
    torch.testing.assert_close(network(10 * counts), 10 * out)
    # the mean of the whole image, where it is given, is what stands for the constant part
    level = counts.mean((2, 3), keepdim=True)
    torch.testing.assert_close(network(counts, level=level), out)
    assert not torch.allclose(network(counts, level=2 * level), out)
    assert (network.stride, network.grid, network.halo) == (inner.stride, inner.grid, inner.halo)


def test_relative_to_the_mean_without_an_electron():
    out = RelativeToMean(UNet(2, 8).eval())(torch.zeros(1, 1, 8, 8))
    assert out.abs().max() < 1e-4
