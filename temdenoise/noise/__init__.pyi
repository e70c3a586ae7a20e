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

from .analysis import NoiseAnalysis, analyze_noise
from .draw import draw_noise
from .gaussian import GaussianNoise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts
