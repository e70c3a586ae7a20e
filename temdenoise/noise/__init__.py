"""Noise of electron detectors: to draw it, to measure it, and to undo a gain."""

from .analysis import NoiseAnalysis, analyze_noise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts

__all__ = [
    "NoiseAnalysis",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "analyze_noise",
    "thin_counts",
    "to_counts",
]
