import os
import pickle

import numpy as np
import pytest
import torch
from conftest import lattice_images
from scipy import ndimage, stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from temdenoise import PoissonGaussianNoise, analyze_noise, to_counts
from temdenoise.noise._differences import autocorrelation, collect, leftover
from temdenoise.noise._vacuum import (
    dispersion_test,
    find_vacuum,
    separable_correlation,
    vacuum_correlation,
    value_step,
)
from temdenoise.plotting import NoiseAnalysisDisplay

CAMERA = {"gain": 12.0, "offset": 500.0, "read_noise": 30.0}


def lattice(n_images, *, size=128, level=10.0, speed=0.0, contrast=0.8, period=16.0):
    """Mean counts of a lattice that moves by `speed` pixels from frame to frame."""
    rows, columns = np.mgrid[:size, :size]
    phase = 2 * np.pi / period
    frames = []
    for t in range(n_images):
        wave = np.cos(phase * (columns + speed * t)) + np.cos(phase * (rows + 0.7 * speed * t))
        frames.append(level * (1 + contrast * wave / 2))
    return np.array(frames)


def stored(rate, seed=0, *, gain, offset, read_noise):
    """Values of a camera, drawn without the library."""
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(rate) + offset + read_noise * rng.standard_normal(rate.shape)


def deviations(found, truth, names):
    return [
        abs(getattr(found, name) - truth[name]) / getattr(found, name + "_se") for name in names
    ]


@pytest.mark.parametrize(
    "n_images, speed, method",
    [(1, 0, "spatial"), (2, 0, "temporal"), (3, 0, "temporal"), (8, 0, "temporal")]
    + [(8, 2.5, "spatial")],
)
def test_line_of_a_known_camera(n_images, speed, method):
    movie = stored(lattice(n_images, speed=speed), **CAMERA)
    found = analyze_noise(movie)
    truth = CAMERA | {"intercept": 30.0**2 - 12 * 500}
    assert found.method == method
    assert found.gain_se < 1.5
    assert max(deviations(found, truth, ["gain", "intercept"])) < 3.5
    assert not found.counted
    assert not found.is_poisson()
    assert found.problems == ()
    assert found.check() is found
    # The line is known far better where the data are than at its ends.
    assert found.variance(movie.mean()) == pytest.approx(12 * 120 + 900, rel=0.03)


def test_errors_of_the_line_are_those_of_repeated_draws():
    rate = lattice(4, size=64)
    found = [analyze_noise(stored(rate, seed, **CAMERA), vacuum=None) for seed in range(40)]
    gains = np.array([f.gain for f in found])
    assert gains.mean() == pytest.approx(12, abs=3.5 * gains.std() / np.sqrt(40))
    assert np.mean([f.gain_se for f in found]) == pytest.approx(gains.std(), rel=0.4)


def test_read_noise_does_not_bend_the_line():
    # Against the noisy mean itself the slope would be g**2 N / variance of the slope given here:
    # with read noise of three quarters of the variance, a quarter of the gain on an even field.
    rate = lattice(6, level=2.0, contrast=0.5)
    truth = {"gain": 10.0, "offset": 0.0, "read_noise": 25.0}
    found = [analyze_noise(stored(rate, seed, **truth), vacuum=None) for seed in range(12)]
    gains = np.array([f.slope for f in found])
    assert gains.mean() == pytest.approx(10, abs=3.5 * gains.std() / np.sqrt(12))
    assert gains.std() < 2


def test_skewness_parts_offset_and_read_noise():
    movie = stored(lattice(8), **CAMERA)
    found = analyze_noise(movie)
    assert found.split == "skewness"
    assert max(deviations(found, CAMERA, ["offset", "read_noise"])) < 3.5
    assert found.offset_se < 30
    # A rate of a thousand electrons leaves no skewness to see: said, not guessed.
    bright = analyze_noise(stored(lattice(3, level=1000.0), **CAMERA))
    assert bright.split == "no read noise"
    assert bright.read_noise == 0
    assert any("cannot be told apart" in note for note in bright.notes)


