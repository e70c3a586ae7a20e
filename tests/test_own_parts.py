"""Networks, noise and losses of one's own: trained with, saved and loaded, and refused."""

import json

import numpy as np
import pytest
import torch
from tiny_training import assert_same_weights, lattices, noisy_of, tiny

from temdenoise import PoissonNoise, SBDDenoiser, psnr
from temdenoise.images import ImageStack
from temdenoise.networks import SmallUNet
from temdenoise.noise import GaussianNoise, PoissonGaussianNoise
from temdenoise.training.losses import relative_mse

# networks that were trained for a step or two
pytestmark = pytest.mark.filterwarnings("ignore::temdenoise.denoisers.WorseThanConstantWarning")


class Blur(torch.nn.Module):
    """Two convolutions whose output scales with the input."""

    def __init__(self, channels=3):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, channels, 5, padding=2, bias=False),
            torch.nn.ReLU(),
            torch.nn.Conv2d(channels, 1, 5, padding=2, bias=False),
        )

    def forward(self, counts):
        return self.layers(counts)


def make_blur():
    return Blur(channels=2)


@pytest.fixture(scope="module")
def images():
    return lattices(6, 40, 40)


@pytest.fixture(scope="module")
def counts(images):
    return noisy_of(images)


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "channels"),
    [(Blur, 3), (make_blur, 2), (Blur(channels=4), 4)],
    ids=["class", "function", "module"],
)
def test_own_network(images, counts, tmp_path, network, channels):
    denoiser = tiny(network=network).fit(images)
    assert isinstance(denoiser.network_, Blur)
    assert denoiser.network_ is not network
    assert denoiser.network_.layers[0].out_channels == channels
    denoised = denoiser.transform(counts)
    assert denoised.shape == counts.shape
    assert np.isfinite(denoised).all()
    # a refit is identical: what is given is never trained itself
    again = tiny(network=network).fit(images)
    assert_same_weights(again, denoiser)

    denoiser.save_pretrained(tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    assert config["class"] == "SBDDenoiser"
    assert config["params"]["network"]["own"].startswith(f"{__name__}.")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "own", network=network, device="cpu")
    loaded.set_params(orientations=1)
    np.testing.assert_array_equal(loaded.transform(counts), denoised)
    with pytest.raises(ValueError, match=r"not of this package, .*: pass it as network="):
        SBDDenoiser.from_pretrained(tmp_path / "own")
    with pytest.raises(ValueError, match="not those of the network"):
        SBDDenoiser.from_pretrained(tmp_path / "own", network=lambda: Blur(channels=7))


def test_a_network_given_for_the_packages_own_weights(images, counts, tmp_path):
    denoiser = tiny(network="small_unet", n_scales=None, base_channels=None).fit(images)
    denoiser.save_pretrained(tmp_path / "w")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "w", network=SmallUNet, device="cpu")
    loaded.set_params(orientations=1)
    np.testing.assert_array_equal(loaded.transform(counts), denoiser.transform(counts))


def test_own_network_resumes(images, tmp_path):
    params = {"network": Blur, "checkpoint_file": tmp_path / "run.pt", "max_epochs": 1}
    first = tiny(**params).fit(images)
    assert_same_weights(tiny(**params).fit(images), first)
    with pytest.raises(ValueError, match="training with other network"):
        tiny(**params | {"network": make_blur}).fit(images)


def test_own_network_is_differentiated(images):
    denoiser = tiny(network=Blur, max_epochs=1).fit(images)
    image = np.asarray(noisy_of(images))[0]
    value, gradient = denoiser.pixel_gradient(image, (20, 17), pixel_size=24.9)
    assert value == pytest.approx(
        denoiser.transform(images.__class__(image[None], 24.9))[0, 20, 17], rel=1e-4
    )
    # it is locally linear, without a constant
    assert (gradient * image).sum() == pytest.approx(value, rel=1e-6)


class Pooled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, counts):
        return torch.nn.functional.avg_pool2d(self.conv(counts), 2)


class TwoChannels(Pooled):
    def forward(self, counts):
        return self.conv(counts).repeat(1, 2, 1, 1)


class Pair(Pooled):
    def forward(self, counts):
        return self.conv(counts), counts


class NotANumber(Pooled):
    def forward(self, counts):
        return self.conv(counts) / 0 * 0


class Untrainable(torch.nn.Module):
    def forward(self, counts):
        return counts


