"""Read and write stacks of images: TIFF (plain, ImageJ, OME) and NumPy files."""

import json
import os
import struct
import warnings
import zipfile
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from temdenoise._files import replacing
from temdenoise._lengths import check_pixel_size
from temdenoise._units import picometres
from temdenoise.images import ImageStack, pixel_size_of

SUFFIXES = (".tif", ".tiff", ".npy", ".npz")
"""File name suffixes that :func:`read_stack` can read."""

# Classic TIFF cannot address more than 4 GiB, and the ImageJ format is always classic.
_MAX_CLASSIC_TIFF = 2**32 - 2**25


def read_stack(path, *, mmap=False):
    """Read a stack of images.

    Parameters
    ----------
    path : str or path-like
        A ``.tif`` or ``.tiff`` file with one or more grey-scale pages (also ImageJ and OME), a
        ``.npy`` file, or a ``.npz`` file with one array or one named ``data``.
    mmap : bool, default=False
        Map the file into memory, read-only, if its format allows it (``.npy``, uncompressed TIFF).
        Only the images in use are then read. Other files are read completely.

    Returns
    -------
    stack : ImageStack of shape (n_images, height, width)
        The values as stored, in their dtype. A file with a single image gives ``n_images = 1``.
        ``stack.pixel_size`` is in pm, None if it is not in the file. ``stack.metadata`` is a dict:
        ``path`` (str), ``axes`` (str, axes of the file, for instance ``"TYX"``) and ``info``
        (dict, the ``metadata`` given to :func:`write_stack`, otherwise empty).

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the format is unknown, or the file is damaged, truncated or empty, or does not hold real
        grey-scale images on at most three axes, or its pixel size is not valid.

    Warns
    -----
    UserWarning
        If the pixels of the file are not square. Then no pixel size is returned.

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
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder, not a file; pass the files in it.")
    if suffix not in SUFFIXES:
        raise ValueError(
            f"Cannot read {str(path)!r}: unknown format {suffix or 'without suffix'!r}. Known are "
            f"{', '.join(SUFFIXES)}; export other formats (.dm3, .dm4, .ser, .emd, ...) as TIFF."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"{str(path)!r} is empty (0 bytes).")
    reader = _read_tiff if suffix in (".tif", ".tiff") else _read_numpy
    array, metadata = reader(path, mmap)
    stack = _as_stack(array, metadata.axes, path)
    said = {"path": str(path), "axes": metadata.axes, "info": metadata.info}
    return ImageStack(stack, metadata.pixel_size, said)


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
    options = {"photometric": "minisblack", "dtype": "<f4", "shape": shape}
    details = {"axes": "TYX"}
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


def _read_numpy(path, mmap):
    metadata = Bunch(pixel_size=None, axes=None, info={})
    is_array = path.suffix.lower() == ".npy"
    with open(path, "rb") as file:
        start = file.read(6)
    # NumPy treats any other file as a pickle, and its message advises an unsafe option.
    if not start.startswith(b"\x93NUMPY" if is_array else b"PK"):
        raise _damaged(path, f"it does not begin like a {path.suffix} file")
    try:
        if is_array:
            array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
        else:
            # The file is opened here, because np.load does not close a damaged file.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                names = archive.files
                name = "data" if "data" in names else names[0] if len(names) == 1 else None
                if name is None:
                    raise _Unsuitable(
                        f"{str(path)!r} holds {len(names)} arrays ({', '.join(names) or 'none'}). "
                        "Name the images 'data', or store them alone."
                    )
                array = archive[name]
                if "pixel_size" in names:
                    metadata.pixel_size = _stored_pixel_size(archive["pixel_size"], path)
    except _Unsuitable:
        raise
    except ValueError as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{str(path)!r} holds Python objects, which can run any code when they are read. "
                "Save the images as one array of numbers (all frames of one shape, no None)."
            ) from None
        raise _damaged(path, error) from error
    except (OSError, EOFError, TypeError, zipfile.BadZipFile, zipfile.error) as error:
        raise _damaged(path, error) from error
    metadata.axes = {2: "YX", 3: "TYX"}.get(array.ndim, "?" * array.ndim)
    return array, metadata


def _stored_pixel_size(value, path):
    try:
        return check_pixel_size(value.item())
    except (TypeError, ValueError):
        raise _Unsuitable(
            f"{str(path)!r} holds pixel_size = {value.tolist()!r}. Store one positive "
            "number, in pm, or leave it out."
        ) from None


def _read_tiff(path, mmap):
    import tifffile

    _check_page_chain(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            one_by_one = tiff.is_shaped and len(tiff.series) > 1
        # In tifffile's metadata, pages that were added one by one are separate series.
        with tifffile.TiffFile(path, **({"is_shaped": False} if one_by_one else {})) as tiff:
            series = _only_series(tiff, path)
            _check_data_is_there(series, path)
            metadata = Bunch(pixel_size=_pixel_size(tiff, path), axes=series.axes, info=_info(tiff))
            if mmap and series.dataoffset is not None:
                array = np.memmap(
                    path,
                    dtype=tiff.byteorder + series.dtype.char,
                    mode="r",
                    offset=series.dataoffset,
                    shape=series.shape,
                )
            else:
                array = series.asarray()
    except _Unsuitable:
        raise
    # A damaged file can raise any error, in the parser or in a decompressor.
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    return array, metadata


class _Unsuitable(ValueError):
    """The file is valid, but does not hold a stack of images."""


def _damaged(path, error):
    return ValueError(
        f"Cannot read {str(path)!r}: it is damaged, truncated or not what its suffix says "
        f"({error})."
    )


def _only_series(tiff, path):
    # Thumbnails and the reduced levels of a pyramid are not separate images.
    series = [s for s in tiff.series if s.shape and not s.keyframe.is_reduced]
    if not series:
        raise _Unsuitable(f"{str(path)!r} holds no image.")
    if len(series) > 1:
        shapes = ", ".join(str(s.shape) for s in series[:4])
        raise _Unsuitable(
            f"{str(path)!r} holds {len(series)} image series (shapes {shapes}). Store the series "
            "to read in a separate file."
        )
    return series[0]


def _check_page_chain(path):
    """Follow the chain of TIFF directories to its end.

    Most readers read a file that was cut off between two pages as a shorter file. Here it is an
    error. The data of each page are checked elsewhere.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise _damaged(path, "no TIFF header")
        version = struct.unpack(order + "H", head[2:4])[0]
        if version == 42:
            offset_format, count_format, entry = order + "I", order + "H", 12
            offset = struct.unpack(offset_format, head[4:8])[0]
        elif version == 43 and len(head) == 16:
            offset_format, count_format, entry = order + "Q", order + "Q", 20
            offset = struct.unpack(offset_format, head[8:16])[0]
        else:
            raise _damaged(path, "no TIFF header")
        seen = set()
        while offset:
            if offset >= size:
                raise _damaged(path, f"page {len(seen)} lies beyond the end of the file")
            if offset in seen:
                raise _damaged(path, "its pages form a loop")
            seen.add(offset)
            file.seek(offset)
            count = _unpack(count_format, file, path)
            file.seek(count * entry, os.SEEK_CUR)
            offset = _unpack(offset_format, file, path)


