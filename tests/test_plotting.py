"""Where the displays draw: one way for all. What each shows is tested beside what it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from temdenoise import ImageStack, LowPassDenoiser, plotting
from temdenoise.images import PixelSizeWarning
from temdenoise.inspection import equivalent_filter, frequency_report, likelihood_map, profile_along
from temdenoise.noise import analyze_noise
from temdenoise.plotting import (
    AtomVerdictDisplay,
    EquivalentFilterDisplay,
    FrequencyDisplay,
    GeneralizationMatrixDisplay,
    LikelihoodMapDisplay,
    NoiseAnalysisDisplay,
    ProfileDisplay,
    plot_denoising,
)

RATE = np.broadcast_to(np.linspace(0.4, 2, 64), (4, 64, 64))
COUNTS = np.random.default_rng(0).poisson(RATE)
ATOMS = pd.DataFrame({"x": [20.0, 40.5], "y": [30.0, 12.0], "radius": [5.0, 6.0]})
VERDICTS = ATOMS.assign(verdict=["confirmed", "rejected"])
BLUR = LowPassDenoiser(cutoff=0.05).fit(COUNTS)


def map_():
    result = likelihood_map(COUNTS[0], RATE[0], atoms=ATOMS, vacuum=0.5, radius=4)
    return LikelihoodMapDisplay(result, RATE[0])


ONE_PANEL = {
    "map": map_,
    "filter": lambda: EquivalentFilterDisplay(equivalent_filter(BLUR, COUNTS, (30, 30))),
    "profile": lambda: ProfileDisplay(profile_along(COUNTS, RATE, (5, 9), (50, 20))),
    "matrix": lambda: GeneralizationMatrixDisplay(pd.DataFrame([[1.0, 2.0], [3.0, 4.0]])),
}
TWO_PANELS = {
    "verdicts": lambda: AtomVerdictDisplay(COUNTS[0], RATE[0], VERDICTS),
    "frequency": lambda: FrequencyDisplay(frequency_report(BLUR, COUNTS, n_draws=1)),
    "noise": lambda: NoiseAnalysisDisplay(analyze_noise(COUNTS)),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_every_display_is_here():
    displays = {name for name in plotting.__all__ if name.endswith("Display")}
    made = [make() for make in (ONE_PANEL | TWO_PANELS).values()]
    assert displays == {type(display).__name__ for display in made}


@pytest.mark.parametrize("make", (ONE_PANEL | TWO_PANELS).values(), ids=ONE_PANEL | TWO_PANELS)
def test_a_new_figure_is_outside_pyplot_and_shown_by_a_notebook(make):
    display = make()
    assert display._repr_png_() is None  # not drawn yet
    assert display.plot() is display
    assert plt.get_fignums() == []
    for shown in (display, display.figure_):
        assert shown._repr_png_().startswith(b"\x89PNG")
    first = display.figure_
    assert display.plot().figure_ is not first


@pytest.mark.parametrize("make", ONE_PANEL.values(), ids=ONE_PANEL)
def test_axes_that_are_given(make):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    display = make().plot(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert right.has_data()
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]
    # pyplot shows it: twice would be too often
    assert display._repr_png_() is None
    for wrong in (np.array([left, right]), figure, "axes"):
        with pytest.raises(TypeError, match=r"ax must be one matplotlib\.axes\.Axes"):
            make().plot(ax=wrong)


@pytest.mark.parametrize("make", TWO_PANELS.values(), ids=TWO_PANELS)
def test_figures_that_are_given(make):
    figure = plt.figure(layout="constrained")
    top, bottom = figure.subfigures(2)
    display = make().plot(figure=bottom)
    assert display.figure_ is bottom
    assert [ax.figure for ax in display.axes_] == [bottom, bottom]
    assert not top.axes
    assert plt.get_fignums() == [figure.number]
    assert display._repr_png_() is None
    figure.canvas.draw()
    with pytest.raises(TypeError, match="figure must be a matplotlib Figure"):
        make().plot(figure=display.axes_)


@pytest.mark.parametrize("make", [ONE_PANEL["map"], ONE_PANEL["filter"]])
@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (-1.0, ValueError), ("a", TypeError)]
)
def test_bad_limits_of_the_colours(make, limit, error):
    with pytest.raises(error, match="limit"):
        make().plot(limit=limit)


def test_axes_are_in_nm_where_the_images_know_their_pixel_size():
    known = ImageStack(COUNTS, pixel_size=20.0)
    ends = (5, 9), (50, 20)
    displays = [
        ProfileDisplay.from_predictions(known, RATE, *ends),
        LikelihoodMapDisplay.from_predictions(known[0], RATE[0], atoms=ATOMS, vacuum=0.5),
        LikelihoodMapDisplay.from_estimator(
            BLUR, known, atoms=ATOMS, vacuum=0.5, transform_params={"pixel_size": None}
        ),
        EquivalentFilterDisplay.from_estimator(
            BLUR, known, (30, 30), transform_params={"pixel_size": None}
        ),
    ]
    assert [d.pixel_size for d in displays] == [20.0] * 4
    assert [d.ax_.get_xlabel()[-4:] for d in displays] == ["(nm)"] * 4
    verdicts = AtomVerdictDisplay.from_predictions(known[0], RATE[0], VERDICTS)
    assert verdicts.axes_[1].get_ylabel() == "y (nm)"
    with pytest.warns(PixelSizeWarning) as caught:
        verdicts = AtomVerdictDisplay.from_predictions(known[0], RATE[0], VERDICTS, pixel_size=10.0)
    assert len(caught) == 1
    assert verdicts.pixel_size == 10.0


def test_plot_denoising():
    figure = plot_denoising(COUNTS[0], RATE[0], ATOMS, pixel_size=20.0, title="before, after")
    assert plt.get_fignums() == []
    noisy, denoised, found = figure.axes[:3]
    np.testing.assert_array_equal(noisy.images[0].get_array(), COUNTS[0])
    np.testing.assert_array_equal(denoised.images[0].get_array(), RATE[0])
    assert noisy.images[0].get_clim() == denoised.images[0].get_clim()
    assert found.get_title() == "2 atomic columns"
    (circles,) = found.collections
    np.testing.assert_array_equal(circles.get_offsets(), ATOMS[["x", "y"]])
    # a quarter of 64 px of 20 pm is 0.32 nm
    (bar,) = noisy.patches
    assert noisy.texts[0].get_text() == "0.2 nm"
    assert bar.get_width() == pytest.approx(10)
    assert figure.get_suptitle() == "before, after"
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_plot_denoising_in_a_figure_that_is_given():
    own = Figure()
    assert plot_denoising(COUNTS[0], RATE[0], limits=(0, 3), figure=own) is own
    assert own.axes[0].images[0].get_clim() == (0, 3)
    assert not own.axes[0].patches  # no scale bar without a pixel size
    known = ImageStack(COUNTS, pixel_size=5.0)[0]
    assert plot_denoising(known, RATE[0]).axes[0].texts[0].get_text() == "0.05 nm"
    with pytest.raises(TypeError, match="figure must be a matplotlib Figure"):
        plot_denoising(COUNTS[0], RATE[0], figure=own.axes)
    with pytest.raises(ValueError, match="of one shape"):
        plot_denoising(COUNTS[0], RATE)
    with pytest.raises(ValueError, match="pixel_size must be"):
        plot_denoising(COUNTS[0], RATE[0], pixel_size=-1)
