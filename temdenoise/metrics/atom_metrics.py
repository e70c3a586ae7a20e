"""Agreement of the atoms of two images: precision, recall, F1 score and Jaccard index.

All functions take the atoms of one image and return a float, or those of several images and return
an array with one value per image.
"""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from temdenoise.atoms import match_atoms, split_surface_bulk
from temdenoise.atoms.surface import ALPHA_PM
from temdenoise.metrics._atom_pairs import atom_pairs, settle_pixel_size_of_atoms

MAX_DISTANCE = 10.0
"""Default distance in px within which two atoms are the same, as in the paper's code."""

MAX_DISTANCE_PM = 62.2
"""The same in pm, 10 px of 6.22 pm: a quarter of the distance of neighbouring Pt columns."""

REGIONS = ("all", "surface", "bulk")


def atom_precision(
    clean,
    denoised,
    *,
    region="all",
    pixel_size=None,
    max_distance=None,
    alpha=None,
    interface=None,
    assignment="optimal",
    find_params=None,
    zero_division="warn",
):
    """Fraction of the atoms in the denoised image that are also in the clean image.

    Section 5.3.1 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970). The text of the paper gives the usual definition, which is
    used here: precision is divided by the number of atoms in the denoised image, recall by the
    number in the clean image. In its equations 5.1 and 5.2, with the sets A of the denoised and B
    of the clean image, the two denominators are swapped.

    Parameters
    ----------
    clean : atoms or images
        The ground truth. Atoms: a table with columns x and y (px), or an array of shape
        (n_atoms, 2) of x and y. An image: of shape (height, width), in counts/px;
        `temdenoise.atoms.find_atoms` finds its atoms. Several: a sequence of such tables or arrays
        (as ``columns`` of `temdenoise.datasets.make_ptceo2`), or a stack of images
        (n_images, height, width).
    denoised : atoms or images
        Atoms or images to compare with `clean`, in any of these forms, of the same number of
        images.
    region : {"all", "surface", "bulk"}, default="all"
        Which atoms are compared: all, or those of one region.
        `temdenoise.atoms.split_surface_bulk` finds the regions in each list separately.
    pixel_size : float, optional
        Pixel size in pm. It sets the scale at which atoms are found and the defaults of `alpha` and
        `max_distance`. By default the pixel size that `clean` or `denoised` know: as a
        `temdenoise.images.ImageStack`, or as a table of `temdenoise.atoms.find_atoms`.
    max_distance : float, optional
        Largest distance in px of two atoms that are the same. By default 62.2 pm divided by
        `pixel_size`, or 10 px without a pixel size (the paper's, at 6.22 pm per px).
    alpha, interface : float, optional
        As for `temdenoise.atoms.split_surface_bulk`, in px.
    assignment : {"optimal", "nearest"}, default="optimal"
        As for `temdenoise.atoms.match_atoms`. With "nearest" several atoms of one list may share
        an atom of the other; each of them counts.
    find_params : dict, optional
        Parameters of `temdenoise.atoms.find_atoms` for images. Without a polarity in it, the
        polarity of the clean image is used for both.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        Value of a score that is 0 divided by 0. The precision is undefined if the denoised image
        has no atoms, the recall if the clean image has none, F1 and Jaccard if neither has any.
        "warn" is 0 and a warning, as in scikit-learn.

    Returns
    -------
    precision : float or ndarray of shape (n_images,)
        From 0 to 1.

    Raises
    ------
    TypeError
        If positions or options are not of the right type.
    ValueError
        If an image is not finite, shapes or numbers of images differ, or an option is unknown or
        out of range.

    Warns
    -----
    UndefinedMetricWarning
        Where the score is 0 divided by 0, with ``zero_division="warn"``.
    PixelSizeWarning
        If `pixel_size` and the pixel size of the images differ.

    Examples
    --------
    >>> from temdenoise.metrics import atom_f1, atom_jaccard, atom_precision, atom_recall
    >>> clean = [(20, 20), (60, 20), (100, 20), (140, 20)]
    >>> denoised = [(21, 20), (60, 22), (140, 80)]  # two of them, and one phantom
    >>> round(atom_precision(clean, denoised), 3), atom_recall(clean, denoised)
    (0.667, 0.5)
    >>> round(atom_f1(clean, denoised), 3), atom_jaccard(clean, denoised)
    (0.571, 0.4)
    """
    pixel_size = settle_pixel_size_of_atoms(clean, denoised, pixel_size)
    options = _options(pixel_size, max_distance, alpha, interface, assignment, find_params)
    return _score("precision", clean, denoised, region, options, zero_division)


