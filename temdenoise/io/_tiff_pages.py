"""Decode the pages of a TIFF one after the other: memory holds the result and one piece."""

import numpy as np

from temdenoise.io._failures import UnsuitableFile, damaged

# Lossless compressions of bytes. Their decoders stop at the size of a piece. Compressions of
# images (JPEG and others) say their size themselves, and change counts where they lose.
_COMPRESSIONS = {
    1: "none",
    5: "LZW",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    34925: "LZMA",
    34926: "Zstandard",
    50000: "Zstandard",
}


def decode_pages(series, path, request):
    """Read the pages of a series, strip by strip or tile by tile.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        The images.
    path : pathlib.Path
        The file, for messages.
    request : temdenoise.io._request.Request
        Limits the memory.

    Returns
    -------
    array : ndarray of the shape of the series

    Raises
    ------
    UnsuitableFile
        If a piece is missing or damaged, the compression is not known, or the images are too large.
    ImportError
        If the images are compressed and imagecodecs is not installed.
    """
    pages, keyframe = list(series.pages), series.keyframe
    _check_compression(keyframe, path)
    dtype = np.dtype(keyframe.dtype.char)
    shape = (len(pages), *keyframe.shaped)
    n_bytes = _product(shape) * dtype.itemsize
    if _product(series.shape) != _product(shape):
        raise damaged(path, f"its {len(pages)} pages do not make a stack of shape {series.shape}")
    stored = sum({page.parent.filehandle.size for page in pages if page is not None})
    n_pieces = _product(keyframe.chunked)
    stored_pieces = 0
    for number, page in enumerate(pages):
        stored_pieces += _check_pieces(page, number, n_pieces, path)
    if stored_pieces > 2 * stored:
        raise damaged(path, "its pieces lie on top of each other")
    piece_bytes = _product(keyframe.chunks) * dtype.itemsize
    request.check_size(path, max(n_bytes, piece_bytes), stored)
    array = np.empty(shape, dtype)
    for number, page in enumerate(pages):
        _decode(page, array[number], n_pieces, number, path)
    return array.reshape(series.shape)


def _check_compression(keyframe, path):
    compression = int(keyframe.compression)
    if compression not in _COMPRESSIONS:
        name = getattr(keyframe.compression, "name", compression)
        raise UnsuitableFile(
            f"{str(path)!r} is compressed with {name}, which is not read here. Save it without "
            "compression, or with LZW, Deflate, PackBits, LZMA or Zstandard, which lose nothing."
        )
    if compression != 1 or keyframe.predictor != 1:
        try:
            import imagecodecs  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"{str(path)!r} is compressed with {_COMPRESSIONS[compression]}, and imagecodecs, "
                "which reads that, is missing: pip install imagecodecs."
            ) from error


def _check_pieces(page, number, n_pieces, path):
    """Check that the strips or tiles of a page are in the file; return their size in bytes."""
    if page is None:
        raise damaged(path, f"page {number} is missing")
    offsets, counts = page.dataoffsets[:n_pieces], page.databytecounts[:n_pieces]
    if len(offsets) != n_pieces or len(counts) != n_pieces:
        raise damaged(path, f"page {number} has {len(offsets)} of {n_pieces} pieces")
    size = page.parent.filehandle.size
    for offset, count in zip(offsets, counts, strict=True):
        if offset <= 0 or count <= 0 or offset + count > size:
            raise damaged(path, f"the data of page {number} is missing")
    return sum(counts)


def _decode(page, image, n_pieces, number, path):
    file, decode = page.parent.filehandle, page.keyframe.decode
    if file.closed:  # another file of a set
        file.open()
    _, depth, height, width, _ = image.shape
    pieces = zip(page.dataoffsets[:n_pieces], page.databytecounts[:n_pieces], strict=True)
    for index, (offset, count) in enumerate(pieces):
        file.seek(offset)
        piece, (sample, z, y, x, _), shape = decode(file.read(count), index)
        room = (depth - z, height - y, width - x)
        place = image[sample, z : z + shape[0], y : y + shape[1], x : x + shape[2]]
        piece = piece[: room[0], : room[1], : room[2]]
        if piece.shape != place.shape:
            raise damaged(path, f"piece {index} of page {number} is too short")
        place[...] = piece


def _product(numbers):
    result = 1
    for n in numbers:
        result *= int(n)
    return result
