__all__ = [
    "ARCHITECTURES",
    "DnCNN",
    "FourierUNet",
    "MacCount",
    "RelativeToMean",
    "SmallUNet",
    "UNet",
    "build_network",
    "count_macs",
    "fuse_for_inference",
    "receptive_field",
    "windowed_fourier_threshold",
]

from ._architectures import ARCHITECTURES, build_network
from ._receptive_field import receptive_field
from .cost import MacCount, count_macs
from .dncnn import DnCNN
from .fourier_unet import FourierUNet
from .fuse import fuse_for_inference
from .relative import RelativeToMean
from .small_unet import SmallUNet
from .unet import UNet
from .windowed_fourier import windowed_fourier_threshold
