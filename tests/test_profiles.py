"""Line profiles and column intensities against means written out."""

import numpy as np
import pandas as pd
import pytest

from temdenoise import LowPassDenoiser
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.inspection import column_intensities, profile_along
from temdenoise.plotting import ProfileDisplay


@pytest.fixture(scope="module")
def movie():
    return np.random.default_rng(0).poisson(1.5, size=(5, 40, 50))


@pytest.fixture(scope="module")
def denoised():
    return np.random.default_rng(1).gamma(20, 0.1, size=(5, 40, 50))


@pytest.mark.parametrize("transpose", [False, True])
def test_along_an_axis(movie, denoised, transpose):
    start, end = (5, 10), (30, 10)
    # half open: of the two rows half a width away, the one on the right of the way is left out
    counts, rates = (stack[:, 8:12, 5:31] for stack in (movie, denoised))
    if transpose:
        counts, rates = (stack[:, 9:13, 5:31] for stack in (movie, denoised))
        movie, denoised = (np.swapaxes(stack, 1, 2) for stack in (movie, denoised))
        start, end = start[::-1], end[::-1]
    profile = profile_along(movie, denoised, start, end, width=4)
    table = profile.table
    np.testing.assert_allclose(table["distance"], np.arange(26))
    assert (table["n_pixels"] == 4).all()
    np.testing.assert_allclose(table["movie"], counts.mean(axis=(0, 1)))
    np.testing.assert_allclose(table["movie_error"], np.sqrt(counts.sum(axis=(0, 1))) / 20)
    np.testing.assert_allclose(profile.frames, rates.mean(axis=1))
    np.testing.assert_allclose(table["denoised"], rates.mean(axis=(0, 1)))
    np.testing.assert_allclose(table["denoised_spread"], rates.mean(axis=1).std(axis=0, ddof=1))


def test_an_oblique_line_sees_every_pixel_once():
    y, x = np.mgrid[:60, :60]
    (x0, y0), (x1, y1) = (10.3, 12.0), (47.0, 41.5)
    length = np.hypot(x1 - x0, y1 - y0)
    u = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length
    v = ((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)) / length
    inside = (u >= 0) & (u <= length) & (np.abs(v) <= 5)
    # a ramp along the line: each point's value is its mean distance
    ramp = np.broadcast_to(u, (2, 60, 60))
    counts = np.ones((2, 60, 60), dtype=np.uint8)
    profile = profile_along(counts, ramp, (x0, y0), (x1, y1), width=10, step=2.5)
    table = profile.table
    np.testing.assert_allclose(table["denoised"], table["distance"])
    assert table["n_pixels"].sum() == inside.sum()
    assert len(table) == int(np.ceil(length / 2.5))
    np.testing.assert_allclose(table["movie"], 1)
    np.testing.assert_allclose(table["denoised_spread"], 0, atol=1e-12)
    assert profile.start == (x0, y0)
    assert profile.width == 10


def test_error_bars_are_those_of_poisson():
    counts = np.random.default_rng(3).poisson(0.45, size=(40, 32, 500))
    flat = np.full(counts.shape, 0.45)
    table = profile_along(counts, flat, (0, 16), (499, 16), width=8).table
    z = (table["movie"] - 0.45) / table["movie_error"]
    assert z.std() == pytest.approx(1, abs=0.12)
    assert abs(z.mean()) < 0.15


def test_ends_outside_and_narrow_lines(movie, denoised):
    table = profile_along(movie, denoised, (-20, 5), (9, 5), width=1).table
    np.testing.assert_allclose(table["distance"], np.arange(20, 30))
    oblique = profile_along(movie, denoised, (2, 2), (32, 19), width=0.5).table
    assert (oblique["n_pixels"] > 0).all()  # points without a pixel are left out
    assert oblique["distance"].is_monotonic_increasing
    assert oblique.notna().all(axis=None)
    with pytest.raises(ValueError, match="No pixel"):
        profile_along(movie, denoised, (-20, -30), (-5, -30))


def test_a_single_frame_has_no_spread(movie, denoised):
    table = profile_along(movie[:1], denoised[:1], (3, 3), (20, 3)).table
    assert table["denoised_spread"].isna().all()
    assert table["movie_error"].notna().all()
    ProfileDisplay.from_predictions(movie[:1], denoised[:1], (3, 3), (20, 3))


