"""Bins of counts and the way back, against block sums, statistics and scipy's splines."""

import numpy as np
import pytest
from scipy import ndimage

from temdenoise.binning import bin_counts, unbin


@pytest.mark.parametrize("factor", [1, 2, 3, 4.0])
def test_whole_factors_sum_blocks(factor):
    images = np.random.default_rng(0).poisson(0.7, size=(3, 24, 36))
    f = int(factor)
    expected = [
        [[image[y : y + f, x : x + f].sum() for x in range(0, 36, f)] for y in range(0, 24, f)]
        for image in images
    ]
    bins = bin_counts(images, factor)
    assert bins.dtype == np.float32
    np.testing.assert_array_equal(bins, expected)


def test_incomplete_bins_are_filled_by_the_mirror_image():
    image = np.arange(15.0).reshape(1, 3, 5)
    padded = np.pad(image[0], ((0, 1), (0, 1)), mode="symmetric")
    expected = padded.reshape(2, 2, 3, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(bin_counts(image, 2)[0], expected)
    # an image much smaller than its only bin is mirrored again and again
    np.testing.assert_array_equal(bin_counts(np.full((1, 1, 2), 3.0), 5), [[[75.0]]])
    np.testing.assert_allclose(bin_counts(np.full((1, 1, 2), 0.5), 4.5), [[[0.5 * 4.5**2]]])


@pytest.mark.parametrize("factor", [1.3, 2.5, 3.97])
def test_fractional_factors_keep_every_electron(factor):
    n = int(round(factor * 20))
    counts = np.random.default_rng(1).poisson(2.0, size=(2, n, n))
    bins = bin_counts(counts, n / 20)  # 20 x 20 whole bins: nothing is mirrored
    assert bins.shape == (2, 20, 20)
    np.testing.assert_array_equal(bins, np.round(bins))
    np.testing.assert_array_equal(bins.sum(axis=(1, 2)), counts.sum(axis=(1, 2)))


def test_each_electron_goes_where_its_pixel_lies():
    # a pixel of 10,000 electrons cut in both directions: 2.5 px bins, pixel (2, 2)
    counts = np.zeros((1, 5, 5))
    counts[0, 2, 2] = 10_000
    share = bin_counts(counts, 2.5)[0] / 10_000
    np.testing.assert_allclose(share, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 10_000))
    counts[...] = 0
    counts[0, 4, 0] = 7  # inside one bin
    np.testing.assert_array_equal(bin_counts(counts, 2.5)[0], [[0, 0], [7, 0]])


def test_fractional_bins_of_poisson_pixels_are_independent_poisson_bins():
    rate, factor, n = 0.6, 2.37, 200
    counts = np.random.default_rng(2).poisson(rate, size=(4, int(factor * n), int(factor * n)))
    bins = bin_counts(counts, factor)[:, : n - 1, : n - 1].astype(float)  # without mirrored pixels
    size = bins.size
    mean = rate * factor**2
    assert bins.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / size))
    # standard deviation of a Poisson variance: sqrt((mean + 2 mean^2) / size)
    tolerance = 5 * np.sqrt((mean + 2 * mean**2) / size)
    assert bins.var() == pytest.approx(mean, abs=tolerance)
    deviation = bins - mean
    for a, b in (
        (deviation[:, 1:], deviation[:, :-1]),
        (deviation[:, :, 1:], deviation[:, :, :-1]),
        (deviation[:, 1:, 1:], deviation[:, :-1, :-1]),
    ):
        assert abs(np.mean(a * b)) / mean < 5 / np.sqrt(size)


@pytest.mark.parametrize("factor", [1.7, 2.5, 3.0])
def test_other_values_are_shared_by_area(factor):
    # the integral of a picture made of unit squares, from its cumulative sum
    image = np.random.default_rng(3).random((1, 30, 30)) + 0.1
    n = int(30 / factor)
    edges = np.arange(n + 1) * factor
    integral = np.zeros((31, 31))
    integral[1:, 1:] = image[0].cumsum(0).cumsum(1)
    at_edges = ndimage.map_coordinates(integral, np.meshgrid(edges, edges, indexing="ij"), order=1)
    expected = np.diff(np.diff(at_edges, axis=0), axis=1)
    np.testing.assert_allclose(bin_counts(image, factor)[0, :n, :n], expected, rtol=1e-5)


