import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from temdenoise import PoissonNoise, psnr
from temdenoise._lengths import check_pixel_size
from temdenoise._validation import check_images, check_mask, check_pair
from temdenoise.base import BaseDenoiser, ScaledDenoiser
from temdenoise.images import ImageStack


class Scale(BaseDenoiser):
    """Multiply by a factor: a denoiser whose output is known."""

    _parameter_constraints = {"factor": [float]}
    _min_size = 3

    def __init__(self, *, factor=1.0):
        self.factor = factor

    def _transform(self, X, mask):
        return self.factor * X


class ScaleByPixelSize(ScaledDenoiser):
    """Multiply by the pixel size in units of 100 pm, if it is known."""

    def _transform(self, X, mask, pixel_size):
        return X * np.float32(1 if pixel_size is None else pixel_size / 100)


DTYPES = [bool, np.uint8, np.uint16, np.int8, np.int64, np.uint64, np.float16, np.float32, float]
DTYPES += [np.longdouble, object, ">f4", ">i2"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_check_images_converts_without_change(dtype):
    X = np.array([[[0, 1, 1], [1, 0, 1]]]).astype(dtype)
    images = check_images(X)
    assert images.dtype == np.float32
    assert images.dtype.isnative
    np.testing.assert_array_equal(images, X.astype(float))


def test_check_images_keeps_extreme_values():
    assert check_images(np.full((1, 1, 1), 255, dtype=np.uint8)).max() == 255
    assert check_images(np.full((1, 1, 1), 2**16 - 1, dtype=np.uint16)).max() == 2**16 - 1
    assert check_images(np.full((1, 1, 1), 2**62)).max() == 2.0**62
    assert check_images(np.full((1, 1, 1), 3e38)).max() == np.float32(3e38)
    # The sum of these overflows, but no value does.
    assert check_images(np.full((1, 2, 2), 3e38, dtype=np.float32)).min() == np.float32(3e38)


@pytest.mark.parametrize(
    "X",
    [
        np.arange(24.0).reshape(2, 4, 3)[:, ::2, ::-1],
        np.asfortranarray(np.arange(24.0, dtype=np.float32).reshape(2, 4, 3)),
        np.arange(24).reshape(2, 4, 3).tolist(),
        torch.arange(24.0).reshape(2, 4, 3),
        np.ma.MaskedArray(np.arange(24.0).reshape(2, 4, 3)),
    ],
    ids=["strided", "fortran", "list", "tensor", "nothing masked"],
)
def test_check_images_takes_any_layout(X):
    images = check_images(X)
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, np.asarray(X))


def with_value(value, dtype=float):
    X = np.ones((3, 4, 5), dtype=dtype)
    X[1, 2, 3] = value
    return X


BAD = {
    "one image": (np.ones((4, 4)), r"Expected 3D array, got 2D array instead.*X\[np.newaxis\]"),
    "1-D": (np.ones(4), "Expected 3D array, got 1D array instead"),
    "0-D": (np.float64(1), "Expected 3D array, got 0D array instead"),
    "4-D": (np.ones((1, 2, 3, 4)), "Expected 3D array, got 4D array instead"),
    "NaN": (with_value(np.nan), "NaN: nan at image 1, row 2, column 3"),
    "inf": (with_value(np.inf), "infinity: inf at image 1, row 2, column 3"),
    "-inf": (with_value(-np.inf, np.float16), "infinity: -inf at image 1"),
    "overflow": (with_value(1e300), "too large for dtype.'float32'.: 1e[+]300 at image 1"),
    "no image": (np.ones((0, 4, 4)), r"0 sample\(s\)"),
    "no rows": (np.ones((2, 0, 4)), "without pixels"),
    "no columns": (np.ones((2, 4, 0)), "without pixels"),
    "complex": (np.ones((1, 4, 4), dtype=complex), "Complex data not supported"),
    "text": (np.full((1, 4, 4), "a"), "dtype <U1"),
    "bytes": (np.full((1, 4, 4), b"a"), "dtype .S1"),
    "dates": (np.zeros((1, 4, 4), dtype="M8[s]"), "dtype datetime64"),
    "objects": (with_value("a", object), "objects that are not numbers"),
    "complex objects": (with_value(1j, object), "Complex data not supported"),
    "ragged": ([np.ones((4, 4)), np.ones((4, 5))], "different sizes"),
    "sparse": (sparse.csr_array(np.eye(4)), "Sparse data was passed"),
    "masked": (np.ma.masked_equal(with_value(7.0), 7.0), "masked array"),
    "None": (None, "objects|got 0D"),
}


