__all__ = [
    "NETWORKS",
    "BlindSpotNet",
    "DnCNN",
    "FourierUNet",
    "HybridVideoNet",
    "LaineNet",
    "MacCount",
    "RelativeToMean",
    "Self2SelfNet",
    "SmallUNet",
    "UDVDNet",
    "UNet",
    "build_network",
    "count_macs",
    "fuse_for_inference",
    "receptive_field",
    "windowed_fourier_threshold",
]

from ._by_name import NETWORKS, build_network
from ._receptive_field import receptive_field
from .blind_spot import BlindSpotNet
from .cost import MacCount, count_macs
from .dncnn import DnCNN
from .fourier_unet import FourierUNet
from .fuse import fuse_for_inference
from .hybrid_video import HybridVideoNet
from .laine import LaineNet
from .relative import RelativeToMean
from .self2self import Self2SelfNet
from .small_unet import SmallUNet
from .udvd import UDVDNet
from .unet import UNet
from .windowed_fourier import windowed_fourier_threshold
