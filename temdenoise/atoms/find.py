"""Find projected atomic columns in a denoised image."""

import warnings

import numpy as np
import pandas as pd
from scipy.fft import dctn, idctn
from scipy.ndimage import map_coordinates, maximum_filter

from temdenoise._lengths import check_length
from temdenoise._validation import check_mask, refuse_masked

COLUMN_SIGMA = 60.0
"""Default standard deviation of the blobs in pm. Of 45 to 70, it tells Pt and Ce columns from the
narrower Fresnel fringes best, with the least error of position."""

# Standard deviations in pixels that a pixel size in pm leads to: from columns that no pixel
# resolves to one that fills a field of view.
_PLAUSIBLE = (0.5, 100.0)

# Blobs that decide between bright and dark: enough that an artefact or two do not.
_N_STRONGEST = 20

_COLUMNS = ["x", "y", "radius", "intensity", "log"]


def find_atoms(
    image,
    *,
    pixel_size=None,
    sigma=None,
    threshold=0.09,
    polarity="auto",
    exclude_border=True,
    mask=None,
):
    """Find atomic columns as extrema of the Laplacian of Gaussian (LoG).

    Parameters
    ----------
    image : array-like of shape (height, width)
        A denoised image in counts/px.
    pixel_size : float, optional
        Pixel size in pm. Sets the default of ``sigma``.
    sigma : float or sequence of float, optional
        Standard deviation in pixels of the blobs looked for. With several, each column is reported
        at the scale at which it responds most. Default: 60 pm, that is ``60 / pixel_size``; if the
        pixel size is not known 8 pixels (the paper's, at its 6.22 pm per pixel).
    threshold : float, default=0.09
        Smallest response that counts, as a fraction of the mean of the image, so that it is the
        same at every dose. A Gaussian column of standard deviation ``sigma`` and height ``h`` on a
        flat background responds with ``h / (2 * mean)``. On clean images of white contrast, columns
        of two atoms and more respond with 0.12 to 0.5, Fresnel fringes with up to 0.09; where there
        is less contrast columns may lie below that.
    polarity : {"auto", "bright", "dark"}, default="auto"
        Whether columns are brighter or darker than what surrounds them. "auto" is
        `column_polarity`, which see for its limits.
    exclude_border : bool or float, default=True
        Distance in pixels from the image's border within which columns are not reported, because
        their surroundings are cut off. True: twice the (smallest) ``sigma``. False: report all.
    mask : bool array-like of shape (height, width), optional
        True marks pixels not to trust, NaN or not (a burnt-in label): the mean of the others takes
        their place, and no column is reported on them.

    Returns
    -------
    atoms : pandas.DataFrame
        One row per column, the strongest first, all float64:

        - ``x``, ``y``: position in pixels along the columns and rows of the array, sub-pixel; the
          origin is the centre of pixel ``image[0, 0]``;
        - ``radius``: radius of the blob in pixels, ``sqrt(2) * sigma`` of its scale (interpolated
          between three or more);
        - ``intensity``: image at the position in counts/px, linearly interpolated;
        - ``log``: scale-normalised response ``sigma**2 * LoG / mean``, positive always.

        An image without columns gives an empty table of the same columns and dtypes.

    Raises
    ------
    ValueError
        If the image is not 2-D, is empty, not finite, a masked array or has a negative mean, or if
        a parameter is out of range.
    TypeError
        If a parameter or the image is not real and numeric.

    Warns
    -----
    UserWarning
        If the pixel size can hardly be in pm: columns would be narrower than a pixel or hundreds of
        pixels wide.

    Notes
    -----
    Section 5.3 of Mohan et al., arXiv:2010.12970, finds the surface atoms of a nanoparticle with
    this detector. A response on a *noisy* image is a noise peak more often than an atom: denoise
    first. Maxima of Fresnel fringes are maxima of the image, and are found where they exceed the
    threshold. Positions are those of the blobs in the image, which a tilt of the specimen and
    multiple scattering displace from the projected atoms by some pm
    (``benchmarks/find_atoms.py``).

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
    image, mask = _checked_image(image, mask)
    sigmas = _checked_sigmas(sigma, pixel_size)
    threshold = check_length("threshold", threshold)
    if polarity not in ("auto", "bright", "dark"):
        raise ValueError(f'polarity must be "auto", "bright" or "dark", got {polarity!r}.')
    border = _checked_border(exclude_border, sigmas)

    mean = image.mean(dtype=np.float64)
    if mean < 0:
        raise ValueError(
            f"The mean of the image is negative ({mean:.4g}); the threshold is a fraction of the "
            "mean. Pass counts per pixel, without subtracting a background."
        )
    if mean == 0 or np.ptp(image) == 0:
        return _table([], [], [], [], [])

    response = _respond(image, sigmas) / np.float32(mean)
    if polarity == "dark" or (polarity == "auto" and _is_dark(response, sigmas[0])):
        response = -response

    scale, row, column = _local_maxima(response, threshold, sigmas[0])
    y = row + _vertex(response, (scale, row, column), axis=1)
    x = column + _vertex(response, (scale, row, column), axis=2)
    height, width = image.shape
    inside = (np.minimum(y, x) >= border) & (y <= height - 1 - border) & (x <= width - 1 - border)
    if mask is not None:
        inside &= ~mask[row, column]
    scale, row, column, y, x = (v[inside] for v in (scale, row, column, y, x))
    radius = np.sqrt(2) * _interpolated_sigma(response, (scale, row, column), sigmas)
    log = response[scale, row, column]
    intensity = map_coordinates(image, [y, x], order=1, mode="nearest")
    order = np.argsort(-log, kind="stable")
    return _table(*(v[order] for v in (x, y, radius, intensity, log)))


def column_polarity(image, *, pixel_size=None, sigma=None, mask=None):
    """Tell whether the columns of an image are brighter or darker than what surrounds them.

    Takes the sign whose twenty strongest blobs respond more: columns are compact peaks, the space
    between them is broad and shallow. An image has no more to go by. It is right where the heavy
    columns are the strongest feature (white contrast, and dark columns at focus); at a contrast
    reversal, where some columns are bright and others dark, no answer is right for all of them.

    Parameters
    ----------
    image, pixel_size, sigma, mask
        As for `find_atoms`.

    Returns
    -------
    polarity : {"bright", "dark"}
        What ``polarity="auto"`` of `find_atoms` takes.

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
    image, _ = _checked_image(image, mask)
    sigmas = _checked_sigmas(sigma, pixel_size)
    return "dark" if _is_dark(_respond(image, sigmas), sigmas[0]) else "bright"


