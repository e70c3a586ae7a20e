"""Multislice: the electron wave that leaves the specimen."""

import math

import numpy as np
import torch

from temdenoise.simulation._atoms import check_atoms, check_slices
from temdenoise.simulation._grid import band_limit, check_grid, frequencies
from temdenoise.simulation.potential import SlicePotential, assign_slices
from temdenoise.simulation.scattering import electron_wavelength, interaction_parameter

# The small-angle propagator, which includes the tilt, is not valid for larger tilts.
_MAX_TILT = 6.0  # degrees


class _Propagation:
    """A wave that propagates through slices, on a periodic grid.

    Consecutive empty slices are one propagation, which is exact. It is joined to the propagation
    from the slice before them.
    """

    def __init__(self, extent, shape, dz, voltage, tilt, device):
        tilt = np.asarray(tilt, dtype=np.float64)
        if tilt.shape != (2,) or not (np.abs(tilt) <= _MAX_TILT).all():
            raise ValueError(
                f"tilt must be two angles (x, y) of at most {_MAX_TILT:g} degrees, got "
                f"{tilt.tolist()}. For larger angles turn the atoms."
            )
        gy, gx = (frequencies(n, length, device) for n, length in zip(shape, extent, strict=True))
        self.gy, self.gx, self.dz = gy, gx, dz
        self.aperture = band_limit(gy, gx)
        self.slopes = [math.tan(math.radians(t)) for t in tilt]  # x, y
        self.wavelength = electron_wavelength(voltage)
        self.wave = torch.ones(shape, dtype=torch.complex64, device=device)
        self._propagators, self._onward = {}, {}

    def _drift(self, fresnel_length, drift_length):
        """Phase factors of free space and of the sideways drift of a tilted specimen.

        Both are products of a function of y and one of x.
        """
        factors = []
        for g, slope in ((self.gy, self.slopes[1]), (self.gx, self.slopes[0])):
            phase = 2 * math.pi * slope * drift_length * g
            phase = phase - math.pi * self.wavelength * fresnel_length * g**2
            phase = torch.remainder(phase, 2 * math.pi)
            factors.append(torch.polar(torch.ones_like(phase), phase).to(torch.complex64))
        return factors[0][:, None] * factors[1]

    def _propagator(self, n):
        if n not in self._propagators:
            self._propagators[n] = self.aperture * self._drift(n * self.dz, n * self.dz)
        return self._propagators[n]

    def propagate(self, n):
        """Propagate through n slices of empty space."""
        self._multiply(self.wave, self._propagator(n))

    def _multiply(self, wave, transfer):
        self.wave = torch.fft.ifft2(torch.fft.fft2(wave).mul_(transfer))

    def transmit(self, phase, damping, following):
        """Pass a slice with a given phase shift and damping exponent (radians).

        `following` is the number of slices from this slice to the next that scatters, including
        this slice.
        """
        # exp(i phase - damping); torch.exp of a complex number would be several times slower
        if torch.is_tensor(damping):
            transmission = torch.polar(torch.exp(-damping), phase)
        else:
            transmission = torch.polar(torch.ones_like(phase), phase)
        transmission = torch.fft.ifft2(torch.fft.fft2(transmission).mul_(self.aperture))
        if following not in self._onward:
            onward = self._propagator(1)
            if following > 1:
                onward = onward * self._propagator(following - 1)
            self._onward[following] = onward
        self._multiply(transmission.mul_(self.wave), self._onward[following])

    def leave(self, thickness):
        """Undo half of the sideways drift of a tilted specimen; return the wave."""
        if any(self.slopes):
            back = self._drift(0.0, -thickness / 2)
            self.wave = torch.fft.ifft2(torch.fft.fft2(self.wave) * back)
        return self.wave


