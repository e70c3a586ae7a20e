"""Noise of electron-counting detectors."""

import sys
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from temdenoise._validation import as_float32, as_real_array
from temdenoise.images import stack_like

# A count as large as this is none, and would overflow in NumPy's draws.
_TOO_MANY = 2**53


class PoissonNoise(BaseEstimator):
    """Shot noise: each pixel's count is Poisson distributed about the clean image.

    Section 2 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    dose : None, float or (float, float), default=None
        Mean counts per pixel of each image. None: the clean images are in counts per pixel
        already. A float: every image is scaled to that mean first. A pair (low, high): the mean of
        each image is drawn log-uniformly between the two.
    random_state : None, int or RandomState, default=None
        An int gives the same noise in every call of `sample`. A RandomState instance, or None
        (NumPy's global one), gives new noise in each call.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import PoissonNoise
    >>> clean = np.full((2, 64, 64), 0.45, dtype=np.float32)
    >>> noisy = PoissonNoise(random_state=0).sample(clean)
    >>> noisy.dtype, noisy.shape
    (dtype('float32'), (2, 64, 64))
    >>> noisy, scaled = PoissonNoise(dose=3.0, random_state=0).sample(clean, return_clean=True)
    >>> float(scaled.mean())
    3.0
    """

    _parameter_constraints = {
        "dose": [None, Interval(Real, 0, None, closed="neither"), tuple, list],
        "random_state": ["random_state"],
    }

    def __init__(self, *, dose=None, random_state=None):
        self.dose = dose
        self.random_state = random_state

    def sample(self, clean, *, return_clean=False, random_state=None):
        """Draw noisy images.

        Parameters
        ----------
        clean : array-like or torch.Tensor of shape (height, width) or (n_images, height, width)
            Clean images: mean counts per pixel, or proportional to them if `dose` is set. Finite
            and not negative. There may be more axes, such as the channels of a tensor; the first
            axis is that of the images.
        return_clean : bool, default=False
            Whether to return the clean images too, on the scale of the noisy ones. Training pairs
            need them.
        random_state : None, int, RandomState or torch.Generator, default=None
            Overrides the constructor's for this call. A torch.Generator (of the tensor's device)
            is for tensors only.

        Returns
        -------
        noisy : ndarray or torch.Tensor, of the shape of `clean`
            Counts per pixel. An array gives float32, a `temdenoise.ImageStack` gives one with the
            same pixel size. A tensor gives a tensor of its dtype on its device (float32 for integer
            and half precision tensors).
        clean : ndarray or torch.Tensor
            Scaled clean images of the same shape and dtype. Only if `return_clean` is True.

        Raises
        ------
        ValueError
            If `clean` has a negative, NaN or infinite value, has fewer than two axes or no pixel,
            is not real, is a masked array with masked elements, or if an image that is zero
            everywhere has to be scaled to a dose.
        TypeError
            If `clean` holds objects that are not numbers.
        """
        self._validate_params()
        dose = self._check_dose()
        if random_state is None:
            random_state = self.random_state
        torch = sys.modules.get("torch")  # a tensor can only come from a torch already imported
        if torch is not None and isinstance(clean, torch.Tensor):
            clean, noisy = _sample_torch(torch, clean, dose, random_state)
        else:
            images = clean
            clean, noisy = _sample_numpy(images, dose, random_state)
            clean, noisy = stack_like(clean, images), stack_like(noisy, images)
        return (noisy, clean) if return_clean else noisy

    def on_bins(self, area):
        """Noise of sums over `area` pixels: sums of Poisson counts are Poisson counts.

        Parameters
        ----------
        area : float
            Number of pixels in a bin.

        Returns
        -------
        noise : PoissonNoise
        """
        dose = self._check_dose()
        if isinstance(dose, tuple | list):
            return PoissonNoise(dose=tuple(d * area for d in dose))
        return PoissonNoise(dose=None if dose is None else dose * area)

    def _check_dose(self):
        if not isinstance(self.dose, tuple | list):
            return self.dose
        numbers = all(isinstance(d, Real) and np.isfinite(d) for d in self.dose)
        if len(self.dose) != 2 or not numbers or not 0 < self.dose[0] <= self.dose[1]:
            raise ValueError(
                "dose must be None, a positive number or a pair (low, high) with "
                f"0 < low <= high, in counts per pixel; got {self.dose!r}."
            )
        return self.dose


