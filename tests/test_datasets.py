"""The small movie in the package."""

import numpy as np
import pytest

from temdenoise import ImageStack
from temdenoise.datasets import load_sample_movie
from temdenoise.datasets._ptceo2 import VACUUM


def test_sample_movie_is_a_poisson_draw_of_its_clean_images():
    movie = load_sample_movie()
    assert movie.data.dtype == np.uint8
    assert movie.data.shape == movie.clean.shape == (8, 512, 512)
    for images in (movie.data, movie.clean):
        assert type(images) is ImageStack
        assert images.pixel_size == movie.pixel_size == 6.22
    deviation = (movie.data - movie.clean) ** 2 / movie.clean
    assert deviation.mean() == pytest.approx(1, abs=0.01)
    assert movie.data[:, :40].mean() == pytest.approx(VACUUM, rel=0.02)


def test_sample_movie_loses_one_column():
    movie = load_sample_movie()
    counts = [(t["element"] == "Pt").sum() for t in movie.columns]
    assert counts[4:] == [counts[0] - 1] * 4
