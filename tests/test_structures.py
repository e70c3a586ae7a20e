"""Atomic models against crystallography, and what their columns, defects and surfaces must hold."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from temdenoise.simulation import Structure, alter_surface, pt_ceo2, surface_sites
from temdenoise.simulation.crystals import (
    AXES,
    CERIA_LATTICE,
    CERIA_SPACING,
    FCC,
    FLUORITE_OXYGEN,
    lattice_points,
)
from temdenoise.simulation.surface_defects import new_columns, with_platinum, without_column

PARTICLES = ["PtNp1", "PtNp2", "PtNp3", "PtNp4"]


@pytest.mark.parametrize("sites", [FCC, FLUORITE_OXYGEN])
@pytest.mark.parametrize("constant", [3.9, 5.411])
def test_lattice_points_are_all_of_the_box(sites, constant):
    # against every cell of a cube that surely holds the box
    rng = np.random.default_rng(int(constant))
    lower = rng.uniform(-20, 0, 3)
    upper = lower + rng.uniform(15, 25, 3)
    n = np.arange(-16, 17)
    cells = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 1, 3)
    every = (cells + sites).reshape(-1, 3) * constant @ AXES.T
    expected = every[((every >= lower) & (every < upper)).all(axis=1)]
    points = lattice_points(constant, sites, lower, upper)
    assert len(points) == len(expected) > 100
    assert np.abs(points - expected).max() < 1e-9  # in the same order, too


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


def test_pt_ceo2_draws_the_models_it_always_drew():
    # atoms, and a sum over their positions that a change of order or of draws would alter
    model = pt_ceo2("PtNp1", defect="D1", thickness=30, shift=(2.5, 1), random_state=42)
    weights = np.arange(1, len(model.numbers) + 1) % 97
    assert len(model.numbers) == 3248
    assert (weights @ model.positions).round(3).tolist() == [4085531.249, 7157853.187, 2278301.732]


# --- supports -------------------------------------------------------------------------------------


def _top_cerium(model):
    """Height of the highest Ce atom over x, in trilayers below the flat surface."""
    cerium = model.positions[model.numbers == 58]
    left = model.info["origin"][1]
    x = cerium[:, 0] - left
    depth = (cerium[:, 1] - (model.info["origin"][0] + 50 - 20)) / CERIA_SPACING  # support 20 high
    return x, np.round(depth).astype(int)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(30.0, 1)], (0, 0, 1)),
        ([(20.0, -2)], (2, 0, 0)),
        ([(20.0, -1), (30.0, 2)], (1, 0, 2)),
        ([(20.0, 1), (30.0, 1)], (0, 1, 2)),
    ],
)
def test_steps_take_whole_trilayers_off(steps, expected):
    model = pt_ceo2(None, steps=steps, thickness=10 * CERIA_LATTICE / np.sqrt(2))
    x, layer = _top_cerium(model)
    places = [(2, 18), (22, 28), (32, 48)]
    found = tuple(layer[(x > a) & (x < b)].min() for a, b in places)
    assert found == expected
    # no plane of O without its Ce: every oxygen keeps a bond, most cerium at the edges too
    cerium, oxygen = (model.positions[model.numbers == z] for z in (58, 8))
    bond = CERIA_LATTICE * np.sqrt(3) / 4
    assert cKDTree(cerium).query(oxygen)[0] == pytest.approx(bond, abs=1e-6)
    assert abs(len(oxygen) - 2 * len(cerium)) <= 2 * 10 * len(steps)  # a column at each step


@pytest.mark.parametrize("angle", [54.74, -70.53])
def test_facets_of_low_index_are_lattice_planes(angle):
    # {100} falls to the left, {111} to the right: every plane ends by the same length further out
    model = pt_ceo2(None, facets=[(25.0, angle)], shift=(1.3, 0))
    x, layer = _top_cerium(model)
    x, layer = x[(x > 1) & (x < 49)], layer[(x > 1) & (x < 49)]
    last = np.min if angle > 0 else np.max
    ends = [last(x[layer == k]) for k in range(6)]
    assert np.allclose(np.diff(ends), -CERIA_SPACING / np.tan(np.radians(angle)), atol=0.01)


def test_oxygen_vacancies_are_in_the_topmost_plane():
    whole = pt_ceo2(None, random_state=0)
    poor = pt_ceo2(None, oxygen_vacancies=0.25, random_state=0)
    top = whole.positions[whole.numbers == 8][:, 1].min()

    def at_top(model):
        return (np.abs(model.positions[:, 1] - top) < 0.1).sum()

    assert len(whole.numbers) - len(poor.numbers) == round(0.25 * at_top(whole))
    assert at_top(whole) - at_top(poor) == round(0.25 * at_top(whole))


# --- surface labels -------------------------------------------------------------------------------


def test_the_surface_of_a_slab_is_its_outermost_planes():
    # ceria alone, vacuum above and below: the outermost Ce and O planes, and nothing else
    table = pt_ceo2(None, random_state=0).columns()
    for element in ("Ce", "O"):
        rows = table[table["element"] == element]
        outermost = np.isclose(rows["y"], rows["y"].min(), atol=0.1)
        outermost |= np.isclose(rows["y"], rows["y"].max(), atol=0.1)
        assert (rows["surface"] == outermost).all(), element


@pytest.mark.parametrize("particle", PARTICLES)
def test_the_surface_of_a_particle_is_its_outline(particle):
    table = pt_ceo2(particle, offset=(0.6, 0.0)).columns()
    platinum = table[table["element"] == "Pt"]
    row = platinum["y"].round(1)
    ends = platinum["x"].eq(platinum.groupby(row)["x"].transform("min"))
    ends |= platinum["x"].eq(platinum.groupby(row)["x"].transform("max"))
    outline = ends | (row == row.min())
    assert (platinum["surface"] == outline).all()
    # what the particle covers of the support is no surface
    cerium = table[(table["element"] == "Ce") & (table["y"] < table["y"].max() - 15)]
    below = cerium["x"].between(platinum["x"].min() + 4, platinum["x"].max() - 4)
    assert not cerium.loc[below, "surface"].any()
    assert cerium.loc[~below, "surface"].sum() >= 4


def test_a_missing_column_bares_its_neighbours():
    whole = pt_ceo2("PtNp1", offset=(0.6, 0.0)).columns()
    inner = whole[(whole["element"] == "Pt") & ~whole["surface"]]
    centre = inner[["x", "y"]].to_numpy()
    hole = centre[np.hypot(*(centre - centre.mean(axis=0)).T).argmin()]
    model = pt_ceo2("PtNp1", offset=(0.6, 0.0))
    away = np.hypot(*(model.positions[:, :2] - hole).T) > 0.3
    holed = Structure(model.numbers[away], model.positions[away], model.extent, model.thickness)
    table = holed.columns()
    near = np.hypot(table["x"] - hole[0], table["y"] - hole[1]) < 2.9
    assert near.sum() == 6
    assert table.loc[near, "surface"].all()
    assert table["surface"].sum() == whole["surface"].sum() + 6


def test_a_tilt_does_not_change_the_labels():
    model = pt_ceo2("PtNp2", random_state=1)
    upright, tilted = model.columns(), model.columns((3.0, -2.0))
    assert (upright["surface"] == tilted["surface"]).all()
    assert not np.allclose(upright["x"], tilted["x"], atol=0.05)


# --- atoms taken and added ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return pt_ceo2("PtNp2", size_jitter=(3.5, 0), wulff_height=0.2, truncation=1.0, offset=(0.6, 0))


def _occupancy(structure, site):
    table = structure.columns()
    table = table[table["element"] == "Pt"]
    near = np.hypot(table["x"] - site[0], table["y"] - site[1]) < 0.3
    return int(table.loc[near, "occupancy"].sum())


@pytest.mark.parametrize(("change", "left"), [("removed-1", -1), ("removed-2", -2), ("single", 1)])
def test_atoms_are_taken_from_one_column(model, change, left):
    columns, _ = surface_sites(model)
    for site in columns:
        before = _occupancy(model, site)
        if before < 3:
            continue
        after = alter_surface(model, change, site)
        expected = before + left if left < 0 else left
        assert _occupancy(after, site) == expected
        assert len(model.numbers) - len(after.numbers) == before - expected


def test_new_sites_are_of_the_crystal(model):
    _, new = surface_sites(model)
    bond = 3.985 / np.sqrt(2)
    platinum = model.positions[model.numbers == 78]
    distance = cKDTree(platinum).query(new, 5)[0]
    assert np.allclose(distance[:, :3], bond, atol=1e-6)  # the hollow of three atoms
    assert (distance[:, 0] > bond - 1e-6).all()
    touching = np.isclose(distance, bond, atol=1e-3).sum(axis=1)
    assert (np.diff(touching) <= 0).all()
    for site in new:
        added = alter_surface(model, "added", site)
        assert len(added.numbers) == len(model.numbers) + 1
        assert _occupancy(added, site) == 1
    assert cKDTree(model.positions).query(new)[0].min() > 2.0


def test_new_columns_continue_the_crystal(model):
    bond = 3.985 / np.sqrt(2)
    platinum = model.positions[model.numbers == 78]
    columns = new_columns(model)
    _, single = surface_sites(model)
    assert len(columns) == len(single)
    for atoms in columns:
        assert np.ptp(atoms[:, :2], axis=0).max() < 1e-6
        np.testing.assert_allclose(np.diff(atoms[:, 2]), bond)
        touching = (np.abs(cKDTree(platinum).query(atoms, 5)[0] - bond) < 1e-3).sum(axis=1)
        assert (touching >= 3).all()
        # the sites of single atoms are among them
        assert np.isclose(single, atoms[:, None]).all(axis=2).any()
        grown = with_platinum(model, atoms)
        assert _occupancy(grown, atoms[0]) == len(atoms)
        assert _occupancy(without_column(grown, atoms[0]), atoms[0]) == 0


def test_a_column_is_taken_whole(model):
    site = surface_sites(model)[0][0]
    after = without_column(model, site)
    assert _occupancy(after, site) == 0
    assert len(model.numbers) - len(after.numbers) == _occupancy(model, site)


def test_impossible_changes_are_refused(model):
    columns, new = surface_sites(model)
    with pytest.raises(ValueError, match="change must be one of"):
        alter_surface(model, "removed-3", columns[0])
    with pytest.raises(ValueError, match="has only 0 atoms"):
        alter_surface(model, "single", (5.0, 5.0))
    with pytest.raises(ValueError, match="from another"):
        alter_surface(model, "added", model.positions[-1] + [0.5, 0, 0])
    with pytest.raises(ValueError, match="no Pt"):
        surface_sites(pt_ceo2(None))
    with pytest.raises(ValueError, match="no Pt"):
        new_columns(pt_ceo2(None))
    with pytest.raises(ValueError, match="no Pt column"):
        without_column(model, (5.0, 5.0))
    with pytest.raises(ValueError, match="from another"):
        with_platinum(model, [new[0], model.positions[-1] + [0.5, 0, 0]])
    single = alter_surface(model, "single", columns[0])
    with pytest.raises(ValueError, match="would leave none"):
        alter_surface(single, "removed-1", columns[0])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"support": 0}, "support"),
        ({"support": 60}, "support"),
        ({"field_of_view": -1}, "field_of_view"),
        ({"thickness": np.inf}, "thickness"),
        ({"facets": [(10, 0)]}, "facets"),
        ({"facets": [(np.nan, 54.7)]}, "facets"),
        ({"steps": [(10, 0)]}, "steps"),
        ({"steps": [(10, 1.5)]}, "steps"),
        ({"oxygen_vacancies": 1.2}, "oxygen_vacancies"),
    ],
)
def test_bad_supports_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        pt_ceo2("PtNp3", **keywords)
