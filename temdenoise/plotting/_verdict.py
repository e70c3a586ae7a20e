"""Figure of the verdicts on columns: which of them the counts confirm."""

import numpy as np

from temdenoise._calls import transform_keywords
from temdenoise._one_image import check_one_image
from temdenoise.atoms import confirm_atoms
from temdenoise.images import ImageStack, first_with_pixel_size, settle_pixel_size
from temdenoise.plotting._axes import (
    Display,
    get_figure,
    pick_image,
    show_image,
    unit_of,
)

# Marker and colour of each verdict. The markers differ, so that colours are not needed.
_STYLES = {
    "confirmed": {"marker": "o", "edgecolors": "tab:green", "facecolors": "none"},
    "weaker than drawn": {"marker": "^", "edgecolors": "tab:blue", "facecolors": "none"},
    "detected, not confirmed": {"marker": "s", "edgecolors": "orange", "facecolors": "none"},
    "rejected": {"marker": "x", "color": "tab:red"},
}


class AtomVerdictDisplay(Display):
    """Noisy and denoised frame side by side, each column marked with its verdict.

    Make a display with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    noisy, denoised : ndarray of shape (height, width)
        Electron counts, and the denoised image in counts/px.
    atoms : pandas.DataFrame
        Columns ``x``, ``y`` (px) and ``verdict``, of this frame, as from
        `temdenoise.atoms.confirm_atoms`.
    pixel_size : float, optional
        Pixel size in pm. With it the axes are in nm, otherwise in px.

    Attributes
    ----------
    axes_ : ndarray of two matplotlib.axes.Axes
        After `plot`: those of the noisy and of the denoised frame.
    figure_ : matplotlib.figure.Figure or matplotlib.figure.SubFigure
        After `plot`: the figure.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.plotting import AtomVerdictDisplay
    >>> y, x = np.mgrid[:192, :192]
    >>> clean = 2 + 2 * np.exp(-((x - 96) ** 2 + (y - 96) ** 2) / (2 * 8**2))
    >>> counts = np.random.default_rng(0).poisson(clean)
    >>> est = LowPassDenoiser(cutoff=0.025).fit(counts[np.newaxis])
    >>> display = AtomVerdictDisplay.from_estimator(est, counts[np.newaxis], random_state=0)
    >>> int((display.atoms["verdict"] == "confirmed").sum())
    1
    """

    def __init__(self, noisy, denoised, atoms, *, pixel_size=None):
        self.noisy = noisy
        self.denoised = denoised
        self.atoms = atoms
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        image=0,
        transform_params=None,
        pixel_size=None,
        figure=None,
        **options,
    ):
        """Denoise a frame, test its columns on the counts, and draw.

        Parameters
        ----------
        estimator : denoiser
            Fitted.
        X : array-like of shape (n_images, height, width)
            Electron counts.
        image : int, default=0
            Number of the frame. Only this frame is denoised and tested.
        transform_params : dict, optional
            Keywords of ``estimator.transform``.
        pixel_size : float, optional
            Pixel size in pm, as for `temdenoise.atoms.confirm_atoms`; by default that of `X`, if it
            knows it.
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.
        **options
            ``fdr``, ``sigma``, ``threshold``, ``polarity``, ``mask`` and ``random_state`` of
            `temdenoise.atoms.confirm_atoms`. A `mask` has the shape of one image.

        Returns
        -------
        display : AtomVerdictDisplay
            Drawn.

        Raises
        ------
        IndexError
            If there is no such image.
        TypeError, ValueError
            As `temdenoise.atoms.confirm_atoms`, or if `image` is not an integer.
        """
        pixel_size = settle_pixel_size(X, pixel_size)
        noisy, mask = pick_image(estimator, X, image, options.get("mask"))
        noisy = ImageStack(noisy, pixel_size)
        keywords = transform_keywords(
            estimator, pixel_size=pixel_size, mask=mask, params=transform_params
        )
        denoised = estimator.transform(noisy, **keywords)[0]
        noisy = noisy[0]
        atoms = confirm_atoms(
            estimator, noisy, pixel_size=pixel_size, transform_params=transform_params, **options
        )
        return cls.from_predictions(noisy, denoised, atoms, pixel_size=pixel_size, figure=figure)

    @classmethod
    def from_predictions(cls, noisy, denoised, atoms, *, pixel_size=None, figure=None):
        """Draw verdicts that were found before.

        Parameters
        ----------
        noisy, denoised : array-like of shape (height, width)
            Electron counts, and the denoised image in counts/px.
        atoms : pandas.DataFrame
            Columns ``x``, ``y`` (px) and ``verdict``, of this frame.
        pixel_size : float, optional
            Pixel size in pm. With it the axes are in nm, otherwise in px. By default that of
            `noisy`, if it knows it.
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        display : AtomVerdictDisplay
            Drawn.

        Raises
        ------
        TypeError
            If an image does not hold real numbers.
        ValueError
            If the shapes differ, or the table lacks a column.
        """
        pixel_size = settle_pixel_size(first_with_pixel_size(noisy, denoised), pixel_size)
        noisy, denoised = check_one_image(noisy, "noisy"), check_one_image(denoised, "denoised")
        if noisy.shape != denoised.shape:
            raise ValueError(
                f"noisy and denoised must have the same shape: {noisy.shape} and {denoised.shape}."
            )
        missing = [name for name in ("x", "y", "verdict") if name not in atoms]
        if missing:
            raise ValueError(
                f"atoms has no column {missing[0]!r}. It must be a table of confirm_atoms, and has "
                f"{list(atoms)}."
            )
        return cls(noisy, denoised, atoms, pixel_size=pixel_size).plot(figure)

    def plot(self, figure=None, *, size=60):
        """Draw.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure, optional
            Where to draw; a new one by default.
        size : float, default=60
            Area of the marks in square points.

        Returns
        -------
        display : AtomVerdictDisplay
            Itself.

        Raises
        ------
        TypeError
            If `figure` is not a figure.
        """
        self.figure_ = get_figure(figure, (11.0, 5.2))
        counts, estimate = self.axes_ = self.figure_.subplots(1, 2)
        scale, _ = unit_of(self.pixel_size)
        # Most pixels hold few counts; a single bright pixel would darken the others.
        brightest = max(float(np.nanquantile(self.noisy, 0.999)), 1.0)
        show_image(counts, self.noisy, self.pixel_size, cmap="gray", vmax=brightest)
        show_image(estimate, self.denoised, self.pixel_size, cmap="gray")
        for verdict, style in _STYLES.items():
            chosen = self.atoms[self.atoms["verdict"] == verdict]
            label = f"{verdict} ({len(chosen)})"
            x, y = chosen["x"] * scale, chosen["y"] * scale
            estimate.scatter(x, y, s=size, linewidths=1.2, label=label, **style)
        counts.set_title("counts")
        estimate.set_title("denoised")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
        estimate.legend(**below, ncols=2, fontsize="small", columnspacing=1)
        return self
