__all__ = [
    "NoiseAnalysis",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "analyze_noise",
    "thin_counts",
    "to_counts",
]

from .analysis import NoiseAnalysis, analyze_noise
from .poisson import PoissonNoise, thin_counts
from .poisson_gaussian import PoissonGaussianNoise, to_counts
