"""Likelihood maps: whether the counts agree better with an atom than with vacuum."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.special import gammaln, xlogy

from temdenoise._calls import transform_keywords
from temdenoise._one_image import check_finite, check_one_image
from temdenoise._validation import check_mask
from temdenoise.atoms import find_atoms
from temdenoise.atoms.find import default_sigma, warn_if_pairs
from temdenoise.images import first_with_pixel_size, settle_pixel_size
from temdenoise.inspection._regions import atom_disks, check_counts, label_disks
from temdenoise.noise import thin_counts
from temdenoise.noise._gate import refuse_unless_counts

MARGIN = 25.0
"""Default distance in px of the vacuum from the blobs, as in the paper's code."""

MARGIN_PM = 155.5
"""The same in pm, 25 px of 6.22 pm."""

VACUUM = -1
"""Label of the vacuum in the regions of a `LikelihoodMap`."""


@dataclass(frozen=True)
class LikelihoodMap:
    """Result of `likelihood_map`.

    Attributes
    ----------
    map : ndarray of shape (height, width), dtype float32
        Log-likelihood ratio of "atom" over "vacuum", per pixel of the region, in nats/px. It is
        constant in a region, and NaN outside all regions. Positive: the counts favour an atom.
    regions : ndarray of shape (height, width), dtype int32
        k + 1 on the pixels of the atom in row k of the table, -1 in the vacuum, 0 elsewhere.
    atoms : pandas.DataFrame
        One row per atom, with the index of the argument `atoms`:

        - ``x``, ``y``, ``radius``: the disk, in px;
        - ``n_pixels``: number of its pixels (int64) that count;
        - ``counts``: electrons on these pixels (int64);
        - ``rate``: mean of the denoised image over these pixels, in counts/px;
        - ``log_likelihood_atom``, ``log_likelihood_vacuum``: logarithm of equation 3.2 of the paper
          at that rate and at the level of the vacuum, in nats;
        - ``log_ratio``: the first minus the second, in nats;
        - ``log_ratio_per_pixel``: ``log_ratio`` over ``n_pixels``, in nats/px, as in the map.
    vacuum_level : float
        Rate of the vacuum in counts/px.
    vacuum_log_ratio_per_pixel : float
        Value of the map in the vacuum, in nats/px. The rate of "atom" is here the mean over the
        pixels of all atoms. NaN without atoms or without pixels of vacuum.
    denoised : ndarray of shape (height, width)
        Denoised image in counts/px: the argument or, with a split, that of the first half.
    """

    map: np.ndarray
    regions: np.ndarray
    atoms: pd.DataFrame
    vacuum_level: float
    vacuum_log_ratio_per_pixel: float
    denoised: np.ndarray


