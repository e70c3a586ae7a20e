"""The microscope: how an exit wave becomes an image intensity."""

import cmath
import math
from dataclasses import dataclass, fields

import numpy as np
import torch

from temdenoise.simulation._grid import BAND_LIMIT, check_grid, frequencies, highest_frequency
from temdenoise.simulation.detector import crop_spectrum
from temdenoise.simulation.scattering import electron_wavelength

# A frequency is transferred if more than this share of its contrast is in the image.
_TRANSFERRED = 0.01
# Number of coherent images in memory at once.
_FOCI_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """Optical parameters of Appendix A.1 of the paper, and the imaging they define.

    The wave is multiplied by exp(-i chi) in reciprocal space. ``w = lambda g`` is the angle of a
    beam in radians, and phi its azimuth, from image x (right) towards image y (down)::

        chi = (2 pi / lambda) (C1 w^2 / 2 + C12 w^2 cos 2 (phi - phi12) / 2
                               + C21 w^3 cos(phi - phi21) / 3 + C23 w^3 cos 3 (phi - phi23) / 3
                               + C3 w^4 / 4 + C5 w^6 / 6)

    C1 > 0 is overfocus. Spatial coherence damps the wave by the gradient of the whole chi. The
    focal spread is an explicit average over focus. Vibration damps the intensity.

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
    c12 : float, default=0
        Two-fold astigmatism in nm (A1 in another notation).
    phi12 : float, default=0
        Azimuth of the two-fold astigmatism in degrees: C12 > 0 overfocuses this direction.
    c21 : float, default=0
        Axial coma in nm (3 B2 in another notation).
    phi21 : float, default=0
        Azimuth of the coma in degrees.
    c23 : float, default=0
        Three-fold astigmatism in nm (A2 in another notation).
    phi23 : float, default=0
        Azimuth of the three-fold astigmatism in degrees.
    aperture : float, optional
        Semi-angle of the objective aperture in mrad; by default there is none.

    Raises
    ------
    ValueError
        If a parameter is not finite, voltage or aperture is not positive, or spread, convergence
        or vibration is negative.

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
    c12: float = 0.0
    phi12: float = 0.0
    c21: float = 0.0
    phi21: float = 0.0
    c23: float = 0.0
    phi23: float = 0.0
    aperture: float | None = None

    # The focal distribution is summed at this many points per half-width, up to two half-widths.
    # The default spread gives steps of 1 nm, so one stack is enough for a series in whole nm.
    _STEPS_PER_SPREAD = 4
    _HALF_WIDTHS = 2
    # Limit of the grid of the image wave (1/Angstrom) for a vibration of 50 pm. With this vibration
    # there is no intensity above 1.3 1/Angstrom. Aliasing below that comes only from waves near the
    # limit, where crystals scatter almost nothing (tests compare with a grid twice as fine).
    _GRID_LIMIT = 2.4

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "aperture" and value is None:
                continue
            try:
                finite = math.isfinite(value)
            except TypeError as error:
                raise TypeError(f"{field.name} must be a number, got {value!r}.") from error
            if not finite:
                raise ValueError(f"{field.name} must be finite, got {value!r}.")
            if field.name in ("voltage", "aperture") and value <= 0:
                raise ValueError(f"{field.name} must be positive, got {value!r}.")
            if field.name in ("focal_spread", "convergence", "vibration") and value < 0:
                raise ValueError(f"{field.name} must not be negative, got {value!r}.")

    def _aberrations(self, wy, wx):
        """All terms of chi except focus, and their gradient by (wy, wx), in Angstrom."""
        w2 = wy**2 + wx**2
        c3, c5 = self.c3 * 1e4, self.c5 * 1e7
        chi = w2**2 * (c3 / 4 + w2 * c5 / 6)
        slope = w2 * (c3 + w2 * c5)  # radial, over w
        chi_y, chi_x = wy * slope, wx * slope
        terms = [
            (self.c12, self.phi12, 2, 2),
            (self.c21, self.phi21, 1, 3),
            (self.c23, self.phi23, 3, 3),
        ]
        wy, wx = torch.broadcast_tensors(wy, wx)
        omega = torch.complex(wx, wy)
        for size, azimuth, m, order in terms:
            if size:
                # w^order cos(m (phi - azimuth)) = w^(order - m) Re(turn omega^m)
                turn = size * 10 / order * cmath.exp(-1j * m * math.radians(azimuth))
                angular, slope = turn * omega**m, m * turn * omega ** (m - 1)
                radial = w2 ** ((order - m) // 2)
                chi = chi + radial * angular.real
                chi_x = chi_x + radial * slope.real + (order - m) * wx * angular.real
                chi_y = chi_y - radial * slope.imag + (order - m) * wy * angular.real
        return chi, chi_y, chi_x

    def _transfer(self, gy, gx):
        """Return a function of C1 (nm): the lens's complex transfer at frequencies (gy, gx)."""
        wavelength = electron_wavelength(self.voltage)
        wy, wx = gy * wavelength, gx * wavelength
        w2 = wy**2 + wx**2
        chi, chi_y, chi_x = self._aberrations(wy, wx)
        half_angle = self.convergence * 1e-3 / 2 * (2 * math.pi / wavelength)
        # squared gradient as a polynomial in focus
        constant, linear = chi_y**2 + chi_x**2, 2 * (chi_y * wy + chi_x * wx)
        open_ = 1.0 if self.aperture is None else (w2 <= (self.aperture * 1e-3) ** 2).float()

        turn = torch.polar(
            torch.ones_like(w2).float() * open_,
            torch.remainder(-chi * (2 * math.pi / wavelength), 2 * math.pi).float(),
        )

        def focus(w, c1):
            phase = torch.remainder(w**2 * (-c1 * math.pi / wavelength), 2 * math.pi).float()
            return torch.polar(torch.ones_like(phase), phase)

        def transfer(defocus):
            c1 = float(defocus) * 10
            gradient2 = constant + c1 * (linear + c1 * w2)
            envelope = torch.exp((-(half_angle**2) * gradient2).float())
            # the phase factor of focus is a product of one along y and one along x
            return (focus(wy, c1) * focus(wx, c1)).mul_(turn).mul_(envelope)

        return transfer

    def _vibration_damping(self, g2):
        return torch.exp(-2 * (math.pi * self.vibration / 100) ** 2 * g2)

    def information_limit(self, defocus=0.0):
        """Highest spatial frequency in 1/Angstrom with 1 % of its contrast in the image.

        Aperture, convergence, focal spread and vibration limit it, for weakly scattering
        specimens. Without any of these it is infinite. `defocus` is in nm.
        """
        wavelength = electron_wavelength(self.voltage)
        g = torch.arange(0, 1500, dtype=torch.float64) / 100
        angles = torch.arange(0, 360, 15, dtype=torch.float64) * (math.pi / 180)
        gy, gx = g[:, None] * torch.sin(angles), g[:, None] * torch.cos(angles)
        offsets, weights = self._focal_distribution()
        spread = torch.as_tensor(offsets * self.focal_spread * 10)
        chromatic = torch.exp(1j * math.pi * wavelength * g[:, None] ** 2 * spread)
        # a sum over few foci grows again where their phases agree; a Gaussian does not
        chromatic = (chromatic * torch.as_tensor(weights)).sum(1).abs().cummin(0).values
        contrast = self._transfer(gy, gx)(defocus).abs() * chromatic[:, None]
        contrast = contrast * self._vibration_damping(g[:, None] ** 2)
        transferred = torch.nonzero((contrast > _TRANSFERRED).any(1))[:, 0]
        last = int(transferred.max())
        return math.inf if last == len(g) - 1 else float(g[last])

    def delocalisation(self, defocus):
        """Delocalisation: largest distance in Angstrom to which the lens displaces details.

        It is the largest over all frequencies up to the information limit, with the focal spread.
        The vacuum around an isolated specimen must be wider. `defocus` is in nm, one value or
        several.
        """
        reach = self._HALF_WIDTHS * self.focal_spread
        values = np.concatenate([np.ravel(defocus) - reach, np.ravel(defocus) + reach])
        limit = max(self.information_limit(d) for d in (np.min(defocus), np.max(defocus)))
        wavelength = electron_wavelength(self.voltage)
        w = torch.linspace(0, min(limit, 2 * self._GRID_LIMIT) * wavelength, 200)[:, None].double()
        angles = torch.arange(0, 360, 15, dtype=torch.float64) * (math.pi / 180)
        wy, wx = w * torch.sin(angles), w * torch.cos(angles)
        _, chi_y, chi_x = self._aberrations(wy, wx)
        extremes = values[[values.argmin(), values.argmax()]] * 10
        return max(float(torch.hypot(chi_y + wy * c1, chi_x + wx * c1).max()) for c1 in extremes)

    def _focal_distribution(self):
        """Offsets of focus in half-widths, and their weights."""
        reach = self._STEPS_PER_SPREAD * self._HALF_WIDTHS if self.focal_spread else 0
        offsets = np.arange(-reach, reach + 1) / self._STEPS_PER_SPREAD
        weights = np.exp(-(offsets**2))
        return offsets, weights / weights.sum()

    def _focus_grid(self, defocus):
        """Return the focus values (nm) to image at, weights, and the index of each defocus in them.

        If the steps of a defocus series fall on the grid of the focal average, one coherent stack
        is enough for the whole series. Otherwise each defocus has its own focus values.
        """
        offsets, weights = self._focal_distribution()
        values, index = np.unique(
            np.round(defocus[:, None] + offsets * self.focal_spread, 6), return_inverse=True
        )
        return values, weights, index.reshape(len(defocus), -1)

    def _check_sampling(self, extent, shape, defocus):
        """Refuse a grid that is too coarse for the frequencies that the lens transfers."""
        holds = BAND_LIMIT * highest_frequency(shape, extent)
        limit = max(self.information_limit(d) for d in (defocus.min(), defocus.max()))
        if holds < limit < math.inf:
            finest = BAND_LIMIT / (2 * limit)
            needed = tuple(math.ceil(length / finest) + 2 for length in extent)
            raise ValueError(
                f"A grid of {tuple(shape)} over {extent[0]:g} x {extent[1]:g} Angstrom is too "
                f"coarse: it holds {holds:.2f} 1/Angstrom (2/3 of its highest frequency) and the "
                f"microscope transfers up to {limit:.2f}. Calculate the wave on at least {needed} "
                "samples, or close the aperture."
            )

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
            If defocus is empty or not finite, or the wave's grid is too coarse for the frequencies
            that aperture, aberrations and coherence transfer.
        """
        defocus = np.atleast_1d(np.asarray(defocus, dtype=np.float64))
        if defocus.ndim != 1 or defocus.size == 0 or not np.isfinite(defocus).all():
            raise ValueError(f"defocus must be finite and not empty (nm), got {defocus}.")
        if wave.ndim != 2 or not wave.is_complex():
            raise ValueError(
                f"wave must be complex, (height, width), got {wave.dtype} of {tuple(wave.shape)}."
            )
        extent, shape = check_grid(extent, tuple(wave.shape))
        self._check_sampling(extent, shape, defocus)
        spectrum = torch.fft.fft2(wave)
        limit = self._GRID_LIMIT * max(1, 50 / self.vibration) if self.vibration else math.inf
        if limit < math.inf:
            spectrum = crop_spectrum(spectrum, extent, limit)
        device = wave.device
        gy, gx = (
            frequencies(n, length, device) for n, length in zip(spectrum.shape, extent, strict=True)
        )
        gy, gx = gy[:, None], gx[None]
        transfer = self._transfer(gy, gx)
        values, weights, index = self._focus_grid(defocus)
        averages = torch.zeros(len(defocus), len(values), dtype=torch.float32)
        for i, row in enumerate(index):
            averages[i, row] = torch.as_tensor(weights, dtype=torch.float32)
        averages = averages.to(device)
        intensity = torch.zeros(len(defocus), spectrum.numel(), device=device)
        for first in range(0, len(values), _FOCI_AT_ONCE):
            chunk = slice(first, first + _FOCI_AT_ONCE)
            sub_images = torch.stack(
                [
                    torch.fft.ifft2(transfer(value).mul_(spectrum)).flatten()
                    for value in values[chunk]
                ]
            )
            sub_images = sub_images.real.square() + sub_images.imag.square()
            intensity.addmm_(averages[:, chunk], sub_images)
        spectra = torch.fft.fft2(intensity.reshape(-1, *spectrum.shape))
        spectra *= self._vibration_damping(gy**2 + gx**2).float()
        if limit < math.inf:
            # vibration damps the intensity beyond 3/4 of the limit to less than 1e-6
            spectra = crop_spectrum(spectra, extent, 0.75 * limit)
        return spectra, tuple(spectra.shape[-2:])
