"""Pixels that no count of electrons explains are found, and nothing else is."""

import numpy as np
import pytest
from conftest import lattice_images

from temdenoise import (
    ImageStack,
    LowPassDenoiser,
    SBDDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
)
from temdenoise.cli import main
from temdenoise.io import read_stack, write_stack
from temdenoise.noise import BadPixelsWarning, find_bad_pixels

SIDE = 128


def counts(dose=0.45, n=1, seed=0):
    clean = lattice_images(n, SIDE, SIDE, level=dose, contrast=0.8, period=24.0)
    return np.random.default_rng(seed).poisson(clean).astype(np.float32)


def spoil(kind, X, dose):
    """Spoil images in place; return which pixels, and words of the message."""
    where = np.zeros(X.shape, dtype=bool)
    bright = 40 * max(dose, 1) + 20
    if kind == "hot pixel":
        place, value, words = np.s_[:, 30, 40], 1000, "1 hot pixel: (row, column) (30, 40)"
    elif kind == "hot cluster":
        place, value, words = np.s_[:, 30:33, 40:43], bright, "9 hot pixels"
    elif kind == "spike in one frame":
        place, value, words = np.s_[1, 30, 40], bright, "1 hot pixel: (row, column) (30, 40)"
    elif kind == "hot row":
        place, value, words = np.s_[:, 30], None, "hot row 30"
        X[place] = 5 * X[place] + 5 * dose
    elif kind == "dead columns":
        place, value, words = np.s_[:, :, 60:62], 0, "dead columns 60 to 61"
    elif kind == "empty border":
        place, value, words = np.s_[:, -9:], 0, "a border of one value: rows 119 to 127"
    elif kind == "border of one value":
        place, value, words = np.s_[:, :, :7], 3, "a border of one value: columns 0 to 6"
    elif kind == "part of a row":
        place, value, words = np.s_[:, 30, 10:110], 0, "row 30, columns 10 to 109"
    elif kind == "empty corner":
        y, x = np.indices(X.shape[1:])
        where[:] = y + x < 70
        X[where] = 0
        return where, "an empty area at the border: rows 0 to"
    elif kind == "white block":
        place, value, words = np.s_[:, 30:40, 40:60], bright, "200 hot pixels"
    elif kind == "label":
        X[:, 3:30, 4:100] = 0
        X[:, 10:20, 10:90:3] = 6
        place, value, words = np.s_[:, 3:30, 4:100], None, "a box without electrons: rows 3 to 29"
    where[place] = True
    if value is not None:
        X[place] = value
    return where, words


KINDS = [
    ("hot pixel", 0.05), ("hot pixel", 0.45), ("hot pixel", 20.0), ("hot cluster", 0.45),
    ("spike in one frame", 0.45), ("hot row", 0.45), ("hot row", 20.0), ("dead columns", 2.0),
    ("empty border", 0.45), ("empty border", 20.0), ("border of one value", 0.45),
    ("part of a row", 4.0), ("empty corner", 4.0), ("white block", 2.0), ("label", 4.0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "dose"), KINDS)
def test_kinds(kind, dose):
    X = counts(dose, n=2)
    where, words = spoil(kind, X, dose)
    bad = find_bad_pixels(X)
    assert words in str(bad)
    assert bad.mask[where].mean() > 0.9
    assert bad.mask[~where].mean() < 0.01
    known = find_bad_pixels(X, mask=where)  # what is known is not reported
    assert not known or known.mask[~where].mean() < 0.01


@pytest.mark.parametrize("dose", [0.01, 0.05, 0.45, 3.0, 50.0])
@pytest.mark.parametrize("n", [1, 5])
def test_no_alarm_on_counts(dose, n):
    y, x = np.indices((SIDE, SIDE))
    dots = sum(
        np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 1.5**2))
        for a, b in np.random.default_rng(0).uniform(6, SIDE - 6, (20, 2))
    )
    scenes = {
        "lattice": lattice_images(1, SIDE, SIDE, level=1, contrast=0.95, period=9.0)[0],
        "bright dots": 0.2 + 10 * dots,
        "dark dots": np.clip(1 - dots, 0.05, None),
        "edge": np.where(x > 70, 1.0, 0.05),
        "fringes of four pixels": 1 + 0.95 * np.cos(np.pi * x / 2),
        "fringes of five pixels": 1 + 0.9 * np.cos(2 * np.pi * y / 5),
        "particle": np.clip(load_sample_movie().clean[0, ::3, ::3][:SIDE, :SIDE] / 0.45, 0, None),
    }
    for seed, (name, scene) in enumerate(scenes.items()):
        X = np.random.default_rng(seed).poisson(dose * scene, size=(n, *scene.shape))
        assert not find_bad_pixels(X), name