def _unpack(fmt, file, path):
    data = file.read(struct.calcsize(fmt))
    if len(data) < struct.calcsize(fmt):
        raise _damaged(path, "it ends within a page")
    return struct.unpack(fmt, data)[0]


def _check_data_is_there(series, path):
    size = path.stat().st_size
    if series.dataoffset is not None:
        end = series.dataoffset + series.nbytes
        if end > size:
            raise _damaged(path, f"{end - size} bytes are missing")
        return
    for number, page in enumerate(series.pages):
        if page is None or any(
            offset + count > size
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise _damaged(path, f"the data of page {number} is missing")


def _info(tiff):
    text = None
    if tiff.is_imagej:
        text = (tiff.imagej_metadata or {}).get("Info")
    elif tiff.is_ome and tiff.ome_metadata:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(tiff.ome_metadata)
        text = next((e.text for e in root.iter() if e.tag.endswith("}Description")), None)
    try:
        info = json.loads(text) if text else {}
    except (json.JSONDecodeError, TypeError):
        return {}  # free text by another program
    return info if isinstance(info, dict) else {}


def _pixel_size(tiff, path):
    """Pixel size in pm, or None if the file has no plausible one."""
    x, y = _ome_pixel_size(tiff) if tiff.is_ome else _tag_pixel_size(tiff)
    if x is None or y is None:
        return None
    if abs(x - y) > 0.005 * max(x, y):
        warnings.warn(
            f"The pixels of {str(path)!r} are not square ({x:.4g} x {y:.4g} pm), so its pixel size "
            "is not used. Give the pixel size, or resample the images.",
            UserWarning,
            stacklevel=4,
        )
        return None
    return x


def _tag_pixel_size(tiff):
    tags = tiff.pages[0].tags
    unit = (tiff.imagej_metadata or {}).get("unit") if tiff.is_imagej else None
    scale = picometres(unit) if unit else None
    if scale is None:
        # RESUNIT 2: inch, 3: cm. Almost every program writes a printing resolution here (72 dpi is
        # 0.35 mm per pixel). Only values far finer than any printer can describe the specimen.
        code = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1
        scale = {2: 2.54e10, 3: 1e10}.get(code)
        if scale is None or unit:
            return None, None
        limit = 1e6
    else:
        limit = np.inf
    sizes = []
    for name in ("XResolution", "YResolution"):
        numerator, denominator = tags[name].value if name in tags else (0, 1)
        size = scale * denominator / numerator if numerator else 0
        sizes.append(size if 0 < size < limit else None)
    return sizes


def _ome_pixel_size(tiff):
    from xml.etree import ElementTree

    root = ElementTree.fromstring(tiff.ome_metadata)
    pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
    sizes = []
    for axis in "XY":
        value = None if pixels is None else pixels.get(f"PhysicalSize{axis}")
        unit = "µm" if pixels is None else pixels.get(f"PhysicalSize{axis}Unit", "µm")
        scale = picometres(unit)
        known = value and scale and 0 < float(value) < np.inf
        sizes.append(float(value) * scale if known else None)
    return sizes


def _as_stack(array, axes, path):
    name = repr(str(path))
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} holds dtype {array.dtype}, but images must be real numbers.")
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
        raise ValueError(
            f"{name} holds colour images (axes {axes}, shape {array.shape}), but electron counts "
            f"have no colour. {mend}"
        )
    if array.size == 0:
        raise ValueError(f"{name} holds no image: its shape is {array.shape}.")
    shape = array.shape
    while array.ndim > 3 and 1 in array.shape[:-2]:
        array = array.squeeze(axis=array.shape[:-2].index(1))
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise ValueError(
            f"{name} has shape {shape} (axes {axes}); expected one image (height, width) or a "
            "stack (n_images, height, width)."
        )
    return array
