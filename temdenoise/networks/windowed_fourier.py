"""Windowed Fourier estimates: crystals are sparse in them, shot noise is flat."""

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
    edge = _sine(size, **kwargs)
    return edge[:, None] * edge


def windowed_fourier_threshold(counts, window=48, stride=16, threshold=7.0, mode="hard"):
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
    mode : {"hard", "soft"}, default="hard"
        Keep what passes as it is, or shortened by the amplitude of the threshold.

    Returns
    -------
    torch.Tensor, float32, shape (n, 1, h, w)
        Estimated rate per pixel.

    Raises
    ------
    ValueError
        If the windows would leave gaps, or the mode is unknown.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks import windowed_fourier_threshold
    >>> flat = windowed_fourier_threshold(torch.full((1, 1, 60, 50), 3.0))
    >>> bool(torch.allclose(flat, torch.full_like(flat, 3.0), atol=1e-4))
    True
    """
    if mode not in ("hard", "soft"):
        raise ValueError(f"mode must be 'hard' or 'soft', got {mode!r}.")
    spectrum, mean, noise = _spectra(counts, window, stride)
    floor = threshold * noise
    power = _power(spectrum)
    if mode == "hard":
        gain = power > floor
    else:
        gain = (1 - (floor / power.clamp_min(_TINY)).sqrt()).clamp_min(0)
    return _join(spectrum * gain, mean, counts.shape[-2:], window, stride)


def windowed_fourier_wiener(counts, pilot, window=72, stride=24):
    """Scale each Fourier coefficient by its signal's share of the power, window by window.

    The empirical Wiener filter: the power of the signal is that of a first estimate, the noise is
    that of Poisson counts.

    Parameters
    ----------
    counts : torch.Tensor, float32, shape (n, 1, h, w)
        Counts per pixel (or bin) with Poisson noise.
    pilot : torch.Tensor, float32, shape (n, 1, h, w)
        First estimate of their rate.
    window, stride : int
        As for `windowed_fourier_threshold`.

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
    >>> from temdenoise.networks.windowed_fourier import windowed_fourier_wiener
    >>> counts = torch.poisson(torch.full((1, 1, 60, 50), 3.0))
    >>> estimate = windowed_fourier_wiener(counts, torch.full_like(counts, 3.0))
    >>> bool(estimate.std() < 0.05 * counts.std())
    True
    """
    spectrum, mean, noise = _spectra(counts, window, stride)
    signal = _power(_spectra(pilot, window, stride)[0])
    gain = signal / (signal + noise).clamp_min(_TINY)
    return _join(spectrum * gain, mean, counts.shape[-2:], window, stride)


# Keeps 0 / 0, in windows without counts, from becoming NaN.
_TINY = 1e-20


def _sine(size, **kwargs):
    return torch.sin(torch.pi * (torch.arange(size, **kwargs) + 0.5) / size)


def _margins(n, window, stride):
    # windows start one window outside and go on until the last pixel is covered as often as others
    before = window - stride
    return before, before + (window - n - 2 * before) % stride


def _power(spectrum):
    return spectrum.real.square() + spectrum.imag.square()


def _spectra(images, window, stride):
    """Spectra of the windows (n, rows, columns, window, window // 2 + 1) of (n, 1, h, w).

    Also their means and the power of shot noise in them, (n, rows, columns, 1, 1).
    """
    if not 1 <= stride <= window:
        raise ValueError(f"stride must be 1 to window={window}, got {stride}.")
    h, w = images.shape[-2:]
    padded = mirror_pad(images[:, 0], *_margins(h, window, stride), *_margins(w, window, stride))
    weight = sine_window(window, device=images.device, dtype=images.dtype)
    windows = padded.unfold(-2, window, stride).unfold(-2, window, stride) * weight
    mean = windows.sum((-2, -1), keepdim=True) / weight.sum()
    spectrum = torch.fft.rfft2(windows - mean * weight)
    return spectrum, mean, mean * weight.square().sum()


def _join(spectrum, mean, shape, window, stride):
    """Transform the windows back and average them: rates (n, 1, h, w) of the given (h, w)."""
    windows = torch.fft.irfft2(spectrum, s=(window, window))
    edge = _sine(window, device=windows.device, dtype=windows.dtype)
    weight = edge[:, None] * edge
    windows = (windows + mean * weight) * weight
    n, rows, columns = windows.shape[:3]

    # Windows are cut into blocks of the stride's side; the k-th blocks of all windows of a row tile
    # the image, so that adding up the windows takes one addition for each block of a window.
    blocks = -(-window // stride)
    rest = blocks * stride - window
    windows = F.pad(windows, (0, rest, 0, rest))
    windows = windows.reshape(n, rows, columns, blocks, stride, blocks, stride)
    total = windows.new_zeros(n, rows + blocks - 1, stride, columns + blocks - 1, stride)
    for i in range(blocks):
        for j in range(blocks):
            part = windows[:, :, :, i, :, j].transpose(2, 3)
            total[:, i : i + rows, :, j : j + columns] += part
    total = total.flatten(3).flatten(1, 2)

    cover = [_cover(edge, count, stride) for count in (rows, columns)]
    before = window - stride
    inside = [slice(before, before + size) for size in shape]
    return (total[:, *inside] / (cover[0][inside[0], None] * cover[1][inside[1]]))[:, None]


def _cover(edge, count, stride):
    """Sum of the squares of `count` windows along one axis."""
    cover = edge.new_zeros((count - 1) * stride + len(edge))
    for k in range(count):
        cover[k * stride : k * stride + len(edge)] += edge.square()
    return cover
