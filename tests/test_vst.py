"""VSTDenoiser; tests/test_denoisers_contract.py has what all denoisers must do."""

import numpy as np
import pytest
from conftest import lattice_images
from sklearn.model_selection import GridSearchCV

from temdenoise import LowPassDenoiser, NLMDenoiser, VSTDenoiser, WienerDenoiser, psnr
from temdenoise.base import BaseDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.variance_stabilization import anscombe, inverse_anscombe


class MeanDenoiser(BaseDenoiser):
    """The best denoiser of constant images."""

    def _transform(self, X, mask):
        return np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)


class Recorder(BaseDenoiser):
    """Returns the images and keeps the moments of what it saw."""

    _parameter_constraints = {"sigma": [None, float]}

    def __init__(self, *, sigma=None):
        self.sigma = sigma

    def _transform(self, X, mask):
        self.seen_ = [*getattr(self, "seen_", []), (X.shape, X.mean(), X.std())]
        return X


@pytest.fixture(scope="module")
def lattices():
    clean = lattice_images(2, 192, 160, period=40.0)
    return clean, np.random.default_rng(0).poisson(clean).astype(np.float32)


def test_once_without_bins_is_transform_denoise_invert(lattices):
    _, noisy = lattices
    inner = WienerDenoiser(noise=1.0, window_size=9)
    denoiser = VSTDenoiser(denoiser=inner, binning=1, iterations=1).fit(noisy)
    stabilized = anscombe(noisy).astype(np.float32)
    expected = inverse_anscombe(inner.fit(stabilized).transform(stabilized))
    np.testing.assert_allclose(denoiser.transform(noisy), expected, rtol=1e-4, atol=1e-5)


def test_once_with_bins(lattices):
    _, noisy = lattices
    inner = LowPassDenoiser(cutoff=0.1)
    denoiser = VSTDenoiser(denoiser=inner, binning=4, iterations=1).fit(noisy)
    stabilized = anscombe(bin_counts(noisy, 4)).astype(np.float32)
    rates = inverse_anscombe(inner.fit(stabilized).transform(stabilized))
    expected = unbin(rates / 16, 4, noisy.shape[1:])
    np.testing.assert_allclose(denoiser.transform(noisy), expected, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.05, 0.45, 3.0])
@pytest.mark.parametrize("options", [{"binning": 1, "iterations": 1}, {"binning": 2}])
def test_no_bias(rate, options):
    X = np.random.default_rng(0).poisson(rate, (1, 600, 600))
    result = VSTDenoiser(denoiser=MeanDenoiser(), **options).fit(X).transform(X)
    # 360,000 pixels: the mean scatters by 0.7 % at the lowest rate, seen alike by both
    np.testing.assert_allclose(result, X.mean(), rtol=0.01)


def test_algebraic_inverse_is_biased_and_keeps_constant_images():
    X = np.random.default_rng(0).poisson(0.45, (1, 300, 300))
    options = {"denoiser": MeanDenoiser(), "binning": 1, "inverse": "algebraic"}
    biased = VSTDenoiser(**options, iterations=1).fit(X)
    assert biased.transform(X).mean() < 0.85 * X.mean()
    constant = np.full((1, 20, 20), 3.0)
    np.testing.assert_allclose(biased.transform(constant), 3, rtol=1e-5)
    for iterations in (2, 4):
        denoiser = VSTDenoiser(**options, iterations=iterations).fit(X)
        np.testing.assert_allclose(denoiser.transform(constant), 3, rtol=1e-5)


def test_noise_is_one_in_every_iteration():
    X = np.random.default_rng(0).poisson(8.0, (1, 200, 200))
    denoiser = VSTDenoiser(denoiser=Recorder(), binning=2, iterations=3, final_weight=0.5).fit(X)
    denoiser.transform(X)
    assert denoiser.denoiser_.sigma == 1.0
    shapes, _, stds = zip(*denoiser.denoiser_.seen_, strict=True)
    assert [shape[1] for shape in shapes] == [50, 67, 100]
    assert stds[0] == pytest.approx(1, abs=0.03)


def test_given_sigma_is_kept_and_reached(lattices):
    _, noisy = lattices
    denoiser = VSTDenoiser(denoiser=NLMDenoiser(), binning=4)
    assert denoiser.fit(noisy).denoiser_.sigma == 1.0
    assert denoiser.denoiser.sigma == "auto"  # the one given is left alone
    denoiser.set_params(denoiser__sigma=0.7)
    assert denoiser.fit(noisy).denoiser_.sigma == 0.7
    with pytest.raises(ValueError, match="The 'denoiser__sigma' parameter of NLMDenoiser"):
        denoiser.set_params(denoiser__sigma=-1).fit(noisy)


