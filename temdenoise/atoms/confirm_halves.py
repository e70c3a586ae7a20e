"""Judge the columns of two independent images of counts, each denoised by itself."""

from numbers import Real

import numpy as np
import pandas as pd

from temdenoise._lengths import check_length
from temdenoise._one_image import check_finite, check_one_image, check_whole
from temdenoise._validation import check_mask
from temdenoise.atoms._evidence import gather_evidence, height_tail, tests_of
from temdenoise.atoms._false_discovery import q_values
from temdenoise.atoms._lattice import Lattice
from temdenoise.atoms.find import (
    COLUMN_SIGMA,
    THRESHOLD,
    column_polarity,
    default_sigma,
    find_atoms,
    warn_if_pairs,
)
from temdenoise.atoms.match import match_atoms
from temdenoise.atoms.surface import split_surface_bulk
from temdenoise.images import first_with_pixel_size, settle_pixel_size
from temdenoise.noise._gate import refuse_dependent, refuse_unless_counts

VERDICTS = ("confirmed", "weaker than drawn", "detected, not confirmed", "rejected")
"""The possible verdicts of `confirm_atoms` on a column."""

MIN_SHARE = 0.3
"""Default share of the height of its kind that a column must exceed.
``benchmarks/fdr_calibration.py`` measured it."""

# A column is weaker than drawn if the counts contradict this share of the drawn height.
_AS_DRAWN = 0.75

PIXEL_SIZE = 6.22
"""Pixel size in pm if none is given: the paper's."""

RADIUS_PM = 162.0
"""Radius of the windows of the test: half the distance to the second neighbours."""

SAME_PM = 62.2
"""Columns of two images are the same up to this distance (10 px of 6.22 pm)."""

BORDER_PM = 350.0
"""An outline nearer to the border of the image than this is the end of the image, no surface."""

_HEIGHTS = ["height_drawn", "height_counted", "height_kind"]
_TESTED = ["p_value", "p_contradicted", "q_value", *_HEIGHTS]
_COLUMNS = {
    "x": "float64",
    "y": "float64",
    "response": "float64",
    "region": "str",
    "in_frame": "bool",
    "n_halves": "int64",
    "height_drawn": "float64",
    "height_counted": "float64",
    "height_kind": "float64",
    "p_value": "float64",
    "q_value": "float64",
    "p_share": "float64",
    "q_share": "float64",
    "present": "bool",
}


def confirm_atoms_from_halves(
    a,
    b,
    denoised_a,
    denoised_b,
    denoised=None,
    *,
    fdr=0.05,
    min_share=MIN_SHARE,
    pixel_size=None,
    sigma=None,
    threshold=THRESHOLD,
    polarity="auto",
    mask=None,
):
    """Confirm columns with two independent images of counts, each denoised by itself.

    Parameters
    ----------
    a, b : array-like of shape (height, width)
        Poisson counts of the same specimen, independent of each other: two halves of a frame by
        `temdenoise.thin_counts`, or two frames. They need not have the same dose.
    denoised_a, denoised_b : array-like of shape (height, width)
        Estimates of their means, each from one of them alone.
    denoised : array-like of shape (height, width), optional
        Denoised image whose columns are judged, made from one or both images of counts. By default
        the sum of `denoised_a` and `denoised_b`.
    fdr, min_share, pixel_size, sigma, threshold, polarity
        As for `confirm_atoms`. The pixel size is by default that of the first image that knows it.
    mask : bool array-like of shape (height, width), optional
        True marks pixels not to trust; they may be NaN.

    Returns
    -------
    atoms : pandas.DataFrame
        As from `confirm_atoms`, without ``frame``; heights are in counts/px of `denoised`.

    Raises
    ------
    TypeError
        If an image or a parameter is not real and numeric.
    ValueError
        If `a` or `b` does not hold whole numbers of electrons that scatter as counts do, or holds
        no electron, if they are not independent of each other, if shapes differ, an image is not
        finite, or a parameter is out of range.

    Warns
    -----
    CountsWarning
        If `a` or `b` may not be counts, see `temdenoise.noise.check_counts`.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from temdenoise.atoms import confirm_atoms_from_halves
    >>> y, x = np.mgrid[:96, :192]
    >>> spots = [np.exp(-((x - c) ** 2 + (y - 48) ** 2) / 128) for c in (50, 140)]
    >>> a, b = np.random.default_rng(0).poisson(2 + spots[0], size=(2, 96, 192))
    >>> drawn = 2 + spots[0] + spots[1]  # a column too many
    >>> table = confirm_atoms_from_halves(a, b, drawn, drawn, pixel_size=6.22, polarity="bright")
    >>> table.sort_values("x")["verdict"].tolist()
    ['confirmed', 'rejected']
    """
    fdr, min_share = check_rate(fdr), check_share("min_share", min_share)
    images = {"a": a, "b": b, "denoised_a": denoised_a, "denoised_b": denoised_b}
    if denoised is not None:
        images["denoised"] = denoised
    pixel_size = settle_pixel_size(first_with_pixel_size(*images.values()), pixel_size)
    lengths = Lengths(pixel_size, sigma)
    options = {"threshold": threshold, "polarity": polarity}
    table = confirm_images(images, fdr, min_share, lengths, mask, **options)
    _check_independent(images, mask)
    if sigma is None:
        drawn = denoised_a if denoised is None else denoised
        warn_if_pairs(drawn, table, lengths.blob, polarity=polarity, mask=mask)
    return table