def atom_recall(
    clean,
    denoised,
    *,
    region="all",
    pixel_size=None,
    max_distance=None,
    alpha=None,
    interface=None,
    assignment="optimal",
    find_params=None,
    zero_division="warn",
):
    """Fraction of the atoms in the clean image that are also in the denoised image.

    Section 5.3.1 of Mohan et al., arXiv:2010.12970. `atom_precision` has a note on its equations.

    Parameters
    ----------
    clean, denoised, region, pixel_size, max_distance, alpha, interface, assignment, find_params
        As for `atom_precision`.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        As for `atom_precision`.

    Returns
    -------
    recall : float or ndarray of shape (n_images,)
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        As `atom_precision`.

    Examples
    --------
    >>> from temdenoise.metrics import atom_recall
    >>> atom_recall([(20, 20), (60, 20)], [(21, 20), (60, 80)])
    0.5
    """
    pixel_size = settle_pixel_size_of_atoms(clean, denoised, pixel_size)
    options = _options(pixel_size, max_distance, alpha, interface, assignment, find_params)
    return _score("recall", clean, denoised, region, options, zero_division)


def atom_f1(
    clean,
    denoised,
    *,
    region="all",
    pixel_size=None,
    max_distance=None,
    alpha=None,
    interface=None,
    assignment="optimal",
    find_params=None,
    zero_division="warn",
):
    """F1 score of the atoms: the harmonic mean of precision and recall.

    Equation 5.3 of Mohan et al., arXiv:2010.12970.

    Parameters
    ----------
    clean, denoised, region, pixel_size, max_distance, alpha, interface, assignment, find_params
        As for `atom_precision`.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        As for `atom_precision`.

    Returns
    -------
    f1 : float or ndarray of shape (n_images,)
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        As `atom_precision`.

    Examples
    --------
    >>> from temdenoise.metrics import atom_f1
    >>> atom_f1([(20, 20), (60, 20)], [(21, 20), (60, 80)])
    0.5
    """
    pixel_size = settle_pixel_size_of_atoms(clean, denoised, pixel_size)
    options = _options(pixel_size, max_distance, alpha, interface, assignment, find_params)
    return _score("f1", clean, denoised, region, options, zero_division)


def atom_jaccard(
    clean,
    denoised,
    *,
    region="all",
    pixel_size=None,
    max_distance=None,
    alpha=None,
    interface=None,
    assignment="optimal",
    find_params=None,
    zero_division="warn",
):
    """Jaccard index: the number of atoms in both images over the number in at least one.

    Equation 5.4 of Mohan et al., arXiv:2010.12970.

    Parameters
    ----------
    clean, denoised, region, pixel_size, max_distance, alpha, interface, assignment, find_params
        As for `atom_precision`.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        As for `atom_precision`.

    Returns
    -------
    jaccard : float or ndarray of shape (n_images,)
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        As `atom_precision`.

    Examples
    --------
    >>> from temdenoise.metrics import atom_jaccard
    >>> round(atom_jaccard([(20, 20), (60, 20)], [(21, 20), (60, 80)]), 3)
    0.333
    """
    pixel_size = settle_pixel_size_of_atoms(clean, denoised, pixel_size)
    options = _options(pixel_size, max_distance, alpha, interface, assignment, find_params)
    return _score("jaccard", clean, denoised, region, options, zero_division)


def atom_scores(
    clean,
    denoised,
    *,
    regions=REGIONS,
    pixel_size=None,
    max_distance=None,
    alpha=None,
    interface=None,
    assignment="optimal",
    find_params=None,
    zero_division="warn",
):
    """All scores of the atoms, by image and region, with the numbers of atoms.

    The atoms of each image are found only once.

    Parameters
    ----------
    clean, denoised, pixel_size, max_distance, alpha, interface, assignment, find_params
        As for `atom_precision`.
    regions : sequence of {"all", "surface", "bulk"}, default=("all", "surface", "bulk")
        The regions.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        As for `atom_precision`.

    Returns
    -------
    scores : pandas.DataFrame
        One row per image and region: ``image`` (its number, from 0), ``region``, ``precision``,
        ``recall``, ``f1``, ``jaccard``; ``n_clean`` and ``n_denoised``, the numbers of atoms, and
        ``n_matched``, how many of those in the denoised image are in the clean one.

    Raises
    ------
    TypeError, ValueError
        As `atom_precision`.

    Examples
    --------
    >>> from temdenoise.metrics import atom_scores
    >>> scores = atom_scores([(20, 20), (60, 20)], [(21, 20), (60, 80)], regions=["all"])
    >>> scores[["precision", "recall", "f1", "n_matched"]].to_numpy().tolist()
    [[0.5, 0.5, 0.5, 1.0]]
    """
    if isinstance(regions, str):
        raise ValueError(f"regions must be a sequence of {REGIONS}, got {regions!r}.")
    for region in regions:
        _check_region(region)
    pixel_size = settle_pixel_size_of_atoms(clean, denoised, pixel_size)
    options = _options(pixel_size, max_distance, alpha, interface, assignment, find_params)
    rows = []
    for image, pair in enumerate(atom_pairs(clean, denoised, options["find"])[0]):
        for region in regions:
            counts = _count(*pair, region, options)
            scores = _all_ratios(counts, zero_division)
            n_clean, n_denoised, _, n_matched = counts
            sizes = {"n_clean": n_clean, "n_denoised": n_denoised, "n_matched": n_matched}
            rows.append({"image": image, "region": region, **scores, **sizes})
    return pd.DataFrame(rows)


