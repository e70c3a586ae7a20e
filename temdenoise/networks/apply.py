"""Applying a trained network to images of any size, in tiles that fit into memory."""

import warnings

import numpy as np
import torch

from temdenoise._device import choose_device, use_bfloat16
from temdenoise.networks import fuse_for_inference
from temdenoise.tiling import apply_tiled

# Largest side of a tile in bins: what the paper's images need to be one tile.
TILE = 1088
# Quarter turns, and whether mirrored: the first n serve `orientations=n`.
ORIENTATIONS = [(turns, mirrored) for mirrored in (False, True) for turns in (0, 2, 1, 3)]
# What allocators say that have no exception of their own (those of processors and of Apple's GPUs).
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class TiledNetwork:
    """A denoiser's network, made ready for inference; where memory is short, tiles get smaller.

    Parameters
    ----------
    est : SBDDenoiser
        Fitted. Its network is left as it is.
    """

    def __init__(self, est):
        self.device = choose_device(est.device)
        self.network = fuse_for_inference(est.network_).to(self.device)
        self.orientations = ORIENTATIONS[: est.orientations]
        self.takes_level = getattr(self.network, "takes_level", False)
        rounds = getattr(self.network, "tolerates_bfloat16", False)
        self.autocast = rounds and use_bfloat16(est.precision, self.device)
        self.tile = max(TILE, 4 * self.network.halo)

    def __call__(self, bins):
        """Return rates per bin of one image of counts per bin (rows, columns).

        Raises
        ------
        MemoryError
            If not even the smallest tiles fit into the device's memory.
        """
        options = {}
        if self.takes_level:
            options["level"] = float(bins.mean(dtype=np.float64))  # one for all tiles
        total = np.zeros(bins.shape, dtype=np.float32)
        for turns, mirrored in self.orientations:
            turned = np.rot90(bins[:, ::-1] if mirrored else bins, turns).copy()
            rates = np.rot90(self._in_tiles(turned, options), -turns)
            total += rates[:, ::-1] if mirrored else rates
        return total / len(self.orientations)

    def _in_tiles(self, bins, options):
        def apply(tile):
            batch = torch.from_numpy(tile.copy())[None, None].to(self.device)
            low = torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)
            with torch.inference_mode(), low:
                return self.network(batch, **options)[0, 0].float().cpu().numpy()

        halo, grid = self.network.halo, self.network.grid
        while True:
            try:
                return apply_tiled(apply, bins, tile=self.tile, halo=halo, multiple=grid)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._shrink(max(bins.shape), error)
            # only here, where the exception no longer holds the tensors of the failed attempt
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _shrink(self, side, error):
        """Halve the tiles for all that is still to come, and say so."""
        halo, grid = self.network.halo, self.network.grid
        least = 2 * halo + max(1, halo // 4) + grid
        tried = min(self.tile, side)
        if tried <= least:
            raise MemoryError(
                f"The network does not fit into the memory of {str(self.device)!r}, not even with "
                f"tiles of {tried} bins: free memory, use another device or a smaller network."
            ) from error
        self.tile = max(least, tried // 2)
        warnings.warn(
            f"{str(self.device)!r} is out of memory with tiles of {tried} bins: going on with "
            f"{self.tile}.",
            RuntimeWarning,
            stacklevel=6,  # the line that called transform
        )


def _is_out_of_memory(error):
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)
