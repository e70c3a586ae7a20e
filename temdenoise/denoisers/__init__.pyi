__all__ = [
    "AlignedSumDenoiser",
    "AutoDenoiser",
    "BM3DDenoiser",
    "FramesWarning",
    "LowPassDenoiser",
    "NLMDenoiser",
    "PURELETDenoiser",
    "SBDDenoiser",
    "TrainedDenoiser",
    "VSTDenoiser",
    "WienerDenoiser",
    "WindowedFourierDenoiser",
]

from ._trained.base import TrainedDenoiser
from .aligned_sum import AlignedSumDenoiser, FramesWarning
from .auto import AutoDenoiser
from .bm3d import BM3DDenoiser
from .lowpass import LowPassDenoiser
from .nlm import NLMDenoiser
from .purelet import PURELETDenoiser
from .sbd import SBDDenoiser
from .vst import VSTDenoiser
from .wiener import WienerDenoiser
from .windowed_fourier import WindowedFourierDenoiser
