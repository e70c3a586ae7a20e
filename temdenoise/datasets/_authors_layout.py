"""Layout of the authors' data set: CSV lists, and one TIFF file per image.

A list is named ``{subset}_{contrasts}.csv``. Its first line names the columns, but only their
positions are used: 0 path of the image, 1 particle and defect ("PtNp1-D0"), 4 thickness, 5 and 6
tilt about x and y, 10 defocus, 11 contrast.
"""

import os
import warnings
from collections import Counter, defaultdict
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

SUBSETS = ("train", "valid", "test")
CONTRASTS = ("black", "intermediate", "white")

_COLUMNS = {
    0: "path",
    1: "particle",
    4: "thickness",
    5: "tilt_x",
    6: "tilt_y",
    10: "defocus",
    11: "contrast",
}
_NUMBERS = ("thickness", "tilt_x", "tilt_y", "defocus")


def list_names(subsets, contrast):
    """File names of the lists for a combination of contrasts.

    Parameters
    ----------
    subsets : sequence of str
        Some of "train", "valid", "test".
    contrast : str or sequence of str
        Contrasts, in a sequence or joined by dashes.

    Returns
    -------
    dict of str to str
        The name for each subset.

    Raises
    ------
    ValueError
        If a contrast is unknown or given twice, or there is none.

    Examples
    --------
    >>> from temdenoise.datasets._authors_layout import list_names
    >>> list_names(["train"], ["white", "black"])
    {'train': 'train_black_white.csv'}
    """
    chosen = contrast.split("-") if isinstance(contrast, str) else np.atleast_1d(contrast).tolist()
    if not chosen or set(chosen) - set(CONTRASTS) or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"contrast must be one or more of {list(CONTRASTS)}, each once, got {contrast!r}."
        )
    return {subset: f"{subset}_{'_'.join(sorted(chosen))}.csv" for subset in subsets}


def read_list(path):
    """Read one of the authors' lists.

    Parameters
    ----------
    path : pathlib.Path
        The CSV file.

    Returns
    -------
    pandas.DataFrame
        path, structure, defect, thickness (Angstrom), tilt_x, tilt_y (deg), defocus (nm), contrast.

    Raises
    ------
    ValueError
        If the file does not have this layout.

    Warns
    -----
    UserWarning
        If the list holds other contrasts than its file name says.
    """
    name = str(path)
    try:
        table = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError, UnicodeError) as error:
        # pandas reports an empty file as a ValueError too
        raise ValueError(f"Cannot read the list {name!r}: {error}") from error
    if table.shape[1] <= max(_COLUMNS) or table.empty:
        raise ValueError(
            f"The list {name!r} has {len(table)} rows and {table.shape[1]} columns; expected at "
            f"least one row and {max(_COLUMNS) + 1} columns, by position: "
            + ", ".join(f"{number} {column}" for number, column in _COLUMNS.items())
            + "."
        )
    if _is_image(table.columns[0]):
        raise ValueError(
            f"The list {name!r} begins with an image; its first line must name the columns."
        )
    table = table.iloc[:, list(_COLUMNS)].set_axis(list(_COLUMNS.values()), axis=1)
    _check_column(table["path"], table["path"].map(_is_image), "path of a .tif file", name)
    good = table["particle"].astype(str).str.fullmatch(r"[^-\s]+-[^-\s]+")
    _check_column(table["particle"], good, "name such as 'PtNp1-D0'", name)
    good = table["contrast"].isin(CONTRASTS)
    _check_column(table["contrast"], good, f"contrast among {list(CONTRASTS)}", name)
    for column in _NUMBERS:
        values = pd.to_numeric(table[column], errors="coerce").astype(float)
        _check_column(table[column], np.isfinite(values), "number", name)
        table[column] = values
    others = sorted(set(table["contrast"]) - set(path.stem.split("_")))
    if others:
        warnings.warn(
            f"The list {name!r} names images of other contrasts too: {', '.join(others)}.",
            UserWarning,
            stacklevel=2,
        )
    particle = table.pop("particle").str.split("-", expand=True)
    table.insert(1, "structure", particle[0])
    table.insert(2, "defect", particle[1])
    return table


def locate_images(root, listed):
    r"""Find the files of a list, with any folders and path separators.

    A path is first looked up as it is, below `root`. But some lists hold the folders of another
    machine (``D:\data\1\a.tif``), and some copies are unpacked one folder deeper or into a single
    folder. Then, of the files of this name, the one with most folders in common is used, counted
    from the name backwards. No file outside `root` is ever opened.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the data set.
    listed : sequence of str
        The paths in the list.

    Returns
    -------
    list of (pathlib.Path or None)
        The files; None for those that are not found.

    Raises
    ------
    ValueError
        If several files fit a path equally well, or two paths of the list lead to the same file.
    """
    index, shared, paths, users = None, None, [], {}
    for text in listed:
        parts = _parts(text)
        path = root.joinpath(*parts)
        if not path.is_file():
            if index is None:
                index, shared = _index(root), _shared_names(root)
            path = _best_fit(root, text, parts, index, shared)
        if path is not None and users.setdefault(path, parts) != parts:
            raise ValueError(
                f"Both {text!r} and {'/'.join(users[path])!r} of the list lead to the same file "
                f"{str(path)!r}. Unpack the images into the folders that the list names."
            )
        paths.append(path)
    return paths


def _best_fit(root, text, parts, index, shared):
    agreements = defaultdict(list)
    for candidate in index.get(parts[-1], ()):
        n = _n_common_trailing(parts, candidate)
        # If only the name agrees, the file may be another image, unless the name is unique in the
        # lists.
        if n > 1 or n == len(parts) or parts[-1] not in shared:
            agreements[n].append(candidate)
    if not agreements:
        return None
    best = agreements[max(agreements)]
    if len(best) > 1:
        raise ValueError(
            f"Several files under {str(root)!r} can be {text!r}: "
            + " and ".join("/".join(candidate) for candidate in sorted(best)[:2])
            + ". Remove the wrong files."
        )
    return root.joinpath(*best[0])


def _n_common_trailing(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n


def _parts(text):
    """Parts of a path without drive, root and dots, so that it cannot lead out of its folder."""
    path = PurePosixPath(str(text).replace("\\", "/"))
    return tuple(p for p in path.parts if p not in ("/", "//", "..") and not p.endswith(":"))


def _index(root):
    """Files below a folder by name: {name: [parts of the relative path, ...]}."""
    index = defaultdict(list)
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        parts = os.path.relpath(folder, root).split(os.sep) if folder != str(root) else []
        for name in names:
            index[name].append((*parts, name))
    return index


def _shared_names(root):
    """File names that the lists hold in more than one folder."""
    listed = set()
    for subset in SUBSETS:
        for path in root.glob(f"{subset}_*.csv"):
            try:
                column = pd.read_csv(path, usecols=[0]).iloc[:, 0]
            except (ValueError, UnicodeError):
                continue  # another list than the requested one, which has been read already
            listed.update(_parts(text) for text in column.astype(str))
    names = Counter(parts[-1] for parts in listed if parts)
    return {name for name, n in names.items() if n > 1}


def _is_image(text):
    return isinstance(text, str) and text.strip().lower().endswith((".tif", ".tiff"))


def _check_column(values, good, expected, name):
    if not good.all():
        row = int(np.argmin(good.to_numpy()))
        raise ValueError(
            f"The list {name!r} is not in the authors' layout: row {row}, column "
            f"{values.name!r}, should hold a {expected}, got {values.tolist()[row]!r}."
        )
