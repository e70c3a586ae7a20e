"""How electrons meet atoms: wavelength, interaction parameter, form factors."""

import json
import math
from functools import cache
from importlib.resources import files

import torch

# CODATA 2018
_PLANCK = 6.62607015e-34  # J s
_ELECTRON_MASS = 9.1093837015e-31  # kg
_CHARGE = 1.602176634e-19  # C
_LIGHT_SPEED = 299792458.0  # m/s

# h^2 / (2 pi m_e e): turns a form factor in Angstrom into a projected potential in V Angstrom^2
FORM_FACTOR_TO_POTENTIAL = _PLANCK**2 / (2 * math.pi * _ELECTRON_MASS * _CHARGE) * 1e20


def electron_wavelength(voltage):
    """Relativistic de Broglie wavelength.

    Parameters
    ----------
    voltage : float
        Accelerating voltage in kV.

    Returns
    -------
    float
        Wavelength in Angstrom.

    Examples
    --------
    >>> from temdenoise.simulation import electron_wavelength
    >>> round(electron_wavelength(300), 6)
    0.019687
    """
    energy = _CHARGE * voltage * 1e3
    rest = _ELECTRON_MASS * _LIGHT_SPEED**2
    return _PLANCK * _LIGHT_SPEED / math.sqrt(energy * (energy + 2 * rest)) * 1e10


def interaction_parameter(voltage):
    """Phase per projected potential, with the relativistic mass.

    Parameters
    ----------
    voltage : float
        Accelerating voltage in kV.

    Returns
    -------
    float
        Interaction parameter in rad / (V Angstrom).

    Examples
    --------
    >>> from temdenoise.simulation import interaction_parameter
    >>> round(interaction_parameter(300), 8)
    0.00065262
    """
    rest = _ELECTRON_MASS * _LIGHT_SPEED**2
    mass = _ELECTRON_MASS * (1 + _CHARGE * voltage * 1e3 / rest)
    wavelength = electron_wavelength(voltage) * 1e-10
    return 2 * math.pi * mass * _CHARGE * wavelength / _PLANCK**2 * 1e-10


@cache
def _kirkland():
    return json.loads(files(__package__).joinpath("kirkland.json").read_text())


def element_symbol(number):
    """Chemical symbol of an atomic number (1 to 103)."""
    symbols = _kirkland()["symbols"]
    if not 1 <= int(number) <= len(symbols):
        raise ValueError(
            f"No form factor for atomic number {number}: the table holds 1 to {len(symbols)}."
        )
    return symbols[int(number) - 1]


def form_factor(number, g2):
    """Electron form factor of a neutral atom, Kirkland's parametrisation.

    Parameters
    ----------
    number : int
        Atomic number, 1 to 103.
    g2 : torch.Tensor
        Squared spatial frequency in 1/Angstrom^2 (g = 1/d, not s = g/2).

    Returns
    -------
    torch.Tensor
        Form factor in Angstrom, of the shape and dtype of ``g2``.

    Raises
    ------
    ValueError
        If the element is not in the table.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.simulation import form_factor
    >>> f = form_factor(78, torch.tensor([0.0, 1.0], dtype=torch.float64))
    >>> bool(f[0] > f[1] > 0)
    True
    """
    element_symbol(number)  # refuses unknown elements
    a, b, c, d = _kirkland()["coefficients"][int(number) - 1]
    lorentzians = sum(ai / (g2 + bi) for ai, bi in zip(a, b, strict=True))
    return lorentzians + sum(ci * torch.exp(-di * g2) for ci, di in zip(c, d, strict=True))
