"""Simulated movies: what they show is what they say."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import affine_transform, map_coordinates, shift

from temdenoise import ImageStack, PoissonNoise, make_movie
from temdenoise.datasets._movie_frames import Sampler
from temdenoise.datasets._movie_path import MoviePath
from temdenoise.noise import PoissonGaussianNoise
from temdenoise.simulation import Microscope

# The smallest particle on the thinnest support, in frames of 19 x 20 Angstrom.
PIXEL_SIZE = 15.0
SMALL = {"n_frames": 5, "shape": (126, 134), "pixel_size": PIXEL_SIZE, "structure": "PtNp3"}
SMALL |= {"thickness": 30, "tilt": (1, 0), "defocus": 7}
STILL = SMALL | {"drift": 0, "events": 0}
TRUTH = ["data", "clean", "columns", "drift", "dose", "events", "frame"]


def in_angstrom(pixels):
    return pixels * PIXEL_SIZE / 100


def distance_from(places, shape):
    """Distance in Angstrom of each pixel from the nearest of some places (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return in_angstrom(np.min([np.hypot(x - px, y - py) for px, py in places], axis=0))


def assert_same(a, b, names=TRUTH):
    for name in names:
        if isinstance(a[name], pd.DataFrame):
            pd.testing.assert_frame_equal(a[name], b[name])
        elif isinstance(a[name], list):
            for one, other in zip(a[name], b[name], strict=True):
                pd.testing.assert_frame_equal(one, other)
        else:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def still():
    return make_movie(**STILL)


@pytest.fixture(scope="module")
def eventful():
    """Nothing moves, and each kind of event happens alone."""
    events = [
        {"kind": "vanish", "first_frame": 1, "last_frame": 2},
        {"kind": "appear", "first_frame": 4, "last_frame": 5},
        {"kind": "hop", "first_frame": 7, "last_frame": 7},
    ]
    return make_movie(**SMALL | {"n_frames": 9, "drift": 0, "events": events})


@pytest.fixture(scope="module")
def moving():
    """All at once."""
    return make_movie(
        **SMALL | {"n_frames": 12, "drift": 0.8, "events": 3, "event_frames": (2, 4)},
        rotation=5.0, dose_fluctuation=0.1, dose_trend=-0.2,
    )  # fmt: skip


# --- contents -------------------------------------------------------------------------------------


def test_what_a_movie_holds(moving):
    assert moving.data.dtype == np.uint8
    assert moving.clean.dtype == np.float32
    for images in (moving.data, moving.clean):
        assert type(images) is ImageStack
        assert images.shape == (12, 126, 134)
        assert images.pixel_size == moving.pixel_size == PIXEL_SIZE
    assert moving.drift.shape == (12, 2)
    assert moving.dose.shape == (12,)
    assert len(moving.columns) == len(moving.frame) == 12
    assert moving.frame["drift_y"].tolist() == moving.drift[:, 0].tolist()
    assert moving.frame["drift_x"].tolist() == moving.drift[:, 1].tolist()
    np.testing.assert_allclose(moving.frame["rotation"], np.linspace(0, 5, 12))
    assert moving.frame["dose"].tolist() == moving.dose.tolist()
    assert moving.model["structure"] == "PtNp3"
    assert (moving.model["tilt_x"], moving.model["defocus"]) == (1, 7)
    assert "vanish" in moving.DESCR
    for table in moving.columns:
        assert table.columns.tolist() == ["column", "x", "y", "element", "occupancy", "surface"]
        assert table["column"].is_unique
        assert table["x"].between(0, 133).all() and table["y"].between(0, 125).all()
        assert {"Pt", "Ce", "O"} == set(table["element"])


def test_a_still_movie_is_one_image(still):
    assert (still.drift == 0).all()
    assert (still.dose == 0.45).all()
    assert (still.clean == still.clean[0]).all()
    assert len(still.events) == 0
    assert (still.frame["state"] == 0).all()
    assert not (still.data[0] == still.data[1]).all()


def test_counts_are_a_poisson_draw_of_the_clean_frames(moving):
    counts, rates = np.asarray(moving.data, dtype=float), np.asarray(moving.clean, dtype=float)
    error = (counts.sum() - rates.sum()) / np.sqrt(rates.sum())
    assert abs(error) < 4
    assert ((counts - rates) ** 2 / rates).mean() == pytest.approx(1, abs=0.02)
    per_frame = (counts - rates).sum(axis=(1, 2)) / np.sqrt(rates.sum(axis=(1, 2)))
    assert np.abs(per_frame).max() < 4.5


# --- drift and rotation ---------------------------------------------------------------------------


def test_whole_pixels_of_drift_move_the_image_by_them():
    movie = make_movie(**STILL | {"n_frames": 3, "drift": (2, -1)})
    assert movie.drift.tolist() == [[0, 0], [2, -1], [4, -2]]
    clean = np.asarray(movie.clean)
    np.testing.assert_allclose(clean[1, 2:, :-1], clean[0, :-2, 1:], atol=2e-5)
    np.testing.assert_allclose(clean[2, 4:, :-2], clean[0, :-4, 2:], atol=2e-5)
    assert np.abs(clean[1] - clean[0]).max() > 0.05


def test_fractions_of_a_pixel():
    positions = [[3.0, 1.0], [3.4, 0.7], [4.25, -0.5]]
    movie = make_movie(**STILL | {"n_frames": 3, "drift": positions})
    np.testing.assert_allclose(movie.drift, np.subtract(positions, positions[0]))
    clean = np.asarray(movie.clean, dtype=float)
    for k in (1, 2):
        moved = shift(clean[0], movie.drift[k], order=5)
        inner = np.s_[15:-15, 15:-15]
        np.testing.assert_allclose(clean[k][inner], moved[inner], atol=5e-4)


def test_a_random_walk_has_the_speed_that_was_asked_for_and_turns_smoothly(moving):
    steps = np.diff(moving.drift, axis=0)
    np.testing.assert_allclose(np.hypot(*steps.T), 0.8)
    cosine = (steps[1:] * steps[:-1]).sum(axis=1) / 0.8**2
    assert np.median(cosine) > 0.7
    assert cosine.min() < 0.9999


def test_a_rotation_turns_the_image_from_x_towards_y():
    movie = make_movie(**STILL | {"n_frames": 3, "drift": (0.6, -0.3)}, rotation=8.0)
    assert movie.frame["rotation"].tolist() == [0, 4, 8]
    clean = np.asarray(movie.clean, dtype=float)
    centre = (np.array(clean.shape[1:]) - 1) / 2
    for k in (1, 2):
        angle = np.radians(movie.frame["rotation"][k])
        back = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )  # (y, x) in the frame -> (y, x) in the first
        offset = centre - back @ (centre + movie.drift[k])
        turned = affine_transform(clean[0], back, offset, order=5)
        inner = np.s_[20:-20, 20:-20]
        np.testing.assert_allclose(clean[k][inner], turned[inner], atol=5e-4)


