"""Columns of known position, width and height are found as such."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, gaussian_laplace
from scipy.spatial import cKDTree
from skimage.feature import blob_log

from temdenoise import make_ptceo2
from temdenoise.atoms import column_polarity, find_atoms, split_surface_bulk
from temdenoise.atoms.find import image_range
from temdenoise.images import ImageStack, PixelSizeWarning

VACUUM = 0.45


def render(x, y, *, height=0.2, sigma=8.0, shape=(300, 340), background=VACUUM):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, background)
    for a, b, h, s in zip(*np.broadcast_arrays(x, y, height, sigma), strict=True):
        image += h * np.exp(-((columns - a) ** 2 + (rows - b) ** 2) / (2 * s**2))
    return image


@pytest.fixture
def lattice():
    """Columns about 45 px (2.8 A at 6.22 pm) apart, at positions between the pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[40:270:45, 45:310:45].reshape(2, -1).astype(float)
    return x + rng.uniform(-3, 3, x.size), y + rng.uniform(-3, 3, x.size)


def distances(atoms, x, y):
    found = atoms[["x", "y"]].to_numpy()
    assert len(found) == len(x)
    distance, nearest = cKDTree(found).query(np.column_stack([x, y]))
    assert len(set(nearest)) == len(x)
    return distance


@pytest.mark.parametrize("height", [0.2, -0.2])
def test_positions_of_either_polarity(lattice, height):
    image = render(*lattice, height=height)
    atoms = find_atoms(image, pixel_size=6.22)
    # Neighbours 45 px away pull the maximum by a fraction of a pixel; alone it is exact (below).
    assert distances(atoms, *lattice).max() < 0.4
    right, other = ("bright", "dark") if height > 0 else ("dark", "bright")
    assert atoms.equals(find_atoms(image, pixel_size=6.22, polarity=right))
    found = find_atoms(image, pixel_size=6.22, polarity=other)[["x", "y"]].to_numpy()
    if len(found):  # the other polarity gives the space between the columns, never a column
        assert cKDTree(np.column_stack(lattice)).query(found)[0].min() > 10


def test_response_intensity_and_radius_of_one_column():
    height, sigma = 0.3, 8.0
    image = render([160.3], [149.6], height=height, sigma=sigma)
    atoms = find_atoms(image, sigma=sigma)
    assert len(atoms) == 1
    row = atoms.iloc[0]
    np.testing.assert_allclose(row[["x", "y"]].to_numpy(dtype=float), [160.3, 149.6], atol=5e-3)
    low, high = np.quantile(image, [0.001, 0.999])
    np.testing.assert_allclose(row["response"], height / (2 * (high - low)), rtol=1e-2)
    np.testing.assert_allclose(row["intensity"], VACUUM + height, rtol=2e-3)
    np.testing.assert_allclose(row["radius"], np.sqrt(2) * sigma)


def test_threshold_is_the_same_at_every_dose(lattice):
    heights = np.linspace(0.02, 0.4, len(lattice[0]))
    image = render(*lattice, height=heights)
    atoms = find_atoms(image, threshold=0.2)
    assert 0 < len(atoms) < len(heights)
    assert atoms["response"].min() > 0.2
    assert (atoms["response"].diff().dropna() <= 0).all()
    brighter = find_atoms(37 * image, threshold=0.2)
    pd.testing.assert_frame_equal(
        brighter.drop(columns="intensity"), atoms.drop(columns="intensity"), rtol=1e-4
    )
    np.testing.assert_allclose(brighter["intensity"], 37 * atoms["intensity"], rtol=1e-5)


@pytest.mark.parametrize("offset", [100, -100.0, 1e5])
def test_an_offset_changes_nothing(lattice, offset):
    image = render(*lattice, height=np.linspace(0.02, 0.4, len(lattice[0])))
    image += np.random.default_rng(0).normal(0, 0.005, image.shape)
    atoms, moved = find_atoms(image), find_atoms(image + offset)
    assert 0 < len(atoms) < len(lattice[0])
    kept = ["x", "y", "radius", "response"]
    pd.testing.assert_frame_equal(moved[kept], atoms[kept], rtol=1e-5)
    np.testing.assert_allclose(moved["intensity"], atoms["intensity"] + offset, rtol=1e-5)
    assert column_polarity(image + offset) == column_polarity(image)
    # single precision leaves some digits of the image
    single = find_atoms((image + 100).astype(np.float32))
    pd.testing.assert_frame_equal(single[kept], atoms[kept], atol=0.02)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_rounding_is_no_column(offset):
    noise = np.random.default_rng(0).integers(-1, 2, (64, 64))
    rounded = np.full((64, 64), np.float32(0.45 + offset)) * (1 + noise * np.float32(6e-8))
    assert np.ptp(rounded) > 0
    assert find_atoms(rounded).empty


