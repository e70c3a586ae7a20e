"""Equivalent filters: the weights of the noisy pixels in one denoised pixel."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from temdenoise._calls import parameters_of, transform_keywords
from temdenoise._lengths import check_length
from temdenoise._validation import check_images
from temdenoise.images import pixel_size_of
from temdenoise.inspection._regions import check_index
from temdenoise.noise._gate import passed

# Largest number of images in one call of `transform` in finite differences. It limits the memory.
_BATCH_PIXELS = 2**22
# Finite differences of an image with more pixels than this need a radius.
_MANY = 4096


@dataclass(frozen=True)
class EquivalentFilter:
    """Result of `equivalent_filter`.

    Attributes
    ----------
    weights : ndarray of shape (height, width), dtype float64
        Derivative of the denoised pixel with respect to each pixel of the noisy image: counts/px
        per count/px. NaN beyond the radius of finite differences.
    pixel : tuple of two int
        Row and column of the denoised pixel.
    value : float
        The denoised pixel in counts/px.
    constant : float
        ``value`` minus the sum of weights times counts, in counts/px. It is zero for a linear
        filter, and for a network that is linear close to this image. NaN if some weights are NaN.
    """

    weights: np.ndarray
    pixel: tuple
    value: float
    constant: float

    def radius(self, fraction=0.5):
        """Effective field of view: radius that holds a fraction of the absolute weight.

        Parameters
        ----------
        fraction : float, default=0.5
            Fraction above 0 and at most 1.

        Returns
        -------
        radius : float
            Distance in px from the denoised pixel. Within it, the sum of the absolute weights is at
            least this fraction of the sum of all. NaN if all weights are zero.

        Raises
        ------
        ValueError
            If the fraction is out of range.
        """
        if not (isinstance(fraction, Real) and 0 < fraction <= 1):
            raise ValueError(f"fraction must be above 0 and at most 1, got {fraction!r}.")
        weights = np.nan_to_num(np.abs(self.weights)).ravel()
        distance = _distance(self.weights.shape, self.pixel).ravel()
        order = np.argsort(distance, kind="stable")
        held = np.cumsum(weights[order])
        if held[-1] == 0:
            return float("nan")
        # Rounding of the sum must not extend the radius to pixels without weight.
        return float(distance[order][np.argmax(held >= fraction * held[-1] * (1 - 1e-12))])


def equivalent_filter(
    est, X, pixel, *, image=0, transform_params=None, method="auto", radius=None, step=None
):
    r"""Differentiate one denoised pixel with respect to the noisy image.

    Section 3.2 (and Figure 3.2) of "Deep denoising for scientific discovery: a case study in
    electron microscopy" (Mohan et al., arXiv:2010.12970), after S. Mohan, Z. Kadkhodaie,
    E. P. Simoncelli and C. Fernandez-Granda, "Robust and interpretable blind image denoising via
    bias-free convolutional neural networks", ICLR 2020. Close to this image, the denoiser acts on
    this pixel like a linear filter whose weights are the gradient:

    .. math:: f(y)_i = \sum_j \frac{\partial f(y)_i}{\partial y_j} \, y_j + c_i

    Parameters
    ----------
    est : denoiser
        Fitted denoiser, or any object with a ``transform`` for stacks of images.
    X : array-like of shape (n_images, height, width)
        Noisy images in counts per pixel.
    pixel : tuple of two int
        Row and column of the denoised pixel.
    image : int, default=0
        Number of the image.
    transform_params : dict, optional
        Keywords of ``est.transform``, such as its ``pixel_size``. Automatic differentiation of
        `SBDDenoiser` takes only this one. By default the pixel size of `X` is used, if it is a
        `temdenoise.images.ImageStack` that knows it and ``est.transform`` takes it.
    method : {"auto", "autograd", "finite_differences"}, default="auto"
        "auto": automatic differentiation for estimators that support it, such as `SBDDenoiser`,
        and finite differences for all others.
    radius : float, optional
        For finite differences only. Noisy pixels farther than this (px) are left out; they are NaN
        in the result. Each pixel within the radius takes two denoised images. By default all pixels
        are used, if the image has at most 4096.
    step : float, optional
        For finite differences only: change of a pixel in either direction, in counts/px. By default
        a tenth of the mean of the image. Pixels that would become negative are differentiated at a
        slightly larger value.

    Returns
    -------
    EquivalentFilter
        The weights, and ``radius(fraction)``, the effective field of view.

    Raises
    ------
    IndexError
        If there is no such image or pixel.
    TypeError
        If `pixel` or `image` does not hold integers, or the denoiser does not support automatic
        differentiation with these arguments.
    ValueError
        If the images are not a valid stack, an option is unknown or out of range, or the image is
        large and there is no radius for finite differences.

    Notes
    -----
    An estimator supports automatic differentiation if it has a method ``pixel_gradient(image,
    pixel, **transform_params)`` that returns the denoised pixel and its gradient, an array of the
    shape of the image. `SBDDenoiser` differentiates, in double precision, all steps of
    ``transform``: the sums over bins, the normalisation by the mean of the image, the network, the
    average over orientations and the spline back to pixels. Two steps are simplified. An image
    larger than 1088 bins, which ``transform`` denoises in tiles, is cut to one tile of that size
    about the pixel. If a bin is not a whole number of pixels, the electrons of a pixel on the edge
    of bins are shared by area and not at random. The gradient takes thresholds as they are: it does
    not include coefficients that a slightly stronger signal would lift over the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.inspection import equivalent_filter
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(1, 48, 48))
    >>> blur = LowPassDenoiser(cutoff=0.08).fit(noisy)
    >>> result = equivalent_filter(blur, noisy, (24, 24))
    >>> float(result.weights.sum().round(3)), round(result.radius(0.5), 1)
    (1.0, 2.2)
    """
    pixel_size = pixel_size_of(X)
    X = np.asarray(check_images(X, estimator_name="equivalent_filter"))
    image = X[check_index(image, len(X), "image")]
    pixel = _checked_pixel(pixel, image.shape)
    if method not in ("auto", "autograd", "finite_differences"):
        raise ValueError(
            f'method must be "auto", "autograd" or "finite_differences", got {method!r}.'
        )
    gradient = getattr(est, "pixel_gradient", None)
    knows = callable(gradient)
    if method == "autograd" and not knows:
        raise TypeError(
            f"{type(est).__name__} cannot be differentiated automatically (it has no method "
            'pixel_gradient): use method="finite_differences".'
        )
    options = transform_keywords(est, pixel_size=pixel_size, params=transform_params)
    if knows and method != "finite_differences":
        if radius is not None or step is not None:
            raise ValueError(
                'radius and step are for finite differences only: set method="finite_differences" '
                "or leave them out."
            )
        known = _keywords(gradient)
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"transform_params holds {unknown}; automatic differentiation takes only "
                f"{' and '.join(known) or 'no keyword'}. Leave the others out, or set "
                'method="finite_differences".'
            )
        value, weights = gradient(image, pixel, **options)
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != image.shape:
            raise ValueError(
                f"{type(est).__name__}.pixel_gradient returned a gradient of shape "
                f"{weights.shape} for an image of {image.shape}."
            )
    else:
        value, weights = _finite_differences(est, image, pixel, options, radius, step)
    constant = value - float((weights * image).sum())
    return EquivalentFilter(weights, pixel, value, constant)


def _keywords(function):
    """Keywords of a method other than image and pixel."""
    parameters = list(parameters_of(function).values())[2:]
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


def _finite_differences(est, image, pixel, options, radius, step):
    if radius is not None:
        radius = check_length("radius (px)", radius)
    elif image.size > _MANY:
        raise ValueError(
            f"Finite differences for all {image.size} pixels would denoise {2 * image.size} "
            "images: give a radius in px, or a smaller part of the image."
        )
    if step is None:
        step = 0.1 * abs(float(image.mean(dtype=np.float64))) or 0.1
    step = check_length("step (counts/px)", step)
    value = float(est.transform(image[np.newaxis], **options)[0][pixel])

    near = _distance(image.shape, pixel) <= (np.inf if radius is None else radius)
    weights = np.full(image.shape, np.nan)
    rows, columns = np.nonzero(near)
    y = image[near].astype(np.float64)
    # Changed pixels must not be negative. They must not be zero either: an image of whole counts
    # would result by chance, and some methods treat such images in another way.
    low = np.where(y >= 0, np.maximum(y - step, step / 2), y - step)
    derivative = np.empty(len(y))
    n_batch = max(1, _BATCH_PIXELS // (2 * image.size))
    for start in range(0, len(y), n_batch):
        part = slice(start, min(start + n_batch, len(y)))
        n = part.stop - part.start
        moved = np.repeat(image[np.newaxis], 2 * n, axis=0)
        at = (rows[part], columns[part])
        moved[np.arange(n), at[0], at[1]] = low[part]
        moved[n + np.arange(n), at[0], at[1]] = low[part] + 2 * step
        # The step after rounding to single precision.
        width = np.subtract(
            moved[n + np.arange(n), at[0], at[1]],
            moved[np.arange(n), at[0], at[1]],
            dtype=np.float64,
        )
        with passed():  # the images were looked at, these changes of them are none of counts
            denoised = np.asarray(est.transform(moved, **options), dtype=np.float64)[:, *pixel]
        derivative[part] = (denoised[n:] - denoised[:n]) / width
    weights[near] = derivative
    return value, weights


def _distance(shape, pixel):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - pixel[0], columns - pixel[1])


def _checked_pixel(pixel, shape):
    try:
        row, column = pixel
    except (TypeError, ValueError) as error:
        raise TypeError(f"pixel must be (row, column), got {pixel!r}.") from error
    return check_index(row, shape[0], "row"), check_index(column, shape[1], "column")