def test_turned_frames_are_the_sum_of_the_fourier_series():
    rng = np.random.default_rng(0)
    extent, n = (12.0, 10.0), (44, 38)
    g = [np.fft.fftfreq(m, length / m) for m, length in zip(n, extent, strict=True)]
    damping = np.exp(-2 * (np.pi * 0.5) ** 2 * (g[0][:, None] ** 2 + g[1] ** 2))
    spectrum = (np.fft.fft2(rng.normal(size=n)) * damping).astype(np.complex64)

    class Frames:
        path = MoviePath((30, 40), np.array([[0.0, 0.0], [0.4, 1.3]]), np.array([0.0, 7.0]))
        origin, step = np.array([2.0, 1.5]), 0.15

    places = Frames.path.to_scene(1, np.stack(np.mgrid[:30, :40], -1)) * 0.15 + Frames.origin
    phases = [np.exp(2j * np.pi * places[..., i, None] * g[i]) for i in (0, 1)]
    expected = np.einsum("abg,abh,gh->ab", *phases, spectrum).real / spectrum.size
    result = Sampler(spectrum, extent, Frames).frame(1)
    assert result.dtype == np.float32
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()


def test_columns_move_with_the_scene(moving):
    first = moving.columns[0].set_index("column")
    centre = (np.array([134, 126]) - 1) / 2
    for k in (5, 11):
        table = moving.columns[k].set_index("column")
        both = first.index.intersection(table.index)
        assert len(both) > 30
        angle = np.radians(moving.frame["rotation"][k])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # (x, y)
        before = first.loc[both, ["x", "y"]].to_numpy()
        expected = (before - centre) @ turn.T + centre + moving.drift[k][::-1]
        np.testing.assert_allclose(table.loc[both, ["x", "y"]], expected, atol=1e-6)
        np.testing.assert_array_equal(first.loc[both, "element"], table.loc[both, "element"])


