__all__ = [
    "BadPixels",
    "BadPixelsWarning",
    "GaussianNoise",
    "NoiseAnalysis",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "analyze_noise",
    "draw_noise",
    "find_bad_pixels",
    "thin_counts",
    "to_counts",
]

from .analysis import NoiseAnalysis, analyze_noise
from .bad_pixels import BadPixels, BadPixelsWarning, find_bad_pixels
from .draw import draw_noise
from .gaussian import GaussianNoise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts
