"""Compare denoised frames with the temporal average: line profiles, column intensities."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from temdenoise._lengths import check_length
from temdenoise._validation import refuse_masked
from temdenoise.atoms._points import check_points
from temdenoise.images import first_with_pixel_size, settle_pixel_size
from temdenoise.inspection._regions import atom_disks, check_counts, label_disks

# Default width of a profile, the width of a column: in px without a pixel size, and in pm.
_WIDTH = 16.0
_WIDTH_PM = 100.0


@dataclass(frozen=True)
class Profile:
    """Result of `profile_along`.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per point:

        - ``distance``: distance from the start, in px (mean over the pixels of the point);
        - ``n_pixels``: number of pixels (int64) of a frame over which the point averages;
        - ``movie``: mean of the movie over these pixels and all frames, in counts/px;
        - ``movie_error``: Poisson standard error of this mean, in counts/px: the square root of the
          number of electrons, over the number of pixels times the number of frames;
        - ``denoised``: mean of the denoised frames, in counts/px;
        - ``denoised_spread``: standard deviation of the denoised frames about their mean, in
          counts/px; NaN for a single frame.
    frames : ndarray of shape (n_frames, n_points), dtype float64
        The profile of each denoised frame, in counts/px.
    start, end : tuple of two float
        Ends (x, y) of the profile in px.
    width : float
        Width of the profile in px.
    """

    table: pd.DataFrame
    frames: np.ndarray
    start: tuple
    end: tuple
    width: float


def profile_along(movie, denoised, start, end, *, width=None, step=1.0, pixel_size=None):
    """Compare the profile of denoised frames along a line with that of the mean of the movie.

    Section 5.4 (Figure 5.5) of "Deep denoising for scientific discovery: a case study in electron
    microscopy" (Mohan et al., arXiv:2010.12970). If nothing moves, the temporal average of the
    counts is an estimate of the rate that does not depend on any denoiser.

    Parameters
    ----------
    movie : array-like of shape (n_frames, height, width)
        Electron counts: whole numbers. Only the pixels along the line are read from a memory map.
    denoised : array-like of shape (n_frames, height, width)
        The denoised frames, in counts/px.
    start, end : tuple of two float
        Ends of the line (x, y) in px; (0, 0) is the centre of the first pixel.
    width : float, optional
        Width in px over which the profile is averaged. By default 100 pm, about the width of a
        column, or 16 px without a pixel size.
    step : float, default=1
        Distance of the points in px. A point averages over the pixels whose centres lie in its
        piece of the line. The last piece may be shorter. Nothing is interpolated, so that the
        counts stay Poisson distributed.
    pixel_size : float, optional
        Pixel size in pm. It sets the default of `width`. By default that of `movie` or `denoised`,
        if they are a `temdenoise.images.ImageStack` that knows it.

    Returns
    -------
    Profile
        Table of the points, and the profile of each frame.

    Raises
    ------
    TypeError
        If an array or an option does not hold real numbers.
    ValueError
        If the movie does not hold whole numbers along the line or the frames are not finite there,
        shapes differ, start and end are the same point, or no pixel lies on the line.

    Notes
    -----
    The spread over frames is not the error of the denoised mean. It includes motion and what the
    denoiser makes of the noise, but not errors that are equal in all frames. The mean of frames
    that move is blurred; use a part of the movie without motion.

    A point without a pixel (on a narrow, oblique line) is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.inspection import profile_along
    >>> movie = np.random.default_rng(0).poisson(2.0, size=(20, 32, 32))
    >>> flat = np.full(movie.shape, 2.0)
    >>> profile = profile_along(movie, flat, (2, 16), (29, 16), width=4)
    >>> profile.table.shape, float(profile.table["denoised"].iloc[0])
    ((28, 6), 2.0)
    >>> z = (profile.table["movie"] - 2) / profile.table["movie_error"]
    >>> bool(abs(z).max() < 4)
    True
    """
    pixel_size = _settled(movie, denoised, pixel_size)
    movie, denoised = _checked_stacks(movie, denoised)
    if width is None:
        width = _WIDTH if pixel_size is None else _WIDTH_PM / pixel_size
    ends = np.stack([_checked_end(start, "start"), _checked_end(end, "end")])
    width, step = check_length("width (px)", width), check_length("step (px)", step)
    length = np.hypot(*(ends[1] - ends[0]))
    if length == 0:
        raise ValueError(f"start and end are the same point, {ends[0].tolist()}.")

    rows, columns, along = _strip(ends, length, width, movie.shape[1:])
    if not len(rows):
        raise ValueError(
            f"No pixel of the frames {movie.shape[1:]} has its centre on the line from "
            f"{ends[0].tolist()} to {ends[1].tolist()} (x, y) of width {width:g} px."
        )
    # Both ends belong to the line. Each piece is open at its end, up to a rounding error.
    piece = np.floor(along / step + 1e-9).astype(np.int64)
    _, point = np.unique(piece, return_inverse=True)
    table, frames = _compare(movie, denoised, rows, columns, point, point.max() + 1)
    distance = np.bincount(point, weights=along) / np.bincount(point)
    table.insert(0, "distance", distance)
    start, end = (tuple(xy) for xy in ends.tolist())
    return Profile(table, frames, start, end, width)


def column_intensities(movie, denoised, atoms, *, radius=None, pixel_size=None):
    """Compare the intensity of each atomic column in denoised frames with the mean of the movie.

    Parameters
    ----------
    movie, denoised
        As for `profile_along`.
    atoms : DataFrame with columns x and y, or array-like of shape (n_atoms, 2)
        Positions in px.
    radius : float or array-like of shape (n_atoms,), optional
        Radius in px of the disks of the averages. By default 70.4 pm (11.3 px without a pixel
        size).
    pixel_size : float, optional
        Pixel size in pm. It sets the default of `radius`. By default that of `movie` or `denoised`,
        if they are a `temdenoise.images.ImageStack` that knows it.

    Returns
    -------
    table : pandas.DataFrame
        One row per atom with the index of `atoms`: ``x``, ``y`` and ``radius`` in px, then
        ``n_pixels``, ``movie``, ``movie_error``, ``denoised`` and ``denoised_spread`` as in
        `Profile`. These are NaN for an atom without a pixel in the image.

    Raises
    ------
    TypeError, ValueError
        As `profile_along`, and if the positions are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.inspection import column_intensities
    >>> movie = np.ones((4, 16, 16), dtype=int)
    >>> table = column_intensities(movie, 2.0 * movie, [(8, 8)], radius=1)
    >>> table[["n_pixels", "movie", "movie_error", "denoised"]].round(3).to_numpy().tolist()
    [[5.0, 1.0, 0.224, 2.0]]
    """
    pixel_size = _settled(movie, denoised, pixel_size)
    movie, denoised = _checked_stacks(movie, denoised)
    disks = atom_disks(atoms, radius, pixel_size)
    labels = label_disks(disks, movie.shape[1:])
    rows, columns = np.nonzero(labels)
    point = labels[rows, columns] - 1
    table, _ = _compare(movie, denoised, rows, columns, point, len(disks))
    return pd.concat([disks, table.set_axis(disks.index)], axis=1)


def _compare(movie, denoised, rows, columns, point, n_points):
    """Means of the movie and of every denoised frame over the pixels of each point."""
    n_pixels = np.bincount(point, minlength=n_points)
    electrons = np.zeros(n_points)
    frames = np.full((len(movie), n_points), np.nan)
    for k, frame in enumerate(frames):  # frame by frame: the movie may be larger than memory
        counts = _finite(movie[k][rows, columns], "movie", k)
        rates = _finite(denoised[k][rows, columns], "denoised", k)
        counts = check_counts(counts, "movie")
        electrons += np.bincount(point, weights=counts, minlength=n_points)
        total = np.bincount(point, weights=rates, minlength=n_points)
        np.divide(total, n_pixels, out=frame, where=n_pixels > 0)
    n = np.where(n_pixels > 0, n_pixels * len(movie), np.nan)
    spread = frames.std(axis=0, ddof=1) if len(movie) > 1 else np.full(n_points, np.nan)
    table = pd.DataFrame(
        {
            "n_pixels": n_pixels,
            "movie": electrons / n,
            "movie_error": np.sqrt(electrons) / n,
            "denoised": frames.mean(axis=0),
            "denoised_spread": spread,
        }
    )
    return table, frames


def _strip(ends, length, width, shape):
    """Pixels (rows, columns) within half a width of a line, and their positions along it."""
    direction = (ends[1] - ends[0]) / length
    half = width / 2
    low = np.maximum(np.ceil(ends.min(axis=0) - half), 0).astype(int)
    high = np.minimum(np.floor(ends.max(axis=0) + half), np.array(shape[::-1]) - 1).astype(int)
    high = np.maximum(high, low - 1)  # the line lies outside the image
    y, x = np.mgrid[low[1] : high[1] + 1, low[0] : high[0] + 1]
    dx, dy = x - ends[0, 0], y - ends[0, 1]
    along = dx * direction[0] + dy * direction[1]
    across = dy * direction[0] - dx * direction[1]
    slack = 1e-9 * (length + width)
    # The interval across is half open, so that a line on a row of pixels has the stated width.
    inside = (across >= -half - slack) & (across < half - slack)
    inside &= (along >= -slack) & (along <= length + slack)
    return y[inside], x[inside], np.clip(along[inside], 0, length)


def _settled(movie, denoised, pixel_size):
    """Pixel size: the one given, otherwise that of the movie, otherwise that of the frames."""
    return settle_pixel_size(first_with_pixel_size(movie, denoised), pixel_size, stacklevel=4)


def _checked_stacks(movie, denoised):
    stacks = []
    for name, stack in (("movie", movie), ("denoised", denoised)):
        refuse_masked(stack, name)
        stack = np.asarray(stack)  # this does not read a memory map
        if stack.dtype.kind not in "buif":
            raise TypeError(f"{name} must hold real numbers, got dtype {stack.dtype}.")
        if stack.ndim != 3 or stack.size == 0:
            mend = f" Pass {name}[np.newaxis] for a single frame." if stack.ndim == 2 else ""
            raise ValueError(
                f"{name} must be a stack (n_frames, height, width) with pixels, got shape "
                f"{stack.shape}.{mend}"
            )
        stacks.append(stack)
    if stacks[0].shape != stacks[1].shape:
        raise ValueError(
            f"movie and denoised must have the same shape: {stacks[0].shape} and {stacks[1].shape}."
        )
    return stacks


def _checked_end(point, name):
    xy = np.asarray(point)
    if xy.shape != (2,):
        raise ValueError(f"{name} must be a point (x, y) in px, got {point!r}.")
    return check_points(xy[np.newaxis], name)[0]


def _finite(values, name, frame):
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds {np.count_nonzero(~np.isfinite(values))} pixels that are NaN or "
            f"infinite among those used in frame {frame}."
        )
    return values
