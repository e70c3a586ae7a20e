"""Sites without a column: one column less of an exact lattice, surfaces, borders, masks."""

import numpy as np
import pytest
from scipy.stats import kstest

from temdenoise import LowPassDenoiser
from temdenoise.atoms import missing_columns

PIXEL_SIZE = 6.0
SHAPE = (330, 330)
SITES = np.array([(70.0 + 45 * i, 70.0 + 45 * j) for i in range(5) for j in range(5)])
MIDDLE, EDGE, CORNER = 12, 2, 0
COLUMNS = [
    "frame", "x", "y", "drawn", "height_predicted", "height_counted", "p_value", "q_value",
    "missing",
]  # fmt: skip


def scene(heights=0.6, sites=SITES, shape=SHAPE, level=1.0, sigma=10.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, level)
    for height, (u, v) in zip(np.broadcast_to(heights, len(sites)), sites, strict=True):
        image += height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))
    return image


def without(*numbers, share=0.0):
    heights = np.full(len(SITES), 0.6)
    heights[list(numbers)] *= share
    return scene(heights)


class Draws:
    """A denoiser that draws an image, whatever the counts."""

    def __init__(self, image):
        self.image = image

    def transform(self, X):
        level = np.mean(X, axis=(1, 2), keepdims=True)
        return (level * self.image / self.image.mean()).astype(np.float32)


def look(true, drawn, dose=40, seed=0, **options):
    counts = np.random.default_rng(seed).poisson(dose * true)
    options = {"pixel_size": PIXEL_SIZE, "random_state": 0, "polarity": "bright"} | options
    return missing_columns(Draws(drawn), counts, **options)


def found(table):
    return table.loc[table["missing"], ["x", "y"]].to_numpy()


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("gone", [MIDDLE, EDGE])
def test_a_removed_column_is_missing_whether_or_not_it_is_drawn(gone, drawn):
    table = look(without(gone), scene() if drawn else without(gone))
    np.testing.assert_allclose(found(table), SITES[[gone]], atol=1)
    assert list(table) == COLUMNS
    first = table.iloc[0]
    assert (first["missing"], first["drawn"]) == (True, drawn)
    assert table["p_value"].is_monotonic_increasing
    np.testing.assert_allclose(table["height_predicted"], 0.6 * 40, rtol=0.15)
    assert abs(first["height_counted"]) < 0.3 * first["height_predicted"]
    assert table["drawn"].tolist() == [drawn] + [True] * (len(table) - 1)
    if drawn:
        assert len(table) == 25 - 4  # all but the corners are predicted


def test_a_missing_corner_is_not_predicted():
    table = look(without(CORNER), scene())
    assert not table["missing"].any()
    assert np.hypot(*(table[["x", "y"]] - SITES[CORNER]).to_numpy().T).min() > 20


def test_nothing_is_missing_in_a_whole_crystal():
    assert not look(scene(), scene())["missing"].any()
    # half of the height is less than the share, but too few electrons cannot tell
    assert not look(without(MIDDLE), scene(), dose=0.2)["missing"].any()


def test_p_values_are_uniform_at_exactly_the_share():
    sites = 40 + 60.0 * np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    low = np.add.outer(np.arange(8), np.arange(8)).ravel() % 2 == 1
    shape, share = (500, 500), 0.75
    drawn = scene(0.5, sites, shape)
    # the drawing is scaled to the mean of the counts, which hold fewer electrons
    scale = scene(np.where(low, share, 1.0) * 0.5, sites, shape).mean() / drawn.mean()
    true = scene(np.where(low, share * scale, 1.0) * 0.5, sites, shape)
    table = look(true, drawn, dose=2, max_share=share)
    number = np.rint((table[["x", "y"]] - 40) / 60).astype(int)
    low = (number.sum(axis=1) % 2 == 1).to_numpy()
    assert low.sum() == 30  # without two corners
    assert kstest(table.loc[low, "p_value"], "uniform").pvalue > 0.01
    assert not table["missing"].any()


