"""Units of length, as programs and their users write them."""

import re

# Units that ImageJ, OME and their users write, in pm.
_IN_PM = {
    "pm": 1.0,
    "a": 100.0,
    "å": 100.0,
    "ångström": 100.0,
    "angstrom": 100.0,
    "angstroms": 100.0,
    "nm": 1e3,
    "nanometer": 1e3,
    "nanometers": 1e3,
    "um": 1e6,
    "µm": 1e6,
    "micron": 1e6,
    "microns": 1e6,
    "mm": 1e9,
    "cm": 1e10,
    "m": 1e12,
}


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
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), str(unit)).strip()
    plain = plain.replace("μ", "µ").replace("\u212b", "å").lower()  # Greek mu, Angstrom sign
    return _IN_PM.get(plain)
