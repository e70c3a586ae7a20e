"""Networks by name."""

from temdenoise.networks.dncnn import DnCNN
from temdenoise.networks.fourier_unet import FourierUNet
from temdenoise.networks.small_unet import SmallUNet
from temdenoise.networks.unet import UNet

NETWORKS = {
    "fourier_unet": FourierUNet,
    "unet": UNet,
    "dncnn": DnCNN,
    "small_unet": SmallUNet,
}
"""Name and class of each network."""


def build_network(network, **options):
    """Build a network by name.

    Parameters
    ----------
    network : str
        A key of ``NETWORKS``.
    **options
        Keyword arguments of the network's class.

    Returns
    -------
    network : torch.nn.Module

    Raises
    ------
    ValueError
        If there is no network of that name.
    TypeError
        If the network has no such option.

    Examples
    --------
    >>> from temdenoise.networks import build_network
    >>> build_network("unet", n_scales=2, base_channels=8).stride
    4
    """
    try:
        network_class = NETWORKS[network]
    except (KeyError, TypeError):
        raise ValueError(
            f"There is no network {network!r}. Choose one of {sorted(NETWORKS)}."
        ) from None
    return network_class(**options)
