"""The detector: from the intensity on the simulation's periodic grid to pixels."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from temdenoise._lengths import check_pixel_size
from temdenoise.simulation._grid import check_grid, frequencies


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Blur and loss of electrons by a counting detector and by drift during the exposure.

    The modulation transfer function (MTF), the pixels' area and drift multiply the spectrum of the
    intensity before it is sampled. Counts stay Poisson distributed and independent from pixel to
    pixel, so the detective quantum efficiency at u cycles per pixel is ``dqe * mtf(u) ** 2``.

    Parameters
    ----------
    mtf : None, float, callable or array-like of shape (n, 2), default=None
        Modulation transfer as a function of frequency in cycles per pixel (0.5: Nyquist). A number
        is the value at 0.5 of a Gaussian MTF, which is 1 at frequency 0. A table holds rows
        (frequency, value) and is interpolated; its last value is used at higher frequencies.
        None: 1 everywhere.
    dqe : float, default=1
        Detective quantum efficiency at frequency 0: share of the electrons that are counted.
    pixel_integration : bool, default=False
        True: pixels average over their (square) area. False: pixels have the intensity at their
        centres, as in the paper's images.
    drift : tuple of float, default=(0, 0)
        Uniform drift (x, y) of the specimen during the exposure in pm.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range.

    Examples
    --------
    >>> from temdenoise.simulation import Detector
    >>> camera = Detector(mtf=0.4, pixel_integration=True)
    >>> [round(camera.transfer(u), 3) for u in (0.0, 0.25, 0.5)]
    [1.0, 0.716, 0.255]
    """

    mtf: float | Callable | np.ndarray | None = None
    dqe: float = 1.0
    pixel_integration: bool = False
    drift: tuple = (0.0, 0.0)

    def __post_init__(self):
        if not 0 < self.dqe <= 1:
            raise ValueError(f"dqe must lie in (0, 1], got {self.dqe!r}.")
        drift = np.asarray(self.drift, dtype=float)
        if drift.shape != (2,) or not np.isfinite(drift).all():
            raise ValueError(f"drift must be two finite numbers (x, y) in pm, got {self.drift!r}.")
        if self.mtf is None or callable(self.mtf):
            return
        table = np.asarray(self.mtf)
        if table.dtype.kind not in "iuf":
            raise TypeError(
                f"mtf must be None, a number, a callable or rows (frequency, value), got "
                f"{self.mtf!r}."
            )
        if table.ndim == 0:
            if not 0 < table <= 1:
                raise ValueError(f"mtf at the Nyquist frequency must lie in (0, 1], got {table}.")
        elif table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
            raise ValueError(
                f"mtf must be finite rows (frequency, value), got shape {table.shape}."
            )
        elif table[0, 0] != 0 or (np.diff(table[:, 0]) <= 0).any() or table[-1, 0] < 0.5:
            raise ValueError(
                "mtf must be tabulated from 0 to at least 0.5 cycles per pixel at rising "
                f"frequencies, got {table[:, 0].tolist()}."
            )

    def _modulation(self, u):
        """Evaluate the MTF at radial frequencies (an array, cycles per pixel)."""
        if self.mtf is None:
            return np.ones_like(u)
        if callable(self.mtf):
            values = np.asarray(self.mtf(u), dtype=float)
            if values.shape != u.shape or not np.isfinite(values).all():
                raise ValueError(
                    "mtf must return one finite value for each frequency it is given, got shape "
                    f"{values.shape} for {u.shape}."
                )
            return values
        table = np.asarray(self.mtf, dtype=float)
        if table.ndim == 0:
            return table ** ((u / 0.5) ** 2)
        return np.interp(u, *table.T)

    def transfer(self, ux, uy=0.0, pixel_size=None):
        """Share of the contrast that is transferred at frequencies (ux, uy) in cycles per pixel.

        Parameters
        ----------
        ux, uy : float or ndarray
            Frequencies, broadcast together.
        pixel_size : float, optional
            Pixel size in pm, needed if there is drift.

        Returns
        -------
        float or ndarray
            Product of MTF, pixel area and drift.
        """
        ux, uy = np.broadcast_arrays(np.asarray(ux, dtype=float), np.asarray(uy, dtype=float))
        result = self._modulation(np.hypot(ux, uy))
        if self.pixel_integration:
            result = result * np.sinc(ux) * np.sinc(uy)
        if any(self.drift):
            dx, dy = np.array(self.drift) / check_pixel_size(pixel_size)
            result = result * np.sinc(ux * dx + uy * dy)
        return result if result.ndim else float(result)

    def blur(self, spectrum, extent, pixel_size):
        """Apply the transfer to the spectrum of an intensity, before it is sampled.

        Parameters
        ----------
        spectrum : torch.Tensor, complex, shape (..., height, width)
            Unnormalised FFT of the intensity.
        extent : tuple of float
            (height, width) of the periodic cell in Angstrom.
        pixel_size : float
            In pm.

        Returns
        -------
        torch.Tensor
            Spectrum of the same shape.
        """
        uy, ux = (
            frequencies(n, length).numpy() * (check_pixel_size(pixel_size) / 100)
            for n, length in zip(spectrum.shape[-2:], extent, strict=True)
        )
        transfer = self.transfer(ux[None], uy[:, None], pixel_size)
        return spectrum * torch.as_tensor(transfer, dtype=torch.float32, device=spectrum.device)