def _score(name, clean, denoised, region, options, zero_division):
    _check_region(region)
    pairs, single = atom_pairs(clean, denoised, options["find"])
    values = []
    for pair in pairs:  # a comprehension would be one more stack frame before Python 3.12
        values.append(_ratio(name, _count(*pair, region, options), zero_division))
    return values[0] if single else np.array(values)


def _all_ratios(counts, zero_division):
    scores = {}
    for name in _SCORES:  # as above
        scores[name] = _ratio(name, counts, zero_division)
    return scores


def _check_region(region):
    if region not in REGIONS:
        raise ValueError(f"region must be one of {REGIONS}, got {region!r}.")


def _options(pixel_size, max_distance, alpha, interface, assignment, find_params):
    if find_params is not None and not isinstance(find_params, Mapping):
        raise TypeError(f"find_params must be a dict of parameters, got {find_params!r}.")
    if max_distance is None:
        max_distance = MAX_DISTANCE
        if pixel_size is not None:
            max_distance = MAX_DISTANCE_PM / pixel_size
    if alpha is None and pixel_size is not None:
        alpha = ALPHA_PM / pixel_size
    return {
        "find": {"pixel_size": pixel_size, **(find_params or {})},
        "split": {"alpha": alpha, "interface": interface},
        "match": {"max_distance": max_distance, "assignment": assignment},
    }


def _count(clean, denoised, region, options):
    """Numbers of atoms in the clean and the denoised list, and of those also in the other list."""
    if region != "all":
        part = 0 if region == "surface" else 1
        clean, denoised = (
            split_surface_bulk(atoms, **options["split"])[part] for atoms in (clean, denoised)
        )
    pairs = match_atoms(denoised, clean, **options["match"])
    n_denoised_matched = n_clean_matched = len(pairs)
    if options["match"]["assignment"] == "nearest":
        n_clean_matched = len(match_atoms(clean, denoised, **options["match"]))
    return len(clean), len(denoised), n_clean_matched, n_denoised_matched


_SCORES = {
    "precision": lambda n_clean, n_denoised, recalled, correct: (correct, n_denoised),
    "recall": lambda n_clean, n_denoised, recalled, correct: (recalled, n_clean),
    # From the two fractions correct / n_denoised and recalled / n_clean. In a one-to-one assignment
    # their numerators are equal.
    "f1": lambda n_clean, n_denoised, recalled, correct: (
        2 * correct * recalled,
        correct * n_clean + recalled * n_denoised or n_clean + n_denoised,
    ),
    # The number of atoms in both lists. If atoms share a partner, it is the smaller of two numbers.
    "jaccard": lambda n_clean, n_denoised, recalled, correct: (
        min(recalled, correct),
        n_clean + n_denoised - min(recalled, correct),
    ),
}
"""Numerator and denominator of each score."""


def _ratio(name, counts, zero_division):
    if not (zero_division == "warn" or zero_division in (0, 1) or zero_division != zero_division):
        raise ValueError(f'zero_division must be "warn", 0, 1 or nan, got {zero_division!r}.')
    numerator, denominator = _SCORES[name](*counts)
    if denominator:
        return float(numerator / denominator)
    if zero_division != "warn":
        return float(zero_division)
    warnings.warn(
        f"The {name} of the atoms is ill-defined and set to 0, because there are no atoms to "
        "divide by. Use zero_division to control this.",
        UndefinedMetricWarning,
        stacklevel=4,  # the line that called the public function
    )
    return 0.0
