"""Data sets: simulated Pt/CeO2 images and a small counted movie."""

from ._ptceo2 import make_ptceo2
from ._sample_movie import load_sample_movie

__all__ = ["load_sample_movie", "make_ptceo2"]