def test_values_that_tell_nothing():
    for X in (np.zeros((2, 40, 40)), np.ones((1, 40, 40)), np.eye(5)[None], -counts()):
        assert not find_bad_pixels(X)
    one = np.zeros((1, 40, 40))
    one[0, 20, 20] = 1
    assert not find_bad_pixels(one)
    with pytest.raises(ValueError, match="Expected 3D array"):
        find_bad_pixels(one[0])


def test_counts_times_a_gain():
    X = 30 * counts(2.0)
    assert not find_bad_pixels(X)
    X[0, 50, 60] = 30_000
    assert str(find_bad_pixels(X)) == "1 hot pixel: (row, column) (50, 60)"


def test_a_label_without_a_box_is_the_same_in_all_frames():
    X = counts(1.0, n=6)
    X[:, 20:24, 30:60:2] = 5
    X[:, 22, 30:60] = 5
    bad = find_bad_pixels(X)
    assert "a label, the same in all frames: rows 20 to 23, columns 30 to 59" in str(bad)
    assert bad.mask[:, 22, 30:60].all()


# --- what methods do with them --------------------------------------------------------------------

SAMPLE = load_sample_movie()


@pytest.fixture(scope="module")
def methods():
    network = SBDDenoiser.from_pretrained(device="cpu").set_params(orientations=1)
    return {
        "sbd": network,
        "windowed Fourier": WindowedFourierDenoiser(device="cpu").fit(SAMPLE.data),
        "low-pass": LowPassDenoiser().fit(SAMPLE.data),
    }


@pytest.mark.parametrize("kind", ["hot pixel", "empty border", "label", "hot row"])
def test_the_damage_stays_where_it_is(methods, kind):
    clean = SAMPLE.clean[:1, 100:228, 100:228]
    whole = ImageStack(np.random.default_rng(0).poisson(4 * clean) * 1.0, 6.22)
    spoiled = whole.copy()
    where, words = spoil(kind, spoiled, 1.8)
    far = np.ones(whole.shape, dtype=bool)
    rows, columns = np.nonzero(where[0])
    far[0, max(0, rows.min() - 40) : rows.max() + 41] = False
    if not far.any():
        far[0] = np.hypot(*np.indices((SIDE, SIDE)) - SIDE) < 30
    for name, method in methods.items():
        expected = method.transform(whole)
        with pytest.warns(BadPixelsWarning, match="no count of electrons") as caught:
            result = method.transform(spoiled)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        errors = [np.mean((x[far] - 4 * clean[far]) ** 2) for x in (expected, result)]
        assert 10 * np.log10(errors[1] / errors[0]) < 0.5, name


def test_they_are_kept_if_asked(methods):
    X = counts()
    X[0, 30, 40] = 1000
    low_pass = methods["low-pass"]
    kept = low_pass.transform(X, bad_pixels="keep")
    with pytest.warns(BadPixelsWarning):
        masked = low_pass.transform(X)
    assert kept[0, 30, 40] > 5 * masked[0, 30, 40]
    mask = np.zeros(X.shape[1:], dtype=bool)
    mask[30, 40] = True
    np.testing.assert_array_equal(low_pass.transform(X, mask=mask), masked)
    with pytest.raises(ValueError, match="must be .mask. or .keep., got 'skip'"):
        low_pass.transform(X, bad_pixels="skip")


def test_command_line(tmp_path, capsys):
    X = counts(2.0, n=3)
    X[:, :9] = 0
    X[:, 50, 60] = 1000
    write_stack(tmp_path / "movie.tif", X, pixel_size=20.0)
    command = ["denoise", str(tmp_path / "movie.tif"), "--method", "lowpass", "--figure", "-o"]
    assert main([*command, str(tmp_path / "out.tif")]) == 0
    said = capsys.readouterr()
    assert said.out.count("no count of electrons explains them: a border of one value") == 1
    assert "1 hot pixel: (row, column) (50, 60) (--bad-pixels keep" in said.out
    assert not said.err
    with pytest.warns(BadPixelsWarning):
        expected = LowPassDenoiser().fit(X).transform(X)
    np.testing.assert_allclose(read_stack(tmp_path / "out.tif"), expected, rtol=1e-5)
    assert main([*command, str(tmp_path / "kept.tif"), "--bad-pixels", "keep"]) == 0
    assert "no count of electrons" not in capsys.readouterr().out
    assert read_stack(tmp_path / "kept.tif")[0, 50, 60] > 5
