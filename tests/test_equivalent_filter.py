"""Equivalent filters against known kernels, and against what `transform` does."""

import copy

import numpy as np
import pytest
import torch
from conftest import lattice_images

from temdenoise import LowPassDenoiser, SBDDenoiser, WienerDenoiser
from temdenoise.base import BaseDenoiser
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.inspection import equivalent_filter
from temdenoise.networks import gradient
from temdenoise.plotting import EquivalentFilterDisplay

pytestmark = [
    # Many images are shifted by a part of an electron, away from where a network has a kink.
    pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning"),
    # networks that were trained for a step or two
    pytest.mark.filterwarnings("ignore::temdenoise.denoisers.WorseThanConstantWarning"),
]


@pytest.fixture(scope="module")
def noisy():
    return np.random.default_rng(0).poisson(lattice_images(2, 48, 40)).astype(np.float32)


def gaussian(shape, pixel, sigma):
    rows, columns = np.indices(shape)
    square = (rows - pixel[0]) ** 2 + (columns - pixel[1]) ** 2
    return np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2)


@pytest.mark.parametrize("radius", [None, 9.0])
def test_low_pass_is_its_kernel(noisy, radius):
    sigma = 3.0
    blur = LowPassDenoiser(cutoff=1 / (2 * np.pi * sigma)).fit(noisy)
    result = equivalent_filter(blur, noisy, (25, 19), image=1, radius=radius)
    kernel = gaussian((48, 40), (25, 19), sigma)
    near = kernel >= 0
    if radius is not None:
        rows, columns = np.indices(kernel.shape)
        near = np.hypot(rows - 25, columns - 19) <= radius
    np.testing.assert_array_equal(np.isfinite(result.weights), near)
    # 2e-6: at a distance of 20 px, the kernel's mirror images
    np.testing.assert_allclose(result.weights[near], kernel[near], atol=5e-6)
    assert result.pixel == (25, 19)
    assert result.value == blur.transform(noisy[1:])[0, 25, 19]
    if radius is None:
        assert result.constant == pytest.approx(0, abs=1e-3)
    else:
        assert np.isnan(result.constant)


def test_field_of_view_of_a_gaussian():
    noisy = np.ones((1, 60, 60))
    sigma = 4.0
    blur = LowPassDenoiser(cutoff=1 / (2 * np.pi * sigma)).fit(noisy)
    result = equivalent_filter(blur, noisy, (30, 30))
    assert result.radius(0.5) == pytest.approx(sigma * np.sqrt(2 * np.log(2)), abs=0.3)
    assert result.radius(0.9) == pytest.approx(sigma * np.sqrt(2 * np.log(10)), abs=0.3)
    assert result.radius(1.0) <= 30 * np.sqrt(2)
    for bad in (0, 1.1, np.nan, "half"):
        with pytest.raises(ValueError, match="fraction"):
            result.radius(bad)


def test_wiener_is_a_box_where_there_is_noise_only():
    # no variance at all: the filter returns the local mean, close to this image too
    noisy = np.ones((1, 40, 40))
    result = equivalent_filter(
        WienerDenoiser(window_size=7).fit(noisy), noisy, (20, 18), radius=6, step=0.1
    )
    box = np.zeros((40, 40))
    box[17:24, 15:22] = 1 / 49
    near = np.isfinite(result.weights)
    np.testing.assert_allclose(result.weights[near], box[near], atol=1e-6)
    assert result.radius(1.0) == pytest.approx(3 * np.sqrt(2))


def test_wiener_against_its_derivative(noisy):
    # d/dy_j of m + g (y_i - m), with g = 1 - m / v, in a window of n pixels
    size, pixel = 9, (22, 17)
    image = noisy[0].astype(float) * 4  # structure well above the noise
    est = WienerDenoiser(window_size=size).fit(image[None])
    with pytest.warns(UserWarning, match="gain"):  # counts times 4
        result = equivalent_filter(est, image[None], pixel, radius=8, step=0.02)
    window = np.s_[18:27, 13:22]
    y, n = image[window], size**2
    m, v = y.mean(), y.var()
    gain = 1 - m / v
    assert gain > 0
    here = np.zeros((size, size))
    here[4, 4] = 1
    d_gain = -1 / (n * v) + m / v**2 * 2 * (y - m) / n
    expected = 1 / n + d_gain * (image[pixel] - m) + gain * (here - 1 / n)
    seen = result.weights[window]
    checked = y > 0.1  # others are differentiated a little above zero
    near = np.isfinite(seen) & checked
    np.testing.assert_allclose(seen[near], expected[near], atol=2e-3)


