"""The published network for movies, UDVD (Sheth et al. 2021)."""

import torch
from torch import nn

from temdenoise.networks._half_plane import HalfPlaneUNet, look_four_ways
from temdenoise.networks._relative_to_level import RelativeToLevel, pointwise_tail


class UDVDNet(RelativeToLevel):
    """Two-stage blind-spot network that estimates the middle one of five frames.

    One half-plane U-Net sees frames 1 to 3, 2 to 4 and 3 to 5, a second one what the first has made
    of them; both do so for four directions of view, and convolutions of 1x1 combine these. All
    frames are blinded alike: the estimate of a pixel sees neither that pixel of the middle frame
    nor the same pixel of any other frame. `HybridVideoNet` sees the latter.

    Parameters
    ----------
    n_frames : {1, 3, 5}, default=5
        Number of frames. With 3 or 1 there is one stage only, as in the authors' code.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Counts per pixel that the frames are divided by, a buffer. It is 1 at first: training sets
        it to the mean of its frames.
    stride, grid : int
        4. Frames of any size are padded with zeros to a multiple of it inside. Tiles may start at
        multiples of it.
    halo : int
        No pixel further away than this is seen.

    Raises
    ------
    ValueError
        If `n_frames` is another number, or the input has another shape than
        (n, n_frames, rows, columns).

    Notes
    -----
    2,123,664 parameters for five frames, as published: 881,712 of the first stage, 1,057,536 of the
    second, 184,416 of the 1x1 convolutions.

    The authors' code mirrors frames that are not square until they are; a mirror image shows pixels
    near the border to themselves, so frames are padded with zeros here. The repetition of the first
    and last column around each convolution stays: it mixes no rows, and a branch is blind to rows.
    The weights start at random as those of He et al. (arXiv:1502.01852), and the network sees
    counts over their level, minus one.

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
