"""Blobs of an image: the Laplacian of Gaussian (LoG) and its maxima."""

import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import maximum_filter

# Number of blobs that decide between bright and dark. One or two artefacts among them do no harm.
_N_STRONGEST = 20


def respond(image, sigmas):
    """Scale-normalised response at each scale, in the unit of the image: bright blobs are positive.

    Parameters
    ----------
    image : ndarray of shape (height, width), dtype float32
        Its mean should be near zero, because single precision is not enough for a large offset.
    sigmas : sequence of float
        Scales in px.

    Returns
    -------
    response : ndarray of shape (n_scales, height, width), dtype float32

    Notes
    -----
    The cosine transform extends the image by its mirror images. It gives exact derivatives and
    Gaussians, and each further scale takes little time.
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


def is_dark(response, sigma):
    """Whether the strongest dark blobs have larger responses than the strongest bright ones."""
    return _strength(-response, sigma) > _strength(response, sigma)


def _strength(response, sigma):
    """Sum of cubes of the strongest responses: a few strong ones count more than many weak ones."""
    across_scales = response.max(axis=0)
    peaks = across_scales[is_peak(across_scales, sigma)]
    strongest = np.sort(peaks)[-_N_STRONGEST:].clip(0)
    return np.sum(strongest.astype(np.float64) ** 3)


def is_peak(across_scales, sigma):
    """Mask of the pixels that are the largest within about sigma."""
    size = 2 * max(1, round(sigma)) + 1
    return maximum_filter(across_scales, size=size, mode="nearest") == across_scales


def local_maxima(response, threshold, sigma):
    """Return indices (scale, row, column) of the maxima over scales and a neighbourhood."""
    reach = max(1, round(sigma))
    across_scales = response.max(axis=0)
    row, column = np.nonzero(is_peak(across_scales, sigma) & (across_scales > threshold))
    # A plateau (two equal pixels, an exactly symmetric blob between pixels) is one blob. Only the
    # first of each group of peaks close to each other is kept: it takes the pixels around it.
    taken = np.zeros(across_scales.shape, dtype=bool)
    keep = np.zeros(len(row), dtype=bool)
    for k, (y, x) in enumerate(zip(row, column, strict=True)):
        if not taken[y, x]:
            keep[k] = True
            taken[y : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    row, column = row[keep], column[keep]
    return response[:, row, column].argmax(axis=0), row, column


def vertex(response, peak, axis):
    """Offset of the top of the parabola through a maximum and its two neighbours on one axis."""
    size = response.shape[axis]
    at = peak[axis]
    # A maximum on the border has only one neighbour. Its position is not changed.
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


def interpolated_sigma(response, peak, sigmas):
    """Scale of the strongest response, interpolated between the scales."""
    offset = vertex(response, peak, axis=0)
    return np.exp(np.interp(peak[0] + offset, np.arange(len(sigmas)), np.log(sigmas)))
