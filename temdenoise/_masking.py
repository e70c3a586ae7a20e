"""Fill pixels that are not to be trusted, for methods that filter whole images."""

import numpy as np
from scipy import ndimage

# Side, in pixels, of the window for the mean. It is wide enough to average the noise of a low-dose
# image, and narrow enough to follow the local brightness.
_WINDOW = 15


def trusted_pixels(mask, n_images):
    """Return the trusted pixels of each image.

    Parameters
    ----------
    mask : None or bool ndarray of shape (n_images, height, width)
        True marks pixels not to trust.
    n_images : int
        Number of images.

    Returns
    -------
    trusted : list of length n_images
        For each image a bool ndarray of shape (height, width), or None if all pixels are trusted.
    """
    if mask is None:
        return [None] * n_images
    return [~hidden if hidden.any() else None for hidden in mask]


def fill_masked(X, mask, *, with_noise=False):
    """Replace masked pixels by the mean counts near the closest trusted pixel.

    Parameters
    ----------
    X : ndarray of shape (n_images, height, width), dtype float32
        Images; not modified.
    mask : None or bool ndarray of shape (n_images, height, width)
        True marks the pixels to fill. No image may be masked completely.
    with_noise : bool, default=False
        Fill with Poisson counts of that mean, drawn with a fixed seed. A network also uses the
        noise, so it would take a smooth patch for a structure.

    Returns
    -------
    filled : ndarray of shape (n_images, height, width), dtype float32
        `X` itself if there is no mask.
    """
    if mask is None:
        return X
    filled = X.copy()
    for image, hidden in zip(filled, mask, strict=True):
        if not hidden.any():
            continue
        weight = ndimage.uniform_filter((~hidden).astype(np.float64), _WINDOW)
        total = ndimage.uniform_filter(np.where(hidden, 0.0, image).astype(np.float64), _WINDOW)
        # The weight around a trusted pixel is at least one pixel, so there is no division by zero.
        rows, columns = ndimage.distance_transform_edt(
            hidden, return_distances=False, return_indices=True
        )[:, hidden]
        image[hidden] = total[rows, columns] / weight[rows, columns]
        if with_noise:
            image[hidden] = np.random.RandomState(0).poisson(np.maximum(image[hidden], 0))
    return filled