def _check_independent(images, mask):
    """Refuse halves that are no counts, or share electrons."""
    pair = np.stack([np.asarray(images[name], dtype=np.float32) for name in ("a", "b")])
    hidden = check_mask(mask, (1, *pair.shape[1:]))
    hidden = None if hidden is None else np.concatenate([hidden, hidden])
    if hidden is not None:
        pair = np.where(hidden, 0, pair)  # masked pixels may be NaN
    for k, name in enumerate(("a", "b")):
        refuse_unless_counts(name, pair[k : k + 1], None if hidden is None else hidden[k : k + 1])
    refuse_dependent("a and b", pair, [(0, 1)], hidden)


class Lengths:
    """Lengths in px that follow from the pixel size and from the size of the columns.

    Parameters
    ----------
    pixel_size : float or None
        In pm. None: lengths are those of 6.22 pm.
    sigma : float, optional
        Standard deviation of the columns in px, which scales all lengths. By default 60 pm.
    stacklevel : int, default=3
        Stack level of the warning of an absurd pixel size.

    Attributes
    ----------
    pixel_size : float or None
        As given.
    blob : float
        Scale at which columns are found.
    column, window, same : float
        Standard deviation of a column, radius of the window of its test, and largest distance of
        two columns that are the same.
    """

    def __init__(self, pixel_size, sigma=None, *, stacklevel=3):
        self.pixel_size = pixel_size
        if sigma is None:
            self.blob = default_sigma(pixel_size, stacklevel=stacklevel + 1)
            scale = 1 / (pixel_size or PIXEL_SIZE)
        else:
            self.blob = check_length("sigma", sigma, unit="px")
            scale = self.blob / COLUMN_SIGMA
        self.column, self.window, self.same = (
            length * scale for length in (COLUMN_SIGMA, RADIUS_PM, SAME_PM)
        )


def confirm_images(images, fdr, min_share, lengths, mask, *, polarity, threshold):
    """Do the work of `confirm_atoms_from_halves`.

    Parameters
    ----------
    images : dict
        Its first arguments, by name; without ``denoised`` that is the sum of the two.
    fdr, min_share : float
        As there, checked.
    lengths : Lengths
    mask, polarity, threshold
        As there.

    Returns
    -------
    atoms : pandas.DataFrame
    """
    halves = Halves(images, lengths, mask, polarity=polarity, threshold=threshold)
    found = halves.found
    found["region"] = regions_of(found, halves.trusted.shape, lengths.pixel_size)
    tables, evidence = [], []
    for half in halves:
        table = half.columns
        table["region"] = regions_of(table, halves.trusted.shape, lengths.pixel_size)
        xy = table[["x", "y"]].to_numpy()
        evidence.append(half.gather_evidence(xy))
        tests = tests_of(evidence[-1])
        drawn = tests["height_drawn"].to_numpy()
        # A neighbourhood may show a column of another kind. What was drawn is claimed in any case.
        kind = halves.sign * Lattice(xy).kind_heights(drawn, xy)
        tests["height_kind"] = halves.sign * np.fmax(kind, halves.sign * drawn)
        tests[_HEIGHTS] *= half.scale
        table = pd.concat([table, tests], axis=1)
        table["q_value"] = q_values(table["p_value"], table["region"])
        tables.append(table)
    scales = [half.scale for half in halves]
    table = _judge(found, tables, evidence, scales, lengths.same, fdr, min_share)
    if lengths.pixel_size is not None:
        table.attrs["pixel_size"] = lengths.pixel_size
    return table


