"""The pixel size found from the electrons alone, with a network whose answer is known."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import lattice_images
from tiny_training import lattices

from temdenoise import PoissonNoise, SBDDenoiser, WindowedFourierDenoiser
from temdenoise.metrics import atom_f1_scorer, make_denoising_scorer
from temdenoise.networks import UNet


class OnePeriod(torch.nn.Module):
    """Keeps what has a period of six bins, and the mean: right for one pixel size only."""

    stride = grid = 1
    halo = 0

    def forward(self, x):
        h, w = x.shape[-2:]
        gy, gx = torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)
        radius = torch.hypot(gy, gx)
        keep = torch.exp(-(((6 * radius - 1) / 0.06) ** 2) / 2)
        keep[0, 0] = 1
        return torch.fft.irfft2(torch.fft.rfft2(x) * keep, s=(h, w))


@pytest.fixture
def denoiser():
    """Works on bins of 24 pm, in which it expects a lattice of 144 pm."""
    est = SBDDenoiser(
        network="unet", n_scales=1, base_channels=1, training_pixel_size=24.0, max_epochs=1,
        steps_per_epoch=1, batch_size=1, patch_size=8, random_state=0, device="cpu",
    ).fit(lattices(2, 16, 16, period=8.0, pixel_size=24.0))  # fmt: skip
    assert isinstance(est.network_, UNet)
    est.network_ = OnePeriod()
    return est


def movie(pixel_size, n=1, shape=(380, 400), level=0.6):
    """Counts of a lattice of 144 pm."""
    clean = lattice_images(n, *shape, level=level, period=144.0 / pixel_size)
    return PoissonNoise(random_state=0).sample(clean)


@pytest.mark.parametrize("pixel_size", [4.0, 6.2, 9.0])
def test_finds_the_pixel_size(denoiser, pixel_size):
    counts = movie(pixel_size)
    found = denoiser.estimate_pixel_size(counts)
    assert found == pytest.approx(pixel_size, rel=0.05)
    np.testing.assert_array_equal(
        denoiser.transform(counts, pixel_size="auto"), denoiser.transform(counts, pixel_size=found)
    )


def test_candidates(denoiser):
    counts = movie(6.0)
    assert denoiser.estimate_pixel_size(counts, candidates=[3.0, 9.0, 6.0]) == 6.0
    assert denoiser.estimate_pixel_size(counts, candidates=(5.0,)) == 5.0
    # close ones do not tie, though both would be denoised on bins of four pixels
    assert denoiser.estimate_pixel_size(counts, candidates=[5.7, 6.0, 6.3]) == 6.0
    for bad, message in (
        ([], "at least one"),
        ([6.0, -1.0], "positive"),
        ([100.0], "too coarse"),
    ):
        with pytest.raises(ValueError, match=message):
            denoiser.estimate_pixel_size(counts, candidates=bad)


def test_the_mask_hides(denoiser):
    counts = movie(6.0, n=3)
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:, :120, :160] = True
    mask[1] = True
    mask[1, 0, 0] = False  # nearly nothing of this frame
    spoiled = np.where(mask, 500.0, counts).astype(np.float32)
    expected = denoiser.estimate_pixel_size(counts, mask=mask)
    assert expected == pytest.approx(6.0, rel=0.05)
    assert denoiser.estimate_pixel_size(spoiled, mask=mask) == expected
    spoiled[mask] = 0.5  # not even whole numbers
    assert denoiser.estimate_pixel_size(spoiled, mask=mask) == expected


def test_frames_whose_middle_is_masked_are_left_out(denoiser, monkeypatch):
    monkeypatch.setattr("temdenoise.denoisers._trained.pixel_size._CROP", 160)
    counts = movie(6.0, n=2)
    mask = np.zeros(counts.shape, dtype=bool)
    mask[0, 100:400, 100:400] = True
    found = denoiser.estimate_pixel_size(counts, mask=mask)
    assert found == denoiser.estimate_pixel_size(counts[1:])
    mask[1] = mask[0]
    with pytest.raises(ValueError, match="mask hides the middle of every image"):
        denoiser.estimate_pixel_size(counts, mask=mask)


def test_a_long_movie_is_sampled(denoiser, monkeypatch):
    seen = []
    monkeypatch.setattr(
        type(denoiser), "_denoise", lambda self, a, f, network: seen.append(f) or np.zeros_like(a)
    )
    with pytest.warns(UserWarning, match="no detail that shows their scale"):
        denoiser.estimate_pixel_size(np.ones((50, 20, 20)), candidates=[5.0, 6.0])
    assert len(seen) == 16


@pytest.mark.parametrize("seed", range(3))
def test_vacuum_tells_no_scale(denoiser, seed):
    vacuum = np.random.default_rng(seed).poisson(0.6, size=(1, 300, 300))
    with pytest.warns(UserWarning, match="images hold no detail.* Give pixel_size in pm"):
        denoiser.estimate_pixel_size(vacuum)


def test_the_end_of_the_range_is_told(denoiser):
    with pytest.warns(UserWarning, match=r"at the end of the range tried \(2.5 to 12 pm\)"):
        found = denoiser.transform(movie(12.4), pixel_size="auto")
    assert found.shape == (1, 380, 400)


def test_scorers_hand_the_size_found_to_the_metric(denoiser):
    noisy, clean = movie(6.0, level=1.2), lattice_images(1, 380, 400, level=1.2, period=24.0)
    found = denoiser.estimate_pixel_size(noisy)
    seen = make_denoising_scorer(scale_seen)(denoiser, noisy, clean, pixel_size="auto")
    assert seen == found
    score = atom_f1_scorer(denoiser, noisy, clean, pixel_size="auto")
    assert score == atom_f1_scorer(denoiser, noisy, clean, pixel_size=found) > 0.9
    blur = WindowedFourierDenoiser().fit(noisy)
    with pytest.raises(ValueError, match="WindowedFourierDenoiser cannot find the pixel size"):
        atom_f1_scorer(blur, noisy, clean, pixel_size="auto")


def scale_seen(clean, denoised, pixel_size=None):
    return pixel_size


@pytest.mark.parametrize("bin_size", [24.0, 8.0, 1.5])
def test_default_candidates_fit_the_bins(denoiser, bin_size):
    denoiser.bins_ = replace(denoiser.bins_, size=bin_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nothing found in so small an image
        found = denoiser.estimate_pixel_size(movie(6.0, n=1, shape=(60, 60)))
    assert 0 < found <= bin_size


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # as it should
@pytest.mark.parametrize("change", [lambda x: x / 3, lambda x: x + 0.5])
def test_needs_whole_counts(denoiser, change):
    X = change(movie(6.0, n=1, shape=(60, 60)))
    for call in (denoiser.estimate_pixel_size, lambda x: denoiser.transform(x, pixel_size="auto")):
        with pytest.raises(ValueError, match="only be found from electron counts"):
            call(X)
