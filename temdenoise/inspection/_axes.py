"""What the displays share."""

import numpy as np

from temdenoise._lengths import check_pixel_size
from temdenoise._validation import as_real_array, check_images, check_mask
from temdenoise.inspection._regions import check_index


def get_axes(ax):
    """Return figure and axes to draw on; new ones if there are none."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax.figure, ax


def unit_of(pixel_size):
    """Length of a pixel on the axes, and its unit."""
    if pixel_size is None:
        return 1.0, "px"
    return check_pixel_size(pixel_size) / 1000, "nm"


def show_image(ax, image, scale, unit, **options):
    """Draw an image so that data coordinates are those of its pixels' centres times the scale."""
    height, width = np.shape(image)
    extent = np.array([-0.5, width - 0.5, height - 0.5, -0.5]) * scale
    drawn = ax.imshow(image, extent=extent, interpolation="nearest", **options)
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    return drawn


def pick_image(est, X, image, mask=None):
    """Pick one image of a stack, as handed in.

    Parameters
    ----------
    est : denoiser
        Who is to denoise it; its name appears in the error messages.
    X : array-like of shape (n_images, height, width)
        Noisy images.
    image : int
        Number of the image, from 0.
    mask : None or bool array-like of shape (height, width)
        True marks pixels not to trust, NaN or not.

    Returns
    -------
    noisy : ndarray of shape (height, width)
        The image, zero where it is masked.
    mask : None or bool ndarray of shape (1, height, width)
        As ``est.transform`` takes it with this image; None if nothing is masked.

    Raises
    ------
    IndexError
        If there is no such image.
    TypeError
        If `image` is not an integer.
    ValueError
        If `X` is not a valid stack, or `mask` no mask of its images.
    """
    name = type(est).__name__
    X = as_real_array(X, "X", name)
    mask = check_mask(mask, (1, *X.shape[1:])) if X.ndim == 3 else None  # else X is refused
    X = X if mask is None else np.where(mask, 0, X)
    n_images = len(check_images(X, estimator_name=name))
    return X[check_index(image, n_images, "image")], mask
