"""Confirm the columns of a denoised image on counts that were not used to make it."""

import numpy as np
import pandas as pd

from temdenoise._calls import transform_keywords
from temdenoise._one_image import check_whole
from temdenoise._validation import check_images, check_mask, refuse_masked
from temdenoise.atoms.confirm_halves import (
    MIN_SHARE,
    Lengths,
    check_rate,
    check_share,
    confirm_images,
)
from temdenoise.atoms.find import THRESHOLD, warn_if_pairs
from temdenoise.images import settle_pixel_size
from temdenoise.noise import analyze_noise, thin_counts
from temdenoise.noise._gate import refuse_dependent, refuse_unless_counts
from temdenoise.noise.analysis import MIN_SIZE


def confirm_atoms(
    denoiser,
    noisy,
    *,
    fdr=0.05,
    min_share=MIN_SHARE,
    pixel_size=None,
    sigma=None,
    split="thinning",
    threshold=THRESHOLD,
    polarity="auto",
    mask=None,
    transform_params=None,
    random_state=None,
):
    r"""Confirm columns at a known rate of false discoveries.

    A denoiser can draw a column that does not exist. A test on the same counts is biased towards
    such a column. Section 3.3 of "Deep denoising for scientific discovery: a case study in electron
    microscopy" (Mohan et al., arXiv:2010.12970) leaves this problem open. Here the electrons of a
    frame are split at random into two halves, which are independent of each other if the counts are
    Poisson distributed. Columns are found on the denoised first half and tested on the counts of
    the second half, and vice versa. A column is confirmed if its height exceeds a share
    (`min_share`) of the height of columns of its kind, not only if there is something: where a
    column is missing, its neighbours leave a faint maximum. On average, a share of at most `fdr` of
    the columns confirmed in a frame is false.

    Parameters
    ----------
    denoiser : fitted denoiser
        An object with a ``transform`` that maps counts (n_images, height, width) to estimates of
        their mean. It should also work at half the dose.
    noisy : array-like of shape (height, width) or (n_images, height, width)
        Raw electron counts: whole numbers, Poisson distributed, pixels independent.
    fdr : float, default=0.05
        False discovery rate: allowed share of false columns among the confirmed columns of a frame.
    min_share : float, default=0.3
        A column is confirmed if its height exceeds this share of the height of its kind, between 0
        and 1. With a smaller share more columns are confirmed, and more vacancies that the
        denoiser filled.
    pixel_size : float, optional
        Pixel size in pm, from which all lengths follow. By default that of `noisy`, if it is a
        `temdenoise.images.ImageStack` that knows it, otherwise 6.22 pm (and 8 px for `sigma`). It
        is passed on to ``denoiser.transform`` if that has a parameter of this name. For a filter
        whose parameters are in pixels, ``transform_params={"pixel_size": None}`` prevents this.
    sigma : float, optional
        Standard deviation in px of the columns, as for `temdenoise.atoms.find_atoms`. It sets the
        lengths of the test: the window has a radius of 2.7 `sigma`, and columns of two images are
        the same up to 1.04 `sigma`. By default 60 pm.
    split : {"thinning", "frames"}, default="thinning"
        "thinning": the electrons of each frame are split into halves. "frames": each frame is one
        half, and the next frame (for the last frame the one before) is the other half, at full
        dose. This is for movies in which nothing moves or changes from one frame to the next.
    threshold, polarity : float, {"auto", "bright", "dark"}
        As for `temdenoise.atoms.find_atoms`. With "auto" the denoised frame decides.
    mask : bool array-like of shape (height, width) or (n_images, height, width), optional
        True marks pixels not to trust; they may be NaN. It is passed on to ``denoiser.transform``
        if that has a parameter of this name.
    transform_params : dict, optional
        Other keywords of ``denoiser.transform``.
    random_state : None, int or RandomState, default=None
        Source of randomness of the split. Another split can give another verdict on columns with
        a ``q_value`` near `fdr`.

    Returns
    -------
    atoms : pandas.DataFrame
        A row for each column found in the denoised frame, then a row for each column found only in
        a denoised half:

        - ``frame``: number of the frame (int64);
        - ``x``, ``y``: position in px;
        - ``response``: response of the detector, as a fraction of the range of the image;
        - ``region``: "surface" or "bulk", see Notes;
        - ``in_frame``: whether it is found in the denoised frame (bool);
        - ``n_halves``: number of halves in which it is found (int64), which is the number of tests;
        - ``height_drawn``, ``height_counted``: height of the column over its surroundings in
          counts/px of the frame, mean over the tests; the first as drawn in the denoised halves,
          the second as measured on the counts that are independent of them;
        - ``height_kind``: height that a column of its kind has there, mean over the tests: the
          median as drawn at the columns that the lattice relates to it, or ``height_drawn``,
          whichever is higher;
        - ``p_value``: probability of counts that favour the column this much if there is nothing;
          twice the smaller value of the two halves;
        - ``q_value``: smallest `fdr` at which something is there;
        - ``p_share``: probability of counts that favour the column this much if it has `min_share`
          of the height of its kind; both halves together;
        - ``q_share``: smallest `fdr` at which its height exceeds this share;
        - ``present``: whether something is there, ``q_value <= fdr`` (bool);
        - ``verdict`` (categorical): "confirmed", "weaker than drawn", "detected, not confirmed", or
          "rejected".

        Columns are float64 and have no unit unless stated. NaN where nothing was tested.

    Raises
    ------
    TypeError
        If `denoiser` has no ``transform``, or a parameter is not a number.
    ValueError
        If the counts are not Poisson distributed electrons (see `temdenoise.analyze_noise`), frames
        that test each other are not independent, the images are not valid, or a parameter is out of
        range.

    Warns
    -----
    UserWarning
        As `temdenoise.atoms.find_atoms`; pairs of columns are looked for in the first frame.
    PixelSizeWarning
        If `pixel_size` and that of the images differ.

    Notes
    -----
    The verdicts:

    - *confirmed*: something is there (``q_value <= fdr``), its height exceeds `min_share` of the
      height of its kind (``q_share <= fdr``), and the counts do not contradict 75 % of the drawn
      height (one-sided p-value of both halves, at most `fdr`).
    - *weaker than drawn*: something is there, but it is not confirmed: the remainder of a missing
      column, a partly filled column, or a column with too few electrons to tell it from these.
    - *rejected*: nothing is shown to be there, and one of two reasons. Either the counts of the
      other half contradict a column of even half the drawn height (one-sided p-value, twice the
      smaller of two, at most `fdr`). Or the column is only in a denoised half and not in the
      denoised frame.
    - *detected, not confirmed*: all other columns; the counts do not decide. A column that is too
      weak to be found at half the dose is one of them, with NaN for its p-value.

    In this test a column is a maximum of the mean counts. It has the mean radial profile of the
    columns of the half, on a background that is a plane within 162 pm (2.7 `sigma`). A maximum of
    a Fresnel fringe is a column in this sense, too: counts cannot distinguish it from an atom. Nor
    can they distinguish a column from one that is displaced by up to 110 pm. If the denoised half
    shows a ridge and not a spot, the maximum must stand out from the ridge.

    Denoisers make most errors on surface columns (the outline of all columns of a half, by
    `temdenoise.atoms.split_surface_bulk`). Surface columns and all others are two families. Each
    family is tested with the procedure of Benjamini and Hochberg with Storey's estimate of the
    share of false columns, at ``fdr / 2`` in either direction. A test with a p-value above 0.1
    never passes. Something is there if one direction says so: the rates of the two directions add
    up to at most `fdr`, even if they depend on each other, for any denoiser.

    The height is tested on both halves together, each with the weights that follow from the other:
    all electrons count. The hypothesis is that the column has at most `min_share` of the height of
    its kind, and a column passes only if its ``p_share`` is at most `fdr`, too. So a given vacancy
    is confirmed with a probability of at most `fdr`, however strong the columns around it are. That
    a column was found in both halves can favour it in this test (not in that for something), if
    the denoiser draws it because of the noise and not because of the crystal.

    See Also
    --------
    confirm_atoms_from_halves : For halves that are split and denoised already.
    missing_columns : Sites of the lattice where the counts reject a column.
    AtomClassifier : A probability for each column, learnt from simulations.
    temdenoise.plotting.AtomVerdictDisplay : Picture of the verdicts.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import WindowedFourierDenoiser
    >>> from temdenoise.atoms import confirm_atoms
    >>> y, x = np.mgrid[:300, :300]
    >>> sites = [(a, b) for a in range(60, 250, 45) for b in range(60, 250, 45)]
    >>> clean = 1 + sum(0.8 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 128) for a, b in sites)
    >>> counts = np.random.default_rng(1).poisson(clean)
    >>> denoiser = WindowedFourierDenoiser().fit(counts[np.newaxis])
    >>> atoms = confirm_atoms(denoiser, counts, pixel_size=6.22, random_state=0)
    >>> (atoms["verdict"] == "confirmed").sum()
    np.int64(25)
    """
    fdr, min_share = check_rate(fdr), check_share("min_share", min_share)
    pixel_size = settle_pixel_size(noisy, pixel_size)
    transform_keywords(denoiser)  # refuses an object that cannot denoise, before any work
    lengths = Lengths(pixel_size, sigma)
    options = {"threshold": threshold, "polarity": polarity}
    tables = []
    frames = denoised_halves(
        denoiser,
        noisy,
        pixel_size=pixel_size,
        split=split,
        mask=mask,
        transform_params=transform_params,
        random_state=random_state,
        name="confirm_atoms",
    )
    for k, (images, hidden) in enumerate(frames):
        table = confirm_images(images, fdr, min_share, lengths, hidden, **options)
        if k == 0 and sigma is None:
            frame = table[table["in_frame"]]
            warn_if_pairs(images["denoised"], frame, lengths.blob, polarity=polarity, mask=hidden)
        table.insert(0, "frame", np.full(len(table), k, dtype=np.int64))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def denoised_halves(
    denoiser, noisy, *, pixel_size, split, mask, transform_params, random_state, name
):
    """Split each frame into two independent images of counts, and denoise these and the frame.

    Parameters
    ----------
    denoiser, noisy, pixel_size, split, mask, transform_params, random_state
        As for `confirm_atoms`.
    name : str
        Function that was called, for error messages.

    Yields
    ------
    images : dict
        Images of shape (height, width): ``a``, ``b``, ``denoised_a``, ``denoised_b``, ``denoised``.
    mask : bool ndarray of shape (height, width) or None
        That of the frame.
    """
    if split not in ("thinning", "frames"):
        raise ValueError(f'split must be "thinning" or "frames", got {split!r}.')
    refuse_masked(noisy, "noisy")
    noisy = np.asarray(noisy)
    noisy = noisy[np.newaxis] if noisy.ndim == 2 else noisy
    if mask is not None and noisy.ndim == 3:  # the error for another shape is about noisy
        mask = check_mask(mask, noisy.shape)
        noisy = noisy if mask is None else np.where(mask, 0, noisy)  # masked pixels may be NaN
    counts = _check_poisson(noisy, mask, name)
    if split == "frames":
        after = [(k, k + 1) for k in range(len(counts) - 1)]
        refuse_dependent("noisy", counts, after, mask)

    def denoise(images, frames=slice(None)):
        hidden = None if mask is None else mask[frames]
        keywords = transform_keywords(
            denoiser, pixel_size=pixel_size, mask=hidden, params=transform_params
        )
        return denoiser.transform(images, **keywords)

    names = ("a", "b", "denoised_a", "denoised_b", "denoised")
    find = _halves_by_thinning if split == "thinning" else _halves_by_frames
    for k, (halves, images) in enumerate(find(counts, denoise, random_state)):
        hidden = None if mask is None else mask[k]
        yield dict(zip(names, (*halves, *images), strict=True)), hidden


