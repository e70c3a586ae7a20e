"""Process images that do not fit in memory, tile by tile, without seams."""

from itertools import pairwise
from numbers import Integral

import numpy as np

from temdenoise._jobs import side_by_side
from temdenoise._validation import refuse_masked


def apply_tiled(function, image, *, tile, halo, multiple=1, blend=None, out=None, n_jobs=1):
    """Apply a function to overlapping tiles of an image and join the results.

    Every tile is read with its surroundings. Results closer than ``halo`` to a tile's inner edge
    are not used, because they depend on pixels outside the tile. Between neighbouring tiles
    the two results are blended by a linear ramp, so that there is no visible seam even if the
    function depends on pixels beyond the halo. Results at the borders of the image are not changed.

    Parameters
    ----------
    function : callable
        Maps a tile, an array of shape (h, w) or (n_channels, h, w), to an array whose last two axes
        are (h, w): one image, or several stacked on the first axis.
    image : ndarray or memmap of shape (height, width) or (n_channels, height, width)
        The image. It is read tile by tile, never as a whole.
    tile : int
        Largest side of a tile in pixels, with the halo. Larger tiles need more memory and less work
        for the overlaps.
    halo : int
        Number of pixels next to the inner edge of a tile whose results are not used. If it is at
        least the radius of the function's receptive field, the result equals that of the function
        applied to the whole image.
    multiple : int, default=1
        Tiles start at multiples of this number of pixels. For a network that pools, give its
        stride, so that its pooling grid is the same for all tiles.
    blend : int, optional
        Width of the ramp in pixels. Default: a quarter of the halo, at least 1.
    out : ndarray or memmap, optional
        Array for the result. By default a new float32 array.
    n_jobs : int or None, default=1
        Number of threads that process tiles of one row in parallel, if the function may be called
        from several threads. None: all CPUs. The result does not depend on it.

    Returns
    -------
    out : ndarray of shape (height, width) or (n_outputs, height, width), float32
        The joined result, which is ``out`` if given.

    Raises
    ------
    ValueError
        If the tile is too small for the halo, a size is out of range, ``out`` or a result of the
        function has the wrong shape, or ``out`` shares memory with the image.
    TypeError
        If a size is not an integer.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from temdenoise.tiling import apply_tiled
    >>> image = np.random.default_rng(0).poisson(0.45, (300, 500)).astype(np.float32)
    >>> smooth = apply_tiled(lambda t: gaussian_filter(t, 2.0), image, tile=128, halo=8)
    >>> bool(np.allclose(smooth, gaussian_filter(image, 2.0), atol=1e-6))
    True
    """
    refuse_masked(image, "image")
    if np.iscomplexobj(image):
        raise ValueError("image is complex: take its modulus or its real part first.")
    if np.ndim(image) not in (2, 3) or 0 in np.shape(image):
        raise ValueError(
            "Expected a non-empty image of shape (height, width) or (n_channels, height, width), "
            f"got shape {np.shape(image)}."
        )
    tile = _checked("tile", tile, 1)
    halo = _checked("halo", halo, 0)
    multiple = _checked("multiple", multiple, 1)
    blend = _checked("blend", max(1, halo // 4) if blend is None else blend, 1)
    if out is not None and np.may_share_memory(out, image):
        raise ValueError("out must not share memory with the image: tiles are read more than once.")

    height, width = image.shape[-2:]
    rows = _cover(height, tile, halo, multiple, blend)
    columns = _cover(width, tile, halo, multiple, blend)
    started = False
    for y in rows:
        results = side_by_side(
            lambda x, y=y: _checked_result(function, image, y, x), columns, n_jobs=n_jobs
        )
        for x, result in zip(columns, results, strict=True):
            if not started:
                out = _prepared(out, (*result.shape[:-2], height, width))
                started = True
            elif result.ndim != out.ndim or result.shape[:-2] != out.shape[:-2]:
                raise ValueError(
                    f"The function returned {result.shape[:-2]} channels for one tile and "
                    f"{out.shape[:-2]} for another."
                )
            weight = y.weight[:, None] * x.weight
            out[..., y.first : y.last, x.first : x.last] += (
                result[..., y.inner, x.inner] * weight
            ).astype(np.float32, copy=False)
    return out


def _checked_result(function, image, y, x):
    """Return the function's result for one tile."""
    part = image[..., y.start : y.stop, x.start : x.stop]
    result = np.asarray(function(part))
    if result.ndim not in (2, 3) or result.shape[-2:] != part.shape[-2:]:
        raise ValueError(
            f"The function returned shape {result.shape} for a tile of shape {part.shape}; "
            "the last two axes must be the same."
        )
    return result


class _Span:
    """Extent of one tile along one axis, and the weights of its used part."""

    def __init__(self, start, stop, first, last, weight):
        self.start, self.stop = start, stop
        self.first, self.last = first, last
        self.weight = weight
        self.inner = slice(first - start, last - start)


def _cover(size, tile, halo, multiple, blend):
    """Cover one axis of the image with overlapping spans whose weights add up to one."""
    if size <= tile:
        return [_Span(0, size, 0, size, np.ones(size, dtype=np.float32))]
    step = (tile - 2 * halo - blend) // multiple * multiple
    if step < 1:
        raise ValueError(
            f"tile={tile} is too small for halo={halo}, blend={blend} and multiple={multiple}: "
            f"it must be at least {2 * halo + blend + multiple}."
        )
    slots = -(-(size - tile) // multiple)
    n_tiles = -(-slots * multiple // step) + 1
    # Tiles are as small as their number allows, because overlaps are computed twice.
    enough = -(-(size - 2 * halo - blend) // (n_tiles * multiple)) * multiple
    tile = min(tile, enough + 2 * halo + blend)
    # Tiles are spread evenly. The last one ends at the image's edge and may be shorter by less than
    # `multiple`.
    slots = -(-(size - tile) // multiple)
    starts = [multiple * (slots * k // (n_tiles - 1)) for k in range(n_tiles)]
    stops = [min(start + tile, size) for start in starts]

    # One transition between neighbours, in the middle of their overlap.
    cuts = [(start + stop) // 2 for stop, start in zip(stops[:-1], starts[1:], strict=True)]
    gaps = [b - a for a, b in pairwise(cuts)]
    blend = min([blend, *gaps])
    ramp = (np.arange(blend, dtype=np.float32) + 0.5) / np.float32(blend)
    spans = []
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        first = cuts[k - 1] - blend // 2 if k else 0
        last = cuts[k] - blend // 2 + blend if k < n_tiles - 1 else size
        weight = np.ones(last - first, dtype=np.float32)
        if k:
            weight[:blend] = ramp
        if k < n_tiles - 1:
            weight[-blend:] = 1 - ramp
        spans.append(_Span(start, stop, first, last, weight))
    return spans


def _prepared(out, shape):
    if out is None:
        return np.zeros(shape, dtype=np.float32)
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, but the result has shape {shape}.")
    if out.dtype != np.float32:
        raise ValueError(f"out must be float32, got {out.dtype}.")
    out[...] = 0
    return out


def _checked(name, value, least):
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return int(value)
