"""Figure of a line profile."""

import numpy as np

from temdenoise.images import first_with_pixel_size, pixel_size_of
from temdenoise.inspection import profile_along
from temdenoise.plotting._axes import Display, get_axes, unit_of


class ProfileDisplay(Display):
    """Profile of the denoised frames, with that of the mean of the movie.

    Figure 5.5 of Mohan et al., arXiv:2010.12970. Points with error bars are the temporal average of
    the counts and its Poisson standard error. The line is the mean of the denoised frames, and the
    band their standard deviation. Make a display with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    profile : Profile
        The result of `profile_along`.
    pixel_size : float, optional
        Pixel size in pm. With it the distance is in nm, otherwise in px.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        After `plot`: the axes.
    figure_ : matplotlib.figure.Figure
        After `plot`: the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.plotting import ProfileDisplay
    >>> movie = np.random.default_rng(0).poisson(2.0, size=(20, 32, 32))
    >>> flat = np.full(movie.shape, 2.0)
    >>> display = ProfileDisplay.from_predictions(movie, flat, (2, 16), (29, 16))
    >>> display.ax_.get_ylabel()
    'intensity (counts/px)'
    """

    def __init__(self, profile, *, pixel_size=None):
        self.profile = profile
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(
        cls, estimator, X, start, end, *, transform_params=None, pixel_size=None, ax=None, **options
    ):
        """Denoise a movie and draw a profile.

        Parameters
        ----------
        estimator : denoiser
            Fitted.
        X : array-like of shape (n_frames, height, width)
            Electron counts.
        start, end : tuple of two float
            Ends of the line (x, y) in px.
        transform_params : dict, optional
            Keywords of ``estimator.transform``, such as its ``pixel_size``.
        pixel_size : float, optional
            Pixel size in pm, for the axis and the default ``width``. By default that of the movie
            or the denoised frames, if they know it.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        **options
            ``width`` and ``step`` of `profile_along`.

        Returns
        -------
        display : ProfileDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError
            As ``estimator.transform`` and `profile_along`.
        """
        denoised = estimator.transform(X, **(transform_params or {}))
        return cls.from_predictions(
            X, denoised, start, end, pixel_size=pixel_size, ax=ax, **options
        )

    @classmethod
    def from_predictions(cls, movie, denoised, start, end, *, pixel_size=None, ax=None, **options):
        """Draw a profile of a movie and its denoised frames.

        Parameters
        ----------
        movie, denoised : array-like of shape (n_frames, height, width)
            Electron counts, and the denoised frames in counts/px.
        start, end : tuple of two float
            Ends of the line (x, y) in px.
        pixel_size : float, optional
            Pixel size in pm, for the axis and the default ``width``. By default that of the movie
            or the denoised frames, if they know it.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        **options
            ``width`` and ``step`` of `profile_along`.

        Returns
        -------
        display : ProfileDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError
            As `profile_along`.
        """
        profile = profile_along(movie, denoised, start, end, pixel_size=pixel_size, **options)
        if pixel_size is None:
            pixel_size = pixel_size_of(first_with_pixel_size(movie, denoised))
        return cls(profile, pixel_size=pixel_size).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.

        Returns
        -------
        display : ProfileDisplay
            Itself.

        Raises
        ------
        TypeError
            If `ax` is not axes.
        """
        self.figure_, self.ax_ = get_axes(ax)
        scale, unit = unit_of(self.pixel_size)
        table, n_frames = self.profile.table, len(self.profile.frames)
        distance = table["distance"] * scale
        self.ax_.errorbar(
            distance,
            table["movie"],
            yerr=table["movie_error"],
            fmt=".",
            color="0.5",
            zorder=1,
            label=f"mean of {n_frames} frames of counts, standard error",
        )
        (line,) = self.ax_.plot(distance, table["denoised"], label="denoised frames, mean")
        if n_frames > 1:
            low, high = (table["denoised"] + sign * table["denoised_spread"] for sign in (-1, 1))
            self.ax_.fill_between(
                distance,
                low,
                high,
                color=line.get_color(),
                alpha=0.3,
                linewidth=0,
                label="their standard deviation",
            )
        self.ax_.set(xlabel=f"distance ({unit})", ylabel="intensity (counts/px)")
        self.ax_.set_xlim(np.min(distance), np.max(distance))
        self.ax_.legend(fontsize="small")
        return self
