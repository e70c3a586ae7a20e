"""The calibration function of ImageJ files: what stored grey values mean."""

import numpy as np

from temdenoise.io._failures import UnsuitableFile

_STRAIGHT_LINE = 0
_NONE = 20  # ImageJ's codes; 21 is an optical density that was not calibrated


def calibrated(array, metadata, path, notes):
    """Apply the straight line that an ImageJ file gives for its grey values.

    ImageJ stores signed 16-bit images with 32768 added, and the line that subtracts it. It
    calibrates 8-bit and 16-bit images only, and so does this function.

    Parameters
    ----------
    array : ndarray
        Values as stored.
    metadata : dict
        What the header says: ``cf``, the kind of function, and its coefficients ``c0``, ``c1``, ...
    path : pathlib.Path
        For messages.
    notes : list of str
        Gets a warning if the function is of another kind.

    Returns
    -------
    array : ndarray
        int16 for signed 16-bit images, int32 where only a whole number is added, float32 otherwise.
    calibration : dict or None
        ``offset``, ``slope`` and ``unit`` of the line that was applied.

    Raises
    ------
    UnsuitableFile
        If the line is not valid.
    """
    metadata = metadata or {}
    kind = metadata.get("cf", _NONE)
    if kind == _NONE or array.dtype.kind != "u" or array.dtype.itemsize > 2:
        return array, None
    unit = str(metadata.get("vunit", ""))
    if kind != _STRAIGHT_LINE:
        notes.append(
            f"{str(path)!r} has a calibration function that is no straight line (ImageJ's number "
            f"{kind}). It is not applied: the values are those stored."
        )
        return array, None
    try:
        offset, slope = float(metadata["c0"]), float(metadata["c1"])
        valid = np.isfinite([offset, slope]).all() and slope != 0
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        raise UnsuitableFile(
            f"{str(path)!r} has a calibration function that is not valid: c0 = "
            f"{metadata.get('c0')!r}, c1 = {metadata.get('c1')!r}. Correct or remove it in ImageJ "
            "(Analyze > Calibrate)."
        )
    calibration = {"offset": offset, "slope": slope, "unit": unit}
    if (offset, slope) == (0, 1):
        return array, None
    if slope == 1 and offset == -(2**15) and array.dtype.itemsize == 2:
        # Subtracting 2**15 turns the highest bit over.
        native = array.astype(np.uint16)
        native ^= np.uint16(2**15)
        return native.view(np.int16), calibration
    if slope == 1 and offset.is_integer() and abs(offset) < 2**30:
        return array.astype(np.int32) + np.int32(offset), calibration
    return (array * slope + offset).astype(np.float32), calibration
