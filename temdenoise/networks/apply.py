"""Apply a trained network to images of any size, in tiles that fit into memory."""

import contextlib
import warnings

import numpy as np
import torch

from temdenoise._calls import level_outside
from temdenoise._device import choose_device, use_bfloat16
from temdenoise._jobs import one_torch_thread, side_by_side
from temdenoise.networks.fuse import fuse_for_inference
from temdenoise.tiling import apply_tiled

# Largest side of a tile in bins. Each of the paper's images is one tile of this size.
TILE = 1088
# Number of quarter turns, and whether mirrored. `orientations=n` uses the first n.
ORIENTATIONS = [(turns, mirrored) for mirrored in (False, True) for turns in (0, 2, 1, 3)]
# Messages of allocators without their own exception (those of CPUs and of Apple's GPUs).
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def average_over_orientations(function, image, n, run=map):
    """Average a function's results for an image turned and mirrored, after turning them back.

    Parameters
    ----------
    function : callable
        Maps a tensor (..., rows, columns), or (..., columns, rows), to one whose last two axes are
        the same.
    image : torch.Tensor of shape (..., rows, columns)
    n : {1, 2, 4, 8}
        Number of orientations.
    run : callable, default=map
        ``run(f, orientations)`` calls f for each of them.

    Returns
    -------
    mean : torch.Tensor of shape (..., rows, columns)
    """

    def one(orientation):
        turns, mirrored = orientation
        turned = torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1))
        back = torch.rot90(function(turned), -turns, (-2, -1))
        return back.flip(-1) if mirrored else back

    return sum(run(one, ORIENTATIONS[:n])) / n


class TiledNetwork:
    """A network for inference. If memory is short, it uses smaller tiles.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (1, 1, rows, columns) to the same shape. It is not changed. It is applied in tiles if
        it has the attributes ``halo`` (distance in bins that influences an estimate) and ``grid``
        (tiles start at multiples of it). Otherwise it is applied to whole images.
    device : str, default="auto"
        See `temdenoise._device.choose_device`.
    orientations : {1, 2, 4, 8}, default=1
        Number of orientations of the image to average over.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the convolutions, for networks that support it.
    """

    def __init__(self, network, *, device="auto", orientations=1, precision="auto"):
        self.device = choose_device(device)
        with one_torch_thread():  # threads that copy a small tensor mostly wait for each other
            self.network = fuse_for_inference(network).to(self.device)
        self.orientations = orientations
        self.takes_level = getattr(self.network, "takes_level", False)
        rounds = getattr(self.network, "tolerates_bfloat16", False)
        self.autocast = rounds and use_bfloat16(precision, self.device)
        self.halo = getattr(self.network, "halo", None)
        self.grid = getattr(self.network, "grid", 1)
        self.tile = None if self.halo is None else max(TILE, 4 * self.halo)

    @property
    def n_jobs(self):
        """Number of images to process at once, for `side_by_side`. It is one on a GPU."""
        return None if self.device.type == "cpu" else 1

    def __call__(self, bins):
        """Return rates per bin of one image of counts per bin.

        Parameters
        ----------
        bins : ndarray of shape (rows, columns) or (channels, rows, columns), dtype float32

        Returns
        -------
        rates : ndarray of shape (rows, columns), dtype float32

        Raises
        ------
        MemoryError
            If not even the smallest tiles fit into the device's memory.
        """
        options = {}
        if self.takes_level:
            options["level"] = float(bins.mean(dtype=np.float64))  # one for all tiles

        def estimate(turned):
            return torch.from_numpy(self._in_tiles(turned.numpy(), options))

        def run(function, orientations):
            return side_by_side(function, orientations, n_jobs=self.n_jobs)

        image = torch.from_numpy(np.ascontiguousarray(bins))
        return average_over_orientations(estimate, image, self.orientations, run).numpy()

    def _apply(self, tile, options):
        batch = torch.from_numpy(np.array(tile)).to(self.device)
        batch = batch[None] if batch.ndim == 3 else batch[None, None]
        low = torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)
        alone = one_torch_thread() if self.device.type == "cpu" else contextlib.nullcontext()
        with torch.inference_mode(), low, alone:
            return self.network(batch, **options)[0, 0].float().cpu().numpy()

    def _in_tiles(self, bins, options):
        while True:
            try:
                return apply_tiled(
                    lambda tile: self._apply(tile, options),
                    bins,
                    tile=self.tile or max(bins.shape[-2:]),
                    halo=self.halo or 0,
                    multiple=self.grid,
                    n_jobs=self.n_jobs,
                )
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._shrink(max(bins.shape[-2:]), error)
            # only here, where the exception no longer holds the tensors of the failed attempt
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _shrink(self, side, error):
        """Halve the size of all further tiles, with a warning."""
        tried = side if self.tile is None else min(self.tile, side)
        least = tried if self.halo is None else 2 * self.halo + max(1, self.halo // 4) + self.grid
        if tried <= least:
            raise MemoryError(
                f"The network does not fit into the memory of {str(self.device)!r}, not even with "
                f"tiles of {tried} bins. Free memory, use another device or a smaller network."
            ) from error
        self.tile = max(least, tried // 2)
        warnings.warn(
            f"{str(self.device)!r} is out of memory with tiles of {tried} bins: going on with "
            f"{self.tile}.",
            RuntimeWarning,
            stacklevel=level_outside(),
        )


def _is_out_of_memory(error):
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)
