"""The pixel size of a frame, found by unbiased risk."""

import numpy as np

from .._validation import check_pixel_size
from ..noise import thin_counts

# Enough electrons to tell scales apart, few enough pixels to try many.
_CROP, _MAX_IMAGES = 768, 8
_LOW, _HIGH, _STEP = 2.5, 12.0, 1.06  # pm, pm, factor
# An unusual seed: counts that a user thinned with a usual one must not be split by the same stream.
_SEED = 741_592_653


def estimate_pixel_size(denoiser, X, mask=None, candidates=None):
    """Return the candidate (pm) whose denoised half predicts the other half best.

    See `SBDDenoiser.estimate_pixel_size`.
    """
    refine = candidates is None
    candidates = _default(denoiser.bin_size_) if refine else np.ravel(candidates)
    candidates = [check_pixel_size(c) for c in candidates]
    if not candidates:
        raise ValueError("candidates must hold at least one pixel size, in pm.")
    for c in candidates:
        denoiser._bin_factor(c)  # refuses what is too coarse
    # Not the whole factors that serve neighbouring candidates alike: they would tie.
    factors = [max(1.0, denoiser.bin_size_ / c) for c in candidates]

    step = max(1, len(X) // _MAX_IMAGES)
    middle = tuple(
        slice(max(0, (n - _CROP) // 2), max(0, (n - _CROP) // 2) + _CROP) for n in X.shape[1:]
    )
    X = X[(slice(None, None, step), *middle)][:_MAX_IMAGES]
    hidden = np.zeros(X.shape, dtype=bool)
    if mask is not None:
        hidden = mask[(slice(None, None, step), *middle)][:_MAX_IMAGES]
        seen = ~hidden.all(axis=(1, 2))
        if not seen.any():
            raise ValueError(
                "mask hides the middle of every image: the pixel size cannot be found from them, "
                "give it in pm."
            )
        X, hidden = np.where(hidden, 0, X)[seen], hidden[seen]
    if not (X == np.round(X)).all():
        raise ValueError(
            "The pixel size can only be found from electron counts (whole numbers): give "
            "pixel_size in pm."
        )
    halves = thin_counts(X, 0.5, random_state=_SEED)

    def risk(factor):
        return sum(
            np.sum((denoiser._denoise(a, m, factor) - b) ** 2 - b, where=~m, dtype=np.float64)
            for a, b, m in zip(*halves, hidden, strict=True)
        )

    if not refine:
        return candidates[int(np.argmin([risk(factor) for factor in factors]))]
    # every third first, then what lies about the two best: half the work
    risks = {k: risk(factors[k]) for k in range(1, len(factors), 3)}
    for best in sorted(risks, key=risks.get)[:2]:
        for k in {best - 1, best + 1} & set(range(len(factors))):
            risks[k] = risk(factors[k])
    return candidates[min(risks, key=risks.get)]


def _default(bin_size):
    high = min(_HIGH, bin_size)
    low = min(_LOW, high / 4)
    return np.geomspace(low, high, 1 + int(np.log(high / low) / np.log(_STEP)))