def test_grid_search_over_the_inner_denoiser(lattices):
    clean, _ = lattices
    grid = {"denoiser__cutoff": [0.002, 0.1], "iterations": [1, 2]}
    search = GridSearchCV(VSTDenoiser(denoiser=LowPassDenoiser(), binning=4), grid, cv=2)
    assert search.fit(clean).best_params_["denoiser__cutoff"] == 0.1


def test_bins_and_iterations_help_at_low_dose():
    clean = lattice_images(1, 320, 320, level=1.0, period=32.0)
    noisy = np.random.default_rng(0).poisson(clean).astype(np.float32)
    inner = NLMDenoiser(h=0.4)
    plain, binned, refined = (
        psnr(clean, VSTDenoiser(denoiser=inner, **o).fit(noisy).transform(noisy)).mean()
        for o in (
            {"binning": 1, "iterations": 1},
            {"binning": 4, "iterations": 1},
            {"binning": 4, "iterations": 3},
        )
    )
    assert binned > plain + 3
    assert refined > binned + 1


def test_gain_offset_and_read_noise(lattices):
    clean, noisy = lattices
    values = 7 * noisy + np.random.default_rng(1).normal(100, 2, noisy.shape)
    denoiser = VSTDenoiser(denoiser=NLMDenoiser(), gain=7, offset=100, read_noise=2).fit(values)
    counted = VSTDenoiser(denoiser=NLMDenoiser()).fit(noisy).transform(noisy)
    result = (denoiser.transform(values) - 100) / 7
    # A read noise of 2/7 electrons adds 0.08 to a variance of 0.45.
    assert psnr(clean, result).mean() > psnr(clean, counted).mean() - 2.5
    # Without noise of its own the detector changes nothing.
    values = 7 * noisy + 100
    denoiser.set_params(read_noise=0).fit(values)
    np.testing.assert_allclose((denoiser.transform(values) - 100) / 7, counted, atol=1e-4)


def test_negative_values_need_an_offset_or_read_noise(lattices):
    _, noisy = lattices
    values = noisy - 1
    with pytest.raises(ValueError, match="cannot be negative"):
        VSTDenoiser(denoiser=NLMDenoiser()).fit(values)
    denoiser = VSTDenoiser(denoiser=NLMDenoiser(), offset=-1).fit(values)
    counted = VSTDenoiser(denoiser=NLMDenoiser()).fit(noisy).transform(noisy)
    np.testing.assert_allclose(denoiser.transform(values) + 1, counted, atol=1e-4)


def test_values_below_the_offset_need_read_noise(lattices):
    _, noisy = lattices
    denoiser = VSTDenoiser(denoiser=NLMDenoiser(), offset=30.0)
    with pytest.raises(ValueError, match="X holds 0, below offset=30, .* Give the read_noise"):
        denoiser.fit(noisy)
    denoiser.fit(noisy + 30)
    with pytest.raises(ValueError, match="below offset=30"):
        denoiser.transform(noisy)
    denoised = VSTDenoiser(denoiser=NLMDenoiser(), offset=0.2, read_noise=0.5).fit_transform(noisy)
    assert denoised.mean() == pytest.approx(noisy.mean(), rel=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"denoiser": "bm3d"},
        {"binning": 0},
        {"binning": 1.5},
        {"iterations": 0},
        {"final_weight": 0},
        {"final_weight": 1.1},
        {"gain": 0},
        {"read_noise": -1},
        {"offset": np.nan},
        {"inverse": "exact"},
        {"n_jobs": 1.5},
    ],
)
def test_bad_parameters(lattices, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        VSTDenoiser(**{"denoiser": NLMDenoiser(), **options}).fit(lattices[1])


def test_without_counts_nothing_comes_out():
    X = np.zeros((2, 40, 30), dtype=np.uint8)
    result = VSTDenoiser(denoiser=NLMDenoiser()).fit(X).transform(X)
    np.testing.assert_allclose(result, 0, atol=1e-8)


def test_bm3d_is_the_default():
    bm3d = pytest.importorskip("temdenoise.denoisers.bm3d")
    clean = lattice_images(1, 240, 240, period=40.0)
    noisy = np.random.default_rng(0).poisson(clean).astype(np.float32)
    denoiser = VSTDenoiser(binning=4).fit(noisy)
    assert isinstance(denoiser.denoiser_, bm3d.BM3DDenoiser)
    assert denoiser.denoiser_.sigma == 1.0
    given = VSTDenoiser(denoiser=bm3d.BM3DDenoiser(), binning=4).fit(noisy).transform(noisy)
    result = denoiser.transform(noisy)
    np.testing.assert_array_equal(result, given)
    gaussians = (LowPassDenoiser(cutoff=c).fit(noisy).transform(noisy) for c in (0.01, 0.015, 0.02))
    assert psnr(clean, result)[0] > max(psnr(clean, g)[0] for g in gaussians) + 1
