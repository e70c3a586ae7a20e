"""Conversion of stored values to electrons: ``--gain`` and ``--offset``."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import get_tags

from temdenoise.cli._masks import with_bad_pixels
from temdenoise.cli._methods import methods_with_read_noise, takes_read_noise
from temdenoise.noise._gate import in_words
from temdenoise.noise.counts import FRAMES

# Number of frames on which the gain is measured.
_FRAMES = 16
# Of so many frames all are looked at.
_LOOKED_AT = 8
# Largest share of read noise in the variance for methods that assume pure shot noise.
_TOLERATED = 0.1


@dataclass
class Conversion:
    """Conversion of stored values to electrons per pixel; the default changes nothing."""

    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0  # electrons
    whole: bool = False  # whether electrons were recognised one by one
    floor: bool = False  # whether values below zero are raised to it
    n_raised: int = 0
    n_converted: int = 0

    def __call__(self, frames):
        """Convert frames; values below zero from read noise are set to zero, and counted."""
        if self.gain == 1.0 and self.offset == 0.0:
            return np.asarray(frames)
        counts = (np.asarray(frames, dtype=np.float32) - np.float32(self.offset)) / np.float32(
            self.gain
        )
        if self.whole:
            counts = np.rint(counts)
        if self.floor:
            below = counts < 0
            self.n_raised += int(np.count_nonzero(below))
            self.n_converted += below.size
            counts[below] = 0
        return counts

    @property
    def metadata(self):
        """Metadata to write with the result."""
        return {} if self.gain == 1.0 and self.offset == 0.0 else {
            "gain": self.gain, "offset": self.offset
        }  # fmt: skip


def look_at(stack, mask, *, keep=False):
    """Check a few frames of a stack with `temdenoise.noise.check_counts`.

    Parameters
    ----------
    stack : ndarray of shape (n_images, height, width)
        Values as stored.
    mask : None or bool ndarray of the same shape
    keep : bool, default=False
        Whether pixels that no count of electrons explains are looked at too.

    Returns
    -------
    check : CountsCheck
    """
    from temdenoise.noise import check_counts

    n = len(stack)
    picked = list(range(n)) if n <= _LOOKED_AT else _neighbours(n)
    frames = np.stack([stack[k] for k in picked])
    hidden = None if mask is None else mask[picked]
    if not keep:
        hidden, _ = with_bad_pixels(hidden, frames)
    return check_counts(frames, mask=hidden)


def _neighbours(n):
    """Numbers of a few frames that follow each other, at three places."""
    starts = np.unique(np.linspace(0, n - 2, 3).astype(int))
    return sorted({int(k) for start in starts for k in (start, start + 1)})


def _refuse_unless_counts(stack, mask, denoiser, *, keep):
    """Refuse values that are no counts if the method needs them."""
    if not get_tags(denoiser).input_tags.positive_only:
        return
    check = look_at(stack, mask, keep=keep)
    findings = [f for f in check.findings if f.kind not in FRAMES]
    if findings:
        raise ValueError(
            f"the values are no counts of electrons: {in_words(check, findings)} On the command "
            "line --gain auto converts them, if it can; --gain 1 takes them as they are"
        )


def find_conversion(stack, mask, arguments, denoiser):
    """Measure what ``--gain`` and ``--offset`` leave open, and refuse what would be no counts.

    Parameters
    ----------
    stack : ndarray of shape (n_images, height, width)
        Values as stored.
    mask : None or bool ndarray of the same shape
        Pixels not to trust.
    arguments : argparse.Namespace
        With ``gain`` and ``offset``.
    denoiser : object
        The method: whether it counts, and takes read noise.

    Returns
    -------
    conversion : Conversion

    Raises
    ------
    ValueError
        If no gain can be found, or the values are not Poisson counts once it is undone and the
        method needs counts.
    """
    keep = arguments.bad_pixels == "keep"
    if arguments.gain is None:
        _refuse_unless_counts(stack, mask, denoiser, keep=keep)
    if arguments.gain is None or (arguments.gain == 1 and arguments.offset is None):
        return Conversion()  # as they are

    from temdenoise import to_counts

    picked = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), _FRAMES)).round().astype(int))
    frames = np.stack([stack[k] for k in picked])
    hidden = None if mask is None else mask[picked]
    if hidden is not None:  # what is no number there does not count
        frames = np.where(hidden & ~np.isfinite(frames), 0, frames)
    if not keep:
        hidden, _ = with_bad_pixels(hidden, frames)
    offset = "auto" if arguments.offset is None else arguments.offset
    counts, noise = to_counts(frames, arguments.gain, offset=offset, mask=hidden, return_noise=True)
    analysis = noise.analysis_
    read_noise = noise.read_noise_ / noise.gain_
    print(
        f"  gain {noise.gain_:.4g} per electron, offset {noise.offset_:.4g}, read noise "
        f"{read_noise:.2g} electrons",
        flush=True,
    )
    mean = float(counts.mean(where=True if hidden is None else ~hidden, dtype=np.float64))
    if not mean > 0:
        raise ValueError(
            f"after gain and offset the mean is {mean:.3g} electrons per pixel: the offset "
            f"({noise.offset_:.4g}) is too high; give the correct one with --offset"
        )
    share = read_noise**2 / (read_noise**2 + mean)
    with_read_noise = takes_read_noise(denoiser)
    counts_electrons = get_tags(denoiser).input_tags.positive_only and not with_read_noise
    if share > _TOLERATED and counts_electrons:
        *others, last = methods_with_read_noise()
        alone = " without --n-frames" if arguments.n_frames else ""
        raise ValueError(
            f"after the gain the data are not Poisson: {share:.0%} of the noise's variance is read "
            f"noise ({read_noise:.2g} electrons at {mean:.2g} electrons per pixel); use --method "
            f"{', '.join(others)} or {last}{alone}, which take read noise"
        )
    return Conversion(
        gain=noise.gain_,
        offset=noise.offset_,
        read_noise=read_noise if with_read_noise else 0.0,
        whole=analysis.counted,
        floor=counts_electrons,
    )
