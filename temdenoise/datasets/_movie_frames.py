"""From the states of a simulated movie to its clean frames."""

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import map_coordinates, spline_filter

from temdenoise._jobs import one_torch_thread
from temdenoise.simulation import Microscope

# Turned frames are read off a grid this many times finer than the image needs, with splines of
# order 5: they differ by less than 1e-5 of the vacuum level from the sum of the Fourier series.
_FINER = 5


@dataclass(frozen=True)
class Imaging:
    """How the wave of a state is calculated and imaged."""

    extent: tuple
    grid: tuple
    thickness: float
    tilt: tuple  # towards x and y, as `exit_wave` takes it
    microscope: Microscope
    defocus: float
    device: str


def image_spectrum(atoms, imaging):
    """Spectrum of the image of (numbers, positions), vacuum 1, as an array.

    On one thread, so that it does not depend on how many states are calculated side by side.
    """
    from temdenoise._device import choose_device
    from temdenoise.simulation import exit_wave

    with one_torch_thread():
        wave = exit_wave(
            *atoms,
            imaging.extent,
            imaging.grid,
            thickness=imaging.thickness,
            voltage=imaging.microscope.voltage,
            tilt=imaging.tilt,
            device=choose_device(imaging.device),
        )
        spectra, _ = imaging.microscope.image_spectra(wave, imaging.extent, [imaging.defocus])
        return spectra[0].cpu().numpy()


class Sampler:
    """Samples the image of a state at the pixels of any frame."""

    def __init__(self, spectrum, extent, scene):
        self._spectrum, self._extent, self._scene = spectrum, extent, scene
        self._splines = None
        if np.any(scene.path.rotation):
            finer = _finer(spectrum)
            self._splines = spline_filter(finer, order=5, mode="grid-wrap")

    def frame(self, k):
        """Image (height, width) of frame k, float32, vacuum 1."""
        path = self._scene.path
        if path.rotation[k]:
            return self._turned(k)
        import torch

        from temdenoise.simulation import sample_image

        origin = self._scene.origin - path.drift[k] * self._scene.step
        spectrum = torch.from_numpy(self._spectrum)
        pixel_size = self._scene.step * 100
        return sample_image(spectrum, self._extent, pixel_size, path.shape, tuple(origin)).numpy()

    def _turned(self, k):
        path = self._scene.path
        pixels = np.stack(np.mgrid[: path.shape[0], : path.shape[1]], axis=-1)
        place = self._scene.origin + path.to_scene(k, pixels) * self._scene.step
        place *= np.array(self._splines.shape) / self._extent
        return map_coordinates(
            self._splines,
            np.moveaxis(place, -1, 0),
            output=np.float32,
            order=5,
            mode="grid-wrap",
            prefilter=False,
        )


def _finer(spectrum):
    """Sample the image of a spectrum over its whole cell, on a finer grid."""
    margins = [((_FINER - 1) * n // 2,) * 2 for n in spectrum.shape]
    padded = np.pad(fft.fftshift(spectrum), margins)
    return fft.ifft2(fft.ifftshift(padded)).real * _FINER**2
