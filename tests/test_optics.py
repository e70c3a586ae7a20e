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


# --- azimuth, aperture, limits --------------------------------------------------------------------


def _polar_chi(gy, gx, defocus, c12=0, phi12=0, c21=0, phi21=0, c23=0, phi23=0):
    """chi in the polar form of the textbooks, lengths in nm and angles in degrees."""
    wavelength = electron_wavelength(300)
    w, phi = wavelength * np.hypot(gy, gx), np.arctan2(gy, gx)
    p12, p21, p23 = np.radians([phi12, phi21, phi23])
    azimuthal = c12 * w**2 * np.cos(2 * (phi - p12)) / 2
    azimuthal = azimuthal + c21 * w**3 * np.cos(phi - p21) / 3
    azimuthal = azimuthal + c23 * w**3 * np.cos(3 * (phi - p23)) / 3
    return _chi(np.hypot(gy, gx), defocus) + 2 * np.pi / wavelength * 10 * azimuthal


def _beam(microscope, defocus, cycles, extent=20.0, n=256, strength=1e-3):
    """Complex amplitude of the image of a weak phase grating of any direction."""
    y = torch.arange(n, dtype=torch.float64)[:, None] / n
    x = torch.arange(n, dtype=torch.float64)[None] / n
    phase = strength * torch.cos(2 * torch.pi * (cycles[0] * y + cycles[1] * x))
    spectra, grid = microscope.image_spectra(
        torch.exp(1j * phase).to(torch.complex64), (extent, extent), [defocus]
    )
    return complex(2 * spectra[0, cycles[0], cycles[1]] / (grid[0] * grid[1])) / strength


ABERRATIONS = [
    {"c12": 3.0},
    {"c12": 3.0, "phi12": 30.0},
    {"c21": 400.0, "phi21": -50.0},
    {"c23": 300.0, "phi23": 20.0},
    {"c12": -2.0, "phi12": 70.0, "c21": 200.0, "phi21": 110.0, "c23": 250.0, "phi23": 5.0},
]


@pytest.mark.parametrize("aberrations", ABERRATIONS)
@pytest.mark.parametrize("cycles", [(0, 9), (9, 0), (4, 7), (7, -4)])
def test_aberrations_with_azimuth(aberrations, cycles):
    g = np.array(cycles) / 20.0
    chi, opposite = (_polar_chi(s * g[0], s * g[1], 5.0, **aberrations) for s in (1, -1))
    # both beams of a weak grating interfere with the central one
    expected = 1j * (np.exp(-1j * chi) - np.exp(1j * opposite))
    beam = _beam(Microscope(**PERFECT, **aberrations), 5.0, cycles)
    assert beam == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("aberrations", ABERRATIONS)
def test_convergence_damps_by_the_whole_gradient(aberrations):
    cycles, step, angle = (4, 7), 1e-4, 1.0
    expected = 0
    for sign in (1, -1):
        gy, gx = sign * np.array(cycles) / 20.0
        chi = _polar_chi(gy, gx, 5.0, **aberrations)
        slope = [
            (_polar_chi(gy + a, gx + b, 5.0, **aberrations)
             - _polar_chi(gy - a, gx - b, 5.0, **aberrations)) / (2 * step)
            for a, b in ((step, 0), (0, step))
        ]  # fmt: skip
        slope = np.hypot(*slope) / electron_wavelength(300)
        beam = np.exp(-((angle * 1e-3 / 2 * slope) ** 2) - 1j * chi)
        expected += 1j * beam if sign > 0 else -1j * np.conj(beam)
    microscope = Microscope(**PERFECT | {"convergence": angle}, **aberrations)
    assert _beam(microscope, 5.0, cycles) == pytest.approx(expected, abs=3e-3)