def fitted(network, **options):
    """A small network after one step: its weights do not matter."""
    est = SBDDenoiser(
        network=network, max_epochs=1, steps_per_epoch=1, batch_size=1, patch_size=32,
        precision="float32", orientations=2, random_state=0, device="cpu", **options,
    )  # fmt: skip
    with pytest.warns(PixelSizeWarning):  # asked once: `transform` takes the images as they come
        return est.fit(lattice_images(2, 64, 64))


@pytest.fixture(scope="module")
def unet():
    return fitted("unet", n_scales=1, base_channels=4)


@pytest.fixture(scope="module")
def fourier_unet():
    return fitted("fourier_unet", n_scales=2, base_channels=8)


def assert_is_gradient_of_transform(est, image, pixel, **params):
    """Compare with differences of `transform` in random directions."""
    result = equivalent_filter(est, image[None], pixel, transform_params=params)
    assert result.value == pytest.approx(est.transform(image[None], **params)[0][pixel], rel=1e-5)
    peak = np.abs(result.weights).max()
    rng = np.random.default_rng(1)
    directions = [result.weights / peak, np.ones(image.shape), *rng.normal(size=(2, *image.shape))]
    h = 3e-4  # so small that no Fourier coefficient crosses its threshold
    for v in directions:
        pair = np.stack([image + h * v, image - h * v]).astype(np.float32)
        high, low = est.transform(pair, **params)[:, *pixel].astype(np.float64)
        # the tolerance is the rounding of single precision over the step
        assert (high - low) / (2 * h) == pytest.approx(
            (result.weights * v).sum(), rel=0.01, abs=2e-3
        )
    return result


# Not whole: pixels cut by a bin are then shared by area, as they are in differentiation.
def image_of(shape, *, level=2.0):
    clean = lattice_images(1, *shape, level=level)[0]
    return (np.random.default_rng(2).poisson(clean) + 0.25).astype(np.float32)


@pytest.mark.parametrize("orientations", [1, 2, 4, 8])
def test_orientations(unet, orientations):
    est = copy.copy(unet).set_params(orientations=orientations)
    assert_is_gradient_of_transform(est, image_of((30, 37)), (11, 20))


@pytest.mark.parametrize(
    ("shape", "pixel", "pixel_size"),
    [
        ((65, 60), (31, 22), None),  # whole bins
        ((63, 57), (62, 56), None),  # the last of them incomplete, in the corner
        ((70, 61), (1, 40), 7.3),  # bins that cut pixels
    ],
)
def test_bins_and_the_way_back(fourier_unet, shape, pixel, pixel_size):
    params = {} if pixel_size is None else {"pixel_size": pixel_size}
    result = assert_is_gradient_of_transform(fourier_unet, image_of(shape), pixel, **params)
    assert result.weights.shape == shape
    assert np.isfinite(result.constant)


@pytest.mark.parametrize("network", ["dncnn", "small_unet"])
def test_other_networks(network):
    assert_is_gradient_of_transform(fitted(network), image_of((26, 28)), (13, 9))


def test_bias_free_networks_are_locally_linear(unet):
    result = equivalent_filter(unet, image_of((30, 30))[None], (15, 15))
    assert result.constant == pytest.approx(0, abs=1e-9)


def test_both_methods_agree(unet):
    image = image_of((24, 24))[None]
    exact = equivalent_filter(unet, image, (12, 12), method="autograd")
    near = equivalent_filter(
        unet, image, (12, 12), method="finite_differences", radius=3, step=0.005
    )
    inside = np.isfinite(near.weights)
    assert inside.sum() == 29
    error = near.weights[inside] - exact.weights[inside]
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(exact.weights[inside])


