"""Check that the bins of a network are fine enough for the detail of clean images."""

import numpy as np

# Share of the contrast that may be lost.
_TOLERATED = 0.05


def check_resolution(X, zoom):
    """Refuse clean images with finer detail than the bins: their pixel size must be wrong."""
    sample = X[:: max(1, len(X) // 16)].astype(np.float64)
    sample = sample - sample.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(sample.shape[1])[:, None] * np.hanning(sample.shape[2])
    power = np.abs(np.fft.fft2(sample * window)) ** 2
    gy, gx = (np.abs(np.fft.fftfreq(n)) for n in sample.shape[1:])
    beyond = np.maximum(gy[:, None], gx) > 0.5 / zoom
    lost = power[:, beyond].sum() / max(power.sum(), 1e-30)
    if lost > _TOLERATED:
        raise ValueError(
            f"The network's bins are {zoom:.3g} pixels of these images wide and would lose "
            f"{lost:.0%} of their contrast. If their pixels are larger than those of the frames to "
            "denoise, say so with fit(X, pixel_size=...); or set training_pixel_size or binning of "
            "the estimator. If they are noisy images, give their targets too: fit(X, y)."
        )
