"""Projected potentials of the slices of a specimen."""

import math
from collections.abc import Mapping

import numpy as np
import torch

from temdenoise.simulation._atoms import check_atoms, check_slices
from temdenoise.simulation._grid import BAND_LIMIT, band_limit, check_grid, frequencies
from temdenoise.simulation.scattering import (
    FORM_FACTOR_TO_POTENTIAL,
    absorptive_form_factor,
    element_symbol,
    form_factor,
    interaction_parameter,
)

# Absorption kappa in V (1 + i kappa) per element. 0.03 for Pt and 0.0155 for Ce and O give the mean
# level of the images of the paper's data set. Other elements have the value closest in weight.
ABSORPTION = {8: 0.0155, 58: 0.0155, 78: 0.03}


def absorption_factor(number):
    """Imaginary part of the potential over its real part for an atomic number."""
    return ABSORPTION.get(int(number), 0.0155 if number < 65 else 0.03)


def _per_element(value, elements, name):
    """Spread a number, or a mapping from atomic numbers, over the elements present."""
    if isinstance(value, Mapping):
        missing = [f"{z} ({element_symbol(z)})" for z in elements if z not in value]
        if missing:
            raise ValueError(
                f"{name} has no value for atomic number {', '.join(missing)}. Give one for each "
                "element of the specimen."
            )
        values = {z: value[z] for z in elements}
    else:
        values = dict.fromkeys(elements, value)
    for z, v in values.items():
        if not 0 <= v < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {v!r} for {z}.")
    return values


def _plane_waves(g, x):
    """exp(-2 pi i g x) as complex64 (len(g), len(x)); the phase is reduced in float64."""
    phase = torch.remainder(-2 * math.pi * g[:, None] * x, 2 * math.pi).float()
    return torch.polar(torch.ones_like(phase), phase)