class Halves:
    """Two independent images of counts, denoised: columns found in one, counts of the other.

    Parameters
    ----------
    images, lengths, mask, polarity, threshold
        As for `confirm_images`.

    Attributes
    ----------
    found : pandas.DataFrame
        Columns of the denoised frame.
    trusted : bool ndarray of shape (height, width)
        Pixels that count.
    sign : {1.0, -1.0}
        Sign of the heights of columns.
    reach, margin : float
        Columns up to this distance are the same, and columns nearer to the border are not found.
    """

    def __init__(self, images, lengths, mask, *, polarity, threshold):
        images = _checked_halves(images)
        self.trusted = _check_values(images, mask)
        images = {name: np.where(self.trusted, image, 0) for name, image in images.items()}
        if "denoised" not in images:
            images["denoised"] = images["denoised_a"] + images["denoised_b"]
        find = {"sigma": lengths.blob, "mask": ~self.trusted}
        if polarity == "auto":
            polarity = column_polarity(images["denoised"], **find)
        find |= {"polarity": polarity, "threshold": threshold}
        self.reach = lengths.same
        self.margin = 2 * lengths.blob  # nearer to the border, no columns are found
        self.sign = -1.0 if polarity == "dark" else 1.0
        self.found = find_atoms(images["denoised"], **find)
        total = images["denoised"].sum()
        self._halves = [
            _Half(images[f"denoised_{mine}"], images[other], total, self.trusted, lengths, find)
            for mine, other in (("a", "b"), ("b", "a"))
        ]

    def __iter__(self):
        return iter(self._halves)


class _Half:
    """A denoised half with its columns, and the counts of the other half.

    Attributes
    ----------
    columns : pandas.DataFrame
        Columns of the denoised half.
    scale : float
        Turns heights in the counts into heights in the denoised frame.
    """

    def __init__(self, image, counts, total, trusted, lengths, find):
        self._image, self._counts, self._trusted, self._lengths = image, counts, trusted, lengths
        self.columns = find_atoms(image, **find)
        self.scale = total / counts.sum()

    def gather_evidence(self, xy):
        """Evidence of the counts for columns of the mean profile at these positions."""
        return gather_evidence(
            self._counts,
            self._image,
            xy,
            self._lengths.window,
            self._lengths.column,
            self._trusted,
            self.columns[["x", "y"]].to_numpy(),
        )


def regions_of(atoms, shape, pixel_size=None):
    """Say which columns are at the surface: those of the outline, except at the image's border.

    Parameters
    ----------
    atoms : pandas.DataFrame
        With columns x and y in px, and a unique index.
    shape : tuple of int
        Height and width of the image in px.
    pixel_size : float, optional
        In pm.

    Returns
    -------
    region : ndarray of shape (n_atoms,)
        "surface" or "bulk".
    """
    surface, _ = split_surface_bulk(atoms, pixel_size=pixel_size)
    x, y = atoms["x"].to_numpy(), atoms["y"].to_numpy()
    inside = np.minimum.reduce([x, y, shape[1] - 1 - x, shape[0] - 1 - y])
    inside = inside > BORDER_PM / (PIXEL_SIZE if pixel_size is None else pixel_size)
    return np.where(atoms.index.isin(surface.index) & inside, "surface", "bulk").astype(object)


