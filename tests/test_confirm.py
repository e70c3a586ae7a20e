"""Verdicts on columns: known scenes, known answers, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from scipy.stats import norm

from temdenoise import SBDDenoiser, WienerDenoiser, load_sample_movie, thin_counts
from temdenoise.atoms import confirm_atoms, confirm_atoms_from_halves, find_atoms
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.noise import CountsWarning
from temdenoise.plotting import AtomVerdictDisplay

PIXEL_SIZE = 6.0
COLUMNS = [
    "x", "y", "response", "region", "in_frame", "n_halves", "height_drawn", "height_counted",
    "height_kind", "p_value", "q_value", "p_share", "q_share", "present", "verdict",
]  # fmt: skip
TRUE = [(60.0, 60.0), (120.0, 60.0), (180.0, 60.0), (60.0, 120.0), (120.0, 120.0)]
FALSE = (180.0, 120.0)
SHAPE = (180, 240)


def scene(sites, height=0.5, level=1.0, shape=SHAPE, sigma=10.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, level)
    for k, (u, v) in enumerate(sites):  # no two alike, so that their order is defined
        image += (1 + 0.02 * k) * height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))
    return image


class Dreamer:
    """A denoiser that draws the true columns, and always one more."""

    def __init__(self, sites=(*TRUE, FALSE)):
        self.sites = sites
        self.seen = []

    def transform(self, X, pixel_size=None, mask=None):
        self.seen.append({"X": np.array(X), "pixel_size": pixel_size, "mask": mask})
        level = np.mean(X, axis=(1, 2), keepdims=True)
        image = scene(self.sites)
        return (level * image / image.mean()).astype(np.float32)


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(0).poisson(scene(TRUE))


def at(table, site, reach=3):
    near = np.hypot(table["x"] - site[0], table["y"] - site[1]) < reach
    return table[near]


def test_true_columns_are_confirmed_and_a_phantom_is_not(counts):
    table = confirm_atoms(Dreamer(), counts, pixel_size=PIXEL_SIZE, random_state=0)
    assert list(table) == ["frame", *COLUMNS]
    assert len(table) == 6
    for site in TRUE:
        assert at(table, site)["verdict"].tolist() == ["confirmed"]
    phantom = at(table, FALSE).iloc[0]
    assert phantom["verdict"] == "rejected"
    assert phantom["p_value"] > 0.1
    assert (table["n_halves"] == 2).all()
    assert table["in_frame"].all()
    # in counts of the frame, not of a half
    true = table[table["verdict"] == "confirmed"]
    np.testing.assert_allclose(true["height_drawn"], 0.5, rtol=0.15)
    assert true["height_counted"].mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(true["height_kind"], true["height_drawn"], rtol=0.1)
    assert (table["present"] == (table["q_value"] <= 0.05)).all()
    assert (true[["q_value", "q_share"]] <= 0.05).all(axis=None)


def test_the_table_follows_from_the_two_halves(counts):
    denoiser = Dreamer()
    counts = counts.astype(np.float32)
    table = confirm_atoms(denoiser, counts, pixel_size=PIXEL_SIZE, random_state=3)
    a, b = thin_counts(counts, random_state=3)
    images = [denoiser.transform(x[np.newaxis])[0] for x in (a, b, counts)]
    by_hand = confirm_atoms_from_halves(a, b, *images, pixel_size=PIXEL_SIZE)
    pd.testing.assert_frame_equal(table.drop(columns="frame"), by_hand)
    # it does not matter which half is the first
    swapped = confirm_atoms_from_halves(
        b, a, images[1], images[0], images[2], pixel_size=PIXEL_SIZE
    )
    pd.testing.assert_frame_equal(swapped, by_hand)


def test_random_state(counts):
    options = {"pixel_size": PIXEL_SIZE}
    tables = [confirm_atoms(Dreamer(), counts, random_state=k, **options) for k in (0, 0, 1)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["p_value"].equals(tables[2]["p_value"])


def test_the_tested_half_has_no_part_in_what_is_tested(counts):
    # the denoised halves are those of the counts that are not tested, and nothing else
    denoiser = Dreamer()
    confirm_atoms(denoiser, counts, pixel_size=PIXEL_SIZE, random_state=0)
    first, second, whole = (call["X"][0] for call in denoiser.seen)
    np.testing.assert_array_equal(first + second, whole)
    np.testing.assert_array_equal(whole, counts)
    assert abs(np.corrcoef((first - scene(TRUE) / 2).ravel(), second.ravel())[0, 1]) < 0.02


def test_rate_of_false_discoveries():
    # 25 true columns and 25 phantoms in each frame: a share of at most fdr of those confirmed is
    # false, on average, and a test that confirmed whatever is drawn would have one half
    shape = (600, 660)
    sites = [(60.0 + 60 * i, 60.0 + 120 * j) for i in range(10) for j in range(5)]
    true = sites[:25]
    drawn = scene(sites, height=0.25, shape=shape)
    rng = np.random.default_rng(5)
    shares, found = [], []
    for _ in range(6):
        a, b = rng.poisson(scene(true, height=0.25, shape=shape) / 2, size=(2, *shape))
        table = confirm_atoms_from_halves(a, b, drawn, drawn, fdr=0.1, pixel_size=PIXEL_SIZE)
        kept = table[table["verdict"] == "confirmed"]
        false = [len(at(kept, site)) for site in sites[25:]]
        shares.append(sum(false) / max(len(kept), 1))
        found.append((len(kept) - sum(false)) / 25)
    assert np.mean(shares) <= 0.1
    assert np.mean(found) > 0.6


def test_a_column_of_one_half_only(counts):
    a, b = thin_counts(counts, random_state=0)
    most, fewer = scene([*TRUE, FALSE]), scene(TRUE)
    table = confirm_atoms_from_halves(a, b, most, fewer, fewer, pixel_size=PIXEL_SIZE)
    extra = at(table, FALSE).iloc[0]
    assert (extra["in_frame"], extra["n_halves"]) == (False, 1)
    assert extra["verdict"] == "rejected"
    # a true one that a half lacks is still confirmed by the other
    lacking = scene(TRUE[1:])
    table = confirm_atoms_from_halves(a, b, fewer, lacking, lacking, pixel_size=PIXEL_SIZE)
    first = at(table, TRUE[0]).iloc[0]
    assert (first["in_frame"], first["n_halves"], first["verdict"]) == (False, 1, "confirmed")


def test_a_column_of_the_frame_only_is_not_tested(counts):
    a, b = thin_counts(counts, random_state=0)
    fewer = scene(TRUE[1:])
    table = confirm_atoms_from_halves(a, b, fewer, fewer, scene(TRUE), pixel_size=PIXEL_SIZE)
    first = at(table, TRUE[0]).iloc[0]
    assert first["n_halves"] == 0
    assert np.isnan(first[["p_value", "q_value", "height_counted"]].astype(float)).all()
    assert first["verdict"] == "detected, not confirmed"


def test_the_sum_of_the_halves_by_default(counts):
    a, b = thin_counts(counts, random_state=0)
    image = scene(TRUE)
    options = {"pixel_size": PIXEL_SIZE}
    table = confirm_atoms_from_halves(a, b, image, image, **options)
    expected = confirm_atoms_from_halves(a, b, image, image, image + image, **options)
    pd.testing.assert_frame_equal(table, expected)


def test_a_half_that_was_denoised_to_nothing(counts):
    a, b = thin_counts(counts, random_state=0)
    nothing, image = np.zeros(SHAPE), scene(TRUE)
    table = confirm_atoms_from_halves(a, b, nothing, image, pixel_size=PIXEL_SIZE)
    expected = confirm_atoms_from_halves(a, b, np.ones(SHAPE), image, image, pixel_size=PIXEL_SIZE)
    pd.testing.assert_frame_equal(table, expected)
    assert (table["n_halves"] == 1).all()


@pytest.mark.parametrize("polarity", ["auto", "bright"])
def test_an_absurd_pixel_size_is_questioned_once(counts, polarity):
    a, b = thin_counts(counts, random_state=0)
    options = {"pixel_size": 622.0, "polarity": polarity}
    with pytest.warns(UserWarning, match="Is pixel_size in pm") as caught:
        confirm_atoms_from_halves(a, b, scene(TRUE), scene(TRUE), **options)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="Is pixel_size in pm") as caught:
        confirm_atoms(Dreamer(), np.stack([counts] * 2), **options)
    assert [warning.filename for warning in caught] == [__file__]


def test_the_dtype_does_not_matter(counts):
    a, b = np.random.default_rng(0).poisson(50 * scene(TRUE), size=(2, *counts.shape))
    image = np.round(100 * scene([*TRUE, FALSE]))
    images = [a, b, image, image]
    expected = confirm_atoms_from_halves(*images, pixel_size=PIXEL_SIZE)
    # sums of two of the former would wrap; that of all counts is beyond the latter
    types = [np.uint16, np.float16, np.uint8, np.uint8]
    images = [image.astype(dtype) for image, dtype in zip(images, types, strict=True)]
    assert 127 < images[2].max() < 255
    table = confirm_atoms_from_halves(*images, pixel_size=PIXEL_SIZE)
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize("n_atoms", [0, 1, 2, 3])
def test_few_columns(n_atoms):
    sites = TRUE[:n_atoms]  # none, one, two, three on a line
    counts = np.random.default_rng(1).poisson(scene(sites))
    table = confirm_atoms(Dreamer(sites), counts, pixel_size=PIXEL_SIZE, random_state=0)
    assert len(table) == n_atoms
    assert list(table) == ["frame", *COLUMNS]
    assert table["verdict"].cat.categories.tolist() == [
        "confirmed", "weaker than drawn", "detected, not confirmed", "rejected",
    ]  # fmt: skip
    kinds = {"frame": "i", "x": "f", "in_frame": "b", "n_halves": "i", "q_value": "f"}
    kinds |= {"q_share": "f", "present": "b"}
    assert {name: table[name].dtype.kind for name in kinds} == kinds
    assert (table["verdict"] == "confirmed").all()


def test_lengths_are_physical():
    # the same electrons, stored on pixels of half the side
    fine = np.random.default_rng(2).poisson(
        scene([(2 * u + 0.5, 2 * v + 0.5) for u, v in TRUE], 0.125, 0.25, (360, 480), sigma=20)
    )
    coarse = fine.reshape(180, 2, 240, 2).sum(axis=(1, 3))
    tables = []
    for size, image in ((2, fine), (1, coarse)):
        drawn = scene(
            [(size * u + (size - 1) / 2, size * v + (size - 1) / 2) for u, v in [*TRUE, FALSE]],
            shape=(180 * size, 240 * size),
            sigma=10 * size,
        )
        # the same electrons in each half
        rng = np.random.default_rng(7)
        mine = rng.binomial(fine, 0.5)
        halves = [mine, fine - mine]
        if size == 1:
            halves = [h.reshape(180, 2, 240, 2).sum(axis=(1, 3)) for h in halves]
        assert sum(h.sum() for h in halves) == image.sum()
        table = confirm_atoms_from_halves(*halves, drawn, drawn, pixel_size=PIXEL_SIZE / size)
        table[["x", "y"]] = (table[["x", "y"]] - (size - 1) / 2) / size
        tables.append(table.sort_values(["y", "x"], key=np.round, ignore_index=True))
    fine, coarse = tables
    np.testing.assert_allclose(fine[["x", "y"]], coarse[["x", "y"]], atol=0.1)
    assert fine["verdict"].tolist() == coarse["verdict"].tolist()
    # but for the pixels cut by the rim of a window; the phantom's are far from any line
    fine, coarse = (table[table["verdict"] == "confirmed"] for table in tables)
    np.testing.assert_allclose(norm.isf(fine["p_value"]), norm.isf(coarse["p_value"]), atol=0.4)


def test_dark_columns_and_surface():
    sites = [(65.0 + 40 * i, 70.0 + 40 * j) for i in range(4) for j in range(4)]
    clean = scene(sites, height=-1.2, level=4.0, shape=(260, 250))
    counts = np.random.default_rng(3).poisson(clean)
    a, b = thin_counts(counts, random_state=0)
    table = confirm_atoms_from_halves(a, b, clean, clean, pixel_size=PIXEL_SIZE)
    assert (table["verdict"] == "confirmed").all()
    assert (table["height_counted"] < 0).all()
    inner = table["x"].between(100, 150) & table["y"].between(100, 160)
    assert (len(table), inner.sum()) == (16, 4)
    assert (table["region"] == np.where(inner, "bulk", "surface")).all()
    # where the image ends, an outline is none
    cut = confirm_atoms_from_halves(
        *(image[:, 40:] for image in (a, b, clean, clean)), pixel_size=PIXEL_SIZE
    )
    edge = cut[cut["x"] < 30]
    assert len(edge) == 4
    assert (edge["region"] == "bulk").all()


def test_movie_frame_by_frame(counts):
    movie = np.stack([counts, np.random.default_rng(8).poisson(scene(TRUE[:2]))])
    table = confirm_atoms(Dreamer(), movie, pixel_size=PIXEL_SIZE, random_state=0)
    confirmed = table[table["verdict"] == "confirmed"]
    assert confirmed["frame"].value_counts().to_dict() == {0: 5, 1: 2}
    assert table.index.tolist() == list(range(len(table)))


def test_neighbouring_frames_as_halves():
    rng = np.random.default_rng(4)
    rates = np.stack([scene(TRUE)] * 3) * np.array([1, 2, 1])[:, None, None]
    movie = rng.poisson(rates).astype(np.float32)
    denoiser = Dreamer()
    table = confirm_atoms(denoiser, movie, pixel_size=PIXEL_SIZE, split="frames")
    # one by one, so that no frame has a part in another's estimate
    assert [call["X"].shape for call in denoiser.seen] == [(1, *SHAPE)] * 3
    images = [denoiser.transform(frame[np.newaxis])[0] for frame in movie]
    for k, other in ((0, 1), (1, 2), (2, 1)):
        expected = confirm_atoms_from_halves(
            movie[k], movie[other], images[k], images[other], images[k], pixel_size=PIXEL_SIZE
        )
        mine = table[table["frame"] == k].drop(columns="frame").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, expected)
    confirmed = table[table["verdict"] == "confirmed"]
    assert confirmed["frame"].value_counts().to_dict() == {0: 5, 1: 5, 2: 5}
    # heights are those of the frame, whatever its neighbour's dose
    heights = confirmed.groupby("frame")["height_counted"].mean()
    np.testing.assert_allclose(heights, [0.5, 1.0, 0.5], rtol=0.25)
    with pytest.raises(ValueError, match='holds only one frame.*split="thinning"'):
        confirm_atoms(denoiser, movie[:1], split="frames")


def test_mask_and_keywords_reach_the_denoiser(counts):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 150:] = True
    spoiled = np.where(mask, np.nan, counts)
    denoiser = Dreamer()
    table = confirm_atoms(denoiser, spoiled, pixel_size=PIXEL_SIZE, mask=mask, random_state=0)
    assert len(table) == 4
    assert (table["x"] < 150).all()
    for call in denoiser.seen:
        assert call["pixel_size"] == PIXEL_SIZE
        np.testing.assert_array_equal(call["mask"], mask[np.newaxis])
        assert (call["X"][:, mask] == 0).all()
    denoiser = Dreamer()
    params = {"pixel_size": 9.0}
    confirm_atoms(denoiser, counts, pixel_size=PIXEL_SIZE, transform_params=params, random_state=0)
    assert denoiser.seen[0]["pixel_size"] == 9.0
    # a denoiser without such parameters is not given them
    wiener = WienerDenoiser(window_size=13).fit(counts[np.newaxis])
    table = confirm_atoms(wiener, counts, pixel_size=PIXEL_SIZE, random_state=0)
    assert all(len(at(table, site, reach=12)) for site in TRUE)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: 12 * x + 50, "noisy must hold counts of electrons: the values are all 12 apart"),
        (lambda x: x * 0.37, "not whole numbers"),
        (lambda x: x - 3, "cannot be negative"),
        (lambda x: np.where(x > 4, np.nan, x), "NaN"),
        (
            lambda x: np.round(scene(TRUE) * 40 + x),
            "noisy must hold counts of electrons: the noise has 0.02",
        ),
    ],
)
def test_what_is_not_poisson_counts_is_refused(counts, spoil, message):
    with pytest.raises(ValueError, match=message):
        confirm_atoms(Dreamer(), spoil(counts), pixel_size=PIXEL_SIZE)


def test_a_small_gain_is_doubtful(counts):
    with pytest.warns(CountsWarning, match="the values are all 2 apart"):
        confirm_atoms(Dreamer(), 2 * counts, pixel_size=PIXEL_SIZE)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * [[[1]], [[0]]], "Frame 1 of noisy holds no electron"),
        (lambda x: np.stack([x, np.ones_like(x)]), "Frame 1 of noisy is constant.* is 1"),
        (lambda x: 0 * x, "Frame 0 of noisy holds no electron"),
        (lambda x: 0 * x + 3, "Frame 0 of noisy is constant.* is 3"),
        (lambda x: x[:5, :5], "at least 8 x 8 pixels; those of noisy are 5 x 5"),
        (lambda x: x[:10, :10], "noisy cannot be tested .* 256 pixels"),
        (lambda x: x[np.newaxis, np.newaxis], "4D array instead: noisy"),
        (lambda x: x[0], "1D array instead: noisy"),
        (lambda x: np.stack([x, np.eye(*SHAPE, k=239)]), "Frame 1 of noisy .* too few .*, 1: one"),
    ],
)
def test_what_was_passed_is_what_is_named(counts, spoil, message):
    with pytest.raises(ValueError, match=message):
        confirm_atoms(Dreamer(), spoil(counts), random_state=1)


def test_masks_with_messages_of_their_own(counts):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, ::2] = True
    with pytest.raises(ValueError, match="noisy cannot be tested .* leaves 0 3 x 3 neighbourh"):
        confirm_atoms(Dreamer(), counts, mask=mask)
    mask = np.zeros((2, *SHAPE), dtype=bool)
    mask[1, :90] = True  # all that the frame holds
    movie = np.stack([counts, np.where(mask[1], counts, 0)])
    with pytest.raises(ValueError, match="Frame 1 of noisy holds no electron"):
        confirm_atoms(Dreamer(), movie, mask=mask)
    with pytest.raises(ValueError, match="1D array instead: noisy"):
        confirm_atoms(Dreamer(), counts[0], mask=mask[0, 0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fdr": 0}, ValueError, "above 0 and below 1"),
        ({"fdr": 1.5}, ValueError, "above 0 and below 1"),
        ({"fdr": "5 %"}, TypeError, "fdr must be a number"),
        ({"min_share": 0}, ValueError, "min_share must be a share .* above 0 and below 1"),
        ({"min_share": 1.0}, ValueError, "min_share must be a share"),
        ({"min_share": np.nan}, ValueError, "min_share must be a share"),
        ({"min_share": True}, TypeError, "min_share must be a number"),
        ({"sigma": -8}, ValueError, "sigma"),
        ({"sigma": [4, 8]}, TypeError, "sigma must be a number"),
        ({"split": "half"}, ValueError, "split must be"),
        ({"pixel_size": -6}, ValueError, "pixel_size"),
        ({"threshold": 0}, ValueError, "threshold"),
        ({"polarity": "grey"}, ValueError, "polarity"),
        ({"mask": np.ones(SHAPE)}, ValueError, "mask must be of dtype bool"),
    ],
)
def test_bad_options(counts, options, error, message):
    with pytest.raises(error, match=message):
        confirm_atoms(Dreamer(), counts, **options)


def test_masked_arrays_are_refused(counts):
    with pytest.raises(ValueError, match="noisy is a masked array .* mask="):
        confirm_atoms(Dreamer(), np.ma.masked_greater(counts, 3))


def test_what_cannot_denoise_is_refused(counts):
    with pytest.raises(TypeError, match="transform"):
        confirm_atoms(np.ones(3), counts)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"b": np.ones((3, 3))}, ValueError, r"b has shape \(3, 3\), but a has"),
        ({"a": np.ones((1, *SHAPE))}, ValueError, "a must be one image"),
        ({"b": np.full(SHAPE, 0.5)}, ValueError, "b holds values that are not whole"),
        ({"a": np.full(SHAPE, -1)}, ValueError, "a holds negative"),
        ({"b": np.zeros(SHAPE)}, ValueError, "b holds no electron"),
        ({"denoised_b": scene(TRUE)[1:]}, ValueError, r"denoised_b has shape \(179, 240\)"),
        ({"denoised_a": np.full(SHAPE, np.nan)}, ValueError, "denoised_a holds 43200 pixels"),
        ({"denoised_b": np.ones(SHAPE, dtype=complex)}, TypeError, "denoised_b must hold real"),
        ({"denoised": -scene(TRUE)}, ValueError, "denoised has a negative mean"),
        ({"b": np.ma.masked_less(np.eye(*SHAPE), 1)}, ValueError, "b is a masked array"),
    ],
)
def test_bad_halves(counts, change, error, message):
    a, b = thin_counts(counts, random_state=0)
    images = {"a": a, "b": b, "denoised_a": scene(TRUE), "denoised_b": scene(TRUE)}
    with pytest.raises(error, match=message):
        confirm_atoms_from_halves(**(images | change))


def test_with_the_shipped_network():
    movie = load_sample_movie()
    table = confirm_atoms(
        SBDDenoiser.from_pretrained(), movie.data[0], pixel_size=movie.pixel_size, random_state=0
    )
    kept = table[table["verdict"] == "confirmed"]
    maxima = find_atoms(
        movie.clean[0], pixel_size=movie.pixel_size, threshold=0.02, exclude_border=False
    )
    distance, _ = cKDTree(maxima[["x", "y"]]).query(kept[["x", "y"]])
    assert len(kept) > 40
    assert (distance < 62.2 / movie.pixel_size).mean() > 0.95


def test_display_marks_every_column_once(counts):
    stack = np.stack([counts[::-1], counts])
    display = AtomVerdictDisplay.from_estimator(
        Dreamer(), stack, image=1, pixel_size=PIXEL_SIZE, random_state=0
    )
    expected = confirm_atoms(Dreamer(), counts, pixel_size=PIXEL_SIZE, random_state=0)
    pd.testing.assert_frame_equal(display.atoms, expected)
    noisy, denoised = display.axes_
    np.testing.assert_array_equal(noisy.images[0].get_array(), counts)
    np.testing.assert_array_equal(
        denoised.images[0].get_array(), Dreamer().transform(counts[np.newaxis])[0]
    )
    marks = {m.get_label(): np.array(m.get_offsets()) for m in denoised.collections}
    labels = ["confirmed (5)", "weaker than drawn (0)", "detected, not confirmed (0)"]
    assert list(marks) == [*labels, "rejected (1)"]
    phantom = expected[expected["verdict"] == "rejected"]
    np.testing.assert_allclose(
        marks["rejected (1)"], phantom[["x", "y"]].to_numpy() * PIXEL_SIZE / 1000
    )
    assert denoised.get_xlabel() == "x (nm)"
    display.figure_.canvas.draw()


def test_display_of_bad_tables(counts):
    table = confirm_atoms(Dreamer(), counts, pixel_size=PIXEL_SIZE, random_state=0)
    display = AtomVerdictDisplay.from_predictions(counts, scene(TRUE), table)
    assert display.axes_[0].get_xlabel() == "x (px)"
    with pytest.raises(ValueError, match="no column 'verdict'"):
        AtomVerdictDisplay.from_predictions(counts, scene(TRUE), find_atoms(scene(TRUE)))
    with pytest.raises(ValueError, match="same shape"):
        AtomVerdictDisplay.from_predictions(counts[1:], scene(TRUE), table)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": 1}, IndexError, "image must be from 0 to 0"),
        ({"image": -1}, IndexError, "image must be from 0 to 0"),
        ({"image": 0.0}, TypeError, "image must be an integer"),
        ({"mask": np.zeros((3, 3), dtype=bool)}, ValueError, r"mask has shape \(3, 3\)"),
        ({"mask": np.zeros(SHAPE)}, ValueError, "mask must be of dtype bool"),
    ],
)
def test_display_names_what_is_wrong(counts, options, error, message):
    with pytest.raises(error, match=message):
        AtomVerdictDisplay.from_estimator(Dreamer(), counts[np.newaxis], **options)


def test_sigma_sets_every_length(counts):
    # columns of 60 pm on pixels of 6 pm: sigma=10 says the same as the pixel size
    a, b = thin_counts(counts, random_state=0)
    images = [a, b, scene([*TRUE, FALSE]), scene([*TRUE, FALSE])]
    expected = confirm_atoms_from_halves(*images, pixel_size=PIXEL_SIZE)
    table = confirm_atoms_from_halves(*images, pixel_size=PIXEL_SIZE, sigma=10)
    pd.testing.assert_frame_equal(table, expected)
    options = {"pixel_size": PIXEL_SIZE, "random_state": 0}
    pd.testing.assert_frame_equal(
        confirm_atoms(Dreamer(), counts, sigma=10.0, **options),
        confirm_atoms(Dreamer(), counts, **options),
    )
    finer = confirm_atoms(Dreamer(), counts, sigma=7, **options)
    assert not np.allclose(finer["p_value"], expected["p_value"])


def pairs():
    """Dumbbells of columns of 5 px, 22 px apart."""
    sites = [(40.0 + 70 * i, 40.0 + 60 * j) for i in range(5) for j in range(4)]
    return sites, [(x, y + 22) for x, y in sites]


def test_both_columns_of_a_pair_are_confirmed():
    sites, others = pairs()
    shape = (290, 360)
    drawn = scene([*sites, *others], height=1.2, shape=shape, sigma=5)
    phantom = others[7]
    true = scene([s for s in [*sites, *others] if s != phantom], height=1.2, shape=shape, sigma=5)
    a, b = np.random.default_rng(0).poisson(true, size=(2, *shape))
    options = {"pixel_size": PIXEL_SIZE, "polarity": "bright"}
    table = confirm_atoms_from_halves(a, b, drawn, drawn, sigma=5, **options)
    assert len(table) == 40
    assert at(table, phantom)["verdict"].tolist() == ["rejected"]
    assert (table["verdict"] == "confirmed").sum() == 39


def test_merged_pairs_are_warned_of_once():
    sites, others = pairs()
    others = [(x, y - 4) for x, y in others]  # so close that they merge
    shape = (290, 360)
    drawn = scene([*sites, *others], height=1.2, shape=shape, sigma=5)
    movie = np.random.default_rng(0).poisson(drawn, size=(3, *shape))

    class Fixed:
        def transform(self, X):
            return np.stack([drawn * x.mean() / drawn.mean() for x in X])

    options = {"pixel_size": PIXEL_SIZE, "polarity": "bright"}
    with pytest.warns(UserWarning, match="pair of columns.* Give sigma=5 ") as caught:
        confirm_atoms(Fixed(), movie, random_state=0, **options)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="pair of columns.* Give sigma=5 ") as caught:
        confirm_atoms_from_halves(*movie[:2], drawn, drawn, **options)
    assert [warning.filename for warning in caught] == [__file__]


def test_images_that_know_their_pixel_size(counts):
    stack = ImageStack(counts[np.newaxis], pixel_size=PIXEL_SIZE)
    denoiser = Dreamer()
    table = confirm_atoms(denoiser, stack, random_state=0)
    expected = confirm_atoms(Dreamer(), counts, pixel_size=PIXEL_SIZE, random_state=0)
    pd.testing.assert_frame_equal(table, expected)
    assert table.attrs["pixel_size"] == PIXEL_SIZE
    assert {call["pixel_size"] for call in denoiser.seen} == {PIXEL_SIZE}
    with pytest.warns(PixelSizeWarning, match="pixel_size=9 pm") as caught:
        other = confirm_atoms(Dreamer(), stack[0], pixel_size=9, random_state=0)
    assert [warning.filename for warning in caught] == [__file__]
    assert not other["p_value"].equals(table["p_value"])

    a, b = thin_counts(counts, random_state=0)
    drawn = ImageStack(scene(TRUE), pixel_size=PIXEL_SIZE)
    by_hand = confirm_atoms_from_halves(a, b, drawn, drawn)
    given = confirm_atoms_from_halves(
        a, b, np.asarray(drawn), np.asarray(drawn), pixel_size=PIXEL_SIZE
    )
    pd.testing.assert_frame_equal(by_hand, given)
    with pytest.warns(PixelSizeWarning) as caught:
        confirm_atoms_from_halves(a, b, drawn, drawn, drawn, pixel_size=9)
    assert len(caught) == 1

    display = AtomVerdictDisplay.from_estimator(Dreamer(), stack, random_state=0)
    pd.testing.assert_frame_equal(display.atoms, expected)
    assert display.axes_[0].get_xlabel() == "x (nm)"
    display = AtomVerdictDisplay.from_predictions(stack[0], scene(TRUE), expected)
    assert display.axes_[0].get_xlabel() == "x (nm)"
