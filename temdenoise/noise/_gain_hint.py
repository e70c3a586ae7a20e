"""Tell, at a glance, counts from what a detector with a gain makes of them."""

import numpy as np

from temdenoise.noise._vacuum import value_step

# What is looked at: the middle of some frames, which takes a millisecond or two.
_SIDE, _FRAMES = 128, 2
# Electrons, and distinct values, below which anything may be chance.
_LEAST_COUNTS, _LEAST_VALUES = 100, 3
# Side of the blocks of which the quietest quarter tells the noise from the image.
_BLOCK = 16
# Variance over mean from which values that are not whole numbers pass as multiplied by a gain.
_NOISY = 2.0


def gain_hint(X, gain=1.0):
    """Say why values can hardly be counts of electrons.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width)
        Values, not negative.
    gain : float, default=1.0
        What is known of the detector: the values are divided by it first.

    Returns
    -------
    hint : str or None
        Two sentences with the mend, or None if nothing speaks against counts.
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
    # A spacing may be chance where few values occur; the noise must bear it out.
    if step is not None and (step >= 2 or step / 4 < noisy < np.sqrt(step) < 1):
        found = (
            f"the values are all {step:g} apart, as counts are that a gain of {step:g} was put on"
        )
    elif (values != np.rint(values)).any() and noisy > _NOISY:
        found = f"the values are not whole numbers, and scatter {noisy:.1f} times as much as counts"
    else:
        return None
    return (
        f"{found}. This method takes the noise of counted electrons for granted: convert the "
        "values first, with temdenoise.to_counts, which finds gain and offset (on the command line "
        "--gain auto), or by dividing by the gain."
    )


def _dispersion(images):
    """Variance over mean, from squares of 2 x 2 pixels, of the quietest quarter of the images."""
    n = _BLOCK if min(images.shape[1:]) >= 2 * _BLOCK else 2
    height, width = (m // n * n for m in images.shape[1:])
    c = images[:, :height, :width]
    if c.size == 0:
        return 1.0
    # The difference of a square's diagonals holds nothing of an even field nor of a slope.
    difference = c[:, ::2, ::2] + c[:, 1::2, 1::2] - c[:, ::2, 1::2] - c[:, 1::2, ::2]
    total = c[:, ::2, ::2] + c[:, 1::2, 1::2] + c[:, ::2, 1::2] + c[:, 1::2, ::2]
    squares, counts = (_block_sums(a, n // 2) for a in (difference**2, total))
    return float(np.quantile(squares[counts > 0] / counts[counts > 0], 0.25))


def _block_sums(images, n):
    m, height, width = images.shape
    return images.reshape(m, height // n, n, width // n, n).sum(axis=(2, 4)).ravel()
