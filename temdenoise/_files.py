"""Write files so that a partial file never has the final name, and none is left behind."""

import errno
import glob
import os
import shutil
import uuid
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # Windows: an open file cannot be removed there, so no lock is needed
    fcntl = None

# Errors of the system for which making room helps, and others that writing raises.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITING = (*_FULL, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def replacing(path):
    """Open a temporary file next to ``path`` that replaces it if there is no error.

    Temporary files of processes that were killed are removed.

    Parameters
    ----------
    path : pathlib.Path
        The file to make or replace.

    Yields
    ------
    file : binary file
        Open for writing. After any error the temporary file is removed and ``path`` is unchanged.

    Raises
    ------
    OSError
        If the file cannot be written. It names ``path``.
    """
    with naming(path):
        temporary, file = _open_temporary(path)
    try:
        with naming(path), file:
            yield file
        with naming(path):
            os.replace(temporary, path)
    except BaseException:  # also KeyboardInterrupt
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path):
    """Make a temporary folder next to ``path``, for files that belong together.

    Temporary folders of processes that were killed are removed.

    Parameters
    ----------
    path : pathlib.Path
        The folder that the files are for. Its parent must exist.

    Yields
    ------
    folder : pathlib.Path
        An empty folder, removed at the end with what is in it then.
    """
    with naming(path):
        lock, file = _open_temporary(path, ".lock")
        folder = lock.with_suffix(".part")
    try:
        with naming(path), file:
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)


@contextmanager
def naming(path):
    """Name the file in errors of the system, which say "No space left on device" alone.

    Parameters
    ----------
    path : pathlib.Path
        The file that is written.
    """
    try:
        yield
    except OSError as error:
        # NumPy says only this of a full disk: "4096 requested and 2408 written".
        if type(error) is OSError and error.errno is None and "written" in str(error):
            text = f"cannot write it: {error}; make room, or choose another place"
            raise OSError(errno.EIO, text, str(path)) from error
        ours = str(error.filename).endswith((".part", ".lock"))
        if not (ours or (error.filename is None and error.errno in _WRITING)):
            raise
        mend = "make room, or choose another place" if error.errno in _FULL else ""
        text = f"cannot write it: {error.strerror}{mend and '; '}{mend}"
        raise type(error)(error.errno, text, str(path)) from error


def _open_temporary(path, suffix=".part"):
    """Make a locked file next to a path; remove those that no process holds any more."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.????????{suffix}"):
        _remove_unlocked(stale)
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{suffix}")
        file = open(temporary, "xb")
        if _lock(file) is not False and temporary.exists():
            return temporary, file
        file.close()  # another process took it for a stale one in this very moment


def _lock(file):
    """Lock an open file; False if another process holds it, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _remove_unlocked(stale):
    try:
        with open(stale, "r+b") as file:
            if _lock(file):
                if stale.suffix == ".lock":
                    shutil.rmtree(stale.with_suffix(".part"), ignore_errors=True)
                stale.unlink(missing_ok=True)
                return
        if fcntl is None:
            stale.unlink(missing_ok=True)  # fails while a process has it open
    except OSError:  # of another user, or gone
        return