@pytest.mark.parametrize(
    "known, name",
    [({"offset": 500.0}, "read_noise"), ({"read_noise": 30.0}, "offset")]
    + [({"offset": 500.0, "read_noise": 30.0}, "gain"), ({"gain": 12.0}, "intercept")],
)
def test_what_is_known_sharpens_the_rest(known, name):
    movie = stored(lattice(8), 1, **CAMERA)
    free, found = analyze_noise(movie), analyze_noise(movie, **known)
    for key, value in known.items():
        assert getattr(found, key) == value
    truth = CAMERA | {"intercept": 30.0**2 - 12 * 500}
    assert deviations(found, truth, [name])[0] < 3.5
    assert getattr(found, name + "_se") < 1.1 * getattr(free, name + "_se")


@pytest.mark.parametrize("n_images", [1, 5])
@pytest.mark.parametrize("level", [0.45, 3.0])
def test_counts_are_poisson(n_images, level):
    movie = np.random.default_rng(1).poisson(lattice(n_images, level=level)).astype(np.uint8)
    found = analyze_noise(movie)
    assert found.is_poisson()
    assert (found.gain, found.offset, found.read_noise) == (1, 0, 0)
    assert (found.step, found.is_integer, found.split) == (1, True, "counted")
    assert found.p_value > 0.001
    assert abs(found.slope - 1) < 3.5 * found.slope_se
    assert found.summary().startswith("Poisson counts as stored: yes.")
    assert np.abs(found.correlation[[2, 3], [3, 2]]).max() < 5 * found.correlation_se


def test_even_field_of_counts_is_poisson_though_it_has_no_line():
    movie = np.random.default_rng(0).poisson(1.6, (3, 64, 64))
    assert analyze_noise(movie).is_poisson()
    # The same of a camera tells no gain.
    found = analyze_noise(stored(np.full((3, 64, 64), 10.0), **CAMERA))
    assert found.problems
    with pytest.raises(ValueError, match="cannot be found.*Give the gain"):
        found.check()


def test_small_frames_are_rarely_misjudged():
    rate, few = lattice(1, size=32, level=1.0), lattice(1, size=64, level=0.1)
    rng = np.random.default_rng(0)
    assert np.mean([analyze_noise(rng.poisson(rate)).is_poisson() for _ in range(30)]) > 0.9
    camera = {"gain": 7.0, "offset": 3.0, "read_noise": 2.0}
    found = [analyze_noise(np.rint(stored(few, seed, **camera))) for seed in range(15)]
    assert not any(f.counted for f in found)


@pytest.mark.parametrize("gain, offset", [(40, 0), (40, 1000), (0.25, 0), (0.3, 7.5), (3, 2)])
def test_scaled_counts_are_recognised_exactly(gain, offset):
    electrons = np.random.default_rng(2).poisson(lattice(5, level=2.0))
    movie = (gain * electrons + offset).astype(np.float32)
    found = analyze_noise(movie)
    assert found.counted
    assert not found.is_poisson()
    assert found.gain == pytest.approx(gain, rel=1e-5)
    assert found.offset == pytest.approx(offset, abs=1e-4)
    assert "Whole electrons" in found.summary()
    counts, noise = to_counts(movie, return_noise=True)
    np.testing.assert_array_equal(counts, electrons)
    assert counts.dtype == np.float32
    np.testing.assert_allclose(noise.gain_ * counts + noise.offset_, movie, rtol=1e-5)


@pytest.mark.parametrize("spoil", ["smooth", "doubled", "overdispersed", "underdispersed"])
def test_other_integers_are_not_poisson(spoil):
    rng = np.random.default_rng(3)
    rate = lattice(5, level=4.0)
    if spoil == "smooth":
        movie = np.rint(ndimage.uniform_filter(rng.poisson(rate).astype(float), (0, 2, 2)))
    elif spoil == "doubled":
        movie = 2 * rng.poisson(rate)
    elif spoil == "overdispersed":
        movie = rng.negative_binomial(4, 4 / (4 + rate))
    else:
        movie = rng.binomial(8, rate / 8)
    found = analyze_noise(movie)
    assert not found.is_poisson()
    assert found.p_value < 1e-6 or found.counted  # doubled counts are counts