def _halves_by_thinning(counts, denoise, random_state):
    halves = thin_counts(counts, random_state=random_state)
    for half in halves:
        k = _first(~half.any(axis=(1, 2)))
        if k is not None:
            raise ValueError(
                f"Frame {k} of noisy holds too few electrons to split, {counts[k].sum():.0f}: one "
                "of its halves has none. Leave the frame out, or add up frames."
            )
    images = [denoise(half) for half in (*halves, counts)]
    for k in range(len(counts)):
        yield [half[k] for half in halves], [image[k] for image in images]


def _halves_by_frames(counts, denoise, random_state):
    if len(counts) < 2:
        raise ValueError(
            'split="frames" uses a neighbouring frame as the second half, but noisy holds only one '
            'frame. Use split="thinning".'
        )
    # Frames are denoised one by one. They must stay independent of each other, also with a denoiser
    # that uses neighbouring frames.
    frames = [slice(k, k + 1) for k in range(len(counts))]
    images = [denoise(counts[frame], frame)[0] for frame in frames]
    for k in range(len(counts)):
        other = k + 1 if k + 1 < len(counts) else k - 1
        yield (counts[k], counts[other]), (images[k], images[other], images[k])


def _check_poisson(noisy, mask, name):
    """Refuse values that are not Poisson counts; return counts as float32."""
    counts = check_images(noisy, estimator_name=name, counts=True, min_size=MIN_SIZE, name="noisy")
    check_whole(counts, "noisy")
    _check_frames(counts, mask)
    refuse_unless_counts("noisy", counts, mask)
    try:
        analyze_noise(counts[:1], mask=None if mask is None else mask[:1], method="spatial")
    except ValueError as error:  # its message speaks of a movie, but the argument is noisy
        raise ValueError(f"noisy cannot be tested for Poisson scatter. {error}") from error
    return counts


def _check_frames(counts, mask):
    """Refuse frames in which all pixels that count are equal."""
    shown = {} if mask is None else {"where": ~mask}
    low = counts.min(axis=(1, 2), initial=np.inf, **shown)
    high = counts.max(axis=(1, 2), initial=0, **shown)
    k = _first(high == 0)
    if k is not None:
        raise ValueError(
            f"Frame {k} of noisy holds no electron: nothing can be tested on it. Leave it out."
        )
    k = _first(low == high)
    if k is not None:
        raise ValueError(
            f"Frame {k} of noisy is constant: every pixel is {low[k]:g}. Electron counts scatter; "
            "pass the raw counts."
        )


def _first(condition):
    """Return the number of the first frame that is marked, or None."""
    return int(condition.argmax()) if condition.any() else None
