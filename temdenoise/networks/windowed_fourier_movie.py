"""Windowed Fourier estimates of movies: windows in rows, columns and time."""

import torch

from temdenoise.networks._padding import mirror_pad
from temdenoise.networks.windowed_fourier import (
    _IN_CACHE,
    _TINY,
    _cover,
    _margins,
    _overlap_add,
    _power,
    _sine,
)


def movie_threshold(counts, dose, *, window, stride, depth, step, threshold, mode="hard"):
    """Keep the Fourier coefficients of a movie with more power than the shot noise, by blocks.

    This is `temdenoise.networks.windowed_fourier_threshold` with blocks of `depth` frames. At the
    ends of the movie blocks have fewer frames, because a mirrored frame would repeat its noise.

    Parameters
    ----------
    counts : torch.Tensor, float32, shape (n_frames, h, w)
        Counts per bin with Poisson noise.
    dose : torch.Tensor, float32, shape (n_frames,)
        Mean counts per bin of each frame. A scene that only becomes brighter or darker is static.
        If it is 0, the estimate of the frame is 0.
    window, stride : int
        Side of a window, and distance between windows, in bins.
    depth, step : int
        Frames of a block, and distance between blocks.
    threshold : float
        A coefficient is kept if its power, over that of the noise, is at least this.
    mode : {"hard", "soft"}, default="hard"
        "hard": kept coefficients are unchanged. "soft": they are reduced by the amplitude of the
        threshold.

    Returns
    -------
    torch.Tensor, float32, shape (n_frames, h, w)
        Estimated rate per bin.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks.windowed_fourier_movie import movie_threshold
    >>> flat = torch.full((7, 30, 40), 3.0)
    >>> estimate = movie_threshold(
    ...     flat, flat.mean((1, 2)), window=12, stride=4, depth=5, step=2, threshold=7.0
    ... )
    >>> bool(torch.allclose(estimate, flat, atol=1e-4))
    True
    """

    def filtered(spectrum, noise):
        floor = threshold * noise
        power = _power(spectrum)
        if mode == "hard":
            return spectrum.mul_(power > floor)
        return spectrum * (1 - (floor / power.clamp_min(_TINY)).sqrt()).clamp_min(0)

    return _block_by_block(filtered, dose, window, stride, depth, step, counts)


def movie_wiener(counts, pilot, dose, *, window, stride, depth, step):
    """Scale each Fourier coefficient of a movie by the signal's share of its power, by blocks.

    Parameters
    ----------
    counts, dose, window, stride, depth, step
        As for `movie_threshold`.
    pilot : torch.Tensor, float32, shape (n_frames, h, w)
        First estimate of the rate.

    Returns
    -------
    torch.Tensor, float32, shape (n_frames, h, w)
        Estimated rate per bin.

    Examples
    --------
    >>> import torch
    >>> from temdenoise.networks.windowed_fourier_movie import movie_wiener
    >>> counts = torch.poisson(torch.full((7, 30, 40), 3.0))
    >>> estimate = movie_wiener(
    ...     counts, torch.full_like(counts, 3.0), counts.mean((1, 2)),
    ...     window=12, stride=4, depth=5, step=2,
    ... )
    >>> bool(estimate.std() < 0.1 * counts.std())
    True
    """

    def filtered(spectrum, noise, pilot):
        signal = _power(pilot)
        return spectrum.mul_(signal / (signal + noise).clamp_min(_TINY))

    return _block_by_block(filtered, dose, window, stride, depth, step, counts, pilot)


