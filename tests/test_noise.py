import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from temdenoise import PoissonNoise, thin_counts
from temdenoise.binning import bin_counts
from temdenoise.images import ImageStack
from temdenoise.noise import GaussianNoise, PoissonGaussianNoise, draw_noise


def test_counts_follow_the_poisson_law():
    noisy = PoissonNoise(random_state=0).sample(np.full((400, 400), 0.45))
    assert noisy.dtype == np.float32
    values = np.arange(6)
    observed = [np.sum(noisy == v) for v in values]
    observed.append(noisy.size - sum(observed))
    expected = stats.poisson(0.45).pmf(values)
    expected = np.append(expected, 1 - expected.sum()) * noisy.size
    # Pool the tail, whose expectation is too small for a chi-square test.
    observed, expected = (np.append(a[:4], np.sum(a[4:])) for a in (observed, expected))
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_torch_counts_follow_the_poisson_law():
    noisy = PoissonNoise(random_state=0).sample(torch.full((2, 1, 200, 200), 2.5))
    assert noisy.dtype == torch.float32
    assert noisy.shape == (2, 1, 200, 200)
    assert torch.equal(noisy, noisy.round())
    assert noisy.mean().item() == pytest.approx(2.5, abs=4 * np.sqrt(2.5 / noisy.numel()))
    assert noisy.var().item() == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_dose_scales_each_image(make, clean):
    scale = np.array([1, 2, 3, 4, 5, 6], dtype=np.float32)[:, None, None]
    noisy, scaled = PoissonNoise(dose=1.5, random_state=0).sample(
        make(clean * scale), return_clean=True
    )
    scaled, noisy = np.asarray(scaled), np.asarray(noisy)
    np.testing.assert_allclose(scaled.mean(axis=(1, 2)), 1.5, rtol=1e-6)
    expected = 1.5 * clean / clean.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)
    assert noisy.mean() == pytest.approx(1.5, abs=5 * np.sqrt(1.5 / noisy.size))


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_dose_range_is_log_uniform(make):
    images = make(np.ones((2000, 2, 2), dtype=np.float32))
    _, scaled = PoissonNoise(dose=(0.1, 10.0), random_state=1).sample(images, return_clean=True)
    doses = np.asarray(scaled).mean(axis=(1, 2))
    assert stats.kstest(np.log10(doses), stats.uniform(-1, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_random_state(make, clean):
    images = make(clean)
    fixed = PoissonNoise(random_state=3)
    assert (fixed.sample(images) == fixed.sample(images)).all()
    assert (fixed.sample(images) == clone(fixed).sample(images)).all()
    assert (fixed.sample(images) != fixed.sample(images, random_state=4)).any()
    stream = PoissonNoise(random_state=np.random.RandomState(3))
    first = stream.sample(images)
    assert (first != stream.sample(images)).any()
    assert (first == fixed.sample(images)).all()


def test_torch_generator_is_used():
    clean = torch.full((3, 16, 16), 0.45)
    noise = PoissonNoise(dose=(0.1, 1.0))
    generator = torch.Generator().manual_seed(5)
    first, second = (noise.sample(clean, random_state=generator) for _ in range(2))
    assert not torch.equal(first, second)
    generator.manual_seed(5)
    assert torch.equal(first, noise.sample(clean, random_state=generator))


def test_dtypes_and_input_untouched(clean):
    before = clean.copy()
    clean.setflags(write=False)
    PoissonNoise(dose=0.1).sample(clean)
    np.testing.assert_array_equal(clean, before)
    assert PoissonNoise().sample(np.ones((2, 4, 4), dtype=np.uint8)).dtype == np.float32
    assert PoissonNoise().sample(torch.ones(4, 4, dtype=torch.float64)).dtype == torch.float64
    assert PoissonNoise().sample(torch.ones(4, 4, dtype=torch.bfloat16)).dtype == torch.float32


def test_zero_rate_gives_no_counts():
    assert not PoissonNoise().sample(np.zeros((2, 5, 5))).any()


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_bad_values(make, value):
    images = np.ones((2, 4, 4), dtype=np.float32)
    images[1, 2, 3] = value
    with pytest.raises(ValueError, match="finite mean counts per pixel, none negative"):
        PoissonNoise().sample(make(images))


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_bad_shapes_and_dark_images(make):
    with pytest.raises(ValueError, match="must be an image"):
        PoissonNoise().sample(make(np.ones(4)))
    with pytest.raises(ValueError, match="must be an image"):
        PoissonNoise().sample(make(np.ones((0, 4, 4))))
    images = np.ones((3, 4, 4))
    images[1] = 0
    with pytest.raises(ValueError, match="image 1 of clean is zero"):
        PoissonNoise(dose=1.0).sample(make(images))


@pytest.mark.parametrize(
    "dose", [0, -1.0, (1.0,), (2.0, 1.0), (0, 1), (1, np.inf), "high", [1, "a"]]
)
def test_bad_dose(dose):
    with pytest.raises(ValueError, match="dose"):
        PoissonNoise(dose=dose).sample(np.ones((4, 4)))


def test_thinned_parts_are_independent_poisson():
    rate, fraction = 3.0, 0.3
    counts = np.random.default_rng(0).poisson(rate, size=(500, 500)).astype(np.uint8)
    a, b = thin_counts(counts, fraction, random_state=0)
    assert a.dtype == b.dtype == np.uint8
    np.testing.assert_array_equal(a + b, counts)
    for part, mean in ((a, rate * fraction), (b, rate * (1 - fraction))):
        assert part.mean() == pytest.approx(mean, rel=0.01)
        assert part.var() == pytest.approx(mean, rel=0.02)
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(counts.size)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_thinning_keeps_dtype(dtype):
    counts = np.random.default_rng(0).poisson(0.8, size=(20, 20)).astype(dtype)
    a, b = thin_counts(counts, random_state=0)
    assert a.dtype == b.dtype == (np.uint8 if dtype is bool else dtype)
    np.testing.assert_array_equal(a + b, counts.astype(a.dtype))
    repeat, _ = thin_counts(counts, random_state=0)
    np.testing.assert_array_equal(a, repeat)


def test_thinning_refuses_what_are_no_counts():
    with pytest.raises(ValueError, match="whole numbers"):
        thin_counts(np.array([[0.5, 1.0]]))
    with pytest.raises(ValueError, match="whole numbers"):
        thin_counts(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="smallest is -1"):
        thin_counts(np.array([[-1, 1]]))
    with pytest.raises(ValueError, match="dtype"):
        thin_counts(np.array([["a"]]))
    for fraction in (0, 1, 1.5, "half", np.nan):
        with pytest.raises(ValueError, match="fraction"):
            thin_counts(np.ones((2, 2), dtype=int), fraction)


# --- sums over bins -------------------------------------------------------------------------------

BINNED = {
    "Poisson": PoissonNoise(),
    "Poisson dose": PoissonNoise(dose=1.5),
    "Gaussian": GaussianNoise(sigma=0.7),
    "detector": PoissonGaussianNoise(3.0, 2.0, 1.5),
    "detector dose": PoissonGaussianNoise(3.0, 2.0, 1.5, dose=1.5),
}


@pytest.mark.parametrize("name", BINNED)
def test_noise_of_bins_is_that_of_sums(name):
    """Mean and variance of a bin, against the law of its sum and against sums of samples."""
    noise, side, rate = BINNED[name], 3, 0.8
    area = side**2
    n = 150
    pixels, clean_pixels = noise.sample(
        np.full((n, 3 * n), rate), return_clean=True, random_state=0
    )
    sums = bin_counts(pixels[np.newaxis], side)[0]
    bins, clean = noise.on_bins(area).sample(
        np.full((n // side, n), rate * area), return_clean=True, random_state=1
    )
    assert clean.mean() == pytest.approx(area * clean_pixels.mean(), rel=1e-5)
    electrons = area * (1.5 if "dose" in name else rate)
    variance = {
        "Poisson": electrons,
        "Gaussian": area * 0.7**2,
        "detector": 9 * electrons + area * 1.5**2,
    }[name.removesuffix(" dose")]
    error = (variance / sums.size) ** 0.5
    for drawn in (sums, bins):
        assert drawn.size == sums.size
        assert drawn.mean() == pytest.approx(clean.mean(), abs=5 * error)
        assert drawn.var() == pytest.approx(variance, rel=5 * (3 / sums.size) ** 0.5)
    assert stats.ks_2samp(sums.ravel(), bins.ravel()).pvalue > 0.01


def test_a_range_of_doses_on_bins():
    for noise in (
        PoissonNoise(dose=(0.5, 2.0)),
        PoissonGaussianNoise(1.0, 0.0, 0.0, dose=[0.5, 2.0]),
    ):
        assert noise.on_bins(4.0).dose == (2.0, 8.0)
    with pytest.raises(ValueError, match="dose"):
        PoissonNoise(dose=(2.0, 1.0)).on_bins(4.0)
    with pytest.raises(NotFittedError, match="gain is 'auto'"):
        PoissonGaussianNoise().on_bins(4.0)


def test_stored_units_and_electrons():
    noise = PoissonGaussianNoise(gain=20.0, offset=100.0, read_noise=6.0, dose=(1.0, 2.0))
    electrons = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    stored = noise.from_electrons(electrons)
    np.testing.assert_array_equal(stored, 20 * electrons + 100)
    np.testing.assert_array_equal(noise.to_electrons(stored), electrons)
    assert stored.dtype == noise.to_electrons(stored).dtype == np.float32
    inside = noise.in_electrons()
    assert (inside.gain, inside.offset, inside.dose) == (1.0, 0.0, (1.0, 2.0))
    assert inside.read_noise == pytest.approx(0.3)
    # the same noise, told in the two units
    clean = np.full((200, 200), 5.0)
    drawn = noise.set_params(dose=None).sample(clean, random_state=0)
    same = noise.in_electrons().sample(clean, random_state=0)
    np.testing.assert_allclose(noise.to_electrons(drawn), same, rtol=1e-5, atol=1e-5)
    for call in (noise.to_electrons, noise.from_electrons):
        assert call(ImageStack(stored, 6.22)).pixel_size == 6.22
    with pytest.raises(NotFittedError, match="gain is 'auto'"):
        PoissonGaussianNoise().to_electrons(stored)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_gaussian_noise(make):
    clean = make(np.full((2, 200, 200), -3.0, dtype=np.float32))
    noise = GaussianNoise(sigma=0.5, random_state=0)
    noisy, same = noise.sample(clean, return_clean=True)
    difference = np.asarray(noisy) - np.asarray(clean)
    assert stats.kstest(difference.ravel() / 0.5, "norm").pvalue > 0.01
    assert (np.asarray(same) == -3).all()
    assert (noise.sample(clean) == noisy).all()
    assert (noise.sample(clean, random_state=1) != noisy).any()
    for bad, message in ((clean[0, 0], "must be an image"), (clean * np.nan, "finite")):
        with pytest.raises(ValueError, match=message):
            noise.sample(bad)
    with pytest.raises(ValueError, match="sigma"):
        GaussianNoise(sigma=-1).sample(clean)


class Shifted:
    """Noise with nothing but `sample`."""

    def sample(self, clean):
        return clean + 1


def test_draw_noise_of_any_model(clean):
    noisy, same = draw_noise(Shifted(), clean, random_state=0)
    np.testing.assert_array_equal(noisy, clean + 1)
    np.testing.assert_array_equal(same, clean)
    noisy, scaled = draw_noise(PoissonNoise(dose=2.0), clean, random_state=3)
    expected = PoissonNoise(dose=2.0).sample(clean, return_clean=True, random_state=3)
    np.testing.assert_array_equal(noisy, expected[0])
    np.testing.assert_array_equal(scaled, expected[1])
    assert noisy.dtype == scaled.dtype == np.float32
    wrong = Shifted()
    for result, message in (
        (clean[:2], "must not change the shape"),
        (clean * np.inf, "NaN or inf"),
    ):
        wrong.sample = lambda clean, result=result: result
        with pytest.raises(ValueError, match=f"Shifted.sample returned .*{message}|{message}"):
            draw_noise(wrong, clean)
