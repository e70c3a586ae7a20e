"""Networks for training without clean images: what they must not see, and what they see."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from temdenoise.networks import (
    BlindSpotNet,
    HybridVideoNet,
    LaineNet,
    Self2SelfNet,
    UDVDNet,
    count_macs,
    fuse_for_inference,
    receptive_field,
)
from temdenoise.networks._half_plane import HalfPlaneUNet
from temdenoise.networks._partial_conv import PartialConv2d
from temdenoise.networks._receptive_field import _positive_copy
from temdenoise.networks.apply import TiledNetwork, average_over_orientations
from temdenoise.tiling import apply_tiled

SMALL = {"base_channels": 4, "tail_channels": 16}
SIZES = [(7, 10), (12, 5)]


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def counts_of(*shape):
    return torch.poisson(torch.full(shape, 3.0, dtype=torch.float64))


def ready(network):
    network.level.fill_(3.0)
    return network.double().eval().requires_grad_(False)


def changes(network, counts, frames):
    """Change of each output pixel (last two axes) by 1000 counts more in each input pixel.

    Shape (rows, columns, rows, columns).
    """
    rows, columns = counts.shape[-2:]
    changed = counts.repeat(rows * columns, 1, 1, 1)
    for k, (i, j) in enumerate(np.ndindex(rows, columns)):
        changed[k, frames, i, j] += 1000
    change = network(changed) - network(counts)
    return change.reshape(rows, columns, rows, columns)


def assert_blind(change, radius=0):
    """Check that no pixel sees the square around it, and that each sees what is next to that."""
    rows, columns = change.shape[:2]
    for i, j in np.ndindex(rows, columns):
        for y, x in np.ndindex(rows, columns):
            distance = max(abs(y - i), abs(x - j))
            if distance <= radius:
                assert change[i, j, y, x] == 0.0, (i, j, y, x)
            elif distance == radius + 1:
                assert change[i, j, y, x] != 0.0, (i, j, y, x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("blind_spot", "n_scales"), [(1, 4), (1, 3), (1, 1), (3, 4), (5, 2)])
def test_no_bin_sees_itself(size, blind_spot, n_scales):
    network = ready(BlindSpotNet(**SMALL, n_scales=n_scales, blind_spot=blind_spot))
    assert_blind(changes(network, counts_of(1, 1, *size), 0), blind_spot // 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blind_spot", [1, 3])
@pytest.mark.parametrize("n_frames", [3, 5])
def test_the_middle_frame_is_blind_and_its_neighbours_are_seen_whole(size, blind_spot, n_frames):
    network = ready(HybridVideoNet(n_frames, **SMALL, n_scales=3, blind_spot=blind_spot))
    counts = counts_of(1, n_frames, *size)
    assert_blind(changes(network, counts, n_frames // 2), blind_spot // 2)
    for frame in set(range(n_frames)) - {n_frames // 2}:
        change = changes(network, counts, frame)
        assert all(change[i, j, i, j] != 0 for i, j in np.ndindex(size))


@pytest.mark.parametrize("size", [(5, 7), (8, 3)])
def test_the_published_networks_are_blind(size):
    network = ready(LaineNet())
    assert_blind(changes(network, counts_of(1, 1, *size), 0))


@pytest.mark.parametrize("n_frames", [3, 5])
def test_udvd_is_blind_to_the_same_pixel_of_all_frames(n_frames):
    network = ready(UDVDNet(n_frames))
    counts = counts_of(1, n_frames, 3, 5)
    assert_blind(changes(network, counts, slice(None)))
    before = network(counts)
    for frame in range(n_frames):  # each is seen around that pixel
        changed = counts.clone()
        changed[0, frame, 1, 2] += 1000
        change = (network(changed) - before)[0, 0]
        assert change[1, 3] != 0
        assert change[0, 2] != 0


def test_mirrored_padding_would_show_bins_to_themselves():
    network = ready(BlindSpotNet(**SMALL, n_scales=3))

    def mirrored(counts):
        rows, columns = counts.shape[-2:]
        padding = (0, -columns % 4, 0, -rows % 4)
        return network(nn.functional.pad(counts, padding, mode="reflect"))[..., :rows, :columns]

    change = changes(mirrored, counts_of(1, 1, 11, 14), 0)
    with pytest.raises(AssertionError, match=r"\(0, 11, 0, 11\)"):  # columns 11 and 12 come twice
        assert_blind(change)


@pytest.mark.parametrize("blind_spot", [1, 3])
def test_blind_in_eight_orientations(blind_spot):
    network = ready(BlindSpotNet(**SMALL, n_scales=2, blind_spot=blind_spot))

    def averaged(counts):
        estimate = [
            average_over_orientations(lambda x: network(x[None, None])[0, 0], image[0], 8)
            for image in counts
        ]
        return torch.stack(estimate)[:, None]

    assert_blind(changes(averaged, counts_of(1, 1, 5, 8), 0), blind_spot // 2)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_blind(size):
    network = ready(BlindSpotNet(**SMALL))
    jacobian = torch.autograd.functional.jacobian(network, counts_of(1, 1, *size))
    jacobian = jacobian.reshape(*size, *size)
    assert_blind(jacobian.permute(2, 3, 0, 1))


def test_gradients_of_single_precision_are_blind():
    network = BlindSpotNet(**SMALL)
    counts = counts_of(1, 1, 9, 10).float().requires_grad_()
    for i, j in [(0, 0), (8, 9), (4, 5), (0, 9)]:
        (gradient,) = torch.autograd.grad(network(counts)[0, 0, i, j], counts)
        assert gradient[0, 0, i, j] == 0
        assert gradient.abs().max() > 0


def test_parameter_counts():
    assert n_parameters(LaineNet()) == 1_118_832
    udvd = UDVDNet()
    assert n_parameters(udvd) == 2_123_664
    assert [n_parameters(stage) for stage in udvd.stages] == [881_712, 1_057_536]
    assert n_parameters(udvd.tail) == 184_416
    assert n_parameters(Self2SelfNet()) == 988_609
    # one branch: stem, blocks, ways down and up; then the tail
    blocks = 2 * 9 * (2 * 32**2 + 2 * 48**2 + 4 * 64**2 + 2 * 96**2)
    steps = 5 * (32 * 48 + 48 * 64 + 64 * 96)
    assert n_parameters(BlindSpotNet()) == 9 * 32 + blocks + steps + (128 + 96 + 1) * 96
    neighbours = n_parameters(HybridVideoNet()) - n_parameters(BlindSpotNet())
    assert neighbours == 2 * 9 * 32 + blocks + steps + 32 * 96


def test_only_self2self_has_biases():
    for network in (BlindSpotNet(), HybridVideoNet(), LaineNet(), UDVDNet()):
        assert not any(name.endswith("bias") for name, _ in network.named_parameters())


class OneImage(nn.Module):
    """A network for movies shown the same image in all frames."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.stride = network.stride

    def forward(self, x):
        return self.network(x.expand(-1, self.network.n_frames, -1, -1))


