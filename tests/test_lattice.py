"""The local lattice of columns: exact crystals, with and without a column removed."""

import numpy as np
import pytest

from temdenoise.atoms._lattice import Lattice


def crystal(a, b, basis=((0, 0),), n=6):
    """Columns of n x n cells."""
    i, j = np.meshgrid(np.arange(n), np.arange(n))
    origins = i.reshape(-1, 1) * np.array(a) + j.reshape(-1, 1) * np.array(b)
    return np.concatenate([origins + site for site in np.asarray(basis, dtype=float)])


SQUARE = crystal((40, 0), (0, 40))
HEXAGONAL = crystal((40, 0), (20, 34.6))
DUMBBELLS = crystal((62, 0), (31, 44), [(0, 0), (22, 0)])  # silicon along [110]
TURNED = HEXAGONAL @ np.array([[0.8, 0.6], [-0.6, 0.8]])


def inner(xy):
    """Number of the column nearest to the middle."""
    return int(np.argmin(np.linalg.norm(xy - xy.mean(axis=0), axis=1)))


@pytest.mark.parametrize("xy", [SQUARE, HEXAGONAL, DUMBBELLS, TURNED])
def test_one_column_less_is_one_site(xy):
    assert len(Lattice(xy).vacant_sites()) == 0
    gone = inner(xy)
    np.testing.assert_allclose(Lattice(np.delete(xy, gone, axis=0)).vacant_sites(), xy[[gone]])


def test_positions_may_scatter():
    xy = HEXAGONAL + np.random.default_rng(0).normal(0, 1, HEXAGONAL.shape)
    gone = inner(xy)
    sites = Lattice(np.delete(xy, gone, axis=0)).vacant_sites()
    np.testing.assert_allclose(sites, HEXAGONAL[[gone]], atol=2)


@pytest.mark.parametrize(("gone", "predicted"), [(2, True), (0, False), (5, False), (35, False)])
def test_sites_in_a_surface_are_predicted_and_corners_are_not(gone, predicted):
    sites = Lattice(np.delete(SQUARE, gone, axis=0)).vacant_sites()
    np.testing.assert_allclose(sites, SQUARE[[gone] if predicted else []])


def test_which_columns_are_predicted():
    inside = Lattice(SQUARE).is_inside(SQUARE)
    corners = np.isin(SQUARE, [0, 200]).all(axis=1)
    np.testing.assert_array_equal(inside, ~corners)


def test_every_grain_has_its_lattice():
    other = TURNED - TURNED.min(axis=0) + [SQUARE[:, 0].max() + 60, 0]
    both = np.concatenate([SQUARE, other])
    assert len(Lattice(both).vacant_sites()) == 0
    gone = [inner(SQUARE), len(SQUARE) + inner(other)]
    sites = Lattice(np.delete(both, gone, axis=0)).vacant_sites()
    np.testing.assert_allclose(sites[np.argsort(sites[:, 0])], both[gone])


def test_no_lattice_predicts_nothing():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 400, size=(60, 2))
    apart = [k for k in range(60) if (np.hypot(*(points[:k] - points[k]).T) > 30).all()]
    assert len(Lattice(points[apart]).vacant_sites()) == 0


@pytest.mark.parametrize("xy", [[], [(0, 0)], [(0, 0), (40, 0)], [(0, 0), (40, 0), (80, 0)]])
def test_few_columns(xy):
    lattice = Lattice(np.array(xy, dtype=float).reshape(-1, 2))
    assert lattice.vacant_sites().shape == (0, 2)
    points = np.array([[40.0, 0.0], [7.0, 7.0]])
    assert np.isnan(lattice.kind_heights(np.ones(len(xy)), points)).all()
    assert not lattice.is_inside(points).any()


def test_columns_at_one_place():
    twice = np.concatenate([SQUARE, SQUARE])
    assert Lattice(twice).vacant_sites().shape[1] == 2


def test_a_row_of_columns():
    row = np.column_stack([np.delete(np.arange(9) * 40.0, 4), np.zeros(8)])
    np.testing.assert_allclose(Lattice(row).vacant_sites(), [[160, 0]])


def test_kinds_alternate():
    # two kinds in rows and columns, as in a perovskite along [001]
    xy = crystal((40, 0), (0, 40), [(0, 0), (20, 20)])
    heights = np.repeat([1.0, 0.4], 36)
    kinds = Lattice(xy).kind_heights(heights, xy)
    np.testing.assert_allclose(kinds[:36], 1.0)
    np.testing.assert_allclose(kinds[36:], 0.4)
    # a single low column is not a kind of its own
    heights[inner(xy)] = 0.1
    assert Lattice(xy).kind_heights(heights, xy)[inner(xy)] in (0.4, 1.0)


def test_unknown_heights_do_not_count():
    heights = np.ones(len(HEXAGONAL))
    heights[::3] = np.nan
    kinds = Lattice(HEXAGONAL).kind_heights(heights, HEXAGONAL)
    np.testing.assert_allclose(kinds[inner(HEXAGONAL)], 1)
    nothing = Lattice(HEXAGONAL).kind_heights(np.full(len(HEXAGONAL), np.nan), HEXAGONAL)
    assert np.isnan(nothing).all()