@pytest.mark.parametrize("case", BAD)
def test_check_images_refuses(case):
    X, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}") as error:
        check_images(X)
    if case != "None":
        assert error.type is ValueError


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform", "score"])
@pytest.mark.parametrize("case", BAD)
def test_every_method_refuses_them(case, method):
    X, message = BAD[case]
    denoiser = Scale(factor=2.0).fit(np.ones((2, 4, 4)))
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        getattr(denoiser, method)(X)
    if method != "transform" and case != "None":
        with pytest.raises((ValueError, TypeError)):
            getattr(denoiser, method)(np.ones((3, 4, 5)), X)


def test_check_images_options():
    X = with_value(-2.0)
    np.testing.assert_array_equal(check_images(X), X.astype(np.float32))
    with pytest.raises(ValueError, match=r"Negative values.*-2.0 at image 1, row 2, column 3"):
        check_images(X, counts=True)
    X[2, 0, 0] = -1
    with pytest.raises(ValueError, match=r"2 such pixels"):
        check_images(X, counts=True)
    with pytest.raises(ValueError, match=r"Wiener needs images of at least 5 x 5.*4 x 5"):
        check_images(X, min_size=5, estimator_name="Wiener")
    with pytest.raises(TypeError, match="not real numbers"):
        check_images(with_value({}, object))


def test_check_pair():
    X, y = check_pair(np.ones((2, 3, 4), dtype=np.uint8), -np.ones((2, 3, 4)), counts=True)
    assert X.dtype == y.dtype == np.float32
    with pytest.raises(ValueError, match=r"same shape.*\(2, 3, 4\), y has \(1, 3, 4\)"):
        check_pair(X, y[:1])
    with pytest.raises(ValueError, match="y has shape"):
        check_pair(X, np.ones(2))


def test_check_mask():
    mask = np.zeros((3, 4), dtype=bool)
    assert check_mask(None, (2, 3, 4)) is None
    assert check_mask(mask, (2, 3, 4)) is None
    mask[0, 0] = True
    full = check_mask(mask, (2, 3, 4))
    assert full.shape == (2, 3, 4)
    assert full.sum() == 2
    np.testing.assert_array_equal(check_mask(full, (2, 3, 4)), full)
    with pytest.raises(ValueError, match="dtype bool"):
        check_mask(mask.astype(np.uint8), (2, 3, 4))
    for shape in ((4, 3), (1, 3, 4), (3, 3, 4), (4,)):
        with pytest.raises(ValueError, match="mask has shape"):
            check_mask(np.ones(shape, dtype=bool), (2, 3, 4))
    full = full.copy()
    full[1] = True
    with pytest.raises(ValueError, match="every pixel of image 1"):
        check_mask(full, (2, 3, 4))


def test_check_pixel_size():
    for value in (6, 6.0, np.float32(6), np.int64(6)):
        assert check_pixel_size(value) == 6.0
        assert type(check_pixel_size(value)) is float
    for value in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            check_pixel_size(value)
    for value in ("6", "auto", None, True, [6.0], 6j, np.ones(2)):
        with pytest.raises(TypeError, match="must be a number"):
            check_pixel_size(value)


