"""PURE: formulas where there are some, expectations by summation, draws for the rest."""

import numpy as np
import pytest
from conftest import lattice_images
from scipy import ndimage, stats

from temdenoise import LowPassDenoiser, PURELETDenoiser
from temdenoise.metrics import pure_risk


def blur(images):
    return ndimage.gaussian_filter(images, (0, 1.5, 1.5), mode="wrap")


def draw(clean, seed, gain=1.0, offset=0.0, read_noise=0.0):
    rng = np.random.default_rng(seed)
    noisy = gain * rng.poisson((clean - offset) / gain) + offset
    return noisy + read_noise * rng.normal(size=clean.shape) if read_noise else noisy


@pytest.mark.parametrize("n_probes", [1, "exact"])
def test_identity_and_zero(n_probes):
    noisy = draw(lattice_images(2, 12, 10, level=2.0), 0)
    # The identity's risk is the noise variance, of which the counts are the unbiased estimate.
    found = pure_risk(lambda z: z, noisy, n_probes=n_probes, random_state=0)
    np.testing.assert_allclose(found, noisy.mean(axis=(1, 2)), rtol=1e-5)
    found = pure_risk(np.zeros_like, noisy, n_probes=n_probes, random_state=0)
    np.testing.assert_allclose(found, (noisy * (noisy - 1.0)).mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("noise", [{}, {"gain": 3.0, "offset": 20.0, "read_noise": 2.0}])
def test_linear_filter_by_formula(noise):
    """Of K z, the divergence is the trace: the same weight for every pixel of a blur."""
    noisy = draw(np.full((1, 24, 20), 40.0), 0, **noise)
    delta = np.zeros((1, 24, 20))
    delta[0, 12, 10] = 1
    own = blur(delta)[0, 12, 10]
    gain, offset, sigma = noise.get("gain", 1), noise.get("offset", 0), noise.get("read_noise", 0)
    z = noisy - offset
    f = blur(noisy) - offset
    variance = gain * z + sigma**2
    expected = ((f - z) ** 2 - variance + 2 * own * variance).mean()
    assert pure_risk(blur, noisy, n_probes="exact", **noise)[0] == pytest.approx(expected, rel=1e-4)
    probed = pure_risk(blur, noisy, n_probes=200, random_state=0, **noise)
    assert probed[0] == pytest.approx(expected, rel=0.03)


def threshold(images):
    """A denoiser far from linear: each pixel is drawn to its row, the less the larger it is."""
    mean = images.mean(axis=2, keepdims=True)
    return mean + (images - mean) * np.tanh(images**2 / 4)


def test_exact_is_unbiased_over_all_images():
    rates = np.array([[0.3, 1.2, 0.6]])
    risk, truth, linearised = 0.0, 0.0, 0.0
    for values in np.ndindex(10, 10, 10):
        image = np.array([values], dtype=float)
        probability = stats.poisson.pmf(image, rates).prod()
        if probability < 1e-8:
            continue
        truth += probability * ((threshold(image[np.newaxis])[0] - rates) ** 2).mean()
        risk += probability * pure_risk(threshold, image, n_probes="exact")
        linearised += probability * pure_risk(threshold, image, n_probes=1, random_state=0)
    assert risk == pytest.approx(truth, rel=1e-3)
    # The first order alone does not do at such counts, or this would prove nothing.
    assert abs(linearised / truth - 1) > 0.05


def bias(denoiser, clean, n_draws, **noise):
    """Mean of risk minus error, its standard error, and the mean error."""
    clean = np.broadcast_to(clean, (n_draws, *clean.shape[1:])).astype(np.float64)
    noisy = draw(clean, 1, **noise)
    error = ((denoiser.fit(noisy).transform(noisy) - clean) ** 2).mean(axis=(1, 2))
    difference = pure_risk(denoiser, noisy, n_probes=3, random_state=0, **noise) - error
    # This part of it has the expectation zero whatever the denoiser: it only blurs.
    variance = noise.get("gain", 1) * (noisy - noise.get("offset", 0))
    variance += noise.get("read_noise", 0) ** 2
    difference -= ((noisy - clean) ** 2 - variance).mean(axis=(1, 2))
    return difference.mean(), difference.std() / np.sqrt(n_draws), error.mean()


@pytest.mark.parametrize("level", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(
    "denoiser", [LowPassDenoiser(cutoff=0.1), PURELETDenoiser(n_scales=2, binning=4)]
)
def test_bias_over_draws(denoiser, level):
    clean = lattice_images(1, 128, 128, level=level, contrast=0.9, period=24.0)
    mean, spread, error = bias(denoiser, clean, 25)
    assert abs(mean) < 3.5 * spread
    assert spread < 0.1 * error


def test_bias_with_read_noise():
    noise = {"gain": 2.0, "offset": 10.0, "read_noise": 1.5}
    clean = lattice_images(1, 96, 96, level=4.0, contrast=0.9) + 10
    denoiser = PURELETDenoiser(n_scales=2, binning=2, **noise)
    mean, spread, error = bias(denoiser, clean, 15, **noise)
    assert abs(mean) < 3.5 * spread
    assert spread < 0.15 * error


def test_it_chooses_a_cutoff_near_the_best():
    clean = lattice_images(1, 160, 160, level=0.45, contrast=0.8)
    noisy = draw(clean.astype(float), 0)
    cutoffs = np.geomspace(0.01, 0.3, 12)
    denoisers = [LowPassDenoiser(cutoff=c).fit(noisy) for c in cutoffs]
    risks = [pure_risk(d, noisy, random_state=0)[0] for d in denoisers]
    errors = [((d.transform(noisy) - clean) ** 2).mean() for d in denoisers]
    assert abs(np.argmin(risks) - np.argmin(errors)) <= 1
    assert 0 < np.argmin(risks) < len(cutoffs) - 1


def test_one_image_gives_a_float_and_draws_repeat():
    noisy = draw(lattice_images(1, 20, 20)[0].astype(float), 0).astype(np.uint8)
    noisy.setflags(write=False)
    risk = pure_risk(blur_float, noisy, random_state=0)
    assert isinstance(risk, float)
    assert risk == pure_risk(blur_float, noisy, random_state=0)
    assert risk != pure_risk(blur_float, noisy, random_state=1)
    assert pure_risk(blur_float, np.zeros((8, 8))) == 0


def blur_float(images):
    assert images.dtype == np.float32 and images.ndim == 3
    assert images.min() >= 0  # probing leaves no pixel with less than nothing
    return blur(images)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"gain": 0}, "gain must be positive"),
        ({"gain": np.nan}, "gain must be a finite number"),
        ({"offset": "auto"}, "offset must be a finite number"),
        ({"read_noise": -1}, "read_noise must not be negative"),
        ({"n_probes": 0}, "n_probes must be"),
        ({"n_probes": 1.5}, "n_probes must be"),
        ({"offset": 1}, "holds 0, below offset=1"),
    ],
)
def test_bad_keywords(keywords, message):
    with pytest.raises(ValueError, match=message):
        pure_risk(blur, np.zeros((1, 8, 8)), **keywords)


