"""Windowed Fourier filter, for crystals."""

import math
from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._band_limit import find_binning
from temdenoise._calls import level_outside
from temdenoise._frames import warn_of_copies, warn_of_cuts
from temdenoise._jobs import map_images, one_torch_thread, side_by_side
from temdenoise.base import ScaledDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers._classical.movie_filter import MovieFilter, time_step
from temdenoise.tiling import apply_tiled

# Side of a bin, in nm: a little less than half the period of the finest detail that an
# aberration-corrected microscope transfers.
_BIN_SIZE = 0.025
# Sides of the windows, in bins: about seven unit cells of a metal at this bin size.
_WINDOWS = (72, 96)
# Side of the tiles, in bins. It limits the memory. Larger windows need larger tiles.
_TILE = 1536
# Bins up to this number of pixels may be larger than the image.
_MANY_PIXELS = 16
# Frames of a movie whose spectra tell its bins.
_LOOKED_AT = 8


class WindowedFourierDenoiser(ScaledDenoiser):
    """Keep the coefficients of a local Fourier transform that are stronger than the shot noise.

    The image of a crystal has a few strong Fourier coefficients in a window. Shot noise has the
    same power in all coefficients: the mean count of the window times the sum of its squared
    weights. Counts are first summed over bins (which loses nothing if the image is sampled finer
    than its detail), and the result is interpolated by cubic splines. There is no training. For
    images of crystals this is the strongest method here without trained weights. Near surfaces and
    defects it shows weak ripples.

    Parameters
    ----------
    mode : {"wiener", "hard", "soft"}, default="wiener"
        "hard": coefficients above the threshold are kept, the others are dropped. "soft": kept
        coefficients are reduced by the amplitude of the threshold. "wiener": a second pass weights
        each coefficient by the signal's share of the power, ``s / (s + noise)``, from the hard
        estimate.
    n_frames : int, default=1
        Frames of a movie that a window reaches over. With more than one, windows are blocks in
        rows, columns and time, and what stays or drifts from frame to frame stands out more: 9 for
        movies, 20 for those in which nothing happens. The drift need not be known.
    threshold : float, default=0.8
        Smallest power of a kept coefficient, in units of ``log(n**2 / 2)`` times the power of the
        noise, for windows of n x n bins. At 1, about one coefficient of noise passes per window.
        For blocks of t frames it is ``log(t * n**2 / 2)``.
    binning : "auto" or float, default="auto"
        Side of a bin, in the unit of `unit`. It may be a fraction of pixels, see
        `temdenoise.binning.bin_counts`. "auto": 0.025 nm, in whole pixels, if the pixel size is
        known; otherwise the largest that each image's spectrum allows, at most 6 pixels (of a
        movie: what the spectra of the images in `fit` allow).
    window_size : "auto", float or tuple of float, default="auto"
        Side of the windows, in the unit of `unit`. The estimates of several sizes are averaged.
        "auto": 72 and 96 bins.
    unit : {"px", "nm"}, default="px"
        Unit of bins and windows. "nm" needs the pixel size of the images.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1" ...; "auto" uses a GPU if there is one.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.
    binning_ : int
        Side of the bins, in pixels, that the spectra of the images in `fit` allow: what a movie of
        unknown pixel size is binned by. Only with ``n_frames > 1`` and ``binning="auto"``.

    Warns
    -----
    FramesWarning
        In ``transform``, with ``n_frames > 1``, if frames are copies of others close by, whose
        noise looks like structure, or the scene changes all at once.

    Notes
    -----
    With ``n_frames > 1``, ``X`` is a movie, in the order of time. An estimate depends on up to
    ``n_frames - 1`` frames on either side, twice as many with ``mode="wiener"``. Blocks at the ends
    of the movie hold fewer frames, and so do all blocks of a shorter movie: the estimates are less
    precise there, in a movie of one frame about those of one image. Frames may differ in dose. An
    event that lasts fewer frames than a block is smeared over it, unless it stands out of the noise
    by itself. Memory does not grow with the length of the movie beyond input and output.

    The noise follows from the mean count: X must be electron counts, not values proportional to
    them. Windows overlap by two thirds, and images are mirrored at their borders. Images are
    processed in tiles of 1536 bins. This limits the memory besides input and output to about a
    gigabyte.

    The windowed Fourier transform with a threshold is from Q. Kemao, "Windowed Fourier transform
    for fringe pattern analysis", Applied Optics 43, 2695 (2004).

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import WindowedFourierDenoiser
    >>> rows, columns = np.mgrid[:128, :128]
    >>> clean = 0.45 * (1 + 0.5 * np.cos(0.5 * columns + 0.2 * rows))[np.newaxis]
    >>> noisy = np.random.default_rng(0).poisson(clean)
    >>> denoiser = WindowedFourierDenoiser().fit(noisy)
    >>> gain = np.mean((noisy - clean) ** 2) / np.mean((denoiser.transform(noisy) - clean) ** 2)
    >>> bool(gain > 50)
    True
    """

    _parameter_constraints: dict = {
        "mode": [StrOptions({"wiener", "hard", "soft"})],
        "n_frames": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, None, closed="left")],
        "binning": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "window_size": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
            tuple,
            list,
        ],
        "unit": [StrOptions({"px", "nm"})],
        "device": [str],
    }
    _against_constant = True

    def __init__(
        self,
        *,
        mode="wiener",
        n_frames=1,
        threshold=0.8,
        binning="auto",
        window_size="auto",
        unit="px",
        device="auto",
    ):
        self.mode = mode
        self.n_frames = n_frames
        self.threshold = threshold
        self.binning = binning
        self.window_size = window_size
        self.unit = unit
        self.device = device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    @property
    def _context(self):
        # A block either way, in each pass, and whole steps: the blocks of a part of a movie are
        # then those of the whole.
        passes, step = 2 if self.mode == "wiener" else 1, self._time_step
        return -(-passes * (self.n_frames - 1) // step) * step

    @property
    def _time_step(self):
        return time_step(self.n_frames)

    def _transform(self, X, mask, pixel_size):
        from temdenoise._device import choose_device

        device = choose_device(self.device)
        unit = self._unit(pixel_size)
        if self.n_frames > 1:
            return self._transform_movie(X, pixel_size, unit, device)

        def denoise_into(out, image):
            factor = self._bin_factor(image, pixel_size, unit)
            windows = self._window_sizes(factor / unit)
            bins = bin_counts(image[None], factor)[0]
            rates = self._filter(bins, windows, device) / factor**2
            out[:] = unbin(rates[None], factor, image.shape)[0]

        return map_images(denoise_into, X, n_jobs=None if device.type == "cpu" else 1)

    def _transform_movie(self, X, pixel_size, unit, device):
        warn_of_copies(X, self.n_frames - 1, "look like structure", stacklevel=level_outside())
        warn_of_cuts(X, stacklevel=level_outside())
        shape = X.shape[1:]
        if self.binning == "auto" and pixel_size is None:
            factor = _checked(self.binning_, shape, None)
        else:
            factor = self._bin_factor(X[0], pixel_size, unit)
        windows = self._window_sizes(factor / unit)
        movie_filter = MovieFilter(
            # Wider windows would only repeat the image and its mirror image.
            windows=[min(n, 2 * math.ceil(max(shape) / factor)) for n in windows],
            n_frames=self.n_frames,
            threshold=self.threshold,
            mode=self.mode,
            halo=self._context,
            device=device,
        )
        denoised = np.empty_like(X)

        def denoise_into(part, wanted):
            rates = movie_filter(bin_counts(X[part], factor)) / factor**2
            inside = slice(wanted.start - part.start, wanted.stop - part.start)
            denoised[wanted] = unbin(rates[inside], factor, shape)

        n_bins = math.prod(math.ceil(n / factor) for n in shape)
        parts = movie_filter.parts(len(X), n_bins)
        n_jobs = None if device.type == "cpu" else 1
        side_by_side(lambda part: denoise_into(*part), parts, n_jobs=n_jobs)
        return denoised

    def _unit(self, pixel_size):
        """Return the number of pixels in the unit of bins and windows."""
        if self.unit == "px":
            return 1.0
        if pixel_size is None:
            raise ValueError(
                "unit='nm' needs the pixel size: give pixel_size in pm, or images that know it "
                "(temdenoise.ImageStack)."
            )
        return 1000 / pixel_size

    def _fit(self, X, y, mask):
        super()._fit(X, y, mask)
        self._window_sizes(1.0)  # refuses values that are wrong for any pixel size
        vars(self).pop("binning_", None)
        if self.n_frames > 1 and self.binning == "auto":
            some = X[:: -(-len(X) // _LOOKED_AT)]
            self.binning_ = int(np.median([find_binning(image) for image in some]))

    def _bin_factor(self, image, pixel_size, unit):
        """Side of a bin in pixels."""
        if self.binning == "auto":
            if pixel_size is None:
                return find_binning(image)
            factor = max(1, round(_BIN_SIZE * 1000 / pixel_size))
            return _checked(factor, image.shape, pixel_size)
        factor = self.binning * unit
        if factor < 1:
            at = "" if self.unit == "px" else f" nm at pixel_size={pixel_size:g} pm"
            raise ValueError(
                f"binning={self.binning:g}{at} is {factor:.3g} pixels, but a bin cannot be "
                f"smaller than a pixel. unit={self.unit!r} is the unit of binning."
            )
        return _checked(factor, image.shape, pixel_size)

    def _window_sizes(self, bin_size):
        """Sides of the windows in bins, from those of windows and bins in the same unit."""
        if isinstance(self.window_size, str):
            return _WINDOWS
        several = isinstance(self.window_size, tuple | list)
        sizes = self.window_size if several else [self.window_size]
        if not sizes or not all(isinstance(s, Real) and 0 < s < np.inf for s in sizes):
            raise ValueError(
                "window_size must be 'auto', a positive number or a tuple of them; "
                f"got {self.window_size!r}."
            )
        return [max(1, round(float(s) / bin_size)) for s in sizes]

    def _filter(self, bins, windows, device):
        """Rates per bin of counts per bin (rows, columns)."""
        import torch

        from temdenoise.networks.windowed_fourier import (
            windowed_fourier_threshold,
            windowed_fourier_wiener,
        )

        # Wider windows would only repeat the image and its mirror image.
        windows = [min(n, 2 * max(bins.shape)) for n in windows]
        sizes = [(n, max(1, n // 3)) for n in windows]
        floors = [self.threshold * max(0.0, math.log(n**2 / 2)) for n in windows]
        mode = "soft" if self.mode == "soft" else "hard"

        alone = one_torch_thread if device.type == "cpu" else nullcontext

        def apply(tile):
            with torch.inference_mode(), alone():
                counts = torch.from_numpy(tile.copy())[None, None].to(device)
                rates = sum(
                    windowed_fourier_threshold(counts, *size, floor, mode)
                    for size, floor in zip(sizes, floors, strict=True)
                ) / len(sizes)
                if self.mode == "wiener":
                    pilot = rates
                    rates = sum(windowed_fourier_wiener(counts, pilot, *size) for size in sizes)
                    rates = rates / len(sizes)
                return rates[0, 0].cpu().numpy()

        # A bin's estimate depends on one window in either direction, in each pass.
        halo = max(windows) * (2 if self.mode == "wiener" else 1)
        # If windows have the same places in the tiles as in the whole image, the result is exactly
        # the same. If the strides have no small common multiple, other windows are as good.
        multiple = math.lcm(*(stride for _, stride in sizes))
        return apply_tiled(
            apply,
            bins,
            tile=max(_TILE, 6 * halo),
            halo=halo,
            multiple=multiple if multiple <= halo else 1,
            n_jobs=None if device.type == "cpu" else 1,
        )


def _checked(factor, shape, pixel_size):
    """Refuse bins larger than the image, unless the bins are small."""
    if factor > max(*shape, _MANY_PIXELS):
        units = "" if pixel_size is None else f": is pixel_size={pixel_size:g} in pm?"
        raise ValueError(
            f"A bin of {factor:.4g} pixels is larger than the images of {shape[0]} x {shape[1]} "
            f"pixels{units or '.'}"
        )
    return factor
