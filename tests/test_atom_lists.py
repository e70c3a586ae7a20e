"""Surface and bulk, and the pairing of two lists, against their definitions."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from temdenoise.atoms import alpha_shape, match_atoms, split_surface_bulk


def hexagon(rings, distance=40.0):
    """A hexagonal flake: centre and `rings` rings around it; number of the ring of each point."""
    steps = range(-rings, rings + 1)
    cube = np.array([(q, r, -q - r) for q in steps for r in steps if abs(q + r) <= rings])
    x, y = cube[:, 0] + cube[:, 1] / 2, cube[:, 1] * np.sqrt(3) / 2
    return distance * np.column_stack([x, y]) + 300, np.abs(cube).max(axis=1)


# --- alpha shape ----------------------------------------------------------------------------------


def boundary_by_definition(points, alpha):
    """Edges that belong to exactly one triangle with an empty circumcircle below alpha."""
    count = {}
    for three in combinations(range(len(points)), 3):
        (ax, ay), (bx, by), (cx, cy) = points[list(three)]
        d = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
        a2, b2, c2 = ax**2 + ay**2, bx**2 + by**2, cx**2 + cy**2
        ux = (a2 * (by - cy) + b2 * (cy - ay) + c2 * (ay - by)) / d
        uy = (a2 * (cx - bx) + b2 * (ax - cx) + c2 * (bx - ax)) / d
        radius = np.hypot(ax - ux, ay - uy)
        others = np.delete(points, three, axis=0)
        if radius < alpha and (np.hypot(*(others - (ux, uy)).T) > radius).all():
            for edge in combinations(three, 2):
                count[edge] = count.get(edge, 0) + 1
    return sorted(list(edge) for edge, n in count.items() if n == 1)


@pytest.mark.parametrize("alpha", [8, 15, 30, 1000])
def test_alpha_shape_by_definition(alpha):
    points = np.random.default_rng(alpha).uniform(0, 100, (25, 2))
    edges = alpha_shape(points, alpha)
    assert edges.tolist() == boundary_by_definition(points, alpha)
    assert edges.dtype == np.int64


def test_surface_of_a_flake_is_its_outer_ring():
    points, ring = hexagon(4)
    table = pd.DataFrame(points, columns=["x", "y"], index=np.arange(len(points)) + 7)
    table["ring"] = ring
    surface, bulk = split_surface_bulk(table, alpha=30)
    assert (surface["ring"] == 4).all()
    assert (bulk["ring"] < 4).all()
    assert len(surface) == 24
    assert sorted([*surface.index, *bulk.index]) == table.index.tolist()
    # the same of an array, in another order
    order = np.random.default_rng(0).permutation(len(points))
    outside, inside = split_surface_bulk(points[order], alpha=30)
    assert {*map(tuple, outside)} == {*map(tuple, surface[["x", "y"]].to_numpy())}
    assert len(inside) == len(bulk)


def test_a_hole_is_surface_until_alpha_bridges_it():
    points, ring = hexagon(4)
    holed = points[ring > 0]  # the circle around the missing atom has a radius of 40
    assert len(split_surface_bulk(holed, alpha=39)[0]) == 24 + 6
    assert len(split_surface_bulk(holed, alpha=41)[0]) == 24


def test_default_alpha_is_250_pm():
    points, _ = hexagon(2, distance=40.0)  # circumradius 23.1 px
    assert len(split_surface_bulk(points)[0]) == 12  # 40 px
    assert len(split_surface_bulk(points, pixel_size=10)[0]) == 12  # 25 px
    assert len(split_surface_bulk(points, pixel_size=12)[0]) == 19  # 20.8 px: all by themselves
    assert len(split_surface_bulk(points, pixel_size=12, alpha=24)[0]) == 12


def test_interface_is_no_surface():
    points, ring = hexagon(3)
    foot = points[:, 1].max()
    surface, bulk = split_surface_bulk(points, alpha=30, interface=foot - 1)
    # the lowest row's inner atoms only; its two ends are also on edges that rise from it
    assert len(surface) == 18 - 2
    inner = bulk[bulk[:, 1] == foot]
    assert len(inner) == 2
    assert len(split_surface_bulk(points, alpha=30, interface=-np.inf)[0]) == 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_atoms_for_a_triangle_are_surface(n):
    points = np.arange(2.0 * n).reshape(n, 2)
    surface, bulk = split_surface_bulk(points)
    np.testing.assert_array_equal(surface, points)
    assert bulk.shape == (0, 2)
    assert alpha_shape(points, 40).shape == (0, 2)
    assert len(split_surface_bulk([])[0]) == 0


def test_atoms_in_a_row_and_alone_are_surface():
    row = np.column_stack([np.arange(5.0) * 30, np.zeros(5)])
    assert len(split_surface_bulk(row)[0]) == 5
    points, _ = hexagon(2)
    alone = np.vstack([points, [[900.0, 900.0]]])
    surface, _ = split_surface_bulk(alone)
    assert len(surface) == 12 + 1
    assert [900.0, 900.0] in surface.tolist()
    # at the support it is none
    assert len(split_surface_bulk(alone, interface=500)[0]) == 12


def test_atoms_on_top_of_each_other_are_of_one_region():
    points, ring = hexagon(2)
    twice = np.vstack([points, points])
    surface, bulk = split_surface_bulk(twice)
    assert len(surface) == 24
    assert len(bulk) == 14


@pytest.mark.parametrize(
    ("points", "arguments", "error", "message"),
    [
        ([(0, np.nan), (1, 1)], {}, ValueError, "number 0"),
        ([(0, 1, 2)], {}, ValueError, r"shape \(1, 3\)"),
        ([("a", "b")], {}, TypeError, "real numbers"),
        (pd.DataFrame({"x": [1.0]}), {}, ValueError, "no column 'y'"),
        ([(0, 0)], {"alpha": 0}, ValueError, "alpha must be positive"),
        ([(0, 0)], {"alpha": "40"}, TypeError, "alpha must be a number"),
        ([(0, 0)], {"pixel_size": -6}, ValueError, "pixel_size"),
        ([(0, 0)], {"interface": np.nan}, ValueError, "interface"),
        ([(0, 0)], {"interface": "330"}, TypeError, "interface"),
    ],
)
def test_split_refuses_bad_input(points, arguments, error, message):
    with pytest.raises(error, match=message):
        split_surface_bulk(points, **arguments)


# --- pairs ----------------------------------------------------------------------------------------


def best_by_trying(a, b, max_distance):
    """Most pairs, then least sum of distances, of all one-to-one assignments."""
    if len(a) > len(b):
        a, b = b, a
    distance = np.hypot(*(a[:, np.newaxis] - b).transpose(2, 0, 1))
    best = (0, 0.0)
    for columns in permutations(range(len(b)), len(a)):
        taken = distance[np.arange(len(a)), columns]
        taken = taken[taken <= max_distance]
        best = min(best, (-len(taken), taken.sum()))
    return -best[0], best[1]


@pytest.mark.parametrize("seed", range(12))
def test_optimal_is_the_best_of_all_assignments(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0, 30, (rng.integers(3, 7), 2)) for _ in range(2))
    pairs = match_atoms(a, b, max_distance=10)
    assert pairs["a"].is_unique
    assert pairs["b"].is_unique
    assert pairs["a"].is_monotonic_increasing
    distance = np.hypot(*(a[pairs["a"]] - b[pairs["b"]]).T)
    np.testing.assert_allclose(pairs["distance"], distance)
    number, total = best_by_trying(a, b, 10)
    assert len(pairs) == number
    assert distance.sum() == pytest.approx(total)
    other = match_atoms(b, a, max_distance=10)
    assert len(other) == number
    assert other["distance"].sum() == pytest.approx(total)


def test_optimal_prefers_more_pairs_to_nearer_ones():
    # The nearest of both is the same atom; one of them has to go farther.
    pairs = match_atoms([(0, 0), (4, 0)], [(3, 0), (12, 0)], max_distance=10)
    assert pairs[["a", "b"]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_nearest_may_share_a_partner():
    a, b = [(0, 0), (4, 0), (50, 0)], [(3, 0), (200, 0)]
    pairs = match_atoms(a, b, assignment="nearest")
    assert pairs["a"].tolist() == [0, 1]
    assert pairs["b"].tolist() == [0, 0]
    assert pairs["distance"].tolist() == [3, 1]
    assert len(match_atoms(a, b)) == 1


def test_many_atoms_match_their_displaced_selves():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :60].reshape(2, -1) * 30.0
    a = np.column_stack([x, y])
    moved = rng.uniform(-4, 4, a.shape)
    order = rng.permutation(len(a))[:3000]
    pairs = match_atoms(a, (a + moved)[order])
    assert sorted(pairs["a"]) == sorted(order)
    np.testing.assert_array_equal(order[pairs["b"]], pairs["a"])
    np.testing.assert_allclose(pairs["distance"], np.hypot(*moved[pairs["a"]].T))


@pytest.mark.parametrize("assignment", ["optimal", "nearest"])
def test_nothing_to_match(assignment):
    for a, b in (([], []), ([], [(1, 1)]), ([(1, 1)], []), ([(1, 1)], [(50, 50)])):
        pairs = match_atoms(a, b, assignment=assignment)
        assert pairs.dtypes.astype(str).to_dict() == {
            "a": "int64",
            "b": "int64",
            "distance": "float64",
        }
        assert len(pairs) == 0


def test_match_refuses_bad_input():
    with pytest.raises(ValueError, match="b holds 1 positions"):
        match_atoms([(0, 0)], [(np.inf, 0)])
    with pytest.raises(ValueError, match="max_distance"):
        match_atoms([(0, 0)], [(0, 0)], max_distance=0)
    many = np.random.default_rng(0).uniform(0, 1000, (2500, 2))
    with pytest.raises(ValueError, match=r"6\.25e\+06 pairs .* give a smaller max_distance"):
        match_atoms(many, many, max_distance=2000)
    assert (match_atoms(many, many, 2000, "nearest")["distance"] == 0).all()
    with pytest.raises(TypeError, match="max_distance"):
        match_atoms([(0, 0)], [(0, 0)], max_distance="10")
    with pytest.raises(ValueError, match="assignment"):
        match_atoms([(0, 0)], [(0, 0)], assignment="greedy")
