"""Unpack archives from untrusted sources safely."""

import errno
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib

from temdenoise._files import naming

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# Errors of the readers of zip and tar files for damaged files.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    NotImplementedError,  # a compression that Python does not know
)


def is_archive(name):
    """Whether a file is an archive that `unpack` reads, by its suffix.

    Parameters
    ----------
    name : str or path-like
        Name of the file.

    Returns
    -------
    bool

    Examples
    --------
    >>> from temdenoise.datasets._unpack import is_archive
    >>> is_archive("1.ZIP"), is_archive("train_white.csv")
    (True, False)
    """
    return str(name).lower().endswith(SUFFIXES)


def safe_parts(name, source):
    """Split a relative path into its parts, refusing one that leads out of its folder.

    Parameters
    ----------
    name : str
        Path with slashes or backslashes, from an archive or a registry.
    source : str
        Origin of the path, for the error message.

    Returns
    -------
    tuple of str
        At least one part, none of them ``..``.

    Raises
    ------
    ValueError
        If the path is absolute, names a drive, holds ``..`` or is empty.

    Examples
    --------
    >>> from temdenoise.datasets._unpack import safe_parts
    >>> safe_parts("1/image.tif", "1.zip")
    ('1', 'image.tif')
    >>> safe_parts("../image.tif", "1.zip")
    Traceback (most recent call last):
    ...
    ValueError: 1.zip holds the unsafe path '../image.tif', ...
    """
    path = name.replace("\\", "/")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    escapes = path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in parts
    if escapes or not parts or "\0" in path:
        raise ValueError(
            f"{source} holds the unsafe path {name!r}, which leads out of its folder. Nothing was "
            "unpacked; do not use this source."
        )
    return parts


def unpack(archive, folder, *, max_size):
    """Unpack a zip or tar archive into a new folder, completely or not at all.

    Every member is checked before anything is written. Files that macOS adds are left out.

    Parameters
    ----------
    archive : pathlib.Path
        The archive.
    folder : pathlib.Path
        Folder to make; its parent must exist.
    max_size : int
        Largest total size of the unpacked files, in bytes.

    Returns
    -------
    list of tuple of str
        The unpacked files, as parts of their path below `folder`.

    Raises
    ------
    ValueError
        If the archive is damaged or encrypted, if a member would be written outside the folder, is
        listed twice or is neither a file nor a folder, or if the files exceed `max_size`.
    OSError
        If the disk is full. Nothing is left then.
    """
    folder.mkdir()
    try:
        with _open(archive) as opened:
            members = _checked_members(opened, archive.name, max_size)
            _check_space(folder, sum(size for _, size, _ in members.values()), archive.name)
            for parts, (_, _, read) in members.items():
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with naming(target), read() as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file, 2**20)
        return list(members)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        # The readers of gzip and bzip2 report damage as an OSError that has no number.
        if isinstance(error, _DAMAGE) or (isinstance(error, OSError) and error.errno is None):
            raise ValueError(
                f"Cannot unpack {archive.name!r}: it is damaged or not what its suffix says "
                f"({error})."
            ) from error
        raise


def _open(archive):
    if archive.name.lower().endswith(".zip"):
        return zipfile.ZipFile(archive)
    return tarfile.open(archive)


def _checked_members(opened, name, max_size):
    """Files of an archive: {parts: (name, size in bytes, function that opens it)}."""
    read = _zip_members if isinstance(opened, zipfile.ZipFile) else _tar_members
    members, total = {}, 0
    for member, is_file, size, opener in read(opened, name):
        parts = safe_parts(member, f"The archive {name!r}")
        if not is_file or parts[0] == "__MACOSX" or parts[-1].startswith("._"):
            continue
        if parts in members:
            raise ValueError(f"The archive {name!r} lists {member!r} twice; nothing was unpacked.")
        total += size
        # This is checked at every member, because the search for the next member of a compressed
        # tar file decompresses the current one.
        if total > max_size:
            raise ValueError(
                f"The archive {name!r} unpacks to more than {max_size / 1e9:.3g} GB; nothing was "
                "unpacked. If you expect this size, raise max_unpacked_size."
            )
        members[parts] = (member, size, opener)
    return members


def _zip_members(opened, name):
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archiver did not store it
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _special(name, info.filename)
        if info.flag_bits & 0x1:
            raise ValueError(
                f"The archive {name!r} is encrypted ({info.filename!r}); unpack it yourself and "
                "pass the folder as data_home."
            )
        yield info.filename, not info.is_dir(), info.file_size, lambda i=info: opened.open(i)


def _tar_members(opened, name):
    for info in opened:
        if info.isdir() and info.name in (".", "./"):
            continue  # the first member that `tar -c .` writes
        if not (info.isreg() or info.isdir()):
            raise _special(name, info.name)
        yield info.name, info.isreg(), info.size, lambda i=info: opened.extractfile(i)


def _special(name, member):
    return ValueError(
        f"The archive {name!r} holds {member!r}, which is a link or a device, not a file; nothing "
        "was unpacked. Do not use this source."
    )


def _check_space(folder, size, name):
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"Unpacking {name!r} needs {size / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free. "
            "Make room, or choose another data_home",
            os.fspath(folder.parent),
        )