def test_bad_denoisers_and_images():
    with pytest.raises(ValueError, match="noisy is a masked array"):
        pure_risk(np.zeros_like, np.ma.masked_equal(np.eye(9), 1))
    with pytest.raises(TypeError, match="denoise must be a function"):
        pure_risk("blur", np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="returned shape"):
        pure_risk(lambda z: z[0], np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        pure_risk(lambda z: z * np.nan, np.ones((1, 8, 8)))
    for bad in (np.full((1, 8, 8), np.nan), np.ones(8), -np.ones((1, 8, 8))):
        with pytest.raises(ValueError, match="noisy"):
            pure_risk(blur, bad)


def test_whole_counts_are_right_where_the_first_order_is_not():
    """On a flat field of 0.6 counts, with a method that answers single electrons."""
    clean = np.full((1, 160, 160), 0.6)
    differences, errors = {"small": [], "count": []}, []
    for seed in range(30):
        noisy = draw(clean, seed)
        error = ((threshold(noisy) - clean) ** 2).mean()
        errors.append(error)
        for step, values in differences.items():
            risk = pure_risk(threshold, noisy, n_probes=12, step=step, random_state=seed)[0]
            # less what has the expectation zero whatever the denoiser
            values.append(risk - error - ((noisy - clean) ** 2 - noisy).mean())
    means = {step: np.mean(values) / np.mean(errors) for step, values in differences.items()}
    scatter = np.std(differences["count"]) / np.sqrt(30) / np.mean(errors)
    assert abs(means["count"]) < 3.5 * scatter
    assert scatter < 0.04
    assert abs(means["small"]) > 1


def test_whole_counts_of_the_identity_and_in_other_units():
    noisy = draw(lattice_images(2, 60, 50, level=2.0).astype(float), 0)
    # The identity loses what is taken: a sum over the chosen pixels, as exact as their number is.
    found = pure_risk(lambda z: z, noisy, step="count", n_probes=40, random_state=0)
    np.testing.assert_allclose(found, noisy.mean(axis=(1, 2)), rtol=0.1)
    scaled = pure_risk(
        lambda z: z, 7 * noisy + 3, gain=7, offset=3, step="count", n_probes=40, random_state=0
    )
    np.testing.assert_allclose(scaled, 49 * found, rtol=1e-4)
    for bad in ({"read_noise": 1.0}, {"gain": 2.0}, {"step": "large"}):
        with pytest.raises(ValueError, match="step"):
            pure_risk(blur, noisy, **{"step": "count"} | bad)
