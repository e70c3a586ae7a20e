"""Find projected atomic columns in a denoised image."""

import warnings

import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates

from temdenoise._lengths import check_length, check_pixel_size
from temdenoise._one_image import check_one_image
from temdenoise._validation import check_mask
from temdenoise.atoms._blobs import (
    interpolated_sigma,
    is_dark,
    local_maxima,
    respond,
    vertex,
)
from temdenoise.atoms._pairs import FINER, hold_pairs
from temdenoise.images import settle_pixel_size

COLUMN_SIGMA = 60.0
"""Default standard deviation of the blobs in pm. Of values from 45 to 70, it separates Pt and Ce
columns best from the narrower Fresnel fringes, with the smallest error of position."""

THRESHOLD = 0.09
"""Default threshold, as a fraction of the range of the image. ``benchmarks/atom_threshold.py``
measured it on denoised frames of 0.1 to 3 electrons per pixel."""

# The range of an image is that between these quantiles. A few hot pixels do not change it.
_RANGE = (0.001, 0.999)

# Plausible standard deviations of columns in pixels, for a pixel size in pm. Narrower columns could
# not be resolved, and a wider one would fill the field of view.
_PLAUSIBLE = (0.5, 100.0)

_COLUMNS = ["x", "y", "radius", "intensity", "response"]


def find_atoms(
    image,
    *,
    pixel_size=None,
    sigma=None,
    threshold=THRESHOLD,
    polarity="auto",
    exclude_border=True,
    mask=None,
):
    """Find atomic columns as extrema of the Laplacian of Gaussian (LoG).

    Parameters
    ----------
    image : array-like of shape (height, width)
        A denoised image in counts/px, or proportional to it. A constant offset does not change the
        result.
    pixel_size : float, optional
        Pixel size in pm. It sets the default of ``sigma``. By default that of the image, if it is a
        `temdenoise.images.ImageStack` that knows it.
    sigma : float or sequence of float, optional
        Standard deviation in pixels of the blobs to find. With several values, each column is
        reported at the scale at which its response is largest. Default: 60 pm, that is
        ``60 / pixel_size``, or 8 pixels without a pixel size (the paper's, at its 6.22 pm per
        pixel). Columns closer than about 140 pm, such as the dumbbells of silicon along [110], need
        about half of this value.
    threshold : float, default=0.09
        Smallest response of a column, as a fraction of the range of the image. The range is that
        from the 0.1 % to the 99.9 % quantile of the pixels. The fraction depends neither on the
        dose nor on an offset. A Gaussian column of standard deviation ``sigma`` and height ``h`` on
        a flat background has a response of ``h / 2`` over the range, so responses are hardly larger
        than 0.5.
    polarity : {"auto", "bright", "dark"}, default="auto"
        Whether columns are brighter or darker than their surroundings. With "auto",
        `column_polarity` decides; its documentation says when it can be wrong.
    exclude_border : bool or float, default=True
        Columns nearer to the image's border than this, in pixels, are not reported, because their
        surroundings are cut off. True: twice the (smallest) ``sigma``. False: report all columns.
    mask : bool array-like of shape (height, width), optional
        True marks pixels not to trust, such as a burnt-in label; they may be NaN. They are replaced
        by the mean of the other pixels, and no column is reported on them.

    Returns
    -------
    atoms : pandas.DataFrame
        One row per column, the strongest response first, all float64:

        - ``x``, ``y``: position in pixels along the horizontal and vertical axis of the image, with
          fractions of a pixel; the origin is the centre of pixel ``image[0, 0]``;
        - ``radius``: radius of the blob in pixels, ``sqrt(2) * sigma`` of its scale (interpolated
          between three or more);
        - ``intensity``: value of the image at the position in counts/px, linearly interpolated;
        - ``response``: scale-normalised response ``sigma**2 * LoG`` over the range of the image,
          always positive.

        An image without columns gives an empty table of the same columns and dtypes. The pixel
        size, if it is known, is in ``atoms.attrs["pixel_size"]``.

    Raises
    ------
    ValueError
        If the image is not 2-D, is empty, not finite or a masked array, or if a parameter is out of
        range.
    TypeError
        If a parameter or the image is not real and numeric.

    Warns
    -----
    UserWarning
        If the pixel size is probably not in pm, because columns would be narrower than a pixel or
        hundreds of pixels wide. If ``sigma`` is not given and most blobs hold a pair of columns.
    PixelSizeWarning
        If `pixel_size` and the pixel size of the image differ.

    Notes
    -----
    Section 5.3 of Mohan et al., arXiv:2010.12970, finds the surface atoms of a nanoparticle with
    this detector. Denoise the image first: in a *noisy* image most blobs are noise. Maxima of
    Fresnel fringes are found too, if they exceed the threshold. Positions are those of the blobs in
    the image. A tilt of the specimen and multiple scattering displace the blobs from the projected
    atoms by a few pm (``benchmarks/find_atoms.py``).

    The threshold is relative to the image itself. In an image of vacuum alone, the strongest
    undulations that the denoiser left are therefore found. `confirm_atoms` does not confirm them.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import find_atoms
    >>> y, x = np.mgrid[:128, :128]
    >>> image = 0.45 + 0.3 * np.exp(-((x - 70.3) ** 2 + (y - 51.8) ** 2) / (2 * 8**2))
    >>> atoms = find_atoms(image, pixel_size=6.25)
    >>> atoms[["x", "y"]].round(1).to_numpy().tolist()
    [[70.3, 51.8]]
    """
    pixel_size = settle_pixel_size(image, pixel_size)
    image, level, mask = _centred(image, mask)
    sigmas = _checked_sigmas(sigma, pixel_size)
    threshold = check_length("threshold", threshold)
    if polarity not in ("auto", "bright", "dark"):
        raise ValueError(f'polarity must be "auto", "bright" or "dark", got {polarity!r}.')
    border = _checked_border(exclude_border, sigmas)

    span = _span(image, mask)
    if span == 0:
        return _table([], [], [], [], [], pixel_size=pixel_size)

    response = respond(image, sigmas) / np.float32(span)
    dark = polarity == "dark" or (polarity == "auto" and is_dark(response, sigmas[0]))
    if dark:
        response = -response

    scale, row, column = local_maxima(response, threshold, sigmas[0])
    y = row + vertex(response, (scale, row, column), axis=1)
    x = column + vertex(response, (scale, row, column), axis=2)
    height, width = image.shape
    inside = (np.minimum(y, x) >= border) & (y <= height - 1 - border) & (x <= width - 1 - border)
    if mask is not None:
        inside &= ~mask[row, column]
    scale, row, column, y, x = (v[inside] for v in (scale, row, column, y, x))
    radius = np.sqrt(2) * interpolated_sigma(response, (scale, row, column), sigmas)
    strength = response[scale, row, column]
    intensity = level + map_coordinates(image, [y, x], order=1, mode="nearest").astype(np.float64)
    order = np.argsort(-strength, kind="stable")
    atoms = _table(*(v[order] for v in (x, y, radius, intensity, strength)), pixel_size=pixel_size)
    if sigma is None and hold_pairs(image, atoms[["x", "y"]].to_numpy(), sigmas[0], dark=dark):
        _warn_of_pairs(sigmas[0], stacklevel=3)
    return atoms


