"""A stack of images on disk. An interrupted run can continue it."""

import errno
import json
import os
import shutil
import zlib
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: two runs on the same file are not detected there
    fcntl = None


class StackStore(ABC):
    """Images written group by group, with a journal of the finished groups.

    An incomplete stack is in ``OUT.part``, and the journal in ``OUT.journal``. After the last group
    the stack gets its name. The first line of the journal identifies the stack. Each further line
    names one group and the check sum of its images, and is written when these are on the disk. A
    killed run can leave images without a line, or half a line. Such groups are made again.

    Parameters
    ----------
    out : str or Path
        File ending in ``.npy`` or folder ending in ``.zarr``.
    shape : tuple of int
        (n_images, height, width), float32.
    groups : sequence of (int, int)
        First image and number of images of each group.
    identity : dict
        Everything on which the images depend, in a form for JSON. A stack begun with another
        identity is refused.
    decisive : sequence of str, optional
        Names in `identity` that identify the images: a stack that agrees in these (and in shape) is
        the same. The others only explain a refusal. By default all names.
    """

    def __init__(self, out, shape, groups, identity, decisive=None):
        self.out = check_out(out)
        self.shape, self.groups = tuple(int(n) for n in shape), groups
        self.part = self.out.with_name(self.out.name + ".part")
        self.journal = self.out.with_name(self.out.name + ".journal")
        self._header = identity | {"shape": list(self.shape), "dtype": "float32"}
        self._decisive = None if decisive is None else {*decisive, "shape", "dtype"}
        self._lock = None

    def __enter__(self):
        """Open or begin the stack; `done` are its finished groups."""
        if self.out.exists() and not self.journal.exists():
            raise FileExistsError(
                f"{str(self.out)!r} exists but has no journal. It was not begun by this "
                "function, or its journal is lost. Remove it or choose another name."
            )
        with _explained(self.out, self._missing_bytes(set())):
            self._lock = self.journal.open("a+b", buffering=0)
        locked = False
        try:
            self._exclude_others()
            locked = True
            self.done = self._read_journal()
            if not self.complete:
                with _explained(self.out, self._missing_bytes(self.done)):
                    self._check_space()
                    self._open_images()
                    self.done = {g for g in self.done if self._is_whole(g)}
                    if self._lock.tell() == 0:
                        self._append(self._header)
        except BaseException:
            if locked and os.fstat(self._lock.fileno()).st_size == 0:
                self.journal.unlink()  # nothing was begun
            self._close()
            raise
        return self

    def __exit__(self, kind, value, traceback):
        self._close()

    @property
    def complete(self):
        """Whether the stack is finished and has its final name."""
        return self.out.exists()

    def write(self, group, images):
        """Store the images of a group, then add the group to the journal."""
        start, n = self.groups[group]
        if images.shape != (n, *self.shape[1:]) or images.dtype != np.float32:
            raise ValueError(f"Group {group} holds {images.shape} {images.dtype}.")
        with _explained(self.out, self._missing_bytes(self.done)):
            self._put(start, images)
            self._append({"group": int(group), "crc32": zlib.crc32(np.ascontiguousarray(images))})
        self.done.add(group)

    def finish(self):
        """Give the complete stack its name."""
        missing = set(range(len(self.groups))) - self.done
        if missing:
            raise RuntimeError(f"{len(missing)} groups of {str(self.out)!r} are not done.")
        with _explained(self.out, 0):
            self._close_images()
            os.replace(self.part, self.out)
            _sync_folder(self.out.parent)

    @abstractmethod
    def load(self):
        """Return the finished stack, read-only, not read into memory."""

    # --- journal ----------------------------------------------------------------------------------

    def _exclude_others(self):
        if fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"Another run is writing {str(self.out)!r}; wait for it or choose another name."
            ) from None

    def _read_journal(self):
        """Return the groups in the journal; remove an incomplete last line."""
        self._lock.seek(0)
        text = self._lock.read()
        end = text.rfind(b"\n") + 1
        try:
            lines = [json.loads(line) for line in text[:end].splitlines()]
            self._sums = {line["group"]: line["crc32"] for line in lines[1:]}
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{str(self.journal)!r} is not a journal of this function. Move it away or choose "
                "another out."
            ) from None
        if lines:
            self._check_identity(lines[0])
        self._lock.truncate(end)
        self._lock.seek(0, os.SEEK_END)
        return {g for g in self._sums if 0 <= g < len(self.groups)}

    def _check_identity(self, header):
        names = header.keys() | self._header.keys()
        differing = {name for name in names if header.get(name) != self._header.get(name)}
        if differing & (names if self._decisive is None else self._decisive):
            said = "; ".join(
                f"{name} = {header.get(name)!r} there, {self._header.get(name)!r} now"
                # a hash is least informative, so it is last
                for name in sorted(differing, key=_plain_first)
            )
            raise ValueError(
                f"{str(self.out)!r} was begun with other arguments: {said}. Call "
                "with the same arguments to continue, choose another name, or remove it and "
                f"{self.journal.name!r} to start again."
            )

    def _append(self, record):
        _write_all(self._lock, json.dumps(record, sort_keys=True).encode() + b"\n")

    def _is_whole(self, group):
        start, n = self.groups[group]
        images = self._get(start, n)
        return images is not None and zlib.crc32(images) == self._sums[group]

    # --- room -------------------------------------------------------------------------------------

    def _missing_bytes(self, done):
        n = sum(n for g, (_, n) in enumerate(self.groups) if g not in done)
        return n * self.shape[1] * self.shape[2] * 4

    def _check_space(self):
        if self._missing_bytes(self.done) > shutil.disk_usage(self.out.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _close(self):
        try:
            self._close_images()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # --- images: by the two kinds of files --------------------------------------------------------

    @abstractmethod
    def _open_images(self):
        """Open the file of the images, or make it."""

    @abstractmethod
    def _close_images(self):
        """Write everything and close the file."""

    @abstractmethod
    def _put(self, start, images):
        """Write images from number `start` on."""

    @abstractmethod
    def _get(self, start, n):
        """Read n images from number `start` on."""


class NpyStore(StackStore):
    """A `StackStore` in a NumPy file, to be opened with ``np.load(out, mmap_mode="r")``."""

    _file = None

    def _open_images(self):
        # written as a file, not through a memory map: a full disk is then an error, not a crash
        mode = "r+b" if self.part.exists() and self._sums else "w+b"
        self._file = self.part.open(mode, buffering=0)
        header = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)
        self._offset = self._file.tell()

    def _close_images(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _seek(self, start):
        self._file.seek(self._offset + start * self.shape[1] * self.shape[2] * 4)

    def _put(self, start, images):
        self._seek(start)
        _write_all(self._file, images.astype("<f4", copy=False).tobytes())

    def _get(self, start, n):
        self._seek(start)
        return self._file.read(n * self.shape[1] * self.shape[2] * 4)

    def load(self):
        """Return the finished stack, read-only, not read into memory."""
        return np.load(self.out, mmap_mode="r")


class ZarrStore(StackStore):
    """A `StackStore` in a zarr array with one chunk per image: no chunk belongs to two groups."""

    _array = None

    def _open_images(self):
        import zarr

        if self.part.exists() and self._sums:
            self._array = zarr.open_array(str(self.part), mode="r+")
        else:
            self._array = zarr.create_array(
                str(self.part),
                shape=self.shape,
                chunks=(1, *self.shape[1:]),
                dtype="float32",
                compressors=None,
                overwrite=True,
            )

    def _close_images(self):
        self._array = None

    def _put(self, start, images):
        self._array[start : start + len(images)] = images

    def _get(self, start, n):
        return np.ascontiguousarray(self._array[start : start + n])

    def load(self):
        """Return the finished stack, read-only, not read into memory."""
        import zarr

        return zarr.open_array(str(self.out), mode="r")


def open_store(out, *arguments):
    """Return the store for the suffix of `out`."""
    kind = {".npy": NpyStore, ".zarr": ZarrStore}[check_out(out).suffix]
    return kind(out, *arguments)


def check_out(out):
    """Validate a path for a stack; return it as a Path."""
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out must be a path, got {out!r}.")
    out = Path(out)
    if out.suffix not in (".npy", ".zarr"):
        raise ValueError(f"out must end in .npy or .zarr, got {str(out)!r}.")
    if out.suffix == ".zarr":
        try:
            import zarr  # noqa: F401
        except ImportError:
            raise ImportError(
                f"Writing {str(out)!r} needs zarr (pip install 'temdenoise[dask]'), or end the "
                "name in .npy."
            ) from None
    if not out.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(out.parent)!r} to write in; make it.")
    return out


@contextmanager
def _explained(out, missing):
    """Add to an error of the system: which file, what is kept, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            mend = (
                f"{missing / 1e9:.3f} GB remain to be written. The finished images are kept. "
                "Make room and repeat the same call, or choose another out."
            )
        else:
            mend = "Make it writable or choose another out. The finished images are kept."
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(error.errno, f"Cannot write {str(out)!r}: {reason}. {mend}") from error


def _plain_first(name):
    return name == "atoms_and_optics", name


def _write_all(file, data):
    """Write to an unbuffered file and to the disk, so that errors of the system are raised here."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    os.fsync(file.fileno())


def _sync_folder(folder):
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
