"""Noise of electron detectors: to draw it, to measure it, and to undo a gain."""

from temdenoise.noise.analysis import NoiseAnalysis, analyze_noise
from temdenoise.noise.draw import draw_noise
from temdenoise.noise.gaussian import GaussianNoise
from temdenoise.noise.poisson import PoissonNoise, thin_counts
from temdenoise.noise.poisson_gaussian import PoissonGaussianNoise, to_counts

__all__ = [
    "GaussianNoise",
    "NoiseAnalysis",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "analyze_noise",
    "draw_noise",
    "thin_counts",
    "to_counts",
]
