"""The detector against sums done by hand."""

import numpy as np
import pytest
import torch

from temdenoise.simulation import Detector, sample_image
from temdenoise.simulation.detector import crop_spectrum


def test_cropped_spectrum_is_the_same_function():
    x = torch.arange(64) / 64
    image = 1 + torch.cos(2 * torch.pi * (3 * x[:, None] + 5 * x))
    spectrum = torch.fft.fft2(image)
    small = crop_spectrum(spectrum, (1.0, 1.0), 8.0)
    assert small.shape == (18, 18)
    a, b = (sample_image(s, (1.0, 1.0), 3.0, (30, 30)) for s in (spectrum, small))
    assert torch.allclose(a, b, atol=1e-5)


def _wave(cycles, extent=10.0, n=64):
    """Spectrum of 1 + cos along (y, x), and the function itself."""
    y = torch.arange(n, dtype=torch.float64)[:, None] / n
    x = torch.arange(n, dtype=torch.float64)[None] / n
    image = 1 + torch.cos(2 * torch.pi * (cycles[0] * y + cycles[1] * x))

    def value(y, x):
        return 1 + np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x) / extent)

    return torch.fft.fft2(image).to(torch.complex64), value


def _pixels(detector, cycles, pixel_size=50.0, extent=10.0):
    spectrum, value = _wave(cycles, extent)
    spectrum = detector.blur(spectrum, (extent, extent), pixel_size)
    positions = np.arange(20) * pixel_size / 100
    return sample_image(spectrum, (extent, extent), pixel_size, (20, 20)).numpy(), positions, value


def test_pixel_integration_is_the_mean_over_the_pixel():
    image, positions, value = _pixels(Detector(pixel_integration=True), (3, 5))
    inside = (np.arange(200) + 0.5) / 200 * 0.5 - 0.25  # Angstrom, over a pixel of 50 pm
    for row, column in [(0, 0), (3, 7), (11, 2)]:
        mean = value((positions[row] + inside)[:, None], positions[column] + inside).mean()
        assert image[row, column] == pytest.approx(mean, abs=1e-4)


def test_drift_is_the_mean_over_the_path():
    image, positions, value = _pixels(Detector(drift=(60.0, -40.0)), (3, 5))
    path = (np.arange(400) + 0.5) / 400 - 0.5
    for row, column in [(0, 0), (3, 7), (11, 2)]:
        mean = value(positions[row] - 0.4 * path, positions[column] + 0.6 * path).mean()
        assert image[row, column] == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    ("mtf", "expected"),
    [
        (0.3, 0.3 ** (0.25**2 / 0.5**2)),
        (lambda u: 1 / (1 + (u / 0.2) ** 2), 1 / (1 + 1.25**2)),
        ([[0, 1], [0.2, 0.8], [0.5, 0.2]], 0.7),
    ],
)
def test_modulation_transfer(mtf, expected):
    # 5 cycles over 10 Angstrom at 50 pm a pixel: 0.25 cycles per pixel
    image, positions, value = _pixels(Detector(mtf=mtf), (5, 0))
    contrast = value(positions, 0.0) - 1
    assert np.allclose(image[:, 0] - 1, expected * contrast, atol=1e-4)


def test_the_mean_dose_is_kept():
    detector = Detector(mtf=0.2, pixel_integration=True, drift=(100.0, 0.0))
    image, _, _ = _pixels(detector, (2, 4))
    assert image.mean() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dqe": 0}, "dqe must lie"),
        ({"dqe": 1.2}, "dqe must lie"),
        ({"mtf": 0.0}, "Nyquist frequency must lie"),
        ({"mtf": [0.1, 0.2]}, "rows"),
        ({"mtf": [[0, 1], [0.3, 0.5]]}, "from 0 to at least 0.5"),
        ({"mtf": [[0, 1], [0.6, np.nan]]}, "finite rows"),
        ({"drift": (1.0,)}, "drift must be two"),
        ({"drift": (np.nan, 0)}, "drift must be two"),
    ],
)
def test_bad_detectors_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        Detector(**keywords)


def test_unknown_transfer_functions_are_refused():
    with pytest.raises(TypeError, match="mtf must be"):
        Detector(mtf="wonderful")
    with pytest.raises(ValueError, match="one finite value for each"):
        Detector(mtf=lambda u: 1.0).transfer(np.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4.0, 4.0), 0.0, (8, 8)), "pixel_size must be positive"),
        (((4.0, -4.0), 10.0, (8, 8)), "extent must be positive"),
        (((4.0, 4.0), 10.0, (8, 0)), "shape must be"),
        (((4.0, 4.0), 10.0, (8.5, 8)), "shape must be"),
    ],
)
def test_bad_sampling_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_image(torch.ones(8, 8, dtype=torch.complex64), *arguments)
