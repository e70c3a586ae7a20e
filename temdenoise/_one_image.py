"""Checks of one image. The error messages contain its name."""

import numpy as np

from temdenoise._validation import refuse_masked


def check_one_image(image, name):
    """Return one image (height, width) of real numbers as an array.

    Parameters
    ----------
    image : array-like of shape (height, width)
    name : str
        Name of the argument in the error messages.

    Returns
    -------
    image : ndarray of shape (height, width)
        A plain array with the same dtype.

    Raises
    ------
    TypeError
        If the image does not hold real numbers.
    ValueError
        If the image has another shape or no pixels, or is a masked array with masked pixels.

    Examples
    --------
    >>> from temdenoise._one_image import check_one_image
    >>> check_one_image([[1, 2]], "image").shape
    (1, 2)
    """
    refuse_masked(image, name)
    image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, got dtype {image.dtype}.")
    if image.ndim != 2 or image.size == 0:
        mend = " Pass the images of a stack one by one." if image.ndim == 3 else ""
        raise ValueError(
            f"{name} must be one image (height, width) with pixels, got shape {image.shape}.{mend}"
        )
    return image


def check_finite(image, trusted, name):
    """Refuse NaN and infinity in the trusted pixels of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width)
    trusted : bool ndarray of shape (height, width), or True
        Pixels that count.
    name : str
        Name of the argument in the error messages.

    Raises
    ------
    ValueError
        If a trusted pixel is not finite.
    """
    bad = np.argwhere(~np.isfinite(image) & trusted)
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{name} holds {len(bad)} pixels that are NaN or infinite, the first at row {row}, "
            f"column {column}. If they are bad pixels, mark them in mask."
        )


def check_whole(values, name):
    """Refuse values that are not whole numbers.

    Parameters
    ----------
    values : ndarray
        Finite real numbers.
    name : str
        Name of the argument in the error messages.

    Raises
    ------
    ValueError
        If a value is not a whole number.
    """
    fractions = values != np.rint(values)
    if fractions.any():
        raise ValueError(
            f"{name} holds values that are not whole numbers (for instance "
            f"{values[fractions][0]:g}): an image that was scaled, interpolated or gain-corrected "
            "is not Poisson distributed. Use the raw electron counts."
        )