def _judge(found, halves, evidence, scales, reach, fdr, min_share):
    """Merge the tests of the two halves into the table of columns, and give the verdicts."""
    table = found.assign(in_frame=True)
    rows = []
    for half in halves:
        pairs = match_atoms(table, half, max_distance=reach)
        new = half.drop(index=pairs["b"]).assign(in_frame=False)
        table = pd.concat([table, new[table.columns]], ignore_index=True)
        # The row of the table to which each column of the half belongs.
        row = np.empty(len(half), dtype=int)
        row[pairs["b"]] = pairs["a"]
        row[new.index] = np.arange(len(table) - len(new), len(table))
        rows.append(row)
    both = np.full((2, len(table), len(_TESTED)), np.nan)
    table["n_halves"] = np.zeros(len(table), dtype=np.int64)
    for values, half, row in zip(both, halves, rows, strict=True):
        values[row] = half[_TESTED]
        table.loc[row, "n_halves"] += 1
    both = dict(zip(_TESTED, np.moveaxis(both, 2, 0), strict=True))
    # There are two tests of each column, so the smaller p-value is doubled.
    with np.errstate(invalid="ignore"):  # both are NaN if there was no test
        for name in ("p_value", "p_contradicted", "q_value"):
            table[name] = np.minimum(2 * np.fmin(*both[name]), 1)
    for name in _HEIGHTS:
        tested = np.isfinite(both[name])
        n_tests = tested.sum(axis=0)
        total = np.where(tested, both[name], 0).sum(axis=0)
        table[name] = np.divide(total, n_tests, out=np.full(len(table), np.nan), where=n_tests > 0)
    gathered = [[] for _ in range(len(table))]
    for half, columns, row, scale in zip(halves, evidence, rows, scales, strict=True):
        kinds = half["height_kind"].to_numpy() / scale
        for k, column, kind in zip(row, columns, kinds, strict=True):
            if column is not None:
                gathered[k].append((column, kind))
    p_share, p_as_drawn = np.full((2, len(table)), np.nan)
    for k, known in enumerate(gathered):
        columns = [column for column, _ in known]
        p_share[k] = height_tail(columns, [min_share * kind for _, kind in known], at_least=False)
        drawn = [_AS_DRAWN * column.height for column in columns]
        p_as_drawn[k] = height_tail(columns, drawn, at_least=True)
    table["p_share"] = p_share
    # However many others are certain, no column is confirmed with a larger chance of error.
    table["q_share"] = np.maximum(q_values(p_share, table["region"]), p_share)
    table["present"] = table["q_value"] <= fdr
    weaker = ~(table["q_share"] <= fdr) | (p_as_drawn <= fdr)
    rejected = ~table["in_frame"] | (table["p_contradicted"] <= fdr)
    conditions = [table["present"] & ~weaker, table["present"], ~rejected]
    verdict = np.select(conditions, VERDICTS[:3], VERDICTS[3])
    table = table[list(_COLUMNS)].astype(_COLUMNS)
    table["verdict"] = pd.Categorical(verdict, categories=VERDICTS)
    return table


def _checked_halves(images):
    """Check types and shapes of images by name, and return them as float64."""
    images = {name: check_one_image(image, name) for name, image in images.items()}
    shape = images["a"].shape
    for name, image in images.items():
        if image.shape != shape:
            raise ValueError(f"{name} has shape {image.shape}, but a has {shape}.")
    # Sums of small integers and of float16 would overflow.
    return {name: image.astype(np.float64) for name, image in images.items()}


def _check_values(images, mask):
    """Check values and mask; return where the pixels are to be trusted."""
    shape = images["a"].shape
    mask = check_mask(mask, (1, *shape))
    trusted = np.ones(shape, dtype=bool) if mask is None else ~mask[0]
    for name, image in images.items():
        check_finite(image, trusted, name)
        if name not in ("a", "b") and image[trusted].mean() < 0:
            raise ValueError(
                f"{name} has a negative mean, but it must estimate the mean of counts. Do not "
                "subtract a background from it."
            )
    for name in ("a", "b"):
        counts = images[name][trusted]
        if counts.min() < 0:
            raise ValueError(f"{name} holds negative values, which cannot be electron counts.")
        check_whole(counts, name)
        if not counts.any():
            raise ValueError(f"{name} holds no electron: nothing can be tested on it.")
    return trusted


def check_rate(fdr):
    """Return a false discovery rate as a float; raise an error if it is not valid."""
    if not isinstance(fdr, Real) or isinstance(fdr, bool):
        raise TypeError(f"fdr must be a number between 0 and 1, got {fdr!r}.")
    if not 0 < fdr < 1:
        raise ValueError(
            f"fdr must be a false discovery rate above 0 and below 1, such as 0.05; got {fdr!r}."
        )
    return float(fdr)


def check_share(name, share):
    """Return a share of the height of a column as a float; raise an error if it is not valid."""
    if not isinstance(share, Real) or isinstance(share, bool):
        raise TypeError(f"{name} must be a number between 0 and 1, got {share!r}.")
    if not 0 < share < 1:
        raise ValueError(
            f"{name} must be a share of the height of a column, above 0 and below 1, such as 0.3; "
            f"got {share!r}."
        )
    return float(share)
