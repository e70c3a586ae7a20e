"""Code shared by the displays: figures, images with units, marks, and the image to show."""

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from temdenoise._lengths import check_length, check_pixel_size
from temdenoise._validation import as_real_array, check_images, check_mask
from temdenoise.images import ImageStack, pixel_size_of
from temdenoise.inspection._regions import check_index


class NewFigure(Figure):
    """Figure outside pyplot: it has no window and need not be closed. A notebook shows it."""

    def __init__(self, figsize=None):
        super().__init__(figsize=figsize, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self):
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


class Display:
    """A display with ``figure_``. A notebook shows it, unless pyplot does."""

    figure_ = None

    def _repr_png_(self):
        figure = None if self.figure_ is None else self.figure_.canvas.figure
        return figure._repr_png_() if isinstance(figure, NewFigure) else None


def get_axes(ax, figsize=None):
    """Return figure and axes to draw on; by default new ones."""
    if ax is None:
        ax = NewFigure(figsize).subplots()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be one matplotlib.axes.Axes, got {type(ax).__name__}.")
    return ax.figure, ax


def get_figure(figure, figsize=None):
    """Return a figure, or part of one, to draw on; by default a new one."""
    if figure is None:
        figure = NewFigure(figsize)
    if not isinstance(figure, FigureBase):
        raise TypeError(
            "figure must be a matplotlib Figure, or a SubFigure of one (figure.subfigures), got "
            f"{type(figure).__name__}."
        )
    return figure


def unit_of(pixel_size):
    """Length of a pixel on the axes, and its unit."""
    if pixel_size is None:
        return 1.0, "px"
    return check_pixel_size(pixel_size) / 1000, "nm"


def symmetric_limit(values, limit):
    """Return the end of a colour scale about zero: `limit` or the largest absolute value."""
    if limit is not None:
        return check_length("limit", limit)
    largest = float(np.abs(values).max()) if np.ma.count(values) else 0.0
    return largest or 1.0  # 1 if all values are zero


def show_image(ax, image, pixel_size=None, **options):
    """Draw an image with axes in nm, or in px without a pixel size.

    The centre of pixel (0, 0) is the origin.
    """
    scale, unit = unit_of(pixel_size)
    height, width = np.shape(image)
    extent = np.array([-0.5, width - 0.5, height - 0.5, -0.5]) * scale
    drawn = ax.imshow(np.ma.asarray(image), extent=extent, interpolation="nearest", **options)
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    return drawn


def show_mask(ax, mask):
    """Colour the pixels of an image, shown in px, that are not to be trusted."""
    colour = np.zeros((*mask.shape, 4))
    colour[mask] = to_rgba("tab:purple", 0.6)
    height, width = mask.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(colour, extent=extent, interpolation="nearest")


def add_circles(ax, x, y, radius, color="tab:orange"):
    """Draw circles in data units, so that their size on the image is fixed."""
    diameter = 2 * np.asarray(radius, dtype=float)
    circles = EllipseCollection(
        diameter,
        diameter,
        np.zeros(len(diameter)),
        units="xy",
        offsets=np.column_stack([x, y]).astype(float),
        offset_transform=ax.transData,
        facecolors="none",
        edgecolors=color,
        linewidths=1.2,
    )
    ax.add_collection(circles, autolim=False)


def add_scale_bar(ax, shape, pixel_size):
    """Draw a scale bar on an image of this shape, with axes in px."""
    height, width = shape
    length = _round_length(0.25 * width * pixel_size / 1000)  # nm
    pixels = length * 1000 / pixel_size
    x, y = 0.05 * width, 0.94 * height
    outline = {"edgecolor": "black", "linewidth": 0.8, "facecolor": "white"}
    ax.add_patch(Rectangle((x, y), pixels, 0.014 * height, **outline))
    ax.text(
        x + pixels / 2,
        y - 0.01 * height,
        f"{length:g} nm",
        color="white",
        ha="center",
        va="bottom",
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )


def _round_length(length):
    """Largest of 1, 2, 5 times a power of ten that is not longer than ``length``."""
    decade = 10.0 ** np.floor(np.log10(length))
    return max(step * decade for step in (1, 2, 5) if step * decade <= length * (1 + 1e-9))


def pick_image(estimator, X, image, mask=None):
    """Take one image from a stack.

    Parameters
    ----------
    estimator : denoiser
        The denoiser. Its name appears in the error messages.
    X : array-like of shape (n_images, height, width)
        Noisy images.
    image : int
        Number of the image, from 0.
    mask : None or bool array-like of shape (height, width)
        True marks pixels not to trust; they may be NaN.

    Returns
    -------
    noisy : ImageStack of shape (1, height, width)
        The image, with zeros on masked pixels, and with the pixel size of `X` if that has one.
    mask : None or bool ndarray of shape (1, height, width)
        The mask for ``estimator.transform`` with this image; None if nothing is masked.

    Raises
    ------
    IndexError
        If there is no such image.
    TypeError
        If `image` is not an integer.
    ValueError
        If `X` is not a valid stack, or `mask` is not a mask of its images.
    """
    name = type(estimator).__name__
    pixel_size = pixel_size_of(X)
    X = as_real_array(X, "X", name)
    mask = check_mask(mask, (1, *X.shape[1:])) if X.ndim == 3 else None  # another X is refused
    X = X if mask is None else np.where(mask, 0, X)
    n_images = len(check_images(X, estimator_name=name))
    chosen = check_index(image, n_images, "image")
    return ImageStack(X[chosen : chosen + 1], pixel_size), mask