def _respond(image, sigmas):
    """Scale-normalised response in counts/px, positive at the centre of bright blobs.

    The cosine transform is that of the image continued by its mirror images, which is the usual
    border; in it the derivative and the Gaussian are exact, and every further scale is cheap.
    """
    spectrum = dctn(image)
    ky, kx = (np.pi * np.arange(n, dtype=np.float64) / n for n in image.shape)
    k_squared = ky[:, np.newaxis] ** 2 + kx**2
    response = np.empty((len(sigmas), *image.shape), dtype=np.float32)
    for s, out in zip(sigmas, response, strict=True):
        gain = k_squared * s**2
        gain *= np.exp(-((s * ky) ** 2) / 2)[:, np.newaxis]
        gain *= np.exp(-((s * kx) ** 2) / 2)
        out[:] = idctn(spectrum * gain.astype(np.float32), overwrite_x=True)
    return response


def _is_dark(response, sigma):
    return _strength(-response, sigma) > _strength(response, sigma)


def _strength(response, sigma):
    """Sum of cubes of the strongest responses: few strong ones count more than many weak."""
    across_scales = response.max(axis=0)
    peaks = across_scales[_is_peak(across_scales, sigma)]
    strongest = np.sort(peaks)[-_N_STRONGEST:].clip(0)
    return np.sum(strongest.astype(np.float64) ** 3)


def _is_peak(across_scales, sigma):
    size = 2 * max(1, round(sigma)) + 1
    return maximum_filter(across_scales, size=size, mode="nearest") == across_scales


def _local_maxima(response, threshold, sigma):
    """Return indices (scale, row, column) of the maxima over scales and a neighbourhood."""
    reach = max(1, round(sigma))
    across_scales = response.max(axis=0)
    row, column = np.nonzero(_is_peak(across_scales, sigma) & (across_scales > threshold))
    # A plateau (two equal pixels, an exactly symmetric blob between pixels) is one blob: keep the
    # first of every group of peaks that lie within reach of each other.
    keep = np.ones(len(row), dtype=bool)
    for k in range(len(row)):
        earlier = np.flatnonzero(keep[:k] & (row[:k] >= row[k] - reach))
        keep[k] = not np.any(np.abs(column[earlier] - column[k]) <= reach)
    row, column = row[keep], column[keep]
    return response[:, row, column].argmax(axis=0), row, column