def test_cost_of_the_published_networks():
    assert count_macs(LaineNet(), (32, 32)).layers == pytest.approx(2.12e6, rel=1e-3)
    assert count_macs(OneImage(UDVDNet()), (32, 32)).layers == pytest.approx(7.78e6, rel=1e-3)


@pytest.mark.parametrize(("n_scales", "blind_spot"), [(1, 1), (2, 1), (3, 1), (3, 5)])
def test_halo_is_how_far_a_bin_sees(n_scales, blind_spot):
    network = BlindSpotNet(2, n_scales, 2, blind_spot)
    network.level.fill_(0.5)  # the image that measures the field holds ones
    assert receptive_field(network, worst_case=True) == 2 * network.halo + 1
    video = HybridVideoNet(3, 2, n_scales, 2, blind_spot)
    video.level.fill_(0.5)
    assert receptive_field(OneImage(video), worst_case=True) == 2 * video.halo + 1


def test_halo_of_the_published_networks():
    network = _positive_copy(HalfPlaneUNet(1, 1))
    x = torch.ones(1, 1, 100, 4, dtype=torch.float64, requires_grad=True)
    out = network(x)
    reach = []
    for row in range(88, 92):  # all positions relative to the pooling grid
        (gradient,) = torch.autograd.grad(out[..., row, :].sum(), x, retain_graph=True)
        seen = torch.nonzero(gradient.sum(dim=(0, 1, 3)))
        assert seen.max() == row
        reach.append(row - int(seen.min()))
    assert max(reach) == HalfPlaneUNet.reach
    # one row more from the shift at the end
    assert LaineNet().halo == UDVDNet(3).halo == HalfPlaneUNet.reach + 1
    assert UDVDNet().halo == 2 * HalfPlaneUNet.reach + 1