def test_columns_are_where_the_image_shows_them():
    movie = make_movie(**STILL | {"n_frames": 2, "drift": (1.3, 2.6)}, rotation=10)
    levels = []
    for image, table in zip(movie.clean, movie.columns, strict=True):
        inner = table[table["x"].between(9, 124) & table["y"].between(9, 116)]
        places = inner[["y", "x"]].to_numpy().T
        level = map_coordinates(np.asarray(image), places, order=3)
        levels.append(pd.Series(level, inner["column"]))
    both = pd.concat(levels, axis=1, join="inner")
    assert len(both) > 30
    np.testing.assert_allclose(both[0], both[1], atol=2e-3)
    assert both[0].std() > 0.02


# --- dose -----------------------------------------------------------------------------------------


def test_the_dose_of_each_frame_is_known():
    movie = make_movie(**STILL, dose=2.0, dose_fluctuation=0.1, dose_trend=0.5)
    levels = np.asarray(movie.clean, dtype=float).mean(axis=(1, 2))
    np.testing.assert_allclose(levels / levels[0], movie.dose / movie.dose[0], rtol=1e-5)
    assert np.unique(movie.dose).size == 5
    vacuum = movie.clean[:, :6, :6].mean(axis=(1, 2))
    np.testing.assert_allclose(vacuum, movie.dose, rtol=0.02)


def test_a_trend_alone_is_linear():
    movie = make_movie(**STILL, dose=1.0, dose_trend=-0.2)
    np.testing.assert_allclose(movie.dose, [1, 0.95, 0.9, 0.85, 0.8])


def test_the_same_model_moves_alike_at_another_dose(moving):
    other = make_movie(
        **SMALL | {"n_frames": 12, "drift": 0.8, "events": 3, "event_frames": (2, 4)},
        rotation=5.0, dose=300.0,
    )  # fmt: skip
    assert other.data.dtype == np.uint16
    assert_same(moving, other, ["columns", "drift", "events"])
    relative = [np.asarray(m.clean) / m.dose[:, None, None] for m in (moving, other)]
    np.testing.assert_allclose(*relative, rtol=1e-5)


# --- events ---------------------------------------------------------------------------------------


def test_the_kinds_and_frames_that_were_asked_for(eventful):
    events = eventful.events
    assert events["kind"].tolist() == ["vanish", "appear", "hop"]
    assert events["first_frame"].tolist() == [1, 4, 7]
    assert events["last_frame"].tolist() == [2, 5, 7]
    assert (events["element"] == "Pt").all()
    assert eventful.frame["state"].tolist() == [0, 1, 1, 0, 2, 2, 0, 3, 0]


def test_an_event_changes_the_image_where_it_is_and_nowhere_else(eventful):
    clean = np.asarray(eventful.clean)
    for event in eventful.events.itertuples():
        places = [(event.x, event.y)]
        if event.kind == "hop":
            places.append((event.to_x, event.to_y))
        before = clean[event.first_frame - 1]
        change = np.abs(clean[event.first_frame] - before)
        distance = distance_from(places, change.shape)
        for place in places:
            assert change[distance_from([place], change.shape) < 1].max() > 0.08
        assert change[distance > 8].max() < 0.01
        assert distance.flat[change.argmax()] < 1.5
        np.testing.assert_array_equal(clean[event.last_frame], clean[event.first_frame])
        np.testing.assert_array_equal(clean[event.last_frame + 1], before)