def test_hot_pixels_do_not_widen_the_range(lattice):
    image = render(*lattice)
    hot = image.copy()
    hot[[3, 150, 290], [4, 331, 200]] = 1e3 * image.max()
    assert image_range(hot) == pytest.approx(image_range(image), rel=0.01)
    single = np.zeros((64, 64))
    single[30, 30] = 5  # too few pixels for the quantiles
    assert image_range(single) == pytest.approx(5)
    mask = np.zeros(image.shape, dtype=bool)
    mask[:30] = True
    assert image_range(np.where(mask, np.nan, image), mask) == image_range(image[30:])


def dumbbells(distance, *, angle=0.4, step=52.0, sigma=5.0, weaker=1.0):
    """Pairs of columns on a hexagonal lattice, one of them weaker than the other."""
    row, column = np.mgrid[-4:12, -4:12].reshape(2, -1)
    x, y = step * (column + row / 2), step * row * np.sqrt(3) / 2
    inside = (x > 30) & (x < 380) & (y > 30) & (y < 330)
    x, y = x[inside], y[inside]
    dx, dy = distance * np.cos(angle), distance * np.sin(angle)
    height = np.r_[np.full(x.size, 0.2), np.full(x.size, 0.2 * weaker)]
    return np.r_[x, x + dx], np.r_[y, y + dy], height, sigma


@pytest.mark.parametrize("contrast", [1, -1])
@pytest.mark.parametrize("weaker", [1.0, 0.8])
def test_pairs_of_columns_are_warned_of(contrast, weaker):
    x, y, height, sigma = dumbbells(14.0, weaker=weaker)
    image = render(x, y, height=contrast * height, sigma=sigma, shape=(370, 420))
    options = {"polarity": "bright" if contrast > 0 else "dark", "exclude_border": 20}
    with pytest.warns(UserWarning, match=r"hold a pair of columns.* Give sigma=4 ") as caught:
        merged = find_atoms(image, pixel_size=7.5, **options)
    assert [warning.filename for warning in caught] == [__file__]
    atoms = find_atoms(image, sigma=4, **options)
    assert len(merged) < 0.6 * len(x)
    assert distances(atoms, x, y).max() < 0.8


def test_columns_that_were_found_both_are_no_pairs():
    x, y, height, sigma = dumbbells(16.0)
    image = render(x, y, height=height, sigma=sigma, shape=(370, 420))
    assert len(find_atoms(image, pixel_size=7.5)) == len(x)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_single_columns_are_no_pairs(lattice, noise):
    # a warning is an error here
    image = render(*lattice, height=0.3)
    image += noise * np.random.default_rng(0).normal(size=image.shape)
    assert len(find_atoms(image, pixel_size=7.5)) == len(lattice[0]) or noise > 0.1
    find_atoms(image, pixel_size=7.5, threshold=0.01)


@pytest.fixture(scope="module")
def ceria():
    return make_ptceo2(4, models="varied", images_per_model=1, pixel_size=12.44, random_state=3)


@pytest.mark.parametrize("dose", [None, 0.1, 0.45, 3.0])
def test_no_pairs_on_ceria(ceria, dose):
    images = np.asarray(ceria.data)
    if dose is not None:
        images = np.random.default_rng(0).poisson(images * dose / 0.45)
    for image in images:
        find_atoms(image, pixel_size=ceria.pixel_size)
        find_atoms(gaussian_filter(image.astype(float), 3), pixel_size=ceria.pixel_size)


