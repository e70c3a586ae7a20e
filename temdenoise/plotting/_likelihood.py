"""Figure of a likelihood map."""

import numpy as np

from temdenoise._calls import transform_keywords
from temdenoise.images import first_with_pixel_size, pixel_size_of, settle_pixel_size
from temdenoise.inspection import likelihood_map
from temdenoise.plotting._axes import (
    Display,
    get_axes,
    pick_image,
    show_image,
    symmetric_limit,
)


class LikelihoodMapDisplay(Display):
    """Likelihood map drawn over the denoised image.

    Red regions are more likely atoms, blue regions more likely vacuum (Figures 1.1 and 3.3 of Mohan
    et al., arXiv:2010.12970). Make a display with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    result : LikelihoodMap
        The result of `likelihood_map`.
    denoised : ndarray of shape (height, width)
        Denoised image in counts/px.
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
    >>> from temdenoise.plotting import LikelihoodMapDisplay
    >>> y, x = np.mgrid[:96, :160]
    >>> clean = 0.45 + 0.6 * np.exp(-((x - 40) ** 2 + (y - 48) ** 2) / (2 * 8**2))
    >>> noisy = np.random.default_rng(0).poisson(clean)
    >>> display = LikelihoodMapDisplay.from_predictions(noisy, clean, pixel_size=6.22)
    >>> len(display.result.atoms), display.ax_.get_xlabel()
    (1, 'x (nm)')
    """

    def __init__(self, result, denoised, *, pixel_size=None):
        self.result = result
        self.denoised = denoised
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(
        cls, estimator, X, *, image=0, transform_params=None, pixel_size=None, ax=None, **options
    ):
        """Denoise an image and draw its likelihood map.

        Parameters
        ----------
        estimator : denoiser
            Fitted.
        X : array-like of shape (n_images, height, width)
            Electron counts.
        image : int, default=0
            Number of the image. Only this image is denoised.
        transform_params : dict, optional
            Keywords of ``estimator.transform``, such as its ``pixel_size``.
        pixel_size : float, optional
            As for `likelihood_map`; by default that of `X`, if it knows it. This argument is not
            passed to ``estimator.transform``, where it can have another meaning; the pixel size of
            `X` is.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        **options
            ``atoms``, ``vacuum``, ``radius``, ``mask``, ``split`` and ``random_state`` of
            `likelihood_map`. With a split, the first half is denoised and drawn. A `mask` has the
            shape of one image. It is passed on to ``estimator.transform`` if that has a parameter
            of this name.

        Returns
        -------
        display : LikelihoodMapDisplay
            Drawn.

        Raises
        ------
        IndexError
            If there is no such image.
        TypeError, ValueError
            As ``estimator.transform`` and `likelihood_map`, or if `image` is not an integer.
        """
        pixel_size = settle_pixel_size(X, pixel_size)
        noisy, mask = pick_image(estimator, X, image, options.get("mask"))
        if options.get("split") is not None:
            denoised = estimator
            options["transform_params"] = transform_params
        else:
            keywords = transform_keywords(
                estimator, pixel_size=pixel_size_of(X), mask=mask, params=transform_params
            )
            denoised = estimator.transform(noisy, **keywords)[0]
        return cls.from_predictions(noisy[0], denoised, pixel_size=pixel_size, ax=ax, **options)

    @classmethod
    def from_predictions(cls, noisy, denoised, *, pixel_size=None, ax=None, **options):
        """Draw the likelihood map of a noisy and a denoised image.

        Parameters
        ----------
        noisy : array-like of shape (height, width)
            Electron counts.
        denoised : array-like of shape (height, width), or fitted denoiser
            Denoised image in counts/px, or with ``split`` a denoiser.
        pixel_size : float, optional
            As for `likelihood_map`; by default that of `noisy`, if it knows it.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        **options
            Other parameters of `likelihood_map`.

        Returns
        -------
        display : LikelihoodMapDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError
            As `likelihood_map`.
        """
        result = likelihood_map(noisy, denoised, pixel_size=pixel_size, **options)
        if pixel_size is None:
            pixel_size = pixel_size_of(first_with_pixel_size(noisy, denoised))
        return cls(result, result.denoised, pixel_size=pixel_size).plot(ax)

    def plot(self, ax=None, *, limit=None, cmap="coolwarm", alpha=0.75):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        limit : float, optional
            The colours range from minus this to plus this, in nats/px. By default the largest
            absolute value of the map.
        cmap : str, default="coolwarm"
            Diverging colour map.
        alpha : float, default=0.75
            Opacity of the regions over the image.

        Returns
        -------
        display : LikelihoodMapDisplay
            Itself.

        Raises
        ------
        TypeError
            If `ax` is not axes, or `limit` is not a number.
        ValueError
            If `limit` is not positive.
        """
        self.figure_, self.ax_ = get_axes(ax)
        shown = np.ma.masked_invalid(self.result.map)
        limit = symmetric_limit(shown, limit)
        show_image(self.ax_, self.denoised, self.pixel_size, cmap="gray")
        colours = {"cmap": cmap, "vmin": -limit, "vmax": limit, "alpha": alpha}
        drawn = show_image(self.ax_, shown, self.pixel_size, **colours)
        bar = self.figure_.colorbar(drawn, ax=self.ax_, label="log-likelihood ratio (nats/px)")
        bar.solids.set_alpha(1)
        return self
