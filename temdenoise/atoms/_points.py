"""Checks of lists of atoms."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from temdenoise._validation import refuse_masked
from temdenoise.images import settle_pixel_size


def check_points(points, name="points"):
    """Return positions as an array of shape (n_atoms, 2), x then y, of dtype float64.

    Parameters
    ----------
    points : DataFrame with columns x and y, or array-like of shape (n_atoms, 2)
        Positions in px. An empty list is valid.
    name : str, default="points"
        Name of the argument in the error messages.

    Returns
    -------
    xy : ndarray of shape (n_atoms, 2), dtype float64
        The positions.

    Raises
    ------
    TypeError
        If a position is not a real number.
    ValueError
        If the shape is wrong, a position is NaN or infinite, or a masked array has masked elements.

    Examples
    --------
    >>> from temdenoise.atoms._points import check_points
    >>> check_points([(1, 2)]).tolist(), check_points([]).shape
    ([[1.0, 2.0]], (0, 2))
    """
    refuse_masked(points, name)
    if isinstance(points, pd.DataFrame):
        missing = [column for column in ("x", "y") if column not in points.columns]
        if missing:
            raise ValueError(
                f"{name} has no column {missing[0]!r}. Positions are read from the columns x and "
                f"y; the columns are {points.columns.tolist()}."
            )
        xy = points[["x", "y"]].to_numpy()
    else:
        xy = np.asarray(points)
    if xy.size == 0 and xy.shape in ((0,), (0, 2)):
        return np.empty((0, 2))
    if xy.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {xy.dtype}.")
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(
            f"{name} must be a table with columns x and y, or an array of shape (n_atoms, 2); got "
            f"shape {xy.shape}."
        )
    xy = xy.astype(np.float64)
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"{name} holds {int(bad.sum())} positions that are NaN or infinite, the first is "
            f"number {first}: {xy[first].tolist()}. Drop them first."
        )
    return xy


def settle_pixel_size_of_points(points, pixel_size=None, *, stacklevel=3):
    """Pixel size to use: the one given, otherwise ``points.attrs["pixel_size"]``.

    Parameters
    ----------
    points : object
        A table as from `temdenoise.atoms.find_atoms`, or anything else.
    pixel_size : float, optional
        The pixel size that was given, in pm.
    stacklevel : int, default=3
        As for `temdenoise.images.settle_pixel_size`, which describes the errors and warnings.

    Returns
    -------
    pixel_size : float or None
    """
    known = points.attrs.get("pixel_size") if isinstance(points, pd.DataFrame) else None
    owner = SimpleNamespace(pixel_size=known)
    return settle_pixel_size(owner, pixel_size, stacklevel=stacklevel + 1)
