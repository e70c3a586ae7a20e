"""A quick check whether values are counts, or counts times the gain of a detector."""

import numpy as np

from temdenoise.noise._vacuum import value_step

# The check looks at the middle of two frames only. This takes a millisecond or two.
_SIDE, _FRAMES = 128, 2
# Fewer electrons or distinct values than these say nothing.
_LEAST_COUNTS, _LEAST_VALUES = 100, 3
# Side of blocks in px. The noise is measured in the quietest quarter of them, apart from the image.
_BLOCK = 16
# Values that are not whole numbers have a gain if their variance over mean is larger than this.
_NOISY = 2.0


def gain_hint(X, gain=1.0):
    """Say why values are probably not counts of electrons.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Values, not negative.
    gain : float, default=1.0
        Known gain of the detector. The values are divided by it first.

    Returns
    -------
    hint : str or None
        Two sentences with the remedy, or None if the values may be counts.
    """
    picked = np.unique([0, len(X) // 2])[:_FRAMES]
    middle = [
        slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + _SIDE) for n in X.shape[1:]
    ]
    images = X[(picked, *middle)].astype(np.float64) / gain
    values = np.unique(images)
    if len(values) < _LEAST_VALUES or np.count_nonzero(images > values[0]) < _LEAST_COUNTS:
        return None
    step = value_step(values)
    noisy = _dispersion(images)
    # With few distinct values a spacing may be chance, so the noise must agree with it.
    if step is not None and (step >= 2 or step / 4 < noisy < np.sqrt(step) < 1):
        found = f"the values are all {step:g} apart, like counts multiplied by a gain of {step:g}"
    elif (values != np.rint(values)).any() and noisy > _NOISY:
        found = f"the values are not whole numbers, and scatter {noisy:.1f} times as much as counts"
    else:
        return None
    return (
        f"{found}. This method assumes the noise of counted electrons. Convert the values first: "
        "temdenoise.to_counts (--gain auto on the command line) finds gain and offset; if you know "
        "the gain, divide by it."
    )


def _dispersion(images):
    """Variance over mean, from squares of 2 x 2 pixels, of the quietest quarter of the images."""
    n = _BLOCK if min(images.shape[1:]) >= 2 * _BLOCK else 2
    height, width = (m // n * n for m in images.shape[1:])
    c = images[:, :height, :width]
    if c.size == 0:
        return 1.0
    # An even field and a slope cancel in the difference of a square's diagonals.
    difference = c[:, ::2, ::2] + c[:, 1::2, 1::2] - c[:, ::2, 1::2] - c[:, 1::2, ::2]
    total = c[:, ::2, ::2] + c[:, 1::2, 1::2] + c[:, ::2, 1::2] + c[:, 1::2, ::2]
    squares, counts = (_block_sums(a, n // 2) for a in (difference**2, total))
    return float(np.quantile(squares[counts > 0] / counts[counts > 0], 0.25))


def _block_sums(images, n):
    m, height, width = images.shape
    return images.reshape(m, height // n, n, width // n, n).sum(axis=(2, 4)).ravel()
