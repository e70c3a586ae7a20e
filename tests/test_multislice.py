"""Electron scattering and the multislice calculation against known physics."""

import numpy as np
import pytest
import torch

from temdenoise.simulation import (
    Microscope,
    absorptive_form_factor,
    electron_wavelength,
    exit_wave,
    form_factor,
    interaction_parameter,
    projected_potential,
    propagate_potential,
    sample_image,
)
from temdenoise.simulation.potential import absorption_factor
from temdenoise.simulation.scattering import FORM_FACTOR_TO_POTENTIAL

PERFECT = {"focal_spread": 0.0, "convergence": 0.0, "vibration": 0.0}


# --- electrons and atoms --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voltage", "wavelength", "interaction"),
    [(100, 0.037014, 9.244e-4), (200, 0.025079, 7.288e-4), (300, 0.019687, 6.526e-4)],
)
def test_electron_optics_constants(voltage, wavelength, interaction):
    # the values every textbook tabulates
    assert electron_wavelength(voltage) == pytest.approx(wavelength, abs=1e-6)
    assert interaction_parameter(voltage) == pytest.approx(interaction, rel=1e-3)


@pytest.mark.parametrize(
    ("number", "forward"), [(1, 0.529), (6, 2.509), (8, 1.983), (14, 5.828), (29, 5.600)]
)
def test_forward_scattering_agrees_with_another_tabulation(number, forward):
    # f_e(0) in Angstrom, Doyle and Turner (1968)
    value = float(form_factor(number, torch.zeros((), dtype=torch.float64)))
    assert value == pytest.approx(forward, rel=0.03)


def test_form_factor_approaches_rutherford():
    # far out the electron sees the bare nucleus: f = Z / (2 pi^2 a0 g^2)
    g2 = torch.tensor(16.0**2, dtype=torch.float64)
    bare = 78 / (2 * np.pi**2 * 0.529177 * float(g2))
    assert float(form_factor(78, g2)) == pytest.approx(bare, rel=0.1)


def test_unknown_element():
    with pytest.raises(ValueError, match="atomic number 104"):
        form_factor(104, torch.zeros(1))


# --- multislice -----------------------------------------------------------------------------------


def _plain_multislice(numbers, positions, extent, n, dz, thickness, voltage=300.0):
    """Multislice as in a textbook: all slices, one by one, in double precision."""
    wavelength, sigma = electron_wavelength(voltage), interaction_parameter(voltage)
    gy, gx = (np.fft.fftfreq(n, length / n) for length in extent)
    g2 = gy[:, None] ** 2 + gx**2
    limit = 2 / 3 * min(np.abs(gy).max(), np.abs(gx).max())
    edge = np.clip((np.sqrt(g2) - 0.98 * limit) / (0.02 * limit), 0, 1)
    aperture = 0.5 + 0.5 * np.cos(np.pi * edge)
    propagator = np.exp(-1j * np.pi * wavelength * g2 * dz) * aperture
    wave = np.ones((n, n), dtype=complex)
    for s in range(round(thickness / dz)):
        spectrum = np.zeros((n, n), dtype=complex)
        for number, (x, y, z) in zip(numbers, positions, strict=True):
            if int(z / dz + 1e-6) == s:
                f = form_factor(number, torch.as_tensor(g2)).numpy()
                f = f * FORM_FACTOR_TO_POTENTIAL * (1 + 1j * absorption_factor(number))
                spectrum += f * np.exp(-2j * np.pi * (gy[:, None] * y + gx * x))
        phase = sigma * np.fft.ifft2(spectrum * aperture) * n * n / (extent[0] * extent[1])
        transmission = np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * aperture)
        wave = np.fft.ifft2(np.fft.fft2(transmission * wave) * propagator)
    return wave


@pytest.mark.parametrize(("spacing", "tolerance"), [(0.5, 1e-4), (2.0, 2e-3)])
def test_exit_wave_equals_plain_multislice(spacing, tolerance):
    # empty slices are one propagation here, many in the plain one, whose soft aperture then acts
    # many times over: that is all the difference there may be
    numbers = [78, 58, 8, 8, 78]
    positions = np.random.default_rng(0).uniform(0, 8, (5, 3))
    positions[:, 2] = spacing * np.arange(5)
    thickness = 5 * spacing
    ours = exit_wave(numbers, positions, (8, 9), (64, 64), thickness=thickness, slice_thickness=0.5)
    plain = _plain_multislice(numbers, positions, (8, 9), 64, 0.5, thickness)
    assert np.abs(ours.numpy() - plain).max() < tolerance


