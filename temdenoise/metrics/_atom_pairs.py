"""Atoms of two images, from whatever form they come in."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from temdenoise.atoms import column_polarity, find_atoms


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
        Whether lists or images came alone rather than in a sequence.

    Raises
    ------
    ValueError
        If shapes or numbers of images differ.

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
            "clean and denoised must be of as many images: "
            f"{_describe(clean, single)} and {_describe(denoised, other_single)}."
        )
    return [_find_both(a, b, find) for a, b in zip(clean, denoised, strict=True)], single


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
    """Tell a table or array of positions from an image: no image is two pixels wide."""
    return isinstance(value, pd.DataFrame) or (np.ndim(value) == 2 and np.shape(value)[1] == 2)


def _is_table_or_2d(value):
    return isinstance(value, pd.DataFrame) or (isinstance(value, np.ndarray) and value.ndim == 2)


def _as_list(atoms, name):
    """Return atoms or images one by one, and whether there is a single one."""
    if isinstance(atoms, pd.DataFrame):
        return [atoms], True
    if isinstance(atoms, Sequence):
        one_by_one = list(atoms)
        if one_by_one and all(_is_table_or_2d(one) for one in one_by_one):
            return one_by_one, False
    array = np.asarray(atoms)
    if array.shape == (0,):
        return [np.empty((0, 2))], True
    if array.ndim not in (2, 3) or array.size == 0 and array.shape[-1] != 2:
        raise ValueError(
            f"{name} must be a list of atoms (a table with columns x and y, or an array of shape "
            "(n_atoms, 2)), an image (height, width), or several of them; got shape "
            f"{array.shape}."
        )
    return ([array], True) if array.ndim == 2 else (list(array), False)


def _describe(atoms, single):
    return "one" if single else f"a sequence of {len(atoms)}"
