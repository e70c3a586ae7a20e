"""Checks of lengths: radii, widths, pixel sizes."""

from numbers import Real

import numpy as np

# No microscope has smaller pixels, in pm. A smaller number must be in another unit.
_LEAST_PIXEL_SIZE = 1.0


def check_length(name, value, *, unit=None):
    """Return a positive, finite length as a float; raise an error if it is not valid.

    Parameters
    ----------
    name : str
        Name of the argument in the error messages.
    value : float
        The length.
    unit : str, optional
        Unit of the length, for the error messages.

    Returns
    -------
    length : float

    Raises
    ------
    TypeError
        If the length is not a real number.
    ValueError
        If the length is not positive and finite.

    Examples
    --------
    >>> from temdenoise._lengths import check_length
    >>> check_length("radius", 4)
    4.0
    """
    where = f", in {unit}" if unit else ""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number{where}, got {value!r}.")
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite{where}, got {value!r}.")
    return float(value)


def check_pixel_size(pixel_size, name="pixel_size"):
    """Check a pixel size in picometres.

    Parameters
    ----------
    pixel_size : float
        Length of a pixel's side, in pm.
    name : str, default="pixel_size"
        Name of the argument in the error messages.

    Returns
    -------
    pixel_size : float
        The same as a Python float.

    Raises
    ------
    TypeError
        If the pixel size is not a real number.
    ValueError
        If the pixel size is not positive and finite, or is below 1 pm, probably in another unit.

    Examples
    --------
    >>> from temdenoise._lengths import check_pixel_size
    >>> check_pixel_size(6)
    6.0
    """
    pixel_size = check_length(name, pixel_size, unit="pm")
    if pixel_size < _LEAST_PIXEL_SIZE:
        raise ValueError(
            f"{name}={pixel_size:g} pm is smaller than the pixels of any microscope: is it in "
            "nm or Angstrom? Give it in pm (1 nm = 1000 pm, 1 Angstrom = 100 pm)."
        )
    return pixel_size
