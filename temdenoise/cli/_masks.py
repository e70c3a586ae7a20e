"""Pixels not to trust: ``--mask``, and those that no count of electrons explains."""

import numpy as np


def with_bad_pixels(mask, frames):
    """Return the mask of frames with the pixels that no count of electrons explains.

    Parameters
    ----------
    mask : None or bool ndarray of shape (n_images, height, width)
    frames : ndarray of the same shape

    Returns
    -------
    mask : None or bool ndarray of the same shape
    bad : BadPixels
    """
    from temdenoise.noise import find_bad_pixels

    bad = find_bad_pixels(frames, mask=mask)
    return bad.added_to(mask), bad


class Masks:
    """Masks of the frames of a file.

    Parameters
    ----------
    given : None or bool ndarray of shape (n_images, height, width)
        Pixels that the user does not trust.
    keep : bool
        Whether pixels that no count of electrons explains are taken as they are.
    """

    def __init__(self, given, keep):
        self.given, self.keep = given, keep
        self.n_bad, self.found = 0, {}

    def __call__(self, counts, part):
        """Mask of some frames: None, or of their shape.

        Parameters
        ----------
        counts : ndarray of shape (n, height, width)
        part : slice or ndarray of int
            Where they are in the file.
        """
        hidden = None if self.given is None else self.given[part]
        if self.keep:
            return hidden
        hidden, bad = with_bad_pixels(hidden, counts)
        if bad:
            self.n_bad += np.count_nonzero(bad.mask)
            self.found |= dict.fromkeys(bad.found)
        return hidden

    def say(self, n_pixels):
        """Print what was masked of so many pixels, if anything was."""
        if self.n_bad:
            what = "; ".join(list(self.found)[:4]) + ("; ..." if len(self.found) > 4 else "")
            print(
                f"  masked {self.n_bad / n_pixels:.2%} of the pixels, as no count of electrons "
                f"explains them: {what} (--bad-pixels keep takes them as they are)",
                flush=True,
            )
