"""Figure of an equivalent filter."""

from itertools import cycle

import numpy as np
from matplotlib.patches import Circle

from temdenoise.images import settle_pixel_size
from temdenoise.inspection import equivalent_filter
from temdenoise.plotting._axes import (
    Display,
    get_axes,
    show_image,
    symmetric_limit,
    unit_of,
)


class EquivalentFilterDisplay(Display):
    """Weights of the noisy pixels in one denoised pixel.

    Figure 3.2 of Mohan et al., arXiv:2010.12970, with circles that hold 50 and 90 % of the absolute
    weight. Make a display with `from_estimator`.

    Parameters
    ----------
    result : EquivalentFilter
        The result of `equivalent_filter`.
    pixel_size : float, optional
        Pixel size in pm. With it the axes are in nm, otherwise in px.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        After `plot`: the axes.
    figure_ : matplotlib.figure.Figure
        After `plot`: the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.plotting import EquivalentFilterDisplay
    >>> noisy = np.random.default_rng(0).poisson(0.45, size=(1, 48, 48))
    >>> blur = LowPassDenoiser(cutoff=0.08).fit(noisy)
    >>> display = EquivalentFilterDisplay.from_estimator(blur, noisy, (24, 24))
    >>> [round(circle.get_radius(), 1) for circle in display.ax_.patches]
    [2.2, 4.2]
    """

    def __init__(self, result, *, pixel_size=None):
        self.result = result
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(cls, estimator, X, pixel, *, pixel_size=None, ax=None, **options):
        """Differentiate a denoiser at one pixel and draw the weights.

        Parameters
        ----------
        estimator, X, pixel
            The fitted denoiser, its images and a pixel, as for `equivalent_filter`.
        pixel_size : float, optional
            Pixel size in pm, for the axes only; that for ``estimator.transform`` belongs in
            `transform_params`. By default that of `X`, if it knows it.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        **options
            ``image``, ``transform_params``, ``method``, ``radius`` and ``step`` of
            `equivalent_filter`.

        Returns
        -------
        display : EquivalentFilterDisplay
            Drawn.

        Raises
        ------
        IndexError, TypeError, ValueError
            As `equivalent_filter`.
        """
        pixel_size = settle_pixel_size(X, pixel_size)
        result = equivalent_filter(estimator, X, pixel, **options)
        return cls(result, pixel_size=pixel_size).plot(ax)

    def plot(self, ax=None, *, limit=None, cmap="RdBu_r", fractions=(0.5, 0.9)):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        limit : float, optional
            The colours range from minus this to plus this. By default the largest absolute weight.
        cmap : str, default="RdBu_r"
            Diverging colour map.
        fractions : sequence of float, default=(0.5, 0.9)
            A circle is drawn for each fraction. It holds this fraction of the absolute weight.

        Returns
        -------
        display : EquivalentFilterDisplay
            Itself.

        Raises
        ------
        TypeError
            If `ax` is not axes, or `limit` is not a number.
        ValueError
            If a fraction is out of range, or `limit` is not positive.
        """
        self.figure_, self.ax_ = get_axes(ax)
        scale, unit = unit_of(self.pixel_size)
        shown = np.ma.masked_invalid(self.result.weights)
        limit = symmetric_limit(shown, limit)
        drawn = show_image(self.ax_, shown, self.pixel_size, cmap=cmap, vmin=-limit, vmax=limit)
        self.figure_.colorbar(drawn, ax=self.ax_, label="weight (counts/px per count/px)")
        row, column = self.result.pixel
        for fraction, style in zip(fractions, cycle(["-", "--", ":"]), strict=False):
            radius = self.result.radius(fraction)
            if np.isfinite(radius):
                self.ax_.add_patch(
                    Circle(
                        (column * scale, row * scale),
                        radius * scale,
                        fill=False,
                        linestyle=style,
                        label=f"{fraction:.0%} within {radius * scale:.3g} {unit}",
                    )
                )
        if self.ax_.patches:
            self.ax_.legend(loc="upper right", fontsize="small")
        return self
