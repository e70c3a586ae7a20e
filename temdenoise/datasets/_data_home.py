"""The folder of a data set on this machine: its place, its contents, and downloads into it."""

import json
import os
import shutil
import uuid
from numbers import Integral, Real
from pathlib import Path

from temdenoise._files import replacing
from temdenoise.datasets._download import download
from temdenoise.datasets._unpack import is_archive, safe_parts, unpack

STATE = ".downloads"
"""Subfolder of a data set for unfinished downloads and for the record of finished ones."""

_RECORD = "record.json"


def get_data_home(data_home=None):
    """Folder of all downloaded data sets.

    Parameters
    ----------
    data_home : path-like, optional
        By default the environment variable ``TEMDENOISE_DATA``, or without it the cache folder of
        the operating system.

    Returns
    -------
    pathlib.Path
        The folder. It need not exist.

    Raises
    ------
    TypeError
        If `data_home` is not a path.

    Examples
    --------
    >>> from temdenoise.datasets._data_home import get_data_home
    >>> get_data_home("data").name
    'data'
    """
    if data_home is None:
        data_home = os.environ.get("TEMDENOISE_DATA")
    if not data_home:
        import pooch

        return Path(pooch.os_cache("temdenoise"))
    if not isinstance(data_home, str | os.PathLike):
        raise TypeError(f"data_home must be the path of a folder, got {data_home!r}.")
    return Path(data_home).expanduser()


def recorded_files(root, name, *, complete=True):
    """Files that came from one file of a mirror.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the data set.
    name : str
        Name of the file in the registry, for instance of an archive.
    complete : bool, default=True
        Return the files only if none is missing.

    Returns
    -------
    list of pathlib.Path or None
        None if it was not downloaded, or not `complete`.
    """
    entry = _read_record(root).get(name)
    if entry is None:
        return None
    paths = [root.joinpath(*parts) for parts in entry["files"]]
    return paths if not complete or all(path.is_file() for path in paths) else None


def fill(
    root,
    remotes,
    *,
    own_folders=False,
    n_retries=3,
    delay=1.0,
    max_unpacked_size=200 * 10**9,
    verbose=False,
):
    """Download files into a folder and unpack the archives among them.

    Files of an earlier call that are still here are not downloaded again. A file gets its name only
    when it is complete. Existing files are not replaced. Several processes may call this at once:
    the later ones wait.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the data set. It is made if necessary.
    remotes : dict of str to Remote
        The files.
    own_folders : bool, default=False
        Unpack each archive into its own folder, named like the archive without the suffix.
    n_retries, delay, verbose
        As for `download`.
    max_unpacked_size : int
        Largest size of the unpacked files of an archive, in bytes.

    Raises
    ------
    DownloadError, ValueError, OSError
        As `download` and `unpack` do.
    """
    from filelock import FileLock

    if not isinstance(n_retries, Integral) or n_retries < 0:
        raise ValueError(f"n_retries must be a whole number, 0 or more, got {n_retries!r}.")
    for name, value in {"delay": delay, "max_unpacked_size": max_unpacked_size}.items():
        if not isinstance(value, Real) or not value >= 0:
            raise ValueError(f"{name} must be a number, 0 or more, got {value!r}.")
    state = root / STATE
    _make_writable(state)
    with FileLock(state / "lock"):
        _tidy(root)
        for name, remote in remotes.items():
            entry = _read_record(root).get(name, {})
            if entry.get("hash") == remote.hash and recorded_files(root, name) is not None:
                continue
            parts = safe_parts(name, "registry")
            path = state / "files" / Path(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            download(remote, path, n_retries=n_retries, delay=delay, verbose=verbose)
            folder = archive_folder(name) if own_folders else ()
            try:
                _place(root, name, path, remote.hash, folder, max_unpacked_size)
            except ValueError:  # another try with this archive would fail, too
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)
        _remove_empty(state / "files")


def tidy(root):
    """Remove what processes that were killed have left, except downloads to continue.

    Nothing happens while another process downloads, or where this one may not write.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the data set.
    """
    from filelock import FileLock

    state = root / STATE
    if not (state / "files").is_dir() and not any(state.glob("unpack-*")):
        return
    try:
        with FileLock(state / "lock", timeout=0):
            _tidy(root)
            _remove_empty(state / "files")
    except OSError:  # a lock that is held is one, too
        return


def _tidy(root):
    """Remove what processes that were killed have left, except downloads to continue."""
    state = root / STATE
    for stale in state.glob("unpack-*"):
        shutil.rmtree(stale, ignore_errors=True)
    for stale in state.glob("probe-*"):
        stale.unlink(missing_ok=True)
    # Archives whose contents are in place: the process was killed just before it removed them.
    for name in _read_record(root):
        archive = state.joinpath("files", *safe_parts(name, _RECORD))
        if archive.is_file() and recorded_files(root, name) is not None:
            archive.unlink(missing_ok=True)


def archive_folder(name):
    """Parts of the path of an archive's own folder.

    Parameters
    ----------
    name : str
        Name of an archive, or of another file.

    Returns
    -------
    tuple of str
        Empty for a file that is not an archive.

    Examples
    --------
    >>> from temdenoise.datasets._data_home import archive_folder
    >>> archive_folder("movies/Figure 4.zip"), archive_folder("movie.tif")
    (('movies', 'Figure 4'), ())
    """
    if not is_archive(name):
        return ()
    *parents, last = safe_parts(name, "registry")
    stem = last[: last.rindex(".")]
    return (*parents, stem.removesuffix(".tar"))


def _place(root, name, path, known_hash, folder, max_size):
    """Move a downloaded file, or the contents of an archive, to its place."""
    state = root / STATE
    partial = state / f"unpack-{uuid.uuid4().hex[:8]}"
    if is_archive(name):
        members = unpack(path, partial, max_size=max_size)
    else:
        members = [safe_parts(name, "registry")]
        partial.joinpath(*members[0]).parent.mkdir(parents=True)
        os.replace(path, partial.joinpath(*members[0]))
    try:
        targets = [(*folder, *parts) for parts in members]
        if any(parts[0] == STATE for parts in targets):
            raise ValueError(f"{name!r} holds a file {STATE!r}, a name that is reserved here.")
        # The record is written before the files are moved. After an interruption some files of the
        # record are missing, so the next call continues.
        _add_record(root, name, known_hash, targets)
        for parts, target in zip(members, targets, strict=True):
            target = root.joinpath(*target)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(partial.joinpath(*parts), target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_writable(state):
    mend = "choose another data_home (or TEMDENOISE_DATA)"
    try:
        state.mkdir(parents=True, exist_ok=True)
        probe = state / f"probe-{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot write into the folder for the download ({error.strerror}); {mend}",
            str(state.parent),
        ) from error


def _remove_empty(folder):
    """Remove a tree of folders, unless it holds an unfinished download."""
    for path, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(path):
            os.rmdir(path)


def _read_record(root):
    try:
        record = json.loads((root / STATE / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _add_record(root, name, known_hash, targets):
    record = _read_record(root) | {name: {"hash": known_hash, "files": targets}}
    path = root / STATE / _RECORD
    with replacing(path) as file:
        file.write(json.dumps(record).encode())
