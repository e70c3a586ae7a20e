"""Data sets: reproducible, right in scale, with columns where the images show them."""

import numpy as np
import pytest

from temdenoise import find_atoms, make_ptceo2
from temdenoise.datasets import load_sample_movie
from temdenoise.datasets._ptceo2 import VACUUM


@pytest.fixture(scope="module")
def sim():
    return make_ptceo2(6, images_per_model=3, random_state=1, structure=["PtNp1", "PtNp3"])


def test_shapes_and_metadata(sim):
    assert sim.data.shape == (6, 256, 256)
    assert sim.data.dtype == np.float32
    assert len(sim.frame) == len(sim.columns) == 6
    assert set(sim.frame["structure"]) <= {"PtNp1", "PtNp3"}
    assert sim.frame["model"].nunique() == 2
    assert sim.frame["defocus"].between(0, 20).all()
    assert "multislice" in sim.DESCR


def test_vacuum_has_the_dose_of_the_paper(sim):
    assert np.allclose(np.median(sim.data[:, :20], axis=(1, 2)), VACUUM, rtol=0.02)


def test_processes_do_not_change_the_images(sim):
    again = make_ptceo2(
        6, images_per_model=3, random_state=1, structure=["PtNp1", "PtNp3"], n_jobs=2
    )
    assert np.array_equal(sim.data, again.data)
    assert sim.frame.equals(again.frame)


def test_other_seed_gives_other_images(sim):
    other = make_ptceo2(3, images_per_model=3, random_state=2)
    assert not np.allclose(other.data[:3], sim.data[:3], atol=0.01)


def test_finer_pixels_show_the_same_image(sim):
    fine = make_ptceo2(
        3, images_per_model=3, random_state=1, structure=["PtNp1", "PtNp3"], pixel_size=50 / 5.12
    )
    assert fine.data.shape == (3, 512, 512)
    assert np.abs(fine.data[:, ::2, ::2] - sim.data[:3]).max() < 1e-4
    ratio = fine.columns[0]["x"] / sim.columns[0]["x"]
    assert np.allclose(ratio[sim.columns[0]["x"] > 1], 2)


def test_columns_lie_where_the_image_is_bright():
    # thin, far overfocus: platinum columns are white
    sim = make_ptceo2(4, images_per_model=1, random_state=5, structure="PtNp1", defocus=(7, 9))
    for image, table in zip(sim.data, sim.columns, strict=True):
        table = table[(table["element"] == "Pt") & (table["occupancy"] >= 4)]
        found = find_atoms(image, pixel_size=sim.pixel_size, polarity="bright")
        gap = np.hypot(
            table["x"].to_numpy()[:, None] - found["x"].to_numpy(),
            table["y"].to_numpy()[:, None] - found["y"].to_numpy(),
        ).min(axis=1)
        assert np.median(gap) < 2.0  # pixels of 19.5 pm; columns are 240 pm apart
        assert (gap < 5).mean() > 0.9


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_images": 0}, "n_images"),
        ({"n_images": 2.5}, "n_images"),
        ({"preset": "fast"}, "preset"),
        ({"structure": "PtNp7"}, "structure"),
        ({"structure": []}, "structure"),
        ({"defocus": (5, 2)}, "defocus"),
        ({"defocus": (0, np.nan)}, "defocus"),
        ({"images_per_model": 0}, "images_per_model"),
        ({"pixel_size": 60}, "pixel_size"),
        ({"pixel_size": -1}, "pixel_size"),
    ],
)
def test_bad_requests_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_ptceo2(**{"n_images": 1} | keywords)


def test_sample_movie_is_a_poisson_draw_of_its_clean_images():
    movie = load_sample_movie()
    assert movie.data.dtype == np.uint8
    assert movie.data.shape == movie.clean.shape == (8, 512, 512)
    deviation = (movie.data - movie.clean) ** 2 / movie.clean
    assert deviation.mean() == pytest.approx(1, abs=0.01)
    assert movie.data[:, :40].mean() == pytest.approx(VACUUM, rel=0.02)


def test_sample_movie_loses_one_column():
    movie = load_sample_movie()
    counts = [(t["element"] == "Pt").sum() for t in movie.columns]
    assert counts[4:] == [counts[0] - 1] * 4
