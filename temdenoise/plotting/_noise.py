"""Figure of the noise of a movie."""

import numpy as np

from temdenoise.noise import analyze_noise
from temdenoise.plotting._axes import Display, get_figure


class NoiseAnalysisDisplay(Display):
    """Show the noise of a movie: variance over mean, and the values in the vacuum.

    The left panel shows the points of the mean-variance line, the fitted line, and the line of
    Poisson noise. The right panel shows the histogram of the vacuum, and the one that the fitted
    noise predicts for an even field. Figure 4.1 of "Deep denoising for scientific discovery: a case
    study in electron microscopy" (Mohan et al., arXiv:2010.12970) is like this.

    Parameters
    ----------
    analysis : NoiseAnalysis
        The result of :func:`temdenoise.analyze_noise`.

    Attributes
    ----------
    axes_ : ndarray of two matplotlib.axes.Axes
        After `plot`: those of the line and of the vacuum.
    figure_ : matplotlib.figure.Figure or matplotlib.figure.SubFigure
        After `plot`: the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.plotting import NoiseAnalysisDisplay
    >>> rate = np.broadcast_to(np.linspace(0.2, 2, 64), (4, 64, 64))
    >>> movie = np.random.default_rng(0).poisson(rate)
    >>> display = NoiseAnalysisDisplay.from_movie(movie)
    >>> [axes.get_ylabel() for axes in display.axes_]
    ['variance', 'pixels']
    """

    def __init__(self, analysis):
        self.analysis = analysis

    @classmethod
    def from_movie(cls, movie, *, figure=None, **parameters):
        """Analyse a movie and show the result.

        Parameters
        ----------
        movie : array-like of shape (n_images, height, width)
            Frames as stored.
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.
        **parameters : dict
            Parameters of :func:`temdenoise.analyze_noise`.

        Returns
        -------
        display : NoiseAnalysisDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the movie is not valid, see `analyze_noise`.
        """
        return cls(analyze_noise(movie, **parameters)).plot(figure)

    def plot(self, figure=None):
        """Draw.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        display : NoiseAnalysisDisplay
            Itself.

        Raises
        ------
        TypeError
            If `figure` is not a figure.
        """
        self.figure_ = get_figure(figure, (9.0, 3.8))
        line, vacuum = self.axes_ = self.figure_.subplots(1, 2)
        self._plot_line(line)
        self._plot_histogram(vacuum)
        return self

    def _plot_line(self, axes):
        found = self.analysis
        for used, marker, label in ((True, "o", "measured"), (False, "x", "clipped, not used")):
            which = (found.used == used) & np.isfinite(found.variances) & (found.variances > 0)
            if which.any():
                points = (a[which] for a in (found.means, found.variances, found.variances_se))
                axes.errorbar(*points, fmt=marker, markersize=4, label=label)
        mean = np.array([found.means[found.used].min(), found.means[found.used].max()])
        if np.isfinite(found.gain):
            label = f"fit: gain {found.gain:.3g}"
            axes.plot(mean, found.gain * mean + found.intercept, "-", label=label)
        low, high = axes.get_ylim()
        if mean[0] < high and mean[1] > low and not found.is_poisson():
            axes.plot(mean, mean, "--", color="gray", label="Poisson")
            axes.set_ylim(low, high)
        axes.set(xlabel="mean", ylabel="variance", title="Variance over mean")
        axes.legend()

    def _plot_histogram(self, axes):
        found = self.analysis
        axes.set(xlabel="stored value", ylabel="pixels", title="Vacuum")
        if found.histogram is None:
            axes.text(0.5, 0.5, "no vacuum", ha="center", transform=axes.transAxes)
            return
        edges, frequencies = found.histogram
        axes.stairs(frequencies, edges, fill=True, alpha=0.4, label="measured")
        expected = found.expected_histogram()
        if expected is not None:
            name = "Poisson" if found.is_poisson() else "fitted noise"
            centers = (edges[1:] + edges[:-1]) / 2
            axes.plot(centers, expected, ".-", color="tab:orange", label=name)
        axes.legend()
