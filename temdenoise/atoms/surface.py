"""Split the atoms of a particle into surface and bulk, by an alpha shape."""

from numbers import Real

import numpy as np
import pandas as pd
from scipy.spatial import Delaunay, QhullError

from temdenoise._lengths import check_length
from temdenoise.atoms._points import check_points, settle_pixel_size_of_points

ALPHA = 40.0
"""Default circumradius in px without a pixel size, as in the paper's code."""

ALPHA_PM = 250.0
"""The same in pm, 40 px of 6.22 pm: Pt columns along [110] have triangles of 150 pm."""


def alpha_shape(points, alpha):
    """Outline of a set of points: the boundary edges of its alpha shape.

    The alpha shape is the union of the Delaunay triangles whose circumscribed circle has a radius
    below `alpha`. Its boundary are the edges that belong to one such triangle alone.

    Parameters
    ----------
    points : DataFrame with columns x and y, or array-like of shape (n_points, 2)
        Positions (x, y), in px (or any unit).
    alpha : float
        Largest radius of the circles, in the same unit. Holes and bays narrower than twice this
        radius are closed.

    Returns
    -------
    edges : ndarray of shape (n_edges, 2), dtype int64
        Numbers (from 0) of the two points of each edge, the smaller first. There are no edges if
        there are fewer than three points or all lie on one line.

    Raises
    ------
    TypeError
        If a position or `alpha` is not a real number.
    ValueError
        If the positions are not finite or not of that shape, or `alpha` is not positive.

    Examples
    --------
    >>> from temdenoise.atoms import alpha_shape
    >>> alpha_shape([(0, 0), (2, 0), (2, 2), (0, 2), (1, 1)], alpha=2).tolist()
    [[0, 1], [0, 3], [1, 2], [2, 3]]
    """
    corners, first = np.unique(check_points(points), axis=0, return_index=True)
    edges = np.sort(first[_boundary(_triangles(corners, check_length("alpha", alpha)))], axis=1)
    return edges[np.lexsort(edges.T[::-1])]


def split_surface_bulk(points, alpha=None, *, pixel_size=None, interface=None):
    """Split atoms into those of the surface and those of the bulk, by an alpha shape.

    Section 5.3.1 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970): the surface is the boundary of the alpha shape of all atoms.

    Parameters
    ----------
    points : DataFrame with columns x and y, or array-like of shape (n_atoms, 2)
        Positions (x, y), in px, y downwards; for instance the table of
        `temdenoise.atoms.find_atoms`.
    alpha : float, optional
        Radius of the alpha shape in px, as for `alpha_shape`. It must be larger than the
        circumradius of a triangle of neighbours, and smaller than that of a missing atom's
        neighbours. By default 250 pm divided by `pixel_size`, or 40 px without a pixel size (the
        paper's, at 6.22 pm per px).
    pixel_size : float, optional
        Pixel size in pm. It sets the default of `alpha`. By default the pixel size that a table of
        `temdenoise.atoms.find_atoms` knows (``points.attrs["pixel_size"]``).
    interface : float, optional
        Height y in px. Below it (at larger y) the particle stands on its support, and a boundary
        edge with both ends there is not surface. By default the whole boundary is surface.

    Returns
    -------
    surface, bulk : of the type of `points`
        The rows of `points` (tables with their index, or arrays of shape (n, 2)) that are at the
        surface and that are not. Every atom is in one of them.

    Raises
    ------
    TypeError
        If a position or a parameter is not a real number.
    ValueError
        If the positions are not finite or have another shape, or a parameter is out of range.

    Notes
    -----
    An atom that belongs to no triangle is at the surface, because no atoms surround it. Examples
    are an isolated atom, a single row of atoms, or a list of two atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms import split_surface_bulk
    >>> x, y = np.meshgrid(np.arange(0, 200, 40.0), np.arange(0, 200, 40.0))
    >>> surface, bulk = split_surface_bulk(np.column_stack([x.ravel(), y.ravel()]))
    >>> len(surface), len(bulk)
    (16, 9)
    """
    xy = check_points(points)
    pixel_size = settle_pixel_size_of_points(points, pixel_size)
    if alpha is None:
        alpha = ALPHA if pixel_size is None else ALPHA_PM / pixel_size
    alpha = check_length("alpha", alpha)
    if interface is None:
        interface = np.inf
    elif isinstance(interface, bool) or not isinstance(interface, Real):
        raise TypeError(f"interface must be a number, in px, got {interface!r}.")
    elif np.isnan(interface):
        raise ValueError("interface must be a height in px, got nan.")

    # Atoms at the same position are one corner.
    corners, corner = np.unique(xy, axis=0, return_inverse=True)
    triangles = _triangles(corners, alpha)
    edges = _boundary(triangles)
    exposed = corners[:, 1] < interface
    at_surface = exposed.copy()
    at_surface[triangles.ravel()] = False
    at_surface[edges[exposed[edges].any(axis=1)].ravel()] = True
    at_surface = at_surface[corner]
    if isinstance(points, pd.DataFrame):
        return points[at_surface], points[~at_surface]
    return xy[at_surface], xy[~at_surface]


def _triangles(corners, alpha):
    """Delaunay triangles of circumradius below `alpha`, as numbers of distinct points (n, 3)."""
    if len(corners) < 3:
        return np.empty((0, 3), dtype=np.int64)
    try:
        triangles = Delaunay(corners).simplices.astype(np.int64)
    except QhullError:  # all on one line
        return np.empty((0, 3), dtype=np.int64)
    p, q, r = (corners[triangles[:, k]] for k in range(3))
    sides = np.prod([np.linalg.norm(u - v, axis=1) for u, v in ((p, q), (q, r), (r, p))], axis=0)
    (px, py), (qx, qy) = (q - p).T, (r - p).T
    double_area = np.abs(px * qy - py * qx)
    return triangles[sides < 2 * alpha * double_area]


def _boundary(triangles):
    """Edges that belong to only one triangle, as sorted numbers of points (n, 2)."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return edges[count == 1]