def exit_wave(
    numbers,
    positions,
    extent,
    shape,
    *,
    thickness,
    slice_thickness=1 / 6,
    voltage=300.0,
    tilt=(0.0, 0.0),
    absorption=None,
    debye_waller=None,
    device="cpu",
):
    """Propagate a plane wave through atoms, slice by slice.

    The whole potential of an atom is put into the slice that holds the atom. Consecutive empty
    slices are one propagation, which is exact. The tilt is part of the propagator: the wave drifts
    sideways from slice to slice, and half of the total drift is undone at the end. Therefore an
    atom at depth z appears at ``x + tan(tilt) (z - thickness / 2)``.

    Parameters
    ----------
    numbers : array-like of int, shape (n_atoms,)
        Atomic numbers.
    positions : array-like of float, shape (n_atoms, 3)
        x (right), y (down, like image rows) and z (along the beam) in Angstrom. x and y are
        periodic.
    extent : tuple of float
        (height, width) of the periodic cell in Angstrom.
    shape : tuple of int
        (height, width) of the grid in samples.
    thickness : float
        Length of the cell along the beam, Angstrom.
    slice_thickness : float, default=1/6
        Slice thickness in Angstrom (0.167 in Appendix A.1 of the paper).
    voltage : float, default=300
        Accelerating voltage in kV.
    tilt : tuple of float, default=(0, 0)
        Specimen tilt towards x and y in degrees.
    absorption : None, float, dict or "thermal", default=None
        Imaginary over real part of the potential: one number, or one for each atomic number. None
        uses the values that give the mean level of the paper's images. "thermal" calculates the
        loss by thermal diffuse scattering from `debye_waller` (`absorptive_form_factor`).
    debye_waller : None, float or dict, default=None
        Debye-Waller factors B = 8 pi^2 <u^2> in Angstrom^2, one number or one for each atomic
        number. They smear the potential. None: atoms at rest.
    device : str or torch.device, default="cpu"
        Where to compute.

    Returns
    -------
    torch.Tensor, complex64, shape (height, width)
        Exit wave; its mean intensity is at most 1.

    Raises
    ------
    ValueError
        If positions are outside the cell along z, atoms are too close, elements are unknown, the
        tilt is more than 6 degrees, or cell, grid or slices are not positive.

    Examples
    --------
    >>> from temdenoise.simulation import exit_wave
    >>> wave = exit_wave([78], [[5, 5, 1]], (10, 10), (64, 64), thickness=2.0)
    >>> tuple(wave.shape), bool(wave.abs().mean() < 1)
    ((64, 64), True)
    """
    extent, shape = check_grid(extent, shape)
    numbers, positions = check_atoms(numbers, positions, extent, thickness)
    check_slices(thickness, slice_thickness)
    slices, n_slices = assign_slices(positions[:, 2], thickness, slice_thickness)
    beam = _Propagation(extent, shape, thickness / n_slices, voltage, tilt, device)
    elements = np.unique(numbers).tolist()
    potential = SlicePotential(elements, beam.gy, beam.gx, voltage, absorption, debye_waller)
    xy = torch.as_tensor(positions[:, :2], dtype=torch.float64, device=device)
    occupied = np.unique(slices)
    if occupied[0] > 0:
        beam.propagate(int(occupied[0]))
    for s, following in zip(occupied, [*occupied[1:], n_slices], strict=True):
        atoms = slices == s
        shift = potential(numbers[atoms], xy[torch.as_tensor(atoms, device=device)])
        beam.transmit(*shift, int(following - s))
    return beam.leave(thickness)


def propagate_potential(
    potential, extent, *, thickness, voltage=300.0, tilt=(0.0, 0.0), device="cpu"
):
    """Propagate a plane wave through slices of any potential, not only that of free atoms.

    Parameters
    ----------
    potential : array-like or torch.Tensor, shape (n_slices, height, width)
        Projected potential of each slice in V Angstrom, real, or complex with absorption. The wave
        passes the first slice first.
    extent : tuple of float
        (height, width) of the periodic cell in Angstrom.
    thickness : float
        Total length of the slices along the beam, Angstrom.
    voltage : float, default=300
        Accelerating voltage in kV.
    tilt : tuple of float, default=(0, 0)
        Specimen tilt towards x and y in degrees.
    device : str or torch.device, default="cpu"
        Where to compute.

    Returns
    -------
    torch.Tensor, complex64, shape (height, width)
        Exit wave.

    Raises
    ------
    ValueError
        If the potential is not a stack of slices or not finite, or the cell is not positive.

    Examples
    --------
    >>> from temdenoise.simulation import projected_potential, propagate_potential
    >>> slices = projected_potential([78], [[2, 2, 0.6]], (4, 4), (48, 48), thickness=1.0)
    >>> tuple(propagate_potential(slices, (4, 4), thickness=1.0).shape)
    (48, 48)
    """
    potential = torch.as_tensor(potential, device=device)
    if potential.ndim != 3 or len(potential) == 0:
        raise ValueError(
            f"potential must be (n_slices, height, width), got shape {tuple(potential.shape)}."
        )
    if not torch.isfinite(torch.view_as_real(potential) if potential.is_complex() else potential
                          ).all():  # fmt: skip
        raise ValueError("potential holds NaN or infinity.")
    extent, shape = check_grid(extent, tuple(potential.shape[1:]))
    n_slices = len(potential)
    check_slices(thickness, thickness / n_slices)
    beam = _Propagation(extent, shape, thickness / n_slices, voltage, tilt, device)
    occupied = torch.nonzero(potential.abs().amax((1, 2)) > 0)[:, 0].tolist() or [0]
    if occupied[0] > 0:
        beam.propagate(occupied[0])
    sigma = interaction_parameter(voltage)
    for s, following in zip(occupied, [*occupied[1:], n_slices], strict=True):
        phase = potential[s].to(torch.complex64) * sigma
        phase = torch.fft.ifft2(torch.fft.fft2(phase) * beam.aperture)
        beam.transmit(phase.real, phase.imag, following - s)
    return beam.leave(thickness)
