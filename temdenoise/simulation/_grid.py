"""Sampling grids of the multislice calculation, the optics and the detector."""

import math

import torch

# Wave and transmission function are limited to this share of the highest frequency of the grid. The
# product of two functions that are limited to 2/3 does not alias into this band.
BAND_LIMIT = 2 / 3


def frequencies(n, extent, device="cpu"):
    """Spatial frequencies in 1/Angstrom of `n` samples over `extent` Angstrom (float64)."""
    return torch.fft.fftfreq(n, extent / n, dtype=torch.float64, device=device)


def highest_frequency(shape, extent):
    """Highest frequency (1/Angstrom) of a grid in every direction."""
    return min(n // 2 / length for n, length in zip(shape, extent, strict=True))


def band_limit(gy, gx, taper=0.02):
    """Round aperture at 2/3 of the grid's highest frequency, with a cosine edge."""
    limit = BAND_LIMIT * float(min(gy.abs().max(), gx.abs().max()))
    g = torch.sqrt(gy[:, None] ** 2 + gx[None] ** 2)
    edge = ((g - limit * (1 - taper)) / (limit * taper)).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(math.pi * edge)).float()


def check_grid(extent, shape):
    """Validate a periodic cell (Angstrom) and its grid; return plain floats and integers."""
    try:
        extent = tuple(float(length) for length in extent)
        sizes = tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        extent, sizes = (), ()
    if len(extent) != 2 or len(sizes) != 2 or sizes != tuple(shape):
        raise ValueError(
            "extent and shape must be two numbers each, (height, width) in Angstrom and in "
            "samples (whole numbers)."
        )
    if not all(0 < length < math.inf for length in extent):
        raise ValueError(f"extent must be positive and finite (Angstrom), got {extent}.")
    if min(sizes) < 2:
        raise ValueError(f"shape must be at least 2 samples a side, got {sizes}.")
    return extent, sizes
