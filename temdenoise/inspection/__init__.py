"""Look at what a denoiser did: how well the counts support it, and what it looked at."""

from temdenoise.inspection._filter_display import EquivalentFilterDisplay
from temdenoise.inspection._likelihood_display import LikelihoodMapDisplay
from temdenoise.inspection._profile_display import ProfileDisplay
from temdenoise.inspection._verdict_display import AtomVerdictDisplay
from temdenoise.inspection.filters import EquivalentFilter, equivalent_filter
from temdenoise.inspection.likelihood import LikelihoodMap, likelihood_map
from temdenoise.inspection.profiles import Profile, column_intensities, profile_along

__all__ = [
    "AtomVerdictDisplay",
    "EquivalentFilter",
    "EquivalentFilterDisplay",
    "LikelihoodMap",
    "LikelihoodMapDisplay",
    "Profile",
    "ProfileDisplay",
    "column_intensities",
    "equivalent_filter",
    "likelihood_map",
    "profile_along",
]