def test_huge_values_do_not_overflow():
    image = np.full((1, 10, 10), 1e25)
    np.testing.assert_allclose(bin_counts(image, 2.5), 6.25e25, rtol=1e-6)


def test_sharing_is_repeatable_and_the_same_for_every_image():
    counts = np.random.default_rng(4).poisson(3.0, size=(1, 20, 20))
    np.testing.assert_array_equal(bin_counts(counts, 2.5), bin_counts(counts, 2.5))
    assert (bin_counts(counts, 2.5, random_state=1) != bin_counts(counts, 2.5)).any()


@pytest.mark.parametrize("factor", [0.99, 0, -2, np.nan, np.inf])
def test_bins_are_no_smaller_than_pixels(factor):
    with pytest.raises(ValueError, match="factor must be >= 1"):
        bin_counts(np.ones((1, 4, 4)), factor)


@pytest.mark.parametrize(("shape", "factor"), [((17, 29), 4), ((25, 18), 3), ((20, 20), 2)])
def test_unbin_matches_scipy_zoom(shape, factor):
    rates = np.random.default_rng(5).random((2, *shape)).astype(np.float32)
    pixels = unbin(rates, factor, (shape[0] * factor, shape[1] * factor))
    assert pixels.dtype == np.float32
    for image, result in zip(rates, pixels, strict=True):
        expected = ndimage.zoom(
            image.astype(float), factor, order=3, mode="grid-mirror", grid_mode=True
        )
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 2.4, 4.37])
def test_unbin_with_fractional_factors_matches_map_coordinates(factor):
    rates = np.random.default_rng(6).random((1, 19, 21))
    shape = (int(19 * factor), int(20.6 * factor))
    centres = [(np.arange(m) + 0.5) / factor - 0.5 for m in shape]
    expected = ndimage.map_coordinates(
        rates[0], np.meshgrid(*centres, indexing="ij"), order=3, mode="reflect"
    )
    np.testing.assert_allclose(unbin(rates, factor, shape)[0], expected, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2.5, 4])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 13), (40, 41)])
def test_constants_come_back_exactly(factor, shape):
    image = np.full((2, *shape), 0.25, dtype=np.float32)
    back = unbin(bin_counts(image, factor) / factor**2, factor, shape)
    np.testing.assert_allclose(back, image, rtol=2e-6)


@pytest.mark.parametrize("factor", [2, 3.3, 4])
def test_a_slow_pattern_survives_bins_and_back(factor):
    period = 10 * factor
    y, x = np.mgrid[:132, :132] + 0.5
    wave = np.cos(2 * np.pi * y / period) * np.cos(2 * np.pi * x / period)
    # averages over a pixel or a bin leave sinc(width / period) of the amplitude, per axis
    image = 1 + 0.5 * np.sinc(1 / period) ** 2 * wave
    expected = 1 + 0.5 * np.sinc(factor / period) ** 2 * wave
    back = unbin(bin_counts(image[None], factor) / factor**2, factor, wave.shape)[0]
    # Splines with ten bins a period err by less than 1e-3. A pixel cut by one of a bin's two edges
    # is taken to be constant, which errs by an eighth of the change across it.
    change = 0.5 * 2 * np.pi / period
    atol = 1e-3 if factor == int(factor) else 2 * change / 8 / factor
    np.testing.assert_allclose(back[20:-20, 20:-20], expected[20:-20, 20:-20], atol=atol)


def test_too_few_bins():
    with pytest.raises(ValueError, match="3 bins of 4 pixels cannot fill 13 pixels"):
        unbin(np.ones((1, 3, 3)), 4, (12, 13))


@pytest.mark.parametrize("factor", [1, 1.0])
def test_bins_of_one_pixel_come_back_as_they_are(factor):
    rates = np.random.default_rng(8).normal(size=(2, 7, 9))
    pixels = unbin(rates, factor, (7, 8))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, rates[..., :8].astype(np.float32))
    rates = rates.astype(np.float32)
    assert not np.may_share_memory(unbin(rates, factor, (7, 9)), rates)
    with pytest.raises(ValueError, match="cannot fill"):
        unbin(rates, factor, (7, 10))
