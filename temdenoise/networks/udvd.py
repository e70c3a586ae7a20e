"""The published network for movies, UDVD (Sheth et al. 2021)."""

import torch
from torch import nn

from temdenoise.networks._half_plane import HalfPlaneUNet, look_four_ways
from temdenoise.networks._relative_to_level import RelativeToLevel, pointwise_tail


class UDVDNet(RelativeToLevel):
    """Two-stage blind-spot network that estimates the middle one of five frames.

    A first half-plane U-Net sees frames 1 to 3, 2 to 4 and 3 to 5. A second one sees the three
    results. Both look in four directions, and convolutions of 1x1 combine the directions. All
    frames are blind: the estimate of a pixel sees neither this pixel of the middle frame nor the
    same pixel of another frame. `HybridVideoNet` sees the same pixel of other frames.

    Parameters
    ----------
    n_frames : {1, 3, 5}, default=5
        Number of frames. With 3 or 1 there is one stage only, as in the authors' code.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Buffer. The frames are divided by this number of counts per pixel. It is 1 in a new network.
        Training sets it to the mean of its frames.
    stride, grid : int
        4. Frames of any size are padded with zeros to a multiple of it inside. Tiles may start at
        multiples of it.
    halo : int
        Largest distance in pixels that an estimate can see.

    Raises
    ------
    ValueError
        If `n_frames` is another number, or the input has another shape than
        (n, n_frames, rows, columns).

    Notes
    -----
    For five frames the network has 2,123,664 parameters, as published: 881,712 in the first stage,
    1,057,536 in the second, and 184,416 in the 1x1 convolutions.

    The authors' code mirrors frames until they are square. Pixels near the border would then see
    themselves, so frames are padded with zeros here. The first and last column are still repeated
    around each convolution. This does not mix rows, and a branch is blind to rows. The random
    weights at the start follow He et al. (arXiv:1502.01852). The network sees counts / level - 1.

    References
    ----------
    Sheth et al., "Unsupervised deep video denoising", ICCV 2021, arXiv:2011.15045; Mohan et al.,
    arXiv:2010.12970, Section 5.4.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import UDVDNet
    >>> network = UDVDNet()
    >>> network(torch.ones(1, 5, 20, 30)).shape
    torch.Size([1, 1, 20, 30])
    """

    stride = grid = HalfPlaneUNet.stride

    def __init__(self, n_frames=5):
        super().__init__()
        if n_frames not in (1, 3, 5):
            raise ValueError(f"n_frames must be 1, 3 or 5, got {n_frames!r}.")
        self.n_frames = n_frames
        self.stages = nn.ModuleList([HalfPlaneUNet(n_frames, 96)])
        if n_frames == 5:
            self.stages = nn.ModuleList([HalfPlaneUNet(3, 32), HalfPlaneUNet(96, 96)])
        self.halo = len(self.stages) * HalfPlaneUNet.reach + 1
        self.tail = pointwise_tail([384, 384, 96, 1], nn.LeakyReLU(0.1))

    def _correction(self, x):
        return self.tail(look_four_ways(self._branch, x, shift=1))

    def _branch(self, x):
        *first, last = self.stages
        for stage in first:
            x = torch.cat([stage(x[:, k : k + 3]) for k in range(3)], dim=1)
        return last(x)
