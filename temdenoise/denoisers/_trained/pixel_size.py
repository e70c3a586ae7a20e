"""The pixel size of a frame, found by unbiased risk."""

import warnings

import numpy as np

from temdenoise._calls import level_outside
from temdenoise._jobs import side_by_side
from temdenoise._lengths import check_pixel_size
from temdenoise._masking import fill_masked
from temdenoise.noise import thin_counts

# Enough electrons to distinguish scales, and few enough pixels to try many.
_CROP, _MAX_IMAGES = 768, 8
_LOW, _HIGH, _STEP = 2.5, 12.0, 1.06  # pm, pm, factor
# Standard deviations by which the best candidate must predict electrons better than an even image.
_CONVINCING = 4.0
# An unusual seed: a user may have thinned the counts with a usual seed, and must not get the same
# split.
_SEED = 741_592_653


def estimate_pixel_size(denoiser, X, mask=None, candidates=None):
    """Return the candidate (pm) whose denoised half predicts the other half best.

    See `temdenoise.SBDDenoiser.estimate_pixel_size`.
    """
    pixel_size, doubt = search(denoiser, X, mask, candidates)
    if doubt:
        warnings.warn(f"{doubt} Give pixel_size in pm.", stacklevel=level_outside())
    return pixel_size


def search(denoiser, X, mask=None, candidates=None):
    """Return the best candidate (pm), and None or the reason why it cannot be trusted."""
    refine = candidates is None
    candidates = _default(denoiser.bins_.size) if refine else np.ravel(candidates)
    candidates = [check_pixel_size(c) for c in candidates]
    if not candidates:
        raise ValueError("candidates must hold at least one pixel size, in pm.")
    for c in candidates:
        denoiser.bins_.factor(c)  # refuses pixels that are too coarse
    # Factors are not rounded here. With whole factors, neighbouring candidates would be equal.
    factors = [max(1.0, denoiser.bins_.size / c) for c in candidates]

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
                "mask hides the middle of every image, so the pixel size cannot be found. Give "
                "pixel_size in pm."
            )
        X, hidden = np.where(hidden, 0, X)[seen], hidden[seen]
    if not (X == np.round(X)).all():
        raise ValueError(
            "The pixel size can only be found from electron counts (whole numbers): give "
            "pixel_size in pm."
        )
    halves = [a.astype(np.float32) for a in thin_counts(X, 0.5, random_state=_SEED)]
    halves[0] = fill_masked(halves[0], hidden if hidden.any() else None, with_noise=True)
    network = denoiser._tiled_network()

    def gain(k):
        """Advantage of a candidate's prediction over an even image, and its standard error."""
        better = variance = 0.0

        def estimate(a):
            return denoiser._denoise(a, factors[k], network)

        estimates = side_by_side(estimate, halves[0], n_jobs=network.n_jobs)
        for a, b, m, denoised in zip(*halves, hidden, estimates, strict=True):
            even = a.mean(where=~m, dtype=np.float64)
            change = even - denoised
            # (even - b)**2 - (denoised - b)**2, b being Poisson counts of about the rate `even`
            better += np.sum(change * (2 * (even - b) - change), where=~m, dtype=np.float64)
            variance += 4 * even * np.sum(change**2, where=~m, dtype=np.float64)
        return better, np.sqrt(variance)

    # Try every third default candidate, then the neighbours of the two best. This halves the time.
    first, step = (min(1, len(factors) - 1), 3) if refine else (0, 1)
    gains = {k: gain(k) for k in range(first, len(factors), step)}
    if refine:
        for best in sorted(gains, key=gains.get)[-2:]:
            for k in {best - 1, best + 1} & set(range(len(factors))):
                gains[k] = gain(k)
    best = max(gains, key=gains.get)
    doubt = None
    if len(factors) > 1 and not gains[best][0] > _CONVINCING * gains[best][1]:
        doubt = (
            "At no pixel size the denoised image predicts electrons better than an even one. The "
            "images hold no detail that shows their scale."
        )
    elif refine and best in (0, len(factors) - 1):
        doubt = (
            f"The pixel size that fits best, {candidates[best]:.3g} pm, is at the end of the range "
            f"tried ({candidates[0]:.3g} to {candidates[-1]:.3g} pm). The true one may be outside."
        )
    return candidates[best], doubt


def _default(bin_size):
    high = min(_HIGH, bin_size)
    low = max(1.0, min(_LOW, high / 4))  # below 1 pm it would be another unit
    return np.geomspace(low, high, 1 + int(np.log(high / low) / np.log(_STEP)))
