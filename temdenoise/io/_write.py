"""Write a stack of images."""

import json
from itertools import chain
from pathlib import Path

import numpy as np

from temdenoise._files import replacing
from temdenoise._lengths import check_pixel_size
from temdenoise.images import pixel_size_of

# Classic TIFF cannot address more than 4 GiB, and the ImageJ format is always classic.
_MAX_CLASSIC_TIFF = 2**32 - 2**25


def write_stack(path, stack, *, pixel_size=None, overwrite=False, metadata=None, shape=None):
    """Write a stack of images as float32.

    The file is written under a temporary name in the same folder, and renamed when it is complete.
    If writing fails, no file is left, and an older file is not changed.

    Parameters
    ----------
    path : str or path-like
        ``.tif`` or ``.tiff``: ImageJ TIFF, or OME-BigTIFF if larger than 4 GiB, with a pixel size
        that ImageJ can read. ``.npy``: the array alone, without pixel size and metadata. The folder
        must exist.
    stack : array-like of shape (n_images, height, width), or iterable of images
        Real numbers. With an iterator of images (and ``shape``), one image at a time is in memory.
    pixel_size : float, optional
        Pixel size in pm. By default that of the stack, if it knows one.
    overwrite : bool, default=False
        Replace an existing file.
    metadata : dict, optional
        Any content that JSON can hold, for TIFF only. :func:`read_stack` returns it as
        ``metadata["info"]``. The metadata of the stack are not written.
    shape : tuple (n_images, height, width), optional
        Needed if ``stack`` is an iterator, which has no shape.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the format is unknown, the stack does not have three axes, is empty, complex or textual,
        has a value too large for float32, or if the images of an iterator do not agree with
        ``shape``, or if the pixel size is not positive and finite.
    TypeError
        If the pixel size is not a number.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from temdenoise import write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "denoised.npy"
    ...     write_stack(path, (np.full((8, 8), k) for k in range(3)), shape=(3, 8, 8))
    ...     np.load(path).shape
    (3, 8, 8)
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    pixel_size = pixel_size_of(stack) if pixel_size is None else check_pixel_size(pixel_size)
    info = json.dumps(metadata) if metadata else None  # before any file is opened
    if shape is None:
        if not hasattr(stack, "__len__"):
            raise ValueError(
                "Pass shape=(n_images, height, width) together with an iterator of images."
            )
        stack = stack if hasattr(stack, "shape") else np.asarray(stack)
        shape = stack.shape
    shape = tuple(int(n) for n in shape)
    if len(shape) != 3 or 0 in shape:
        mend = " For one image pass image[np.newaxis]." if len(shape) == 2 else ""
        raise ValueError(
            "Expected a non-empty stack of shape (n_images, height, width), got shape "
            f"{shape}.{mend}"
        )
    images = _checked_images(stack, shape)
    with replacing(path) as file:
        if path.suffix.lower() == ".npy":
            _write_npy(file, images, shape)
        else:
            _write_tiff(file, images, shape, pixel_size, info)


def check_output(path, *, overwrite=False):
    """Check that a stack can be written to a path, before it is computed.

    Parameters
    ----------
    path : str or path-like
        The output file.
    overwrite : bool, default=False
        Whether the file may exist.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        As :func:`write_stack` does.
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff", ".npy"):
        raise ValueError(
            f"Cannot write {str(path)!r}: choose a name that ends in .tif, .tiff or .npy."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}; make it first.")
    if path.is_dir():
        raise FileExistsError(f"{str(path)!r} is a folder; choose another name.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists already; choose another name, or overwrite=True (--overwrite)."
        )


def _checked_images(stack, shape):
    """Yield the images as float32; refuse values that float32 cannot hold."""
    count = 0
    for count, image in enumerate(stack, start=1):
        image = np.asarray(image)
        if image.dtype.kind not in "buif":
            raise ValueError(f"Expected real numbers, got dtype {image.dtype}.")
        if image.shape != shape[1:] or count > shape[0]:
            raise ValueError(
                f"Image {count - 1} of shape {image.shape} does not fit a stack of shape {shape}."
            )
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(image, dtype="<f4")
        if np.isinf(single).any() and not np.isinf(image).any():
            raise ValueError(f"Image {count - 1} holds values too large for float32.")
        yield single
    if count != shape[0]:
        raise ValueError(f"Expected {shape[0]} images, got {count}.")


def _write_npy(file, images, shape):
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for image in images:
        file.write(image.tobytes())


def _write_tiff(file, images, shape, pixel_size, info):
    import tifffile

    big = 4 * int(np.prod(shape, dtype=np.int64)) > _MAX_CLASSIC_TIFF
    # All axes are named: a last axis of length 1 would be taken for a colour.
    n_images, height, width = shape
    if big:
        full, axes = (n_images, 1, 1, height, width), "TZCYX"
    else:
        full, axes = (n_images, 1, 1, height, width, 1), "TZCYXS"
    options = {"photometric": "minisblack", "dtype": "<f4", "shape": full}
    details = {"axes": axes}
    if big:
        if pixel_size:
            details |= {"PhysicalSizeX": pixel_size, "PhysicalSizeXUnit": "pm"}
            details |= {"PhysicalSizeY": pixel_size, "PhysicalSizeYUnit": "pm"}
        if info:
            details["Description"] = info
    else:
        if pixel_size:
            per_nm = 1e3 / pixel_size
            options["resolution"] = (per_nm, per_nm)
            details["unit"] = "nm"
        if info:
            details["Info"] = info
    # The first image is computed before tifffile starts to write, so that an error in the
    # computation of the images is raised unchanged.
    images = chain([next(images)], images)
    with tifffile.TiffWriter(file, bigtiff=big, imagej=not big, ome=big) as tiff:
        tiff.write(images, metadata=details, **options)
    # tifffile takes only as many images as the shape says. This checks that there are no more.
    for _ in images:
        pass
