"""Trained weights from a Hugging Face repository."""

import re
from pathlib import Path

PREFIX = "hf://"


def download(reference, names):
    """Download files of a repository into the user's cache, unless they are there already.

    Parameters
    ----------
    reference : str
        ``"hf://owner/name"``, or ``"hf://owner/name@revision"`` with a branch, tag or commit.
    names : sequence of str
        The files to download.

    Returns
    -------
    folder : pathlib.Path
        Folder of these files. All are of one commit.

    Raises
    ------
    ValueError
        If the reference has another form.
    ImportError
        If huggingface_hub is not installed.
    FileNotFoundError
        If there is no such repository, revision or file in it.
    ConnectionError
        If the repository cannot be reached and is not in the cache.
    """
    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", reference)
    if match is None:
        raise ValueError(
            f"{reference!r} does not name a repository: write 'hf://owner/name', with '@revision' "
            "behind it for a certain branch, tag or commit."
        )
    repository, revision = match[1], match[2] or "main"
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"{reference!r} needs huggingface_hub: pip install 'temdenoise[hub]'."
        ) from error

    for name in names:
        try:
            path = Path(hf_hub_download(repository, name, revision=revision))
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
            raise _unreachable(reference) from error
        except (
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
            errors.EntryNotFoundError,
        ) as error:
            raise FileNotFoundError(
                f"{reference!r} cannot be loaded: there is no such repository or revision, it is "
                f"private, or it holds no {name} as save_pretrained writes it."
            ) from error
        except (errors.HfHubHTTPError, ConnectionError) as error:
            raise _unreachable(reference) from error
        except errors.HFValidationError as error:
            raise ValueError(f"{reference!r} does not name a repository: {error}") from error
        revision = path.parent.name  # the commit: the next files must be of the same commit
    return path.parent


def _unreachable(reference):
    return ConnectionError(
        f"{reference!r} cannot be reached and was not downloaded before: check the connection."
    )