def test_dispersion_test_keeps_its_level_and_measures_the_index():
    rng = np.random.default_rng(0)
    # Few electrons need many pixels for the normal law.
    for rate, shape in ((0.05, (121, 120)), (0.45, (61, 60)), (5.0, (41, 40))):
        region = np.ones(shape, bool)
        p_values = [dispersion_test(rng.poisson(rate, (1, *shape)), region)[2] for _ in range(300)]
        assert stats.kstest(p_values, "uniform").pvalue > 0.001
    # Negative binomial: variance over mean is 1 + mean / n.
    index, error, p_value = dispersion_test(
        rng.negative_binomial(2, 2 / 2.2, (50, 40, 40)), np.ones((40, 40), bool)
    )
    assert index == pytest.approx(1.1, abs=5 * error)
    assert p_value < 1e-6
    # A slope is not taken for noise.
    slope = np.broadcast_to(np.linspace(50, 150, 40), (50, 40, 40))
    index, error, _ = dispersion_test(rng.poisson(slope), np.ones((40, 40), bool))
    assert index == pytest.approx(1, abs=4 * error)
    assert np.isnan(dispersion_test(np.zeros((1, 8, 8)), np.ones((8, 8), bool))[0])


def test_correlation_of_blurred_noise():
    rng = np.random.default_rng(0)
    kernel = np.array([0.25, 0.5, 0.25])
    white = rng.standard_normal((6, 200, 200))
    rows = ndimage.correlate1d(white, kernel, axis=1)
    expected = np.correlate(kernel, kernel, "full") / (kernel**2).sum()
    rho, error = vacuum_correlation(rows, np.ones((200, 200), bool))
    np.testing.assert_allclose(rho[:, 2], [*expected[[0, 1, 2, 3, 4]]], atol=5 * error)
    np.testing.assert_allclose(rho[2, [0, 1, 3, 4]], 0, atol=5 * error)

    # From neighbouring pixels of one frame, for the correlation of direct neighbours alone.
    for weight in (0.0, 0.3):
        noise = white[:1] + weight * np.roll(white[:1], 1, axis=2)
        along = leftover(noise, None, temporal=False)[1]
        rho, error, factor = separable_correlation(along, noise.size)
        truth = weight / (1 + weight**2)
        assert error == 3 / 200
        assert rho[2, 3] == pytest.approx(truth, abs=0.02)
        assert rho[3, 2] == pytest.approx(0, abs=0.02)
        assert factor == pytest.approx(1 - 4 / 3 * truth, abs=0.03)


def test_correlated_noise_is_measured_and_said():
    noise = np.random.default_rng(0).standard_normal((1, 256, 256))
    rate = lattice(1, size=256, level=100.0)
    noise = (noise + 0.3 * np.roll(noise, 1, axis=2)) / np.sqrt(1.09)
    movie = 5 * (rate + np.sqrt(rate) * noise) + 20  # variance 25 rate: gain 5, offset 20
    found = analyze_noise(movie)
    assert found.gain == pytest.approx(5, abs=3.5 * found.gain_se + 0.1)
    assert "correlated" in found.caveats[0]
    with pytest.warns(UserWarning, match="correlated"):
        to_counts(movie)


def test_differences_are_those_of_the_formulas():
    rng = np.random.default_rng(0)
    movie = rng.poisson(5.0, (4, 32, 40)).astype(np.float32)
    x = movie.astype(np.float64)
    mask = rng.random(movie.shape) < 0.05
    options = {"levels": (-np.inf, np.inf), "n_bins": 6}

    def total(sums):
        return [s.sum() for s in (sums.n, sums.mean, sums.variance, sums.third)]

    d = x[:-2] - 2 * x[1:-1] + x[2:]
    keep = ~(mask[:-2] | mask[1:-1] | mask[2:])
    mean = (x[:-2] + 4 * x[1:-1] + x[2:]) / 6
    expected = [keep.sum(), mean[keep].sum(), (d[keep] ** 2).sum() / 6, (d[keep] ** 3).sum() / -6]
    np.testing.assert_allclose(total(collect(movie, mask, temporal=True, **options)), expected)

    image = x[:1]
    rows = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    d = rows[..., :-2] - 2 * rows[..., 1:-1] + rows[..., 2:]
    rows = image[:, :-2] + 4 * image[:, 1:-1] + image[:, 2:]
    mean = (rows[..., :-2] + 4 * rows[..., 1:-1] + rows[..., 2:]) / 36
    expected = [d.size, mean.sum(), (d**2).sum() / 36, (d**3).sum() / 36]
    found = total(collect(movie[:1], None, temporal=False, **options))
    np.testing.assert_allclose(found, expected)
    # An image that changes steadily, in time or along rows and columns, is not seen.
    t, row, column = np.ogrid[:5, :16, :16]
    steady = (t * (row - 3) + 2 * column * row + row).astype(np.float32)
    for temporal in (True, False):
        sums = collect(steady, None, temporal=temporal, **options)
        np.testing.assert_allclose(sums.variance, 0)


