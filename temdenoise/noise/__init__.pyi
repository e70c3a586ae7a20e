__all__ = [
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
    "thin_counts",
    "to_counts",
]

from .analysis import NoiseAnalysis, analyze_noise
from .counts import CountsCheck, CountsWarning, Finding, check_counts
from .draw import draw_noise
from .gaussian import GaussianNoise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts
