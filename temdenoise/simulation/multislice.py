"""Multislice: the electron wave that leaves the specimen."""

import math

import numpy as np
import torch

from .scattering import (
    FORM_FACTOR_TO_POTENTIAL,
    electron_wavelength,
    form_factor,
    interaction_parameter,
)

# Share of the highest frequency of the grid that wave and transmission function may use: a product
# of two functions limited to 2/3 does not alias back into the band.
BAND_LIMIT = 2 / 3

# Absorption V (1 + i kappa) per element. 0.03 for Pt and 0.0155 for Ce and O give the mean level of
# the images of the paper's data set; other elements follow their neighbours by weight.
ABSORPTION = {8: 0.0155, 58: 0.0155, 78: 0.03}


def absorption_factor(number):
    """Imaginary part of the potential over its real part for an atomic number."""
    return ABSORPTION.get(int(number), 0.0155 if number < 65 else 0.03)


def frequencies(n, extent, device="cpu"):
    """Spatial frequencies in 1/Angstrom of `n` samples over `extent` Angstrom (float64)."""
    return torch.fft.fftfreq(n, extent / n, dtype=torch.float64, device=device)


def _band_limit(gy, gx, taper=0.02):
    """Round aperture at 2/3 of the grid's highest frequency, with a cosine edge."""
    limit = BAND_LIMIT * float(min(gy.abs().max(), gx.abs().max()))
    g = torch.sqrt(gy[:, None] ** 2 + gx[None] ** 2)
    edge = ((g - limit * (1 - taper)) / (limit * taper)).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(math.pi * edge)).float()


def _plane_waves(g, x):
    """exp(-2 pi i g x) as complex64 (len(g), len(x)); the phase is reduced in float64."""
    phase = torch.remainder(-2 * math.pi * g[:, None] * x, 2 * math.pi)
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)


class _SlicePotential:
    """Projected potential of a slice's atoms, times the interaction parameter (radians).

    Atoms enter as exact phase factors: the structure factor of a slice is separable per atom, so
    two thin complex matrices multiply to all frequencies inside the aperture at once.
    """

    def __init__(self, elements, gy, gx, voltage, absorption):
        self.shape = (len(gy), len(gx))
        limit = BAND_LIMIT * float(min(gy.abs().max(), gx.abs().max()))
        self.iy, self.ix = (torch.nonzero(g.abs() <= limit)[:, 0] for g in (gy, gx))
        self.gy, self.gx = gy[self.iy], gx[self.ix]
        g2 = self.gy[:, None] ** 2 + self.gx[None] ** 2
        # the unnormalised inverse FFT divides by the number of samples, the Fourier series by area
        density = float(1 / (gy.diff()[0].reciprocal() * gx.diff()[0].reciprocal()))
        scale = interaction_parameter(voltage) * FORM_FACTOR_TO_POTENTIAL * density
        scale *= len(gy) * len(gx)
        self.factors = {}
        for z in elements:
            kappa = absorption_factor(z) if absorption is None else absorption
            self.factors[z] = (form_factor(z, g2) * scale).float() * (1 + 1j * kappa)

    def __call__(self, numbers, xy):
        spectrum = 0
        for z in np.unique(numbers):
            atoms = xy[torch.as_tensor(numbers == z, device=xy.device)]
            rows, columns = _plane_waves(self.gy, atoms[:, 1]), _plane_waves(self.gx, atoms[:, 0])
            spectrum = spectrum + (rows @ columns.T) * self.factors[int(z)]
        full = torch.zeros(self.shape, dtype=torch.complex64, device=xy.device)
        full[self.iy[:, None], self.ix[None]] = spectrum
        return full


def check_atoms(numbers, positions, extent, thickness):
    """Validate atoms against their box; return them as NumPy arrays."""
    numbers = np.asarray(numbers, dtype=int)
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) != len(numbers):
        raise ValueError(
            "positions must be (n_atoms, 3) in Angstrom with one atomic number each, got shapes "
            f"{positions.shape} and {numbers.shape}."
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions hold NaN or infinity.")
    if not thickness > 0 or min(extent) <= 0:
        raise ValueError(
            f"extent and thickness must be positive (Angstrom), got {extent} and {thickness}."
        )
    z = positions[:, 2]
    outside = (z < -1e-6) | (z > thickness + 1e-6)
    if outside.any():
        raise ValueError(
            f"{outside.sum()} atoms lie outside the thickness 0 to {thickness} Angstrom along the "
            f"beam (z from {z.min():.2f} to {z.max():.2f}): shift them or raise thickness."
        )
    return numbers, positions


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
    device="cpu",
):
    """Propagate a plane wave through atoms, slice by slice.

    Atoms go whole into the slice that holds them. Runs of empty slices are one propagation, which
    is exact. The tilt acts in the propagator: the wave drifts sideways from slice to slice, and
    half the total drift is taken back at the end, so that an atom at depth z shows at
    ``x + tan(tilt) (z - thickness / 2)``.

    Parameters
    ----------
    numbers : array-like of int, shape (n_atoms,)
        Atomic numbers.
    positions : array-like of float, shape (n_atoms, 3)
        x (right), y (down, as image rows run) and z (along the beam) in Angstrom. x and y are
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
    absorption : float, optional
        Imaginary over real part of the potential for all elements; by default per element.
    device : str or torch.device, default="cpu"
        Where to compute.

    Returns
    -------
    torch.Tensor, complex64, shape (height, width)
        Exit wave; its mean intensity is at most 1.

    Raises
    ------
    ValueError
        For positions outside the cell along z, unknown elements or a non-positive cell.

    Examples
    --------
    >>> from temdenoise.simulation import exit_wave
    >>> wave = exit_wave([78], [[5, 5, 1]], (10, 10), (64, 64), thickness=2.0)
    >>> tuple(wave.shape), bool(wave.abs().mean() < 1)
    ((64, 64), True)
    """
    numbers, positions = check_atoms(numbers, positions, extent, thickness)
    n_slices = max(1, round(thickness / slice_thickness))
    dz = thickness / n_slices
    gy, gx = (frequencies(n, length, device) for n, length in zip(shape, extent, strict=True))
    aperture = _band_limit(gy, gx)
    slopes = [math.tan(math.radians(t)) for t in tilt]
    drift = 2 * math.pi * (gx[None] * slopes[0] + gy[:, None] * slopes[1])
    fresnel = math.pi * electron_wavelength(voltage) * (gy[:, None] ** 2 + gx[None] ** 2)
    phase_per_length = drift - fresnel

    propagators = {}

    def propagate(wave, n):
        if n not in propagators:
            phase = torch.remainder(phase_per_length * (n * dz), 2 * math.pi)
            propagators[n] = torch.polar(aperture, phase.float())
        return torch.fft.ifft2(torch.fft.fft2(wave) * propagators[n])

    potential = _SlicePotential(np.unique(numbers).tolist(), gy, gx, voltage, absorption)
    xy = torch.as_tensor(positions[:, :2], dtype=torch.float64, device=device)
    slices = np.clip((positions[:, 2] / dz + 1e-6).astype(int), 0, n_slices - 1)
    wave = torch.ones(shape, dtype=torch.complex64, device=device)
    done = 0
    for s in np.unique(slices):
        if s > done:
            wave = propagate(wave, int(s - done))
        atoms = slices == s
        phase = torch.fft.ifft2(potential(numbers[atoms], xy[torch.as_tensor(atoms)]) * aperture)
        transmission = torch.fft.ifft2(torch.fft.fft2(torch.exp(1j * phase)) * aperture)
        wave = propagate(transmission * wave, 1)
        done = int(s) + 1
    if done < n_slices:
        wave = propagate(wave, n_slices - done)
    if any(slopes):
        back = torch.remainder(-drift * thickness / 2, 2 * math.pi)
        wave = torch.fft.ifft2(
            torch.fft.fft2(wave) * torch.polar(torch.ones_like(aperture), back.float())
        )
    return wave