def likelihood_map(
    noisy,
    denoised,
    *,
    atoms=None,
    pixel_size=None,
    vacuum=None,
    radius=None,
    mask=None,
    split=None,
    transform_params=None,
    random_state=None,
):
    r"""Compare, atom by atom, how likely the counts are with the atom and without it.

    Section 3.3 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970). The model of the image in the region R of an atom is one
    constant: the mean of the denoised image for the hypothesis "atom", the level of the vacuum
    for "vacuum". The log-likelihood of the counts y is

    .. math:: \log L = \sum_{i \in R} \left( y_i \log x - x - \log y_i! \right)

    at a rate x. The map shows the difference of the two log-likelihoods, divided by the number of
    pixels.

    Parameters
    ----------
    noisy : array-like of shape (height, width)
        Electron counts: whole numbers, not negative.
    denoised : array-like of shape (height, width), or fitted denoiser
        Denoised image in counts/px. With `split`, the denoiser of the first half.
    atoms : DataFrame with columns x and y, or array-like of shape (n_atoms, 2), optional
        Positions in px. By default those that `temdenoise.atoms.find_atoms` finds in `denoised`.
    pixel_size : float, optional
        Pixel size in pm. It sets the default of `atoms`, of `radius` and of the distance of the
        vacuum from the atoms. By default that of `noisy` or `denoised`, if they are a
        `temdenoise.images.ImageStack` that knows it.
    vacuum : float or bool array-like of shape (height, width), optional
        Level of the vacuum in counts/px, or a mask that is True on its pixels, whose mean count is
        used. With `split` the level is that of the whole frame. By default the vacuum is the part
        of the image farther than 155.5 pm (25 px without a pixel size) from the disk of every atom,
        including atoms at the border, which `find_atoms` does not report.
    radius : float or array-like of shape (n_atoms,), optional
        Radius of the disks in px. By default 70.4 pm (11.3 px without a pixel size), as in the
        paper's code. Such a disk does not reach the dark ring around a column. A pixel in two
        disks belongs to the nearer atom, relative to the radii.
    mask : bool array-like of shape (height, width), optional
        True marks pixels not to trust. They count in no region, and may be NaN.
    split : {None, "thinning"}, default=None
        None: regions are chosen and tested on the same counts. "thinning": the electrons are split
        at random into two halves, independent of each other if the counts are Poisson distributed.
        The first half is denoised and defines regions and rates. Counts and levels are those of the
        second half.
    transform_params : dict, optional
        With `split`: keywords of ``denoised.transform``. `pixel_size` and `mask` are passed on to
        it, if it takes them. For a filter whose parameters are in pixels, ``{"pixel_size": None}``
        prevents this.
    random_state : None, int or RandomState, default=None
        With `split`: source of randomness of the halves.

    Returns
    -------
    LikelihoodMap
        Map, regions and a table of the atoms.

    Raises
    ------
    TypeError
        If an image, a position or an option does not hold real numbers, or `denoised` is not a
        denoiser although `split` needs one.
    ValueError
        If `noisy` does not hold whole numbers of electrons, an image is not finite, shapes differ,
        there is no vacuum or no electron in it, or the mean of the denoised image in a disk is
        negative and therefore not a rate.

    Notes
    -----
    If no atom is found, the table is empty and the whole image is vacuum. An atom without a pixel
    of its own (outside the image, masked, or at the position of another) has ``n_pixels`` 0, and
    its other values are NaN. The disk of an atom at the border is cut off at the border.

    Without `split` the regions are chosen on the same counts on which they are tested. This
    favours "atom": positive values are no evidence at a known error rate, as the paper itself says.
    Only compare values within an image. With `split` the ratio has no such bias: in an empty
    region, a ratio of more than log(20) has a probability of less than 1/20 (Markov's inequality).
    The price is half of the electrons, and columns that are not found on a half.

    The model is a constant against the vacuum. It fails for atoms whose dark surroundings lower the
    mean of the disk. `temdenoise.atoms.confirm_atoms` has a better model, and error rates.

    See Also
    --------
    temdenoise.atoms.confirm_atoms : Verdicts at a known rate of false discoveries.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.inspection import likelihood_map
    >>> y, x = np.mgrid[:128, :192]
    >>> clean = 0.45 + 0.6 * np.exp(-((x - 40) ** 2 + (y - 64) ** 2) / (2 * 8**2))
    >>> noisy = np.random.default_rng(0).poisson(clean)
    >>> result = likelihood_map(noisy, clean, atoms=[(40, 64), (150, 64)])  # one is not there
    >>> (result.atoms["log_ratio"] > 3).tolist()
    [True, False]
    """
    pixel_size = settle_pixel_size(first_with_pixel_size(noisy, denoised), pixel_size)
    noisy = check_one_image(noisy, "noisy")
    shape = noisy.shape
    mask = check_mask(mask, (1, *shape))
    trusted = np.ones(shape, dtype=bool) if mask is None else ~mask[0]
    if split is not None:
        if split != "thinning":
            raise ValueError(f'split must be None or "thinning", got {split!r}.')
        keywords = transform_keywords(
            denoised, pixel_size=pixel_size, mask=mask, params=transform_params
        )
        seen = np.where(trusted, noisy, 0)  # masked pixels may be NaN
        first, noisy = thin_counts(seen, random_state=random_state)
        denoised = denoised.transform(first[np.newaxis], **keywords)[0]
        if isinstance(vacuum, Real) and not isinstance(vacuum, bool | np.bool_):
            vacuum = vacuum / 2
    elif hasattr(denoised, "transform"):
        raise TypeError(
            'denoised must be an image, got a denoiser. Pass a denoised image, or split="thinning".'
        )
    denoised = check_one_image(denoised, "denoised")
    if noisy.shape != denoised.shape:
        raise ValueError(
            f"noisy and denoised must have the same shape: {noisy.shape} and {denoised.shape}."
        )
    check_finite(noisy, trusted, "noisy")
    check_finite(denoised, trusted, "denoised")
    counts = np.zeros(shape)
    counts[trusted] = check_counts(noisy[trusted], "noisy")
    refuse_unless_counts("noisy", counts[np.newaxis].astype(np.float32), mask)

    present = atoms
    if atoms is None:
        options = {"sigma": default_sigma(pixel_size), "mask": ~trusted}
        atoms = find_atoms(denoised, **options)
        warn_if_pairs(denoised, atoms, options["sigma"], mask=~trusted)
        # Atoms that the border cuts off are not reported, but they are not vacuum either.
        present = find_atoms(denoised, exclude_border=False, **options)
    table = atom_disks(atoms, radius, pixel_size)
    regions = label_disks(table, shape)
    present = label_disks(atom_disks(present, radius, pixel_size), shape)
    is_vacuum, level = _vacuum(counts, present, trusted, vacuum, pixel_size)
    regions[~trusted] = 0

    table = _compare(table, counts, denoised, regions, level)
    ratio = np.full(len(table) + 1, np.nan)
    ratio[1:] = table["log_ratio_per_pixel"]
    drawn = ratio[regions].astype(np.float32)
    in_vacuum = _ratio_in_vacuum(counts[is_vacuum], table, level)
    is_vacuum = is_vacuum & (regions == 0)
    drawn[is_vacuum] = in_vacuum
    regions[is_vacuum] = VACUUM
    return LikelihoodMap(drawn, regions, table, level, in_vacuum, denoised)


