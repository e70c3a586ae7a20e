"""Networks made ready for inference give what they gave before."""

import copy

import pytest
import torch
from torch import nn

from temdenoise.networks import DnCNN, FourierUNet, SmallUNet, UNet, _in_tiles, fuse_for_inference
from temdenoise.networks._layers import BiasFreeBatchNorm2d


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def lived_in(network):
    """Statistics and scales as after some training, all different."""
    network.train()
    for _ in range(3):
        network(3 * torch.rand(2, 1, 32, 32))
    for module in network.modules():
        if isinstance(module, BiasFreeBatchNorm2d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            if getattr(module, "bias", None) is not None:
                nn.init.normal_(module.bias)
    return network.eval()


NETWORKS = {
    "unet": lambda: UNet(n_scales=3, base_channels=4),
    "unet with biases": lambda: UNet(n_scales=2, base_channels=4, bias_free=False),
    "dncnn": lambda: DnCNN(depth=5, channels=6),
    "dncnn with biases": lambda: DnCNN(depth=4, channels=6, bias_free=False),
    "small_unet": SmallUNet,
    "fourier_unet": lambda: FourierUNet(n_scales=2, base_channels=4),
}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (40, 57)])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_output(name, shape):
    network = lived_in(NETWORKS[name]()).double()  # else rounding hides what is small
    before = copy.deepcopy(network.state_dict())
    fused = fuse_for_inference(network)
    x = torch.rand(2, 1, *shape, dtype=torch.float64) + 0.1
    with torch.no_grad():
        torch.testing.assert_close(fused(x), network(x), rtol=1e-9, atol=1e-11)
        single = fuse_for_inference(network.float())(x.float())
        expected = network(x.float())
    assert (single - expected).abs().max() <= 1e-5 * expected.abs().max()
    for key, value in network.double().state_dict().items():  # the network itself is untouched
        torch.testing.assert_close(value.float(), before[key].float(), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 1, 61, 20), (1, 1, 16, 90), (1, 1, 40, 40)])
@pytest.mark.parametrize("name", ["unet", "unet with biases"])
def test_blocks_in_tiles(name, shape, monkeypatch):
    network = lived_in(NETWORKS[name]()).double()
    fused = fuse_for_inference(network)
    tiles = []
    monkeypatch.setattr(_in_tiles, "_VALUES", 1)  # the smallest tiles there are
    one = _in_tiles.InTiles._one
    monkeypatch.setattr(_in_tiles.InTiles, "_one", lambda *args: tiles.append(args) or one(*args))
    x = torch.rand(shape, dtype=torch.float64) + 0.1
    with torch.no_grad():
        torch.testing.assert_close(fused(x), network(x), rtol=1e-9, atol=1e-11)
    assert len(tiles) > 2 * network.n_scales + 1  # more than one for some blocks


def test_tiles_leave_threads_and_gradients_alone(monkeypatch):
    network = lived_in(NETWORKS["unet"]()).double()
    fused = fuse_for_inference(network)
    monkeypatch.setattr(_in_tiles, "_VALUES", 1)
    x = torch.rand(1, 1, 61, 20, dtype=torch.float64, requires_grad=True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch.inference_mode():
            fused(x)
        assert torch.get_num_threads() == 3
        gradients = [torch.autograd.grad(f(x).square().sum(), x)[0] for f in (network, fused)]
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["unet", "unet with biases", "dncnn", "dncnn with biases"])
def test_no_norm_is_left(name):
    fused = fuse_for_inference(lived_in(NETWORKS[name]()))
    norms = [m for m in fused.modules() if isinstance(m, BiasFreeBatchNorm2d | nn.BatchNorm2d)]
    assert norms == []
    assert not fused.training
    assert not any(p.requires_grad for p in fused.parameters())
    if "bias" not in name:
        assert not any(key.endswith("bias") for key in fused.state_dict())


def test_norms_elsewhere_stay():
    """A norm before a convolution cannot be folded into it: its padding sees the norm's output."""
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU())
    network(torch.rand(4, 2, 8, 8) + 1)
    fused = fuse_for_inference(network)
    assert isinstance(fused[0], nn.BatchNorm2d)
    x = torch.rand(1, 2, 6, 6)
    torch.testing.assert_close(fused(x), network.eval()(x))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 2},
        {"kernel_size": (3, 5), "padding": (1, 2)},
        {"kernel_size": 5, "padding": 4, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 1},
    ],
)
def test_convolutions_of_every_kind(options):
    network = nn.Sequential(nn.Conv2d(2, 4, padding_mode="replicate", **options), nn.ReLU())
    x = torch.rand(2, 2, 17, 20)
    torch.testing.assert_close(fuse_for_inference(network)(x), network(x).detach())
