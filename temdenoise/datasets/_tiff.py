"""TIFF files of others: read whole or not at all."""

import os
import struct


def read_tiff(path, *, mmap=False):
    """Read the first series of images of a TIFF file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    mmap : bool, default=False
        Map it into memory, read-only, if it is stored without compression and in one piece.

    Returns
    -------
    ndarray or numpy.memmap
        As stored.

    Raises
    ------
    ValueError
        If the file is damaged, truncated, empty or no TIFF.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            _check_page_chain(tiff, path)
            _check_data_is_there(series, os.path.getsize(path))
            in_one_piece = series.dataoffset is not None
            array = None if mmap and in_one_piece else series.asarray()
        if array is None:
            array = tifffile.memmap(path, mode="r")
    # A damaged file can fail anywhere in the parser or a decompressor, with any kind of error.
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"Cannot read {str(path)!r}: it is damaged, truncated or no TIFF ({error}). Delete it; "
            "the next call downloads it again if it can."
        ) from error
    return array


def _check_page_chain(tiff, path):
    """Refuse a file cut off between two pages: to most readers it is just a shorter one."""
    layout = tiff.tiff  # sizes and struct formats, which classic TIFF and BigTIFF do not share
    seen, size = set(), os.path.getsize(path)

    def number(kind, n_bytes):
        return struct.unpack(kind, file.read(n_bytes))[0]

    with open(path, "rb") as file:
        file.seek(8 if tiff.is_bigtiff else 4)
        while offset := number(layout.offsetformat, layout.offsetsize):
            if offset in seen or offset >= size:
                raise ValueError(f"page {len(seen)} is missing")
            seen.add(offset)
            file.seek(offset)
            n_tags = number(layout.tagnoformat, layout.tagnosize)
            file.seek(n_tags * layout.tagsize, os.SEEK_CUR)


def _check_data_is_there(series, size):
    """Refuse a truncated file: some readers fill what is missing with zeros."""
    if series.dataoffset is not None:  # in one piece; ImageJ describes only the first page of it
        end = series.dataoffset + series.nbytes
    else:
        end = 0
        for number, page in enumerate(series.pages):
            if page is None:
                raise ValueError(f"page {number} is missing")
            end = max(end, *map(sum, zip(page.dataoffsets, page.databytecounts, strict=True)))
    if end > size:
        raise ValueError(f"{end - size} bytes are missing")