def _block_by_block(filtered, dose, window, stride, depth, step, *movies):
    """Filter the spectra of overlapping blocks of movies (t, h, w) and average the results.

    Frames are divided by the root of their dose. Then all frames of a static scene have the same
    noise, and each frame is the same image times its value in `flat`.
    """
    t, h, w = movies[0].shape
    flat = dose.clamp_min(0).sqrt()
    scale = torch.where(flat > 0, 1 / flat.clamp_min(_TINY), 0)[:, None, None]
    margins = [_margins(size, window, stride) for size in (h, w)]
    movies = [mirror_pad(movie * scale, *margins[0], *margins[1]) for movie in movies]
    rows, columns = ((size - window) // stride + 1 for size in movies[0].shape[-2:])
    edge = _sine(window, device=dose.device, dtype=dose.dtype)
    weight = edge[:, None] * edge
    blocks = _Blocks(t, depth, step, flat, weight)

    parts = -(-window // stride)
    total = edge.new_zeros(t, rows + parts - 1, stride, columns + parts - 1, stride)
    # A CPU takes a few rows of windows at a time, which bounds the memory too.
    at_once = rows
    if edge.device.type == "cpu":
        at_once = max(1, _IN_CACHE // (t * columns * window**2))
    for first in range(0, rows, at_once):
        last = min(first + at_once, rows)
        part = slice(first * stride, (last - 1) * stride + window)
        spectra = [_spectra(movie[:, part], weight, stride) for movie in movies]
        windows = torch.fft.irfft2(blocks.apply(filtered, spectra), s=(window, window))
        _overlap_add(total[:, first : last + parts - 1], windows.mul_(weight), stride)

    cover = [_cover(edge, count, stride) for count in (rows, columns)]
    before = window - stride
    inside = [slice(before, before + size) for size in (h, w)]
    total = total.flatten(3).flatten(1, 2)[:, *inside]
    total /= cover[0][inside[0], None] * cover[1][inside[1]]
    return total * (flat / blocks.cover)[:, None, None]


def _spectra(frames, weight, stride):
    """Spectra (t, rows, columns, window, window // 2 + 1) of the windows of each frame."""
    window = len(weight)
    windows = frames.unfold(-2, window, stride).unfold(-2, window, stride)
    return torch.fft.rfft2(windows * weight)


class _Blocks:
    """Blocks of frames, `step` apart. All frames are in the same number of blocks."""

    def __init__(self, n_frames, depth, step, flat, weight):
        self.n_frames, self.depth, self.flat = n_frames, depth, flat
        self.starts = range(step - depth, n_frames, step)
        self.edge = _sine(depth, device=flat.device, dtype=flat.dtype)
        self.even = torch.fft.rfft2(weight)  # spectrum of an even window
        self.area, self.power = weight.sum(), weight.square().sum()
        self.cover = torch.zeros_like(flat)
        for part, edge in self._parts():
            self.cover[part] += edge.square()

    def _parts(self):
        """Existing frames of each block, and their weights."""
        for start in self.starts:
            part = slice(max(0, start), min(self.n_frames, start + self.depth))
            yield part, self.edge[part.start - start : part.stop - start]

    def apply(self, filtered, spectra):
        """Filter spectra of windows in space, after a transform in time."""
        kept = torch.zeros_like(spectra[0])
        for part, edge in self._parts():
            flat = edge * self.flat[part]
            if not bool(flat.any()):  # frames without electrons
                continue
            shape = (-1, *[1] * (kept.ndim - 1))
            edge, flat = edge.view(shape), flat.view(shape)
            in_time = [self._in_time(spectrum[part], edge, flat) for spectrum in spectra]
            spectrum, mean = in_time[0]
            noise = mean * (edge.square().sum() * self.power)
            result = filtered(spectrum, noise, *[other for other, _ in in_time[1:]])
            result = torch.fft.ifft(result, dim=0)[: len(edge)]
            kept[part] += result.addcmul_(mean * flat, self.even).mul_(edge)
        return kept

    def _in_time(self, spectrum, edge, flat):
        """Spectrum of a block without its mean, and that mean (1, rows, columns, 1, 1)."""
        spectrum = spectrum * edge
        mean = spectrum[..., :1, :1].real.sum(0, keepdim=True) / (flat.sum() * self.area)
        spectrum.addcmul_(mean * flat, self.even, value=-1)
        return torch.fft.fft(spectrum, n=self.depth, dim=0), mean
