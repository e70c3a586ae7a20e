"""Figure of a noisy and a denoised image, and of the atoms found, side by side."""

import numpy as np

from temdenoise._validation import check_mask
from temdenoise.images import settle_pixel_size
from temdenoise.plotting._axes import (
    add_circles,
    add_scale_bar,
    get_figure,
    show_image,
    show_mask,
)


def plot_denoising(
    noisy,
    denoised,
    atoms=None,
    *,
    mask=None,
    pixel_size=None,
    title=None,
    limits=None,
    figure=None,
):
    """Show a noisy image, its denoised estimate and the atoms found, side by side.

    Parameters
    ----------
    noisy, denoised : array-like of shape (height, width)
        Images in counts/px. Both are drawn on the same intensity scale.
    atoms : pandas.DataFrame, optional
        Table of :func:`temdenoise.find_atoms`. It adds a third panel with the atoms marked.
    mask : bool array-like of shape (height, width), optional
        True marks pixels that are not to be trusted. They are coloured.
    pixel_size : float, optional
        Pixel size in pm. It adds a scale bar. By default that of `noisy`, if it knows it.
    title : str, optional
        Title of the figure.
    limits : tuple of two floats, optional
        Lowest and highest counts/px of the grey scale. Default: the range of the denoised image
        without the most extreme 0.1 % of its pixels on either side. The noisy image exceeds it.
    figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
        Where to draw; a new one by default.

    Returns
    -------
    figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure
        Save it with ``figure.savefig(path)``; a notebook shows it.

    Raises
    ------
    TypeError
        If `figure` is not a figure.
    ValueError
        If the two are not images of one shape, the mask does not fit them, or the pixel size is not
        positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.plotting import plot_denoising
    >>> noisy = np.random.default_rng(0).poisson(0.45, (64, 64))
    >>> figure = plot_denoising(noisy, np.full((64, 64), 0.45), pixel_size=6.22)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['noisy', 'denoised']
    """
    pixel_size = settle_pixel_size(noisy, pixel_size)
    noisy, denoised = np.asarray(noisy), np.asarray(denoised)
    if noisy.ndim != 2 or noisy.shape != denoised.shape:
        raise ValueError(
            "Expected a noisy and a denoised image of one shape (height, width), got "
            f"{noisy.shape} and {denoised.shape}."
        )
    if mask is not None:
        mask = check_mask(mask, (1, *noisy.shape))
    if limits is None:
        low, high = np.nanpercentile(denoised, [0.1, 99.9])
        limits = (low, high) if high > low else (low - 0.5, low + 0.5)
    panels = [("noisy", noisy), ("denoised", denoised)]
    if atoms is not None:
        panels.append((f"{len(atoms)} atomic columns", denoised))
    height = 4.2 * min(max(noisy.shape[0] / noisy.shape[1], 0.4), 2.0)
    size = (4.2 * len(panels) + 0.9, height + (0.9 if title else 0.5))

    figure = get_figure(figure, size)
    axes = figure.subplots(1, len(panels))
    for ax, (name, image) in zip(axes, panels, strict=True):
        drawn = show_image(ax, image, cmap="gray", vmin=limits[0], vmax=limits[1])
        if mask is not None:
            show_mask(ax, mask[0])
        ax.set_title(name)
        ax.set_axis_off()
        if pixel_size is not None:
            add_scale_bar(ax, image.shape, pixel_size)
    if atoms is not None:
        add_circles(axes[-1], atoms["x"], atoms["y"], atoms["radius"])
    figure.colorbar(drawn, ax=list(axes), label="counts/px", shrink=0.8, extend="both")
    if title:
        figure.suptitle(title)
    return figure