def _vacuum(counts, regions, trusted, vacuum, pixel_size):
    """Pixels of the vacuum, and its level in counts/px."""
    if isinstance(vacuum, Real) and not isinstance(vacuum, bool | np.bool_):
        level = float(vacuum)
        if not (np.isfinite(level) and level > 0):
            raise ValueError(f"vacuum must be a positive level in counts/px, got {vacuum!r}.")
        return _away_from_atoms(regions, pixel_size) & trusted, level
    if vacuum is None:
        chosen = _away_from_atoms(regions, pixel_size) & trusted
        mend = "Pass its level in counts/px, or a mask of its pixels, as vacuum."
        missing = "No pixel of the image is far enough from all atoms to be vacuum"
    else:
        chosen = np.asarray(vacuum)
        if chosen.dtype != np.bool_ or chosen.shape != counts.shape:
            raise ValueError(
                "vacuum must be a level in counts/px or a bool array of the shape of the images, "
                f"{counts.shape}; got dtype {chosen.dtype} and shape {chosen.shape}."
            )
        chosen = chosen & trusted
        mend = "Pass a mask that is True on the vacuum, or its level in counts/px."
        missing = "vacuum marks no pixel that may be trusted"
    if not chosen.any():
        raise ValueError(f"{missing}. {mend}")
    level = float(counts[chosen].mean())
    if level == 0:
        raise ValueError(
            f"The {np.count_nonzero(chosen)} pixels of the vacuum hold no electron, so its level "
            "cannot be measured. At a level of zero any electron is impossible. Pass the level in "
            "counts/px as vacuum."
        )
    return chosen, level


def _away_from_atoms(regions, pixel_size):
    if not regions.any():
        return np.ones(regions.shape, dtype=bool)
    margin = MARGIN if pixel_size is None else MARGIN_PM / pixel_size
    return distance_transform_edt(regions == 0) > margin


def _compare(table, counts, denoised, regions, level):
    """Fill the table of the atoms."""
    inside = regions > 0
    label = regions[inside] - 1
    y = counts[inside]
    n_atoms = len(table)

    def total(weights=None):
        return np.bincount(label, weights=weights, minlength=n_atoms)

    n_pixels = total()
    electrons = total(y)
    rate = np.full(n_atoms, np.nan)
    np.divide(total(denoised[inside].astype(np.float64)), n_pixels, out=rate, where=n_pixels > 0)
    if (rate < 0).any():
        worst = int(np.nanargmin(rate))
        raise ValueError(
            f"The mean of denoised over the disk of atom {worst} (x = {table['x'].iloc[worst]:.1f},"
            f" y = {table['y'].iloc[worst]:.1f}) is {rate[worst]:.3g} counts/px, but a rate cannot "
            "be negative. Do not subtract a background, or use a denoiser that stays positive."
        )
    constant = total(gammaln(y + 1))
    table["n_pixels"] = n_pixels
    table["counts"] = electrons.astype(np.int64)
    table["rate"] = rate
    vacuum = np.where(n_pixels > 0, level, np.nan)
    for name, x in (("log_likelihood_atom", rate), ("log_likelihood_vacuum", vacuum)):
        table[name] = xlogy(electrons, x) - n_pixels * x - constant
    # The difference of the two log-likelihoods would lose precision in the factorials.
    table["log_ratio"] = _log_ratio(electrons, n_pixels, rate, vacuum)
    table["log_ratio_per_pixel"] = table["log_ratio"] / table["n_pixels"]
    return table


def _log_ratio(electrons, n_pixels, rate, level):
    """Poisson log-likelihood of the electrons on n pixels at one rate, minus that at another."""
    with np.errstate(divide="ignore"):  # a rate of zero: impossible if there are electrons
        return xlogy(electrons, rate / level) - n_pixels * (rate - level)


def _ratio_in_vacuum(counts, table, level):
    n_pixels = table["n_pixels"].sum()
    if not len(counts) or not n_pixels:
        return float("nan")
    rate = (table["rate"] * table["n_pixels"]).sum() / n_pixels
    return float(_log_ratio(counts.sum(), len(counts), rate, level) / len(counts))
