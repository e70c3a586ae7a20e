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
