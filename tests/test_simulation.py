"""Atomic models against crystallography."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from temdenoise.simulation import pt_ceo2


def _wrapped(model, number, beam=1e3):
    """Atoms of an element in a cell periodic in x (and along the beam), and that cell."""
    box = np.array([model.extent[1], 1e3, beam])
    positions = model.positions[model.numbers == number] + [0.01, 0, 0.01]  # off the cell's edge
    return positions % box, box


def test_bond_lengths():
    model = pt_ceo2("PtNp1", thickness=38.26, random_state=0)

    def nearest(a, b, k):
        points, box = _wrapped(model, b)
        return cKDTree(points, boxsize=box).query(_wrapped(model, a)[0], [k])[0]

    assert np.allclose(nearest(58, 58, 2), 5.411 / np.sqrt(2))
    assert np.allclose(nearest(58, 8, 1), 5.411 * np.sqrt(3) / 4)
    assert np.allclose(nearest(78, 78, 2), 3.985 / np.sqrt(2))
    assert nearest(78, 8, 1).min() > 1.6


def test_fluorite_stoichiometry_and_coordination():
    model = pt_ceo2(None, thickness=10 * 5.411 / np.sqrt(2))
    cerium, box = _wrapped(model, 58, beam=model.thickness)
    oxygen, _ = _wrapped(model, 8, beam=model.thickness)
    assert len(oxygen) == 2 * len(cerium)
    tree = cKDTree(oxygen, boxsize=box)
    neighbours = [len(n) for n in tree.query_ball_point(cerium, 2.4)]
    top = cerium[:, 1] < cerium[:, 1].min() + 0.1
    assert set(np.array(neighbours)[top]) == {7}  # a (111) surface cerium lacks one
    assert np.median(neighbours) == 8


@pytest.mark.parametrize("particle", ["PtNp1", "PtNp2", "PtNp3", "PtNp4"])
def test_defects_remove_what_they_say(particle):
    def platinum(defect):
        table = pt_ceo2(particle, defect=defect, random_state=3).columns()
        table = table[table["element"] == "Pt"]
        return {
            (round(x, 2), round(y, 2)): n
            for x, y, n in zip(table["x"], table["y"], table["occupancy"], strict=True)
        }

    whole = platinum("D0")
    for defect, missing in {"D1": 1, "D2": 2}.items():
        damaged = platinum(defect)
        assert len(damaged) == len(whole) - missing
        assert damaged.items() <= whole.items()
    for defect in ("Dh", "Ds"):
        damaged = platinum(defect)
        (place,) = [p for p in whole if damaged[p] != whole[p]]
        assert damaged[place] == (1 if defect == "Ds" else (whole[place] + 1) // 2)


def test_particle_sizes():
    def widths(particle):
        table = pt_ceo2(particle, random_state=0).columns()
        table = table[table["element"] == "Pt"]
        return np.ptp(table["x"]), table.groupby(table["y"].round(1)).size().iloc[-1]

    sizes = {p: widths(p) for p in ("PtNp1", "PtNp2", "PtNp3", "PtNp4")}
    assert sizes["PtNp3"][0] < sizes["PtNp2"][0] < sizes["PtNp1"][0] < sizes["PtNp4"][0]
    assert 8 < sizes["PtNp3"][0] < 14 < 18 < sizes["PtNp1"][0] < 24 < 26 < sizes["PtNp4"][0] < 34


def test_columns_hold_every_atom():
    model = pt_ceo2("PtNp1", defect="Dh", random_state=1)
    assert model.columns()["occupancy"].sum() == len(model.numbers)


def test_facets_cut_the_support():
    flat = pt_ceo2(None)
    cut = pt_ceo2(None, facets=[(20.0, 54.7)])
    left = pt_ceo2(None).positions[:, 0] < 20 + flat.info["origin"][1]
    gone = len(flat.numbers) - len(cut.numbers)
    assert 0 < gone < left.sum()
    assert cut.positions[:, 1].max() == pytest.approx(flat.positions[:, 1].max())


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"particle": "PtNp9"}, "PtNp9"),
        ({"defect": "D7"}, "D7"),
        ({"thickness": 0}, "thickness"),
        ({"thickness": np.nan}, "thickness"),
    ],
)
def test_bad_models_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        pt_ceo2(**keywords)
