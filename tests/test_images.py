"""Images keep their pixel size where the sampling stays, and drop it where it may have changed."""

import copy
import pickle

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from temdenoise import ImageStack
from temdenoise.images import pixel_size_of

SIZE = 6.22
COUNTS = (
    np.random.default_rng(0).poisson(2.0, (12, 12, 12)).astype(np.float32)
)  # a cube, on purpose
OTHER = np.random.default_rng(1).random((12, 12, 12)).astype(np.float32)


@pytest.fixture
def stack():
    # As many images as rows and columns: a wrong axis is not noticed by its length.
    return ImageStack(COUNTS.copy(), SIZE, {"info": {"dose": [1, 2]}})


KEEP = {
    "range": lambda x: x[2:5],
    "every second image": lambda x: x[::2],
    "list": lambda x: x[[1, 3]],
    "array": lambda x: x[np.array([1, 3]), ...],
    "mask": lambda x: x[np.arange(12) % 3 == 0],
    "no image": lambda x: x[[]],
    "ellipsis": lambda x: x[..., 2:9],
    "ellipsis in front": lambda x: x[..., 3:, 2:9],
    "whole": lambda x: x[...],
    "crop": lambda x: x[:, 1:10, 2:11],
    "flip": lambda x: x[:, ::-1, ::-1],
    "one image": lambda x: x[0],
    "rows of one image": lambda x: x[-1][3:7],
    "as a stack again": lambda x: x[0][None],
    "new axis in front": lambda x: x[:, np.newaxis],
    "iteration": lambda x: next(iter(x)),
    "product": lambda x: 2 * x,
    "power": lambda x: x**2,
    "negative": lambda x: -x,
    "with a plain stack": lambda x: OTHER - x,
    "with a plain image": lambda x: x - OTHER[0],
    "with an image of its own": lambda x: x - x.mean(axis=0),
    "with what knows no size": lambda x: x + ImageStack(OTHER),
    "with rows": lambda x: x - x.mean(axis=(1, 2), keepdims=True),
    "comparison": lambda x: x > 1,
    "cast": lambda x: x.astype(np.float64),
    "copy": lambda x: x.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "view": lambda x: x.view(),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "old pickle": lambda x: pickle.loads(pickle.dumps(x, protocol=0)),
    "np.clip": lambda x: np.clip(x, 0, 1),
    "clip": lambda x: x.clip(0, 1),
    "ufunc": np.sqrt,
    "ufunc with where": lambda x: np.add(x, 1, where=x > 1, out=x.copy()),
    "ufunc of two results": lambda x: np.modf(x)[1],
    "round": lambda x: x.round(1),
    "np.round": lambda x: np.round(x, 1),
    "np.nan_to_num": np.nan_to_num,
    "np.roll": lambda x: np.roll(x, 2, axis=1),
    "mean over images": lambda x: x.mean(axis=0),
    "sum of images, axis kept": lambda x: x.sum(axis=0, keepdims=True),
    "std": lambda x: x.std(axis=-3),
    "max": lambda x: x.max(0),
    "np.median": lambda x: np.median(x, axis=0),
    "np.percentile": lambda x: np.percentile(x, 30, axis=0),
    "np.nanmean": lambda x: np.nanmean(x, axis=0),
    "cumulative sum": lambda x: np.cumsum(x, axis=0),
    "np.add.reduceat": lambda x: np.add.reduceat(x, [0, 4], axis=0),
    "transposed": lambda x: x.transpose(0, 2, 1),
    "transposed image": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "np.swapaxes": lambda x: np.swapaxes(x, -1, -2),
    "np.rot90": lambda x: np.rot90(x, axes=(1, 2)),
    "np.flip": lambda x: np.flip(x, axis=2),
    "np.moveaxis": lambda x: np.moveaxis(x[None], 0, 1),
    "same height and width": lambda x: x.reshape(3, 4, 12, 12),
    "squeeze": lambda x: x[:1].squeeze(),
    "take": lambda x: x.take([3, 2], axis=0),
    "np.take": lambda x: np.take(x, [3, 2], axis=-3),
    "split": lambda x: train_test_split(x, random_state=0)[0],
    "np.array_split": lambda x: np.array_split(x, 3)[1],
    "again": ImageStack,
    "np.asanyarray": np.asanyarray,
    "np.diff of images": lambda x: np.diff(x, axis=0),
}