def test_coma_and_threefold_astigmatism_share_their_radial_power():
    # along x with azimuth 0 both are w^3 / 3: the same image of a grating along x
    coma, threefold = (
        _beam(Microscope(**PERFECT, **{c: 300.0}), 5.0, (0, 9)) for c in ("c21", "c23")
    )
    assert coma == pytest.approx(threefold, abs=1e-5)
    assert abs(coma.imag) > 0.1


def test_aperture_stops_beams_outside():
    cycles, wavelength = (0, 9), electron_wavelength(300)
    angle = 9 / 20 * wavelength * 1e3
    free = _beam(Microscope(**PERFECT), 6.0, cycles)
    assert _beam(Microscope(**PERFECT, aperture=angle * 1.01), 6.0, cycles) == pytest.approx(
        free, abs=1e-3
    )
    assert abs(_beam(Microscope(**PERFECT, aperture=angle * 0.99), 6.0, cycles)) < 1e-3


def test_information_limits():
    vibration = Microscope(**PERFECT | {"vibration": 50.0}).information_limit()
    assert vibration == pytest.approx(np.sqrt(np.log(100) / 2) / (np.pi * 0.5), abs=0.01)
    spread = Microscope(**PERFECT | {"focal_spread": 4.0}).information_limit()
    analytic = np.sqrt(2 * np.sqrt(np.log(100)) / (np.pi * electron_wavelength(300) * 40))
    assert spread == pytest.approx(analytic, rel=0.05)
    aperture = Microscope(**PERFECT, aperture=20.0).information_limit()
    assert aperture == pytest.approx(20e-3 / electron_wavelength(300), abs=0.011)
    assert Microscope(**PERFECT).information_limit() == np.inf


def test_delocalisation_of_a_defocused_lens():
    lens = Microscope(**PERFECT | {"vibration": 50.0}, c3=0.0, c5=0.0)
    expected = 80 * electron_wavelength(300) * lens.information_limit(8.0)
    assert lens.delocalisation([8.0, -3.0]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "microscope", [Microscope(), Microscope(**PERFECT, aperture=30.0), Microscope(vibration=10.0)]
)
def test_a_grid_too_coarse_for_the_lens_is_refused(microscope):
    limit = microscope.information_limit(6.0)
    samples = 2 * int(1.5 * limit * 20)  # a little below 2/3
    with pytest.raises(ValueError, match="too coarse") as error:
        microscope.image_spectra(torch.ones(samples, samples, dtype=torch.complex64), (20, 20), [6])
    needed = int(str(error.value).split("at least (")[1].split(",")[0])
    wave = torch.ones(needed, needed, dtype=torch.complex64)
    assert microscope.image_spectra(wave, (20, 20), [6])[0].shape[0] == 1


def test_still_specimens_keep_their_fine_detail():
    # the coarser grid of the optics must follow the vibration: 2.8 1/Angstrom arrives here
    lens = Microscope(**PERFECT | {"vibration": 1.0}, c3=0.0, c5=0.0)
    chi = np.pi * electron_wavelength(300) * 2.8**2 * 20
    beam = _beam(lens, 2.0, (0, 56))
    assert beam == pytest.approx(2 * np.sin(chi) * np.exp(-2 * (np.pi * 0.01 * 2.8) ** 2), abs=3e-3)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"voltage": 0}, "voltage must be positive"),
        ({"aperture": -5.0}, "aperture must be positive"),
        ({"c3": np.nan}, "c3 must be finite"),
        ({"phi23": np.inf}, "phi23 must be finite"),
        ({"vibration": -1.0}, "vibration must not be negative"),
        ({"focal_spread": -4.0}, "focal_spread must not be negative"),
    ],
)
def test_bad_optics_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        Microscope(**keywords)


def test_optics_must_be_numbers():
    with pytest.raises(TypeError, match="c5 must be a number"):
        Microscope(c5="5 mm")


def test_a_real_wave_is_refused():
    with pytest.raises(ValueError, match="wave must be complex"):
        Microscope().image_spectra(torch.ones(64, 64), (10, 10), [0.0])
