"""Windowed Fourier threshold: crystals are sparse in it, shot noise is flat."""

import torch
from torch.nn import functional as F


def mirror_pad(images, top, bottom, left, right):
    """Pad (..., h, w) by mirroring at the borders, any number of times over."""

    def index(n, before, after):
        i = torch.arange(-before, n + after, device=images.device) % (2 * n)
        return torch.minimum(i, 2 * n - 1 - i)

    rows = index(images.shape[-2], top, bottom)
    columns = index(images.shape[-1], left, right)
    return images[..., rows, :][..., columns]


def sine_window(size, **kwargs):
    """Half a sine wave per axis, shape (size, size)."""
    edge = torch.sin(torch.pi * (torch.arange(size, **kwargs) + 0.5) / size)
    return edge[:, None] * edge


def windowed_fourier_threshold(counts, window=48, stride=16, threshold=7.0):
    """Keep the Fourier coefficients that stand out of the shot noise, window by window.

    In each window the local mean is taken off, the rest is transformed, and coefficients whose
    power is below `threshold` times the noise power (for Poisson counts: the local mean times the
    sum of the squared window) are dropped. Overlapping windows are averaged.

    Parameters
    ----------
    counts : torch.Tensor, float32, shape (n, 1, h, w)
        Counts per pixel (or bin) with Poisson noise.
    window : int, default=48
        Side of a window in pixels.
    stride : int, default=16
        Distance between windows, 1 to `window`.
    threshold : float, default=7
        Power, over that of the noise, from which a coefficient is kept.

    Returns
    -------
    torch.Tensor, float32, shape (n, 1, h, w)
        Estimated rate per pixel.

    Raises
    ------
    ValueError
        If the windows would leave gaps.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import windowed_fourier_threshold
    >>> flat = windowed_fourier_threshold(torch.full((1, 1, 60, 50), 3.0))
    >>> bool(torch.allclose(flat, torch.full_like(flat, 3.0), atol=1e-4))
    True
    """
    if not 1 <= stride <= window:
        raise ValueError(f"stride must be 1 to window={window}, got {stride}.")
    h, w = counts.shape[-2:]
    # windows start one window outside and go on until the last pixel is covered as often as others
    before = window - stride
    after = [before + (window - n - 2 * before) % stride for n in (h, w)]
    padded = mirror_pad(counts, before, after[0], before, after[1])
    shape = padded.shape[-2:]
    weight = sine_window(window, device=counts.device, dtype=counts.dtype)

    windows = F.unfold(padded, window, stride=stride).transpose(1, 2)
    windows = windows.reshape(*windows.shape[:2], window, window)
    mean = (windows * weight).sum((-2, -1), keepdim=True) / weight.sum()
    spectrum = torch.fft.rfft2((windows - mean) * weight)
    power = spectrum.real.square() + spectrum.imag.square()
    keep = power > threshold * mean * weight.square().sum()
    windows = torch.fft.irfft2(spectrum * keep, s=(window, window)) + mean * weight
    windows = (windows * weight).reshape(len(counts), -1, window * window).transpose(1, 2)
    total = F.fold(windows, shape, window, stride=stride)

    cover = weight.square().reshape(1, -1, 1).expand(1, -1, windows.shape[-1])
    total = total / F.fold(cover, shape, window, stride=stride)
    return total[..., before : before + h, before : before + w]
