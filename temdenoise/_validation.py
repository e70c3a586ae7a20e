"""Checks of arguments. Each error message names the wrong value, its place and the remedy."""

import numpy as np
from scipy import sparse

# NumPy's kinds of dtype that are real numbers: bool, signed, unsigned, floating.
_REAL_KINDS = "biuf"


def check_images(X, *, estimator_name="temdenoise", counts=False, min_size=1, name="X", mask=None):
    """Check a stack of images and return it as float32.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width)
        Electron counts per pixel, or values proportional to them, of any real dtype.
    estimator_name : str, default="temdenoise"
        Name of the caller, for the error messages.
    counts : bool, default=False
        If True, negative values are refused, because counts cannot be negative.
    min_size : int, default=1
        Smallest height and width allowed, in pixels.
    name : str, default="X"
        Name of the argument in the error messages.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels that may hold any value. They are returned as 0.

    Returns
    -------
    X : ndarray of shape (n_images, height, width), dtype float32
        The images, C-contiguous. If no conversion is needed, it is the input itself, so never write
        to it.

    Raises
    ------
    ValueError
        If `X` is not a dense, real, finite, non-empty stack of three axes, if an image is smaller
        than `min_size`, if a value overflows float32, or if `counts` is True and one is negative.
    TypeError
        If `X` holds objects that are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._validation import check_images
    >>> check_images(np.ones((2, 4, 4), dtype=np.uint8)).dtype
    dtype('float32')
    """
    X = as_real_array(X, name, estimator_name)
    _check_stack_shape(X, name, estimator_name, min_size)
    mask = check_mask(mask, X.shape)
    if mask is not None:
        X = np.where(mask, X.dtype.type(0), X)
    # A value too large for float32 becomes inf here. The next check can tell it from an inf in the
    # input.
    with np.errstate(over="ignore"):
        images = np.ascontiguousarray(X, dtype=np.float32)
    _check_finite(images, X, name, estimator_name)
    if counts and images.min() < 0:
        where = images < 0
        raise ValueError(
            f"Negative values in data passed to {estimator_name}: {name} holds {_place(X, where)}, "
            "but electron counts cannot be negative. If a dark reference was subtracted, add it "
            "(or its mean) again."
        )
    return images


def check_pair(X, y, *, estimator_name="temdenoise", counts=False, min_size=1, mask=None):
    """Check two stacks of images of the same shape.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width)
        First stack, for instance the noisy images.
    y : array-like of shape (n_images, height, width)
        Second stack, for instance the clean images.
    estimator_name, counts, min_size, mask
        As for `check_images`; `counts` concerns `X` only, as a target may be any real image.

    Returns
    -------
    X, y : ndarrays of shape (n_images, height, width), dtype float32
        The two stacks.

    Raises
    ------
    ValueError
        If one of them is not a valid stack, or if the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._validation import check_pair
    >>> X, y = check_pair(np.ones((2, 4, 4)), np.zeros((2, 4, 4)))
    """
    options = {"estimator_name": estimator_name, "min_size": min_size, "mask": mask}
    X = check_images(X, counts=counts, **options)
    y = check_images(y, name="y", **options)
    if X.shape != y.shape:
        raise ValueError(
            f"X and y must have the same shape, one target per image: X has {X.shape}, "
            f"y has {y.shape}."
        )
    return X, y


def check_mask(mask, shape):
    """Check a mask of the pixels not to trust.

    Parameters
    ----------
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels not to trust (a burnt-in label, a dead column). A mask of one image is
        used for the whole stack.
    shape : tuple of int
        Shape (n_images, height, width) of the images.

    Returns
    -------
    mask : None or bool ndarray of shape `shape`
        None if nothing is masked; otherwise read-only if it was broadcast.

    Raises
    ------
    ValueError
        If the dtype is not bool, the shape does not fit, or an image is masked completely.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._validation import check_mask
    >>> check_mask(np.eye(3, dtype=bool), (5, 3, 3)).shape
    (5, 3, 3)
    """
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise ValueError(
            f"mask must be of dtype bool (True = pixels not to trust), got {mask.dtype}: "
            "pass mask.astype(bool)."
        )
    shape = tuple(shape)
    if mask.shape not in (shape, shape[1:]):
        raise ValueError(
            f"mask has shape {mask.shape}, but the images need {shape[1:]} (one mask for all) "
            f"or {shape} (one mask per image)."
        )
    mask = np.broadcast_to(mask, shape)
    if not mask.any():
        return None
    full = mask.all(axis=(1, 2))
    if full.any():
        raise ValueError(
            f"mask hides every pixel of image {int(full.argmax())}. True marks the pixels NOT to "
            "trust. Pass ~mask if it marks the good pixels."
        )
    return mask


def check_offset(X, offset, read_noise, mask=None):
    """Refuse values below that of a pixel without electrons, unless there is read noise.

    Parameters
    ----------
    X : ndarray, dtype float32
        Images.
    offset : float
        Value of a pixel without electrons.
    read_noise : float
        Standard deviation of the Gaussian noise.
    mask : None or bool ndarray of the shape of `X`
        True marks pixels that may hold any value.

    Raises
    ------
    ValueError
        If `X` holds a value below `offset` and `read_noise` is zero.
    """
    lowest = X.min(where=True if mask is None else ~mask, initial=np.inf)
    if read_noise == 0 and lowest < np.float32(offset):
        raise ValueError(
            f"X holds {lowest:g}, below offset={offset:g}, which is impossible without read noise. "
            "Give the read_noise of the detector, or correct the offset."
        )