def test_autocorrelation_is_the_sum_over_pairs():
    image = np.random.default_rng(0).standard_normal((7, 5))
    products = autocorrelation(image, 3)
    assert products.shape == (7, 7)
    assert products[3, 3] == pytest.approx((image**2).sum())
    assert products[3 + 2, 3 - 1] == pytest.approx((image[2:, :-1] * image[:-2, 1:]).sum())


def test_jumps_between_frames_are_not_taken_for_noise():
    # Each frame at a place of its own: only neighbouring pixels tell the noise.
    rng = np.random.default_rng(0)
    full = lattice(1, size=160, level=200.0, period=20.0)[0]
    shifts = rng.integers(0, 30, (6, 2))
    rate = np.array([full[y : y + 128, x : x + 128] for y, x in shifts])
    movie = rng.poisson(rate)
    found = analyze_noise(movie)
    assert found.method == "spatial"
    assert any("frames differ" in note for note in found.notes)
    assert found.is_poisson()
    forced = analyze_noise(movie, method="temporal")
    assert forced.structure > 0.5
    assert any("of image or scan noise" in problem for problem in forced.problems)


def test_mask_keeps_a_label_out():
    movie = np.random.default_rng(0).poisson(lattice(4, level=1.0)).astype(np.float32)
    mask = np.zeros(movie.shape[1:], bool)
    mask[:20, :50] = True
    labelled = movie.copy()
    labelled[:, mask] = np.random.default_rng(1).integers(0, 256, (4, mask.sum()))
    assert not analyze_noise(labelled).is_poisson()
    found = analyze_noise(labelled, mask=mask)
    assert found.is_poisson()
    assert not found.vacuum[mask].any()
    assert found.gain == analyze_noise(movie, mask=mask).gain
    # A mask of stripes leaves no clean rectangle, one that wanders leaves less than each frame.
    stripes = np.zeros(movie.shape[1:], bool)
    stripes[::5] = True
    assert analyze_noise(movie, mask=stripes).is_poisson()
    stripes[:, 2:] = True
    stripes[1::2, 2:6] = False
    found = analyze_noise(movie, mask=stripes)
    np.testing.assert_array_equal(found.vacuum, ~stripes)
    wandering = np.zeros(movie.shape, bool)
    for frame, hidden in enumerate(wandering):
        hidden[32 * frame : 32 * frame + 32] = True
    with pytest.raises(ValueError, match="trusted in all frames, got 0"):
        analyze_noise(movie, mask=wandering)


@pytest.mark.parametrize("kind", ["columns", "rows", "checkerboard", "windows"])
def test_a_mask_that_leaves_no_neighbours(kind):
    image = np.random.default_rng(7).poisson(5, size=(1, 96, 112))
    y, x = np.mgrid[:96, :112]
    mask = {
        "columns": x % 2 == 0,
        "rows": y % 3 == 0,
        "checkerboard": (x + y) % 2 == 0,
        "windows": (x % 2 == 0) & ((x > 7) | (y > 8)),
    }[kind]
    n_whole = 42 if kind == "windows" else 0  # 9 rows and 8 columns have 7 x 6
    with pytest.raises(ValueError, match=rf"mask leaves {n_whole} 3 x 3 neighbourhoods .* 64"):
        analyze_noise(image, mask=mask)
    # frames can be compared all the same, or those frames that are whole
    movie = np.random.default_rng(8).poisson(5, size=(3, 96, 112))
    assert analyze_noise(movie, mask=mask).is_poisson()
    only_first = np.zeros(movie.shape, dtype=bool)
    only_first[0] = mask
    assert analyze_noise(movie, mask=only_first, method="spatial").is_poisson()


