"""The microscope against the textbook's transfer functions."""

import numpy as np
import pytest
import torch

from temdenoise.simulation import Microscope, electron_wavelength, exit_wave, pt_ceo2, sample_image

PERFECT = {"focal_spread": 0.0, "convergence": 0.0, "vibration": 0.0}


def _contrast(microscope, defocus, cycles=10, extent=20.0, n=256, strength=1e-3):
    """Amplitude of the image of a weak phase grating over that of the grating; and its g."""
    x = torch.arange(n, dtype=torch.float64) * extent / n
    phase = strength * torch.cos(2 * torch.pi * cycles / extent * x).expand(n, n)
    spectra, grid = microscope.image_spectra(
        torch.exp(1j * phase).to(torch.complex64), (extent, extent), np.atleast_1d(defocus)
    )
    amplitudes = 2 * spectra[:, 0, cycles].real / (grid[0] * grid[1])
    return amplitudes.numpy() / strength, cycles / extent


def _chi(g, defocus, c3=-13.0, c5=5.0):
    wavelength = electron_wavelength(300)
    w = wavelength * g
    return np.pi / wavelength * (
        defocus * 10 * w**2 + c3 * 1e4 * w**4 / 2 + c5 * 1e7 * w**6 / 3
    )  # fmt: skip


@pytest.mark.parametrize("defocus", [-8.0, 0.0, 6.0, 15.0])
def test_weak_phase_contrast_is_twice_the_sine_of_chi(defocus):
    # exp(-i chi), and overfocus (C1 > 0) shows atoms (positive phase) bright
    contrast, g = _contrast(Microscope(**PERFECT), defocus)
    assert contrast[0] == pytest.approx(2 * np.sin(_chi(g, defocus)), abs=2e-3)


def test_focal_spread_is_an_average_over_focus():
    spread, defocus = 4.0, 6.0
    microscope = Microscope(**PERFECT | {"focal_spread": spread})
    contrast, g = _contrast(microscope, defocus)
    focus = np.linspace(-2 * spread, 2 * spread, 2001)  # out to two half-widths
    weights = np.exp(-((focus / spread) ** 2))
    expected = np.average(2 * np.sin(_chi(g, defocus + focus)), weights=weights)
    assert contrast[0] == pytest.approx(expected, rel=0.01)


def test_vibration_damps_the_intensity():
    still, g = _contrast(Microscope(**PERFECT), 6.0)
    shaken, _ = _contrast(Microscope(**PERFECT | {"vibration": 50.0}), 6.0)
    assert shaken / still == pytest.approx(np.exp(-2 * (np.pi * 0.5 * g) ** 2), rel=1e-3)


def test_convergence_damps_the_wave():
    still, g = _contrast(Microscope(**PERFECT), 6.0)
    cone, _ = _contrast(Microscope(**PERFECT | {"convergence": 1.0}), 6.0)
    step = 1e-4
    slope = (_chi(g + step, 6.0) - _chi(g - step, 6.0)) / (2 * step) / electron_wavelength(300)
    assert cone / still == pytest.approx(np.exp(-((0.5e-3 * slope) ** 2)), rel=1e-3)


def test_a_defocus_series_equals_single_images():
    wave = exit_wave([78], [[5, 5, 1]], (10, 10), (96, 96), thickness=2)
    series, _ = Microscope().image_spectra(wave, (10, 10), [0.0, 3.0, 4.5])
    for spectrum, defocus in zip(series, [0.0, 3.0, 4.5], strict=True):
        single, _ = Microscope().image_spectra(wave, (10, 10), [defocus])
        assert torch.allclose(spectrum, single[0], atol=1e-2 * float(spectrum.abs().mean()))


@pytest.mark.parametrize("defocus", [[], [np.nan], [1.0, np.inf]])
def test_bad_defocus_is_refused(defocus):
    with pytest.raises(ValueError, match="defocus must be finite"):
        Microscope().image_spectra(torch.ones(8, 8, dtype=torch.complex64), (4, 4), defocus)


def test_coarse_grid_of_the_optics_loses_nothing(monkeypatch):
    model = pt_ceo2("PtNp3", thickness=30, random_state=0)
    wave = exit_wave(model.numbers, model.positions, model.extent, (480, 432), thickness=30)
    images = []
    for limit in (2.4, 3.9):
        monkeypatch.setattr(Microscope, "_GRID_LIMIT", limit)
        spectra, _ = Microscope().image_spectra(wave, model.extent, [6.0])
        images.append(sample_image(spectra[0], model.extent, 20.0, (250, 250)))
    error = (images[0] - images[1]).square().mean() * 0.45**2
    assert -10 * torch.log10(error) > 65
