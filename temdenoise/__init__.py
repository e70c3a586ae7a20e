"""Denoising of atomic-resolution transmission electron micrographs.

The public names below are loaded when they are first used, so that ``import temdenoise`` stays
cheap: in particular it does not import torch.
"""

import importlib

# Public name -> module that defines it.
_NAMES = {
    "AutoDenoiser": "temdenoise.denoisers",
    "BM3DDenoiser": "temdenoise.denoisers",
    "LowPassDenoiser": "temdenoise.denoisers",
    "NLMDenoiser": "temdenoise.denoisers",
    "VSTDenoiser": "temdenoise.denoisers",
    "WienerDenoiser": "temdenoise.denoisers",
    "WindowedFourierDenoiser": "temdenoise.denoisers",
    "PURELETDenoiser": "temdenoise.denoisers",
    "SBDDenoiser": "temdenoise.denoisers",
    "PoissonNoise": "temdenoise.noise",
    "PoissonGaussianNoise": "temdenoise.noise",
    "analyze_noise": "temdenoise.noise",
    "thin_counts": "temdenoise.noise",
    "to_counts": "temdenoise.noise",
    "ImageStack": "temdenoise.images",
    "psnr": "temdenoise.metrics",
    "ssim": "temdenoise.metrics",
    "find_atoms": "temdenoise.atoms",
    "read_stack": "temdenoise.io",
    "write_stack": "temdenoise.io",
    "make_ptceo2": "temdenoise.datasets",
    "make_ptceo2_surface": "temdenoise.datasets",
    "load_sample_movie": "temdenoise.datasets",
}

_SUBMODULES = (
    "atoms",
    "base",
    "datasets",
    "denoisers",
    "images",
    "inspection",
    "io",
    "metrics",
    "model_selection",
    "networks",
    "noise",
    "plotting",
    "simulation",
    "tiling",
    "variance_stabilization",
)

__all__ = sorted([*_NAMES, *_SUBMODULES])


def __getattr__(name):
    """Import a public name or submodule at its first use (PEP 562)."""
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"temdenoise.{name}")
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'temdenoise' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    """List the lazy names beside the loaded ones."""
    return sorted({*globals(), *__all__, "__version__"})


def _version():
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("temdenoise")
    except PackageNotFoundError:  # imported from a source tree that was never installed
        return "0+unknown"
