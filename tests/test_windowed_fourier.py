"""The windowed Fourier threshold: what it must flatten, keep, and not care about."""

import pytest
import torch

from temdenoise.networks import FourierUNet, windowed_fourier, windowed_fourier_threshold
from temdenoise.networks._padding import mirror_pad
from temdenoise.networks.windowed_fourier import windowed_fourier_wiener


def lattice(height, width, *, level=20.0, contrast=0.5, period=8.0):
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    wave = torch.cos(2 * torch.pi * (x + 0.3 * y) / period)
    return (level * (1 + contrast * wave))[None, None]


def poisson(rates, seed=0):
    return torch.poisson(rates, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("level", [0.5, 10.0, 300.0])
def test_pure_noise_becomes_flat(level):
    counts = poisson(torch.full((1, 1, 96, 96), level))
    # a threshold of 14 is passed by exp(-14) of the coefficients: by none of these
    estimate = windowed_fourier_threshold(counts, threshold=14.0)
    noise = level**0.5
    # what is left are the means of windows of 48, which hold sum(w)^2 / sum(w^2) = 1514 pixels
    assert (estimate - level).std() < 2 * noise / 1514**0.5
    assert (estimate - level).abs().max() < 5 * noise / 1514**0.5


def test_a_lattice_above_the_noise_is_returned():
    clean = lattice(120, 140)
    # without noise: all of it but the weakest tails of its spots
    exact = windowed_fourier_threshold(clean)
    assert (exact - clean)[..., 24:-24, 24:-24].square().mean().sqrt() < 0.03 * 10
    noisy = poisson(clean)
    estimate = windowed_fourier_threshold(noisy)
    gain = (noisy - clean).square().mean() / (estimate - clean).square().mean()
    assert gain > 20


@pytest.mark.parametrize(("window", "stride"), [(24, 8), (48, 16), (72, 24), (10, 4), (7, 7)])
def test_threshold_zero_returns_the_image(window, stride):
    counts = poisson(torch.full((2, 1, 50, 61), 3.0))
    estimate = windowed_fourier_threshold(counts, window=window, stride=stride, threshold=0.0)
    torch.testing.assert_close(estimate, counts, atol=2e-5, rtol=1e-5)


def test_shift_by_the_stride_commutes():
    counts = poisson(lattice(160, 160, level=3.0))
    shifted = torch.roll(counts, (16, 32), dims=(-2, -1))
    expected = torch.roll(windowed_fourier_threshold(counts), (16, 32), dims=(-2, -1))
    inside = (..., slice(96, 112), slice(96, 112))  # no window here reaches a border or the seam
    result = windowed_fourier_threshold(shifted)
    torch.testing.assert_close(result[inside], expected[inside], atol=1e-5, rtol=1e-5)


def test_images_of_a_batch_do_not_mix():
    counts = poisson(torch.cat([lattice(40, 50, level=level) for level in (1.0, 30.0)]))
    both = windowed_fourier_threshold(counts)
    for k in range(2):
        alone = windowed_fourier_threshold(counts[k : k + 1])
        torch.testing.assert_close(both[k : k + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 3), (73, 5)])
@pytest.mark.parametrize("level", [0.0, 4.0])
def test_any_size(shape, level):
    counts = torch.full((1, 1, *shape), level)
    torch.testing.assert_close(windowed_fourier_threshold(counts), counts, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [0, 25])
def test_windows_must_not_leave_gaps(stride):
    with pytest.raises(ValueError, match="stride must be 1 to window=24"):
        windowed_fourier_threshold(torch.ones(1, 1, 30, 30), window=24, stride=stride)


def test_mirror_pad_repeats_the_mirror_image():
    x = torch.tensor([[1.0, 2.0]])
    expected = torch.tensor([[2.0, 2, 1, 1, 2, 2, 1, 1, 2]])
    torch.testing.assert_close(mirror_pad(x, 0, 0, 3, 4), expected)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield FourierUNet(n_scales=3, base_channels=4).eval()


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (47, 33)])
def test_fourier_unet_takes_any_size(network, shape):
    counts = poisson(torch.full((2, 1, *shape), 5.0))
    with torch.no_grad():
        assert network(counts).shape == counts.shape
        assert torch.isfinite(network(torch.zeros(1, 1, *shape))).all()


def test_without_correction_it_is_the_widest_estimate(network):
    counts = poisson(lattice(60, 70))
    torch.nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        expected = windowed_fourier_threshold(counts, 72, 24, 8.0)
        torch.testing.assert_close(network(counts), expected, atol=1e-4, rtol=1e-4)


def test_level_defaults_to_the_mean_of_each_image(network):
    counts = poisson(torch.cat([lattice(32, 48, level=level) for level in (2.0, 30.0)]))
    with torch.no_grad():
        expected = network(counts)
        given = network(counts, level=counts.mean((-2, -1), keepdim=True))
        torch.testing.assert_close(given, expected)
        one = network(counts[1:], level=float(counts[1].mean()))
        torch.testing.assert_close(one, expected[1:], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(network(counts, level=5.0), expected, atol=1e-3)


def test_shapes_of_the_shipped_network_do_not_change():
    # weights in use depend on them
    with torch.device("meta"):
        network = FourierUNet()
    state = network.state_dict()
    assert sum(v.numel() for v in state.values()) == 1_785_024
    assert len(state) == 38
    assert state["stem.weight"].shape == (32, 5, 3, 3)
    assert state["head.weight"].shape == (1, 32, 3, 3)
    assert len(network.encoder) == 5


@pytest.mark.parametrize("options", [{"n_scales": 0}, {"n_scales": 6}, {"base_channels": 0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="scales must be 1 to 5 and base_channels at least 1"):
        FourierUNet(**options)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_rows_of_windows_at_once_do_not_matter(monkeypatch, mode):
    counts = poisson(lattice(101, 90, level=3.0))
    results = []
    for values in (1, 2**40):
        monkeypatch.setattr(windowed_fourier, "_IN_CACHE", values)
        pilot = windowed_fourier_threshold(counts, 24, 10, mode=mode)
        results.append(torch.cat([pilot, windowed_fourier_wiener(counts, pilot, 24, 10)]))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_finite_differences():
    counts = poisson(lattice(20, 20, level=3.0)).double().requires_grad_()
    pilot = windowed_fourier_threshold(counts.detach(), 8, 4, 2.0) + 0.1
    functions = {
        "hard": lambda x: windowed_fourier_threshold(x, 8, 4, 2.0),
        "soft": lambda x: windowed_fourier_threshold(x, 8, 4, 2.0, mode="soft"),
        "wiener": lambda x: windowed_fourier_wiener(x, pilot, 8, 4),
    }
    for function in functions.values():
        assert torch.autograd.gradcheck(function, counts, eps=1e-7, atol=1e-5, fast_mode=True)
