"""Look at the structure of a TIFF file before a library parses it."""

import struct
from xml.etree import ElementTree

from temdenoise.io._failures import UnsuitableFile, damaged

# More planes along a modulo axis than any instrument records.
_MOST_LABELS = 10**6
# Bytes of the types of TIFF's tags.
_TYPE_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1))
_TYPE_SIZES |= {16: 8, 17: 8, 18: 8}
_FIRST_PRIVATE = 32768


def check_page_chain(path):
    """Follow the chain of TIFF directories to its end.

    Most readers read a file that was cut off between two pages as a shorter file. Here it is an
    error. The data of each page are checked elsewhere.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    UnsuitableFile
        If a directory lies outside the file, or the chain is a loop.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise damaged(path, "no TIFF header")
        version = struct.unpack(order + "H", head[2:4])[0]
        if version == 42:
            offset_format, count_format, entry = order + "I", order + "H", 12
            offset = struct.unpack(offset_format, head[4:8])[0]
        elif version == 43 and len(head) == 16:
            offset_format, count_format, entry = order + "Q", order + "Q", 20
            offset = struct.unpack(offset_format, head[8:16])[0]
        else:
            raise damaged(path, "no TIFF header")
        if offset == 0:
            raise damaged(path, "it has no page")
        seen = set()
        while offset:
            if offset >= size:
                raise damaged(path, f"page {len(seen)} lies beyond the end of the file")
            if offset in seen:
                raise damaged(path, "its pages form a loop")
            seen.add(offset)
            file.seek(offset)
            n_bytes = _unpack(count_format, file, path) * entry
            if n_bytes > size:  # also more than a file can be long
                raise damaged(path, f"page {len(seen) - 1} has an impossible number of tags")
            _check_values(file.read(n_bytes), order, offset_format, size, len(seen) - 1, path)
            offset = _unpack(offset_format, file, path)


def _check_values(entries, order, offset_format, size, page, path):
    """Check that the values of the tags of a page lie in the file."""
    entry = struct.Struct(f"{order}HH{offset_format[1]}{offset_format[1]}")
    inline = struct.calcsize(offset_format)
    whole = len(entries) - len(entries) % entry.size
    for tag, kind, count, place in entry.iter_unpack(entries[:whole]):
        n_bytes = count * _TYPE_SIZES.get(kind, 0)
        # Some programs leave private tags behind that lead nowhere; they are not needed.
        if tag < _FIRST_PRIVATE and n_bytes > inline and place + n_bytes > size:
            raise damaged(path, f"tag {tag} of page {page} lies beyond the end of the file")


def _unpack(fmt, file, path):
    data = file.read(struct.calcsize(fmt))
    if len(data) < struct.calcsize(fmt):
        raise damaged(path, "it ends within a page")
    return struct.unpack(fmt, data)[0]


def check_ome(text, path):
    """Check the names of other files, and the numbers of planes, in OME-XML.

    An OME-TIFF can be one of several files that belong together. Only files beside it are read.

    Parameters
    ----------
    text : str
        The XML.
    path : pathlib.Path
        The file that holds it.

    Raises
    ------
    UnsuitableFile
        If another folder is named, a file is missing or damaged, or the numbers are impossible.
    """
    root = ElementTree.fromstring(text)
    names = {
        element.get("FileName", "")
        for element in root.iter()
        if element.tag.endswith("UUID") and element.text != root.get("UUID")
    }
    size = path.stat().st_size
    for name in sorted(names):
        if name in ("", ".", "..") or any(mark in name for mark in "/\\:\0"):
            raise UnsuitableFile(
                f"{str(path)!r} names the file {name!r} as a part of it. Only files in the same "
                "folder are read. Put all parts into one folder, or save the images as one file."
            )
        if name.lower() == path.name.lower():
            continue
        part = path.with_name(name)
        if not part.is_file():
            raise UnsuitableFile(
                f"{str(path)!r} is one file of several, and {name!r} is not beside it. Put all "
                "parts into one folder, or save the images as one file."
            )
        check_page_chain(part)
        size += part.stat().st_size
    for element in root.iter():
        n_planes = 1
        if element.tag.endswith("}Pixels"):
            for axis in "ZCT":
                n_planes *= int(element.get(f"Size{axis}", 1))
        elif element.tag.endswith("}TiffData"):
            n_planes = max(int(element.get(name, 1)) for name in ("NumPlanes", "PlaneCount"))
        elif element.tag[:-1].endswith("Along") and "Start" in element.attrib:
            span = float(element.get("End")) - float(element.get("Start"))
            if not abs(span / float(element.get("Step", 1))) < _MOST_LABELS:
                raise damaged(path, "its OME-XML announces an impossible number of planes")
        # Each plane takes more than a byte of the file.
        if n_planes > size:
            raise damaged(path, f"its OME-XML announces {n_planes} planes")
