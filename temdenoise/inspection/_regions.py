"""Disks about atoms, and counts in them."""

from numbers import Integral

import numpy as np
import pandas as pd

from temdenoise._lengths import check_length, check_pixel_size
from temdenoise._one_image import check_whole
from temdenoise.atoms._points import check_points

RADIUS = 11.3
"""Default radius in px of an atom's disk: that of the blobs in the paper's code."""

RADIUS_PM = 70.4
"""The same in pm, 11.3 px of 6.22 pm. The disk does not reach the dark ring around a column."""


def check_counts(values, name):
    """Refuse values that are not electron counts; return counts as float64.

    Parameters
    ----------
    values : ndarray
        Finite real numbers.
    name : str
        Name of the argument in the error messages.

    Returns
    -------
    counts : ndarray of the same shape, dtype float64

    Raises
    ------
    ValueError
        If a value is negative or not a whole number.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.inspection._regions import check_counts
    >>> check_counts(np.array([3, 0]), "noisy")
    array([3., 0.])
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size and values.min() < 0:
        raise ValueError(
            f"{name} holds negative values (the smallest is {values.min():g}), but electron counts "
            "cannot be negative. If a dark reference was subtracted, add it (or its mean) again."
        )
    check_whole(values, name)
    return values


def check_index(value, size, name):
    """Return a number from 0 to size - 1 as an int; raise an error if it is not valid."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if not 0 <= value < size:
        raise IndexError(f"{name} must be from 0 to {size - 1}, got {value}.")
    return int(value)


def atom_disks(atoms, radius, pixel_size):
    """Positions and radii of the disks about atoms.

    Parameters
    ----------
    atoms : DataFrame with columns x and y, or array-like of shape (n_atoms, 2)
        In px.
    radius : float, array-like of shape (n_atoms,) or None
        Radius of the disks in px. None: 70.4 pm over `pixel_size`, or 11.3 px without one.
    pixel_size : float or None
        In pm.

    Returns
    -------
    table : pandas.DataFrame
        Columns x, y, radius (px, float64), with the index of `atoms` if it has one.
    """
    xy = check_points(atoms, "atoms")
    is_table = isinstance(atoms, pd.DataFrame)
    table = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]}, index=atoms.index if is_table else None)
    if radius is None:
        radius = RADIUS if pixel_size is None else RADIUS_PM / check_pixel_size(pixel_size)
    if np.ndim(radius) == 0:
        table["radius"] = check_length("radius (px)", radius)
    elif np.shape(radius) == (len(table),):
        table["radius"] = [check_length("radius (px)", r) for r in np.asarray(radius).tolist()]
    else:
        raise ValueError(
            f"radius must be a number or one number for each of the {len(table)} atoms, got shape "
            f"{np.shape(radius)}."
        )
    return table.astype(np.float64)


def label_disks(table, shape):
    """Label the pixels of each disk: 0 outside all, 1 for the disk of the first row, and so on.

    A pixel in several disks belongs to the disk whose centre is nearest, as a fraction of the
    radius. Therefore regions share no electron.
    """
    labels = np.zeros(shape, dtype=np.int32)
    depth = np.full(shape, np.inf)
    for k, (x, y, radius) in enumerate(table[["x", "y", "radius"]].to_numpy(), start=1):
        rows = _reached(y, radius, shape[0])
        columns = _reached(x, radius, shape[1])
        window = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        dy, dx = np.array(rows) - y, np.array(columns) - x
        relative = np.hypot(dy[:, np.newaxis], dx) / radius
        mine = (relative <= 1) & (relative < depth[window])
        labels[window][mine] = k
        depth[window][mine] = relative[mine]
    return labels


def _reached(centre, radius, size):
    first = int(np.clip(np.ceil(centre - radius), 0, size))
    return range(first, int(np.clip(np.floor(centre + radius) + 1, first, size)))
