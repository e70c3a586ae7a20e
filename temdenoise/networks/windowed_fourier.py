"""Windowed Fourier estimates: the spectra of crystals are sparse, that of shot noise is flat."""

import torch

from temdenoise.networks._padding import mirror_pad


def windowed_fourier_threshold(counts, window=48, stride=16, threshold=7.0, mode="hard"):
    """Keep the Fourier coefficients with more power than the shot noise, window by window.

    In each window the local mean is subtracted and the rest is transformed. Coefficients whose
    power is below `threshold` times the noise power (for Poisson counts: the local mean times the
    sum of the squared window) are set to zero. Overlapping windows are averaged.

    Parameters
    ----------
    counts : torch.Tensor, float32, shape (n, 1, h, w)
        Counts per pixel (or bin) with Poisson noise.
    window : int, default=48
        Side of a window in pixels.
    stride : int, default=16
        Distance between windows, 1 to `window`.
    threshold : float, default=7
        A coefficient is kept if its power, over that of the noise, is at least this.
    mode : {"hard", "soft"}, default="hard"
        "hard": kept coefficients are unchanged. "soft": they are reduced by the amplitude of the
        threshold.

    Returns
    -------
    torch.Tensor, float32, shape (n, 1, h, w)
        Estimated rate per pixel.

    Raises
    ------
    ValueError
        If there would be gaps between windows, or the mode is unknown.

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

    def filtered(spectrum, noise):
        floor = threshold * noise
        power = _power(spectrum)
        if mode == "hard":
            return spectrum.mul_(power > floor)
        return spectrum * (1 - (floor / power.clamp_min(_TINY)).sqrt()).clamp_min(0)

    return _window_by_window(filtered, window, stride, counts)


def windowed_fourier_wiener(counts, pilot, window=72, stride=24):
    """Scale each Fourier coefficient by the signal's share of its power, window by window.

    This is the empirical Wiener filter: the power of the signal is that of a first estimate, and
    the noise is that of Poisson counts.

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
        If there would be gaps between windows.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks.windowed_fourier import windowed_fourier_wiener
    >>> counts = torch.poisson(torch.full((1, 1, 60, 50), 3.0))
    >>> estimate = windowed_fourier_wiener(counts, torch.full_like(counts, 3.0))
    >>> bool(estimate.std() < 0.05 * counts.std())
    True
    """

    def filtered(spectrum, noise, pilot):
        signal = _power(pilot)
        return spectrum * (signal / (signal + noise).clamp_min(_TINY))

    return _window_by_window(filtered, window, stride, counts, pilot)


# Avoids 0 / 0 = NaN in windows without counts.
_TINY = 1e-20
# Number of values of the windows that a CPU filters at once.
_IN_CACHE = 2**18


def _sine(size, **kwargs):
    return torch.sin(torch.pi * (torch.arange(size, **kwargs) + 0.5) / size)


def _margins(n, window, stride):
    # windows start one window outside and end when the last pixel is covered as often as others
    before = window - stride
    return before, before + (window - n - 2 * before) % stride


def _power(spectrum):
    return spectrum.real.square() + spectrum.imag.square()


def _window_by_window(filtered, window, stride, *images):
    """Filter the spectra of overlapping windows of images (n, 1, h, w) and average the windows.

    `filtered` gets the spectra of some windows of the first image, the power of shot noise in them,
    and the spectra of the other images in the same windows. It may overwrite the first spectra.
    """
    if not 1 <= stride <= window:
        raise ValueError(f"stride must be 1 to window={window}, got {stride}.")
    n, _, h, w = images[0].shape
    margins = [_margins(size, window, stride) for size in (h, w)]
    images = [mirror_pad(image[:, 0], *margins[0], *margins[1]) for image in images]
    rows, columns = ((size - window) // stride + 1 for size in images[0].shape[-2:])
    edge = _sine(window, device=images[0].device, dtype=images[0].dtype)
    weight = edge[:, None] * edge

    blocks = -(-window // stride)
    total = edge.new_zeros(n, rows + blocks - 1, stride, columns + blocks - 1, stride)
    # A CPU takes a few rows of windows at a time, which fit in its cache.
    at_once = rows
    if edge.device.type == "cpu":
        at_once = max(1, _IN_CACHE // (n * columns * window**2))
    for first in range(0, rows, at_once):
        last = min(first + at_once, rows)
        part = slice(first * stride, (last - 1) * stride + window)
        spectra = [_spectra(image[:, part], weight, stride) for image in images]
        spectrum, mean, noise = spectra[0]
        windows = torch.fft.irfft2(
            filtered(spectrum, noise, *[other[0] for other in spectra[1:]]), s=(window, window)
        )
        windows = windows.addcmul_(mean, weight).mul_(weight)
        _overlap_add(total[:, first : last + blocks - 1], windows, stride)

    cover = [_cover(edge, count, stride) for count in (rows, columns)]
    before = window - stride
    inside = [slice(before, before + size) for size in (h, w)]
    total = total.flatten(3).flatten(1, 2)[:, *inside]
    return (total / (cover[0][inside[0], None] * cover[1][inside[1]]))[:, None]


def _spectra(images, weight, stride):
    """Spectra of the windows of images (n, h, w), with means and powers of shot noise.

    The spectra have the shape (n, rows, columns, window, window // 2 + 1), the others have the
    shape (n, rows, columns, 1, 1).
    """
    window = len(weight)
    windows = images.unfold(-2, window, stride).unfold(-2, window, stride) * weight
    mean = windows.sum((-2, -1), keepdim=True) / weight.sum()
    spectrum = torch.fft.rfft2(windows.addcmul_(mean, weight, value=-1))
    return spectrum, mean, mean * weight.square().sum()


def _overlap_add(total, windows, stride):
    """Add windows (n, rows, columns, window, window) to an image of blocks of the stride's side.

    The k-th blocks of all windows of a row tile the image, so the sum of the windows takes one
    addition for each block of a window.
    """
    rows, columns, window = windows.shape[1:4]
    steps = [slice(k, min(k + stride, window)) for k in range(0, window, stride)]
    for i, y in enumerate(steps):
        for j, x in enumerate(steps):
            block = windows[..., y, x].transpose(2, 3)
            height, width = block.shape[2], block.shape[4]
            total[:, i : i + rows, :height, j : j + columns, :width] += block


def _cover(edge, count, stride):
    """Sum of the squares of `count` windows along one axis."""
    cover = edge.new_zeros((count - 1) * stride + len(edge))
    for k in range(count):
        cover[k * stride : k * stride + len(edge)] += edge.square()
    return cover