def test_columns_are_listed_while_they_are_there(eventful):
    events = eventful.events
    for k, table in enumerate(eventful.columns):
        during = (events["first_frame"] <= k) & (k <= events["last_frame"])
        appear = events["kind"] == "appear"
        here = set(table["column"])
        gone = set(events.loc[during & ~appear, "column"])
        come = {*events.loc[during & appear, "column"], *events.loc[during, "to_column"]}
        new = {*events.loc[appear, "column"], *events["to_column"]} - {-1}
        assert not gone & here
        assert set(events.loc[~appear, "column"]) - gone <= here
        assert here & new == come - {-1}
    for event in events.itertuples():
        shown = eventful.columns[event.first_frame - (event.kind != "appear")]
        row = shown.set_index("column").loc[event.column]
        assert (row["x"], row["y"]) == pytest.approx((event.x, event.y))
        assert row["occupancy"] == event.occupancy
        assert row["element"] == "Pt" and row["surface"]


def test_a_hop_is_a_pair_of_places(eventful, moving):
    for movie in (eventful, moving):
        events = movie.events
        hops = events[events["kind"] == "hop"]
        assert len(hops) == 1
        for hop in hops.itertuples():
            table = movie.columns[hop.first_frame].set_index("column")
            row = table.loc[hop.to_column]
            assert (row["x"], row["y"]) == pytest.approx((hop.to_x, hop.to_y))
            assert row["occupancy"] == hop.to_occupancy <= hop.occupancy
            assert in_angstrom(np.hypot(hop.to_x - hop.x, hop.to_y - hop.y)) > 2
        others = events[events["kind"] != "hop"]
        assert others[["to_x", "to_y"]].isna().all(axis=None)
        assert (others["to_column"] == -1).all() and (others["to_occupancy"] == 0).all()


def test_drawn_events_lie_inside_the_frames_and_last_as_long_as_they_may(moving):
    events = moving.events
    assert sorted(events["kind"]) == ["appear", "hop", "vanish"]
    duration = events["last_frame"] - events["first_frame"] + 1
    assert duration.between(2, 4).all()
    assert (events["first_frame"] >= 1).all() and (events["last_frame"] < 12).all()
    margin = 2 * 100 / PIXEL_SIZE
    assert events["x"].between(margin, 133 - margin).all()
    assert events["y"].between(margin, 125 - margin).all()
    # states: one for each set of events that are there together
    active = [tuple((events["first_frame"] <= k) & (k <= events["last_frame"])) for k in range(12)]
    assert moving.frame.groupby("state").ngroups == len(set(active))


def test_events_at_a_place(eventful):
    event = eventful.events.iloc[0]
    again = {"kind": "vanish", "first_frame": 3, "x": event["x"] + 4, "y": event["y"] - 3}
    movie = make_movie(**STILL | {"events": [again]}, event_frames=1)
    assert movie.events["column"].tolist() == [event["column"]]
    assert movie.events["last_frame"].tolist() == [3]
    assert (movie.events["x"][0], movie.events["y"][0]) == pytest.approx((event["x"], event["y"]))


def test_the_events_of_a_movie_make_it_again(eventful):
    again = make_movie(**SMALL | {"n_frames": 9, "drift": 0, "events": eventful.events})
    assert_same(eventful, again)


def test_events_in_the_same_frames_add_up():
    events = [{"kind": kind, "first_frame": 1, "last_frame": 2} for kind in ("vanish", "appear")]
    both = make_movie(**STILL | {"n_frames": 3, "structure": "PtNp1", "events": events})
    first, second = both.events[["x", "y"]].to_numpy()
    assert in_angstrom(np.hypot(*(first - second))) > 4
    numbers = [set(table["column"]) for table in both.columns]
    assert numbers[1] == numbers[0] - {both.events["column"][0]} | {both.events["column"][1]}
    assert both.frame["state"].tolist() == [0, 1, 1]


# --- what does and does not matter ----------------------------------------------------------------