def column_polarity(image, *, pixel_size=None, sigma=None, mask=None):
    """Decide whether the columns of an image are brighter or darker than their surroundings.

    The strongest twenty bright blobs are compared with the strongest twenty dark blobs. The
    polarity is that of the larger responses, because columns are compact peaks, and the space
    between them is broad and shallow. The answer is correct if the heavy columns are the strongest
    feature (white contrast, and dark columns at focus). At a contrast reversal some columns are
    bright and others are dark, and no answer is correct for all of them.

    Parameters
    ----------
    image, pixel_size, sigma, mask
        As for `find_atoms`.

    Returns
    -------
    polarity : {"bright", "dark"}
        The polarity that `find_atoms` uses for ``polarity="auto"``.

    Raises
    ------
    ValueError, TypeError
        As `find_atoms`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms import column_polarity
    >>> y, x = np.mgrid[:128, :128]
    >>> image = 0.45 - 0.3 * np.exp(-((x - 70.3) ** 2 + (y - 51.8) ** 2) / (2 * 8**2))
    >>> column_polarity(image, pixel_size=6.25)
    'dark'
    """
    pixel_size = settle_pixel_size(image, pixel_size)
    image, _, _ = _centred(image, mask)
    sigmas = _checked_sigmas(sigma, pixel_size)
    return "dark" if is_dark(respond(image, sigmas), sigmas[0]) else "bright"


def _table(*values, pixel_size):
    atoms = pd.DataFrame(
        {name: np.asarray(v, dtype=np.float64) for name, v in zip(_COLUMNS, values, strict=True)}
    )
    if pixel_size is not None:
        atoms.attrs["pixel_size"] = pixel_size
    return atoms


