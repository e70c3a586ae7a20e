"""NLMDenoiser; tests/test_denoisers_contract.py has what all denoisers must do."""

import numpy as np
import pytest
from conftest import lattice_images
from skimage.restoration import denoise_nl_means

from temdenoise import NLMDenoiser, VSTDenoiser
from temdenoise.denoisers.nlm import _estimate_sigma


@pytest.fixture(scope="module")
def gaussian():
    clean = lattice_images(2, 70, 64, level=100.0)
    return clean, clean + np.random.default_rng(0).normal(0, 10, clean.shape).astype(np.float32)


def test_it_is_scikit_image(gaussian):
    _, noisy = gaussian
    denoiser = NLMDenoiser(sigma=10.0, h=0.7, patch_size=5, patch_distance=6, n_jobs=2).fit(noisy)
    for image, result in zip(noisy, denoiser.transform(noisy), strict=True):
        expected = denoise_nl_means(
            image.astype(float), patch_size=5, patch_distance=6, h=7.0, sigma=10.0
        )
        np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_sigma_is_found(gaussian):
    clean, noisy = gaussian
    given, found = (NLMDenoiser(sigma=s).fit(noisy).transform(noisy) for s in (10.0, "auto"))
    error = [np.mean((x - clean) ** 2) for x in (given, found)]
    assert error[1] == pytest.approx(error[0], rel=0.2)
    assert error[0] < 0.2 * 10**2


def test_masked_pixels_do_not_count_as_noise(gaussian):
    _, noisy = gaussian
    mask = np.zeros(noisy.shape[1:], dtype=bool)
    mask[:40] = True
    spoiled = np.where(mask, 1e4 * np.random.default_rng(1).random(noisy.shape), noisy)
    result = NLMDenoiser().fit(noisy).transform(spoiled, mask=mask)
    for image, denoised in zip(noisy, result, strict=True):
        fixed = NLMDenoiser(sigma=_estimate_sigma(image[40:])).fit(noisy)
        expected = fixed.transform(image[np.newaxis], mask=mask)[0]
        np.testing.assert_allclose(denoised, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Too few pixels to estimate sigma"):
        NLMDenoiser().fit(noisy).transform(noisy, mask=np.indices(mask.shape).sum(axis=0) % 3 > 0)


def test_scale_and_level_do_not_matter(gaussian):
    _, noisy = gaussian
    expected = NLMDenoiser().fit(noisy).transform(noisy)
    result = NLMDenoiser().fit(noisy).transform(30 * noisy - 5000)
    np.testing.assert_allclose(result, 30 * expected - 5000, atol=0.05)


def test_no_noise_no_change(gaussian):
    _, noisy = gaussian
    np.testing.assert_array_equal(NLMDenoiser(sigma=0).fit(noisy).transform(noisy), noisy)


@pytest.mark.parametrize(
    "options",
    [{"sigma": -1}, {"sigma": "known"}, {"h": 0}, {"patch_size": 0}, {"patch_distance": 0}],
)
def test_bad_parameters(gaussian, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        NLMDenoiser(**options).fit(gaussian[1])


def test_patches_larger_than_the_image(gaussian):
    noisy = gaussian[1][:, :6, :9]
    result = NLMDenoiser(sigma=10.0, patch_size=15, patch_distance=500).fit(noisy).transform(noisy)
    assert np.abs(result - noisy.mean(axis=(1, 2), keepdims=True)).max() < 60
    assert result.std() < noisy.std()


@pytest.mark.parametrize(("dose", "share"), [(0.01, "54%"), (0.05, "2.%")])
def test_lost_counts_are_said(dose, share):
    counts = np.random.default_rng(0).poisson(dose, size=(1, 96, 96))
    with pytest.warns(UserWarning, match=f"lost {share} of the counts .* VSTDenoiser") as caught:
        NLMDenoiser().fit(counts).transform(counts)
    assert caught[0].filename == __file__
    stable = VSTDenoiser(denoiser=NLMDenoiser(), binning=4).fit(counts).transform(counts)
    assert stable.mean() == pytest.approx(counts.mean(), rel=0.05)
