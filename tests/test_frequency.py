"""What a denoiser keeps and invents by frequency, against answers that are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import fft

from temdenoise import ImageStack, LowPassDenoiser
from temdenoise.inspection import FrequencyReport, frequency_report
from temdenoise.inspection._rings import Rings, Window, make_window
from temdenoise.plotting import FrequencyDisplay

SIDE, N_RINGS = 96, 12


def rough(n_images, level, seed=5):
    """Images with power in all rings, but most at low frequencies."""
    rng = np.random.default_rng(seed)
    q = np.hypot(fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE))
    shape = (n_images, SIDE, SIDE)
    images = fft.irfft2(fft.rfft2(rng.normal(size=shape)) / (1 + 4 * q), s=shape[1:])
    images -= images.min()
    return level * images / images.mean()


def spectra(images):
    window = Window(make_window((SIDE, SIDE)))
    return np.array([window.spectrum(image) for image in images])


def rings_of(values):
    rings = Rings((SIDE, SIDE), N_RINGS)
    return sum(rings.sum(v) for v in values)


def true_correlation(estimate, clean):
    e, x = spectra(estimate), spectra(clean)
    norm = rings_of(np.abs(e) ** 2) * rings_of(np.abs(x) ** 2)
    return rings_of(np.real(e * x.conj())) / np.sqrt(norm)


def report(denoiser, counts, **options):
    return frequency_report(denoiser, counts, **({"n_rings": N_RINGS} | options))


CLEAN = rough(4, level=20.0)
COUNTS = np.random.default_rng(1).poisson(CLEAN)


def test_truth_itself_correlates_fully_and_has_a_gain_of_one():
    result = report(lambda X: 0.9 * CLEAN if X.mean() < 19 else CLEAN, COUNTS)
    for value, error in (
        (result.estimate, result.estimate_se),
        (result.gain, result.gain_se),
        (result.supported, result.supported_se),
    ):
        assert np.isfinite(value).all()
        assert np.sqrt(np.mean(((value - 1) / error) ** 2)) < 1.6
    assert np.median(result.estimate_se) < 0.02


def test_signal_power_and_correlation_of_raw_halves():
    """Against the truth, and against halves that are drawn."""
    result = report(lambda X: X, COUNTS)
    signal = rings_of(np.abs(spectra(CLEAN)) ** 2)
    window = Window(make_window((SIDE, SIDE)))
    noise = rings_of([window.noise_power(image) for image in CLEAN])
    z = (result.signal_power - signal / noise) / result.signal_power_se
    assert np.sqrt(np.mean(z**2)) < 1.6
    drawn = []
    for seed in range(12):
        half = np.random.default_rng(seed).binomial(COUNTS, 0.5)
        drawn.append(true_correlation(half, COUNTS - half))
    error = np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))
    assert np.sqrt(np.mean(((np.mean(drawn, axis=0) - result.raw) / error) ** 2)) < 1.8


@pytest.mark.parametrize("n_draws", [1, 10])
def test_errors_of_a_linear_filter_are_within_the_standard_errors(n_draws):
    z = []
    for seed in range(6):
        counts = np.random.default_rng(seed).poisson(CLEAN[:2])
        seen = []

        def denoise(X, seen=seen):
            estimate = LowPassDenoiser(cutoff=0.2).fit(X).transform(X)
            seen.append(true_correlation(estimate, CLEAN[:2]))
            return estimate

        result = report(denoise, counts, n_draws=n_draws, random_state=seed)
        truth = np.mean(seen[:n_draws], axis=0)
        z.append((result.estimate - truth) / result.estimate_se)
    assert np.isfinite(z).mean() > 0.9
    assert abs(np.nanmean(z)) < 0.6
    assert 0.3 < np.sqrt(np.nanmean(np.square(z))) < 1.2  # upper bounds


def test_gain_of_a_known_transfer_function():
    """The gain is that of the filter, for the signal and for the noise that it lets through."""
    counts = np.random.default_rng(2).poisson(rough(4, level=200.0))
    result = report(LowPassDenoiser(cutoff=0.25).fit(counts), counts)
    response = np.exp(-((result.frequency / 0.25) ** 2))
    with_noise = response * (1 + 1 / (0.9 * result.signal_power))
    np.testing.assert_allclose(result.gain[1:], with_noise[1:], rtol=0.05)


def test_nothing_is_supported_in_pure_noise():
    """White noise in vacuum: no ring has signal, and none is given a correlation."""
    counts = np.random.default_rng(3).poisson(0.45, size=(3, SIDE, SIDE))
    result = report(lambda X: X, counts)
    assert np.isnan(result.estimate).all() and np.isnan(result.gain).all()
    assert np.isfinite(result.supported).all()
    assert np.sqrt(np.mean((result.supported / result.supported_se) ** 2)) < 1.6
    assert np.sqrt(np.mean((result.raw / result.raw_se) ** 2)) < 1.6
    np.testing.assert_allclose(result.invented[1:], 1, atol=0.25)  # the identity lets noise through
    np.testing.assert_allclose(result.repeated[1:], 0, atol=0.3)


def test_a_lattice_that_is_always_drawn():
    x = np.arange(SIDE)
    lattice = 0.3 * (np.cos(2 * np.pi * x / 4) * np.cos(2 * np.pi * x / 4)[:, None])
    blur = LowPassDenoiser(cutoff=0.05).fit(COUNTS)
    counts = np.random.default_rng(4).poisson(np.full((3, SIDE, SIDE), 0.45))
    result = report(lambda X: blur.transform(X) + lattice, counts, cutoff=0.2, unit="1/px")
    ring = int(np.hypot(0.25, 0.25) * 2 * N_RINGS)
    assert result.supported[ring] == pytest.approx(0, abs=4 * result.supported_se[ring])
    assert result.supported_se[ring] < 0.1
    assert result.invented[ring] == pytest.approx(1, abs=0.05)
    assert result.repeated[ring] == pytest.approx(1, abs=0.05)
    assert np.isnan(result.invented[:4]).all()  # below the cut-off


def test_a_field_that_is_not_periodic_leaves_no_cross():
    """A ramp from one border to the other has no power at high frequencies."""
    ramp = np.linspace(100, 300, SIDE) * np.ones((1, SIDE, 1))
    result = report(lambda X: 0.9 * ramp, np.random.default_rng(0).poisson(ramp))
    assert (result.estimate_power[4:] < 1e-5 * result.estimate_power[0]).all()


def test_masked_pixels_leave_nothing():
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[:20] = True
    mask[60, 40] = mask[70] = True
    rates = CLEAN[0] * 0 + 3.0
    counts = np.random.default_rng(0).poisson(np.broadcast_to(rates, (2, SIDE, SIDE)))
    spoilt = np.where(mask, np.nan, counts.astype(float))
    result = report(lambda X: np.where(mask, np.nan, X), spoilt, mask=mask)
    assert np.sqrt(np.mean((result.raw / result.raw_se) ** 2)) < 1.6
    other = report(lambda X: np.where(mask, 1e6, X), np.where(mask, 7, counts), mask=mask)
    np.testing.assert_allclose(other.raw, result.raw)
    assert result.n_modes.sum() < 0.8 * report(lambda X: X, counts).n_modes.sum()


def test_the_noise_power_is_exact_next_to_frequency_zero():
    """Mean of many draws, with the mean subtracted."""
    window = Window(make_window((32, 40)))
    rate = np.linspace(1, 3, 40) * np.ones((32, 1))
    noise = window.noise_power(rate)[:3, :3]
    rng = np.random.default_rng(0)
    draws = [window.spectrum(rng.poisson(rate) - rate)[:3, :3] for _ in range(1500)]
    np.testing.assert_allclose(np.mean(np.abs(draws) ** 2, axis=0), noise, rtol=0.15, atol=1e-6)


def test_unit_and_cutoff():
    stack = ImageStack(COUNTS, pixel_size=10.0)
    known = report(lambda X: X, stack, n_draws=1)
    plain = report(lambda X: X, COUNTS, n_draws=1)
    assert isinstance(known, FrequencyReport)
    assert (known.unit, plain.unit) == ("1/angstrom", "1/px")
    np.testing.assert_allclose(known.frequency, plain.frequency * 10)
    np.testing.assert_allclose(known.cutoff, plain.cutoff * 10)
    given = report(lambda X: X, stack, n_draws=1, cutoff=0.25, unit="1/px")
    assert (given.unit, given.cutoff) == ("1/px", 0.25)
    table = plain.to_frame()
    assert len(table) == N_RINGS
    assert {"frequency", "raw", "estimate", "estimate_se", "gain", "invented"} <= set(table)
    assert table.equals(report(lambda X: X, COUNTS, n_draws=1).to_frame())


def test_pixel_size_and_mask_reach_the_method():
    seen = {}

    def denoise(X, *, mask, pixel_size):
        seen.update(mask=mask, pixel_size=pixel_size, of_images=X.pixel_size)
        return X

    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[:5] = True
    report(denoise, COUNTS[:1], mask=mask, pixel_size=6.0, n_draws=1)
    assert seen["mask"].shape == (1, SIDE, SIDE)
    assert seen["pixel_size"] == seen["of_images"] == 6.0


ALL_BUT_A_CORNER = np.ones((SIDE, SIDE), dtype=bool)
ALL_BUT_A_CORNER[:12, :12] = False


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"counts": COUNTS * 0.7}, ValueError, "whole"),
        ({"counts": -COUNTS}, ValueError, "negative"),
        ({"counts": COUNTS[0]}, ValueError, "newaxis"),
        ({"counts": COUNTS[:, :20]}, ValueError, "32 x 32"),
        ({"counts": np.zeros((1, 64, 64))}, ValueError, "no electron"),
        ({"counts": np.full((1, 64, 64), np.nan)}, ValueError, "NaN"),
        ({"mask": np.ones((SIDE, SIDE), dtype=bool)}, ValueError, "hides every pixel"),
        ({"mask": ALL_BUT_A_CORNER}, ValueError, "too little of image 0"),
        ({"pixel_size": 0.06}, ValueError, "nm or Angstrom"),
        ({"pixel_size": -6}, ValueError, "positive"),
        ({"denoiser": 3}, TypeError, "denoiser must be"),
        ({"denoiser": LowPassDenoiser}, TypeError, "fitted"),
        ({"denoiser": lambda X: X[:1]}, ValueError, "of shape"),
        ({"denoiser": lambda X: X * np.inf}, ValueError, "NaN or infinity"),
        ({"share": 0.3}, ValueError, "n_draws <= 3"),
        ({"n_draws": 0}, ValueError, "n_draws"),
        ({"n_rings": 1}, ValueError, "from 2 to 48"),
        ({"cutoff": 0.2}, ValueError, "Say the unit"),
        ({"cutoff": 0.7, "unit": "1/px"}, ValueError, "beyond the highest"),
        ({"cutoff": "low"}, ValueError, "auto"),
        ({"unit": "1/nm"}, ValueError, "1/angstrom"),
        ({"unit": "1/angstrom"}, ValueError, "needs the pixel size"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_input(change, error, message):
    arguments = {"denoiser": lambda X: X, "counts": COUNTS} | change
    with pytest.raises(error, match=message):
        frequency_report(arguments.pop("denoiser"), arguments.pop("counts"), **arguments)


def test_one_frame_is_enough():
    result = report(lambda X: X, COUNTS[:1], n_draws=1)
    assert np.isfinite(result.raw).all()


def test_display():
    display = FrequencyDisplay.from_estimator(lambda X: X, COUNTS, n_rings=N_RINGS, n_draws=1)
    upper, lower = display.axes_
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), display.report.raw)
    assert lower.get_xlabel() == "spatial frequency (1/px)"
    figure = plt.figure()
    assert display.plot(figure, max_frequency=0.3).figure_ is figure
    assert display.axes_[0].get_xlim() == (0, 0.3)
    plt.close(figure)
