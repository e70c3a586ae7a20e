"""Image quality, measured with a clean image or with a second, independent noisy image.

All functions take one image (height, width) and return a float, or a stack
(n_images, height, width) and return an array of shape (n_images,).
"""

from numbers import Real

import numpy as np

from temdenoise._lengths import check_length, check_pixel_size
from temdenoise._validation import check_mask, refuse_masked
from temdenoise.images import pixel_size_of
from temdenoise.metrics._band import BAND_LIMIT, Band, limit_in_cycles, risk_of_image
from temdenoise.noise._gate import check_independent_counts

_CONVENTIONS = ("plain", "authors")

# Standard deviation, in pixels, of the Gaussian window of SSIM, and the side of its support.
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11


def psnr(clean, denoised, *, data_range=1.0, convention="plain", mask=None):
    """Peak signal-to-noise ratio, in dB.

    The measure of Section 5 of "Deep denoising for scientific discovery: a case study in electron
    microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    clean : array-like of shape (height, width) or (n_images, height, width)
        Clean images, in counts per pixel.
    denoised : array-like of the shape of `clean`
        Their estimates, in counts per pixel.
    data_range : float, default=1.0
        The peak, in counts per pixel.
    convention : {"plain", "authors"}, default="plain"
        "plain": ``10 log10(data_range**2 / mse)`` of the images as they are. "authors": both
        images are first multiplied by ``255 / data_range`` and clamped to 0..255, and the peak is
        255, as in the code that accompanies the paper. The two agree if no pixel is clamped.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width), optional
        True marks pixels left out.

    Returns
    -------
    psnr : float or ndarray of shape (n_images,)
        In dB; infinite where the images are identical.

    Raises
    ------
    ValueError
        If the shapes differ, are not those above, or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import psnr
    >>> round(psnr(np.full((8, 8), 0.5), np.full((8, 8), 0.6)), 6)
    20.0
    """
    clean, denoised, single = _check_two(clean, denoised, ("clean", "denoised"))
    clean, denoised, data_range = _apply_convention(clean, denoised, data_range, convention)
    error = _masked_mean((clean - denoised) ** 2, _check_metric_mask(mask, clean.shape, single))
    return _unstack(_decibel(error, data_range), single)


def ssim(clean, denoised, *, data_range=1.0, convention="plain"):
    """Structural similarity index.

    The parameters are those of Wang et al. (IEEE Trans. Image Process. 13, 600, 2004): a Gaussian
    window of standard deviation 1.5 px and population covariances, K1 = 0.01, K2 = 0.03.

    Parameters
    ----------
    clean : array-like of shape (height, width) or (n_images, height, width)
        Clean images, in counts per pixel, of at least 11 x 11 pixels.
    denoised : array-like of the shape of `clean`
        Their estimates, in counts per pixel.
    data_range : float, default=1.0
        The range of values, in counts per pixel.
    convention : {"plain", "authors"}, default="plain"
        As for `psnr`.

    Returns
    -------
    ssim : float or ndarray of shape (n_images,)
        At most 1, for identical images.

    Raises
    ------
    ValueError
        If the shapes differ, are not those above, an image is smaller than the window, or an
        option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import ssim
    >>> image = np.random.default_rng(0).uniform(size=(32, 32))
    >>> round(ssim(image, image), 6)
    1.0
    """
    from skimage.metrics import structural_similarity

    clean, denoised, single = _check_two(clean, denoised, ("clean", "denoised"))
    if min(clean.shape[1:]) < _SSIM_WINDOW:
        raise ValueError(
            f"ssim needs images of at least {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels, its window; "
            f"got {clean.shape[1]} x {clean.shape[2]}."
        )
    clean, denoised, data_range = _apply_convention(clean, denoised, data_range, convention)
    values = [
        structural_similarity(
            a,
            b,
            data_range=data_range,
            gaussian_weights=True,
            sigma=_SSIM_SIGMA,
            use_sample_covariance=False,
        )
        for a, b in zip(clean, denoised, strict=True)
    ]
    return _unstack(np.array(values), single)