def sample_image(spectrum, extent, pixel_size, shape, origin=(0.0, 0.0)):
    """Evaluate a periodic band-limited image on any regular grid of pixels, exactly.

    The Fourier series is summed at the pixel positions by two matrix products, one per axis. There
    is no interpolation; any pixel size and any crop of the cell are possible.

    Parameters
    ----------
    spectrum : torch.Tensor, complex, shape (..., height, width)
        FFT (unnormalised, as ``torch.fft.fft2`` gives it) of the intensity, a real function.
    extent : tuple of float
        (height, width) of the periodic cell in Angstrom.
    pixel_size : float
        Distance between pixels in pm.
    shape : tuple of int
        (height, width) in pixels.
    origin : tuple of float, default=(0, 0)
        (y, x) of the first pixel's centre in Angstrom.

    Returns
    -------
    torch.Tensor, float32, shape (..., height, width)
        Intensity at the pixel centres.

    Raises
    ------
    ValueError
        If pixel size, extent or shape is not positive.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.simulation import sample_image
    >>> wave = torch.cos(2 * torch.pi * torch.arange(8) / 8).expand(8, 8)
    >>> finer = sample_image(torch.fft.fft2(wave), (8.0, 8.0), 50.0, (16, 16))
    >>> bool(torch.allclose(finer[0], torch.cos(2 * torch.pi * torch.arange(16) / 16), atol=1e-5))
    True
    """
    pixel_size = check_pixel_size(pixel_size)
    extent, _ = check_grid(extent, tuple(spectrum.shape[-2:]))
    if len(shape) != 2 or min(shape) < 1 or any(int(n) != n for n in shape):
        raise ValueError(f"shape must be (height, width) in pixels, got {tuple(shape)}.")
    matrices = []
    for axis in (0, 1):
        n = spectrum.shape[axis - 2]
        g = frequencies(n, extent[axis], spectrum.device)
        positions = torch.arange(shape[axis], dtype=torch.float64, device=spectrum.device)
        positions = positions * (pixel_size / 100) + origin[axis]
        phase = torch.remainder(2 * math.pi * positions[:, None] * g[None], 2 * math.pi)
        matrices.append(torch.polar(torch.ones_like(phase) / n, phase).to(torch.complex64))
    rows, columns = matrices
    # the function is real: frequencies along x are in pairs, except 0 and an even grid's highest
    width = spectrum.shape[-1]
    half = width // 2 + 1
    columns = columns[:, :half] * 2
    columns[:, 0] /= 2
    if width % 2 == 0:
        columns[:, -1] /= 2
    return (rows @ spectrum[..., :half] @ columns.T).real.contiguous()


def crop_spectrum(spectrum, extent, g_max):
    """Reduce an unnormalised FFT to a coarser grid: the frequencies up to `g_max` (1/Angstrom).

    The values are rescaled so that an inverse FFT of the result gives the same function.
    """
    old = spectrum.shape[-2:]
    new = [min(n, 2 * math.ceil(g_max * length) + 2) for n, length in zip(old, extent, strict=True)]
    for axis, (n, m) in enumerate(zip(old, new, strict=True)):
        if m < n:
            keep = torch.cat([torch.arange((m + 1) // 2), torch.arange(n - m // 2, n)])
            spectrum = spectrum.index_select(axis - 2, keep.to(spectrum.device))
    return spectrum * (new[0] * new[1] / (old[0] * old[1]))