def test_self2self_sees_no_missing_pixels_beyond_the_image():
    network = Self2SelfNet().eval()
    network.level.fill_(5.0)
    counts = torch.poisson(torch.full((1, 1, 20, 32), 5.0))
    whole = torch.cat([counts, counts.flip(2)[:, :, :12]], dim=2)  # 32 rows: nothing is padded
    expected = network(whole, torch.ones_like(whole))[:, :, :20]
    torch.testing.assert_close(network(counts, torch.ones_like(counts)), expected)


def test_halo_of_self2self():
    network = Self2SelfNet()
    network.level.fill_(0.5)
    positive = _positive_copy(network)
    x = torch.ones(1, 1, 32, 448, dtype=torch.float64, requires_grad=True)
    out = positive(x, torch.ones_like(x))
    reach = 0
    for column in (225, 254):  # where most is seen to one side
        (gradient,) = torch.autograd.grad(out[..., column].sum(), x, retain_graph=True)
        seen = torch.nonzero(gradient.sum(dim=(0, 1, 2)))
        reach = max(reach, column - int(seen.min()), int(seen.max()) - column)
    assert reach == network.halo


@pytest.mark.parametrize(
    "build", [BlindSpotNet, HybridVideoNet, lambda: HybridVideoNet(5), LaineNet, UDVDNet]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (17, 30)])
def test_any_size(build, size):
    network = build().eval()
    counts = counts_of(2, network.n_frames, *size).float()
    with torch.inference_mode():
        rates = network(counts)
    assert rates.shape == (2, 1, *size)
    assert torch.isfinite(rates).all()
    assert network.grid == network.stride
    assert not network.takes_level


@pytest.mark.parametrize("blind_spot", [1, 3])
def test_hybrid_of_one_frame_is_the_blind_spot_network(blind_spot):
    network = BlindSpotNet(**SMALL, blind_spot=blind_spot)
    hybrid = HybridVideoNet(1, **SMALL, blind_spot=blind_spot)
    hybrid.load_state_dict(network.state_dict())
    counts = counts_of(2, 1, 11, 9).float()
    torch.testing.assert_close(hybrid(counts), network(counts), rtol=0, atol=0)