def test_a_single_patch_says_nothing():
    image = np.random.default_rng(7).poisson(5, size=(1, 128, 160))
    mask = np.ones(image.shape[1:], dtype=bool)
    mask[:16, :20] = False
    found = analyze_noise(image, mask=mask)
    assert np.isnan(found.gain_se)
    assert not found.is_poisson()


def test_flattest_region_is_found():
    rate = lattice(4, level=2.0)
    rate[:, 70:, 80:] = 1.7  # an even corner
    movie = np.random.default_rng(0).poisson(rate)
    vacuum = find_vacuum(movie.astype(np.float32), None)
    rows, columns = np.nonzero(vacuum)
    assert vacuum.sum() == 32 * 32
    assert rows.min() >= 68
    assert columns.min() >= 78
    found = analyze_noise(movie)
    np.testing.assert_array_equal(found.vacuum, vacuum)
    assert found.vacuum_mean == pytest.approx(1.7, abs=0.1)
    edges, frequencies = found.histogram
    assert frequencies.sum() == 4 * 32 * 32
    inside = movie[:, vacuum]
    np.testing.assert_array_equal(frequencies, np.bincount(inside.ravel()))
    expected = stats.poisson(inside.mean()).pmf(np.arange(len(frequencies))) * inside.size
    np.testing.assert_allclose(found.expected_histogram(), expected, rtol=1e-6)


def test_vacuum_may_be_given():
    movie = np.random.default_rng(0).poisson(lattice(3, level=1.0))
    mask = np.zeros((128, 128), bool)
    mask[10:60, 20:90] = True
    by_mask, by_slices = (analyze_noise(movie, vacuum=v) for v in (mask, np.s_[10:60, 20:90]))
    np.testing.assert_array_equal(by_slices.vacuum, mask)
    assert by_mask.p_value == by_slices.p_value
    nothing = analyze_noise(movie, vacuum=None)
    assert nothing.vacuum is None
    assert nothing.histogram is None
    assert nothing.is_poisson()


def test_fitted_histogram_of_a_camera():
    rate = lattice(6, level=10.0)
    rate[:, 60:, 60:] = 10.0
    for offset, level in ((500.0, 1.0), (500.0, 30.0)):
        movie = np.rint(stored(level * rate, gain=12.0, offset=offset, read_noise=10.0))
        found = analyze_noise(movie, vacuum=np.s_[64:, 64:])
        _, frequencies = found.histogram
        expected = found.expected_histogram()
        assert expected.sum() == pytest.approx(frequencies.sum(), rel=0.01)
        assert np.abs(frequencies - expected).sum() < 0.1 * frequencies.sum()


def test_saturated_pixels_are_left_out():
    values = stored(lattice(6, level=10.0), gain=12.0, offset=20.0, read_noise=3.0)
    movie = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    assert (movie == 255).mean() > 0.01
    found = analyze_noise(movie)
    assert not found.used.all()
    assert found.used.any()
    assert found.saturated == pytest.approx((movie == 255).mean())
    assert "saturated" in found.caveats[0]
    assert found.gain == pytest.approx(12, abs=3.5 * found.gain_se)


@pytest.mark.parametrize("dtype", [np.int16, np.float64, ">u2"])
def test_dtypes_and_read_only_input(dtype):
    movie = stored(lattice(3), **CAMERA)
    movie = np.rint(movie).astype(dtype)
    movie.flags.writeable = False
    assert analyze_noise(movie[:, ::-1]).gain == pytest.approx(12, abs=3)


