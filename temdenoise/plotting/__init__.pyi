__all__ = [
    "AtomVerdictDisplay",
    "EquivalentFilterDisplay",
    "FrequencyDisplay",
    "GeneralizationMatrixDisplay",
    "LikelihoodMapDisplay",
    "NoiseAnalysisDisplay",
    "ProfileDisplay",
    "plot_denoising",
]

from ._denoising import plot_denoising
from ._filter import EquivalentFilterDisplay
from ._frequency import FrequencyDisplay
from ._generalization import GeneralizationMatrixDisplay
from ._likelihood import LikelihoodMapDisplay
from ._noise import NoiseAnalysisDisplay
from ._profile import ProfileDisplay
from ._verdict import AtomVerdictDisplay
