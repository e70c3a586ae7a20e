"""Errors without a clean image: the band of the signal, standard errors, verdicts."""

import numpy as np
import pytest
from conftest import lattice_images

from temdenoise import ConstantDenoiser, ImageStack, LowPassDenoiser, WindowedFourierDenoiser
from temdenoise.denoisers import WorseThanConstantWarning
from temdenoise.metrics import compare_risk, unbiased_mse, upsnr
from temdenoise.metrics._band import Band

PIXEL_SIZE = 6.22
CLEAN = lattice_images(1, 96, 96, level=0.6, contrast=0.9, period=24.0)[0].astype(np.float64)
# drawn once: what is tested does not depend on the counts of the test
SEEN = np.random.default_rng(5).poisson(CLEAN)
ESTIMATES = {
    "constant": np.full_like(CLEAN, 0.6),
    "too bright": 1.2 * CLEAN,
    "low-pass": np.asarray(LowPassDenoiser().fit_transform(SEEN[None])[0], dtype=np.float64),
    "counts": SEEN.astype(np.float64),  # with all their noise, most of it out of the band
}
LABEL = np.zeros(CLEAN.shape, dtype=bool)
LABEL[:15, :40] = LABEL[50] = True


@pytest.mark.parametrize("mask", [None, LABEL], ids=["whole", "masked"])
@pytest.mark.parametrize("name", ESTIMATES)
def test_errors_in_the_band_are_unbiased_and_their_intervals_hold_the_truth(name, mask):
    estimate = ESTIMATES[name]
    where = np.ones(CLEAN.shape, dtype=bool) if mask is None else ~mask
    truth = np.mean((estimate - CLEAN)[where] ** 2)
    others = np.random.default_rng(1).poisson(CLEAN, size=(120, *CLEAN.shape))
    repeated = np.broadcast_to(estimate, others.shape)
    spreads = []
    for pixel_size in (PIXEL_SIZE, None):
        options = {"mask": mask, "pixel_size": pixel_size, "return_std": True}
        mse, std = unbiased_mse(repeated, others, **options)
        z = (mse - truth) / std
        assert abs(mse.mean() - truth) < 3.5 * mse.std() / np.sqrt(len(mse))
        assert 0.9 <= np.mean(np.abs(z) < 1.96) <= 0.99
        assert np.sqrt(np.mean(std**2)) == pytest.approx(mse.std(), rel=0.2)
        spreads.append(mse.std())
    assert spreads[0] < spreads[1] / 2


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # counts against themselves
def test_all_frequencies_are_the_plain_formula():
    other = np.random.default_rng(0).poisson(CLEAN)
    estimate = ESTIMATES["low-pass"]
    plain = np.mean((estimate - other) ** 2 - other)
    assert unbiased_mse(estimate, other) == pytest.approx(plain)
    known = ImageStack(other, PIXEL_SIZE)
    assert unbiased_mse(estimate, known, band_limit=None) == pytest.approx(plain)
    # a band that reaches beyond the pixels leaves nothing out
    assert unbiased_mse(estimate, other, pixel_size=50.0) == pytest.approx(plain)
    in_band = unbiased_mse(estimate, other, pixel_size=PIXEL_SIZE)
    assert unbiased_mse(estimate, known) == in_band != pytest.approx(plain)
    assert unbiased_mse(known, known, pixel_size=PIXEL_SIZE) == unbiased_mse(known, known)


def test_the_filter_keeps_waves_of_the_band_and_drops_others():
    """Cosines with zero slope at the borders: an exact answer, pixel by pixel."""
    rows, columns = (np.arange(n) + 0.5 for n in (60, 80))
    band = Band((60, 80), 0.1)
    kept = np.cos(np.pi * 6 / 60 * rows)[:, None] * np.cos(np.pi * 8 / 80 * columns)
    np.testing.assert_allclose(band(kept), kept, atol=1e-12)  # 0.05 along each axis
    dropped = np.cos(np.pi * 12 / 60 * rows)[:, None] * np.cos(np.pi * 16 / 80 * columns)
    np.testing.assert_allclose(band(dropped), 0, atol=1e-12)  # 0.1 along each: 0.141
    # what a pixel gets of itself, in the middle, at a border and in a corner
    for pixel in ((30, 40), (0, 41), (59, 79)):
        point = np.zeros((60, 80))
        point[pixel] = 1
        spread = band(point)
        assert band.weight[pixel] == pytest.approx(spread[pixel])
        assert band.squared[pixel] == pytest.approx(np.sum(spread**2))
    trusted = np.ones((60, 80), dtype=bool)
    trusted[:, :30] = False
    masked = Band((60, 80), 0.1, trusted)
    ones = np.where(trusted, 1.0, np.inf)
    np.testing.assert_allclose(masked(ones)[trusted], 1)