NETWORKS = {
    "blind_spot": lambda: BlindSpotNet(**SMALL),
    "hybrid": lambda: HybridVideoNet(3, **SMALL),
    "laine": LaineNet,
    "udvd": UDVDNet,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_carries_weights_and_level(name):
    network, other = NETWORKS[name](), NETWORKS[name]()
    network.level.fill_(7.5)
    counts = counts_of(1, network.n_frames, 9, 6).float()
    assert not torch.equal(other(counts), network(counts))
    other.load_state_dict(network.state_dict())
    assert other.level == 7.5
    torch.testing.assert_close(other(counts), network(counts), rtol=0, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_seen_relative_to_the_level(name):
    network = ready(NETWORKS[name]())
    counts = counts_of(1, network.n_frames, 9, 6)
    rates = network(counts)
    # training starts near the level, and an image of that level is its own estimate
    assert (rates - 3).abs().mean() < 0.5 * (counts - 3).abs().mean()
    assert torch.equal(network(torch.full_like(counts, 3.0)), torch.full_like(rates, 3.0))
    network.level.mul_(10)
    torch.testing.assert_close(network(10 * counts), 10 * rates)


@pytest.mark.parametrize("name", ["blind_spot", "hybrid"])
def test_training_lowers_the_loss(name):
    network = NETWORKS[name]()
    wave = 5 + 4 * torch.sin(torch.arange(24) / 1.5)
    clean = (wave[:, None] * wave / 5).expand(4, network.n_frames, 24, 24)
    counts = torch.poisson(clean)
    middle = network.n_frames // 2
    target = counts[:, middle : middle + 1]
    network.level.fill_(counts.mean())
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (network(counts) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    assert network.level == counts.mean()  # training does not move it


@pytest.mark.parametrize("name", ["laine", "udvd"])
def test_every_parameter_of_the_published_networks_learns(name):
    network = NETWORKS[name]()
    network(counts_of(1, network.n_frames, 8, 8).float()).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_made_ready_for_inference(name):
    network = NETWORKS[name]().eval()
    counts = counts_of(1, network.n_frames, 20, 13).float()
    with torch.inference_mode():
        rates = network(counts)
        torch.testing.assert_close(fuse_for_inference(network)(counts), rates)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(counts)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, rates, rtol=0.01, atol=0.01)


def test_tiles_of_an_image_give_what_the_whole_gives():
    network = ready(BlindSpotNet(2, 3, 4))
    counts = counts_of(1, 1, 149, 190)
    whole = network(counts)[0, 0]
    tiled = apply_tiled(
        lambda tile: network(torch.from_numpy(np.array(tile))[None, None])[0, 0].numpy(),
        counts[0, 0].numpy(),
        tile=2 * network.halo + 40,
        halo=network.halo,
        multiple=network.grid,
    )
    torch.testing.assert_close(torch.from_numpy(tiled), whole.float())


def test_applied_by_the_library():
    network = BlindSpotNet(**SMALL)
    network.level.fill_(3.0)
    image = counts_of(21, 34).float()
    expected = network(image[None, None])[0, 0].detach()
    estimate = TiledNetwork(network, device="cpu", precision="float32")(image.numpy())
    torch.testing.assert_close(torch.from_numpy(estimate), expected)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: BlindSpotNet(n_scales=0), "n_scales must be 1 to 5"),
        (lambda: BlindSpotNet(n_scales=6), "n_scales must be 1 to 5"),
        (lambda: BlindSpotNet(base_channels=0), "base_channels"),
        (lambda: BlindSpotNet(tail_channels=0), "tail_channels"),
        (lambda: BlindSpotNet(blind_spot=2), "odd"),
        (lambda: BlindSpotNet(blind_spot=-1), "odd"),
        (lambda: BlindSpotNet(blind_spot=1.5), "odd"),
        (lambda: HybridVideoNet(n_frames=4), "1, 3 or 5"),
        (lambda: UDVDNet(n_frames=7), "1, 3 or 5"),
        (lambda: Self2SelfNet(dropout=1), "dropout"),
    ],
)
def test_impossible_parameters(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_wrong_number_of_frames():
    with pytest.raises(ValueError, match=r"\(n, 5, rows, columns\), got \(1, 6, 8, 8\)"):
        UDVDNet()(torch.ones(1, 6, 8, 8))
    with pytest.raises(ValueError, match=r"HybridVideoNet takes .*\(n, 3, rows, columns\)"):
        HybridVideoNet()(torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"got \(8, 8\)"):
        BlindSpotNet()(torch.ones(8, 8))


def test_partial_convolution_against_its_definition():
    layer = PartialConv2d(3, 2).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    mask = (torch.rand(2, 1, 6, 7) > 0.6).double()
    mask[0, 0, :4, :4] = 0  # some windows see nothing
    out, known = layer(x, mask)
    assert known.shape == mask.shape
    assert 0 < known.sum() < known.numel()
    for n, i, j in np.ndindex(2, 6, 7):
        total, seen = torch.zeros(2, dtype=torch.float64), 0
        for di, dj in itertools.product((-1, 0, 1), repeat=2):
            y, z = i + di, j + dj
            if 0 <= y < 6 and 0 <= z < 7 and mask[n, 0, y, z]:
                seen += 1
                total += layer.weight[:, :, di + 1, dj + 1] @ x[n, :, y, z]
        expected = layer.bias + total * 9 / seen if seen else torch.zeros(2, dtype=torch.float64)
        torch.testing.assert_close(out[n, :, i, j], expected)
        assert known[n, 0, i, j] == (seen > 0)


def test_partial_convolution_of_a_whole_image_is_a_convolution():
    layer = PartialConv2d(2, 3)
    x = torch.randn(1, 2, 8, 9)
    out, known = layer(x, torch.ones(1, 1, 8, 9))
    plain = nn.functional.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(out[..., 1:-1, 1:-1], plain)
    assert known.all()


@pytest.mark.parametrize("size", [(11, 14), (40, 33)])
def test_self2self_sees_the_pixels_of_the_mask_only(size):
    network = ready(Self2SelfNet())
    counts = counts_of(2, 1, *size)
    mask = torch.rand(2, 1, *size) > 0.3
    rates = network(counts, mask)
    assert rates.shape == counts.shape
    hidden = torch.where(mask, counts, torch.nan)
    assert torch.equal(network(hidden, mask), rates)
    # each image has its own mask, and a pixel that is seen counts
    assert torch.equal(network(counts[1:], mask[1:].double()), rates[1:])
    index = tuple(torch.nonzero(mask)[5])
    counts[index] += 100
    change = network(counts, mask) - rates
    assert change[index] != 0
    assert not change[1].any()


def test_self2self_without_a_pixel_gives_finite_rates():
    network = ready(Self2SelfNet())
    counts = counts_of(1, 1, 9, 9)
    assert torch.isfinite(network(counts, torch.zeros_like(counts))).all()


def test_dropout_is_in_the_decoder_and_in_training_mode_only():
    network = Self2SelfNet().requires_grad_(False)
    counts = counts_of(1, 1, 16, 20).float()
    mask = torch.ones_like(counts)
    network.train()
    assert not torch.equal(network(counts, mask), network(counts, mask))
    network.eval()
    assert torch.equal(network(counts, mask), network(counts, mask))
    assert not any(isinstance(m, nn.Dropout) for m in network.encoder.modules())
    rates = {m.p for m in network.modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.3}
    network = Self2SelfNet(dropout=0).train().requires_grad_(False)
    assert torch.equal(network(counts, mask), network(counts, mask))


def test_self2self_learns_and_is_stored():
    network = Self2SelfNet()
    wave = 5 + 4 * torch.sin(torch.arange(24) / 1.5)
    counts = torch.poisson(wave[:, None] * wave / 5)[None, None]
    network.level.fill_(counts.mean())
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        mask = torch.rand_like(counts) > 0.3
        optimizer.zero_grad()
        loss = (network(counts, mask) - counts)[~mask].square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    assert all(p.grad.abs().max() > 0 for p in network.parameters())
    other = Self2SelfNet().eval()
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    network.eval()
    assert torch.equal(other(counts, mask), network(counts, mask))


def test_self2self_of_impossible_input():
    counts = torch.ones(1, 1, 8, 9)
    with pytest.raises(ValueError, match="a mask of one shape"):
        Self2SelfNet()(counts, counts[..., :8])
    with pytest.raises(ValueError, match="a mask of one shape"):
        Self2SelfNet()(counts[0], counts[0])
