"""Frames of a movie: which lie around one, and which are copies of others."""

import hashlib
import warnings

import numpy as np


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
    for k, frame in enumerate(movie):
        if not frame.any():
            continue
        key = hashlib.blake2b(np.ascontiguousarray(frame)).digest()
        if k - last.get(key, -np.inf) <= reach:
            found.append((k, last[key]))
        last[key] = k
    return found


def without_copies(movie, *, stacklevel):
    """Say that a movie holds copies, and of which frames.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
    stacklevel : int
        Of the warning, from the caller.

    Returns
    -------
    originals : ndarray of shape (n_frames,)
        For each frame the first one that equals it.

    Warns
    -----
    FramesWarning
        If there are copies.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._frames import without_copies
    >>> without_copies(np.eye(3)[:, None], stacklevel=2)
    array([0, 1, 2])
    """
    originals = np.arange(len(movie))
    found = copies(movie, len(movie))
    for k, original in found:
        originals[k] = originals[original]
    if found:
        k, original = found[0]
        warnings.warn(
            f"{len(found)} frames are copies of others (frame {k} of {original}): their noise is "
            "not independent, and they count once.",
            FramesWarning,
            stacklevel=stacklevel + 1,
        )
    return originals
