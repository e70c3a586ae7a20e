"""The pixel size of a frame, found by unbiased risk."""

import numpy as np

from ..noise import thin_counts

# Enough electrons to tell scales apart, few enough pixels to try many.
_CROP, _MAX_IMAGES = 768, 8


def estimate_pixel_size(denoiser, X, mask=None, candidates=None):
    """Return the candidate (pm) whose denoised half predicts the other half best.

    See `SBDDenoiser.estimate_pixel_size`.
    """
    if not (X == np.round(X)).all():
        raise ValueError(
            "The pixel size can only be found from electron counts (whole numbers): give "
            "pixel_size in pm."
        )
    step = max(1, len(X) // _MAX_IMAGES)
    window = tuple(
        slice(max(0, (n - _CROP) // 2), max(0, (n - _CROP) // 2) + _CROP) for n in X.shape[1:]
    )
    X = X[(slice(None, None, step), *window)][:_MAX_IMAGES]
    trusted = True if mask is None else ~mask[(slice(None, None, step), *window)][:_MAX_IMAGES]
    hidden = None if mask is None else ~trusted
    first, second = thin_counts(X, 0.5, random_state=0)

    def risk(pixel_size):
        estimate = denoiser.transform(first, mask=hidden, pixel_size=pixel_size)
        return float(np.mean((estimate - second) ** 2 - second, where=trusted))

    if candidates is None:
        high = min(12.0, denoiser.bin_size_)
        candidates = np.geomspace(2.5, high, 1 + int(np.log(high / 2.5) / np.log(1.06)))
    risks = [risk(float(c)) for c in candidates]
    return float(candidates[int(np.argmin(risks))])
