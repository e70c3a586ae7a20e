"""The microscope: how an exit wave becomes an image intensity."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .detector import crop_spectrum
from .multislice import frequencies
from .scattering import electron_wavelength


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """Optical parameters of Appendix A.1 of the paper, and the imaging they define.

    The wave is multiplied in reciprocal space by exp(-i chi) with
    ``chi = (pi / lambda) (C1 w^2 + C3 w^4 / 2 + C5 w^6 / 3)``, ``w = lambda g``: C1 > 0 is
    overfocus. Spatial coherence damps the wave, focal spread is averaged explicitly over focus,
    vibration damps the intensity.

    Parameters
    ----------
    voltage : float, default=300
        Accelerating voltage in kV.
    c3 : float, default=-13
        Third-order spherical aberration in micrometres.
    c5 : float, default=5
        Fifth-order spherical aberration in mm.
    focal_spread : float, default=4
        1/e half-width of the distribution of focus, in nm.
    convergence : float, default=0.2
        1/e half-angle of the illumination in mrad.
    vibration : float, default=50
        Root-mean-square vibration amplitude in pm.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.simulation import Microscope
    >>> empty = torch.ones(64, 64, dtype=torch.complex64)
    >>> spectra, grid = Microscope().image_spectra(empty, (10.0, 10.0), [0.0, 6.0])
    >>> tuple(torch.fft.ifft2(spectra).real.round(decimals=3).unique().tolist())
    (1.0,)
    """

    voltage: float = 300.0
    c3: float = -13.0
    c5: float = 5.0
    focal_spread: float = 4.0
    convergence: float = 0.2
    vibration: float = 50.0

    # The focal distribution is summed at this many points per half-width, out to two half-widths.
    # With the default spread that is 1 nm, so one stack serves a series in whole nanometres.
    _STEPS_PER_SPREAD = 4
    _HALF_WIDTHS = 2
    # The wave is imaged on a grid that ends here (1/Angstrom). Vibration leaves nothing of the
    # intensity beyond 1.3 1/Angstrom, and what aliases below that comes from waves near the limit,
    # where crystals scatter next to nothing (tests compare with a grid twice as fine).
    _GRID_LIMIT = 2.4

    def _focus_grid(self, defocus):
        """Return focus values (nm) to image at, weights, and where each defocus sits among them.

        One coherent stack is shared by a whole defocus series when its steps fall on the grid of
        the focal average; otherwise each defocus brings its own values.
        """
        reach = self._STEPS_PER_SPREAD * self._HALF_WIDTHS if self.focal_spread else 0
        offsets = np.arange(-reach, reach + 1) / self._STEPS_PER_SPREAD  # in half-widths
        weights = np.exp(-(offsets**2))
        values, index = np.unique(
            np.round(defocus[:, None] + offsets * self.focal_spread, 6), return_inverse=True
        )
        return values, weights / weights.sum(), index.reshape(len(defocus), -1)

    def image_spectra(self, wave, extent, defocus):
        """Spectra of the images of one exit wave at several defoci.

        Parameters
        ----------
        wave : torch.Tensor, complex64, shape (height, width)
            Exit wave on a periodic cell.
        extent : tuple of float
            (height, width) of the cell in Angstrom.
        defocus : array-like of float, shape (n,)
            C1 in nm, overfocus positive.

        Returns
        -------
        spectra : torch.Tensor, complex64, shape (n, rows, columns)
            Unnormalised FFT of each intensity (vacuum = 1), on a grid just fine enough to hold it.
        grid : tuple of int
            (rows, columns).

        Raises
        ------
        ValueError
            If defocus is empty or not finite, or the grid is too coarse for the aberrations.
        """
        defocus = np.atleast_1d(np.asarray(defocus, dtype=np.float64))
        if defocus.size == 0 or not np.isfinite(defocus).all():
            raise ValueError(f"defocus must be finite and not empty (nm), got {defocus}.")
        spectrum = crop_spectrum(torch.fft.fft2(wave), extent, self._GRID_LIMIT)
        device = wave.device
        gy, gx = (
            frequencies(n, length, device) for n, length in zip(spectrum.shape, extent, strict=True)
        )
        wavelength = electron_wavelength(self.voltage)
        w2 = (gy[:, None] ** 2 + gx[None] ** 2) * wavelength**2
        c3, c5 = self.c3 * 1e4, self.c5 * 1e7  # Angstrom

        def transfer(c1):
            chi = w2 * (c1 + w2 * (c3 / 2 + w2 * c5 / 3)) * (math.pi / wavelength)
            slope = torch.sqrt(w2) * (c1 + w2 * (c3 + w2 * c5)) * (2 * math.pi / wavelength)
            envelope = torch.exp(-((self.convergence * 1e-3 / 2 * slope) ** 2))
            return torch.polar(envelope.float(), torch.remainder(-chi, 2 * math.pi).float())

        values, weights, index = self._focus_grid(defocus)
        averages = torch.zeros(len(values), len(defocus), dtype=torch.float32)
        for i, row in enumerate(index):
            averages[row, i] = torch.as_tensor(weights, dtype=torch.float32)
        averages = averages.to(device)
        intensity = torch.zeros(len(defocus), *spectrum.shape, device=device)
        for value, average in zip(values, averages, strict=True):
            sub_image = torch.fft.ifft2(spectrum * transfer(value * 10)).abs().square()
            used = torch.nonzero(average)[:, 0]
            intensity[used] += average[used, None, None] * sub_image
        damping = torch.exp(-2 * (math.pi * self.vibration / 100 / wavelength) ** 2 * w2).float()
        spectra = torch.fft.fft2(intensity) * damping
        return spectra, tuple(spectra.shape[-2:])