def fails():
    raise RuntimeError("no such file")


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (Pooled, ValueError, r"Pooled must map .* made \(2, 1, 32, 36\) of \(2, 1, 64, 72\)"),
        (TwoChannels, ValueError, "TwoChannels must map"),
        (Pair, ValueError, "Pair must map .*tuple"),
        (NotANumber, ValueError, "NotANumber returns NaN or infinity"),
        (Untrainable, ValueError, "Untrainable has no parameters to train"),
        (dict, TypeError, "network must be a torch.nn.Module, or a class .*, got dict"),
        (lambda: np.ones(3), TypeError, "got ndarray"),
        (3, ValueError, "network"),
        (fails, RuntimeError, "no such file"),
    ],
)
def test_networks_that_cannot_be_trained(images, monkeypatch, network, error, message):
    def no_step(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr(torch.optim.Optimizer, "step", no_step)
    for call in (lambda d: d.fit(images), lambda d: d.check_settings()):
        with pytest.raises(error, match=message):
            call(tiny(network=network))


class LaterNotANumber(Blur):
    """Returns NaN for what it was not tried on."""

    def forward(self, counts):
        estimate = super().forward(counts)
        return estimate if self.training or counts.shape[-1] != 39 else estimate * float("nan")


def test_a_network_that_returns_nan_later(images, counts):
    denoiser = tiny(network=LaterNotANumber, orientations=1).fit(images)
    with pytest.raises(ValueError, match="network of SBDDenoiser returned NaN or infinity: train"):
        denoiser.transform(counts[:, :, :39])


# --- losses ---------------------------------------------------------------------------------------


def absolute(prediction, target):
    return (prediction - target).abs().mean()


def own_relative(prediction, target):
    return relative_mse(prediction, target)


def test_own_loss(images, counts, tmp_path):
    expected = tiny().fit(images)
    assert_same_weights(tiny(loss=own_relative).fit(images), expected)
    others = [tiny(loss=loss).fit(images) for loss in (absolute, "mse", "poisson")]
    for denoiser in others:
        assert np.isfinite([row["train_loss"] for row in denoiser.history_]).all()
        assert (denoiser.transform(counts) != expected.transform(counts)).any()
    # the loss is not needed to use the weights
    others[0].save_pretrained(tmp_path / "w")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "w", device="cpu")
    loaded.set_params(orientations=1, precision="float32")
    np.testing.assert_array_equal(loaded.transform(counts), others[0].transform(counts))


def test_losses_get_counts_per_bin(images):
    seen = []

    def loss(prediction, target):
        seen.append((tuple(prediction.shape), tuple(target.shape), float(target.mean())))
        return relative_mse(prediction, target)

    wide = ImageStack(np.repeat(np.repeat(images, 2, axis=1), 2, axis=2), 12.45)
    tiny(loss=loss, training_pixel_size=12.45, max_epochs=1, patch_size=32).fit(wide)
    seen = seen[1:]  # at first the loss is only tried
    assert {shapes for *shapes_, _ in seen for shapes in shapes_} == {(2, 1, 16, 16)}
    # bins of four pixels of 0.45 counts
    assert np.mean([mean for *_, mean in seen]) == pytest.approx(4 * 0.45, rel=0.2)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            lambda p, t: (p - t).square(),
            r"scalar tensor, got shape \(2, 1, 64, 64\): take its mean",
        ),
        (lambda p, t: (p - t).square().mean((1, 2, 3)), r"scalar tensor, got shape \(2,\)"),
        (lambda p, t: 1.0, "scalar tensor, got 1.0"),
        (lambda p, t: None, "scalar tensor, got None"),
        ("mae", "loss"),
        (3, "loss"),
    ],
)
def test_losses_that_are_none(images, loss, message):
    with pytest.raises(ValueError, match=message):
        tiny(loss=loss).fit(images)


def test_poisson_loss_is_least_at_the_rate():
    from temdenoise.training.losses import LOSSES

    target = torch.tensor(np.random.default_rng(0).poisson(3.0, (1, 1, 200, 200)))
    rates = torch.linspace(-1, 6, 141)
    losses = [float(LOSSES["poisson"](torch.full(target.shape, float(r)), target)) for r in rates]
    assert float(rates[np.argmin(losses)]) == pytest.approx(3.0, abs=0.06)
    assert np.all(np.diff(losses[:80]) < 0)  # below zero, too, it leads back up


# --- noise ----------------------------------------------------------------------------------------


class Uniform:
    """Noise with nothing but `sample`."""

    def sample(self, clean):
        rng = np.random.default_rng(0)
        return clean * rng.uniform(0.5, 1.5, size=clean.shape)


class Brighter:
    """Noise that makes the images twice as bright."""

    def sample(self, clean, *, return_clean=False, random_state=None):
        noisy = random_state.poisson(2 * clean)
        return (noisy, 2 * clean) if return_clean else noisy


@pytest.mark.parametrize("noise", [Uniform(), Brighter(), GaussianNoise(sigma=0.1)])
def test_own_noise(images, tmp_path, noise):
    denoiser = tiny(noise=noise).fit(images)
    assert denoiser.noise_ is noise
    again = tiny(noise=noise).fit(images)
    assert_same_weights(again, denoiser)
    score = denoiser.score(images)
    assert np.isfinite(score)
    assert score == again.score(images)
    denoiser.save_pretrained(tmp_path / "w")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "w", device="cpu").set_params(
        precision="float32", orientations=1
    )
    X = noisy_of(images)
    np.testing.assert_array_equal(loaded.transform(X), denoiser.transform(X))
    if isinstance(noise, GaussianNoise):  # the package's models come back
        assert loaded.noise.get_params() == noise.get_params()
    else:
        assert loaded.noise is None


