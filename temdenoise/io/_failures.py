"""Turn every failure of a file into one ValueError that says what is wrong with the file."""

import errno
from contextlib import contextmanager

# Errors of the system, not of the contents of a file.
_SYSTEM = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EISDIR,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
)


class UnsuitableFile(Exception):
    """The file cannot be read here; the message is for the user."""


def damaged(path, reason):
    """Return the error for a file that is damaged.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    reason : str or Exception
        What is wrong with it.

    Returns
    -------
    error : UnsuitableFile
    """
    text = f"{reason}" or type(reason).__name__
    return UnsuitableFile(
        f"Cannot read {str(path)!r}: it is damaged, truncated or not what its suffix says ({text})."
    )


@contextmanager
def failures_of(path):
    """Replace any error of a parser or decompressor by the ValueError of `damaged`.

    A damaged file can raise any exception, also from libraries. ImportError (a missing package),
    MemoryError, and errors of the system, with the name of the file, stay.

    Parameters
    ----------
    path : pathlib.Path
        The file that is read.

    Raises
    ------
    ValueError
        For `UnsuitableFile`, with its message, and for all other errors.
    """
    try:
        yield
    except UnsuitableFile as error:
        raise ValueError(f"{error}") from error.__cause__
    except (ImportError, MemoryError):
        raise
    except OSError as error:
        if error.errno not in _SYSTEM:
            raise ValueError(f"{damaged(path, error)}") from error
        if error.filename is not None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        raise ValueError(f"{damaged(path, error)}") from error
