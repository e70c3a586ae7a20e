"""Images that know their pixel size."""

import copy
import warnings
from numbers import Integral

import numpy as np

from temdenoise._lengths import check_pixel_size
from temdenoise._validation import refuse_masked

# Two pixel sizes that differ by less than this share are the same, because values are rounded.
_SAME = 0.005


class PixelSizeWarning(UserWarning):
    """The pixel size is not known, or the given one differs from that of the images."""


class ImageStack(np.ndarray):
    """Stack of images, an ndarray that knows its pixel size.

    All readers, data sets and denoisers return an ImageStack. `fit`, ``transform``, the scorers and
    `temdenoise.find_atoms` use its pixel size by default. Otherwise it is an ordinary array;
    ``np.asarray(stack)`` is an array without a pixel size.

    The pixel size is kept if the sampling stays the same. It is dropped (it becomes None) if the
    sampling changes, or may change:

    ==========================================  ================================================
    kept                                        dropped
    ==========================================  ================================================
    images taken out: ``stack[3]``,             every second pixel: ``stack[:, ::2, ::2]``
    ``stack[2:5]``, ``stack[mask]``
    crops and flips: ``stack[:, 10:40, ::-1]``  an index or a new axis in the last two axes
    copies, casts, `numpy.round`                reshaping, padding, repeating, matrix products
    arithmetic, also with plain arrays          arithmetic of stacks whose pixel sizes differ
    mean over the images                        mean over rows or columns
    height and width exchanged, `numpy.rot90`   another axis moved to the end
    pickles, memory maps, other processes       `numpy.concatenate`, `numpy.stack`
    ==========================================  ================================================

    Parameters
    ----------
    array : array-like of shape (..., height, width)
        The values, with at least two axes. An array is not copied.
    pixel_size : float, optional
        Length of a pixel's side in pm. By default that of `array`, if it has one.
    metadata : dict, optional
        Other information, for instance from a file. By default that of `array`.

    Attributes
    ----------
    pixel_size : float or None
        In pm; None if it is not known. It can be set.
    metadata : dict
        Each stack has its own dict, so a change does not affect other stacks.

    Raises
    ------
    TypeError
        If the pixel size is not a number, or the metadata are not a dict.
    ValueError
        If the pixel size is not positive and finite, if `array` has fewer than two axes, or if it
        is a masked array with masked pixels.

    Notes
    -----
    Results with fewer than two axes are ordinary arrays and numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import ImageStack
    >>> movie = ImageStack(np.ones((8, 64, 64)), pixel_size=6.22)
    >>> movie[2:4].pixel_size, (2 * movie).pixel_size, movie.mean(axis=0).pixel_size
    (6.22, 6.22, 6.22)
    >>> movie[:, ::2, ::2].pixel_size is None
    True

    Two movies of the same pixel size, joined:

    >>> both = ImageStack(np.concatenate([movie, movie]), pixel_size=movie.pixel_size)
    """

    # An instance in `__array_finalize__` may not have these attributes yet.
    _pixel_size = None
    _metadata = None
    # Height and width to which the pixel size belongs: `shape` can be set, and `resize` works in
    # place.
    _frame = None

    def __new__(cls, array, pixel_size=None, metadata=None):
        """See the class."""
        refuse_masked(array, "array")
        new = np.asanyarray(array).view(cls)  # always a new object, with the same memory
        if new.ndim < 2:
            raise ValueError(
                f"An ImageStack has the axes (n_images, height, width), or at least height and "
                f"width; got an array of shape {new.shape}."
            )
        if pixel_size is not None:
            new.pixel_size = pixel_size
        if metadata is not None:
            if not isinstance(metadata, dict):
                raise TypeError(f"metadata must be a dict, got {metadata!r}.")
            new._metadata = copy.deepcopy(metadata)
        return new

    @property
    def pixel_size(self):
        """Length of a pixel's side in pm; None if it is not known."""
        return self._pixel_size if self.shape[-2:] == self._frame else None

    @pixel_size.setter
    def pixel_size(self, value):
        self._pixel_size = None if value is None else check_pixel_size(value)
        self._frame = self.shape[-2:]

    @property
    def metadata(self):
        """Other information about the images."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    # --- methods that NumPy calls for any new array of this class ------------------------------

    def __array_finalize__(self, parent):
        # The same shape: a copy, a cast, a view. The methods below can put other pixels into the
        # same shape, or the same pixels into another shape.
        if isinstance(parent, ImageStack) and self.shape == parent.shape:
            self._inherit(parent)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        plain = [_plain(array) for array in inputs]
        keywords |= {"where": _plain(keywords["where"])} if "where" in keywords else {}
        if out:
            keywords["out"] = tuple(_plain(array) for array in out)
        result = super().__array_ufunc__(ufunc, method, *plain, **keywords)
        if out:
            return out[0] if len(out) == 1 else out
        if result is NotImplemented or result is None:
            return result
        results = result if isinstance(result, tuple) else (result,)
        sources = [a for a in inputs if isinstance(a, ImageStack)]
        if not _elementwise(ufunc, method, sources[0].ndim, keywords.get("axis", 0)):
            sources = []
        made = tuple(_as_stack_of(array, sources) for array in results)
        return made if isinstance(result, tuple) else made[0]

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # Functions that are no ufuncs: what they did to the sampling is not known.
        return array[()] if return_scalar else np.asarray(array)

    def _inherit(self, parent):
        self._pixel_size, self._frame = parent.pixel_size, self.shape[-2:]
        self._metadata = copy.deepcopy(parent._metadata) if parent._metadata else None

    def _forget(self):
        self._pixel_size, self._metadata = None, None

    # --- indices and axes ------------------------------------------------------------------------

    def __getitem__(self, index):
        part = super().__getitem__(index)
        if np.ndim(part) < 2:
            return _plain(part)
        return _settled(part, self, _keeps_sampling(index, self.ndim))

    def transpose(self, *axes):
        """As of any array; the pixel size stays if the last two axes remain the last two."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], Integral) else axes
        # None, or nothing: the axes in reverse order
        last = [1, 0] if order is None or len(order) == 0 else list(order)[-2:]
        kept = {axis % self.ndim for axis in last} == {self.ndim - 2, self.ndim - 1}
        return _settled(super().transpose(*axes), self, kept)

    def swapaxes(self, axis1, axis2):
        """As of any array; the pixel size stays if the last two axes remain the last two."""
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self.transpose(order)

    @property
    def T(self):
        """All axes in reverse order."""
        return self.transpose()

    @property
    def mT(self):
        """Height and width exchanged."""
        return self.swapaxes(-1, -2)

    def reshape(self, *shape, **keywords):
        """As of any array; the pixel size stays if height and width do."""
        new = super().reshape(*shape, **keywords)
        return _settled(new, self, new.shape[-2:] == self.shape[-2:])

    def squeeze(self, axis=None):
        """As of any array; the pixel size stays if height and width do."""
        new = super().squeeze(axis)
        return _settled(new, self, new.shape[-2:] == self.shape[-2:])

    def take(self, indices, axis=None, out=None, mode="raise"):
        """As of any array; the pixel size stays if images are taken."""
        new = super().take(indices, axis=axis, out=out, mode=mode)
        if out is not None:
            return new
        return _settled(new, self, axis is not None and axis % self.ndim < self.ndim - 2)

    def round(self, decimals=0, out=None):
        """As of any array; the pixel size stays."""
        new = super().round(decimals, out)
        return new if out is not None else _settled(new, self, kept=True)

    def repeat(self, repeats, axis=None):
        """As of any array; the pixel size is dropped."""
        return _settled(super().repeat(repeats, axis), self, kept=False)

    def dot(self, b, out=None):
        """As of any array; the result has no pixel size."""
        return np.asarray(self).dot(b, out)

    # --- copies in other processes and files --------------------------------------------------

    def __reduce_ex__(self, protocol):
        # The state holds a plain array: joblib and pickle can store large ones as memory maps.
        return _restore, (type(self), np.asarray(self), self.pixel_size, self._metadata)


