__all__ = [
    "EquivalentFilter",
    "LikelihoodMap",
    "Profile",
    "column_intensities",
    "equivalent_filter",
    "likelihood_map",
    "profile_along",
]

from .filters import EquivalentFilter, equivalent_filter
from .likelihood import LikelihoodMap, likelihood_map
from .profiles import (
    Profile,
    column_intensities,
    profile_along,
)
