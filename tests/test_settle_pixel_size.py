"""The pixel size that is given, and the one that images know."""

import warnings

import numpy as np
import pytest

from temdenoise.images import (
    ImageStack,
    PixelSizeWarning,
    first_with_pixel_size,
    settle_pixel_size,
)

IMAGES = np.ones((2, 8, 8))


def test_what_is_known_and_what_is_given():
    stack = ImageStack(IMAGES, pixel_size=6.22)
    assert settle_pixel_size(IMAGES) is None
    assert settle_pixel_size(None) is None
    assert settle_pixel_size(IMAGES, 5) == 5.0
    assert settle_pixel_size(stack) == settle_pixel_size(stack[0, 2:6]) == 6.22
    assert settle_pixel_size(stack[:, ::2, ::2]) is None
    assert settle_pixel_size(stack, 6.23) == 6.23  # the same but for rounding
    assert first_with_pixel_size(IMAGES, stack) is stack
    assert first_with_pixel_size(IMAGES, None) is None


@pytest.mark.parametrize("given", [6.0, 6.5, 12.44])
def test_the_keyword_wins_and_that_is_said(given):
    stack = ImageStack(IMAGES, pixel_size=6.22)

    def method(images, pixel_size):
        return settle_pixel_size(images, pixel_size)

    message = rf"pixel_size={given:g} pm is used.* of 6.22 pm\. Leave pixel_size out"
    with pytest.warns(PixelSizeWarning, match=message) as caught:
        assert method(stack, given) == given
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            method(stack, given)
    assert len(caught) == 1  # as often as the line that asks is another


@pytest.mark.parametrize(
    ("given", "error"),
    [(0, ValueError), (-6.22, ValueError), (np.nan, ValueError), ("6", TypeError)],
)
def test_what_is_no_pixel_size(given, error):
    with pytest.raises(error, match="pixel_size"):
        settle_pixel_size(IMAGES, given)
    with pytest.raises(error, match="pixel_size"):
        ImageStack(IMAGES, pixel_size=given)
