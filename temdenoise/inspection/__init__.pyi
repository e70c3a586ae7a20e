__all__ = [
    "EquivalentFilter",
    "FrequencyReport",
    "LikelihoodMap",
    "Profile",
    "column_intensities",
    "equivalent_filter",
    "frequency_report",
    "likelihood_map",
    "profile_along",
]

from .filters import EquivalentFilter, equivalent_filter
from .frequency import FrequencyReport, frequency_report
from .likelihood import LikelihoodMap, likelihood_map
from .profiles import (
    Profile,
    column_intensities,
    profile_along,
)
