"""Scattering of electrons by atoms: wavelength, interaction parameter, form factors."""

import json
import math
from functools import cache
from importlib.resources import files

import torch
from scipy.interpolate import CubicSpline

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
    if int(number) != number:
        raise ValueError(f"Atomic numbers are whole numbers, got {number!r}.")
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


# Box (Angstrom) and samples per side on which an atom's thermal diffuse scattering is calculated.
_ATOM_BOX, _ATOM_SAMPLES = 12.0, 768


@cache
def _absorptive_spline(number, debye_waller, voltage):
    """Absorptive form factor (Angstrom) as a spline over g (1/Angstrom)."""
    n = _ATOM_SAMPLES
    g = torch.fft.fftfreq(n, _ATOM_BOX / n, dtype=torch.float64)
    g2 = g[:, None] ** 2 + g[None] ** 2
    scale = interaction_parameter(voltage) * FORM_FACTOR_TO_POTENTIAL * (n / _ATOM_BOX) ** 2
    blur = torch.exp(-debye_waller * g2 / 4)
    spectrum = form_factor(number, g2) * scale
    phase = torch.fft.ifft2(spectrum).real
    mean_phase = torch.fft.ifft2(spectrum * blur).real
    mean_square = torch.fft.ifft2(torch.fft.fft2(phase.square()) * blur).real
    loss = torch.fft.fft2((mean_square - mean_phase.square()) / 2).real / scale
    half = n // 2
    return CubicSpline(g[:half].numpy(), loss[0, :half].numpy())


def absorptive_form_factor(number, g2, debye_waller, *, voltage=300.0):
    """Imaginary form factor of a vibrating atom: the loss by thermal diffuse scattering.

    The mean scattering amplitude of an atom that vibrates about its site is
    ``<exp(i phi)> = exp(i <phi> - (<phi^2> - <phi>^2) / 2)`` to second order in its phase shift
    phi (Einstein model). The second term is a loss of elastic intensity, concentrated at the core.
    Its Fourier transform is the absorptive form factor.

    Parameters
    ----------
    number : int
        Atomic number, 1 to 103.
    g2 : torch.Tensor
        Squared spatial frequency in 1/Angstrom^2.
    debye_waller : float
        Debye-Waller factor B = 8 pi^2 <u^2> in Angstrom^2, <u^2> along one direction.
    voltage : float, default=300
        Accelerating voltage in kV.

    Returns
    -------
    torch.Tensor
        Absorptive form factor in Angstrom, of the shape and dtype of ``g2``; 0 for an atom at
        rest and beyond 32 1/Angstrom.

    Raises
    ------
    ValueError
        If the element is not in the table or B is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.simulation import absorptive_form_factor, form_factor
    >>> g2 = torch.tensor(0.0, dtype=torch.float64)
    >>> round(float(absorptive_form_factor(58, g2, 0.5) / form_factor(58, g2)), 3)
    0.024
    """
    if not 0 <= debye_waller < math.inf:
        raise ValueError(
            f"debye_waller must be finite and not negative (Angstrom^2), got {debye_waller}."
        )
    element_symbol(number)
    if debye_waller == 0:
        return torch.zeros_like(g2)
    spline = _absorptive_spline(int(number), round(float(debye_waller), 6), float(voltage))
    g = torch.sqrt(g2).double().cpu().numpy()
    values = spline(g.clip(max=spline.x[-1])) * (g <= spline.x[-1])
    return torch.as_tensor(values).to(g2)
