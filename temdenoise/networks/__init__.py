"""Neural networks: pure torch, images (n, 1, h, w) in and images of the same shape out.

Nothing here knows about scikit-learn; :class:`temdenoise.SBDDenoiser` trains and applies them. Each
network accepts images of any size and states its ``stride``, the multiple it pads them to.
"""

from temdenoise.networks.cost import MacCount, count_macs
from temdenoise.networks.dncnn import DnCNN
from temdenoise.networks.fourier_unet import FourierUNet
from temdenoise.networks.fuse import fuse_for_inference
from temdenoise.networks.receptive_field import receptive_field
from temdenoise.networks.relative import RelativeToMean
from temdenoise.networks.small_unet import SmallUNet
from temdenoise.networks.unet import UNet
from temdenoise.networks.windowed_fourier import windowed_fourier_threshold

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

ARCHITECTURES = {
    "fourier_unet": FourierUNet,
    "unet": UNet,
    "dncnn": DnCNN,
    "small_unet": SmallUNet,
}
"""The name of each architecture, as ``SBDDenoiser(architecture=...)`` takes it, and its class."""


def build_network(architecture, **options):
    """Build a network by name.

    Parameters
    ----------
    architecture : str
        A key of ``ARCHITECTURES``.
    **options
        Keyword arguments of the network's class.

    Returns
    -------
    network : torch.nn.Module

    Raises
    ------
    ValueError
        If there is no architecture of that name.
    TypeError
        If the architecture has no such option.

    Examples
    --------
    >>> from temdenoise.networks import build_network
    >>> build_network("unet", scales=2, base_channels=8).stride
    4
    """
    try:
        network_class = ARCHITECTURES[architecture]
    except (KeyError, TypeError):
        raise ValueError(
            f"There is no architecture {architecture!r}; choose one of {sorted(ARCHITECTURES)}."
        ) from None
    return network_class(**options)