def test_template_does_the_checks():
    X = np.ones((2, 4, 4))
    with pytest.raises(NotFittedError):
        Scale().transform(X)
    with pytest.raises(NotFittedError):
        Scale().score(X)
    with pytest.raises(ValueError, match="'factor' parameter of Scale"):
        Scale(factor="a").fit(X)
    with pytest.raises(ValueError, match="Scale needs images of at least 3 x 3"):
        Scale().fit(X[:, :2])
    denoised = Scale(factor=-2.0).fit(X).transform(X)
    np.testing.assert_array_equal(denoised, -2 * X)  # a negative estimate is not clipped
    assert denoised.dtype == np.float32
    identity = Scale().fit(X).transform(X.astype(np.float32))
    assert identity.flags.writeable
    tags = get_tags(Scale())
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.two_d_array
    assert tags.requires_fit


def test_output_never_is_the_input():
    class Identity(BaseDenoiser):
        def _transform(self, X, mask):
            return X

    X = np.ones((2, 4, 4), dtype=np.float32)
    assert not np.shares_memory(Identity().fit(X).transform(X), X)


def test_score(clean, noisy):
    denoiser = Scale(factor=0.9).fit(clean)
    np.testing.assert_allclose(
        denoiser.score(noisy, clean), psnr(clean, np.float32(0.9) * noisy).mean()
    )
    drawn = PoissonNoise(random_state=0).sample(clean)
    np.testing.assert_allclose(
        denoiser.score(clean), psnr(clean, np.float32(0.9) * drawn).mean(), rtol=1e-6
    )
    denoiser.noise_ = PoissonNoise(dose=2.0)
    drawn, scaled = denoiser.noise_.sample(clean, return_clean=True, random_state=0)
    np.testing.assert_allclose(
        denoiser.score(clean), psnr(scaled, np.float32(0.9) * drawn).mean(), rtol=1e-6
    )
    with pytest.raises(ValueError, match="cannot be negative"):
        denoiser.score(-clean)
    with pytest.raises(ValueError, match="same shape"):
        denoiser.score(noisy, clean[:2])
    with pytest.raises(TypeError, match="pixel_size"):
        denoiser.score(noisy, clean, pixel_size=6.0)
    weights = np.arange(6)
    np.testing.assert_allclose(
        denoiser.score(noisy, clean, weights),
        np.average(psnr(clean, np.float32(0.9) * noisy), weights=weights),
    )
    with pytest.raises(ValueError, match="sample_weight"):
        denoiser.score(noisy, clean, weights[:2])


def test_score_forwards_keywords_and_leaves_masked_pixels_out(clean, noisy):
    denoiser = ScaleByPixelSize().fit(noisy)
    expected = psnr(clean, 0.5 * noisy).mean()
    np.testing.assert_allclose(denoiser.score(noisy, clean, pixel_size=50), expected)
    np.testing.assert_allclose(denoiser.score(ImageStack(noisy, 50), clean), expected)
    mask = np.zeros(clean.shape, dtype=bool)
    mask[:, :10] = True
    np.testing.assert_allclose(
        denoiser.score(noisy, clean, mask=mask), psnr(clean[:, 10:], noisy[:, 10:]).mean()
    )


def test_metadata_requests_follow_the_signature(clean):
    with config_context(enable_metadata_routing=True):
        Scale().set_transform_request(mask=True)
        with pytest.raises(TypeError, match="pixel_size"):
            Scale().set_transform_request(pixel_size=True)
        denoiser = ScaleByPixelSize().set_transform_request(pixel_size=True)
        denoiser.set_score_request(pixel_size=True)
        pipeline = make_pipeline(Scale(factor=2.0), denoiser).fit(clean)
        np.testing.assert_allclose(pipeline.transform(clean, pixel_size=300), 6 * clean, rtol=1e-6)
        expected = psnr(clean, 2 * clean * np.float32(0.25)).mean()
        np.testing.assert_allclose(pipeline.score(clean, clean, pixel_size=25), expected)


def test_output_stays_an_array(clean):
    pipeline = make_pipeline(Scale(), Scale())
    with config_context(transform_output="pandas"):
        assert type(pipeline.fit_transform(clean)) is ImageStack
    assert not hasattr(Scale(), "set_output")
