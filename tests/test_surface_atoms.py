"""The benchmark of surface columns, on a square crystal whose columns can be counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "surface_atoms.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not here")
SHAPE = (600, 600)


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from surface_atoms import compare

    return compare


@pytest.fixture
def crystal():
    """9 x 9 columns, 40 px apart, far from the border: 32 are at the surface."""
    x, y = np.meshgrid(140 + 40 * np.arange(9.0), 140 + 40 * np.arange(9.0))
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "response": 0.2})


def with_column(table, x, y, response):
    return pd.concat(
        [table, pd.DataFrame({"x": [x], "y": [y], "response": [response]})], ignore_index=True
    )


def test_the_same_columns(compare, crystal):
    moved = crystal.assign(x=crystal["x"] + 3)
    scores, marks = compare(crystal, crystal, moved, SHAPE)
    assert scores["surface_columns"] == len(marks["surface"]) == 32
    assert scores["f1"] == scores["f1_detected"] == scores["f1_certain"] == 1
    assert scores["phantoms"] == scores["lost"] == 0


@pytest.mark.parametrize("response", [0.2, 0.06])
def test_a_lost_column(compare, crystal, response):
    at = (crystal["x"] == 300) & (crystal["y"] == 140)
    clean = crystal.assign(response=crystal["response"].where(~at, response))
    scores, marks = compare(clean, clean, clean[~at], SHAPE)
    assert scores["lost"] == 1
    assert marks["lost"][["x", "y"]].to_numpy().tolist() == [[300, 140]]
    assert scores["f1_detected"] == pytest.approx(2 * 31 / (2 * 31 + 1))
    faint = response < 0.075
    assert scores["lost_faint"] == faint
    assert scores["f1_certain"] == (1 if faint else scores["f1_detected"])


@pytest.mark.parametrize("faint", [False, True])
def test_a_phantom(compare, crystal, faint):
    denoised = with_column(crystal, 320, 105, 0.2)
    maxima = with_column(crystal, 321, 104, 0.03) if faint else crystal
    scores, marks = compare(crystal, maxima, denoised, SHAPE)
    assert scores["phantoms"] == 1
    assert scores["phantoms_faint"] == faint
    assert marks["phantom"][["x", "y"]].to_numpy().tolist() == [[320, 105]]
    assert scores["f1_detected"] == pytest.approx(2 * 32 / (2 * 32 + 1))
    assert scores["f1_certain"] == (1 if faint else scores["f1_detected"])
    # by the outlines alone it also covers the two columns it stands on: 30 right, 1 false, 2 missed
    assert scores["f1"] == pytest.approx(2 * 30 / (2 * 30 + 1 + 2))


def test_nothing_found(compare, crystal):
    scores, _ = compare(crystal, crystal, crystal.iloc[:0], SHAPE)
    assert scores["f1"] == scores["f1_detected"] == 0
    assert scores["lost"] == 32


def test_the_images_border_is_no_surface(compare, crystal):
    shifted = crystal.assign(x=crystal["x"] - 120, y=crystal["y"] - 120)
    scores, _ = compare(shifted, shifted, shifted, SHAPE)
    # 17 columns at the right and lower side; one at the end of each is within 56 px of the border
    assert scores["surface_columns"] == 17 - 2
    assert scores["f1"] == 1


def test_a_column_on_the_line_finds_its_partner_beyond(compare, crystal):
    # 56 px is the line: a pixel to and fro makes neither a phantom nor a lost column
    clean, denoised = (crystal.assign(x=crystal["x"] - 140 + x) for x in (57.0, 55.0))
    for a, b in ((clean, denoised), (denoised, clean)):
        scores, _ = compare(a, a, b, SHAPE)
        assert scores["f1"] == scores["f1_detected"] == 1
