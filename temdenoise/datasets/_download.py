"""List the files of a mirror, and download them with resumption and hash checks."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tqdm.auto import tqdm

from temdenoise._files import naming
from temdenoise.datasets._unpack import safe_parts

_TIMEOUT = 30.0  # s without a byte
_CHUNK = 2**16  # bytes; a broken connection loses at most this much
_MAX_LISTING = 2**24  # bytes
_BUSY = (408, 425, 429)  # besides 5xx: the server may answer later


class DownloadError(OSError):
    """A file could not be downloaded, and another try now would fail, too."""


class _Interrupted(Exception):
    """A transfer was interrupted; it can be resumed."""


class Remote(NamedTuple):
    """A file of a mirror: its URL and its hash, ``"algorithm:hexdigest"``."""

    url: str
    hash: str


def check_base_url(base_url):
    """Check the address of a mirror and return it without a slash at its end.

    Parameters
    ----------
    base_url : str
        Address of the folder that holds the files.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `base_url` is not an http or https URL.

    Examples
    --------
    >>> from temdenoise.datasets._download import check_base_url
    >>> check_base_url("https://example.org/ptceo2/")
    'https://example.org/ptceo2'
    """
    parts = urlsplit(base_url) if isinstance(base_url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"base_url must be the http:// or https:// address of a folder, got {base_url!r}."
        )
    return base_url.rstrip("/")


def load_registry(base_url, registry=None):
    """List the files of a mirror with their hashes.

    Parameters
    ----------
    base_url : str
        Address of the folder that holds the files.
    registry : dict or path-like, optional
        ``{name: hash}``, or a file of pooch's registry format (``name hash`` per line). By default
        the list comes from the mirror: from the programming interface of Zenodo for a record (an
        address that ends in ``/records/NUMBER/files``), from the file ``registry.txt`` of any other
        mirror.

    Returns
    -------
    dict of str to Remote

    Raises
    ------
    DownloadError
        If the mirror does not answer or has no list.
    ValueError
        If the list has another format, is empty, or lacks a hash.
    """
    base_url = check_base_url(base_url)
    record = re.fullmatch(r"(.*)/records?/(\d+)/files", base_url)
    urls = {}
    if isinstance(registry, Mapping):
        hashes, source = dict(registry), "registry"
    elif registry is not None:
        source = os.fspath(registry)
        hashes, urls = _parse_registry(Path(source).read_text(encoding="utf-8"), source)
    elif record:
        source = f"{record[1]}/api/records/{record[2]}"
        hashes = _parse_record(_get_text(source), source)
    else:
        source = f"{base_url}/registry.txt"
        try:
            text = _get_text(source)
        except DownloadError as error:
            raise DownloadError(
                f"{error} Without a registry.txt on the mirror (pooch.make_registry writes one), "
                "pass registry={name: sha256, ...}."
            ) from error
        hashes, urls = _parse_registry(text, source)
    if not hashes:
        raise ValueError(f"{source} lists no files; expected a name and a hash for each.")
    remotes = {}
    for name, known in hashes.items():
        safe_parts(name, source)
        url = urls.get(name) or f"{base_url}/{quote(name)}"
        remotes[name] = Remote(check_base_url(url), _check_hash(known, name, source))
    return remotes


def _parse_registry(text, source):
    import pooch

    try:
        # pooch takes "#" as the start of a comment. The file is read from memory.
        parsed = pooch.create(path=".", base_url="")
        parsed.load_registry(StringIO(text))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} is not a registry. Each line must be 'name hash' (a name with spaces in "
            f"quotes), as pooch.make_registry writes it ({error})."
        ) from error
    return parsed.registry, parsed.urls


def _parse_record(text, source):
    try:
        files = json.loads(text)["files"]
        return {file["key"]: file["checksum"] for file in files}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{source} does not list files with checksums as Zenodo does. Pass "
            "registry={name: hash, ...}."
        ) from error


def _check_hash(known, name, source):
    algorithm, _, digest = known.rpartition(":") if isinstance(known, str) else ("", "", "")
    algorithm = algorithm or "sha256"
    try:
        length = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    except ValueError:
        length = 0
    if not length or not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digest):
        raise ValueError(
            f"{source} gives no valid hash for {name!r}: got {known!r}, expected 64 hexadecimal "
            "digits (sha256) or another algorithm by name, such as 'md5:...'."
        )
    return f"{algorithm}:{digest.lower()}"


def _get_text(url):
    import requests

    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code != 200:
                raise DownloadError(f"{url} cannot be had: the server answers {_status(response)}.")
            content = b""
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > _MAX_LISTING:
                    raise ValueError(f"{url} is too long for a list of files.")
    except requests.RequestException as error:
        raise DownloadError(f"{url} cannot be reached ({_reason(error)}).") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{url} is no text, so it is no list of files.") from error


def download(remote, path, *, n_retries=3, delay=1.0, verbose=False):
    """Download a file; resume an interrupted download of this call or an earlier one.

    The file gets its name only when it is complete and its hash is correct.

    Parameters
    ----------
    remote : Remote
        URL and hash.
    path : pathlib.Path
        The file to make. Its folder must exist. During the download there is a ``.part`` file next
        to it. If the connection is lost, this file remains for the next call.
    n_retries : int, default=3
        Largest number of consecutive retries without any progress.
    delay : float, default=1.0
        Pause before the first retry in s. It doubles with each retry.
    verbose : bool, default=False
        Show a progress bar.

    Raises
    ------
    DownloadError
        If the mirror does not have the file, or all retries fail.
    ValueError
        If the hash is wrong. The file is deleted then.
    OSError
        If the disk is full.
    """
    import pooch

    if path.exists() and pooch.hashes.hash_matches(path, remote.hash):
        return
    digest = remote.hash.partition(":")[2]
    # The name holds the hash, so that a partial file of another version is never continued.
    part = path.with_name(f"{path.name}.{digest[:8]}.part")
    for other in path.parent.glob(f"{glob.escape(path.name)}.????????.part"):
        if other != part:  # of another version of the file: it would never be continued
            other.unlink(missing_ok=True)
    best, failures = _size(part), 0
    while True:
        resumed = part.exists()
        try:
            _transfer(remote.url, part, verbose)
        except _Interrupted as error:
            size = _size(part)
            failures = 1 if size > best else failures + 1
            best = max(best, size)
            if failures > n_retries:
                kept = f" {size} bytes are kept: the next call continues there." if size else ""
                raise DownloadError(f"{remote.url} cannot be had: {error}.{kept}") from error
            time.sleep(min(delay * 2 ** (failures - 1), 60))
            continue
        if pooch.hashes.hash_matches(part, remote.hash):
            os.replace(part, path)
            return
        algorithm = remote.hash.partition(":")[0]
        found = pooch.file_hash(part, alg=algorithm)
        part.unlink()
        if not resumed:
            raise ValueError(
                f"{remote.url} is not the file that the registry lists: its {algorithm} is "
                f"{found}, expected {digest}. It was deleted. The mirror's copy is damaged or of "
                "another version. Tell the owner of the mirror, or use another mirror."
            )
        # The beginning may be damaged, so the download starts again.


def _transfer(url, part, verbose):
    import requests

    start = _size(part)
    # Offsets have no meaning in a compressed transfer.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            start = _check_answer(response, part, start)
            if start is None:
                return
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            _check_space(part, total, start)
            with (
                open(part, "ab" if start else "wb") as file,
                tqdm(
                    desc=part.name.rsplit(".", 2)[0],
                    total=total,
                    initial=start,
                    unit="B",
                    unit_scale=True,
                    disable=not verbose,
                ) as bar,
            ):
                for chunk in response.iter_content(_CHUNK):
                    with naming(part):
                        file.write(chunk)
                    bar.update(len(chunk))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Interrupted(f"the connection failed ({_reason(error)})") from error
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    ) as error:
        raise _Interrupted(f"the connection broke off ({_reason(error)})") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url} cannot be had ({_reason(error)}).") from error
    if total is not None and _size(part) < total:
        raise _Interrupted(f"the connection broke off after {_size(part)} of {total} bytes")


def _check_answer(response, part, start):
    """Offset at which the body of an answer begins; None if the file is complete already."""
    status = response.status_code
    if status == 200:
        return 0
    content_range = response.headers.get("Content-Range", "")
    if status == 206 and start and content_range.startswith(f"bytes {start}-"):
        return start
    if status == 416 and start and content_range == f"bytes */{start}":
        return None
    if status in (206, 416) and start:
        part.unlink()
        raise _Interrupted("the server cannot go on where the last transfer ended")
    if status in _BUSY or status >= 500:
        raise _Interrupted(f"the server answers {_status(response)}")
    raise DownloadError(f"{response.url} cannot be had: the server answers {_status(response)}.")


def _check_space(part, total, start):
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise OSError(
            errno.ENOSPC,
            f"the download needs {(total - start) / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are "
            "free. Make room, or choose another data_home",
            os.fspath(part.parent),
        )


def _size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _status(response):
    return f"{response.status_code} {response.reason or ''}".strip()


def _reason(error):
    """Name the innermost cause: requests wraps exceptions into each other."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    reason = getattr(error, "reason", None)
    return f"{reason or error}" or type(error).__name__