def image_range(image, mask=None):
    """Range of an image, to which thresholds and responses are relative.

    Parameters
    ----------
    image : array-like of shape (height, width)
    mask : bool array-like of shape (height, width), optional
        True marks pixels that do not count.

    Returns
    -------
    span : float
        99.9 % quantile minus 0.1 % quantile, in the unit of the image. If these two are equal, the
        largest minus the smallest value. 0: the image is constant except for rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms.find import image_range
    >>> image_range(np.linspace(100, 101, 1001).reshape(7, 143)).round(3)
    np.float64(0.998)
    """
    image, _, mask = _centred(image, mask)
    return _span(image, mask)


def _span(image, mask):
    """Range of an image that `_centred` returned."""
    values = image if mask is None else image[~mask]
    low, high = np.quantile(values, _RANGE)
    return high - low or float(np.ptp(values))


def _centred(image, mask):
    """Image minus its mean as float32, the mean, and the mask. Masked pixels become zero."""
    image = check_one_image(image, "image")
    if mask is not None:
        mask = check_mask(mask, (1, *image.shape))
        mask = None if mask is None else mask[0]
    # A value too large for float32 becomes infinite here. float32 is enough for any count.
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(image.astype(np.float32))
    bad = np.argwhere(bad if mask is None else bad & ~mask)
    if len(bad):
        raise ValueError(
            f"The image holds {len(bad)} pixels that are NaN, infinite or too large for float32, "
            f"the first at row {bad[0][0]}, column {bad[0][1]}."
        )
    values = image if mask is None else image[~mask]
    level = values.mean(dtype=np.float64)
    # The mean is subtracted first, because single precision is not enough for a large offset.
    centred = image - level if mask is None else np.where(mask, 0, image - level)
    # Only rounding errors are left of a constant image.
    precision = np.finfo(image.dtype if image.dtype == np.float64 else np.float32).eps
    if np.ptp(values) <= 4 * precision * max(abs(float(values.min())), abs(float(values.max()))):
        centred = np.zeros(image.shape)
    return centred.astype(np.float32), level, mask


def default_sigma(pixel_size, *, stacklevel=3):
    """Scale at which columns are found if none is given. Warns if it is absurd.

    A function that finds columns more than once calls this first and passes the scale on, so that
    there is only one warning.

    Parameters
    ----------
    pixel_size : float or None
        In pm.
    stacklevel : int, default=3
        Stack level of the warning: 3 is the line that called the caller of this function.

    Returns
    -------
    sigma : float
        Standard deviation of the blobs in px.
    """
    if pixel_size is None:
        return 8.0
    pixel_size = check_pixel_size(pixel_size)
    sigma = COLUMN_SIGMA / pixel_size
    if not _PLAUSIBLE[0] <= sigma <= _PLAUSIBLE[1]:
        warnings.warn(
            f"At pixel_size={pixel_size:g} pm a column is a blob of {sigma:.3g} pixels (sigma). Is "
            "pixel_size in pm? If it is, resample the image or give sigma.",
            stacklevel=stacklevel,
        )
    return sigma


def warn_if_pairs(image, atoms, sigma, *, polarity="auto", mask=None, stacklevel=3):
    """Warn if most blobs of an image, found at the default scale, hold two columns each.

    Parameters
    ----------
    image : array-like of shape (height, width)
        The image.
    atoms : pandas.DataFrame
        Columns x and y in px.
    sigma : float
        The scale in px at which they were found.
    polarity, mask
        As for `find_atoms`.
    stacklevel : int, default=3
        Stack level of the warning: 3 is the line that called the caller of this function.
    """
    if polarity == "auto":
        polarity = column_polarity(image, sigma=sigma, mask=mask)
    image, _, _ = _centred(image, mask)
    if hold_pairs(image, atoms[["x", "y"]].to_numpy(), sigma, dark=polarity == "dark"):
        _warn_of_pairs(sigma, stacklevel=stacklevel + 1)


def _warn_of_pairs(sigma, *, stacklevel):
    warnings.warn(
        f"At the default sigma={sigma:.3g} (pixels), most blobs of the image hold a pair of "
        f"columns, as in dumbbells. Give sigma={FINER * sigma:.2g} to find both.",
        stacklevel=stacklevel,
    )


def _checked_sigmas(sigma, pixel_size):
    if sigma is None:
        sigma = default_sigma(pixel_size, stacklevel=4)
    values = [sigma] if np.ndim(sigma) == 0 else list(sigma)
    if not values:
        raise ValueError("sigma must hold at least one scale, got an empty sequence.")
    return np.array(sorted(check_length("sigma (pixels)", s) for s in values))


def _checked_border(exclude_border, sigmas):
    if isinstance(exclude_border, bool | np.bool_):
        return 2 * sigmas[0] if exclude_border else -1.0  # a vertex can be half a pixel outside
    return 0.0 if exclude_border == 0 else check_length("exclude_border (pixels)", exclude_border)
