"""Pictures of what denoising did, and of the noise."""

import numpy as np

from temdenoise.noise import analyze_noise


class NoiseAnalysisDisplay:
    """Show the noise of a movie: variance over mean, and the values in the vacuum.

    On the left the points of the mean-variance line, the fitted line and that of a Poisson law; on
    the right the histogram of the vacuum beside what the fitted noise gives for an even field.
    Figure 4.1 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    analysis : NoiseAnalysis
        Of :func:`temdenoise.analyze_noise`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Set by `plot`.
    axes_ : ndarray of two matplotlib.axes.Axes
        Set by `plot`.

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
    def from_movie(cls, movie, *, axes=None, **parameters):
        """Analyse a movie and show the result.

        Parameters
        ----------
        movie : array-like of shape (n_images, height, width)
            Frames as stored.
        axes : sequence of two matplotlib.axes.Axes, optional
            Where to draw.
        **parameters : dict
            Of :func:`temdenoise.analyze_noise`.

        Returns
        -------
        display : NoiseAnalysisDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the movie is not valid, see `analyze_noise`.
        """
        return cls(analyze_noise(movie, **parameters)).plot(axes=axes)

    def plot(self, *, axes=None):
        """Draw.

        Parameters
        ----------
        axes : sequence of two matplotlib.axes.Axes, optional
            Where to draw; a figure of their own if not given.

        Returns
        -------
        self : NoiseAnalysisDisplay
            With `figure_` and `axes_`.
        """
        if axes is None:
            axes = _new_figure((9.0, 3.8)).subplots(1, 2)
        line, vacuum = self.axes_ = np.asarray(axes, dtype=object)
        self.figure_ = line.figure
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


def plot_denoising(
    noisy, denoised, atoms=None, *, pixel_size=None, title=None, limits=None, figsize=None
):
    """Show a noisy image, its denoised estimate and the atoms found on it, side by side.

    Parameters
    ----------
    noisy, denoised : array-like of shape (height, width)
        Counts/px. Both are drawn on one intensity scale.
    atoms : pandas.DataFrame, optional
        Table of :func:`temdenoise.find_atoms`; adds a third panel with the atoms marked.
    pixel_size : float, optional
        Pixel size in pm; adds a scale bar.
    title : str, optional
        Title of the figure.
    limits : tuple of two floats, optional
        Lowest and highest counts/px of the grey scale. Default: the range of the denoised image
        without its most extreme 0.1 % of pixels on either side; the noisy image exceeds it.
    figsize : tuple of two floats, optional
        Width and height in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Not registered with pyplot: save it with ``figure.savefig(path)``; a notebook shows it.

    Raises
    ------
    ValueError
        If the two are not images of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.plotting import plot_denoising
    >>> noisy = np.random.default_rng(0).poisson(0.45, (64, 64))
    >>> figure = plot_denoising(noisy, np.full((64, 64), 0.45), pixel_size=6.22)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['noisy', 'denoised']
    """
    noisy, denoised = np.asarray(noisy), np.asarray(denoised)
    if noisy.ndim != 2 or noisy.shape != denoised.shape:
        raise ValueError(
            "Expected a noisy and a denoised image of one shape (height, width), got "
            f"{noisy.shape} and {denoised.shape}."
        )
    if limits is None:
        low, high = np.nanpercentile(denoised, [0.1, 99.9])
        limits = (low, high) if high > low else (low - 0.5, low + 0.5)
    panels = [("noisy", noisy), ("denoised", denoised)]
    if atoms is not None:
        panels.append((f"{len(atoms)} atomic columns", denoised))
    if figsize is None:
        height = 4.2 * min(max(noisy.shape[0] / noisy.shape[1], 0.4), 2.0)
        figsize = (4.2 * len(panels) + 0.9, height + (0.9 if title else 0.5))

    figure = _new_figure(figsize)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, image) in zip(all_axes, panels, strict=True):
        drawn = axes.imshow(
            image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest"
        )
        axes.set_title(name)
        axes.set_axis_off()
        if pixel_size is not None:
            _scale_bar(axes, image.shape, pixel_size)
    if atoms is not None:
        _mark(all_axes[-1], atoms)
    figure.colorbar(drawn, ax=list(all_axes), label="counts/px", shrink=0.8, extend="both")
    if title:
        figure.suptitle(title)
    return figure


def _new_figure(figsize):
    # An explicit canvas instead of pyplot: no window system, no global state, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _mark(axes, atoms):
    from matplotlib.collections import EllipseCollection

    # In data units, so that the circles have the size of the blobs at any size of the figure.
    diameter = 2 * atoms["radius"].to_numpy(dtype=float)
    circles = EllipseCollection(
        diameter,
        diameter,
        np.zeros(len(atoms)),
        units="xy",
        offsets=atoms[["x", "y"]].to_numpy(dtype=float).reshape(-1, 2),
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors="tab:orange",
        linewidths=1.2,
    )
    axes.add_collection(circles, autolim=False)


def _scale_bar(axes, shape, pixel_size):
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    height, width = shape
    length = _round_length(0.25 * width * pixel_size / 1000)  # nm
    pixels = length * 1000 / pixel_size
    x, y = 0.05 * width, 0.94 * height
    outline = {"edgecolor": "black", "linewidth": 0.8, "facecolor": "white"}
    axes.add_patch(Rectangle((x, y), pixels, 0.014 * height, **outline))
    axes.text(
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
