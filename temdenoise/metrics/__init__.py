"""Measures of image quality, and scorers made of them for scikit-learn's model selection."""

import importlib

from temdenoise.metrics.image_quality import psnr, ssim, unbiased_mse, upsnr
from temdenoise.metrics.risk import pure_risk

# The scorers stand some floors above the plain functions: they are loaded when asked for.
_SCORERS = (
    "make_denoising_scorer",
    "make_multimetric_scorer",
    "multimetric_scorer",
    "psnr_scorer",
    "ssim_scorer",
    "upsnr_scorer",
)

__all__ = ["psnr", "pure_risk", "ssim", "unbiased_mse", "upsnr", *_SCORERS]


def __getattr__(name):
    """Import a scorer at its first use (PEP 562)."""
    if name not in _SCORERS:
        raise AttributeError(f"module 'temdenoise.metrics' has no attribute {name!r}")
    value = getattr(importlib.import_module("temdenoise.metrics.scorers"), name)
    globals()[name] = value
    return value


def __dir__():
    """List the lazy names beside the loaded ones."""
    return sorted({*globals(), *__all__})
