"""Denoisers: every method is one class in one file, all under the contract of ``temdenoise.base``.

The classes are loaded at first use, so that the classical methods do not import torch.
"""

import importlib

# Class -> its file in this package. A new method adds its line here.
_CLASSES = {
    "AutoDenoiser": "auto",
    "BM3DDenoiser": "bm3d",
    "LowPassDenoiser": "lowpass",
    "NLMDenoiser": "nlm",
    "PURELETDenoiser": "purelet",
    "SBDDenoiser": "sbd",
    "VSTDenoiser": "vst",
    "WienerDenoiser": "wiener",
    "WindowedFourierDenoiser": "windowed_fourier",
}

__all__ = sorted(_CLASSES)


def __getattr__(name):
    """Import a denoiser at its first use (PEP 562)."""
    if name not in _CLASSES:
        raise AttributeError(f"module 'temdenoise.denoisers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"temdenoise.denoisers.{_CLASSES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    """List the lazy names beside the loaded ones."""
    return sorted({*globals(), *__all__})
