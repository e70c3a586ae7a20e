"""What a reader of one format is asked for, and what it returns."""

from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from temdenoise.io._failures import UnsuitableFile

# Without `max_bytes`, the values may take this many bytes, or this many times the size of the file.
# Sparse counts shrink to a twentieth. Only images of a single value shrink further, and are small.
_ALWAYS_ALLOWED = 2**27
_MOST_PER_BYTE = 100

LARGEST_PIXEL = 1e9
"""Pixels of a microscope's image are smaller than this, in pm."""


@dataclass(frozen=True)
class Request:
    """Arguments of `read_stack` for the readers of the formats."""

    mmap: bool = False
    series: int | str | None = None
    max_bytes: float | None = None

    def __post_init__(self):
        """Check the arguments."""
        series, limit = self.series, self.max_bytes
        if series is not None and (
            isinstance(series, bool) or not isinstance(series, int | np.integer | str)
        ):
            raise TypeError(f"series must be a number or a name, got {series!r}.")
        number = isinstance(limit, Real) and not isinstance(limit, bool)
        if limit is not None and not (number and limit > 0):
            raise ValueError(f"max_bytes must be a positive number, got {limit!r}.")

    def check_size(self, path, n_bytes, stored):
        """Refuse to unpack values whose size is out of proportion to the file.

        Parameters
        ----------
        path : pathlib.Path
            The file, for the message.
        n_bytes : int
            Size of the values in memory.
        stored : int
            Size of the file or files.

        Raises
        ------
        UnsuitableFile
            If the values take more than ``max_bytes``.
        """
        limit = self.max_bytes
        if limit is None:
            limit = max(_ALWAYS_ALLOWED, _MOST_PER_BYTE * stored)
        if n_bytes > limit:
            raise UnsuitableFile(
                f"{str(path)!r} of {stored / 1e6:.3g} MB would take {n_bytes / 1e6:.6g} MB of "
                f"memory, but at most {limit / 1e6:.6g} MB are allowed. If you trust the file, "
                f"pass max_bytes={n_bytes} (--max-bytes)."
            )

    def choose(self, path, names, real=None):
        """Place of the series to read.

        Parameters
        ----------
        path : pathlib.Path
            The file, for the message.
        names : dict of str to str
            Name of each series in the file, and its description for the message.
        real : sequence of int, optional
            Places of the series to choose from if none was asked for. By default all.

        Returns
        -------
        place : int

        Raises
        ------
        UnsuitableFile
            If there is no such series, or several and none was asked for.
        """
        known = list(names)
        real = range(len(known)) if real is None else real
        if self.series is None and len(real) == 1:
            return real[0]
        if isinstance(self.series, str) and known.count(self.series) == 1:
            return known.index(self.series)
        if self.series is not None and not isinstance(self.series, str):
            if 0 <= self.series < len(known):
                return int(self.series)
        shown = [f"{place}: {text}" for place, text in enumerate(names.values())]
        listed = "; ".join(shown[:8]) + ("; ..." if len(shown) > 8 else "")
        if self.series is None:
            first = real[0]
            problem = f"holds {len(real)} image series. Choose one, with series={first} (--series)"
        else:
            problem = f"has no series {self.series!r}. Choose one of these"
        raise UnsuitableFile(f"{str(path)!r} {problem}: {listed}.")


@dataclass
class Contents:
    """Images as a file stores them, and what the file says of them."""

    array: np.ndarray
    axes: str
    pixel_size: float | None = None  # pm
    info: dict = field(default_factory=dict)  # as given to `write_stack`
    details: dict = field(default_factory=dict)  # further entries of the stack's metadata
    notes: list = field(default_factory=list)  # warnings for the user
