__all__ = [
    "SUFFIXES",
    "check_output",
    "read_stack",
    "write_stack",
]

from ._formats import SUFFIXES
from ._read import read_stack
from ._write import check_output, write_stack