def unbiased_mse(
    denoised, noisy_other, *, mask=None, pixel_size=None, band_limit=BAND_LIMIT, return_std=False
):
    """Unbiased estimate of the mean squared error, without a clean image.

    Let ``d`` be the denoised image, and ``n`` a second Poisson frame of the same scene, independent
    of the frame that was denoised. The expectation of ``(d - n)**2 - n`` is ``(d - clean)**2``,
    because the variance of ``n`` equals its mean, and this mean is the clean image. If the pixel
    size is known, images are compared only at the frequencies that a microscope transfers, and the
    power of ``d`` at higher frequencies is added. This scatters several times less.

    Parameters
    ----------
    denoised : array-like of shape (height, width) or (n_images, height, width)
        Estimates, in counts per pixel.
    noisy_other : array-like of the shape of `denoised`
        Independent raw electron counts of the same scene: another frame, or the other part of
        `temdenoise.thin_counts` (then `denoised` must be on the scale of that part).
    mask : None or bool array-like of shape (height, width) or (n_images, height, width), optional
        True marks pixels left out.
    pixel_size : float, optional
        Side of a pixel in pm. By default that of the images, if they know it
        (`temdenoise.ImageStack`).
    band_limit : float or None, default=1.28
        Highest spatial frequency of the clean image, in 1/Angstrom, where the pixel size is known.
        None: all frequencies are compared.
    return_std : bool, default=False
        Also return the standard error.

    Returns
    -------
    mse : float or ndarray of shape (n_images,)
        In (counts per pixel)**2. It can be negative because it scatters. Do not clip it before
        averaging.
    std : float or ndarray of shape (n_images,)
        Its standard error from the shot noise of `noisy_other`. Only if `return_std` is True.

    Raises
    ------
    TypeError
        If `pixel_size` or `band_limit` is not a number.
    ValueError
        If the shapes differ or are not those above, `pixel_size` or `band_limit` is not positive,
        or `noisy_other` holds no counts (`temdenoise.noise.check_counts`).

    Warns
    -----
    CountsWarning
        If `noisy_other` may not hold counts, or `denoised` seems to be made from it.

    See Also
    --------
    paired_risk : the mean over several thinnings of the same frames.
    compare_risk : the difference of two estimates, which scatters much less.

    Notes
    -----
    At 0.45 counts per pixel of 6.22 pm the standard error is a fifth of that of all frequencies.
    The standard error holds for independent Poisson counts. What changed in the scene between two
    frames is part of the error, and not of its standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.metrics import unbiased_mse
    >>> other = np.random.default_rng(0).poisson(0.5, size=(512, 512))
    >>> estimate = np.full((512, 512), 0.8)
    >>> mse, std = unbiased_mse(estimate, other, return_std=True)
    >>> print(f"{mse:.3f} +- {std:.3f}")  # the truth: (0.8 - 0.5)**2
    0.089 +- 0.002
    >>> mse, std = unbiased_mse(estimate, other, pixel_size=6.22, return_std=True)
    >>> print(f"{mse:.4f} +- {std:.4f}")
    0.0900 +- 0.0009
    """
    said = first_known(denoised, noisy_other) if pixel_size is None else pixel_size
    limit = _check_limit(said, band_limit)
    denoised, other, single = _check_two(denoised, noisy_other, ("denoised", "noisy_other"))
    mask = _check_metric_mask(mask, other.shape, single)
    check_independent_counts(denoised, other, mask)
    values = []
    for k, (estimate, counts) in enumerate(zip(denoised, other, strict=True)):
        band = Band(counts.shape, limit, None if mask is None else ~mask[k])
        total, variance, n = risk_of_image(estimate[None], counts[None], 1.0, band)
        values.append((total / n, np.sqrt(variance) / n) if n else (np.nan, np.nan))
    mse, std = (_unstack(np.array(column), single) for column in zip(*values, strict=True))
    return (mse, std) if return_std else mse


