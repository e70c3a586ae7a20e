"""Atoms of two images, given as tables, arrays or images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from temdenoise._validation import refuse_masked
from temdenoise.atoms import column_polarity, find_atoms
from temdenoise.atoms._points import settle_pixel_size_of_points
from temdenoise.images import settle_pixel_size

# An array narrower than this, in px, is not an image but a table without column names.
_MIN_WIDTH = 8


def atom_pairs(clean, denoised, find):
    """Return the atoms of clean and denoised, image by image, and whether it is a single image.

    Parameters
    ----------
    clean, denoised : atoms or images
        As for `temdenoise.metrics.atom_precision`.
    find : dict
        Parameters of `temdenoise.atoms.find_atoms`.

    Returns
    -------
    pairs : list of (atoms, atoms)
        Tables or arrays of positions, of each image.
    single : bool
        True for one list or image, False for a sequence of them.

    Raises
    ------
    ValueError
        If shapes or numbers of images differ, or the arguments are neither atoms nor images.

    Examples
    --------
    >>> from temdenoise.metrics._atom_pairs import atom_pairs
    >>> pairs, single = atom_pairs([(1, 2)], [(1, 3)], {})
    >>> len(pairs), single
    (1, True)
    """
    clean, single = _as_list(clean, "clean")
    denoised, other_single = _as_list(denoised, "denoised")
    if single != other_single or len(clean) != len(denoised):
        raise ValueError(
            "clean and denoised must have the same number of images: "
            f"{_describe(clean, single)} and {_describe(denoised, other_single)}."
        )
    return [_find_both(a, b, find) for a, b in zip(clean, denoised, strict=True)], single


def settle_pixel_size_of_atoms(clean, denoised, pixel_size=None):
    """Pixel size to use: the one given, otherwise the first one that atoms or images know.

    Parameters
    ----------
    clean, denoised : atoms or images
        As for `atom_pairs`. The first of several counts for all.
    pixel_size : float, optional
        The pixel size that was given, in pm.

    Returns
    -------
    pixel_size : float or None
    """
    for several in (clean, denoised):
        is_sequence = isinstance(several, Sequence) and len(several)
        atoms = several[0] if is_sequence else several
        is_table = isinstance(atoms, pd.DataFrame)
        settle = settle_pixel_size_of_points if is_table else settle_pixel_size
        if settle(atoms) is not None:
            return settle(atoms, pixel_size, stacklevel=4)
    return settle_pixel_size(None, pixel_size)


def _find_both(clean, denoised, find):
    images = [atoms for atoms in (clean, denoised) if not _is_list_of_atoms(atoms)]
    if len(images) == 2 and np.shape(images[0]) != np.shape(images[1]):
        raise ValueError(
            "clean and denoised must have the same shape: "
            f"{np.shape(images[0])} and {np.shape(images[1])}."
        )
    if images and find.get("polarity", "auto") == "auto":
        known = {key: find[key] for key in ("pixel_size", "sigma", "mask") if key in find}
        find = {**find, "polarity": column_polarity(images[0], **known)}
    return [
        atoms if _is_list_of_atoms(atoms) else find_atoms(atoms, **find)
        for atoms in (clean, denoised)
    ]


def _is_list_of_atoms(value):
    """Whether a value is a table or array of positions. No image is two pixels wide."""
    return isinstance(value, pd.DataFrame) or value.shape[1] == 2


def _as_list(atoms, name):
    """Return tables or 2-D arrays, image by image, and whether there is a single image."""
    several = _one_by_one(atoms, name)
    if several is None:
        one = _as_array(atoms, name)
        if one.ndim != 3 or (len(one) == 0 and one.shape[2] != 2):
            return [_checked(one, name)], True
        several = list(one)
    return [_checked(one, name) for one in several], False


def _one_by_one(atoms, name):
    """Elements of a sequence of tables, lists of positions or images; None for another value."""
    if not isinstance(atoms, Sequence) or not len(atoms):
        return None
    # One array for all is not possible: the lists of several images differ in length.
    elements = [_as_array(one, name) for one in atoms]
    several = all(isinstance(e, pd.DataFrame) or e.ndim == 2 or e.shape == (0,) for e in elements)
    return elements if several else None


def _as_array(value, name):
    if isinstance(value, pd.DataFrame):
        return value
    refuse_masked(value, name)
    try:
        return np.asarray(value)  # the pixel size is known already
    except ValueError as error:
        raise ValueError(f"{name} holds positions or rows of different lengths: {error}") from error


def _checked(one, name):
    """Return a table, positions (n_atoms, 2) or an image; raise an error for another value."""
    if isinstance(one, pd.DataFrame):
        return one
    if one.shape == (0,):
        return np.empty((0, 2))
    if one.ndim != 2 or one.size == 0 and one.shape[1] != 2:
        raise ValueError(
            f"{name} must be a list of atoms (a table with columns x and y, or an array of shape "
            "(n_atoms, 2)), an image (height, width), or several of them; got shape "
            f"{one.shape}."
        )
    if one.shape[1] != 2 and one.shape[1] < _MIN_WIDTH:
        raise ValueError(
            f"{name} holds an array of shape {one.shape}: too narrow for an image. Atoms must be "
            "a table with columns x and y, or an array of shape (n_atoms, 2), x then y. Pass the "
            "table itself, or its two columns x and y."
        )
    return one


def _describe(atoms, single):
    return "one" if single else f"a sequence of {len(atoms)}"