class SlicePotential:
    """Phase shifts of slices: projected potential times the interaction parameter (radians).

    Positions of atoms are exact phase factors. The structure factor of a slice is separable per
    atom, so the product of two thin complex matrices gives all frequencies inside the aperture.
    Potential and absorption are real functions, so half of their frequencies is enough.
    """

    def __init__(self, elements, gy, gx, voltage, absorption=None, debye_waller=None):
        self.shape = (len(gy), len(gx))
        limit = BAND_LIMIT * float(min(gy.abs().max(), gx.abs().max()))
        # rows inside the aperture: the first few (frequencies of 0 and above) and the last few
        half = len(gy) // 2
        self.top, self.bottom = int((gy[:half] <= limit).sum()), int((gy[half:] >= -limit).sum())
        self.gy = torch.cat([gy[: self.top], gy[len(gy) - self.bottom :]])
        self.gx = gx[: int((gx[: len(gx) // 2] <= limit).sum())]
        g2 = self.gy[:, None] ** 2 + self.gx[None] ** 2
        # the unnormalised inverse FFT divides by the number of samples, the Fourier series by area
        density = float(1 / (gy.diff()[0].reciprocal() * gx.diff()[0].reciprocal()))
        scale = interaction_parameter(voltage) * FORM_FACTOR_TO_POTENTIAL * density
        scale *= len(gy) * len(gx)
        vibration = _per_element(0.0 if debye_waller is None else debye_waller, elements,
                                 "debye_waller")  # fmt: skip
        if isinstance(absorption, str):
            if absorption != "thermal" or debye_waller is None:
                raise ValueError(
                    "absorption must be a number, one for each atomic number, None, or 'thermal' "
                    f"together with debye_waller, got {absorption!r} and {debye_waller!r}."
                )
            kappa = dict.fromkeys(elements, 0.0)
        elif absorption is None:
            kappa = {z: absorption_factor(z) for z in elements}
        else:
            kappa = _per_element(absorption, elements, "absorption")
        aperture = band_limit(gy, gx)
        aperture = torch.cat([aperture[: self.top], aperture[len(gy) - self.bottom :]])
        scale = scale * aperture[:, : len(self.gx)]
        # for each element: real part, imaginary part, their ratio if it is a single number
        self.factors = {}
        for z in elements:
            real = form_factor(z, g2) * scale
            if vibration[z]:
                real = real * torch.exp(-vibration[z] * g2 / 4)
            if absorption == "thermal":
                lost = absorptive_form_factor(z, g2, vibration[z], voltage=voltage) * scale
                self.factors[z] = real.float(), lost.float(), None
            else:
                self.factors[z] = real.float(), None, kappa[z]

    def __call__(self, numbers, xy):
        """Return the phase shift and the damping exponent (or 0.0) of the atoms of one slice."""
        real, imaginary = 0, 0
        elements = np.unique(numbers).tolist()
        ratios = {self.factors[z][2] for z in elements}
        for z in elements:
            atoms = xy[torch.as_tensor(numbers == z, device=xy.device)]
            rows, columns = _plane_waves(self.gy, atoms[:, 1]), _plane_waves(self.gx, atoms[:, 0])
            structure = rows @ columns.T
            factor, lost, ratio = self.factors[z]
            shift = structure * factor
            real = real + shift
            if lost is not None:
                imaginary = imaginary + structure * lost
            elif len(ratios) > 1:
                imaginary = imaginary + shift * ratio
        phase = self._to_image(real)
        ratio = ratios.pop()
        if torch.is_tensor(imaginary):
            return phase, self._to_image(imaginary)
        return phase, ratio * phase if ratio else 0.0

    def _to_image(self, spectrum):
        height, width = self.shape
        full = spectrum.new_zeros(height, spectrum.shape[1])
        full[: self.top] = spectrum[: self.top]
        full[height - self.bottom :] = spectrum[self.top :]
        # columns beyond the aperture are zero
        return torch.fft.irfft(torch.fft.ifft(full, dim=0), n=width, dim=1)


def assign_slices(z, thickness, slice_thickness):
    """Index of the slice that holds each atom, and the number of slices."""
    n_slices = max(1, round(thickness / slice_thickness))
    dz = thickness / n_slices
    return np.clip((z / dz + 1e-6).astype(int), 0, n_slices - 1), n_slices


def projected_potential(
    numbers,
    positions,
    extent,
    shape,
    *,
    thickness,
    slice_thickness=1 / 6,
    voltage=300.0,
    absorption=0.0,
    debye_waller=None,
    device="cpu",
):
    """Potential of every slice, projected along the beam, as `exit_wave` uses it.

    Parameters
    ----------
    numbers : array-like of int, shape (n_atoms,)
        Atomic numbers.
    positions : array-like of float, shape (n_atoms, 3)
        x (right), y (down) and z (along the beam) in Angstrom.
    extent : tuple of float
        (height, width) of the periodic cell in Angstrom.
    shape : tuple of int
        (height, width) of the grid in samples.
    thickness : float
        Length of the cell along the beam, Angstrom.
    slice_thickness : float, default=1/6
        Slice thickness in Angstrom, adjusted so that slices fill the thickness.
    voltage : float, default=300
        Accelerating voltage in kV. Only thermal absorption depends on it.
    absorption, debye_waller
        As in `exit_wave`.
    device : str or torch.device, default="cpu"
        Where to compute.

    Returns
    -------
    torch.Tensor, shape (n_slices, height, width)
        Projected potential in V Angstrom, limited to 2/3 of the grid's highest frequency; float32,
        or complex64 with absorption.

    Raises
    ------
    ValueError
        If atoms are outside the cell or too close, elements are unknown, or cell or slices are not
        positive.

    Examples
    --------
    >>> from temdenoise.simulation import projected_potential
    >>> slices = projected_potential([78], [[2, 2, 0.6]], (4, 4), (48, 48), thickness=1.0)
    >>> tuple(slices.shape), int(slices.sum((1, 2)).argmax())
    ((6, 48, 48), 3)
    """
    extent, shape = check_grid(extent, shape)
    numbers, positions = check_atoms(numbers, positions, extent, thickness)
    check_slices(thickness, slice_thickness)
    gy, gx = (frequencies(n, length, device) for n, length in zip(shape, extent, strict=True))
    elements = np.unique(numbers).tolist()
    potential = SlicePotential(elements, gy, gx, voltage, absorption, debye_waller)
    xy = torch.as_tensor(positions[:, :2], dtype=torch.float64, device=device)
    slices, n_slices = assign_slices(positions[:, 2], thickness, slice_thickness)
    result = torch.zeros(n_slices, *shape, dtype=torch.complex64, device=device)
    for s in np.unique(slices):
        atoms = slices == s
        phase, damping = potential(numbers[atoms], xy[torch.as_tensor(atoms, device=device)])
        result[s] = (phase + 1j * damping) / interaction_parameter(voltage)
    return result if result.imag.any() else result.real.contiguous()
