"""Pair the atoms of two lists."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from temdenoise._lengths import check_length
from temdenoise.atoms._points import check_points

# Largest number of possible pairs: about 0.5 GB are needed for them.
_TOO_MANY = 5_000_000


def match_atoms(a, b, max_distance=10, assignment="optimal"):
    """Pair the atoms of two lists that are at most a given distance apart.

    Parameters
    ----------
    a, b : DataFrame with columns x and y, or array-like of shape (n_atoms, 2)
        Positions of the two lists (x, y), in px (or any one unit).
    max_distance : float, default=10
        Largest distance of two atoms that are the same, in the unit of the positions. The default
        is that of Section 5.3.1 of "Deep denoising for scientific discovery: a case study in
        electron microscopy" (Mohan et al., arXiv:2010.12970), as in the authors' code: 10 px of
        6.22 pm. (The "100 pixels" of the text are the square of this distance.)
    assignment : {"optimal", "nearest"}, default="optimal"
        "optimal": one-to-one pairs; as many pairs as possible, with the smallest sum of distances.
        "nearest": each atom of `a` with the nearest atom of `b`, as in the code that accompanies
        the paper. Several atoms of `a` can share an atom of `b`.

    Returns
    -------
    pairs : pandas.DataFrame
        One row per pair, in the order of `a`: ``a`` and ``b``, the numbers (int64, from 0) of the
        rows of the two lists; ``distance`` (float64), in the unit of the positions.

    Raises
    ------
    TypeError
        If a position or `max_distance` is not a real number.
    ValueError
        If the positions are not finite or have another shape, an argument is out of range, or
        more than five million pairs are possible.

    See Also
    --------
    temdenoise.metrics.atom_f1 : Agreement of two lists as a number.

    Examples
    --------
    >>> from temdenoise.atoms import match_atoms
    >>> match_atoms([(10, 10), (50, 50), (90, 20)], [(51, 50), (13, 14)])
       a  b  distance
    0  0  1       5.0
    1  1  0       1.0
    """
    a, b = check_points(a, "a"), check_points(b, "b")
    max_distance = check_length("max_distance", max_distance)
    if assignment not in ("optimal", "nearest"):
        raise ValueError(f'assignment must be "optimal" or "nearest", got {assignment!r}.')
    if not len(a) or not len(b):
        return _table([], [], [])
    if assignment == "nearest":
        distance, nearest = cKDTree(b).query(a)
        near = np.flatnonzero(distance <= max_distance)
        return _table(near, nearest[near], distance[near])
    return _table(*_assign(a, b, max_distance))


def _assign(a, b, max_distance):
    """Solve the assignment in each group of atoms within reach of each other."""
    a, b = cKDTree(a), cKDTree(b)
    n_near = a.count_neighbors(b, max_distance)
    if n_near > _TOO_MANY:
        raise ValueError(
            f"{n_near:.3g} pairs of atoms are at most max_distance={max_distance:g} apart, more "
            f"than memory may hold ({_TOO_MANY:.0e}). Atoms that are the same lie closer to each "
            "other than neighbouring columns: give a smaller max_distance, or "
            'assignment="nearest".'
        )
    near = a.sparse_distance_matrix(b, max_distance, output_type="ndarray")
    i, j, distance = near["i"], near["j"], near["v"]
    graph = coo_array((np.ones(len(i)), (i, a.n + j)), shape=(a.n + b.n,) * 2)
    group = connected_components(graph, directed=False)[1][i]
    pairs = []
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) == 1:
            pairs.append(members)
        elif len(members):
            pairs.append(members[_best(i[members], j[members], distance[members])])
    chosen = np.concatenate(pairs) if pairs else np.empty(0, dtype=int)
    chosen = chosen[np.argsort(i[chosen])]
    return i[chosen], j[chosen], distance[chosen]


def _best(i, j, distance):
    """Which of the possible pairs (i, j) to take."""
    rows, row = np.unique(i, return_inverse=True)
    columns, column = np.unique(j, return_inverse=True)
    # One pair that is too far apart costs more than all others together. Therefore the number of
    # such pairs is as small as possible.
    cost = np.full((len(rows), len(columns)), 1 + distance.sum())
    number = np.full(cost.shape, -1)
    cost[row, column], number[row, column] = distance, np.arange(len(i))
    taken = number[linear_sum_assignment(cost)]
    return taken[taken >= 0]


def _table(a, b, distance):
    return pd.DataFrame(
        {
            "a": np.asarray(a, dtype=np.int64),
            "b": np.asarray(b, dtype=np.int64),
            "distance": np.asarray(distance, dtype=np.float64),
        }
    )