def test_the_same_random_state_makes_the_same_movie_with_any_number_of_processes(moving):
    arguments = SMALL | {"n_frames": 12, "drift": 0.8, "events": 3, "event_frames": (2, 4)}
    arguments |= {"rotation": 5.0, "dose_fluctuation": 0.1, "dose_trend": -0.2}
    assert_same(moving, make_movie(**arguments, n_jobs=2))


def test_another_random_state_makes_another_movie():
    arguments = {"n_frames": 3, "shape": 64, "pixel_size": 30.0, "thickness": 30, "events": 1}
    arguments |= {"structure": "PtNp3", "event_frames": 1}
    movies = [make_movie(**arguments, random_state=seed) for seed in (1, 2)]
    assert not np.allclose(movies[0].drift, movies[1].drift)
    assert not np.allclose(movies[0].clean[0], movies[1].clean[0])
    again = make_movie(**arguments, random_state=np.random.RandomState(5))
    same = make_movie(**arguments, random_state=np.random.RandomState(5))
    assert_same(again, same)


def test_models_and_optics_that_vary():
    arguments = {"n_frames": 1, "shape": (48, 64), "pixel_size": 35.0, "events": 0}
    arguments |= {"structure": "PtNp2", "thickness": 30, "tilt": (0, 0), "defocus": 6}
    paper = make_movie(**arguments)
    varied = make_movie(**arguments, models="varied", defect=None)
    optics = make_movie(**arguments, optics="varied")
    given = make_movie(**arguments, optics=Microscope(c12=3.0))
    vacancies = make_movie(**arguments, support="vacancies")
    images = [np.asarray(m.clean[0]) for m in (paper, varied, optics, given, vacancies)]
    for i, image in enumerate(images):
        assert image.shape == (48, 64)
        assert all(np.abs(image - other).max() > 0.01 for other in images[:i])
    assert optics.model.keys() - paper.model.keys() >= {"c3", "vibration", "c21"}
    assert varied.model["support"] in ("flat", "facet")
    assert vacancies.model["support"] == "vacancies"


def test_a_contrast_is_one_of_the_papers_conditions():
    arguments = {"n_frames": 1, "shape": 32, "pixel_size": 35.0, "events": 0}
    movie = make_movie(**arguments, structure="PtNp3", thickness=30, contrast="black")
    assert movie.model["contrast"] == "black"
    with pytest.raises(ValueError, match="conditions of white contrast.*thickness=33"):
        make_movie(**arguments, thickness=33, contrast="white")


def test_another_noise(still):
    camera = PoissonGaussianNoise(gain=10.0, offset=100.0, read_noise=2.0)
    movie = make_movie(**STILL, noise=camera)
    assert movie.data.dtype == np.float32
    assert movie.data.pixel_size == PIXEL_SIZE
    np.testing.assert_allclose(movie.clean, 100 + 10 * np.asarray(still.clean), rtol=1e-6)
    variance = 100 * np.asarray(still.clean) + 4
    assert ((np.asarray(movie.data) - movie.clean) ** 2 / variance).mean() == pytest.approx(
        1, abs=0.02
    )
    counted = make_movie(**STILL, noise=PoissonNoise())
    np.testing.assert_array_equal(counted.data, still.data)
    with pytest.raises(ValueError, match="noise has a dose of its own, 3.0"):
        make_movie(**STILL, noise=PoissonNoise(dose=3.0))


def test_progress(capfd):
    make_movie(n_frames=2, shape=16, pixel_size=35.0, structure="PtNp3", events=0, verbose=True)
    error = capfd.readouterr().err
    assert "simulate" in error and "3/3" in error


# --- bad input ------------------------------------------------------------------------------------

