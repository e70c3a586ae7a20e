"""Read ``.npy`` files."""

import numpy as np

from temdenoise.io._failures import UnsuitableFile, damaged
from temdenoise.io._request import Contents

AXES = {2: "YX", 3: "TYX"}


def read(path, request):
    """Read a ``.npy`` file; see `temdenoise.io._formats`."""
    request.choose(path, {path.stem: "the array"})
    size = path.stat().st_size
    with open(path, "rb") as file:
        shape, fortran, dtype, n_bytes = read_header(file, path)
        offset = file.tell()
        if offset + n_bytes > size:
            raise damaged(path, f"{offset + n_bytes - size} bytes are missing")
        if request.mmap and n_bytes:
            order = "F" if fortran else "C"
            array = np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)
        else:
            array = np.empty(n_bytes, np.uint8)
            if file.readinto(array) != n_bytes:
                raise damaged(path, "it ends too early")
            array = arranged(array, shape, fortran, dtype)
    return Contents(array, AXES.get(len(shape), "?" * len(shape)))


def read_header(file, path):
    """Shape, order, dtype and size in bytes of the array that follows in an open file.

    Parameters
    ----------
    file : binary file
        At the beginning of the array; afterwards at its values.
    path : pathlib.Path
        For messages.

    Returns
    -------
    shape : tuple of int
    fortran : bool
        Whether the first axis varies fastest.
    dtype : numpy.dtype
    n_bytes : int

    Raises
    ------
    UnsuitableFile
        If the header is damaged, or the array holds Python objects.
    """
    # NumPy's own reader takes any other file for a pickle.
    if file.read(6) != b"\x93NUMPY":
        raise damaged(path, "it does not begin like a NumPy array")
    version = tuple(file.read(2))
    formats = np.lib.format
    readers = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
    if version not in readers:
        raise damaged(path, f"version {version} of the format is unknown")
    try:
        shape, fortran, dtype = readers[version](file)
    except MemoryError as error:  # of Python's parser, for deeply nested brackets
        raise damaged(path, "its header cannot be parsed") from error
    if dtype.hasobject:
        raise UnsuitableFile(
            f"{str(path)!r} holds Python objects, which can run any code when they are read. "
            "Save the images as one array of numbers (all frames of one shape, no None)."
        )
    n_bytes = dtype.itemsize
    for n in shape:
        if n < 0:
            raise damaged(path, f"its shape is {shape}")
        n_bytes *= int(n)
    return shape, fortran, dtype, n_bytes


def arranged(raw, shape, fortran, dtype):
    """Array of this shape on the memory of its bytes.

    Parameters
    ----------
    raw : ndarray of uint8
        The bytes.
    shape, fortran, dtype
        From `read_header`.

    Returns
    -------
    array : ndarray
    """
    if dtype.itemsize == 0:  # empty strings
        return np.empty(shape, dtype)
    return raw.view(dtype).reshape(shape, order="F" if fortran else "C")
