"""Figure of what a denoiser keeps and invents, by spatial frequency."""

import numpy as np

from temdenoise.inspection import frequency_report
from temdenoise.plotting._axes import Display, get_figure

_UNITS = {"1/angstrom": "1/Å", "1/px": "1/px"}


class FrequencyDisplay(Display):
    """Show what a denoiser keeps, loses and invents at each spatial frequency.

    The upper panel shows the correlation of the raw halves, that of the estimate with the truth,
    and the share of the estimate's power that electrons held out support. The lower panel shows the
    gain of power, and, beyond the cut-off (dotted line), the power that comes back without any
    signal. Bands are one standard error. Where nothing can be said, nothing is drawn. Make a
    display with `from_estimator`.

    Parameters
    ----------
    report : FrequencyReport
        The result of :func:`temdenoise.inspection.frequency_report`.

    Attributes
    ----------
    axes_ : ndarray of two matplotlib.axes.Axes
        After `plot`: those of the correlations and of the powers.
    figure_ : matplotlib.figure.Figure or matplotlib.figure.SubFigure
        After `plot`: the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.plotting import FrequencyDisplay
    >>> counts = np.random.default_rng(0).poisson(0.45, size=(1, 64, 64))
    >>> display = FrequencyDisplay.from_estimator(LowPassDenoiser().fit(counts), counts, n_draws=2)
    >>> display.axes_[1].get_xlabel()
    'spatial frequency (1/px)'
    """

    def __init__(self, report):
        self.report = report

    @classmethod
    def from_estimator(cls, estimator, X, *, figure=None, **parameters):
        """Make the report of a denoiser, and draw it.

        Parameters
        ----------
        estimator : fitted denoiser or callable
            As for :func:`temdenoise.inspection.frequency_report`.
        X : array-like of shape (n_images, height, width)
            Electron counts.
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.
        **parameters : dict
            Parameters of :func:`temdenoise.inspection.frequency_report`.

        Returns
        -------
        display : FrequencyDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError
            As `frequency_report`.
        """
        return cls(frequency_report(estimator, X, **parameters)).plot(figure)

    def plot(self, figure=None, *, max_frequency=None):
        """Draw.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.
        max_frequency : float, optional
            Right end of the axes, in the unit of the report. By default twice the cut-off, or the
            last ring in which anything is known of the correlation, if that is farther.

        Returns
        -------
        display : FrequencyDisplay
            Itself.

        Raises
        ------
        TypeError
            If `figure` is not a figure.
        """
        self.figure_ = get_figure(figure, (6.0, 6.4))
        upper, lower = self.axes_ = self.figure_.subplots(2, 1, sharex=True)
        self._curve(upper, "raw", "raw halves", "0.5", "s")
        self._curve(upper, "estimate", "estimate and truth", "tab:blue", "o")
        self._curve(upper, "supported", "supported share of its power", "tab:green", "^")
        self._curve(lower, "gain", "gain: estimate over truth", "tab:purple", "o")
        self._curve(lower, "invented", "comes back without signal", "tab:red", "D")
        self._curve(lower, "repeated", "of this, drawn alike twice", "tab:orange", "x")
        upper.set(ylabel="correlation, share", ylim=(-0.3, 2.2))
        unit = _UNITS[self.report.unit]
        lower.set(ylabel="ratio of powers", ylim=(-0.1, 2.2))
        lower.set_xlabel(f"spatial frequency ({unit})")
        for axes in self.axes_:
            for level in (0, 1):
                axes.axhline(level, color="0.8", linewidth=0.8, zorder=0)
            axes.axvline(self.report.cutoff, color="0.3", linestyle=":", linewidth=1)
            axes.set_yticks(np.arange(0, 2.1, 0.5))
            axes.legend(fontsize="small", loc="upper right", framealpha=1)
        lower.set_xlim(0, self._end() if max_frequency is None else max_frequency)
        return self

    def _curve(self, axes, name, label, color, marker):
        x, y = self.report.frequency, getattr(self.report, name)
        axes.plot(x, y, marker=marker, markersize=4, linewidth=1.2, color=color, label=label)
        error = getattr(self.report, f"{name}_se", None)
        if error is not None:
            style = {"color": color, "alpha": 0.2, "linewidth": 0}
            axes.fill_between(x, y - error, y + error, **style)

    def _end(self):
        report = self.report
        known = np.isfinite(report.estimate) | np.isfinite(report.supported)
        last = report.frequency[known].max(initial=0)
        return min(max(2 * report.cutoff, 1.1 * last), report.frequency[-1])
