"""Heat map of a generalisation matrix."""

import numpy as np
import pandas as pd

from temdenoise.model_selection import generalization_matrix
from temdenoise.plotting._axes import Display, get_axes


class GeneralizationMatrixDisplay(Display):
    """Generalisation matrix as a heat map with its numbers.

    Use `from_estimator` to run the experiment, or `from_matrix` for an existing result. The figure
    is like Figure 5.1 of "Deep denoising for scientific discovery: a case study in electron
    microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    matrix : pandas.DataFrame of shape (n_groups, n_groups)
        Scores. Rows: training group. Columns: test group.
    score_name : str, default="PSNR (dB)"
        Name of the score, for the colours.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        After `plot`: the axes.
    figure_ : matplotlib.figure.Figure
        After `plot`: the figure.
    im_ : matplotlib.image.AxesImage
    text_ : ndarray of shape (n_groups, n_groups) of matplotlib.text.Text
        The numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from temdenoise.plotting import GeneralizationMatrixDisplay
    >>> matrix = pd.DataFrame([[39.1, 27.9], [37.0, 36.3]], ["black", "white"], ["black", "white"])
    >>> display = GeneralizationMatrixDisplay.from_matrix(matrix)
    >>> display.text_[0, 1].get_text()
    '27.9'
    """

    def __init__(self, matrix, *, score_name="PSNR (dB)"):
        self.matrix = matrix
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator, images, groups, *, score_name="PSNR (dB)", ax=None, cmap="viridis",
        values_format=".1f", colorbar=True, **kwargs,
    ):  # fmt: skip
        """Run the experiment and draw its matrix.

        Parameters
        ----------
        estimator, images, groups, **kwargs
            As for `generalization_matrix`.
        score_name, ax, cmap, values_format, colorbar
            As for `plot`.

        Returns
        -------
        display : GeneralizationMatrixDisplay
        """
        matrix = generalization_matrix(estimator, images, groups, **kwargs).matrix
        return cls(matrix, score_name=score_name).plot(
            ax, cmap=cmap, values_format=values_format, colorbar=colorbar
        )

    @classmethod
    def from_matrix(
        cls, matrix, *, score_name="PSNR (dB)", ax=None, cmap="viridis", values_format=".1f",
        colorbar=True,
    ):  # fmt: skip
        """Draw a matrix.

        Parameters
        ----------
        matrix : pandas.DataFrame or array-like of shape (n_groups, n_groups)
            Such as ``generalization_matrix(...).matrix``.
        score_name, ax, cmap, values_format, colorbar
            As for `plot`.

        Returns
        -------
        display : GeneralizationMatrixDisplay

        Raises
        ------
        ValueError
            If `matrix` is not a matrix of finite numbers.
        """
        return cls(matrix, score_name=score_name).plot(
            ax, cmap=cmap, values_format=values_format, colorbar=colorbar
        )

    def plot(self, ax=None, *, cmap="viridis", values_format=".1f", colorbar=True):
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new ones by default.
        cmap : str or matplotlib.colors.Colormap, default="viridis"
            Colours.
        values_format : str, default=".1f"
            Format of the numbers.
        colorbar : bool, default=True
            Draw the scale of colours.

        Returns
        -------
        display : GeneralizationMatrixDisplay
            Itself.

        Raises
        ------
        TypeError
            If `ax` is not axes.
        ValueError
            If the matrix is not a matrix of finite numbers.
        """
        matrix = pd.DataFrame(self.matrix)
        values = matrix.to_numpy(dtype=float)
        if not values.size or not np.isfinite(values).all():
            raise ValueError(f"The matrix must hold finite numbers, got\n{matrix}")
        size = 1.6 + 0.8 * max(values.shape)
        self.figure_, self.ax_ = get_axes(ax, (size + 0.8, size))
        ax = self.ax_
        self.im_ = ax.imshow(values, cmap=cmap, interpolation="nearest")
        dark = self.im_.norm(values) < 0.5
        self.text_ = np.empty(values.shape, dtype=object)
        for (row, column), value in np.ndenumerate(values):
            # the end of the colour map that is farther from the colour of the cell
            colour = self.im_.cmap(1.0 if dark[row, column] else 0.0)
            self.text_[row, column] = ax.text(
                column, row, format(value, values_format), ha="center", va="center", color=colour
            )
        ax.set_xticks(range(values.shape[1]), matrix.columns)
        ax.set_yticks(range(values.shape[0]), matrix.index)
        ax.set_xlabel("tested on")
        ax.set_ylabel("trained on")
        if colorbar:
            self.figure_.colorbar(self.im_, ax=ax, label=self.score_name, shrink=0.8)
        return self
