"""Pairs of columns that are too close to be separated at the scale of the blobs."""

import numpy as np
from scipy.spatial import cKDTree

from temdenoise.atoms._blobs import local_maxima, respond

FINER = 0.5
"""Scale at which pairs are separated, as a fraction of the scale of the blobs."""

# Two maxima belong to a blob up to this distance from it, in units of its sigma.
_REACH = 2.0
# Two blobs hold the same pair if their vectors differ by less, in units of sigma.
_SAME = 0.3
# Of two maxima, the weaker has at least this fraction of the response of the other.
_WEAKER = 0.5
# At least this fraction of the blobs must hold the same pair. The fraction is up to 0.48 in
# denoised Pt/CeO2 at low dose, where oxygen shows beside some Ce columns. It is 0.97 and more in
# Si [110] at 3 e-/px.
_MOST = 0.6
# Fewer blobs than these say nothing.
_LEAST = 10


def hold_pairs(image, xy, sigma, *, dark=False):
    """Whether most blobs of an image hold a pair of columns each, all in the same direction.

    All dumbbells of a crystal have two maxima at the same distance in the same direction. Noise
    splits blobs too, but in random directions.

    Parameters
    ----------
    image : ndarray of shape (height, width), dtype float32
        Its mean should be near zero.
    xy : ndarray of shape (n_blobs, 2)
        Positions (x, y) of the blobs in px.
    sigma : float
        Scale in px at which they were found.
    dark : bool, default=False
        Whether the blobs are dark.

    Returns
    -------
    pairs : bool
    """
    if len(xy) < _LEAST:
        return False
    fine = sigma * FINER
    response = respond(-image if dark else image, [fine])
    _, row, column = local_maxima(response, 0.0, fine)
    strength = response[0, row, column]
    maxima = np.column_stack([column, row]).astype(np.float64)
    # Each maximum belongs to the nearest blob. If both columns were found, no blob has two maxima.
    distance, blob = cKDTree(xy).query(maxima, distance_upper_bound=_REACH * sigma)
    order = np.lexsort([-strength, blob])
    order = order[np.isfinite(distance[order])]
    _, first, n_maxima = np.unique(blob[order], return_index=True, return_counts=True)
    strongest = first[n_maxima > 1]
    one, other = order[strongest], order[strongest + 1]
    comparable = strength[other] >= _WEAKER * strength[one]
    vectors = (maxima[other] - maxima[one])[comparable]
    if len(vectors) <= _MOST * len(xy):
        return False
    # The two columns of a pair have no order, so the sign of the vector has no meaning.
    tree = cKDTree(np.concatenate([vectors, -vectors]))
    alike = tree.query_ball_point(vectors, _SAME * sigma, return_length=True)
    return bool(alike.max() > _MOST * len(xy))