def thin_counts(counts, fraction=0.5, random_state=None):
    """Split counted images into two that are independent of each other.

    Each electron goes to the first part with probability `fraction`, otherwise to the second. If
    the counts are Poisson distributed, the parts are Poisson distributed too, and independent of
    each other. Their means are `fraction` and ``1 - fraction`` times the mean of the whole. One
    part can be denoised, and the other part can test the result.

    Parameters
    ----------
    counts : array-like of any shape
        Electron counts: whole numbers, not negative, of any real dtype.
    fraction : float, default=0.5
        Probability that an electron goes to the first part, between 0 and 1, both excluded.
    random_state : None, int or RandomState, default=None
        Source of randomness.

    Returns
    -------
    a, b : ndarrays of the shape of `counts`
        The two parts, in the dtype of `counts` (uint8 for bool); ``a + b`` equals `counts`.

    Raises
    ------
    ValueError
        If `counts` are negative, not whole or not real numbers, or a masked array with masked
        elements, or if `fraction` is out of range.
    TypeError
        If `counts` hold objects that are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import thin_counts
    >>> counts = np.random.default_rng(0).poisson(2.0, size=(64, 64))
    >>> a, b = thin_counts(counts, fraction=0.25, random_state=0)
    >>> bool((a + b == counts).all())
    True
    """
    if not (isinstance(fraction, Real) and 0 < fraction < 1):
        raise ValueError(f"fraction must be a number between 0 and 1, excluded; got {fraction!r}.")
    images, counts = counts, as_real_array(counts, "counts", "thin_counts")
    if counts.dtype.kind == "f" and not (np.isfinite(counts) & (np.rint(counts) == counts)).all():
        raise ValueError(
            "counts must be whole numbers: an image that was scaled, interpolated or "
            "gain-corrected cannot be split into independent parts. Use the raw counts."
        )
    if counts.size and counts.min() < 0:
        raise ValueError(f"counts must not be negative; the smallest is {counts.min()}.")
    if counts.size and counts.max() >= _TOO_MANY:
        raise ValueError(f"counts must be below {_TOO_MANY:g}; the largest is {counts.max():g}.")
    dtype = np.uint8 if counts.dtype == bool else counts.dtype
    drawn = check_random_state(random_state).binomial(counts.astype(np.int64), fraction)
    a = np.asarray(drawn, dtype=dtype)
    b = (counts.astype(dtype) - a).astype(dtype)
    return stack_like(a, images), stack_like(b, images)


def _sample_numpy(clean, dose, random_state):
    clean = as_float32(clean, "clean", "PoissonNoise")
    _check_shape(clean.shape)
    _check_range(clean.min(), clean.max())
    rng = check_random_state(random_state)
    images = clean[np.newaxis] if clean.ndim == 2 else clean
    if dose is not None:
        means = images.mean(axis=tuple(range(1, images.ndim)), dtype=np.float64)
        factor = _draw_doses(dose, len(images), rng) / _check_means(means)
        shape = (-1,) + (1,) * (images.ndim - 1)
        images = (images * factor.reshape(shape)).astype(np.float32)
    noisy = np.empty_like(images)
    for i, image in enumerate(images):  # image by image: NumPy draws in int64, twice the memory
        noisy[i] = rng.poisson(image)
    return images.reshape(clean.shape), noisy.reshape(clean.shape)


def _sample_torch(torch, clean, dose, random_state):
    _check_shape(clean.shape)
    _check_real(clean)
    # Half precision does not hold all whole numbers above 2048 (256 in bfloat16): draw in float32.
    if clean.dtype not in (torch.float32, torch.float64):
        clean = clean.float()
    _check_range(*(float(v) for v in torch.aminmax(clean.detach())))
    if isinstance(random_state, torch.Generator):
        generator = random_state
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        rng = check_random_state(seed) if dose is not None else None
    else:
        rng = check_random_state(random_state)
        generator = torch.Generator(device=clean.device)
        generator.manual_seed(int(rng.randint(np.iinfo(np.int32).max)))
    if dose is not None:
        images = clean[None] if clean.ndim == 2 else clean
        means = images.double().flatten(1).mean(dim=1).cpu().numpy()
        factor = _draw_doses(dose, len(images), rng) / _check_means(means)
        factor = torch.as_tensor(factor, dtype=clean.dtype, device=clean.device)
        clean = (images * factor.reshape((-1,) + (1,) * (images.ndim - 1))).reshape(clean.shape)
    return clean, torch.poisson(clean, generator=generator)


def _check_shape(shape):
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            "clean must be an image (height, width) or a stack (n_images, ..., height, width) "
            f"with pixels, got shape {tuple(shape)}."
        )


def _check_real(tensor):
    if tensor.is_complex():
        raise ValueError(f"clean must hold real numbers, got a tensor of {tensor.dtype}.")


def _check_range(low, high):
    # This form refuses NaN too, because comparisons with NaN are False.
    if not (low >= 0 and high < np.inf):
        raise ValueError(
            "clean must hold finite mean counts per pixel, none negative. "
            f"Its values range from {low} to {high}."
        )


def _check_means(means):
    if not (means > 0).all():
        raise ValueError(
            f"image {int(np.argmin(means))} of clean is zero everywhere and cannot be scaled to "
            "a dose. Leave it out, or use dose=None."
        )
    return means


def _draw_doses(dose, n_images, rng):
    if isinstance(dose, Real):
        return np.full(n_images, float(dose))
    return np.exp(rng.uniform(np.log(dose[0]), np.log(dose[1]), size=n_images))
