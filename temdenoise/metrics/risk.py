"""Risk (mean squared error) of a denoiser, estimated from the noisy image alone."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from temdenoise._calls import image_function
from temdenoise._validation import check_images, refuse_masked
from temdenoise.noise._gate import passed, refuse_unless_counts

# Step of the difference quotient, in units of the gain or of the read noise (the larger one). It is
# small compared with the noise, and large compared with the rounding of float32.
_STEP = 0.05

# Share of the pixels that are changed by a whole count at once. It is small, so that few of them
# are near each other.
_SHARE = 0.005

# Number of pixels in one call of the denoiser, with "exact".
_PIXELS_PER_CALL = 2**22


def pure_risk(
    denoise,
    noisy,
    *,
    gain=1.0,
    offset=0.0,
    read_noise=0.0,
    n_probes=1,
    step="small",
    random_state=None,
):
    """Estimate the mean squared error of a denoiser without a clean image (PURE).

    The Poisson-Gaussian unbiased risk estimate of Luisier, Blu and Unser, "Image denoising in mixed
    Poisson-Gaussian noise", IEEE Trans. Image Process. 20, 696 (2011). With it one can compare
    denoisers, or the parameters of one, on the image that is to be denoised.

    Parameters
    ----------
    denoise : callable or fitted denoiser
        A function that maps images (n_images, height, width) to estimates of the same shape, image
        by image; or an object with such a ``transform``. It should depend smoothly on the counts,
        unless ``n_probes="exact"``.
    noisy : array-like of shape (height, width) or (n_images, height, width)
        Noisy images ``gain * Poisson(x / gain) + offset + Gaussian(read_noise)`` with independent
        pixels. With the default parameters these are raw electron counts.
    gain : float, default=1.0
        Units of the images per electron.
    offset : float, default=0.0
        Value of a pixel without electrons.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise, in the units of the images.
    n_probes : int or "exact", default=1
        A number: the divergence is taken to first order in the counts, as in the paper, from
        difference quotients along this number of random directions. Each direction takes two calls
        of the denoiser. One direction is enough for images of 100,000 pixels. "exact": each pixel
        that holds a count is changed in turn. This is neither approximate nor random, and takes one
        call of the denoiser per such pixel (two per pixel with read noise): for small images.
    step : {"small", "count"}, default="small"
        "small": the probes change every pixel by a twentieth of a count or less, for methods that
        depend smoothly on the counts. "count": the probes subtract a whole count from one pixel in
        four hundred, and add one to the same number of other pixels. This is for methods that react
        to single electrons, such as PURE-LET on bins of few counts, and for raw counts only. It
        scatters more for smooth methods.
    random_state : None, int or RandomState, default=None
        Source of randomness of the directions.

    Returns
    -------
    risk : float or ndarray of shape (n_images,)
        Estimate of the mean of ``(denoised - clean)**2``, where ``clean = x + offset``, in the
        squared units of the images. It can be negative because it scatters. Do not clip it before
        averaging.

    Raises
    ------
    TypeError
        If `denoise` is not callable and has no ``transform``.
    ValueError
        If the images are not valid, hold values below `offset` without read noise, or values that
        are no counts after offset and gain (`temdenoise.noise.check_counts`; not tested with read
        noise), a parameter is out of range, or the denoiser returns another shape or values that
        are not finite.

    Warns
    -----
    CountsWarning
        If the values may not be counts.

    See Also
    --------
    unbiased_mse : the same from a second, independent frame.

    Notes
    -----
    With z the image less its offset, f its estimate and e_n the unit of pixel n,

    ``PURE = mean(f(z)**2 + z**2 - gain z) - read_noise**2 - 2/N sum_n [z_n f_n(z - gain e_n) -
    read_noise**2 df_n/dz_n(z - gain e_n)]``

    has the expectation of the mean squared error. To first order the bracket is ``z_n f_n(z) -
    (gain z_n + read_noise**2) df_n/dz_n(z)``, which is exact for linear filters. This approximation
    is poor where one electron changes the estimate a lot. `temdenoise.PURELETDenoiser`, for
    example, has a threshold that depends on the local count, and almost no slope where that count
    is zero, one or two. There ``step="count"`` is correct, except for second-order terms of the few
    other pixels that are changed at the same time.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from temdenoise.metrics import pure_risk
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(256, 256))
    >>> def blur(images):
    ...     return gaussian_filter(images, (0, 2, 2))
    >>> true = ((blur(noisy[np.newaxis].astype(float)) - 0.45) ** 2).mean()
    >>> bool(abs(pure_risk(blur, noisy, random_state=0) - true) < 0.01)
    True
    """
    function = image_function(denoise, "denoise")
    gain = _check_number("gain", gain, positive=True)
    offset = _check_number("offset", offset)
    read_noise = _check_number("read_noise", read_noise)
    if read_noise < 0:
        raise ValueError(f"read_noise must not be negative, got {read_noise}.")
    exact = _check_probes(n_probes)
    if step not in ("small", "count"):
        raise ValueError(f'step must be "small" or "count", got {step!r}.')
    refuse_masked(noisy, "noisy")
    single = np.ndim(noisy) == 2
    images = np.asarray(noisy)[np.newaxis] if single else noisy
    images = check_images(images, estimator_name="pure_risk", name="noisy").astype(np.float64)
    counts = images - offset
    # The rounding of float32 is allowed for: it can move a value from the offset to below it.
    if read_noise == 0 and counts.min() < -1e-6 * max(1.0, abs(offset)):
        raise ValueError(
            f"noisy holds {images.min():g}, below offset={offset:g}, which is impossible without "
            "read noise. Give the read_noise of the detector, or correct the offset."
        )
    counts = counts if read_noise > 0 else np.maximum(counts, 0)
    if step == "count":
        if read_noise > 0 or np.abs(counts / gain - np.rint(counts / gain)).max() > 1e-3:
            raise ValueError(
                'step="count" needs whole counts, without read noise (gain and offset known): use '
                'step="small".'
            )
        counts = gain * np.rint(counts / gain)
    if read_noise == 0:
        refuse_unless_counts("noisy", counts.astype(np.float32), None, gain=gain)

    def estimate(z):
        """Map images minus the offset to estimates minus the offset."""
        with passed():  # they were looked at, and are counts no longer
            result = np.asarray(function((z + offset).astype(np.float32)), dtype=np.float64)
        if result.shape != z.shape or not np.isfinite(result).all():
            raise ValueError(
                f"The denoiser must return finite images of shape {z.shape}; it returned shape "
                f"{result.shape}" + ("." if result.shape != z.shape else " with NaN or infinity.")
            )
        return result - offset

    base = estimate(counts)
    if exact:
        product = [_exact_product(estimate, z, gain, read_noise) for z in counts]
    else:
        rng = check_random_state(random_state)
        if step == "count":
            divergence = _by_whole_counts(estimate, counts, base, gain, n_probes, rng)
        else:
            divergence = _first_order(estimate, counts, gain, read_noise, n_probes, rng)
        product = (counts * base).sum(axis=(1, 2)) - divergence
    pixels = counts[0].size
    risk = (base**2 + counts**2 - gain * counts).mean(axis=(1, 2)) - read_noise**2
    risk -= 2 / pixels * np.asarray(product)
    return float(risk[0]) if single else risk


def _first_order(estimate, counts, gain, read_noise, n_probes, rng):
    """Sum over pixels of the noise variance times the derivative of each estimate by its pixel."""
    variance = gain * counts + read_noise**2
    # Without read noise, only pixels that hold counts are changed, and by less than their counts.
    # Not every denoiser takes negative counts.
    varied = variance != 0
    step = _STEP * max(gain, read_noise)
    if read_noise == 0 and varied.any():
        step = min(step, counts[varied].min() / 2)
    total = np.zeros(len(counts))
    for _ in range(n_probes):
        direction = rng.choice([-1.0, 1.0], size=counts.shape) * varied
        slope = estimate(counts + step * direction) - estimate(counts - step * direction)
        total += (variance * direction * slope).sum(axis=(1, 2)) / (2 * step)
    return total / n_probes


def _by_whole_counts(estimate, counts, base, gain, n_probes, rng):
    """Sum over pixels of the counts, times the change of the estimate by one count less."""
    total = np.zeros(len(counts))
    for _ in range(n_probes):
        moved = (rng.random_sample(counts.shape) < _SHARE) & (counts > 0)
        # Equal numbers go up and down. To first order they do not change each other's estimates.
        change = gain * moved * rng.choice([-1.0, 1.0], size=counts.shape)
        for signed in (change, -change):
            less = signed < 0
            lost = base - estimate(counts + signed)
            total += np.sum(counts * lost, where=less, axis=(1, 2)) / _SHARE
    return total / n_probes


def _exact_product(estimate, image, gain, read_noise):
    """Unbiased estimate of the inner product of estimate and truth, pixel by pixel."""
    pixels = np.flatnonzero(image) if read_noise == 0 else np.arange(image.size)
    step = _STEP * max(gain, read_noise)
    per_call = max(1, _PIXELS_PER_CALL // image.size)
    total = 0.0
    for start in range(0, len(pixels), per_call):
        chosen = pixels[start : start + per_call]
        copies = np.repeat(image.reshape(1, -1), len(chosen), axis=0)

        def changed(by, copies=copies, chosen=chosen):
            rows = np.arange(len(chosen))
            varied = copies.copy()
            varied[rows, chosen] += by
            return estimate(varied.reshape(-1, *image.shape)).reshape(copies.shape)[rows, chosen]

        values = image.ravel()[chosen]
        if read_noise == 0:
            total += values @ changed(-gain)
        else:
            ahead, behind = changed(step - gain), changed(-step - gain)
            slope = (ahead - behind) / (2 * step)
            total += values @ (ahead + behind) / 2 - read_noise**2 * slope.sum()
    return total


def _check_number(name, value, positive=False):
    if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}.")
    if positive and value <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}.")
    return float(value)


def _check_probes(n_probes):
    if isinstance(n_probes, str) and n_probes == "exact":
        return True
    if not isinstance(n_probes, Integral) or isinstance(n_probes, bool) or n_probes < 1:
        raise ValueError(f'n_probes must be a positive whole number or "exact", got {n_probes!r}.')
    return False
