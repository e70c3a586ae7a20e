"""Convolutions without large copies of the image, of the whole image or tile by tile."""

from itertools import pairwise, product
from math import isqrt

import torch
from torch import nn
from torch.nn import functional as F

from temdenoise._jobs import side_by_side

# Number of values that the layers read for a tile, 10 MB. malloc reuses tensors of up to 32 MB.
# Larger tensors come from the system page by page, which takes longer than filling them.
_VALUES = 2_500_000


class EdgeConv2d(nn.Module):
    """Convolution with the image's edge pixels repeated outside the image.

    torch makes a larger copy of the whole image for this. Here the image is convolved with zeros
    outside, and only the pixels near the edges are computed again.

    Parameters
    ----------
    conv : nn.Conv2d
        Of stride one and the padding that keeps the size.
    """

    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        self.reach = conv.padding[0]

    def _apply_padded(self, x, padding):
        conv = self.conv
        x = F.pad(x, padding, mode="replicate")
        return F.conv2d(x, conv.weight, conv.bias, dilation=conv.dilation, groups=conv.groups)

    def forward(self, x, edges=(True, True, True, True)):
        """Convolve; of the ends (left, right, top, bottom) only those in `edges` are correct."""
        conv, p = self.conv, self.reach
        if min(x.shape[-2:]) < 2 * p:
            return self._apply_padded(x, (p, p, p, p))
        y = F.conv2d(x, conv.weight, conv.bias, 1, p, conv.dilation, conv.groups)
        # pixels within p of an edge depend on p pixels outside it and 2 p inside
        left, right, top, bottom = edges
        if top:
            y[..., :p, :] = self._apply_padded(x[..., : 2 * p, :], (p, p, p, 0))
        if bottom:
            y[..., -p:, :] = self._apply_padded(x[..., -2 * p :, :], (p, p, 0, p))
        if left:
            y[..., :p] = self._apply_padded(x[..., : 2 * p], (p, 0, p, p))
        if right:
            y[..., -p:] = self._apply_padded(x[..., -2 * p :], (0, p, p, p))
        return y


class InTiles(nn.Module):
    """Apply convolutions to tiles of an image, so that the tensors between layers stay small.

    Each thread processes one tile at a time.

    Parameters
    ----------
    layers : sequence of nn.Module
        `EdgeConv2d`, and functions of single pixels.
    """

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.reach = sum(layer.reach for layer in layers if isinstance(layer, EdgeConv2d))

    def forward(self, *parts):
        """Map tensors (n, channels, h, w) like the layers; several tensors are concatenated."""
        size = parts[0].shape[-2:]
        values = sum(part[..., 0, 0].numel() for part in parts)
        side = max(8 * self.reach, isqrt(_VALUES // values))
        learning = any(t.requires_grad for t in (*parts, *self.parameters()))
        differentiated = learning and torch.is_grad_enabled()
        if side >= max(size) or parts[0].device.type != "cpu" or differentiated:
            return self._one(parts, (0, size[0]), (0, size[1]))
        first, *others = product(*(_tiles(length, side) for length in size))
        tile = self._one(parts, *first)
        shape, kind = (*tile.shape[:2], *size), torch.channels_last
        whole = torch.empty(shape, dtype=tile.dtype, memory_format=kind)

        def put(tile, rows, columns):
            whole[..., slice(*rows), slice(*columns)] = tile

        put(tile, *first)
        _side_by_side(lambda place: put(self._one(parts, *place), *place), others)
        return whole

    def _one(self, parts, rows, columns):
        (top, bottom), (left, right), (height, width) = rows, columns, parts[0].shape[-2:]
        edges = (left == 0, right == width, top == 0, bottom == height)
        above, before = max(0, top - self.reach), max(0, left - self.reach)
        seen = (slice(above, bottom + self.reach), slice(before, right + self.reach))
        parts = [part[(..., *seen)] for part in parts]
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        for layer in self.layers:
            x = layer(x, edges) if isinstance(layer, EdgeConv2d) else layer(x)
        return x[..., top - above : bottom - above, left - before : right - before]


def _side_by_side(function, items):
    """Call a function for all items in parallel, with the torch modes of the calling thread."""
    low = {"enabled": torch.is_autocast_enabled("cpu"), "dtype": torch.get_autocast_dtype("cpu")}

    def in_these_modes(item):
        # modes belong to a thread, and inference tensors can be written only in inference mode
        with torch.inference_mode(), torch.autocast("cpu", **low):
            function(item)

    side_by_side(in_these_modes, items)


def _tiles(length, side):
    """First and last pixel + 1 of tiles of nearly the same size."""
    n = -(-length // side)
    return list(pairwise(length * k // n for k in range(n + 1)))