def _vertex(response, peak, axis):
    """Offset of the top of the parabola through a maximum and its two neighbours on one axis."""
    size = response.shape[axis]
    at = peak[axis]
    # A maximum on the border has one neighbour only; it stays where it is.
    centre = np.clip(at, 1, size - 2) if size > 2 else at
    neighbours = []
    for step in (-1, 0, 1):
        index = list(peak)
        index[axis] = np.clip(centre + step, 0, size - 1)
        neighbours.append(response[tuple(index)].astype(np.float64))
    before, top, after = neighbours
    curvature = before - 2 * top + after
    interior = (at == centre) & (curvature < 0)
    offset = np.zeros(len(at))
    np.divide(before - after, 2 * curvature, out=offset, where=interior)
    return offset


def _interpolated_sigma(response, peak, sigmas):
    """Scale of the strongest response, between those tried."""
    offset = _vertex(response, peak, axis=0)
    return np.exp(np.interp(peak[0] + offset, np.arange(len(sigmas)), np.log(sigmas)))


def _table(*values):
    return pd.DataFrame(
        {name: np.asarray(v, dtype=np.float64) for name, v in zip(_COLUMNS, values, strict=True)}
    )


def _checked_image(image, mask):
    refuse_masked(image, "image")
    image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise TypeError(f"The image must hold real numbers, got dtype {image.dtype}.")
    if image.ndim != 2:
        mend = " Call find_atoms for each image of a stack in turn." if image.ndim == 3 else ""
        raise ValueError(
            f"Expected one image of shape (height, width), got shape {image.shape}.{mend}"
        )
    if image.size == 0:
        raise ValueError(f"The image is empty: its shape is {image.shape}.")
    if mask is not None:
        mask = check_mask(mask, (1, *image.shape))
        mask = None if mask is None else mask[0]
    # float32 halves the time and is far more precise than any count; what is beyond it is infinite.
    with np.errstate(over="ignore"):
        image = image.astype(np.float32)
    bad = ~np.isfinite(image)
    bad = np.argwhere(bad if mask is None else bad & ~mask)
    if len(bad):
        raise ValueError(
            f"The image holds {len(bad)} pixels that are NaN, infinite or too large for float32, "
            f"the first at row {bad[0][0]}, column {bad[0][1]}."
        )
    if mask is not None:
        image[mask] = image[~mask].mean(dtype=np.float64)
    return image, mask


def default_sigma(pixel_size, *, stacklevel=3):
    """Return the scale at which columns are looked for if none is given, and warn if it is absurd.

    What looks for columns more than once asks here first and passes the scale on, so that the
    warning comes once.

    Parameters
    ----------
    pixel_size : float or None
        In pm.
    stacklevel : int, default=3
        Of the warning: 3 is the line that called the caller of this.

    Returns
    -------
    sigma : float
        Standard deviation of the blobs in px.
    """
    if pixel_size is None:
        return 8.0
    pixel_size = check_length("pixel_size (pm)", pixel_size)
    sigma = COLUMN_SIGMA / pixel_size
    if not _PLAUSIBLE[0] <= sigma <= _PLAUSIBLE[1]:
        warnings.warn(
            f"At pixel_size={pixel_size:g} pm a column is a blob of {sigma:.3g} pixels (sigma): is "
            "it in pm? If it is, resample the image or give sigma.",
            stacklevel=stacklevel,
        )
    return sigma


def _checked_sigmas(sigma, pixel_size):
    if sigma is None:
        sigma = default_sigma(pixel_size, stacklevel=4)
    elif pixel_size is not None:
        check_length("pixel_size (pm)", pixel_size)
    values = [sigma] if np.ndim(sigma) == 0 else list(sigma)
    if not values:
        raise ValueError("sigma must hold at least one scale, got an empty sequence.")
    return np.array(sorted(check_length("sigma (pixels)", s) for s in values))


def _checked_border(exclude_border, sigmas):
    if isinstance(exclude_border, bool | np.bool_):
        return 2 * sigmas[0] if exclude_border else -1.0  # a vertex may lie outside by half a pixel
    return 0.0 if exclude_border == 0 else check_length("exclude_border (pixels)", exclude_border)
