"""What a method that learns from noisy frames asks of them before it begins."""

import warnings

import numpy as np

from temdenoise._calls import level_outside
from temdenoise._correlated_noise import noise_correlation
from temdenoise._frames import FramesWarning, independent_frames
from temdenoise.binning import bin_counts
from temdenoise.noise import CountsWarning

# Independent noise of 324 simulated stacks (0.1 to 3 counts/px, pixels of 6 to 25 pm) lost 0.29 at
# most, and its correlation in time was 0.11 at most. A shift by half a pixel loses 0.96, one by a
# quarter 0.5; means of two frames have 0.46.
_LOSS, _IN_TIME = 0.35, 0.25
# The noise is not looked at if a smaller share of the pixels is trusted.
_TRUSTED = 0.9


def frames_to_learn(X, trusted, *, alone=True):
    """Choose the frames to learn from, and warn of what they are not.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Counts per pixel, with masked pixels filled.
    trusted : None or bool ndarray of the same shape
    alone : bool, default=True
        Whether the noise of a pixel must be independent of that of its neighbours.

    Returns
    -------
    X, trusted
        Without copies of frames, and frames that hold no electrons.

    Raises
    ------
    ValueError
        If no frame holds an electron.

    Warns
    -----
    FramesWarning
        If there are copies, frames without electrons, or frames that share their noise.
    CountsWarning
        If neighbouring pixels share their noise.
    """
    distinct = np.unique(independent_frames(X, stacklevel=level_outside()))
    distinct = distinct[distinct >= 0]
    if not len(distinct):
        raise ValueError("X holds no electrons: every value is 0, and nothing can be learned.")
    if len(distinct) < len(X):
        X, trusted = X[distinct], None if trusted is None else trusted[distinct]
    # What fills masked pixels has the same noise in all frames.
    if trusted is None or trusted.mean() > _TRUSTED:
        _warn_of_correlated_noise(X, alone)
    return X, trusted


def _warn_of_correlated_noise(X, alone):
    loss, in_time = noise_correlation(X)
    if alone and loss > _LOSS:
        warnings.warn(
            "The noise of neighbouring pixels is correlated, as if X were interpolated, smoothed "
            f"or enlarged (its power falls by {loss:.0%} towards the highest frequencies): noise "
            "would be learned as if it were the scene. Give the frames as they were counted, or "
            "take BlindSpotDenoiser(blind_spot=3).",
            CountsWarning,
            stacklevel=level_outside(),
        )
    if in_time > _IN_TIME:
        warnings.warn(
            "The noise of each frame is correlated with that of the next "
            f"({in_time:.2f}), as if frames were averaged or interpolated in time: neighbouring "
            "frames, and frames that are held out, are not independent. Give the frames as they "
            "were recorded.",
            FramesWarning,
            stacklevel=level_outside(),
        )


def check_trusted(trusted, factor):
    """Refuse a mask that leaves no whole bin in any frame.

    Parameters
    ----------
    trusted : None or bool ndarray of shape (n_images, height, width)
    factor : float
        Side of a bin in pixels.

    Raises
    ------
    ValueError
        If there is none.
    """
    if trusted is None:
        return
    if not any((bin_counts(~one[None], factor) == 0).any() for one in trusted):
        raise ValueError(
            f"mask leaves no bin of {factor:g} x {factor:g} pixels whole, so that nothing can be "
            "learned: mask less, or lower binning. True marks the pixels NOT to trust."
        )