def test_upsnr_and_its_standard_error():
    other = np.random.default_rng(0).poisson(CLEAN, size=(2, *CLEAN.shape))
    estimate = np.broadcast_to(ESTIMATES["constant"], other.shape)
    mse, std = unbiased_mse(estimate, other, return_std=True, pixel_size=PIXEL_SIZE)
    decibel, error = upsnr(estimate, other, return_std=True, pixel_size=PIXEL_SIZE, data_range=2.0)
    np.testing.assert_allclose(decibel, 10 * np.log10(4 / mse))
    np.testing.assert_allclose(error, 10 / np.log(10) * std / mse)
    assert upsnr(np.zeros((2, 2)), np.ones((2, 2)), return_std=True) == (np.inf, np.inf)
    for wrong, error in (({"pixel_size": 0.006}, ValueError), ({"band_limit": "all"}, TypeError)):
        with pytest.raises(error, match=next(iter(wrong))):
            upsnr(estimate, other, **wrong)


def test_verdicts_of_estimates():
    rng = np.random.default_rng(3)
    counts = rng.poisson(CLEAN)
    worse, better = 1.2 * CLEAN, 1.02 * CLEAN
    said = compare_risk(worse, better, counts)
    truth = np.mean((better - CLEAN) ** 2) - np.mean((worse - CLEAN) ** 2)
    assert said.verdict == "b is better" and str(said).startswith("b is better: the squared")
    assert abs(said.difference - truth) < 4 * said.standard_error
    assert said.z == pytest.approx(said.difference / said.standard_error)
    np.testing.assert_allclose(
        said.interval, said.difference + np.array([-1, 1]) * 1.959964 * said.standard_error
    )
    swapped = compare_risk(better, worse, counts)
    assert swapped.verdict == "a is better" and swapped.difference == -said.difference
    # one as far above the truth as the other is below
    same = compare_risk(1.01 * CLEAN, 0.99 * CLEAN, counts)
    assert same.verdict == "cannot tell"
    itself = compare_risk(worse, worse, counts)
    assert itself.verdict == "cannot tell" and np.isnan(itself.z)
    # as many verdicts by chance as the confidence allows
    many = [
        compare_risk(1.01 * CLEAN, 0.99 * CLEAN, rng.poisson(CLEAN), confidence=0.8).verdict
        for _ in range(200)
    ]
    assert 0.7 < np.mean([verdict == "cannot tell" for verdict in many]) < 0.9
    masked = compare_risk(np.where(LABEL, np.nan, worse), better, counts, mask=LABEL)
    assert masked.verdict == "b is better"


def test_verdicts_of_methods_and_bad_input():
    counts = np.random.default_rng(0).poisson(CLEAN[None])
    constant, filtered = ConstantDenoiser().fit(counts), LowPassDenoiser().fit(counts)
    assert compare_risk(constant, filtered, counts, n_draws=2).verdict == "b is better"
    assert compare_risk(filtered, lambda X: 1.0 * X, counts, n_draws=1).verdict == "a is better"
    with pytest.raises(TypeError, match="two methods .* or two estimates"):
        compare_risk(constant, counts, counts)
    with pytest.raises(ValueError, match="b must be real numbers of the shape"):
        compare_risk(counts, counts[:, :9], counts)
    with pytest.raises(ValueError, match="a holds NaN"):
        compare_risk(np.where(counts > 0, np.nan, 1), counts, counts)
    with pytest.raises(ValueError, match="confidence"):
        compare_risk(counts, counts, counts, confidence=95)


def test_a_filter_that_shows_noise_warns_where_a_constant_is_better():
    rng = np.random.default_rng(0)
    vacuum = ImageStack(rng.poisson(0.45, size=(2, 160, 160)), PIXEL_SIZE)
    through = WindowedFourierDenoiser(threshold=0.0, mode="hard", device="cpu").fit(vacuum)
    with pytest.warns(WorseThanConstantWarning, match="a constant predicts the electrons"):
        through.transform(vacuum)
    # warnings are errors: nothing is said where it shows no more than chance, nor of a crystal
    WindowedFourierDenoiser(device="cpu").fit(vacuum).transform(vacuum)
    crystal = ImageStack(rng.poisson(lattice_images(2, 200, 170, level=0.6)), PIXEL_SIZE)
    WindowedFourierDenoiser(device="cpu").fit(crystal).transform(crystal)
    through.transform(
        vacuum + rng.random(vacuum.shape) / 4
    )  # not whole counts: nothing can be held out
    movie = WindowedFourierDenoiser(n_frames=2, threshold=0.0, mode="hard", device="cpu")
    with pytest.warns(WorseThanConstantWarning):
        movie.fit(vacuum).transform(vacuum)
