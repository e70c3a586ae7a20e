__all__ = [
    "generalization_matrix",
]

from ._generalization import generalization_matrix
