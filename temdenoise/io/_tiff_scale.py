"""Pixel size that a TIFF file says: OME, ImageJ, DigitalMicrograph, resolution."""

import numpy as np

from temdenoise._units import is_no_length, picometres
from temdenoise.io._request import LARGEST_PIXEL

# Almost every program writes a printing resolution (72 dpi is 0.35 mm per pixel). A scale in cm or
# inch describes the specimen only if it is far finer than any printer, in pm.
_COARSE_UNIT, _FINEST_PRINTER = 1e9, 1e6
# Pixels of a microscope's image are at least this wide, in pm.
_SMALLEST_PIXEL = 1.0
# Of DigitalMicrograph: tags with the units and the lengths of a pixel's sides.
_DM_UNITS, _DM_SIZES = (65003, 65004), (65009, 65010)


def pixel_size(tiff, series, place, path, notes):
    """Return the pixel size in pm, or None if the file has no plausible one.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        The file.
    series : tifffile.TiffPageSeries
        The images that are read.
    place : int
        Their place among the series.
    path : pathlib.Path
        For messages.
    notes : list of str
        Gets a warning for a scale that cannot be used.

    Returns
    -------
    pixel_size : float or None
    """
    tags = series.keyframe.tags
    for source in (_ome(tiff, place), _imagej(tiff, tags), _dm(tags), _resolution(tiff, tags)):
        if source is None:
            continue
        (width, unit), (height, unit_y) = source
        for name in (unit, unit_y):
            if picometres(name) is None:
                if is_no_length(name):
                    notes.append(
                        f"The scale of {str(path)!r} is in {name!r}, which is no length. No pixel "
                        "size is taken from the file. Is it a diffraction pattern?"
                    )
                return None
        return _settled(width * picometres(unit), height * picometres(unit_y), path, notes)
    return None


def _settled(x, y, path, notes):
    if not (_SMALLEST_PIXEL <= min(x, y) and max(x, y) < LARGEST_PIXEL):
        notes.append(
            f"{str(path)!r} says that its pixels are {x:.4g} x {y:.4g} pm wide, which is "
            "impossible. This is not used: give the pixel size in pm."
        )
        return None
    if abs(x - y) > 0.005 * max(x, y):
        notes.append(
            f"The pixels of {str(path)!r} are not square ({x:.4g} x {y:.4g} pm), so its pixel size "
            "is not used. Give the pixel size, or resample the images."
        )
        return None
    return x


def _ome(tiff, place):
    if not tiff.is_ome:
        return None
    from xml.etree import ElementTree

    root = ElementTree.fromstring(tiff.ome_metadata)
    images = [e for e in root.iter() if e.tag.endswith("}Pixels")]
    if not images:
        return None
    pixels = images[place] if place < len(images) == len(tiff.series) else images[0]
    return _both(
        (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XY"
    )


def _imagej(tiff, tags):
    metadata = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    unit = metadata.get("unit")
    if not unit:
        return None
    units = (unit, metadata.get("yunit", unit))
    return _both(zip(_per_unit(tags), units, strict=True))


def _dm(tags):
    if not all(code in tags for code in (*_DM_UNITS, *_DM_SIZES)):
        return None
    return _both(
        (tags[size].value, _text(tags[unit].value))
        for size, unit in zip(_DM_SIZES, _DM_UNITS, strict=True)
    )


def _resolution(tiff, tags):
    if tiff.is_imagej and (tiff.imagej_metadata or {}).get("unit"):
        return None
    code = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1
    unit = {2: "inch", 3: "cm"}.get(code)
    return None if unit is None else _both((size, unit) for size in _per_unit(tags))


def _per_unit(tags):
    """Sides of a pixel in the unit of the resolution; None if they are not there."""
    for name in ("XResolution", "YResolution"):
        numerator, denominator = tags[name].value if name in tags else (0, 1)
        yield denominator / numerator if numerator else None


def _both(sides):
    """Width and height with their units; None if they are not there or those of a printer."""
    result = []
    for size, unit in sides:
        try:
            size = float(size)
        except (TypeError, ValueError):
            return None
        scale = picometres(unit)
        printed = scale is not None and scale >= _COARSE_UNIT and size * scale >= _FINEST_PRINTER
        if size == 0 or printed:
            return None
        result.append((size, unit))
    return result


def _text(value):
    """Text of a tag, which may be stored with two bytes per letter."""
    if isinstance(value, tuple | list | np.ndarray):
        value = bytes(int(v) & 0xFF for v in value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return str(value).replace("\0", "").strip()
