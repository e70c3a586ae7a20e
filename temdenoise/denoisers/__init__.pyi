__all__ = [
    "AlignedSumDenoiser",
    "AutoDenoiser",
    "UDVDDenoiser",
    "ThinnedDenoiser",
    "Self2SelfDenoiser",
    "BlindSpotDenoiser",
    "BM3DDenoiser",
    "DoseWarning",
    "ConstantDenoiser",
    "FramesWarning",
    "LowPassDenoiser",
    "NLMDenoiser",
    "PURELETDenoiser",
    "SBDDenoiser",
    "TrainedDenoiser",
    "VSTDenoiser",
    "WienerDenoiser",
    "WindowedFourierDenoiser",
    "WorseThanConstantWarning",
]

from ._trained.base import TrainedDenoiser
from .aligned_sum import AlignedSumDenoiser, FramesWarning
from .auto import AutoDenoiser, WorseThanConstantWarning
from .blind_spot import BlindSpotDenoiser
from .bm3d import BM3DDenoiser
from .constant import ConstantDenoiser
from .lowpass import LowPassDenoiser
from .nlm import NLMDenoiser
from .purelet import PURELETDenoiser
from .sbd import DoseWarning, SBDDenoiser
from .self2self import Self2SelfDenoiser
from .thinned import ThinnedDenoiser
from .udvd import UDVDDenoiser
from .vst import VSTDenoiser
from .wiener import WienerDenoiser
from .windowed_fourier import WindowedFourierDenoiser
