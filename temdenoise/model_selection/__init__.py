"""Experiments on which images a denoiser is trained, and on which it is tested.

scikit-learn's own tools (GridSearchCV, cross_val_score, LeaveOneGroupOut ...) serve denoisers as
they are; here is what they lack.
"""

from temdenoise.model_selection._benchmark import BenchmarkResult, benchmark
from temdenoise.model_selection._display import GeneralizationMatrixDisplay
from temdenoise.model_selection._evaluate import Evaluation, evaluate
from temdenoise.model_selection._generalization import generalization_matrix

__all__ = [
    "BenchmarkResult",
    "Evaluation",
    "GeneralizationMatrixDisplay",
    "benchmark",
    "evaluate",
    "generalization_matrix",
]
