"""The paper's blind-spot network at full resolution (Laine et al. 2019)."""

from temdenoise.networks.udvd import UDVDNet


class LaineNet(UDVDNet):
    """Blind-spot network of Laine et al. for single frames at full resolution.

    A half-plane U-Net with maximum pooling sees an image from four sides. Convolutions of 1x1
    combine the four views. The estimate of a pixel depends on all pixels around it, but not on the
    pixel itself, at the borders too.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Buffer. The image is divided by this number of counts per pixel. It is 1 in a new network.
        Training sets it to the mean of its images.
    stride, grid : int
        4. Images of any size are padded with zeros to a multiple of it inside. Tiles may start at
        multiples of it.
    halo : int
        Largest distance in pixels that an estimate can see.

    Raises
    ------
    ValueError
        If the input has another shape than (n, 1, rows, columns).

    See Also
    --------
    BlindSpotNet : A lighter network for counts summed over bins.

    Notes
    -----
    The network has 1,118,832 parameters. It is the variant with two scales of pooling in the code
    of Sheth et al. The paper compares with this variant. Borders are treated as in `UDVDNet`.

    References
    ----------
    Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019,
    arXiv:1901.10277; Mohan et al., arXiv:2010.12970, Section 5.4.1.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import LaineNet
    >>> LaineNet()(torch.ones(1, 1, 20, 30)).shape
    torch.Size([1, 1, 20, 30])
    """

    def __init__(self):
        super().__init__(n_frames=1)