def upsnr(
    denoised,
    noisy_other,
    *,
    data_range=1.0,
    mask=None,
    pixel_size=None,
    band_limit=BAND_LIMIT,
    return_std=False,
):
    """Peak signal-to-noise ratio from the unbiased mean squared error, in dB.

    Parameters
    ----------
    denoised, noisy_other, mask, pixel_size, band_limit
        As for `unbiased_mse`.
    data_range : float, default=1.0
        The peak, in counts per pixel.
    return_std : bool, default=False
        Also return the standard error.

    Returns
    -------
    upsnr : float or ndarray of shape (n_images,)
        In dB; infinite where the estimated error is not above zero.
    std : float or ndarray of shape (n_images,)
        Its standard error in dB, to first order: ``10 / ln(10)`` times the relative standard error
        of `unbiased_mse`. Above some 2 dB an interval of the squared error itself tells more. It is
        infinite where the estimated error is not above zero. Only if `return_std` is True.

    Raises
    ------
    TypeError, ValueError
        As `unbiased_mse`, and if `data_range` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.metrics import upsnr
    >>> other = np.random.default_rng(0).poisson(0.5, size=(512, 512))
    >>> round(upsnr(np.full((512, 512), 0.8), other), 1)  # the truth: 10.46 dB
    10.5
    """
    _check_data_range(data_range)
    mse, std = unbiased_mse(
        denoised, noisy_other, mask=mask, pixel_size=pixel_size, band_limit=band_limit,
        return_std=True,
    )  # fmt: skip
    values = _decibel(mse, data_range)
    if not return_std:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(np.asarray(mse) <= 0, np.inf, 10 / np.log(10) * np.divide(std, mse))
    return values, float(errors) if errors.ndim == 0 else errors


def first_known(*images):
    """First pixel size in pm that one of several images knows, or None."""
    return next((size for size in map(pixel_size_of, images) if size is not None), None)


def _check_limit(pixel_size, band_limit):
    """Highest frequency of the signal in cycles per pixel, or None."""
    if band_limit is not None:
        band_limit = check_length("band_limit", band_limit, unit="1/Angstrom")
    if pixel_size is not None:
        pixel_size = check_pixel_size(pixel_size)
    return limit_in_cycles(pixel_size, band_limit)


def _check_two(a, b, names):
    for image, name in ((a, names[0]), (b, names[1])):
        refuse_masked(image, name)
    a, b = (np.asarray(image) for image in (a, b))
    for image, name in ((a, names[0]), (b, names[1])):
        if image.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers, got dtype {image.dtype}.")
        if image.ndim not in (2, 3) or image.size == 0:
            raise ValueError(
                f"{name} must be an image (height, width) or a stack (n_images, height, width), "
                f"got shape {image.shape}."
            )
    if a.shape != b.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape: {a.shape} and {b.shape}."
        )
    single = a.ndim == 2
    shape = (1, *a.shape) if single else a.shape
    return a.astype(np.float64).reshape(shape), b.astype(np.float64).reshape(shape), single


def _check_data_range(data_range):
    if not (isinstance(data_range, Real) and 0 < data_range < np.inf):
        raise ValueError(f"data_range must be positive and finite, got {data_range!r}.")


def _apply_convention(clean, denoised, data_range, convention):
    _check_data_range(data_range)
    if convention not in _CONVENTIONS:
        raise ValueError(f"convention must be one of {_CONVENTIONS}, got {convention!r}.")
    if convention == "plain":
        return clean, denoised, data_range
    clean, denoised = (np.clip(i * (255 / data_range), 0, 255) for i in (clean, denoised))
    return clean, denoised, 255.0


def _check_metric_mask(mask, shape, single):
    if mask is not None and single and np.ndim(mask) == 3:
        raise ValueError(f"mask has shape {np.shape(mask)}, but the image has {shape[1:]}.")
    return check_mask(mask, shape)


def _masked_mean(values, mask):
    if mask is None:
        return values.mean(axis=(1, 2))
    return values.mean(axis=(1, 2), where=~mask)


def _decibel(error, data_range):
    error = np.asarray(error, dtype=np.float64)
    values = np.full(error.shape, np.inf)
    positive = ~(error <= 0)  # keeps NaN, so that it stays visible
    values[positive] = 10 * np.log10(data_range**2 / error[positive])
    return float(values) if values.ndim == 0 else values


def _unstack(values, single):
    return float(values[0]) if single else values
