"""Sites of the lattice where the counts reject a column."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from temdenoise._calls import transform_keywords
from temdenoise.atoms._evidence import height_tail
from temdenoise.atoms._false_discovery import q_values
from temdenoise.atoms._lattice import Lattice
from temdenoise.atoms.confirm import denoised_halves
from temdenoise.atoms.confirm_halves import Halves, Lengths, check_rate, check_share
from temdenoise.atoms.find import THRESHOLD, warn_if_pairs
from temdenoise.atoms.match import match_atoms
from temdenoise.images import settle_pixel_size

MAX_SHARE = 0.75
"""Default share of the height of its kind that a missing column does not reach.
``benchmarks/fdr_calibration.py`` measured it."""

_COLUMNS = {
    "x": "float64",
    "y": "float64",
    "drawn": "bool",
    "height_predicted": "float64",
    "height_counted": "float64",
    "p_value": "float64",
    "q_value": "float64",
    "missing": "bool",
}


def missing_columns(
    denoiser,
    noisy,
    *,
    fdr=0.05,
    max_share=MAX_SHARE,
    pixel_size=None,
    sigma=None,
    split="thinning",
    threshold=THRESHOLD,
    polarity="auto",
    mask=None,
    transform_params=None,
    random_state=None,
):
    r"""Find sites of the lattice where the counts reject a column, at a known rate of errors.

    This is the reverse of `confirm_atoms`. A denoiser that knows crystals fills vacancies, so that
    a vacancy does not show in its image. The lattice about a column predicts the site of the column
    and its height. The counts of the other half, which had no part in the drawing, then tell
    whether a column of this height can be there. On average, a share of at most `fdr` of the sites
    called missing in a frame has a column of its kind.

    Parameters
    ----------
    denoiser, noisy, pixel_size, sigma, split, threshold, polarity, mask, transform_params
        As for `confirm_atoms`.
    fdr : float, default=0.05
        False discovery rate: allowed share of sites with a column among the sites called missing in
        a frame.
    max_share : float, default=0.75
        A column is missing if the counts reject this share of the predicted height, from 0 to 1.
        Smaller values find only sites with nothing at all. Larger values find columns that are only
        somewhat lower than their neighbours, too.
    random_state : None, int or RandomState, default=None
        Source of randomness of the split.

    Returns
    -------
    sites : pandas.DataFrame
        A row for each site that the lattice predicts, with a column or without, the strongest
        evidence of a missing column first:

        - ``frame``: number of the frame (int64);
        - ``x``, ``y``: position in px, mean over the halves: that of the column that the half
          shows, or the predicted one;
        - ``drawn``: whether the denoised frame shows a column there (bool);
        - ``height_predicted``, ``height_counted``: height over the surroundings in counts/px of the
          frame, mean over the halves; the first as drawn at the neighbours that predict the site,
          the second as measured at the site on independent counts;
        - ``p_value``: probability of counts this low if there is a column of `max_share` of the
          predicted height;
        - ``q_value``: smallest `fdr` at which the column is missing;
        - ``missing``: whether ``q_value <= fdr`` (bool).

        Columns are float64 and have no unit unless stated.

    Raises
    ------
    TypeError, ValueError
        As `confirm_atoms`, or if `max_share` is not a number between 0 and 1.

    Warns
    -----
    UserWarning, PixelSizeWarning
        As `confirm_atoms`.

    Notes
    -----
    The lattice is that of the columns in each denoised half. A vector between two columns is a
    lattice vector if most pairs of the neighbourhood that it relates go on to a third column. A
    site is predicted if at least three columns are a lattice vector away from it, on all sides or,
    as in a flat surface, on one side and along it. So a missing corner, or the next layer on a
    facet, is not predicted. Nor is what lies within two `sigma` of the image's border or under the
    mask, or a place where the image shows no lattice. Nothing is assumed of the crystal.

    Sites are tested that both halves predict, whether or not they show a column there. So both
    halves count, each with the weights that follow from the other, and their statistics are added.
    The test is that of `confirm_atoms`, and the q-values are those of Benjamini and Hochberg with
    Storey's estimate. A vacancy among many columns needs a small p-value, which few electrons
    cannot give.

    The predicted height is the median of the neighbours' heights as drawn. At the edge of a
    particle, where columns get shorter from one to the next, the neighbours inside are higher. A
    column that is there but far shorter than its neighbours is called missing, as its site lacks
    most of what the lattice predicts.

    See Also
    --------
    confirm_atoms : Columns that the counts confirm.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms import missing_columns
    >>> y, x = np.mgrid[:300, :300]
    >>> sites = [(a, b) for a in range(60, 250, 45) for b in range(60, 250, 45)]
    >>> spots = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 128) for a, b in sites]
    >>> full = 4 + 3 * sum(spots)
    >>> counts = np.random.default_rng(1).poisson(full - 3 * spots[12])  # (150, 150) is missing
    >>> class Lattice:  # a denoiser that draws all columns, whatever the counts
    ...     def transform(self, X):
    ...         return full * X.mean(axis=(1, 2), keepdims=True) / full.mean()
    >>> table = missing_columns(Lattice(), counts, pixel_size=6.22, random_state=0)
    >>> table.loc[table["missing"], ["x", "y"]].round().to_numpy().tolist()
    [[150.0, 150.0]]
    """
    fdr, max_share = check_rate(fdr), check_share("max_share", max_share)
    pixel_size = settle_pixel_size(noisy, pixel_size)
    transform_keywords(denoiser)  # refuses an object that cannot denoise, before any work
    lengths = Lengths(pixel_size, sigma)
    frames = denoised_halves(
        denoiser,
        noisy,
        pixel_size=pixel_size,
        split=split,
        mask=mask,
        transform_params=transform_params,
        random_state=random_state,
        name="missing_columns",
    )
    tables = []
    for k, (images, hidden) in enumerate(frames):
        halves = Halves(images, lengths, hidden, polarity=polarity, threshold=threshold)
        if k == 0 and sigma is None:
            drawn = images["denoised"]
            warn_if_pairs(drawn, halves.found, lengths.blob, polarity=polarity, mask=hidden)
        table = tested_sites(halves, fdr, max_share)
        table.insert(0, "frame", np.full(len(table), k, dtype=np.int64))
        tables.append(table)
    sites = pd.concat(tables, ignore_index=True)
    if pixel_size is not None:
        sites.attrs["pixel_size"] = pixel_size
    return sites


def tested_sites(halves, fdr, max_share):
    """Table of the predicted sites of one frame.

    Parameters
    ----------
    halves : temdenoise.atoms.confirm_halves.Halves
    fdr, max_share : float
        As for `missing_columns`, checked.

    Returns
    -------
    sites : pandas.DataFrame
        As from `missing_columns`, without ``frame``.
    """
    # What only one half predicts is often the fault of a column that was drawn and does not exist.
    (xy_a, tested_a), (xy_b, tested_b) = (_predicted_sites(half, halves) for half in halves)
    pairs = match_atoms(xy_a, xy_b, max_distance=halves.reach)
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    points = (xy_a[a] + xy_b[b]) / 2
    rows = []
    for i, j in zip(a, b, strict=True):
        columns, kinds, scales = zip(tested_a[i], tested_b[j], strict=True)
        counted = [c.observed / c.response * c.centre for c in columns]
        rows.append(
            (
                np.mean(np.multiply(kinds, scales)),
                np.mean(np.multiply(counted, scales)),
                height_tail(columns, [max_share * kind for kind in kinds], at_least=True),
            )
        )
    names = ["height_predicted", "height_counted", "p_value"]
    table = pd.DataFrame(np.array(rows).reshape(-1, len(names)), columns=names)
    table["x"], table["y"] = points.T
    found = halves.found[["x", "y"]].to_numpy()
    table["drawn"] = cKDTree(found).query(points)[0] <= halves.reach if len(found) else False
    table["q_value"] = q_values(table["p_value"], np.zeros(len(table)))
    table["missing"] = table["q_value"] <= fdr
    table = table[list(_COLUMNS)].astype(_COLUMNS)
    return table.sort_values("p_value", kind="stable", ignore_index=True)


def _predicted_sites(half, halves):
    """Sites that the lattice of one half predicts, and for each (evidence, height, scale)."""
    columns = half.columns[["x", "y"]].to_numpy()
    lattice = Lattice(columns)
    vacant = lattice.vacant_sites()
    height, width = halves.trusted.shape
    inside = np.minimum(vacant, [width - 1, height - 1] - vacant).min(axis=1) >= halves.margin
    x, y = np.rint(vacant[inside]).astype(int).T
    vacant = vacant[inside][halves.trusted[y, x]]
    evidence = half.gather_evidence(columns)
    drawn = np.array([np.nan if column is None else column.height for column in evidence])
    evidence += half.gather_evidence(vacant)
    points = np.concatenate([columns, vacant])
    kinds = lattice.kind_heights(drawn, points)
    fit = np.concatenate([lattice.is_inside(columns), np.ones(len(vacant), dtype=bool)])
    fit &= np.array([column is not None for column in evidence], dtype=bool)
    fit &= halves.sign * kinds > 0
    tested = [(evidence[k], kinds[k], half.scale) for k in np.flatnonzero(fit)]
    return points[fit], tested