SHORT = {"kind": "vanish", "first_frame": 1, "last_frame": 2}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_frames": 0}, "n_frames"),
        ({"n_frames": 2.5}, "n_frames"),
        ({"shape": 8}, "shape must be .height, width."),
        ({"shape": (64, 64, 3)}, "shape"),
        ({"pixel_size": 60}, "pixel_size must be between 1 and 39"),
        ({"pixel_size": -1}, "pixel_size"),
        ({"drift": -1}, "drift must be finite and not negative"),
        ({"drift": (np.nan, 0)}, "drift holds NaN"),
        ({"drift": np.zeros((3, 2))}, r"drift must be a speed.*\(5, 2\)"),
        ({"drift": "fast"}, "drift must be a speed"),
        ({"drift": 3000}, "more than 400.*less drift"),
        ({"rotation": np.inf}, "rotation"),
        ({"dose": 0}, "dose"),
        ({"dose": 1e6}, "dose comes to.*Angstrom"),
        ({"dose_fluctuation": -0.1}, "dose_fluctuation"),
        ({"dose_fluctuation": 1}, "dose_fluctuation"),
        ({"dose_trend": -1}, "dose_trend"),
        ({"events": -1}, "events must not be negative"),
        ({"events": 40}, "finds no place"),
        ({"events": 1, "n_frames": 1}, "at least 4 frames; it has 1"),
        ({"events": 1, "event_frames": (4, 2)}, "event_frames"),
        ({"events": 1, "event_frames": 0}, "event_frames"),
        ({"events": 1, "event_frames": (5, 9)}, "movie of at least 6 frames"),
        ({"events": [{"kind": "explode"}]}, "Event 0 must have a kind"),
        ({"events": [SHORT | {"when": 3}]}, "Event 0 names .'when'."),
        ({"events": [SHORT | {"last_frame": 5}]}, "last_frame must be a frame.*0 to 4"),
        ({"events": [SHORT | {"first_frame": 3}]}, "ends .frame 2. before it begins"),
        ({"events": [SHORT | {"x": 5}]}, "both x and y"),
        ({"events": [SHORT | {"x": 2, "y": 2}]}, "no place for it at x = 2.*nearest is x ="),
        ({"events": [{"kind": "vanish", "x": 2, "y": 2}]}, "give first_frame too"),
        ({"events": [SHORT | {"to_x": 2, "to_y": 2}]}, "only a hop"),
        ({"models": "real"}, "models must be one of"),
        ({"models": "varied", "support": "flat"}, "draw their support"),
        ({"structure": "AuNp1"}, "structure must be one of"),
        ({"structure": "PtNp4", "defect": "Ds"}, "defect of PtNp4 must be one of"),
        ({"support": "round"}, "support must be one of"),
        ({"contrast": "grey"}, "contrast must be one of"),
        ({"thickness": 1}, "thickness must lie between 5"),
        ({"tilt": 3}, "tilt must be rotations about x and y"),
        ({"tilt": (0, 9)}, "tilt must lie between -6"),
        ({"defocus": 2000}, "defocus must lie between"),
        ({"optics": "light"}, "optics must be one of"),
        ({"optics": Microscope(vibration=0, focal_spread=1), "pixel_size": 38}, "too coarse"),
        ({"preset": "slow"}, "preset must be one of"),
        ({"device": "nowhere"}, "device=.nowhere. cannot be used here"),
    ],
)
def test_bad_values_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_movie(**STILL | keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"events": "many"}, "events must be a number, a list of dicts"),
        ({"events": [3]}, "events must be a number, a list of dicts"),
        ({"events": [SHORT | {"x": "left", "y": 2}]}, "x must be a number"),
        ({"noise": "poisson"}, "noise must have a method sample"),
        ({"rotation": "left"}, "rotation must be a number"),
        ({"dose": None}, "dose must be a number"),
        ({"thickness": "thin"}, "thickness must be a number"),
        ({"pixel_size": "6 pm"}, "pixel_size must be a number"),
    ],
)
def test_bad_types_are_refused(keywords, message):
    with pytest.raises(TypeError, match=message):
        make_movie(**STILL | keywords)


def test_events_too_near_to_each_other_are_refused(eventful):
    x, y = eventful.events.loc[0, ["x", "y"]]
    same = [SHORT | {"x": x, "y": y}, SHORT | {"x": x, "y": y, "first_frame": 2}]
    with pytest.raises(ValueError, match="Event 1.*within 4 Angstrom of another"):
        make_movie(**STILL | {"events": same})


def test_all_is_said_by_name():
    with pytest.raises(TypeError, match="positional"):
        make_movie(40)
