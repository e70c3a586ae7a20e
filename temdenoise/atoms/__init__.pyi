__all__ = [
    "AtomClassifier",
    "alpha_shape",
    "column_polarity",
    "confirm_atoms",
    "confirm_atoms_from_halves",
    "find_atoms",
    "match_atoms",
    "missing_columns",
    "split_surface_bulk",
]

from .classifier import AtomClassifier
from .confirm import confirm_atoms
from .confirm_halves import confirm_atoms_from_halves
from .find import column_polarity, find_atoms
from .match import match_atoms
from .missing import missing_columns
from .surface import alpha_shape, split_surface_bulk
