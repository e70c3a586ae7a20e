"""Atomic columns: find them in an image, tell surface from bulk, pair two lists of them."""

from temdenoise.atoms.find import column_polarity, find_atoms
from temdenoise.atoms.match import match_atoms
from temdenoise.atoms.surface import alpha_shape, split_surface_bulk

__all__ = ["alpha_shape", "column_polarity", "find_atoms", "match_atoms", "split_surface_bulk"]