def test_training_with_poisson_noise_of_ones_own_is_that_of_the_package(images):
    assert_same_weights(
        tiny(noise=PoissonNoise(dose=(0.2, 2.0))).fit(images), tiny(dose=(0.2, 2.0)).fit(images)
    )


def test_own_noise_learns_what_it_is_trained_on(images):
    # noise of 30 % of a bright image: worse than Poisson noise, and still removed
    params = {"steps_per_epoch": 20, "learning_rate": 1e-2, "max_epochs": 2}
    bright = ImageStack(100 * images, 24.9)
    denoiser = tiny(noise=Uniform(), **params).fit(bright)
    noisy = ImageStack(Uniform().sample(bright), 24.9)
    denoised = denoiser.transform(noisy)
    assert np.mean((denoised - bright) ** 2) < 0.5 * np.mean((noisy - bright) ** 2)


def test_detector_with_gain_offset_and_read_noise(images):
    """Values in stored units go in and come out; inside, the network counts electrons."""
    noise = PoissonGaussianNoise(gain=20.0, offset=100.0, read_noise=6.0, dose=2.0)
    denoiser = tiny(noise=noise).fit(images)
    stored, clean = noise.sample(images, return_clean=True, random_state=1)
    stored, clean = ImageStack(stored, 24.9), ImageStack(clean, 24.9)
    denoised = denoiser.transform(stored)
    assert clean.mean() == pytest.approx(140.0, rel=1e-3)
    assert denoised.mean() == pytest.approx(140.0, rel=0.1)
    assert np.mean((denoised - clean) ** 2) < 0.2 * np.mean((stored - clean) ** 2)
    assert denoiser.score(images) == pytest.approx(
        psnr(*_scored(noise, images, denoiser)).mean(), rel=1e-6
    )
    # a detector of gain one, with as much read noise in electrons, gives the same network
    electrons = PoissonGaussianNoise(gain=1.0, offset=0.0, read_noise=0.3, dose=2.0)
    same = tiny(noise=electrons).fit(images)
    assert_same_weights(same, denoiser)
    np.testing.assert_allclose(20 * same.transform((stored - 100) / 20) + 100, denoised, rtol=1e-5)


def _scored(noise, images, denoiser):
    stored, clean = noise.sample(images, return_clean=True, random_state=0)
    return clean, denoiser.transform(ImageStack(stored, 24.9))


def test_pairs_of_a_detector_are_in_stored_units(images):
    noise = PoissonGaussianNoise(gain=20.0, offset=100.0, read_noise=0.0)
    counts = noisy_of(images)
    expected = tiny().fit(counts, images)
    stored = tiny(noise=noise).fit(20 * counts + 100, 20 * images + 100)
    for name, value in expected.network_.state_dict().items():
        torch.testing.assert_close(stored.network_.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_detector_weights_are_saved(images, tmp_path):
    noise = PoissonGaussianNoise(gain=20.0, offset=100.0, read_noise=6.0, dose=(0.5, 2.0))
    denoiser = tiny(noise=noise, max_epochs=1).fit(images)
    denoiser.save_pretrained(tmp_path / "w")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "w", device="cpu").set_params(
        precision="float32", orientations=1
    )
    assert loaded.noise.get_params() == noise.get_params()
    stored = ImageStack(noise.sample(images, random_state=0), 24.9)
    np.testing.assert_array_equal(loaded.transform(stored), denoiser.transform(stored))
    path = tmp_path / "w" / "config.json"
    path.write_text(path.read_text().replace("PoissonGaussianNoise", "CauchyNoise"))
    with pytest.raises(ValueError, match="damaged or were changed: the checksum of config.json"):
        SBDDenoiser.from_pretrained(tmp_path / "w")


class Returns:
    """Noise that returns what it is told to."""

    def __init__(self, make):
        self.make = make

    def sample(self, clean):
        return self.make(np.asarray(clean))


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (object(), ValueError, "noise"),
        (np.random.default_rng(0), ValueError, "noise"),
        ("poisson", ValueError, "noise"),
        (PoissonNoise(dose=-1.0), ValueError, "dose"),
        (PoissonNoise(dose=(3.0, 1.0)), ValueError, "dose"),
        (PoissonGaussianNoise(), ValueError, "gain is 'auto': call fit"),
        (GaussianNoise(sigma=-1), ValueError, "sigma"),
        (Returns(lambda x: x[:, :3]), ValueError, "Returns.sample returned shape"),
        (Returns(lambda x: x * np.nan), ValueError, "Returns.sample returned NaN or infinity"),
    ],
)
def test_noise_that_cannot_be_drawn(images, noise, error, message):
    with pytest.raises(error, match=message):
        tiny(noise=noise).fit(images)


def test_noise_together_with_a_dose(images):
    with pytest.raises(ValueError, match="dose is that of the default noise: leave it out, or"):
        tiny(noise=PoissonNoise(), dose=2.0).fit(images)