def _restore(kind, array, pixel_size, metadata):
    new = array.view(kind)
    new.pixel_size, new._metadata = pixel_size, metadata
    return new


def pixel_size_of(images):
    """Pixel size in pm that images know, otherwise None.

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
        If their pixel size is not valid.
    """
    pixel_size = getattr(images, "pixel_size", None)
    return None if pixel_size is None else check_pixel_size(pixel_size)


def stack_like(array, images):
    """Give an array that was computed pixel by pixel the pixel size of its images.

    Parameters
    ----------
    array : ndarray of the height and width of `images`
    images : object
        An `ImageStack`, or anything else.

    Returns
    -------
    array : ImageStack if `images` is one, otherwise `array` itself
    """
    if not isinstance(images, ImageStack):
        return array
    return ImageStack(array, images.pixel_size, images.metadata)


def first_with_pixel_size(*images):
    """Return the first of several stacks that knows its pixel size, otherwise None.

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
    """Pixel size to use: the one given, otherwise the one that the images know.

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
        If a pixel size is not positive and finite.

    Warns
    -----
    PixelSizeWarning
        If the two differ by more than 0.5 %. The given one is used.

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


def _plain(array):
    return np.asarray(array) if isinstance(array, ImageStack) else array


def _settled(part, parent, kept):
    """Give a part of a stack the correct pixel size, for any way in which NumPy made it."""
    if np.ndim(part) < 2:
        return _plain(part)
    part = part.view(ImageStack)
    if kept:
        part._inherit(parent)
    else:
        part._forget()
    return part


def _elementwise(ufunc, method, n_axes, axis):
    """Whether the pixels of the result have the same positions as those of the operands."""
    if method == "__call__":
        return ufunc.signature is None  # a matrix product has one
    if method not in ("reduce", "reduceat", "accumulate") or axis is None:
        return False
    axes = axis if isinstance(axis, tuple) else (axis,)
    return method == "accumulate" or all(a % n_axes < n_axes - 2 for a in axes)


def _as_stack_of(array, sources):
    """Convert a result of arithmetic to a stack, with the pixel size on which operands agree."""
    if type(array) is not np.ndarray or array.ndim < 2:
        return array
    stack = array.view(ImageStack)
    alike = [source for source in sources if source.shape[-2:] == array.shape[-2:]]
    known = {source.pixel_size for source in alike} - {None}
    if alike:
        stack._metadata = copy.deepcopy(alike[0]._metadata)
    stack.pixel_size = known.pop() if len(known) == 1 else None
    return stack


def _keeps_sampling(index, n_axes):
    """Whether an index leaves the last two axes unchanged, or only crops or flips them."""
    index = index if isinstance(index, tuple) else (index,)
    for i in index:
        # a mask of several axes, or a table of indices, mixes the axes
        simple = i is None or i is Ellipsis or isinstance(i, slice) or type(i) is int
        if not simple and (isinstance(i, bool | np.bool_) or np.ndim(i) > 1):
            return False
    place = next((k for k, i in enumerate(index) if i is Ellipsis), len(index))
    n_given = sum(i is not None and i is not Ellipsis for i in index)
    whole = [slice(None)] * (n_axes - n_given)
    index = (*index[:place], *whole, *index[place + 1 :])
    return all(isinstance(i, slice) and i.step in (None, 1, -1) for i in index[-2:])
