"""What the displays share."""

import numpy as np

from temdenoise._validation import check_images, check_pixel_size


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


def denoise_one(est, X, image, transform_params):
    """Pick one image of a stack, as handed in, and denoise it alone."""
    n_images = len(check_images(X, estimator_name=type(est).__name__))
    noisy = np.asarray(X)[checked_number(image, n_images)]
    return noisy, est.transform(noisy[np.newaxis], **(transform_params or {}))[0]


def checked_number(image, n_images):
    """Return the number of an image of a stack, or say that there is no such image."""
    if not -n_images <= image < n_images:
        raise IndexError(f"image must be from 0 to {n_images - 1}, got {image}.")
    return image
