"""Read ``.npz`` files."""

import zipfile

import numpy as np

from temdenoise._lengths import check_pixel_size
from temdenoise.io._failures import UnsuitableFile, damaged, failures_of
from temdenoise.io._npy import AXES, arranged, read_header
from temdenoise.io._request import LARGEST_PIXEL, Contents, Request

_SUFFIX = ".npy"
_CHUNK = 2**20


def read(path, request):
    """Read a ``.npz`` file; see `temdenoise.io._formats`."""
    with _opened(path) as archive:
        members = _members(archive)
        name = _choose(path, list(members), request)
        array = _read_member(archive, members[name], path, request)
        pixel_size = None
        if "pixel_size" in members and name != "pixel_size":
            value = _read_member(archive, members["pixel_size"], path, request)
            pixel_size = _checked_pixel_size(value, path)
    return Contents(array, AXES.get(array.ndim, "?" * array.ndim), pixel_size)


def read_array(path, name):
    """Read one array of a ``.npz`` file by its name.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    name : str
        Name of the array.

    Returns
    -------
    array : ndarray or None
        None if the file has no array of this name.

    Raises
    ------
    ValueError
        If the file is damaged, or the array holds Python objects.
    OSError
        If the file cannot be opened.
    """
    with failures_of(path), _opened(path) as archive:
        members = _members(archive)
        return _read_member(archive, members[name], path, Request()) if name in members else None


def _opened(path):
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise damaged(path, "it does not begin like a .npz file")
    return zipfile.ZipFile(path)


def _members(archive):
    entries = archive.infolist()
    return {
        entry.filename.removesuffix(_SUFFIX): entry
        for entry in entries
        if entry.filename.endswith(_SUFFIX)
    }


def _choose(path, names, request):
    if request.series is not None or len(names) == 1:
        return names[request.choose(path, {name: repr(name) for name in names})]
    if "data" in names:
        return "data"
    raise UnsuitableFile(
        f"{str(path)!r} holds {len(names)} arrays ({', '.join(names) or 'none'}). "
        "Name the images 'data', store them alone, or choose them with series='NAME' (--series)."
    )


def _read_member(archive, entry, path, request):
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(path, f"{entry.filename!r} is compressed as NumPy does not do it")
    with archive.open(entry) as file:
        shape, fortran, dtype, n_bytes = read_header(file, path)
        if n_bytes > entry.file_size:
            raise damaged(path, f"{entry.filename!r} is shorter than its header says")
        request.check_size(path, n_bytes, path.stat().st_size)
        raw = np.empty(n_bytes, np.uint8)
        done = 0
        while done < n_bytes:
            chunk = file.read(min(_CHUNK, n_bytes - done))
            if not chunk:
                raise damaged(path, f"{entry.filename!r} ends too early")
            raw[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        # At the end of an entry zipfile compares its checksum.
        if file.read(1):
            raise damaged(path, f"{entry.filename!r} is longer than its header says")
    return arranged(raw, shape, fortran, dtype)


def _checked_pixel_size(value, path):
    try:
        pixel_size = check_pixel_size(value.item())
        if pixel_size < LARGEST_PIXEL:
            return pixel_size
    except (TypeError, ValueError):
        pass
    shown = value.tolist() if value.size < 9 else f"an array of shape {value.shape}"
    raise UnsuitableFile(
        f"{str(path)!r} holds pixel_size = {shown!r}. Store one positive number, in pm, or "
        "leave it out."
    )
