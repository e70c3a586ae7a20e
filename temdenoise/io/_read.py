"""Read a stack of images from a file of any known format."""

import warnings
from pathlib import Path

import numpy as np

from temdenoise.images import ImageStack
from temdenoise.io._failures import UnsuitableFile, failures_of
from temdenoise.io._formats import reader_for
from temdenoise.io._request import Request


def read_stack(path, *, mmap=False, series=None, max_bytes=None):
    """Read a stack of images.

    Parameters
    ----------
    path : str or path-like
        A ``.tif`` or ``.tiff`` file with one or more grey-scale pages (also ImageJ, OME and
        DigitalMicrograph), a ``.npy`` file, or a ``.npz`` file with one array or one named
        ``data``.
    mmap : bool, default=False
        Map the file into memory, read-only, if its format allows it (``.npy``, uncompressed TIFF).
        Only the images in use are then read. Other files are read completely.
    series : int or str, optional
        Which images to read from a file that holds several sets of them: the place (from 0) or the
        name of a series of a TIFF, or of an array in a ``.npz`` file. By default the only series
        that is neither a colour picture, a mask nor a reduced copy.
    max_bytes : float, optional
        Largest size in memory of values that are stored compressed, in bytes. By default 128 MiB
        or 100 times the size of the file, whichever is larger. A damaged or hostile file can
        announce any size.

    Returns
    -------
    stack : ImageStack of shape (n_images, height, width)
        The values as stored, in their dtype, except where an ImageJ file says that they are to be
        converted by a straight line (signed 16-bit images are stored with 32768 added). A file with
        a single image gives ``n_images = 1``. ``stack.pixel_size`` is in pm, None if it is not in
        the file. ``stack.metadata`` is a dict: ``path`` (str), ``axes`` (str, axes of the file, for
        instance ``"TYX"``), ``info`` (dict, the ``metadata`` given to :func:`write_stack`,
        otherwise empty), ``series`` (int, of a file with several) and ``calibration`` (dict, the
        straight line of an ImageJ file: ``offset``, ``slope``, ``unit``).

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        If the file does not exist, may not be read, or the disk fails.
    ValueError
        If the format is unknown, or the file is damaged, truncated or empty, would take too much
        memory, holds several series and none is chosen, or does not hold real grey-scale images on
        at most three axes. A ``.npz`` file is also refused for a pixel size that is not valid.

    Warns
    -----
    UserWarning
        If the pixels of the file are not square, if its scale is not a length (as 1/nm of a
        diffraction pattern) or is impossible, or if its calibration function is not a straight
        line. Then no pixel size is returned, or the values are those stored.

    Notes
    -----
    A file can harm nothing but itself: no file outside its folder is opened, no Python object is
    unpacked, and no memory is taken that is out of proportion to its size.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from temdenoise import read_stack, write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "movie.tif"
    ...     write_stack(path, np.ones((4, 32, 48)), pixel_size=6.22)
    ...     stack = read_stack(path)
    >>> stack.shape, stack.dtype, round(stack.pixel_size, 4)
    ((4, 32, 48), dtype('float32'), 6.22)
    """
    request = Request(mmap, series, max_bytes)
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder, not a file; pass the files in it.")
    with failures_of(path):
        read = reader_for(path)
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is a pipe or a device, not a file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{str(path)!r} is empty (0 bytes).")
    with failures_of(path):
        contents = read(path, request)
        stack = _as_stack(contents.array, contents.axes, path)
    for note in contents.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    said = {"path": str(path), "axes": contents.axes, "info": contents.info, **contents.details}
    return ImageStack(stack, contents.pixel_size, said)


def _as_stack(array, axes, path):
    name = repr(str(path))
    if array.dtype.kind not in "buif":
        raise UnsuitableFile(f"{name} holds dtype {array.dtype}, but images must be real numbers.")
    if "S" in axes:
        mend = "Save it as a grey-scale image without a look-up table."
        if array.ndim == 3 and axes.startswith("S"):  # planes one after the other
            mend = (
                f"If these are {len(array)} frames, stored as colours by mistake, save them with "
                "tifffile.imwrite(path, frames, photometric='minisblack')."
            )
        elif array.ndim == 3:
            mend += (
                f" If the {array.shape[-1]} colours are frames, move them to the front "
                "(np.moveaxis(array, -1, 0)) and save them with photometric='minisblack'."
            )
        raise UnsuitableFile(
            f"{name} holds colour images (axes {axes}, shape {array.shape}), but electron counts "
            f"have no colour. {mend}"
        )
    if array.size == 0:
        raise UnsuitableFile(f"{name} holds no image: its shape is {array.shape}.")
    shape = array.shape
    while array.ndim > 3 and 1 in array.shape[:-2]:
        array = array.squeeze(axis=array.shape[:-2].index(1))
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise UnsuitableFile(
            f"{name} has shape {shape} (axes {axes}); expected one image (height, width) or a "
            "stack (n_images, height, width)."
        )
    return array
