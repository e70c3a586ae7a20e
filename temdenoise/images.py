"""Images that know how large their pixels are."""

import warnings

import numpy as np

from temdenoise._lengths import check_pixel_size

# Two pixel sizes that differ by less are the same: files and people round them.
_SAME = 0.005


class PixelSizeWarning(UserWarning):
    """The pixel size that was given is not the one that the images know."""


class ImageStack(np.ndarray):
    """Stack of images, an ndarray that knows its pixel size.

    Every reader, data set and denoiser here returns one, and `fit`, ``transform``, the scorers and
    `temdenoise.find_atoms` use its pixel size where nothing else is said. It is an ordinary array
    otherwise: ``np.asarray(stack)`` is one without it.

    Taking images out, cropping, copying, casting and arithmetic keep the pixel size. What changes
    the sampling drops it (it becomes None): every second pixel, reshaping, a mean over rows.

    Parameters
    ----------
    array : array-like of shape (n_images, height, width) or (height, width)
        The values. They are not copied if they are an array already.
    pixel_size : float or None, default=None
        Length of a pixel's side in pm; None: not known. By default that of `array`, if it has one.
    metadata : dict, optional
        What else is known, for instance what a file says. It stays with copies and with images
        taken out.

    Attributes
    ----------
    pixel_size : float or None
        In pm.
    metadata : dict

    Raises
    ------
    TypeError
        If the pixel size is not a number.
    ValueError
        If it is not positive and finite.

    Notes
    -----
    An operation on two stacks keeps the pixel size of the first one that has one.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import ImageStack
    >>> movie = ImageStack(np.ones((8, 64, 64)), pixel_size=6.22)
    >>> movie[2:4].pixel_size, (2 * movie).pixel_size, movie.mean(axis=0).pixel_size
    (6.22, 6.22, 6.22)
    >>> movie[:, ::2, ::2].pixel_size is None
    True
    """

    # NumPy copies attributes through __array_finalize__ alone: plain ones of the instance.
    _pixel_size = None
    _metadata = None

    def __new__(cls, array, pixel_size=None, metadata=None):
        """See the class."""
        new = np.asanyarray(array).view(cls)
        if new is array:  # a stack itself: what is set below is not for it
            new = new.view(cls)
        if pixel_size is not None:
            new.pixel_size = pixel_size
        if metadata is not None:
            new._metadata = dict(metadata)
        return new

    @property
    def pixel_size(self):
        """Length of a pixel's side in pm; None if it is not known."""
        return self._pixel_size

    @pixel_size.setter
    def pixel_size(self, value):
        self._pixel_size = None if value is None else check_pixel_size(value)

    @property
    def metadata(self):
        """What else is known of the images."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def __array_finalize__(self, parent):
        if not isinstance(parent, ImageStack):
            return
        # The same height and width: a copy, a cast, arithmetic. Anything else may have changed the
        # sampling; `__getitem__` knows better.
        if min(self.ndim, parent.ndim) >= 2 and self.shape[-2:] == parent.shape[-2:]:
            self._pixel_size = parent._pixel_size
            self._metadata = parent._metadata

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # A mean over all pixels is a number, as it is of any array.
        if return_scalar or array.ndim < 2:
            return array[()]
        return super().__array_wrap__(array, context, return_scalar)

    def __getitem__(self, index):
        part = super().__getitem__(index)
        if isinstance(part, ImageStack):
            kept = part.ndim >= 2 and _keeps_sampling(index, self.ndim)
            part._pixel_size = self._pixel_size if kept else None
            part._metadata = self._metadata if kept else None
        return part

    def __reduce__(self):
        make, arguments, state = super().__reduce__()
        return make, arguments, (*state, self._pixel_size, self._metadata)

    def __setstate__(self, state):
        *array_state, self._pixel_size, self._metadata = state
        super().__setstate__(tuple(array_state))


def pixel_size_of(images):
    """Pixel size in pm that images know, else None.

    Parameters
    ----------
    images : object
        An `ImageStack`, or anything else.

    Returns
    -------
    pixel_size : float or None

    Raises
    ------
    TypeError, ValueError
        If they have a pixel size that cannot be one.
    """
    pixel_size = getattr(images, "pixel_size", None)
    return None if pixel_size is None else check_pixel_size(pixel_size)


def first_with_pixel_size(*images):
    """Return the first of several that knows its pixel size, else None.

    Parameters
    ----------
    *images : object
        Each an `ImageStack`, or anything else.

    Returns
    -------
    images : object or None
        For `settle_pixel_size` and `pixel_size_of`.
    """
    return next((one for one in images if pixel_size_of(one) is not None), None)


def settle_pixel_size(images, pixel_size=None, *, stacklevel=3):
    """Pixel size to use: the one given, else the one that the images know.

    Parameters
    ----------
    images : object
        An `ImageStack`, or anything else.
    pixel_size : float, optional
        The pixel size that was given, in pm.
    stacklevel : int, default=3
        Stack level of the warning: 3 is the line that called the caller of this function.

    Returns
    -------
    pixel_size : float or None
        In pm; None if it is neither given nor known.

    Raises
    ------
    TypeError
        If a pixel size is not a real number.
    ValueError
        If it is not positive and finite.

    Warns
    -----
    PixelSizeWarning
        If the two differ by more than 0.5 %. The one given is used.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.images import ImageStack, settle_pixel_size
    >>> image = ImageStack(np.ones((64, 64)), pixel_size=6.22)
    >>> settle_pixel_size(image), settle_pixel_size(image, 6.2201)
    (6.22, 6.2201)
    """
    known = pixel_size_of(images)
    if pixel_size is None:
        return known
    pixel_size = check_pixel_size(pixel_size)
    if known is not None and abs(pixel_size - known) > _SAME * known:
        warnings.warn(
            f"pixel_size={pixel_size:g} pm is used, but the images have a pixel size of "
            f"{known:g} pm. Leave pixel_size out, or correct that of the images.",
            PixelSizeWarning,
            stacklevel=stacklevel,
        )
    return pixel_size


def _keeps_sampling(index, n_axes):
    """Whether an index leaves the last two axes whole, or crops them."""
    index = index if isinstance(index, tuple) else (index,)
    if any(i is None for i in index):
        return False
    if any(i is Ellipsis for i in index):
        place = next(k for k, i in enumerate(index) if i is Ellipsis)
        n_missing = n_axes - (len(index) - 1)
        index = (*index[:place], *[slice(None)] * n_missing, *index[place + 1 :])
    index = (*index, *[slice(None)] * (n_axes - len(index)))
    # A mask of several axes, or a table of indices, mixes the axes.
    if any(np.ndim(i) > 1 for i in index if not isinstance(i, slice)):
        return False
    return all(isinstance(i, slice) and i.step in (None, 1) for i in index[-2:])
