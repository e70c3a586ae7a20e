"""Networks by name."""

from temdenoise.networks.dncnn import DnCNN
from temdenoise.networks.fourier_unet import FourierUNet
from temdenoise.networks.small_unet import SmallUNet
from temdenoise.networks.unet import UNet

ARCHITECTURES = {
    "fourier_unet": FourierUNet,
    "unet": UNet,
    "dncnn": DnCNN,
    "small_unet": SmallUNet,
}
"""Name and class of each architecture."""


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
            f"There is no architecture {architecture!r}. Choose one of {sorted(ARCHITECTURES)}."
        ) from None
    return network_class(**options)
