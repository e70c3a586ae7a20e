"""The windowed Fourier filter in rows, columns and time: against known answers."""

import numpy as np
import pytest
import torch

from temdenoise import WindowedFourierDenoiser, psnr
from temdenoise.denoisers._classical import movie_filter
from temdenoise.networks import windowed_fourier_movie
from temdenoise.networks.windowed_fourier import windowed_fourier_threshold
from temdenoise.networks.windowed_fourier_movie import movie_threshold, movie_wiener
from temdenoise.testing import check_denoiser

BLOCK = {"window": 12, "stride": 4, "depth": 6, "step": 2}


def drifting(n_frames, height=100, width=90, *, level=0.45, speed=(0.6, -0.4), period=16.0):
    """Rates of a lattice that drifts by `speed` rows and columns a frame."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    frames = []
    for k in range(n_frames):
        y, x = rows - speed[0] * k, columns - speed[1] * k
        wave = np.cos(2 * np.pi * (x + 0.3 * y) / period) + np.cos(2 * np.pi * y / period)
        frames.append(level * (1 + 0.25 * wave))
    return np.array(frames, dtype=np.float32)


def poisson(rates, seed=0):
    return np.random.default_rng(seed).poisson(rates).astype(np.float32)


def filtered(counts, dose=None, **options):
    counts = torch.as_tensor(counts)
    dose = counts.mean((1, 2)) if dose is None else torch.as_tensor(dose)
    return movie_threshold(counts, dose, **(BLOCK | options)).numpy()


@pytest.mark.parametrize("n_frames", [1, 2, 5, 13])
@pytest.mark.parametrize(("depth", "step"), [(2, 1), (6, 2), (9, 3), (7, 7)])
def test_threshold_zero_returns_the_movie(n_frames, depth, step):
    counts = poisson(np.full((n_frames, 31, 40), 2.0))
    estimate = filtered(counts, depth=depth, step=step, threshold=0.0)
    np.testing.assert_allclose(estimate, counts, atol=3e-5)


def test_blocks_of_one_frame_are_the_filter_of_images():
    counts = torch.from_numpy(poisson(drifting(3, 40, 50, level=3.0)))
    expected = windowed_fourier_threshold(counts[:, None], 12, 4, 2.0)[:, 0]
    result = filtered(counts, depth=1, step=1, threshold=2.0)
    np.testing.assert_allclose(result, expected, atol=2e-5)


def test_the_noise_power_is_that_of_the_block():
    # Without a scene, |U|**2 over the noise power is exponential: exp(-2) of them pass 2. The
    # power kept is that of those, (1 + 2) exp(-2) of all; it is one where nothing is dropped.
    counts = poisson(np.full((24, 60, 60), 4.0))
    dose = np.full(24, 4.0, dtype=np.float32)
    # blocks side by side do not average their estimates: what is kept is a share of the noise
    options = {"window": 20, "stride": 20, "depth": 8, "step": 8}
    even = filtered(counts, dose, threshold=1e9, **options)
    rest = filtered(counts, dose, threshold=2.0, **options) - even
    weight = np.outer(*[np.sin(np.pi * (np.arange(20) + 0.5) / 20)] * 2)
    in_time = np.sin(np.pi * (np.arange(8) + 0.5) / 8)
    weights = np.tile(weight, (3, 3)) * np.tile(in_time, 3)[:, None, None]
    full = filtered(counts, dose, threshold=0.0, **options) - even
    share = np.sum((rest * weights) ** 2) / np.sum((full * weights) ** 2)
    assert share == pytest.approx(3 * np.exp(-2), rel=0.05)


def test_the_noise_power_of_the_first_frames_is_that_of_fewer():
    # Mirrored frames would bring their noise twice, and pass.
    counts = poisson(np.full((8, 60, 60), 4.0))
    estimate = filtered(counts, np.full(8, 4.0, dtype=np.float32), threshold=14.0)
    assert (estimate - 4).std(axis=(1, 2)).max() < 0.3 * 2


def test_pure_noise_becomes_flat_and_a_drifting_lattice_stays():
    clean = drifting(12, 60, 60, level=20.0)
    exact = filtered(clean, threshold=1.0)
    assert np.sqrt(np.mean((exact - clean) ** 2)) < 0.02 * 20
    noisy = poisson(clean)
    gain = np.mean((noisy - clean) ** 2) / np.mean((filtered(noisy, threshold=6.0) - clean) ** 2)
    assert gain > 12


def test_frames_that_differ_in_dose_are_one_scene():
    rng = np.random.default_rng(1)
    factors = rng.uniform(0.3, 2, 12)[:, None, None].astype(np.float32)
    scene = drifting(12, 60, 60, level=3.0)
    clean = factors * scene
    # the exact scene comes back, whatever the doses: blocks see one lattice, no flicker
    steady = filtered(scene, scene.mean((1, 2)), threshold=20.0)
    flickering = filtered(clean, clean.mean((1, 2)), threshold=20.0)
    rms = np.sqrt(np.mean((flickering / factors - scene) ** 2))
    assert rms < 1.5 * np.sqrt(np.mean((steady - scene) ** 2)) + 0.02


def test_a_blank_frame_is_blank_and_spoils_no_other():
    clean = drifting(9, 60, 60, level=3.0)
    counts = poisson(clean)
    counts[4] = 0
    estimate = filtered(counts, threshold=6.0)
    assert not estimate[4].any()
    others = np.arange(9) != 4
    error = np.mean((estimate - clean)[others] ** 2)
    assert error < np.mean((counts - clean)[others] ** 2) / 6


def test_an_all_dark_movie_stays_dark():
    X = np.zeros((4, 70, 80))
    assert not WindowedFourierDenoiser(n_frames=3).fit(X).transform(X).any()


def test_wiener_gain_is_the_share_of_the_signal():
    # One block, one window: the powers of signal and noise are known.
    n, depth, level = 24, 6, 5.0
    wave = np.cos(2 * np.pi * 4 * np.arange(n) / n)
    clean = level + np.broadcast_to(wave, (depth, n, n))
    w = np.sin(np.pi * (np.arange(n) + 0.5) / n)
    t = np.sin(np.pi * (np.arange(depth) + 0.5) / depth)
    weights = t[:, None, None] * np.outer(w, w)
    mean = np.sum(clean * np.outer(w, w) * t[:, None, None]) / np.sum(weights)
    spectrum = np.fft.fftn((clean - mean) * weights)
    power = np.abs(spectrum) ** 2
    gain = power / (power + mean * np.sum(weights**2))
    expected = mean + np.fft.ifftn(spectrum * gain).real / weights
    counts = torch.tensor(clean, dtype=torch.float32)
    result = movie_wiener(
        counts, counts, torch.full((depth,), level), window=n, stride=n, depth=depth, step=depth
    )
    inside = (slice(1, -1), slice(4, -4), slice(4, -4))  # elsewhere it is divided by about zero
    np.testing.assert_allclose(result.numpy()[inside], expected[inside], atol=2e-3)


def test_one_frame_is_bit_identical_to_the_filter_of_images():
    noisy = poisson(drifting(2))
    default = WindowedFourierDenoiser(device="cpu").fit(noisy)
    one = WindowedFourierDenoiser(n_frames=1, device="cpu").fit(noisy)
    np.testing.assert_array_equal(one.transform(noisy), default.transform(noisy))
    assert one._context == 0
    assert not hasattr(one, "binning_")


@pytest.mark.parametrize("mode", ["wiener", "hard", "soft"])
def test_more_frames_are_better(mode):
    clean = drifting(20)
    noisy = poisson(clean)
    scores = []
    for n_frames in (1, 5, 10):
        denoiser = WindowedFourierDenoiser(n_frames=n_frames, mode=mode, binning=4, window_size=96)
        scores.append(psnr(clean, denoiser.fit(noisy).transform(noisy)).mean())
    assert scores[1] > scores[0] + (1.0 if mode == "soft" else 1.5)
    assert scores[2] > scores[1] + 0.7


@pytest.mark.filterwarnings("ignore::temdenoise.denoisers.FramesWarning")  # of even frames
@pytest.mark.parametrize("mode", ["wiener", "hard"])
@pytest.mark.parametrize("n_frames", [2, 5, 9])
def test_context_is_what_a_frame_depends_on(mode, n_frames):
    denoiser = WindowedFourierDenoiser(n_frames=n_frames, mode=mode, binning=4, window_size=32)
    reach = denoiser._context
    passes = 2 if mode == "wiener" else 1
    assert passes * (n_frames - 1) <= reach <= passes * (n_frames - 1) + n_frames // 2
    noisy = poisson(drifting(2 * reach + 8, 32, 32))
    denoised = denoiser.fit(noisy).transform(noisy)
    k = reach + 3
    other = noisy.copy()
    other[np.abs(np.arange(len(noisy)) - k) > reach] = 3
    np.testing.assert_allclose(denoiser.transform(other)[k], denoised[k], atol=1e-6)
    # neighbours do have an influence
    other = noisy.copy()
    other[k + 1] = 3
    assert np.abs(denoiser.transform(other)[k] - denoised[k]).max() > 1e-3


def test_parts_of_a_movie_give_what_the_whole_gives(monkeypatch):
    noisy = poisson(drifting(40, 40, 36))
    denoiser = WindowedFourierDenoiser(n_frames=5, binning=2, window_size=24, device="cpu")
    expected = denoiser.fit(noisy).transform(noisy)
    monkeypatch.setattr(movie_filter, "_BINS", 1)
    np.testing.assert_allclose(denoiser.transform(noisy), expected, atol=1e-6)


def test_parts_cover_the_movie_and_bound_the_memory(monkeypatch):
    monkeypatch.setattr(movie_filter, "_BINS", 1000 * 60)
    f = movie_filter.MovieFilter(
        windows=[24], n_frames=9, threshold=0.8, mode="hard", halo=9, device=torch.device("cpu")
    )
    parts = f.parts(1001, 1000)
    assert np.concatenate([np.arange(w.start, w.stop) for _, w in parts]).tolist() == list(
        range(1001)
    )
    for given, wanted in parts:
        assert given.start == max(0, wanted.start - 9)
        assert given.stop == min(1001, wanted.stop + 9)
        assert given.start % 3 == 0  # blocks of a part are blocks of the whole
        assert given.stop - given.start <= 60


def test_tiles_give_what_the_whole_image_gives(monkeypatch):
    noisy = poisson(drifting(6, 150, 160))
    denoiser = WindowedFourierDenoiser(n_frames=3, binning=1, window_size=(12, 24), device="cpu")
    expected = denoiser.fit(noisy).transform(noisy)
    monkeypatch.setattr(movie_filter, "_TILE", 100)
    monkeypatch.setattr(movie_filter, "_HALOS", 4)
    np.testing.assert_allclose(denoiser.transform(noisy), expected, atol=2e-6)


def test_rows_of_windows_at_once_do_not_matter(monkeypatch):
    counts = poisson(drifting(7, 50, 60, level=3.0))
    expected = filtered(counts, threshold=3.0)
    monkeypatch.setattr(windowed_fourier_movie, "_IN_CACHE", 2**40)
    np.testing.assert_allclose(filtered(counts, threshold=3.0), expected, atol=1e-5)


def test_fewer_frames_than_a_block():
    clean = drifting(2)
    noisy = poisson(clean)
    one, nine = (
        WindowedFourierDenoiser(n_frames=n, binning=4, window_size=96).fit(noisy).transform(noisy)
        for n in (1, 9)
    )
    assert psnr(clean, nine).mean() > psnr(clean, one).mean() - 0.5


def test_bins_of_a_movie_are_those_of_fit():
    noisy = poisson(drifting(6))
    denoiser = WindowedFourierDenoiser(n_frames=3, window_size=96).fit(noisy)
    assert 2 <= denoiser.binning_ <= 6
    same = WindowedFourierDenoiser(n_frames=3, binning=denoiser.binning_, window_size=96)
    expected = same.fit(noisy).transform(noisy)
    np.testing.assert_array_equal(denoiser.transform(noisy), expected)
    # a known pixel size rules
    four = WindowedFourierDenoiser(n_frames=3, binning=4, window_size=96).fit(noisy)
    np.testing.assert_array_equal(denoiser.transform(noisy, pixel_size=6.22), four.transform(noisy))


@pytest.mark.parametrize("n_frames", [0, -1, 2.5, "many"])
def test_bad_n_frames(n_frames):
    with pytest.raises(ValueError, match="n_frames"):
        WindowedFourierDenoiser(n_frames=n_frames).fit(np.ones((3, 20, 20)))


def test_contract():
    check_denoiser(WindowedFourierDenoiser(n_frames=3, device="cpu"))