DROP = {
    "step": lambda x: x[:, ::2, ::2],
    "step and back": lambda x: np.tile(x[:, ::2, ::2], (1, 2, 2)),
    "step backwards": lambda x: x[..., ::-2],
    "index of columns": lambda x: x[:, :, list(range(12))],
    "index in both": lambda x: x[:, np.arange(12)[:, None], np.arange(12)],
    "column": lambda x: x[:, :, 3],
    "row": lambda x: x[:, 3],
    "new axis at the end": lambda x: x[..., None],
    "new axis between": lambda x: x[:, :, None],
    "table of images": lambda x: x[np.array([[0, 1], [2, 3]])][:, :, :, 0],
    "reshape": lambda x: x.reshape(12, 6, 24),
    "reshape of two": lambda x: x.reshape(144, 12),
    "mean over rows": lambda x: x.mean(axis=1),
    "mean over columns": lambda x: x.mean(axis=-1),
    "max over rows": lambda x: x.max(axis=1),
    "std over rows": lambda x: np.std(x, axis=1),
    "any over rows": lambda x: (x > 1).any(axis=1),
    "mean over rows, axis kept": lambda x: x.mean(axis=1, keepdims=True),
    "median over rows": lambda x: np.median(x, axis=1),
    "percentile over rows": lambda x: np.percentile(x, 30, axis=1),
    "argmax over rows": lambda x: x.argmax(axis=1),
    "reduceat": lambda x: np.add.reduceat(x, np.arange(12), axis=1),
    "binning": lambda x: x.reshape(12, 6, 2, 6, 2).mean(axis=(2, 4)),
    "swapaxes of the first": lambda x: x.swapaxes(0, 1),
    "np.swapaxes of the first": lambda x: np.swapaxes(x, 0, 2),
    "transpose of the first": lambda x: x.transpose(1, 0, 2),
    "transpose by tuple": lambda x: np.transpose(x, (2, 1, 0)),
    "T": lambda x: x.T,
    "np.moveaxis": lambda x: np.moveaxis(x, 0, 2),
    "np.rollaxis": lambda x: np.rollaxis(x, 2),
    "np.rot90 of the first": lambda x: np.rot90(x),
    "einsum": lambda x: np.einsum("ijk->jik", x),
    "diagonal": lambda x: x.diagonal(axis1=0, axis2=1),
    "matrix product": lambda x: x @ OTHER[0],
    "np.dot": lambda x: x.dot(OTHER[0]),
    "np.matmul from the left": lambda x: np.matmul(OTHER[0], x),
    "outer": lambda x: np.add.outer(x[0], x[0]),
    "take of columns": lambda x: x.take(np.arange(12) // 2, axis=2),
    "np.take of rows": lambda x: np.take(x, np.arange(12) // 2, axis=-2),
    "repeat": lambda x: x.repeat([0, 2] * 6, axis=2),
    "np.repeat": lambda x: np.repeat(x, 2, axis=1),
    "np.pad": lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1))),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.stack": lambda x: np.stack([x[0], x[1]]),
    "np.concatenate of another": lambda x: np.concatenate([x, ImageStack(OTHER, 19.53)]),
    "np.kron": lambda x: np.kron(x, np.ones((1, 2, 2))),
    "np.apply_along_axis": lambda x: np.apply_along_axis(lambda v: v[np.arange(12) // 2], 1, x),
    "np.linalg.inv": lambda x: np.linalg.inv(x),
    "another pixel size": lambda x: x + ImageStack(OTHER, 19.53),
    "image of another": lambda x: x - ImageStack(OTHER[0], 19.53),
    "fields of another": lambda x: np.maximum(x[0], ImageStack(OTHER, 19.53)),
    "broadcast from a pixel": lambda x: x[:, :1, :1] * OTHER,
    "np.asarray": np.asarray,
    "np.fft": lambda x: np.fft.fft2(x).real,
    "shape set": lambda x: _reshaped_in_place(x, (12, 6, 24)),
    "view of another dtype": lambda x: x.view(np.float64),
}


def _reshaped_in_place(x, shape):
    x = x.copy()
    x.resize(shape, refcheck=False)
    return x


@pytest.mark.parametrize("name", KEEP)
def test_pixel_size_is_kept(stack, name):
    result = KEEP[name](stack)
    assert type(result) is ImageStack
    assert result.pixel_size == SIZE
    assert result.metadata == {"info": {"dose": [1, 2]}}
    plain = KEEP[name](COUNTS)
    np.testing.assert_array_equal(result, plain)
    assert result.dtype == plain.dtype


@pytest.mark.parametrize("name", DROP)
def test_pixel_size_is_dropped(stack, name):
    result = DROP[name](stack)
    assert result.ndim >= 2
    assert getattr(result, "pixel_size", None) is None
    np.testing.assert_array_equal(result, DROP[name](COUNTS))
    assert stack.pixel_size == SIZE


def test_numbers_and_rows_are_ordinary(stack):
    for number in (stack.mean(), stack.sum(), stack.max(), stack[0, 0, 0], np.median(stack)):
        assert isinstance(number, np.floating)
    assert isinstance(stack.argmax(), np.integer)
    assert isinstance(stack.std(), np.floating)
    assert isinstance((stack == stack).all(), np.bool_)
    for row in (stack[0, 3], stack[stack > 1], stack.mean(axis=(1, 2)), stack[:, 2, 2]):
        assert type(row) is np.ndarray
    assert stack.tolist() == COUNTS.tolist()


def test_arithmetic_in_place(stack):
    before = stack
    stack += 1
    stack *= ImageStack(OTHER, 19.53)  # the stack is still that of its pixels
    assert stack is before
    assert stack.pixel_size == SIZE
    np.testing.assert_array_equal(stack, (COUNTS + 1) * OTHER)
    np.add(stack, 1, out=stack[:])
    stack[0] = 0
    assert stack.sum() == pytest.approx(((COUNTS + 1) * OTHER + 1)[1:].sum(), rel=1e-5)
    plain = np.zeros_like(COUNTS)
    assert np.add(stack, 1, out=plain) is plain
    np.testing.assert_array_equal(plain, np.asarray(stack) + 1)


def test_views_share_memory(stack):
    stack[2:4][:, 1:3, 1:3][...] = -1
    assert (np.asarray(stack)[2:4, 1:3, 1:3] == -1).all()
    assert np.shares_memory(ImageStack(COUNTS), COUNTS)
    assert np.shares_memory(stack.T, stack)


def test_other_kinds_of_arrays_stay_what_they_are(stack):
    masked = np.ma.masked_less(OTHER, 0.5)
    for result in (masked * stack, stack * masked):
        assert isinstance(result, np.ma.MaskedArray)
        assert (result.mask == masked.mask).all()
    assert type(stack[0] * pd.DataFrame(OTHER[0])) is pd.DataFrame
    assert isinstance(torch.from_numpy(stack), torch.Tensor)
    assert torch.equal(torch.as_tensor(stack), torch.as_tensor(COUNTS))
    with pytest.raises(TypeError):
        stack + "text"


def test_images_can_be_drawn(stack):
    figure, ax = plt.subplots()
    ax.imshow(stack[0])
    figure.canvas.draw()
    plt.close(figure)


# --- what is said of the images -------------------------------------------------------------------


def test_pixel_size_can_be_set_and_taken_away(stack):
    stack.pixel_size = 5
    assert stack.pixel_size == 5.0
    assert isinstance(stack.pixel_size, float)
    other = ImageStack(stack, np.float32(4))
    assert (other.pixel_size, stack.pixel_size) == (4.0, 5.0)
    stack.pixel_size = None
    assert stack.pixel_size is None
    assert stack[0].pixel_size is None
    assert pixel_size_of(other) == 4.0
    assert pixel_size_of(COUNTS) is pixel_size_of(stack) is pixel_size_of([[1]]) is None


@pytest.mark.parametrize(
    ("pixel_size", "error"),
    [
        (-1, ValueError), (0, ValueError), (np.nan, ValueError), (np.inf, ValueError),
        ("6.22", TypeError), (True, TypeError), ([6.22], TypeError), (6 + 1j, TypeError),
    ],
)  # fmt: skip
def test_bad_pixel_sizes(stack, pixel_size, error):
    message = "pixel_size must be (positive and finite|a number), in pm"
    with pytest.raises(error, match=message):
        ImageStack(COUNTS, pixel_size)
    with pytest.raises(error, match=message):
        stack.pixel_size = pixel_size
    assert stack.pixel_size == SIZE


def test_what_is_no_image():
    for array in (3.0, [1, 2]):
        with pytest.raises(ValueError, match="height and width"):
            ImageStack(array)
    with pytest.raises(ValueError, match="masked"):
        ImageStack(np.ma.masked_less(OTHER, 0.5), SIZE)
    with pytest.raises(TypeError, match="metadata must be a dict"):
        ImageStack(COUNTS, metadata="from a file")
    assert ImageStack([[1, 2], [3, 4]], 5).shape == (2, 2)


@pytest.mark.parametrize(
    "derive", [lambda x: x[:2], lambda x: x * 2, lambda x: x.copy(), ImageStack, copy.copy]
)
def test_metadata_of_one_stack_is_not_that_of_another(stack, derive):
    given = {"info": {"dose": [1]}}
    stack = ImageStack(stack, metadata=given)
    other = derive(stack)
    other.metadata["info"]["dose"].append(7)
    other.metadata["new"] = 1
    assert stack.metadata == given == {"info": {"dose": [1]}}
    assert derive(other).metadata == {"info": {"dose": [1, 7]}, "new": 1}
    assert ImageStack(COUNTS).metadata == {}


# --- scikit-learn, joblib, memory maps ------------------------------------------------------------


class NeedsPixelSize(TransformerMixin, BaseEstimator):
    """Refuses images that do not know their pixel size."""

    def __init__(self, weight=1, mapped=False):
        self.weight = weight
        self.mapped = mapped

    def fit(self, X, y=None):
        assert X.pixel_size == SIZE
        self.fitted_ = True
        return self

    def transform(self, X):
        return X * self.weight

    def score(self, X, y=None):
        assert X.pixel_size == SIZE
        return float(self.weight)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search(stack, n_jobs):
    search = GridSearchCV(
        make_pipeline(NeedsPixelSize(), NeedsPixelSize()),
        {"needspixelsize-2__weight": [1, 2]},
        cv=GroupKFold(3),
        n_jobs=n_jobs,
        error_score="raise",
    )
    search.fit(stack, groups=np.arange(12) % 3)
    assert search.best_score_ == 2


def _base_is_mapped(x):
    while x is not None:
        if isinstance(x, np.memmap):
            return True
        x = getattr(x, "base", None)
    return False


def _seen(x):
    return type(x) is ImageStack, x.pixel_size, x.metadata, float(x[1].sum()), _base_is_mapped(x)


def test_large_stacks_reach_other_processes_as_memory_maps():
    large = ImageStack(np.ones((40, 128, 128), np.float32), SIZE, {"a": 1})  # 2.6 MB
    expected = (True, SIZE, {"a": 1}, 128.0 * 128, True)
    assert (
        joblib.Parallel(n_jobs=2)(joblib.delayed(_seen)(x) for x in [large] * 2) == [expected] * 2
    )
    scores = cross_val_score(NeedsPixelSize(), large, cv=3, n_jobs=2, error_score="raise")
    assert scores.tolist() == [1.0] * 3


def test_joblib_files(tmp_path, stack):
    joblib.dump(stack, tmp_path / "stack.joblib")
    for mode in (None, "r"):
        back = joblib.load(tmp_path / "stack.joblib", mmap_mode=mode)
        assert type(back) is ImageStack
        assert (back.pixel_size, back.metadata) == (SIZE, stack.metadata)
        assert _base_is_mapped(back) == (mode == "r")
        np.testing.assert_array_equal(back, COUNTS)


def test_memory_maps(tmp_path):
    np.save(tmp_path / "a.npy", COUNTS)
    stack = ImageStack(np.load(tmp_path / "a.npy", mmap_mode="r"), SIZE)
    assert isinstance(stack.base, np.memmap)
    assert not stack.flags.writeable
    part = stack[1:3]
    assert (type(part), part.pixel_size, _base_is_mapped(part)) == (ImageStack, SIZE, True)
    assert type(stack * 2) is ImageStack
    assert joblib.Parallel(n_jobs=2)([joblib.delayed(_seen)(stack)])[0][:2] == (True, SIZE)
