__all__ = [
    "fetch_ptceo2",
    "fetch_ptceo2_movie",
    "load_sample_movie",
    "make_movie",
    "make_ptceo2",
    "make_ptceo2_surface",
]

from ._fetch_movie import fetch_ptceo2_movie
from ._fetch_ptceo2 import fetch_ptceo2
from ._movie import make_movie
from ._ptceo2 import make_ptceo2
from ._ptceo2_surface import make_ptceo2_surface
from ._sample_movie import load_sample_movie
