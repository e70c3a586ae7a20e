"""From the intensity on the simulation's periodic grid to the pixels of a detector."""

import math

import torch

from .multislice import frequencies


def sample_image(spectrum, extent, pixel_size, shape, origin=(0.0, 0.0)):
    """Evaluate a periodic band-limited image on any regular grid of pixels, exactly.

    The Fourier series is summed at the pixel positions: two matrix products, one per axis. No
    interpolation, any pixel size, any crop of the cell.

    Parameters
    ----------
    spectrum : torch.Tensor, complex, shape (..., height, width)
        FFT (unnormalised, as ``torch.fft.fft2`` gives it) of the intensity.
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

    Examples
    --------
    >>> import torch
    >>> from temdenoise.simulation import sample_image
    >>> wave = torch.cos(2 * torch.pi * torch.arange(8) / 8).expand(8, 8)
    >>> finer = sample_image(torch.fft.fft2(wave), (8.0, 8.0), 50.0, (16, 16))
    >>> bool(torch.allclose(finer[0], torch.cos(2 * torch.pi * torch.arange(16) / 16), atol=1e-5))
    True
    """
    matrices = []
    for axis in (0, 1):
        n = spectrum.shape[axis - 2]
        g = frequencies(n, extent[axis], spectrum.device)
        positions = torch.arange(shape[axis], dtype=torch.float64, device=spectrum.device)
        positions = positions * (pixel_size / 100) + origin[axis]
        phase = torch.remainder(2 * math.pi * positions[:, None] * g[None], 2 * math.pi)
        matrices.append(torch.polar(torch.ones_like(phase) / n, phase).to(torch.complex64))
    rows, columns = matrices
    return (rows @ spectrum @ columns.T).real.contiguous()


def crop_spectrum(spectrum, extent, g_max):
    """Keep the frequencies up to `g_max` (1/Angstrom) of an unnormalised FFT: a coarser grid.

    The values are rescaled so that an inverse FFT of the result gives the same function.
    """
    old = spectrum.shape[-2:]
    new = [min(n, 2 * math.ceil(g_max * length) + 2) for n, length in zip(old, extent, strict=True)]
    for axis, (n, m) in enumerate(zip(old, new, strict=True)):
        if m < n:
            keep = torch.cat([torch.arange((m + 1) // 2), torch.arange(n - m // 2, n)])
            spectrum = spectrum.index_select(axis - 2, keep.to(spectrum.device))
    return spectrum * (new[0] * new[1] / (old[0] * old[1]))
