"""Write files so that a partial file never has the final name."""

import os
import uuid
from contextlib import contextmanager


@contextmanager
def replacing(path):
    """Open a temporary file next to ``path`` that replaces it if there is no error.

    Parameters
    ----------
    path : pathlib.Path
        The file to make or replace.

    Yields
    ------
    file : binary file
        Open for writing. After any error the temporary file is removed and ``path`` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:  # also KeyboardInterrupt
        temporary.unlink(missing_ok=True)
        raise