def test_exit_wave_keeps_electrons_unless_absorbed():
    atoms = ([78] * 3, [[5, 5, 1], [5, 5, 4], [3, 6, 7]])
    elastic = exit_wave(*atoms, (10, 10), (256, 256), thickness=8, absorption=0.0)
    absorbed = exit_wave(*atoms, (10, 10), (256, 256), thickness=8)
    # what is missing was scattered beyond the band limit
    assert float(elastic.abs().square().mean()) == pytest.approx(1, abs=2e-3)
    assert absorbed.abs().square().mean() < elastic.abs().square().mean()


def test_shifted_atoms_give_a_shifted_wave():
    wave = exit_wave([78, 8], [[5, 5, 1], [2, 7, 2]], (10, 10), (64, 64), thickness=3)
    moved = exit_wave([78, 8], [[6.25, 5, 1], [3.25, 7, 2]], (10, 10), (64, 64), thickness=3)
    assert torch.allclose(torch.roll(wave, 8, dims=1), moved, atol=1e-5)


@pytest.mark.parametrize("depth", [0.0, 20.0])
def test_tilt_leans_columns_about_half_depth(depth):
    tilt, thickness, n = 3.0, 20.0, 256
    wave = exit_wave([78], [[10, 10, depth]], (20, 20), (n, n), thickness=thickness, tilt=(tilt, 0))
    # focus back on the atom, whose shadow is then sharp
    microscope = Microscope(**PERFECT, c3=0, c5=0)
    spectra, _ = microscope.image_spectra(wave, (20, 20), [(depth - thickness) / 10])
    line = sample_image(spectra[0], (20, 20), 2.0, (1, 1000), origin=(10.0, 0.0))[0]
    x = 0.02 * int((line - 1).abs().argmax())
    expected = 10 + np.tan(np.radians(tilt)) * (depth - thickness / 2)
    assert x == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": [[1, 1, 9.0]]}, "outside the thickness"),
        ({"positions": [[1, 1, np.nan]]}, "NaN"),
        ({"positions": [[1, 1]]}, "positions must be"),
        ({"thickness": 0.0}, "must be positive"),
        ({"numbers": [200]}, "atomic number 200"),
    ],
)
def test_bad_atoms_are_refused(change, message):
    arguments = {"numbers": [8], "positions": [[1, 1, 1.0]], "thickness": 5.0} | change
    numbers, positions = arguments.pop("numbers"), arguments.pop("positions")
    with pytest.raises(ValueError, match=message):
        exit_wave(numbers, positions, (4, 4), (32, 32), **arguments)


# --- potentials -----------------------------------------------------------------------------------


def test_potential_integrates_to_the_forward_scattering_of_its_atoms():
    numbers, positions = [78, 8, 58], [[2, 3, 0.2], [5, 5, 0.7], [7, 2, 1.9]]
    slices = projected_potential(numbers, positions, (8, 9), (64, 72), thickness=2.0)
    total = slices.double().sum() * (8 * 9) / (64 * 72)
    forward = sum(float(form_factor(z, torch.zeros((), dtype=torch.float64))) for z in numbers)
    assert float(total) == pytest.approx(forward * FORM_FACTOR_TO_POTENTIAL, rel=1e-5)
    assert slices.shape == (12, 64, 72)
    assert slices.dtype == torch.float32
    # atoms at 0.2, 0.7 and 1.9 Angstrom are in these slices of 1/6 Angstrom
    assert torch.nonzero(slices.abs().amax((1, 2)))[:, 0].tolist() == [1, 4, 11]


@pytest.mark.parametrize(
    "keywords", [{"absorption": 0.0}, {"absorption": "thermal", "debye_waller": {8: 0.4, 78: 0.3}}]
)
def test_a_given_potential_propagates_as_its_atoms_do(keywords):
    atoms = [78, 8, 8], [[2, 3, 1.0], [5, 5, 3.1], [7, 2, 6.0]], (8, 9), (96, 108)
    slices = projected_potential(*atoms, thickness=8.0, **keywords)
    wave = propagate_potential(slices.numpy(), (8, 9), thickness=8.0, tilt=(2.0, -1.0))
    expected = exit_wave(*atoms, thickness=8.0, tilt=(2.0, -1.0), **keywords)
    # the soft edge of the band limit acts on the potential once more
    assert float((wave - expected).abs().max()) < 5e-3 * float((expected - 1).abs().max())