@pytest.mark.parametrize("pixel", [(50, 52), (3, 99), (107, 0)])
def test_large_images_are_seen_through_a_tile(unet, monkeypatch, pixel):
    image = image_of((108, 100))[None]
    whole = equivalent_filter(unet, image, pixel)
    tile = 2 * unet.network_.halo + 20
    assert tile < 100
    monkeypatch.setattr(gradient, "TILE", tile)
    part = equivalent_filter(unet, image, pixel)
    # not quite the same: this network interpolates by the size of what it sees
    assert np.abs(part.weights - whole.weights).max() < 0.01 * np.abs(whole.weights).max()
    assert part.value == pytest.approx(whole.value, rel=0.01)


@pytest.mark.filterwarnings("ignore:(The pixel size that fits best|At no pixel size)")
def test_finds_the_pixel_size(fourier_unet):
    image = np.floor(image_of((40, 40)))[None]  # whole counts
    found = fourier_unet.estimate_pixel_size(image)
    looked_for = equivalent_filter(
        fourier_unet, image, (20, 20), transform_params={"pixel_size": "auto"}
    )
    told = equivalent_filter(fourier_unet, image, (20, 20), transform_params={"pixel_size": found})
    np.testing.assert_array_equal(looked_for.weights, told.weights)


class Root(BaseDenoiser):
    """A method of a user's own, which torch can differentiate: sqrt(1 + power * blurred**2)."""

    def transform(self, X, *, power=1.0):
        return np.stack([self._estimate(image, power).numpy() for image in torch.tensor(X)])

    def pixel_gradient(self, image, pixel, *, power=1.0):
        image = torch.tensor(image, dtype=torch.float64, requires_grad=True)
        value = self._estimate(image, power)[pixel]
        value.backward()
        return float(value.detach()), image.grad.numpy()

    def _estimate(self, image, power):
        blurred = torch.nn.functional.avg_pool2d(image[None], 3, stride=1, padding=1)[0]
        return torch.sqrt(1 + power * blurred**2)


def test_any_estimator_may_differentiate_itself(noisy):
    est = Root().fit(noisy)
    image, params = noisy[:1, :20, :20], {"power": 2.0}
    result = equivalent_filter(est, image, (7, 5), transform_params=params)
    mean = image[0, 6:9, 4:7].mean(dtype=np.float64)
    expected = np.zeros((20, 20))
    expected[6:9, 4:7] = 2 * mean / np.sqrt(1 + 2 * mean**2) / 9
    np.testing.assert_allclose(result.weights, expected, rtol=1e-6)
    assert result.value == pytest.approx(np.sqrt(1 + 2 * mean**2))
    near = equivalent_filter(
        est, image, (7, 5), transform_params=params, method="finite_differences", step=0.01
    )
    np.testing.assert_allclose(near.weights, result.weights, atol=1e-3)
    with pytest.raises(ValueError, match=r"holds \['mask'\]; automatic .* takes only power"):
        equivalent_filter(est, image, (7, 5), transform_params={"mask": None})
    est.pixel_gradient = lambda image, pixel: (0.0, image[0])
    with pytest.raises(ValueError, match=r"gradient of shape \(20,\) for an image of \(20, 20\)"):
        equivalent_filter(est, image, (7, 5))


def test_leaves_the_denoiser_as_it_was(unet, noisy):
    before = unet.transform(noisy)
    equivalent_filter(unet, noisy, (3, 4))
    np.testing.assert_array_equal(unet.transform(noisy), before)
    assert next(unet.network_.parameters()).requires_grad


