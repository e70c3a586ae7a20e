"""Units of length, as programs and their users write them."""

import re

# Units that ImageJ, OME and their users write, in pm.
_IN_PM = {
    "pm": 1.0,
    "picometer": 1.0,
    "picometers": 1.0,
    "picometre": 1.0,
    "a": 100.0,
    "å": 100.0,
    "ångström": 100.0,
    "angstrom": 100.0,
    "angstroms": 100.0,
    "nm": 1e3,
    "nanometer": 1e3,
    "nanometers": 1e3,
    "nanometre": 1e3,
    "um": 1e6,
    "µm": 1e6,
    "micrometer": 1e6,
    "micrometers": 1e6,
    "micrometre": 1e6,
    "micron": 1e6,
    "microns": 1e6,
    "mm": 1e9,
    "millimeter": 1e9,
    "cm": 1e10,
    "inch": 2.54e10,
    "inches": 2.54e10,
    "m": 1e12,
    "meter": 1e12,
    "metre": 1e12,
}
# What programs write where they know no scale.
_NO_SCALE = ("", "pixel", "pixels", "px", "none", "null", "gray value", "reference frame")


def picometres(unit):
    """Length of a unit in pm, None if it is not a unit of length.

    Parameters
    ----------
    unit : str
        Name or symbol in any case, with the escapes and look-alikes that ImageJ and OME files use
        for µ and Å.

    Returns
    -------
    length : float or None

    Examples
    --------
    >>> from temdenoise._units import picometres
    >>> picometres("nm"), picometres("Angstrom"), picometres("s")
    (1000.0, 100.0, None)
    """
    return _IN_PM.get(_plain(unit))


def is_no_length(unit):
    """Whether a text names a unit that is not one of length, for instance 1/nm.

    Parameters
    ----------
    unit : str
        Name or symbol.

    Returns
    -------
    bool
        False for lengths, and for what programs write where they know no scale.

    Examples
    --------
    >>> from temdenoise._units import is_no_length
    >>> is_no_length("1/nm"), is_no_length("nm"), is_no_length("pixel")
    (True, False, False)
    """
    plain = _plain(unit)
    return plain not in _IN_PM and plain not in _NO_SCALE


def _plain(unit):
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), str(unit)).strip()
    return plain.replace("μ", "µ").replace("\u212b", "å").lower()  # Greek mu, Angstrom sign