def refuse_masked(image, name):
    """Refuse a masked array with masked pixels: a conversion would lose the mask."""
    if np.ma.is_masked(image):
        raise ValueError(
            f"{name} is a masked array with masked pixels, and the mask would be lost. Pass its "
            ".data, and mask= if the method takes it."
        )


def as_real_array(X, name, estimator_name):
    """Return `X` as an array of real numbers.

    Every public function that takes numbers begins with this, because NumPy's own conversion drops
    masks and imaginary parts, and takes text and dates for numbers.

    Parameters
    ----------
    X : array-like of any shape
    name, estimator_name : str
        Names of the argument and of the caller, for the error messages.

    Returns
    -------
    array : ndarray
        Of a bool, integer or floating dtype.

    Raises
    ------
    ValueError
        If `X` is sparse, ragged, complex or not numeric, or a masked array with masked elements.
    TypeError
        If `X` holds objects that are not numbers.

    Examples
    --------
    >>> from temdenoise._validation import as_real_array
    >>> as_real_array([1, 2.5], "counts", "thin_counts")
    array([1. , 2.5])
    """
    if sparse.issparse(X):
        raise ValueError(
            f"Sparse data was passed as {name} to {estimator_name}, but images are dense: "
            f"use {name}.toarray() and stack the images to (n_images, height, width)."
        )
    refuse_masked(X, name)
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be converted to an array (n_images, height, width). Images of "
            f"different sizes need separate calls: {error}"
        ) from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported\n{name} has dtype {array.dtype}. Take its modulus or "
            "its real part first."
        )
    if array.dtype.kind == "O":
        array = _object_to_float(array, name)
    if array.dtype.kind not in _REAL_KINDS:
        raise ValueError(
            f"{name} has dtype {array.dtype}, but {estimator_name} needs numbers: electron counts "
            "per pixel."
        )
    return array


def as_float32(X, name, estimator_name):
    """Return `X` as an array of single precision; see `as_real_array`.

    Raises
    ------
    ValueError
        If a finite value is too large for float32.
    """
    X = as_real_array(X, name, estimator_name)
    with np.errstate(over="ignore"):
        single = X.astype(np.float32, copy=False)
    if X.dtype != np.float32 and (np.isinf(single) & ~np.isinf(X)).any():
        raise ValueError(
            f"{name} holds a value too large for dtype('float32'): {np.abs(X).max():g}."
        )
    return single


def _object_to_float(array, name):
    try:
        return array.astype(np.float64)
    except TypeError as error:
        kind = ValueError if "complex" in str(error) else TypeError
        prefix = "Complex data not supported\n" if kind is ValueError else ""
        raise kind(f"{prefix}{name} holds objects that are not real numbers: {error}") from error
    except ValueError as error:
        raise ValueError(
            f"{name} holds objects that are not numbers, or images of different sizes: {error}"
        ) from error


def _check_stack_shape(X, name, estimator_name, min_size):
    if X.ndim == 2:
        raise ValueError(
            f"Expected 3D array, got 2D array instead: {name} has shape {X.shape}. "
            f"{estimator_name} works on a stack of images (n_images, height, width). "
            f"If {name} is a single image, pass {name}[np.newaxis]."
        )
    if X.ndim != 3:
        raise ValueError(
            f"Expected 3D array, got {X.ndim}D array instead: {name} has shape {X.shape}. "
            "Reshape your data to (n_images, height, width)."
        )
    n_images, height, width = X.shape
    if n_images == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required "
            f"by {estimator_name}: {name} holds no image."
        )
    if height == 0 or width == 0:
        raise ValueError(f"{name} holds images without pixels: its shape is {X.shape}.")
    if min(height, width) < min_size:
        raise ValueError(
            f"{estimator_name} needs images of at least {min_size} x {min_size} pixels; those of "
            f"{name} are {height} x {width}."
        )


def _check_finite(images, original, name, estimator_name):
    # A finite sum shows quickly that all values are finite. The sum can also overflow, so another
    # sum needs a closer look.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(images.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(images)
    if not bad.any():
        return
    if original.dtype.kind == "f":
        for what, where in (("NaN", np.isnan(original)), ("infinity", np.isinf(original))):
            if where.any():
                raise ValueError(
                    f"Input {name} contains {what}: {_place(original, where)}. {estimator_name} "
                    "does not accept missing values: pass mask= with True at those pixels, or "
                    "replace them first."
                )
    raise ValueError(
        f"Input {name} contains a value too large for dtype('float32'): {_place(original, bad)}."
    )


def _place(X, where):
    """Name the first pixel of those in `where`, and their number."""
    first = tuple(int(i) for i in np.unravel_index(where.argmax(), where.shape))
    n_bad = int(np.count_nonzero(where))
    more = f" ({n_bad} such pixels in all)" if n_bad > 1 else ""
    return f"{X[first]} at image {first[0]}, row {first[1]}, column {first[2]}{more}"