def test_empty_potential_leaves_the_wave_alone():
    wave = propagate_potential(np.zeros((3, 16, 16)), (4, 4), thickness=5.0)
    assert torch.allclose(wave, torch.ones(16, 16, dtype=torch.complex64), atol=1e-6)


@pytest.mark.parametrize("number", [6, 8, 14])
def test_thermal_absorption_is_the_mean_over_displacements(number):
    # a Gaussian mean over displaced atoms is a convolution of the transmission function: exact
    n, extent, b = 256, 8.0, 0.5
    g = torch.fft.fftfreq(n, extent / n, dtype=torch.float64)
    g2 = g[:, None] ** 2 + g**2
    scale = interaction_parameter(300) * FORM_FACTOR_TO_POTENTIAL * (n / extent) ** 2
    smear = torch.exp(-b * g2 / 4)
    f = form_factor(number, g2) * scale
    at_rest = torch.exp(1j * torch.fft.ifft2(f))
    mean = torch.fft.ifft2(torch.fft.fft2(at_rest) * smear)
    lost = absorptive_form_factor(number, g2, b) * scale
    absorbed = torch.exp(1j * torch.fft.ifft2(f * smear + 1j * lost))
    smeared = torch.exp(1j * torch.fft.ifft2(f * smear))
    error = [float((t.abs() - mean.abs()).abs().max()) for t in (absorbed, smeared)]
    assert error[0] < 0.03 * error[1]  # what is left is of third order in the phase


def test_atoms_at_rest_lose_nothing():
    g2 = torch.linspace(0, 4, 5, dtype=torch.float64)
    assert not absorptive_form_factor(78, g2, 0.0).any()
    with pytest.raises(ValueError, match="not negative"):
        absorptive_form_factor(78, g2, -0.1)


def test_debye_waller_factor_damps_a_beam():
    # one weak scatterer in projection: a beam's amplitude falls by exp(-B g^2 / 4)
    def beam(**keywords):
        wave = exit_wave([1], [[2, 2, 0]], (8, 8), (64, 64), thickness=1e-3, slice_thickness=1e-3,
                         absorption=0.0, **keywords)  # fmt: skip
        return torch.fft.fft2(wave)[0, 8].abs()

    assert float(beam(debye_waller=2.0) / beam()) == pytest.approx(np.exp(-2.0 / 4), rel=0.01)


GOOD = {"numbers": [8], "positions": [[1, 1, 1.0]], "extent": (4, 4), "shape": (32, 32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": [8, 8], "positions": [[1, 1, 1], [1.1, 1, 1]]}, "0.100 Angstrom apart"),
        ({"numbers": [8, 8], "positions": [[0.1, 1, 1], [3.9, 1, 1]]}, "0.200 Angstrom apart"),
        ({"numbers": [8.5]}, "whole numbers"),
        ({"numbers": [0]}, "atomic number 0"),
        ({"numbers": [8, 8]}, "one atomic number for each"),
        ({"numbers": [], "positions": np.empty((0, 3))}, "at least one atom"),
        ({"slice_thickness": 0}, "slice_thickness must be positive"),
        ({"slice_thickness": np.nan}, "slice_thickness must be positive"),
        ({"thickness": np.inf}, "thickness must be positive"),
        ({"extent": (4, 0)}, "extent must be positive"),
        ({"extent": 4}, "two numbers each"),
        ({"shape": (32.5, 32)}, "whole numbers"),
        ({"shape": (1, 32)}, "at least 2 samples"),
        ({"tilt": (9, 0)}, "at most 6 degrees"),
        ({"tilt": (np.nan, 0)}, "at most 6 degrees"),
        ({"debye_waller": {78: 0.5}}, r"no value for atomic number 8 \(O\)"),
        ({"debye_waller": -1.0}, "must be finite and not negative"),
        ({"absorption": "thermal"}, "together with debye_waller"),
        ({"absorption": {8: np.nan}}, "must be finite and not negative"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        exit_wave(**{"thickness": 5.0} | GOOD | change)


@pytest.mark.parametrize(
    ("potential", "message"),
    [
        (np.zeros((8, 8)), "n_slices, height, width"),
        (np.zeros((0, 8, 8)), "n_slices, height, width"),
        (np.full((1, 8, 8), np.nan), "NaN"),
    ],
)
def test_bad_potentials_are_refused(potential, message):
    with pytest.raises(ValueError, match=message):
        propagate_potential(potential, (4, 4), thickness=1.0)
