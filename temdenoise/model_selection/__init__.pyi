__all__ = [
    "BenchmarkResult",
    "Evaluation",
    "benchmark",
    "evaluate",
    "generalization_matrix",
]

from ._benchmark import BenchmarkResult, benchmark
from ._evaluate import Evaluation, evaluate
from ._generalization import generalization_matrix
