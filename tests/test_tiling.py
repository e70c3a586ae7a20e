"""Tiling changes memory, not results."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter

from temdenoise.tiling import _cover, apply_tiled


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(3.0, (157, 211)).astype(np.float32)


def smooth(tile):
    return gaussian_filter(tile, 1.5, radius=6)


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize(("tile", "halo"), [(32, 0), (33, 3), (64, 16), (150, 20)])
def test_identity(image, tile, halo, multiple):
    out = apply_tiled(lambda t: t, image, tile=tile, halo=halo, multiple=multiple)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, image, rtol=1e-6)


@pytest.mark.parametrize("halo", [6, 10])
@pytest.mark.parametrize("multiple", [1, 4, 5])
@pytest.mark.parametrize("tile", [29, 48, 100, 156])
def test_local_filter_equals_the_untiled_one(image, tile, halo, multiple):
    out = apply_tiled(smooth, image, tile=tile, halo=halo, multiple=multiple)
    np.testing.assert_allclose(out, smooth(image), rtol=1e-5)


def test_non_linear_filter_equals_the_untiled_one(image):
    out = apply_tiled(lambda t: maximum_filter(t, 9), image, tile=40, halo=4)
    np.testing.assert_allclose(out, maximum_filter(image, 9), rtol=1e-6)


def test_too_small_a_halo_shows(image):
    out = apply_tiled(smooth, image, tile=48, halo=2)
    assert np.abs(out - smooth(image)).max() > 1e-3


def test_one_tile_is_one_call(image):
    calls = []

    def function(tile):
        calls.append(tile.shape)
        return tile

    apply_tiled(function, image, tile=211, halo=100)
    assert calls == [(157, 211)]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 200), (200, 1), (7, 90)])
def test_images_smaller_than_the_halo(shape):
    image = np.random.default_rng(1).random(shape).astype(np.float32)
    out = apply_tiled(smooth, image, tile=64, halo=20)
    np.testing.assert_allclose(out, smooth(image), rtol=1e-5)


def test_tiles_start_on_multiples_and_stay_small(image):
    index = np.arange(image.size).reshape(image.shape)
    corners = []

    def function(tile):
        corners.append(divmod(int(tile[0, 0]), image.shape[1]))
        assert max(tile.shape) <= 60
        return tile

    apply_tiled(function, index, tile=60, halo=8, multiple=16)
    assert len(corners) > 6
    assert all(y % 16 == 0 and x % 16 == 0 for y, x in corners)


@pytest.mark.parametrize("multiple", [1, 2, 7, 16])
def test_weights_add_up_to_one_and_spare_the_halo(multiple):
    tile, halo, blend = 50, 8, 4
    for size in range(1, 400, 7):
        total = np.zeros(size)
        for span in _cover(size, tile, halo, multiple, blend):
            total[span.first : span.last] += span.weight
            assert span.weight.min() > 0
            assert span.start % multiple == 0
            assert span.first == 0 or span.first - span.start >= halo
            assert span.last == size or span.stop - span.last >= halo
        np.testing.assert_allclose(total, 1, rtol=1e-6)


@pytest.mark.parametrize(("size", "most"), [(1100, 1.4), (1024, 1.0), (2048, 1.4), (1025, 1.4)])
def test_little_is_done_twice(size, most):
    spans = _cover(size, 1024, 100, 16, 25)
    assert max(span.stop - span.start for span in spans) <= 1024
    assert sum(span.stop - span.start for span in spans) <= most * size


def test_blending_leaves_no_step():
    # A function that adds a different constant to every tile: the worst seam there is.
    offsets = iter(range(100))
    out = apply_tiled(lambda t: t + next(offsets), np.zeros((20, 200)), tile=60, halo=10, blend=20)
    assert out.max() > 1.9
    assert np.abs(np.diff(out, axis=1)).max() < 1.001 / 20 + 1e-6


def test_channels_in_one_image_out(image):
    stack = np.stack([image, image + 1, image + 2])
    out = apply_tiled(lambda t: t.mean(axis=0), stack, tile=50, halo=4)
    np.testing.assert_allclose(out, image + 1, rtol=1e-5)
    both = apply_tiled(lambda t: t[:2], stack, tile=50, halo=4)
    np.testing.assert_allclose(both, stack[:2], rtol=1e-5)


def test_memmap_in_and_out(tmp_path, image):
    np.save(tmp_path / "in.npy", image)
    source = np.load(tmp_path / "in.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, image.shape)
    out[...] = 5  # what is there before must not matter
    returned = apply_tiled(smooth, source, tile=64, halo=8, out=out)
    assert returned is out
    out.flush()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), smooth(image), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 16, "halo": 8}, "tile=16 is too small for halo=8.*at least 19"),
        ({"tile": 64, "halo": -1}, "halo must be at least 0"),
        ({"tile": 64, "halo": 4, "multiple": 0}, "multiple must be at least 1"),
        ({"tile": 64, "halo": 4, "out": np.zeros((3, 3), np.float32)}, "out has shape"),
        ({"tile": 64, "halo": 4, "out": np.zeros((157, 211))}, "out must be float32"),
    ],
)
def test_bad_arguments(image, arguments, message):
    with pytest.raises(ValueError, match=message):
        apply_tiled(smooth, image, **arguments)


def test_other_bad_input(image):
    with pytest.raises(TypeError, match="tile must be an integer"):
        apply_tiled(smooth, image, tile=64.0, halo=4)
    with pytest.raises(ValueError, match="got shape"):
        apply_tiled(smooth, image[0], tile=64, halo=4)
    with pytest.raises(ValueError, match="share memory"):
        apply_tiled(smooth, image, tile=64, halo=4, out=image)
    with pytest.raises(ValueError, match="last two axes must be the same"):
        apply_tiled(lambda t: t[1:], image, tile=64, halo=4)