def test_negative_values_are_no_counts_but_have_a_gain():
    movie = stored(lattice(6, level=3.0), gain=12.0, offset=-50.0, read_noise=10.0)
    assert movie.min() < 0
    found = analyze_noise(movie)
    assert np.isnan(found.dispersion)
    assert not found.is_poisson()
    assert max(deviations(found, {"gain": 12, "offset": -50}, ["gain", "offset"])) < 3.5


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: x[0], "Expected 3D array, got 2D"),
        (lambda x: x[:0], "holds no image"),
        (lambda x: np.where(np.arange(64) == 5, np.nan, x), "NaN.*row 0, column 5"),
        (lambda x: x * 1j, "Complex"),
        (lambda x: x[:, :6], "at least 8 x 8"),
        (lambda x: x[:, :10, :10], "256 pixels trusted in all frames"),
        (lambda x: np.zeros_like(x), "constant: every pixel is 0.0"),
        (lambda x: np.full_like(x, 7), "constant: every pixel is 7.0"),
        (lambda x: np.repeat(x[:1], 4, axis=0), "copies of each other"),
        (lambda x: np.where(x > 0, 255, 0), "clipped at every brightness"),
    ],
)
def test_movies_without_noise_to_measure_are_refused(change, words):
    movie = np.random.default_rng(0).poisson(5.0, (4, 64, 64))
    for function in (analyze_noise, to_counts):
        with pytest.raises(ValueError, match=words):
            function(change(movie))


@pytest.mark.parametrize(
    "parameters, error, words",
    [
        ({"vacuum": "dark"}, ValueError, "vacuum must be"),
        ({"vacuum": np.ones((3, 3), bool)}, ValueError, "vacuum must be"),
        ({"vacuum": np.s_[:4, :4]}, ValueError, "holds 16 trusted pixels"),
        ({"method": "median"}, ValueError, "method must be"),
        ({"gain": 0.0}, ValueError, "gain must be positive"),
        ({"read_noise": -1.0}, ValueError, "read_noise must be not negative"),
        ({"offset": np.nan}, ValueError, "offset must be finite"),
        ({"offset": "1"}, TypeError, "offset must be a number"),
        ({"mask": np.ones((32, 32), bool)}, ValueError, "mask hides every pixel"),
    ],
)
def test_bad_parameters(parameters, error, words):
    movie = np.random.default_rng(0).poisson(5.0, (2, 32, 32))
    with pytest.raises(error, match=words):
        analyze_noise(movie, **parameters)


def test_temporal_needs_two_frames():
    with pytest.raises(ValueError, match="two frames"):
        analyze_noise(np.random.default_rng(0).poisson(5.0, (1, 32, 32)), method="temporal")


def test_inverted_contrast_is_refused():
    movie = 30000 - stored(lattice(4), **CAMERA)
    found = analyze_noise(movie)
    assert any("does not rise" in problem for problem in found.problems)
    assert any("inverted" in note for note in found.notes)
    with pytest.raises(ValueError, match="does not rise"):
        to_counts(movie)


def test_spacing_of_values():
    assert value_step(np.array([3, 9, 15, 27])) == 6
    assert value_step(np.array([0.0, 0.3, 0.9, 1.2], np.float32)) == pytest.approx(0.3)
    assert value_step(np.sort(np.random.default_rng(0).random(50))) is None
    assert value_step(np.array([1.0])) is None