def test_images_that_know_their_pixel_size(lattice):
    image = render(*lattice, sigma=4.0)
    stack = ImageStack(image[np.newaxis], pixel_size=15.0)
    expected = find_atoms(image, pixel_size=15.0)
    atoms = find_atoms(stack[0])
    pd.testing.assert_frame_equal(atoms, expected)
    assert type(atoms["x"].to_numpy()) is np.ndarray
    assert atoms.attrs["pixel_size"] == expected.attrs["pixel_size"] == 15.0
    assert "pixel_size" not in find_atoms(image, sigma=4).attrs
    assert column_polarity(stack[0]) == column_polarity(image, pixel_size=15.0)
    # the keyword wins, and that is said once
    with pytest.warns(PixelSizeWarning, match="pixel_size=7.5 pm is used.*of 15 pm") as caught:
        other = find_atoms(stack[0], pixel_size=7.5)
    assert [warning.filename for warning in caught] == [__file__]
    pd.testing.assert_frame_equal(other, find_atoms(image, pixel_size=7.5))
    find_atoms(stack[0], pixel_size=15.05)  # the same but for rounding
    surface, bulk = split_surface_bulk(atoms)
    sizes = [len(t) for t in split_surface_bulk(atoms[["x", "y"]].to_numpy(), pixel_size=15.0)]
    assert [len(surface), len(bulk)] == sizes
    assert sizes != [len(t) for t in split_surface_bulk(atoms[["x", "y"]].to_numpy())]
    with pytest.warns(PixelSizeWarning) as caught:
        split_surface_bulk(atoms, pixel_size=6.22)
    assert [warning.filename for warning in caught] == [__file__]


def test_pixel_size_sets_the_scale():
    x, y = np.array([60.0, 240.0]), np.array([150.0, 150.0])
    coarse = find_atoms(render(x, y, sigma=4.0), pixel_size=12.5).sort_values("x")
    fine = find_atoms(render(2 * x, 2 * y, sigma=8.0, shape=(600, 680)), pixel_size=6.25)
    fine = fine.sort_values("x")
    np.testing.assert_allclose(coarse["radius"] * 12.5, 60 * np.sqrt(2))
    np.testing.assert_allclose(fine["radius"] * 6.25, 60 * np.sqrt(2))
    np.testing.assert_allclose(2 * coarse[["x", "y"]], fine[["x", "y"]], atol=0.05)


def test_an_absurd_pixel_size_is_questioned():
    image = render(np.array([100.0]), np.array([150.0]), sigma=8.0)
    with pytest.warns(UserWarning, match="pixel_size=622 pm .*Is pixel_size in pm"):
        find_atoms(image, pixel_size=622.0)
    assert len(find_atoms(image, pixel_size=622.0, sigma=8.0)) == 1  # nothing hangs on it
    with pytest.raises(ValueError, match="is it in nm"):
        find_atoms(image, pixel_size=0.00622)


def test_each_column_is_reported_at_its_own_scale():
    x, y, sigma = np.array([80.0, 230.0]), np.array([150.0, 150.0]), np.array([5.0, 12.0])
    atoms = find_atoms(render(x, y, sigma=sigma), sigma=[12, 5, 8]).sort_values("x")
    # The scale-normalised response of a Gaussian is largest at its own sigma.
    np.testing.assert_allclose(atoms["radius"], np.sqrt(2) * sigma)


def test_agrees_with_scikit_image(lattice):
    image = render(*lattice, height=np.linspace(0.05, 0.4, len(lattice[0])))
    atoms = find_atoms(image, sigma=8, threshold=0.05, polarity="bright")
    oracle = blob_log(
        image,
        min_sigma=8,
        max_sigma=8,
        num_sigma=1,
        threshold=0.05 * image_range(image),
        overlap=0.2,
    )
    assert distances(atoms, oracle[:, 1], oracle[:, 0]).max() <= np.sqrt(0.5) + 0.05


def test_columns_on_the_border():
    # A column half outside, one close to the border, one well inside.
    image = render([0, 10, 150], [100, 200, 150])
    for border, expected in ((True, [150]), (5, [10, 150]), (False, [0, 10, 150])):
        x = sorted(find_atoms(image, exclude_border=border)["x"])
        assert len(x) == len(expected)
        # What the border cuts off shifts the maximum by up to a pixel.
        np.testing.assert_allclose(x, expected, atol=1.5)


def test_masked_pixels_hold_no_column_and_harm_none(lattice):
    image = render(*lattice)
    expected = find_atoms(image)
    mask = np.zeros(image.shape, dtype=bool)
    mask[:25, :140] = True
    label = image.copy()
    label[mask] = 30 * (np.random.default_rng(0).random(mask.sum()) > 0.5)
    assert find_atoms(label, exclude_border=False)["y"].min() < 25
    label[3, 4] = np.nan
    atoms = find_atoms(label, mask=mask)
    kept = distances(atoms, expected["x"], expected["y"])
    assert kept.max() < 0.5
    with pytest.raises(ValueError, match="row 3, column 4"):
        find_atoms(label)
    with pytest.raises(ValueError, match="mask has shape"):
        find_atoms(image, mask=mask[1:])
    # whatever a masked pixel holds
    spoiled = np.where(mask, 1e300, image)
    spoiled[mask] *= np.where(np.arange(mask.sum()) % 2, 1, -1)
    pd.testing.assert_frame_equal(
        find_atoms(spoiled, mask=mask), find_atoms(np.where(mask, 0, image), mask=mask)
    )
    with pytest.raises(ValueError, match="every pixel"):
        find_atoms(image, mask=np.ones_like(mask))