@pytest.mark.parametrize(("max_share", "missing"), [(0.75, True), (0.25, False)])
def test_half_filled_columns(max_share, missing):
    table = look(without(MIDDLE, share=0.5), scene(), dose=200, max_share=max_share)
    assert table["missing"].any() == missing


def test_dark_columns():
    heights = np.full(len(SITES), -0.6)
    heights[MIDDLE] = 0
    table = look(scene(heights), scene(-0.6), polarity="auto")
    np.testing.assert_allclose(found(table), SITES[[MIDDLE]], atol=1)
    assert (table["height_predicted"] < 0).all()


def test_where_the_image_ends_nothing_is_missing():
    # the lattice fills the image, and ends with it
    sites = np.array([(45.0 * i, 45.0 * j) for i in range(8) for j in range(8)])
    table = look(scene(0.6, sites), scene(0.6, sites))
    assert len(table) > 20
    assert not table["missing"].any()
    assert table[["x", "y"]].min().min() >= 20


def test_nothing_is_missing_under_a_mask():
    mask = np.zeros(SHAPE, dtype=bool)
    x, y = SITES[MIDDLE].astype(int)
    mask[y - 15 : y + 16, x - 15 : x + 16] = True
    table = look(without(MIDDLE), scene(), mask=mask)
    assert not table["missing"].any()
    assert np.hypot(*(table[["x", "y"]] - SITES[MIDDLE]).to_numpy().T).min() > 20


def test_frames_of_a_movie():
    rng = np.random.default_rng(1)
    movie = np.stack([rng.poisson(40 * without(k)) for k in (MIDDLE, MIDDLE, EDGE)])
    table = missing_columns(Draws(scene()), movie, pixel_size=PIXEL_SIZE, random_state=0)
    gone = table[table["missing"]]
    assert gone["frame"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(gone[["x", "y"]], SITES[[MIDDLE, MIDDLE, EDGE]], atol=1)
    pairs = missing_columns(Draws(scene()), movie[:2], pixel_size=PIXEL_SIZE, split="frames")
    np.testing.assert_allclose(found(pairs), SITES[[MIDDLE, MIDDLE]], atol=1)
    assert table.attrs["pixel_size"] == PIXEL_SIZE


@pytest.mark.parametrize("n_columns", [0, 1, 2])
def test_without_a_lattice_there_are_no_sites(n_columns):
    image = scene(0.6, SITES[:n_columns])
    table = look(image, image)
    assert len(table) == 0
    assert list(table) == COLUMNS
    kinds = {"frame": "i", "x": "f", "drawn": "b", "q_value": "f", "missing": "b"}
    assert {name: table[name].dtype.kind for name in kinds} == kinds


def test_a_denoiser_of_the_library():
    counts = np.random.default_rng(2).poisson(40 * without(MIDDLE))
    denoiser = LowPassDenoiser(cutoff=0.03).fit(counts[np.newaxis])
    table = missing_columns(denoiser, counts, pixel_size=PIXEL_SIZE, random_state=0)
    np.testing.assert_allclose(found(table), SITES[[MIDDLE]], atol=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_share": 0}, ValueError, "max_share must be a share .* above 0 and below 1"),
        ({"max_share": 1.5}, ValueError, "max_share must be a share"),
        ({"max_share": "all"}, TypeError, "max_share must be a number"),
        ({"fdr": 0}, ValueError, "fdr must be"),
        ({"split": "half"}, ValueError, "split must be"),
        ({"polarity": "grey"}, ValueError, "polarity must be"),
        ({"mask": np.ones(SHAPE)}, ValueError, "mask must be of dtype bool"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        look(scene(), scene(), **options)


@pytest.mark.parametrize(
    ("noisy", "message"),
    [
        (np.full(SHAPE, -1), "missing_columns|negative"),
        (np.zeros(SHAPE), "holds no electron"),
        (np.full(SHAPE, 0.5), "not whole"),
        (np.zeros(9), "noisy"),
    ],
)
def test_bad_counts(noisy, message):
    with pytest.raises(ValueError, match=message):
        missing_columns(Draws(scene()), noisy, pixel_size=PIXEL_SIZE)
    with pytest.raises(TypeError, match="transform"):
        missing_columns(np.ones(3), noisy)
