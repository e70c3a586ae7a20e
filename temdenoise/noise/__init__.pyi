__all__ = [
    "BadPixels",
    "BadPixelsWarning",
    "CountsCheck",
    "CountsWarning",
    "Finding",
    "GaussianNoise",
    "NoiseAnalysis",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "analyze_noise",
    "check_counts",
    "draw_noise",
    "find_bad_pixels",
    "thin_counts",
    "to_counts",
]

from .analysis import NoiseAnalysis, analyze_noise
from .bad_pixels import BadPixels, BadPixelsWarning, find_bad_pixels
from .counts import CountsCheck, CountsWarning, Finding, check_counts
from .draw import draw_noise
from .gaussian import GaussianNoise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts
