"""The denoisers that the user guide writes keep the contract, and do denoise."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from torch import nn

from temdenoise import ImageStack, PoissonNoise, SBDDenoiser, psnr
from temdenoise.denoisers import TrainedDenoiser
from temdenoise.noise import GaussianNoise
from temdenoise.testing import check_denoiser

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "user_guide"))

from own_denoiser import TotalVariationDenoiser  # noqa: E402
from own_trained_denoiser import TwoLayerDenoiser, TwoLayers  # noqa: E402

QUICK = {"max_epochs": 2, "steps_per_epoch": 40, "patch_size": 24, "device": "cpu"}


@pytest.fixture
def images(clean):
    return ImageStack(4 * clean, pixel_size=20.0)


def test_check_denoiser():
    check_denoiser(TotalVariationDenoiser())
    check_denoiser(TwoLayerDenoiser(**QUICK | {"steps_per_epoch": 2}, random_state=0))


def test_total_variation(images):
    noisy = PoissonNoise(random_state=0).sample(images)
    search = GridSearchCV(TotalVariationDenoiser(), {"weight": [0.01, 2.0]}, cv=2).fit(images)
    assert search.best_params_ == {"weight": 2.0}
    denoised = search.transform(ImageStack(noisy, 20.0))
    assert denoised.pixel_size == 20.0
    assert psnr(images, denoised).mean() > psnr(images, noisy).mean() + 6
    with pytest.raises(ValueError, match="weight"):
        TotalVariationDenoiser(weight=-1).fit(noisy)


def test_trained(images, tmp_path):
    noisy = ImageStack(PoissonNoise(random_state=1).sample(images), 20.0)
    denoiser = TwoLayerDenoiser(**QUICK, random_state=0).fit(images)
    assert len(denoiser.history_) == 2
    denoised = denoiser.transform(noisy)
    untrained = TwoLayerDenoiser(**QUICK | {"max_epochs": 1, "steps_per_epoch": 1}, random_state=0)
    untrained = untrained.fit(images).transform(noisy)
    assert denoised.shape == noisy.shape and denoised.pixel_size == 20.0
    assert psnr(images, denoised).mean() > psnr(images, untrained).mean() + 1
    assert psnr(images, denoised).mean() > psnr(images, noisy).mean() + 6

    denoiser.save_pretrained(tmp_path / "weights")
    loaded = TwoLayerDenoiser.from_pretrained(tmp_path / "weights", device="cpu")
    assert loaded.channels == 8
    np.testing.assert_array_equal(loaded.transform(noisy), denoised)
    with pytest.raises(ValueError, match="of TwoLayerDenoiser, not of SBDDenoiser"):
        SBDDenoiser.from_pretrained(tmp_path / "weights")


def test_trained_on_pairs(images):
    noisy = PoissonNoise(random_state=1).sample(images)
    denoiser = TwoLayerDenoiser(**QUICK, random_state=0).fit(noisy, images)
    assert psnr(images, denoiser.transform(noisy)).mean() > psnr(images, noisy).mean() + 6


def test_parameters_of_training_are_shown_and_checked(images):
    assert "max_minutes" in TwoLayerDenoiser().get_params()
    assert isinstance(TwoLayerDenoiser(), TrainedDenoiser)
    with pytest.raises(ValueError, match="channels"):
        TwoLayerDenoiser(channels=0).fit(images)
    with pytest.raises(ValueError, match="max_minutes"):
        TwoLayerDenoiser(max_minutes=-1).fit(images)


class OwnNetwork(nn.Module):
    """The network of the guide: a class without arguments."""

    def __init__(self):
        super().__init__()
        self.inner = TwoLayers(8)

    def forward(self, counts):
        return self.inner(counts)


def huber(prediction, target):
    return nn.functional.huber_loss(prediction, target)


def test_sbd_with_own_network_noise_and_loss(images, tmp_path):
    noise = GaussianNoise(sigma=0.5)
    denoiser = SBDDenoiser(
        network=OwnNetwork, noise=noise, loss=huber, training_pixel_size=20.0, **QUICK,
        random_state=0,
    )  # fmt: skip
    denoised = denoiser.fit(images).transform(images)
    assert denoiser.noise_ is noise
    denoiser.save_pretrained(tmp_path / "weights")
    with pytest.raises(ValueError, match="OwnNetwork: pass it as network="):
        SBDDenoiser.from_pretrained(tmp_path / "weights")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "weights", network=OwnNetwork, device="cpu")
    np.testing.assert_array_equal(loaded.transform(images), denoised)
    assert loaded.noise_.sigma == 0.5
