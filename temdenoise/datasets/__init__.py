"""Data sets: simulated Pt/CeO2 images, the paper's own, and counted movies."""

from temdenoise.datasets._fetch_movie import fetch_ptceo2_movie
from temdenoise.datasets._fetch_ptceo2 import fetch_ptceo2
from temdenoise.datasets._ptceo2 import make_ptceo2
from temdenoise.datasets._ptceo2_surface import make_ptceo2_surface
from temdenoise.datasets._sample_movie import load_sample_movie

__all__ = [
    "fetch_ptceo2",
    "fetch_ptceo2_movie",
    "load_sample_movie",
    "make_ptceo2",
    "make_ptceo2_surface",
]