def test_column_intensities(movie, denoised):
    atoms = pd.DataFrame({"x": [20.0, 49, 90], "y": [15.5, 0, 10], "radius": [3.0, 2, 4]})
    atoms.index = [4, 1, 7]
    table = column_intensities(movie, denoised, atoms, radius=atoms["radius"])
    rows, columns = np.indices(movie.shape[1:])
    assert table.index.tolist() == [4, 1, 7]
    for k in (0, 1):
        x, y, radius = atoms.iloc[k]
        inside = np.hypot(columns - x, rows - y) <= radius
        row = table.iloc[k]
        assert row["n_pixels"] == inside.sum()
        assert row["movie"] == pytest.approx(movie[:, inside].mean())
        assert row["movie_error"] == pytest.approx(
            np.sqrt(movie[:, inside].sum()) / (5 * inside.sum())
        )
        frames = denoised[:, inside].mean(axis=1)
        assert row["denoised"] == pytest.approx(frames.mean())
        assert row["denoised_spread"] == pytest.approx(frames.std(ddof=1))
    assert table.iloc[2]["n_pixels"] == 0
    assert table.iloc[2][["movie", "movie_error", "denoised", "denoised_spread"]].isna().all()
    default = column_intensities(movie, denoised, [(20, 15)], pixel_size=25.0)
    assert default["radius"].item() == pytest.approx(70.4 / 25)
    assert len(column_intensities(movie, denoised, [])) == 0


def test_reads_a_memmap_and_nothing_beside_the_line(movie, denoised, tmp_path):
    spoiled = movie.astype(float)
    spoiled[:, 20:] = np.nan  # not looked at
    np.save(tmp_path / "movie.npy", spoiled)
    mapped = np.load(tmp_path / "movie.npy", mmap_mode="r")
    ends = (2, 8), (40, 8)
    pd.testing.assert_frame_equal(
        profile_along(mapped, denoised, *ends).table, profile_along(movie, denoised, *ends).table
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m, d: (m[:2], d), ValueError, "same shape"),
        (lambda m, d: (m[0], d[0]), ValueError, r"movie\[np.newaxis\]"),
        (lambda m, d: (m - 3, d), ValueError, "movie holds negative"),
        (lambda m, d: (m / 2, d), ValueError, "not whole numbers"),
        (lambda m, d: (m, np.where(d > 3, np.nan, d)), ValueError, "denoised holds .* in frame"),
        (lambda m, d: (m.astype(complex), d), TypeError, "real numbers"),
        (lambda m, d: (m[:0], d[:0]), ValueError, "with pixels"),
        (lambda m, d: (np.ma.masked_less(m, 3), d), ValueError, "movie is a masked array"),
    ],
)
def test_bad_stacks(movie, denoised, change, error, message):
    with pytest.raises(error, match=message):
        profile_along(*change(movie, denoised), (2, 2), (45, 30))
    with pytest.raises(error, match=message):
        column_intensities(*change(movie, denoised), [(25, 20)], radius=30)


@pytest.mark.parametrize(
    ("ends", "options", "error", "message"),
    [
        (((3, 3), (3, 3)), {}, ValueError, "same point"),
        (((3, 3, 1), (3, 9)), {}, ValueError, "start must be a point"),
        (((3, 3), (3, np.nan)), {}, ValueError, "end holds"),
        (((3, 3), (3, "far")), {}, TypeError, "end must hold real"),
        (((3, 3), (9, 3)), {"width": 0}, ValueError, "width"),
        (((3, 3), (9, 3)), {"step": np.inf}, ValueError, "step"),
    ],
)
def test_bad_lines(movie, denoised, ends, options, error, message):
    with pytest.raises(error, match=message):
        profile_along(movie, denoised, *ends, **options)


def test_display(movie):
    blur = LowPassDenoiser(cutoff=0.05).fit(movie)
    display = ProfileDisplay.from_estimator(
        blur, movie, (5, 20), (45, 20), width=6, pixel_size=20.0
    )
    expected = profile_along(movie, blur.transform(movie), (5, 20), (45, 20), width=6).table
    points, line = (np.asarray(drawn.get_xydata()) for drawn in display.ax_.lines)
    np.testing.assert_allclose(points[:, 0], expected["distance"] * 0.02)
    np.testing.assert_allclose(points[:, 1], expected["movie"])
    np.testing.assert_allclose(line[:, 1], expected["denoised"])
    assert display.ax_.get_xlabel() == "distance (nm)"
    display.figure_.canvas.draw()


def test_frames_that_know_their_pixel_size(movie, denoised):
    ends = (5, 20), (45, 20)
    assert profile_along(movie, denoised, *ends).width == 16
    given = profile_along(movie, denoised, *ends, pixel_size=25.0)
    assert given.width == 4
    table = column_intensities(movie, denoised, [(20, 20)], pixel_size=25.0)
    assert table["radius"].tolist() == [70.4 / 25]
    for frames in ((ImageStack(movie, 25.0), denoised), (movie, ImageStack(denoised, 25.0))):
        profile = profile_along(*frames, *ends)
        pd.testing.assert_frame_equal(profile.table, given.table)
        assert type(profile.frames) is np.ndarray
        pd.testing.assert_frame_equal(column_intensities(*frames, [(20, 20)]), table)
        display = ProfileDisplay.from_predictions(*frames, *ends)
        assert display.ax_.get_xlabel() == "distance (nm)"
        for call in (profile_along, column_intensities):
            where = ends if call is profile_along else ([(20, 20)],)
            with pytest.warns(PixelSizeWarning, match="pixel_size=9 pm") as caught:
                call(*frames, *where, pixel_size=9)
            assert [warning.filename for warning in caught] == [__file__]