# --- the model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_sample_has_the_moments_of_the_model(make):
    noise = PoissonGaussianNoise(**CAMERA, random_state=0)
    noisy, clean = noise.sample(make(np.full((4, 200, 200), 3.0, np.float32)), return_clean=True)
    assert type(noisy) is type(clean)
    noisy, clean = np.asarray(noisy), np.asarray(clean)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(clean, 12 * 3 + 500)
    variance = noise.variance(536.0)
    assert variance == 12 * 36 + 900
    assert noisy.mean() == pytest.approx(536, abs=5 * np.sqrt(variance / noisy.size))
    assert noisy.var() == pytest.approx(variance, rel=0.02)
    third = stats.moment(noisy.ravel().astype(np.float64), 3)
    assert third == pytest.approx(12**3 * 3, rel=0.15)
    # No two images alike, and no read noise shared with the electrons of another draw.
    assert abs(np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_random_state_and_dose(make):
    clean = make(lattice_images(2, 24, 24))
    noise = PoissonGaussianNoise(2.0, 1.0, 0.5, dose=4.0, random_state=3)
    noisy, scaled = noise.sample(clean, return_clean=True)
    np.testing.assert_allclose(np.asarray(scaled).mean(axis=(1, 2)), 2 * 4 + 1, rtol=1e-5)
    assert (noisy == noise.sample(clean)).all()
    assert (noisy == clone(noise).sample(clean)).all()
    assert (noisy != noise.sample(clean, random_state=4)).any()
    if make is torch.as_tensor:
        draws = [
            noise.sample(clean, random_state=torch.Generator().manual_seed(1)) for _ in range(2)
        ]
        assert torch.equal(*draws)


def test_fit_finds_what_is_auto_and_keeps_what_is_given():
    movie = stored(lattice(8), **CAMERA)
    found = PoissonGaussianNoise().fit(movie)
    analysis = analyze_noise(movie)
    assert (found.gain_, found.offset_, found.read_noise_) == (
        analysis.gain,
        analysis.offset,
        analysis.read_noise,
    )
    assert found.gain == "auto"
    partly = PoissonGaussianNoise(offset=500.0).fit(movie)
    assert partly.offset_ == 500
    assert partly.read_noise_ == pytest.approx(30, abs=5)
    fixed = PoissonGaussianNoise(**CAMERA).fit(movie)
    assert fixed.analysis_ is None
    assert fixed.variance(500.0) == 900
    again = pickle.loads(pickle.dumps(found))
    assert again.gain_ == found.gain_
    np.testing.assert_array_equal(
        again.sample(lattice(1), random_state=0), found.sample(lattice(1), random_state=0)
    )


def test_auto_needs_fit():
    for call in (lambda n: n.sample(np.ones((4, 4))), lambda n: n.variance(1.0)):
        with pytest.raises(NotFittedError, match="offset is 'auto'"):
            call(PoissonGaussianNoise(gain=1.0))
    with pytest.raises(ValueError, match="gain"):
        PoissonGaussianNoise(gain=-1.0, offset=0.0, read_noise=0.0).sample(np.ones((4, 4)))


def test_to_counts():
    rate = lattice(8)
    movie = stored(rate, **CAMERA)
    given = to_counts(movie, 12.0, offset=500.0)
    np.testing.assert_allclose(given, (movie - 500) / 12, rtol=1e-4, atol=1e-4)
    counts, noise = to_counts(movie, return_noise=True)
    assert noise.gain_ == pytest.approx(12, rel=0.1)
    assert counts.mean() == pytest.approx(rate.mean(), rel=0.15)
    # Counts stay counts, and nothing is done to them.
    electrons = np.random.default_rng(0).poisson(rate)
    np.testing.assert_array_equal(to_counts(electrons), electrons)


# --- the picture -------------------------------------------------------------------------------


def test_display_shows_what_was_found():
    movie = stored(lattice(4), **CAMERA)
    display = NoiseAnalysisDisplay.from_movie(movie, vacuum=np.s_[:32, :32])
    found = display.analysis
    line, vacuum = display.axes_
    assert line.figure is display.figure_
    fit = next(drawn for drawn in line.lines if str(drawn.get_label()).startswith("fit"))
    np.testing.assert_allclose(
        fit.get_ydata(), found.gain * np.asarray(fit.get_xdata()) + found.intercept
    )
    np.testing.assert_array_equal(vacuum.patches[0].get_data().values, found.histogram[1])
    np.testing.assert_allclose(vacuum.lines[0].get_ydata(), found.expected_histogram())
    again = NoiseAnalysisDisplay(analyze_noise(movie, vacuum=None)).plot()
    assert again.axes_[1].texts[0].get_text() == "no vacuum"


# --- real data, where there are any ------------------------------------------------------------


@pytest.mark.skipif("TEMDENOISE_COUNTED_MOVIE" not in os.environ, reason="needs a counted movie")
def test_real_counted_movie_is_poisson():
    """A .tif of electron counts whose label lies in rows 0-29 and columns 0-140."""
    from temdenoise import read_stack

    movie = read_stack(os.environ["TEMDENOISE_COUNTED_MOVIE"])
    mask = np.zeros(movie.shape[1:], bool)
    mask[:30, :141] = True
    for frames in (movie, movie[:1]):
        found = analyze_noise(frames, mask=mask)
        assert found.is_poisson()
        assert found.p_value > 0.001
