"""Read TIFF files: plain, ImageJ, OME, DigitalMicrograph."""

import json
import logging
import threading
from contextlib import contextmanager

import numpy as np

from temdenoise.io._failures import UnsuitableFile, damaged
from temdenoise.io._request import Contents
from temdenoise.io._tiff_check import check_ome, check_page_chain
from temdenoise.io._tiff_imagej import calibrated
from temdenoise.io._tiff_pages import decode_pages
from temdenoise.io._tiff_scale import pixel_size

# These look for further files by a name in the file, or by a pattern.
_OFF = {"is_mmstack": False, "is_ndtiff": False}
_COLOURS = (2, 5, 6, 8)  # RGB, CMYK, YCbCr, CIELab


def read(path, request):
    """Read a TIFF file; see `temdenoise.io._formats`."""
    check_page_chain(path)
    with _quiet():
        return _read(path, request)


@contextmanager
def _quiet():
    """Keep tifffile's log out of the terminal: what matters is an error here."""
    here = threading.get_ident()

    def not_here(record):
        return record.thread != here

    logger = logging.getLogger("tifffile")
    logger.addFilter(not_here)
    try:
        yield
    finally:
        logger.removeFilter(not_here)


def _read(path, request):
    import tifffile

    with tifffile.TiffFile(path, **_OFF) as tiff:
        if tiff.is_ome:
            check_ome(tiff.ome_metadata, path)
        one_by_one = tiff.is_shaped and len(tiff.series) > 1
    # In tifffile's metadata, pages that were added one by one are separate series.
    with tifffile.TiffFile(path, **_OFF, **({"is_shaped": False} if one_by_one else {})) as tiff:
        place, series = _choose(tiff, path, request)
        notes, details = [], {}
        if len(tiff.series) > 1:
            details["series"] = place
        _check_imagej(tiff, series, path)
        array = _read_series(series, path, request)
        if tiff.is_imagej:
            array, details["calibration"] = calibrated(array, tiff.imagej_metadata, path, notes)
            if details["calibration"] is None:
                del details["calibration"]
        size = pixel_size(tiff, series, place, path, notes)
        return Contents(array, series.axes, size, _info(tiff), details, notes)


def _choose(tiff, path, request):
    """Place and series to read: previews, masks and reduced copies are not images."""
    names, grey, rest = {}, [], []
    for place, series in enumerate(tiff.series):
        page = series.keyframe
        colour = "S" in series.axes or page.photometric in _COLOURS
        kind = "reduced" if page.is_reduced else "mask" if page.is_mask else ""
        kind = kind or ("colour" if colour else "")
        name = series.name if series.name and series.name not in names else f"series {place}"
        title = f"{series.name!r} " if series.name else ""
        names[name] = f"{title}{series.axes} {series.shape} {series.dtype} {kind}".strip()
        if series.shape and not kind:
            grey.append(place)
        elif series.shape and kind == "colour":
            rest.append(place)
    # A colour picture alone is chosen, and refused in words that say what to do.
    real = grey or rest[:1]
    if not real and request.series is None:
        raise UnsuitableFile(f"{str(path)!r} holds no image.")
    place = request.choose(path, names, real)
    return place, tiff.series[place]


def _check_imagej(tiff, series, path):
    """Refuse an ImageJ file that holds fewer images than its header says."""
    # tifffile reads such a file as another kind, with one image.
    if tiff.is_imagej and series.kind != "imagej" and len(tiff.pages) == 1:
        images = (tiff.imagej_metadata or {}).get("images", 1)
        if images != 1:
            raise damaged(path, f"its header says {images} images, and not all are there")


def _read_series(series, path, request):
    size = path.stat().st_size
    if series.dataoffset is not None and not series.is_multifile:  # one uncompressed block
        page = series.keyframe
        if page.dataoffsets[0] < 8 or page.databytecounts[0] == 0:
            raise damaged(path, "the data of page 0 is missing")
        end = series.dataoffset + series.nbytes
        if end > size:
            raise damaged(path, f"{end - size} bytes are missing")
        dtype = np.dtype(series.keyframe.parent.byteorder + series.dtype.char)
        array = np.memmap(
            path, dtype, mode="r", offset=series.dataoffset, shape=tuple(series.shape)
        )
        return array if request.mmap else np.array(array, dtype=series.dtype)
    return decode_pages(series, path, request)


def _info(tiff):
    """Return what `write_stack` stored as text; {} if the text is of another program."""
    text = None
    if tiff.is_imagej:
        text = (tiff.imagej_metadata or {}).get("Info")
    elif tiff.is_ome and tiff.ome_metadata:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(tiff.ome_metadata)
        text = next((e.text for e in root.iter() if e.tag.endswith("}Description")), None)
    try:
        info = json.loads(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}
