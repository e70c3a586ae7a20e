"""Files that are never there in part."""

import os
import uuid
from contextlib import contextmanager


@contextmanager
def replacing(path):
    """Open a temporary neighbour of ``path`` that takes its name if all goes well.

    Parameters
    ----------
    path : pathlib.Path
        The file to make or replace.

    Yields
    ------
    file : binary file
        Open for writing. Whatever is raised inside, nothing stays behind and ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:  # also KeyboardInterrupt
        temporary.unlink(missing_ok=True)
        raise
