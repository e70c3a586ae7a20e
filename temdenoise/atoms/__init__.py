"""Atomic columns: find them, tell surface from bulk, pair two lists, test them on counts."""

from temdenoise.atoms.classifier import AtomClassifier
from temdenoise.atoms.confirm import confirm_atoms
from temdenoise.atoms.confirm_halves import confirm_atoms_from_halves
from temdenoise.atoms.find import column_polarity, find_atoms
from temdenoise.atoms.match import match_atoms
from temdenoise.atoms.surface import alpha_shape, split_surface_bulk

__all__ = [
    "AtomClassifier",
    "alpha_shape",
    "column_polarity",
    "confirm_atoms",
    "confirm_atoms_from_halves",
    "find_atoms",
    "match_atoms",
    "split_surface_bulk",
]
