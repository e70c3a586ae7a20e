"""Trained networks on images of any size, and with less memory than they want."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from tiny_training import lattices, noisy_of
from torch import nn

from temdenoise import SBDDenoiser
from temdenoise.denoisers import WorseThanConstantWarning

# networks that were trained for a step or two
pytestmark = pytest.mark.filterwarnings("ignore::temdenoise.denoisers.WorseThanConstantWarning")


class Hungry(nn.Module):
    """A network that wants more memory than there is for anything above some number of pixels."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most = network, most
        self.halo, self.grid = network.halo, network.grid

    def forward(self, x):
        if x.numel() > self.most:
            torch.empty(2**45)  # all that a 64-bit process can address
        return self.network(x)


@pytest.fixture(scope="module")
def trained():
    return SBDDenoiser(
        # its tiles join exactly, which those of a U-Net with bilinear upsampling do not
        network="small_unet", training_pixel_size=24.9, patch_size=20 * 25, batch_size=2,
        steps_per_epoch=2, max_epochs=1, orientations=1, device="cpu", random_state=0,
    ).fit(lattices(3, 30, 30))  # fmt: skip


@pytest.fixture
def hungry(trained):
    """A copy of the denoiser that can be told how many pixels fit into memory."""

    def make(most):
        denoiser = pickle.loads(pickle.dumps(trained))
        denoiser.network_ = Hungry(denoiser.network_, most)
        return denoiser

    return make


@pytest.fixture(scope="module")
def counts():
    return noisy_of(lattices(2, 130, 90, level=5.0))


def test_out_of_memory_is_answered_by_smaller_tiles(trained, hungry, counts):
    expected = trained.transform(counts)
    with pytest.warns(RuntimeWarning, match="'cpu' is out of memory with tiles of") as caught:
        result = hungry(80 * 80).transform(counts)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    # once for the whole call: what fits one image fits the next
    caught = [w for w in caught if w.category is RuntimeWarning]  # a step of training is too few
    assert [str(w.message) for w in caught] == [
        "'cpu' is out of memory with tiles of 130 bins: going on with 65."
    ]
    assert caught[0].filename == __file__


def test_out_of_memory_more_than_once(trained, hungry, counts):
    narrow = counts[:1, :, :60]
    with pytest.warns(RuntimeWarning) as caught:
        result = hungry(60 * 60).transform(narrow)
    assert sum(w.category is RuntimeWarning for w in caught) == 2
    np.testing.assert_allclose(result, trained.transform(narrow), rtol=1e-5, atol=1e-5)


def test_memory_for_no_tile_at_all(hungry, counts):
    with (
        pytest.warns(RuntimeWarning, match="out of memory"),
        pytest.raises(MemoryError, match="not even with tiles of 56 bins. Free memory"),
    ):
        hungry(0).transform(counts)
    # of an image smaller than the smallest tile there is nothing to cut
    with pytest.raises(MemoryError, match="not even with tiles of 10 bins"):
        hungry(0).transform(counts[:, :10, :10])


def test_other_errors_are_not_taken_for_a_lack_of_memory(trained, counts):
    denoiser = pickle.loads(pickle.dumps(trained))
    denoiser.network_.head = nn.Conv2d(99, 1, 1)
    with pytest.raises(RuntimeError, match="99"):
        denoiser.transform(counts)


def test_the_trained_network_stays_as_it_was(trained, counts):
    before = {k: v.clone() for k, v in trained.network_.state_dict().items()}
    with torch.inference_mode():
        direct = trained.network_(torch.from_numpy(np.asarray(counts))[:, None])[:, 0].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", WorseThanConstantWarning)
        np.testing.assert_allclose(trained.transform(counts), direct, rtol=1e-5, atol=1e-6)
    after = trained.network_.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad for p in trained.network_.parameters())


@pytest.mark.parametrize("network", ["unet", "dncnn", "small_unet", "fourier_unet"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (33, 5), (47, 31)])
def test_images_of_any_size(network, shape):
    options = {"unet": {"n_scales": 4, "base_channels": 2}, "fourier_unet": {"base_channels": 2}}
    denoiser = SBDDenoiser(
        network=network, training_pixel_size=24.9, patch_size=16 * 25, batch_size=1,
        steps_per_epoch=1, max_epochs=1, orientations=4, device="cpu", random_state=0,
        **options.get(network, {}),
    ).fit(lattices(2, 20, 20))  # fmt: skip
    X = noisy_of(lattices(2, *shape, level=5.0))
    denoised = denoiser.transform(X)
    assert denoised.shape == X.shape
    assert np.isfinite(denoised).all()
