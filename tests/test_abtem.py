"""The same slices through abTEM, an independent multislice program, where it is installed."""

import warnings

import numpy as np
import pytest
import torch

from temdenoise.simulation import (
    Microscope,
    exit_wave,
    projected_potential,
    propagate_potential,
    pt_ceo2,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it warns of while it loads is not ours
    abtem = pytest.importorskip("abtem")

pytestmark = pytest.mark.filterwarnings("ignore")
# what both programs cut off: 2/3 of the grid, with a cosine edge over its last 2 %
SETTINGS = {"antialias.cutoff": 2 / 3, "antialias.taper": 0.02 / 3}


def decibel(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, dtype=float) - np.asarray(b)) ** 2))


@pytest.fixture(scope="module")
def model():
    return pt_ceo2("PtNp3", thickness=20, field_of_view=24, support=8, random_state=0)


@pytest.fixture(scope="module")
def waves(model):
    """Exit waves of both programs through the same slices: the library's tensor, abTEM's object."""
    shape = tuple(2 * int(length / 0.1 / 2) for length in model.extent)
    keywords = {"thickness": model.thickness, "slice_thickness": 0.5, "absorption": 0.0}
    slices = projected_potential(model.numbers, model.positions, model.extent, shape, **keywords)
    ours = propagate_potential(slices, model.extent, thickness=model.thickness)
    with abtem.config.set(SETTINGS):
        potential = abtem.PotentialArray(
            np.ascontiguousarray(slices.numpy().transpose(0, 2, 1)),
            slice_thickness=model.thickness / len(slices),
            extent=model.extent[::-1],
        )
        theirs = abtem.PlaneWave(energy=300e3).multislice(potential, lazy=False)
    direct = exit_wave(model.numbers, model.positions, model.extent, shape, **keywords)
    return ours, direct, theirs


def test_exit_waves_agree(waves):
    ours, direct, theirs = waves
    reference = np.asarray(theirs.array).T
    assert decibel(ours.abs() ** 2, np.abs(reference) ** 2) > 55
    assert decibel(direct.abs() ** 2, np.abs(reference) ** 2) > 50
    # the phase as well
    assert np.abs(ours.numpy() - reference).mean() < 0.01 * np.abs(reference - 1).mean()


@pytest.mark.parametrize(
    "aberrations",
    [{}, {"c12": 3.0, "phi12": 30.0}, {"c21": 300.0, "phi21": -40.0, "c23": 200.0, "phi23": 15.0}],
)
def test_explicit_focal_averages_agree(waves, model, aberrations):
    ours, _, theirs = waves
    microscope = Microscope(convergence=0.0, vibration=0.0, **aberrations)
    spectra, _ = microscope.image_spectra(ours, model.extent, [6.0])
    values, weights, _ = microscope._focus_grid(np.array([6.0]))
    coefficients = {"C30": -13e4, "C50": 5e7}
    for name, value in aberrations.items():
        factor = np.pi / 180 if name.startswith("phi") else 10
        coefficients[name.replace("c", "C")] = value * factor
    expected = 0
    for value, weight in zip(values, weights, strict=True):
        lens = abtem.CTF(energy=300e3, C10=value * 10, **coefficients)
        expected = expected + weight * np.abs(np.asarray(theirs.apply_ctf(lens).array)).T ** 2
    assert decibel(torch.fft.ifft2(spectra[0]).real, expected) > 65
