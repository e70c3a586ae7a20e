"""Windowed Fourier filter, for crystals."""

import math
from contextlib import nullcontext
from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._band_limit import find_binning
from temdenoise._jobs import map_images, one_torch_thread
from temdenoise.base import ScaledDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.tiling import apply_tiled

# Side of a bin, in nm: half the period of the finest detail that an aberration-corrected microscope
# transfers, and then some.
_BIN_SIZE = 0.025
# Sides of the windows, in bins: some seven unit cells of a metal at that bin size.
_WINDOWS = (72, 96)
# Side of the tiles that bound the memory, in bins. Larger windows take larger tiles.
_TILE = 1536
# Bins up to this many pixels wide may be of images that are smaller.
_MANY_PIXELS = 16


class WindowedFourierDenoiser(ScaledDenoiser):
    """Keep what stands out of the shot noise in a local Fourier transform.

    A crystal's image has few strong Fourier coefficients in a window, where shot noise has the same
    power in all: the mean count of the window times the sum of its squared weights. Counts are
    summed over bins first (which loses nothing where the image is finer sampled than its detail
    needs) and interpolated back by cubic splines. Nothing is trained. It is the strongest of the
    methods here that need no trained weights, for images of crystals; near surfaces and defects it
    shows faint ripples.

    Parameters
    ----------
    mode : {"wiener", "hard", "soft"}, default="wiener"
        "hard": coefficients above the threshold are kept, the others dropped. "soft": the kept ones
        are shortened by the amplitude of the threshold. "wiener": the hard estimate serves to weigh
        each coefficient by its signal's share of the power, ``s / (s + noise)``, in a second pass.
    threshold : float, default=0.8
        Power from which a coefficient is kept, in units of ``log(n**2 / 2)`` times the power of the
        noise, for windows of n x n bins: at 1, about one coefficient of noise passes per window.
    binning : "auto" or float, default="auto"
        Side of a bin, in the unit of `unit`. It may be a fraction of pixels, see
        `temdenoise.binning.bin_counts`. "auto": 0.025 nm, in whole pixels, where the pixel size is
        known; otherwise what each image's spectrum allows, at most 6 pixels.
    window_size : "auto", float or tuple of float, default="auto"
        Side of the windows, in the unit of `unit`. The estimates of several sizes are averaged.
        "auto": 72 and 96 bins.
    unit : {"px", "nm"}, default="px"
        Unit of bins and windows. "nm" needs the pixel size of the images.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1" ...; "auto" takes a GPU if there is one.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Notes
    -----
    The noise is told by the mean count: X must be electron counts, not values proportional to them.
    Windows overlap by two thirds and images are mirrored at their borders. Images are worked on in
    tiles of 1536 bins, which bounds the memory beyond input and output to about a gigabyte.

    A windowed Fourier transform with a threshold is due to Q. Kemao, "Windowed Fourier transform
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

    def __init__(
        self,
        *,
        mode="wiener",
        threshold=0.8,
        binning="auto",
        window_size="auto",
        unit="px",
        device="auto",
    ):
        self.mode = mode
        self.threshold = threshold
        self.binning = binning
        self.window_size = window_size
        self.unit = unit
        self.device = device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _transform(self, X, mask, pixel_size):
        from temdenoise._device import choose_device

        device = choose_device(self.device)
        unit = self._unit(pixel_size)

        def denoise_into(out, image):
            factor = self._bin_factor(image, pixel_size, unit)
            windows = self._window_sizes(factor / unit)
            bins = bin_counts(image[None], factor)[0]
            rates = self._filter(bins, windows, device) / factor**2
            out[:] = unbin(rates[None], factor, image.shape)[0]

        return map_images(denoise_into, X, n_jobs=None if device.type == "cpu" else 1)

    def _unit(self, pixel_size):
        """Pixels in the unit of bins and windows."""
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
        self._window_sizes(1.0)  # refuses what no pixel size can mend

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
                f"smaller than a pixel; unit={self.unit!r} says what it is in."
            )
        return _checked(factor, image.shape, pixel_size)

    def _window_sizes(self, bin_size):
        """Sides of the windows in bins, from those of windows and bins in one unit."""
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

        # What a bin's estimate depends on: a window either way, in each pass.
        halo = max(windows) * (2 if self.mode == "wiener" else 1)
        # Tiles that keep the windows where they are in the whole image give its very result. Where
        # the strides have no small common multiple, the estimates of other windows are as good.
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
    """Refuse bins that hold a whole image, unless that has few pixels itself."""
    if factor > max(*shape, _MANY_PIXELS):
        units = "" if pixel_size is None else f": is pixel_size={pixel_size:g} in pm?"
        raise ValueError(
            f"A bin of {factor:.4g} pixels is larger than the images of {shape[0]} x {shape[1]} "
            f"pixels{units or '.'}"
        )
    return factor
