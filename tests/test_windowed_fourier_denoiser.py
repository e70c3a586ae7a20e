"""WindowedFourierDenoiser against known answers; tests/test_denoisers_contract.py has the rest."""

import numpy as np
import pytest
import torch
from conftest import lattice_images

from temdenoise import LowPassDenoiser, WindowedFourierDenoiser, psnr
from temdenoise._band_limit import find_band_limit, find_binning
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers import windowed_fourier
from temdenoise.images import ImageStack
from temdenoise.networks.windowed_fourier import (
    windowed_fourier_threshold,
    windowed_fourier_wiener,
)


def poisson(clean, seed=0):
    return np.random.default_rng(seed).poisson(clean).astype(np.float32)


@pytest.fixture(scope="module")
def lattices():
    clean = lattice_images(2, 256, 240, period=24.0)
    return clean, poisson(clean)


@pytest.mark.parametrize("mode", ["wiener", "hard", "soft"])
def test_crystals_come_out_far_better_than_by_the_best_gaussian(lattices, mode):
    clean, noisy = lattices
    gaussians = (LowPassDenoiser(cutoff=c).fit(noisy).transform(noisy) for c in (0.02, 0.03, 0.045))
    best = max(psnr(clean, g).mean() for g in gaussians)
    result = WindowedFourierDenoiser(mode=mode).fit(noisy).transform(noisy)
    assert psnr(clean, result).mean() > best + {"wiener": 6, "hard": 5, "soft": 1}[mode]


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_it_is_bins_thresholded_and_interpolated(lattices, mode):
    _, noisy = lattices
    denoiser = WindowedFourierDenoiser(mode=mode, threshold=1.5, binning=4, window_size=(96, 120))
    bins = torch.from_numpy(bin_counts(noisy, 4))[:, None]
    estimates = [
        windowed_fourier_threshold(bins, n, n // 3, 1.5 * np.log(n**2 / 2), mode) for n in (24, 30)
    ]
    expected = unbin(sum(estimates)[:, 0].numpy() / 2 / 16, 4, noisy.shape[1:])
    np.testing.assert_allclose(denoiser.fit(noisy).transform(noisy), expected, atol=1e-5)


def test_wiener_gain_is_the_share_of_the_signal():
    # A cosine on a level, seen through one window that covers all of it: the powers are known.
    n, level, amplitude = 48, 5.0, 1.0
    wave = np.cos(2 * np.pi * 8 * np.arange(n) / n)
    clean = torch.tensor(level + amplitude * np.tile(wave, (n, 1)), dtype=torch.float32)[None, None]
    w = np.sin(np.pi * (np.arange(n) + 0.5) / n)
    power = np.abs(np.fft.rfft2(amplitude * wave * np.outer(w, w))) ** 2
    gain = power / (power + level * np.sum(np.outer(w, w) ** 2))
    spectrum = np.fft.rfft2(amplitude * wave * np.outer(w, w)) * gain
    expected = level + np.fft.irfft2(spectrum, s=(n, n)) / np.outer(w, w)
    result = windowed_fourier_wiener(clean, clean, n, n)[0, 0].numpy()
    inside = (slice(4, -4), slice(4, -4))  # at the window's edges single precision is divided by ~0
    # The cosine has a small share in the window's mean, which is not filtered.
    np.testing.assert_allclose(result[inside], expected[inside], atol=5e-3)


def test_soft_threshold_shortens_amplitudes():
    counts = torch.from_numpy(poisson(np.full((1, 1, 40, 40), 9.0)))
    hard, soft = (windowed_fourier_threshold(counts, 20, 10, 1.0, m) for m in ("hard", "soft"))
    nothing = windowed_fourier_threshold(counts, 20, 10, 1e9)
    # Lengths of |U| passing 1, |U| - 1 for |U|**2 exponential of mean 1: the powers are 2 exp(-1)
    # and 2 exp(-1) - 2 * integral of r * 2 r exp(-r**2) from 1 on + exp(-1) = 0.0960.
    shares = [float((x - nothing).square().mean()) for x in (hard, soft)]
    assert shares[1] / shares[0] == pytest.approx(0.0960 / (2 * np.exp(-1)), rel=0.15)
    with pytest.raises(ValueError, match="mode must be 'hard' or 'soft', got 'firm'"):
        windowed_fourier_threshold(counts, mode="firm")


def test_pixel_size_makes_lengths_nanometres(lattices):
    _, noisy = lattices
    in_pixels = WindowedFourierDenoiser(binning=3, window_size=(90, 120)).fit(noisy)
    in_nm = WindowedFourierDenoiser(binning=0.03, window_size=[0.9, 1.2], unit="nm").fit(noisy)
    expected = in_pixels.transform(noisy)
    np.testing.assert_array_equal(in_nm.transform(noisy, pixel_size=10), expected)
    np.testing.assert_array_equal(in_nm.transform(ImageStack(noisy, 10)), expected)
    with pytest.raises(ValueError, match="unit='nm' needs the pixel size: give pixel_size in pm"):
        in_nm.transform(noisy)
    # lengths in pixels stay what they are, whatever the pixel size
    np.testing.assert_array_equal(in_pixels.transform(noisy, pixel_size=10), expected)
    # "auto" is 0.025 nm then: four pixels of 6.22 pm.
    auto = WindowedFourierDenoiser().fit(noisy).transform(noisy, pixel_size=6.22)
    four = WindowedFourierDenoiser(binning=4).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(auto, four)


def test_fractional_bins(lattices):
    clean, noisy = lattices
    result = WindowedFourierDenoiser(binning=3.5).fit(noisy).transform(noisy)
    assert psnr(clean, result).mean() > 30


@pytest.mark.parametrize("mode", ["wiener", "hard"])
def test_tiles_give_what_the_whole_image_gives(lattices, mode, monkeypatch):
    _, noisy = lattices
    denoiser = WindowedFourierDenoiser(mode=mode, binning=1, window_size=(24, 12)).fit(noisy)
    expected = denoiser.transform(noisy)
    monkeypatch.setattr(windowed_fourier, "_TILE", 150)
    np.testing.assert_allclose(denoiser.transform(noisy), expected, atol=2e-6)


@pytest.mark.parametrize("frequency", [4 / 64, 12 / 64, 28 / 64])
def test_band_limit_is_the_highest_frequency_there_is(frequency):
    rows, columns = np.mgrid[:320, :320]
    clean = 1 + 0.4 * np.cos(2 * np.pi * (frequency * columns + 0.03 * rows))
    # the window spreads a spot over its neighbours, 1/64 each
    assert find_band_limit(poisson(clean)) == pytest.approx(frequency, abs=2.1 / 64)


def test_pure_shot_noise_has_no_band():
    limits = [find_band_limit(poisson(np.full((200, 200), 0.3), seed)) for seed in range(20)]
    assert limits == [0.0] * 20
    assert find_band_limit(np.zeros((50, 50))) == 0


def test_binning_keeps_fine_detail():
    rows, columns = np.mgrid[:256, :256]
    fine = 2 + np.cos(2 * np.pi * columns / 4) + np.cos(2 * np.pi * rows / 4)
    assert find_binning(poisson(fine)) == 1
    coarse = 2 + np.cos(2 * np.pi * columns / 32) + np.cos(2 * np.pi * rows / 32)
    assert 2 <= find_binning(poisson(coarse)) <= 5
    noisy = poisson(fine[None])
    result = WindowedFourierDenoiser().fit(noisy).transform(noisy)
    assert np.mean((result - fine) ** 2) < 0.02 * np.mean((noisy - fine) ** 2)


def test_all_zero_frames_stay_zero():
    X = np.zeros((1, 70, 80))
    assert not WindowedFourierDenoiser().fit(X).transform(X).any()


def test_windows_wider_than_the_image(lattices):
    _, noisy = lattices
    small = noisy[:, :30, :50]
    result = WindowedFourierDenoiser(binning=1, window_size=10_000).fit(small).transform(small)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), small.mean(axis=(1, 2)), rtol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binning": 0}, "binning"),
        ({"binning": 0.5}, "cannot be smaller than a pixel"),
        ({"window_size": ()}, "window_size must be"),
        ({"window_size": (24, -1)}, "window_size must be"),
        ({"window_size": "wide"}, "window_size"),
        ({"threshold": -1}, "threshold"),
        ({"mode": "best"}, "mode"),
        ({"device": "abacus"}, "device='abacus'"),
    ],
)
def test_bad_parameters(lattices, options, message):
    _, noisy = lattices
    with pytest.raises(ValueError, match=message):
        WindowedFourierDenoiser(**options).fit(noisy).transform(noisy)
    if "binning" in options:
        with pytest.raises(ValueError, match="binning"):
            WindowedFourierDenoiser(**options).fit(noisy).transform(noisy, pixel_size=1000)


def test_bad_pixel_size(lattices):
    _, noisy = lattices
    denoiser = WindowedFourierDenoiser(binning=0.02, unit="nm").fit(noisy)
    with pytest.raises(ValueError, match="0.02 nm at pixel_size=30 pm is 0.667 pixels"):
        denoiser.transform(noisy, pixel_size=30)
    with pytest.raises(ValueError, match="WindowedFourierDenoiser cannot find the pixel size"):
        denoiser.transform(noisy, pixel_size="auto")
    with pytest.raises(TypeError, match="pixel_size must be a number"):
        denoiser.transform(noisy, pixel_size="6 pm")
    for wrong in (0.03, 1e-6):
        with pytest.raises(ValueError, match="is it in nm or Angstrom"):
            denoiser.transform(noisy, pixel_size=wrong)
    with pytest.raises(ValueError, match="larger than the images of .*is pixel_size=1 in pm"):
        WindowedFourierDenoiser().fit(noisy[:, :20, :20]).transform(
            noisy[:, :20, :20], pixel_size=1
        )
    with pytest.raises(ValueError, match=r"A bin of 500 pixels is larger .* pixels\.$"):
        WindowedFourierDenoiser(binning=500).fit(noisy).transform(noisy)
