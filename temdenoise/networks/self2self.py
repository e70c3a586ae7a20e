"""The network of Self2Self, which learns from a single image (Quan et al. 2020)."""

import torch
from torch import nn

from temdenoise.networks._padding import pad_to_multiple
from temdenoise.networks._partial_conv import PartialConv2d


class Self2SelfNet(nn.Module):
    """U-Net that fills in the missing pixels of an image.

    The encoder has five scales with partial convolutions of 48 channels. The decoder has ordinary
    convolutions of 96 channels, each after dropout. In each step of a training, some pixels are
    left out of the image at random and the network predicts them. The estimate is the mean of many
    predictions. Each prediction leaves out other pixels, and other values in the decoder.

    Parameters
    ----------
    dropout : float, default=0.3
        Probability that a value in the decoder is left out.

    Attributes
    ----------
    level : torch.Tensor of shape ()
        Buffer. The image is divided by this number of counts per pixel. It is 1 in a new network.
        Training sets it to the mean of its image.
    stride, grid : int
        32. Images of any size are padded with mirror images to a multiple of it inside. Tiles may
        start at multiples of it.
    halo : int
        Largest distance in pixels that an estimate can see.

    Raises
    ------
    ValueError
        If `dropout` is not in [0, 1), or an input has another shape than (n, 1, rows, columns).

    Notes
    -----
    The network has 988,609 parameters. Dropout is only active in training mode
    (``network.train()``). The predictions that are averaged need this mode, too.

    Three things differ from the authors' code. The last layer is linear instead of a sigmoid,
    because counts have no upper bound. Pixels outside the image are missing instead of mirrored.
    The scale of a partial convolution is that of Liu et al.; the authors' code divides once more by
    the number of channels.

    References
    ----------
    Quan et al., "Self2Self with dropout: learning self-supervised denoising from single image",
    CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import Self2SelfNet
    >>> network = Self2SelfNet()
    >>> counts = torch.ones(1, 1, 20, 30)
    >>> mask = torch.rand(1, 1, 20, 30) > 0.3
    >>> network(counts, mask).shape
    torch.Size([1, 1, 20, 30])
    """

    stride = grid = 32
    halo = 158
    takes_level = False
    tolerates_bfloat16 = True

    def __init__(self, dropout=0.3):
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout!r}.")
        self.register_buffer("level", torch.ones(()))
        self.encoder = nn.ModuleList(
            nn.ModuleList(PartialConv2d(a, b) for a, b in layers)
            for layers in ([(1, 48), (48, 48)], *[[(48, 48)]] * 5)
        )
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.activation = nn.LeakyReLU(0.1)
        # what comes from below and the encoder's features, or at last the image, to two layers each
        widths = [(96, 96, 96), *[(144, 96, 96)] * 3, (97, 64, 32)]
        self.decoder = nn.ModuleList(self._block(widths, dropout) for widths in widths)
        self.head = nn.Sequential(nn.Dropout(dropout), _conv(32, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.1)
                nn.init.zeros_(layer.bias)
        self.head[-1].weight.data.mul_(0.1)  # training starts close to the level

    def _block(self, widths, dropout):
        n_in, n_mid, n_out = widths
        return nn.Sequential(
            nn.Dropout(dropout), _conv(n_in, n_mid), self.activation,
            nn.Dropout(dropout), _conv(n_mid, n_out), self.activation,
        )  # fmt: skip

    def forward(self, counts, mask=None):
        """Estimate the rates of all pixels from the counts of some.

        Parameters
        ----------
        counts : torch.Tensor of shape (n, 1, rows, columns)
            Of any size. Counts where the mask is False are not used.
        mask : torch.Tensor of shape (n, 1, rows, columns), optional
            True (or 1) where the network sees the counts, False (or 0) elsewhere, for each image.
            By default it is the second channel of `counts`.

        Returns
        -------
        rates : torch.Tensor of shape (n, 1, rows, columns)
        """
        if mask is None and counts.ndim == 4 and counts.shape[1] == 2:
            counts, mask = counts[:, :1], counts[:, 1:]
        if mask is None or counts.ndim != 4 or counts.shape[1] != 1 or mask.shape != counts.shape:
            raise ValueError(
                "Self2SelfNet takes counts and a mask of one shape (n, 1, rows, columns), got "
                f"{tuple(counts.shape)} and {None if mask is None else tuple(mask.shape)}."
            )
        rows, columns = counts.shape[-2:]
        x = torch.where(mask.bool(), counts / self.level - 1, 0)
        # Mirror images, as missing pixels in such a number occur nowhere in training.
        x, mask = (pad_to_multiple(a, self.stride) for a in (x, mask.to(x.dtype)))
        correction = self._unet(x, mask)[..., :rows, :columns]
        return self.level * (1 + correction.to(counts.dtype))

    def _unet(self, x, mask):
        skips = [x]
        for k, layers in enumerate(self.encoder):
            if k:
                x, mask = self.pool(x), self.pool(mask)
                skips.append(x)
            for layer in layers:
                x, mask = layer(x, mask)
                x = self.activation(x)
        skips.pop()  # of the coarsest scale, which has been used
        for block in self.decoder:
            x = block(torch.cat([self.upsample(x), skips.pop()], dim=1))
        return self.head(x)


def _conv(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1, padding_mode="replicate")