def test_radius_between_scales():
    atoms = find_atoms(render([150.0], [150.0], sigma=9.0), sigma=np.geomspace(4, 16, 5))
    # scales 4, 5.7, 8, 11.3, 16
    np.testing.assert_allclose(atoms["radius"], np.sqrt(2) * 9, rtol=0.02)


@pytest.mark.parametrize("height", [0.2, -0.2])
def test_polarity_is_that_of_the_strongest_blobs(lattice, height):
    # Twelve columns, and five times as many weaker spots of the opposite sign.
    few, many = [v[:12] for v in lattice], [np.r_[v[12:], v + 22] for v in lattice]
    image = render(*few, height=height) + render(*many, height=-0.9 * height, background=0.0)
    skew = np.mean(gaussian_laplace(image - image.mean(), 8) ** 3)
    assert np.sign(skew) == np.sign(height)  # a skewness would be misled: the LoG turns the sign
    expected = "bright" if height > 0 else "dark"
    assert column_polarity(image, sigma=8) == expected
    assert column_polarity(render([170.0], [150.0], height=height)) == expected


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_plateau_is_one_column(shift):
    assert len(find_atoms(render([150 + shift], [120 + shift]))) == 1


@pytest.mark.parametrize("value", [0.0, 0.45])
def test_no_column_gives_an_empty_table(lattice, value):
    none = find_atoms(np.full((64, 64), value))
    some = find_atoms(render(*lattice))
    assert len(none) == 0
    pd.testing.assert_series_equal(none.dtypes, some.dtypes)
    assert list(none.columns) == ["x", "y", "radius", "intensity", "response"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (3, 300)])
def test_tiny_images(shape):
    image = np.random.default_rng(0).random(shape)
    for border in (True, False):
        atoms = find_atoms(image, exclude_border=border, threshold=1e-6)
        assert atoms["x"].between(-0.5, shape[1] - 0.5).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float64, ">f4"])
def test_any_real_dtype_and_no_change_of_the_input(lattice, dtype):
    image = (100 * render(*lattice)).astype(dtype)
    image.setflags(write=False)
    assert len(find_atoms(image)) == len(lattice[0])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.ones((2, 5, 5)), ValueError, r"shape \(2, 5, 5\).*of a stack one by one"),
        (np.ones(5), ValueError, r"got shape \(5,\)"),
        (np.ones((0, 5)), ValueError, r"with pixels, got shape \(0, 5\)"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), ValueError, "row 1, column 1"),
        (np.array([[1.0, np.inf]]), ValueError, "row 0, column 1"),
        (np.ones((5, 5), complex), TypeError, "complex"),
        (np.full((5, 5), "a"), TypeError, "real numbers"),
        (np.full((5, 5), 1e300), ValueError, "25 pixels .* too large for float32"),
        (np.ma.masked_equal(np.eye(5), 1), ValueError, "image is a masked array .* mask="),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        find_atoms(image)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pixel_size": 0}, ValueError, "pixel_size"),
        ({"pixel_size": "auto"}, TypeError, "pixel_size"),
        ({"sigma": -1}, ValueError, "sigma"),
        ({"sigma": []}, ValueError, "at least one"),
        ({"threshold": 0}, ValueError, "threshold"),
        ({"threshold": np.nan}, ValueError, "threshold"),
        ({"polarity": "white"}, ValueError, "polarity"),
        ({"exclude_border": -3}, ValueError, "exclude_border"),
    ],
)
def test_bad_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        find_atoms(np.ones((20, 20)), **arguments)


@pytest.mark.parametrize(("n_bright", "height"), [(21, 0.99), (19, 1.01), (40, 0.9)])
def test_the_twenty_strongest_decide_the_polarity(n_bright, height):
    # 20 dark blobs of height 1: with 21 strongest the first case would turn, with 19 the second
    places = [(y, x) for y in range(24, 400, 48) for x in range(24, 400, 48)]
    y, x = np.indices((400, 400))
    image = np.zeros((400, 400))
    for k, (b, a) in enumerate(places[: 20 + n_bright]):
        spot = np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 4**2))
        image += -spot if k < 20 else height * spot
    assert column_polarity(image, sigma=4) == "dark"
    assert column_polarity(-image, sigma=4) == "bright"