def test_zeros_and_empty_images(noisy):
    # an image without counts: no weight is lost to a division by zero
    blur = LowPassDenoiser(cutoff=0.08).fit(noisy)
    result = equivalent_filter(blur, np.zeros((1, 30, 30)), (15, 15), radius=10)
    assert np.nansum(result.weights) == pytest.approx(1, abs=1e-3)
    flat = equivalent_filter(
        WienerDenoiser(window_size=1, noise=0.0).fit(noisy), noisy, (9, 9), radius=2
    )
    assert flat.radius(0.9) == 0


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((48, 0), {}, IndexError, "row must be from 0 to 47"),
        ((0, -1), {}, IndexError, "column must be from 0 to 39"),
        ((1.5, 2), {}, TypeError, "row must be an integer"),
        (7, {}, TypeError, "row, column"),
        ((1, 2), {"image": 2}, IndexError, "image must be from 0 to 1"),
        ((1, 2), {"method": "exact"}, ValueError, "method must be"),
        ((1, 2), {"method": "autograd"}, TypeError, "cannot be differentiated automatically"),
        ((1, 2), {"radius": 0}, ValueError, "radius"),
        ((1, 2), {"step": -1}, ValueError, "step"),
    ],
)
def test_bad_arguments(noisy, arguments, options, error, message):
    blur = LowPassDenoiser().fit(noisy)
    with pytest.raises(error, match=message):
        equivalent_filter(blur, noisy, arguments, **options)


def test_what_automatic_differentiation_does_not_know(unet, noisy):
    with pytest.raises(ValueError, match="for finite differences"):
        equivalent_filter(unet, noisy, (1, 2), radius=3)
    with pytest.raises(ValueError, match="takes only pixel_size"):
        equivalent_filter(unet, noisy, (1, 2), transform_params={"mask": None})
    with pytest.raises(ValueError, match="Negative"):
        equivalent_filter(unet, noisy - 1, (1, 2))


def test_large_images_want_a_radius(noisy):
    blur = LowPassDenoiser().fit(noisy)
    with pytest.raises(ValueError, match="give a radius"):
        equivalent_filter(blur, np.ones((1, 200, 200)), (100, 100))
    with pytest.raises(ValueError, match="2D array"):
        equivalent_filter(blur, noisy[0], (1, 2))


def test_display(noisy):
    blur = LowPassDenoiser(cutoff=0.1).fit(noisy)
    display = EquivalentFilterDisplay.from_estimator(
        blur, noisy, (20, 10), radius=8, pixel_size=5.0
    )
    (image,) = display.ax_.images
    np.testing.assert_array_equal(image.get_array().filled(np.nan), display.result.weights)
    half, most = display.ax_.patches
    assert half.get_radius() == pytest.approx(display.result.radius(0.5) * 0.005)
    assert most.center == pytest.approx((0.05, 0.1))
    again = EquivalentFilterDisplay(display.result).plot(fractions=[0.2], limit=0.5)
    assert again.ax_.images[0].get_clim() == (-0.5, 0.5)
    assert again.ax_.get_ylabel() == "y (px)"
    again.figure_.canvas.draw()


@pytest.mark.parametrize("method", ["finite_differences", "autograd"])
def test_images_that_know_their_pixel_size(noisy, method):
    known = ImageStack(noisy, pixel_size=25.0)
    options = {"method": method, "radius": 2.0 if method == "finite_differences" else None}
    if method == "autograd":
        est = SBDDenoiser.from_pretrained()
        with pytest.warns(PixelSizeWarning, match="assumes 6.22 pm"):
            without = equivalent_filter(est, noisy, (24, 20), **options)
    else:
        est = LowPassDenoiser(cutoff=0.3, unit="1/angstrom").fit(noisy)
        with pytest.raises(ValueError, match="needs the pixel size"):
            equivalent_filter(est, noisy, (24, 20), **options)
        without = equivalent_filter(LowPassDenoiser(cutoff=0.3).fit(noisy), noisy, (24, 20))
    params = {"pixel_size": 25.0}
    expected = equivalent_filter(est, noisy, (24, 20), transform_params=params, **options)
    result = equivalent_filter(est, known, (24, 20), **options)
    np.testing.assert_array_equal(result.weights, expected.weights)
    assert not np.allclose(result.weights, without.weights, equal_nan=True)
    # what is said for transform wins
    params = {"pixel_size": 12.5}
    other = equivalent_filter(est, known, (24, 20), transform_params=params, **options)
    assert not np.allclose(other.weights, expected.weights, equal_nan=True)
    display = EquivalentFilterDisplay.from_estimator(est, known, (24, 20), **options)
    assert display.ax_.get_xlabel() == "x (nm)"
