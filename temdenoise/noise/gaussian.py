"""Additive Gaussian noise, the usual model for photographs."""

import sys
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from temdenoise._validation import as_float32
from temdenoise.images import stack_like
from temdenoise.noise.poisson import _check_real, _check_shape


class GaussianNoise(BaseEstimator):
    """White Gaussian noise with the same standard deviation in every pixel.

    Table 3.1b of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970) compares networks on photographs with this noise.

    Parameters
    ----------
    sigma : float, default=0.1
        Standard deviation, in the unit of the images.
    random_state : None, int or RandomState, default=None
        As in `PoissonNoise`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import GaussianNoise
    >>> noisy = GaussianNoise(sigma=0.2, random_state=0).sample(np.zeros((2, 64, 64)))
    >>> round(float(noisy.std()), 2)
    0.2
    """

    _parameter_constraints = {
        "sigma": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, *, sigma=0.1, random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def sample(self, clean, *, return_clean=False, random_state=None):
        """Draw noisy images.

        Parameters
        ----------
        clean : array-like or torch.Tensor of shape (height, width) or (n_images, height, width)
            Clean images, finite. There may be more axes.
        return_clean : bool, default=False
            Whether to return the clean images too.
        random_state : None, int, RandomState or torch.Generator, default=None
            Overrides the constructor's for this call. A torch.Generator (of the tensor's device)
            is for tensors only.

        Returns
        -------
        noisy : ndarray or torch.Tensor, of the shape of `clean`
            float32 for arrays. A tensor keeps its floating dtype and its device.
        clean : ndarray or torch.Tensor
            Only if `return_clean` is True.

        Raises
        ------
        ValueError
            If `clean` holds NaN or infinity, has fewer than two axes or no pixel.
        """
        self._validate_params()
        if random_state is None:
            random_state = self.random_state
        torch = sys.modules.get("torch")  # a tensor can only come from a torch already imported
        if torch is not None and isinstance(clean, torch.Tensor):
            _check_shape(clean.shape)
            _check_real(clean)
            clean = clean if clean.is_floating_point() else clean.float()
            _check_finite(bool(torch.isfinite(clean).all()))
            if not isinstance(random_state, torch.Generator):
                seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
                random_state = torch.Generator(device=clean.device).manual_seed(seed)
            draw = torch.randn(
                clean.shape, generator=random_state, device=clean.device, dtype=clean.dtype
            )
        else:
            images, clean = clean, as_float32(clean, "clean", "GaussianNoise")
            _check_shape(clean.shape)
            _check_finite(bool(np.isfinite(clean).all()))
            draw = check_random_state(random_state).standard_normal(clean.shape).astype(np.float32)
            clean = stack_like(clean, images)
        noisy = clean + self.sigma * draw
        return (noisy, clean) if return_clean else noisy

    def on_bins(self, area):
        """Noise of sums over `area` pixels.

        Parameters
        ----------
        area : float
            Number of pixels in a bin.

        Returns
        -------
        noise : GaussianNoise
        """
        return GaussianNoise(sigma=self.sigma * area**0.5)


def _check_finite(finite):
    if not finite:
        raise ValueError("clean must hold finite numbers.")
