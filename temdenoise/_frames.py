"""Frames of a movie: which lie around one, and which are copies of others."""

import hashlib
import warnings

import numpy as np

# Windows along a side in which the counts of frames are compared, coarse and fine, and frames
# without which nothing is known of what is common in a movie.
_WINDOWS, _LEAST_FRAMES = (8, 16, 32, 64), 4
# A cut changes the counts by this many standard deviations more than what is common in the movie,
# and this many times as much.
_CLEAR, _TIMES = 8.0, 3.0
# Side in pixels of the part by which frames are told apart.
_KEY = 64


class FramesWarning(UserWarning):
    """Frames of a movie cannot help each other: there is one, or their drift is not known."""


def frames_around(k, context, n_frames):
    """Return the numbers of the frames from `context` before frame `k` to as many after.

    Beyond the ends of the movie a frame on the other side stands in, never frame `k` itself: its
    noise would be on both sides of a comparison with its neighbours.

    Parameters
    ----------
    k, context, n_frames : int
        `n_frames` is at least 2, or `context` is 0.

    Returns
    -------
    frames : list of int
        Their numbers, 2 * context + 1 of them, with `k` in the middle.

    Examples
    --------
    >>> from temdenoise._frames import frames_around
    >>> frames_around(4, 2, 9), frames_around(0, 2, 9), frames_around(1, 2, 2)
    ([2, 3, 4, 5, 6], [2, 1, 0, 1, 2], [0, 0, 1, 0, 0])
    """
    farthest = 0 if 2 * k > n_frames - 1 else n_frames - 1
    frames = []
    for offset in range(-context, context + 1):
        inside = [f for f in (k + offset, k - offset) if 0 <= f < n_frames]
        frames.append(inside[0] if inside else farthest)
    return frames


def copies(movie, reach):
    """Find frames that are equal to one of the `reach` frames before them.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
    reach : int

    Returns
    -------
    found : list of (int, int)
        The copy and the last frame before it that it equals. Frames without counts are none.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import copies
    >>> copies(np.eye(3)[[0, 1, 1]][:, None], 2)
    [(2, 1)]
    """
    found, last = [], {}
    middle = tuple(slice(max(0, (n - _KEY) // 2), (n + _KEY) // 2) for n in movie.shape[1:])
    for k, frame in enumerate(movie):
        if not frame.any():
            continue
        # The middle tells nearly all frames apart, so few are compared in full.
        key = hashlib.blake2b(np.ascontiguousarray(frame[middle])).digest()
        alike = last.setdefault(key, [])
        same = next((i for i, j in enumerate(alike) if np.array_equal(movie[j], frame)), None)
        if same is None:
            alike.append(k)
            continue
        if k - alike[same] <= reach:
            found.append((k, alike[same]))
        alike[same] = k
    return found


def warn_of_copies(movie, reach, consequence, *, stacklevel):
    """Say that frames are copies of others close by.

    Parameters
    ----------
    movie, reach
        As for `copies`.
    consequence : str
        What that means for the method: the copies ...
    stacklevel : int
        Of the warning, from the caller.

    Warns
    -----
    FramesWarning
        If there are copies.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import warn_of_copies
    >>> warn_of_copies(np.eye(3)[:, None], 2, "count once", stacklevel=2)
    """
    _say_copies(copies(movie, reach), consequence, stacklevel=stacklevel + 1)


def _say_copies(found, consequence, *, stacklevel):
    if found:
        k, original = found[0]
        warnings.warn(
            f"{len(found)} frames are copies of others (frame {k} of {original}): their noise is "
            f"not independent, and they {consequence}.",
            FramesWarning,
            stacklevel=stacklevel + 1,
        )


def independent_frames(movie, *, stacklevel):
    """Say which frames are copies of others, or hold no electrons.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
    stacklevel : int
        Of the warning, from the caller.

    Returns
    -------
    originals : ndarray of shape (n_frames,)
        For each frame the first one that equals it; -1 for frames without electrons.

    Warns
    -----
    FramesWarning
        If there are such frames.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import independent_frames
    >>> independent_frames(np.eye(3)[:, None], stacklevel=2)
    array([0, 1, 2])
    """
    originals = np.arange(len(movie))
    found = copies(movie, len(movie))
    for k, original in found:
        originals[k] = originals[original]
    _say_copies(found, "count once", stacklevel=stacklevel + 1)
    dark = ~movie.any(axis=(1, 2))
    originals[dark] = -1
    if dark.any() and not dark.all():
        warnings.warn(
            f"{dark.sum()} frames hold no electrons (the first is frame {int(dark.argmax())}): "
            "they are left out, and their estimate is about 0.",
            FramesWarning,
            stacklevel=stacklevel + 1,
        )
    return originals


def cuts(movie):
    """Find where a movie goes on with another scene.

    Counts of windows, large and small, are compared between each two frames, at the same dose.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)

    Returns
    -------
    found : ndarray of int
        The first frames of other scenes. A change that is common in the movie is none.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import cuts
    >>> scene = np.random.default_rng(0).uniform(1, 2, size=(8, 8)) * 1000
    >>> cuts(np.stack([scene, scene, scene, scene.T, scene.T, scene.T])).tolist()
    [3]
    """
    lit = np.flatnonzero(movie.any(axis=(1, 2)))
    if len(lit) < _LEAST_FRAMES:
        return np.zeros(0, dtype=int)
    found = np.zeros(len(lit) - 1, dtype=bool)
    for n in _WINDOWS:
        if n <= min(movie.shape[1:]):
            change, noise = _changes(movie[lit], n)
            common = np.quantile(change, 0.75)
            clear = change > common + _CLEAR * noise * np.maximum(common, 1)
            found |= clear & (change - 1 > _TIMES * np.maximum(common - 1, 0))
    return lit[1 + np.flatnonzero(found)]


def _changes(movie, n):
    """Mean squared change from frame to frame in n x n windows, where noise makes it 1.

    And by how much noise lets it vary.
    """
    height, width = (m // n for m in movie.shape[1:])
    movie = movie[:, : height * n, : width * n]
    sums = movie.reshape(len(movie), n, height, n, width).sum(axis=(2, 4), dtype=np.float64)
    doses = np.maximum(sums.mean(axis=(1, 2), keepdims=True), 1e-12)
    before, after = sums[:-1] / doses[:-1], sums[1:] / doses[1:]
    noise = (before + after) / 2 * (1 / doses[:-1] + 1 / doses[1:])
    change = np.mean((after - before) ** 2 / np.maximum(noise, 1e-12), axis=(1, 2))
    return change, np.sqrt(2 / n**2)


def warn_of_cuts(movie, *, stacklevel):
    """Say that a movie is one of several scenes.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
    stacklevel : int
        Of the warning, from the caller.

    Warns
    -----
    FramesWarning
        If there are cuts.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import warn_of_cuts
    >>> warn_of_cuts(np.ones((9, 16, 16)), stacklevel=2)
    """
    found = cuts(movie)
    if len(found):
        named = ", ".join(str(k) for k in found[:3])
        warnings.warn(
            f"The scene changes all at once at {len(found)} places (before frame {named}): frames "
            "of different scenes cannot help each other. Cut the movie there, and give each part "
            "by itself.",
            FramesWarning,
            stacklevel=stacklevel + 1,
        )
