"""Table of the formats that can be read.

A new format is one module with a function ``read(path, request) -> Contents``, and a line here. The
function may raise any error about a damaged file; `temdenoise.io._failures` names the file.
"""

from importlib import import_module

from temdenoise.io._failures import UnsuitableFile

# Suffix -> module with the reader.
_READERS = {
    ".tif": "temdenoise.io._tiff",
    ".tiff": "temdenoise.io._tiff",
    ".npy": "temdenoise.io._npy",
    ".npz": "temdenoise.io._npz",
}

SUFFIXES = tuple(_READERS)
"""File name suffixes that `read_stack` can read."""


def reader_for(path):
    """Return the function that reads files with this suffix.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    read : callable
        ``read(path, request) -> Contents``.

    Raises
    ------
    UnsuitableFile
        If the format is unknown.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise UnsuitableFile(
            f"Cannot read {str(path)!r}: unknown format {suffix or 'without suffix'!r}. Known are "
            f"{', '.join(SUFFIXES)}; export other formats (.dm3, .dm4, .ser, .emd, ...) as TIFF."
        )
    return import_module(_READERS[suffix]).read
