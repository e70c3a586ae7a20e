"""Block-matching and 3-D filtering (BM3D)."""

from contextlib import nullcontext
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._jobs import map_images, one_torch_thread
from temdenoise.base import BaseDenoiser
from temdenoise.tiling import apply_tiled

# Larger images are filtered in tiles of this side, in pixels. This limits the memory to about 1 GB
# per image in progress.
_TILE = 768
# A pixel's estimate depends on blocks at this distance, plus twice the search radius.
_HALO = 48


class BM3DDenoiser(BaseDenoiser):
    """Block-matching and 3-D filtering, for white Gaussian noise.

    Similar blocks of 8 x 8 pixels are stacked, and each stack is filtered as a whole, in two
    stages. The first applies a hard threshold to the wavelet coefficients. The second is an
    empirical Wiener filter of the cosine coefficients that uses the first result as the truth.
    Every pixel is the weighted mean of all its estimates (K. Dabov, A. Foi, V. Katkovnik and
    K. Egiazarian, "Image denoising by
    sparse 3-D transform-domain collaborative filtering", IEEE Trans. Image Process. 16, 2080,
    2007). With a variance-stabilising transform before it, it is one of the methods compared in
    Section 5 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    sigma : "auto" or float, default="auto"
        Standard deviation of the noise, in counts per pixel (the unit of the images). "auto"
        estimates it for each image from its finest wavelet coefficients. With 0 the images are
        returned unchanged.
    profile : {"fast", "normal", "high", "crystal"}, default="normal"
        The four profiles have reference blocks every 5, 3, 2 or 5 pixels. They search similar
        blocks up to 9, 12, 12 or 24 pixels away in the first stage and 9, 19, 19 or 32 in the
        second. A stack holds up to 16, 16, 16 or 64 blocks in the first stage and 16, 32, 32 or 128
        in the second. "normal" is for images of any kind. "fast" takes half of its time, and "high"
        almost twice as long. "crystal" is for lattices that fill the image: it takes a third longer
        and gains up to 1 dB there.
    n_jobs : int or None, default=None
        Number of images denoised in parallel, in threads. None and -1: all CPUs. None also follows
        joblib's parallel_config and other workers on the machine.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" uses a GPU if there is one.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The filter itself learns nothing.

    Notes
    -----
    The method assumes white noise of one variance, and values may be negative. Electron counts are
    different: their variance is their mean. If the mean hardly varies over the image, "auto" finds
    a compromise; otherwise stabilise the variance first.

    The mean of an image is kept. If image and `sigma` are multiplied by a factor, so is the result.
    If an offset is added to an image, the result has the same offset. On a CPU the result is the
    same in every call. Images above 768 pixels are filtered in overlapping tiles.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import BM3DDenoiser
    >>> rows, columns = np.mgrid[:64, :64]
    >>> clean = np.cos(rows / 3) + np.cos(columns / 3)
    >>> noisy = np.random.default_rng(0).normal(clean, 0.5)[np.newaxis]
    >>> denoised = BM3DDenoiser(sigma=0.5).fit(noisy).transform(noisy)
    >>> bool(np.mean((denoised - clean) ** 2) < 0.1 * np.mean((noisy - clean) ** 2))
    True
    """

    _parameter_constraints: dict = {
        "sigma": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "profile": [StrOptions({"fast", "normal", "high", "crystal"})],
        "n_jobs": [None, Integral],
        "device": [str],
    }

    def __init__(self, *, sigma="auto", profile="normal", n_jobs=None, device="auto"):
        self.sigma = sigma
        self.profile = profile
        self.n_jobs = n_jobs
        self.device = device

    def _fit(self, X, y, mask):
        from temdenoise._device import choose_device

        choose_device(self.device)
        super()._fit(X, y, mask)

    def _transform(self, X, mask):
        from temdenoise._device import choose_device

        device = choose_device(self.device)
        return map_images(
            partial(self._denoise_into, device),
            X,
            self._sigmas(X, mask),
            n_jobs=self.n_jobs if device.type == "cpu" else 1,
        )

    def _sigmas(self, X, mask):
        if self.sigma != "auto":
            return [float(self.sigma)] * len(X)
        from temdenoise.denoisers._classical.bm3d.noise_level import estimate_sigma

        trusted = X if mask is None else np.where(mask, np.nan, X)
        return [estimate_sigma(image) for image in trusted]

    def _denoise_into(self, device, out, image, sigma):
        mean = image.mean(dtype=np.float64)
        centred = image - np.float32(mean)
        # Noise below the precision of float32, also sigma 0, is no noise.
        if sigma <= np.finfo(np.float32).eps * np.abs(centred).max():
            out[:] = image
            return
        filter_tile = partial(self._filter, sigma=np.float32(sigma), device=device)
        n_jobs = self.n_jobs if device.type == "cpu" else 1
        filtered = apply_tiled(filter_tile, centred, tile=_TILE, halo=_HALO, n_jobs=n_jobs)
        # Rare large counts of skewed noise get small weights, so the mean is restored here.
        out[:] = filtered - np.float32(filtered.mean(dtype=np.float64) - mean)

    def _filter(self, tile, sigma, device):
        import torch

        from temdenoise.denoisers._classical.bm3d.algorithm import PROFILES, bm3d

        alone = one_torch_thread() if device.type == "cpu" else nullcontext()
        with alone:
            image = torch.from_numpy(np.ascontiguousarray(tile / sigma)).to(device)
            return bm3d(image, PROFILES[self.profile]).cpu().numpy() * sigma
