"""The probability learnt from simulations: calibrated on fresh ones, and kept as JSON."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from temdenoise import LowPassDenoiser, find_atoms
from temdenoise.atoms import AtomClassifier, match_atoms
from temdenoise.atoms.classifier import FEATURES, _real_columns
from temdenoise.atoms.confirm_halves import Lengths
from temdenoise.images import ImageStack, PixelSizeWarning

PIXEL_SIZE = 6.0
SHAPE = (220, 260)


def scenes(n_images, seed):
    """Particles of columns 45 px apart, of many heights, some missing."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    images = np.ones((n_images, *SHAPE))
    for image in images:
        for u in np.arange(45, 230, 45) + rng.uniform(-5, 5):
            for v in np.arange(45, 200, 45) + rng.uniform(-5, 5):
                height = rng.uniform(0.2, 1.5) * (rng.uniform() < 0.7)
                image += height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 10**2))
    return 0.15 * images


@pytest.fixture(scope="module")
def denoiser():
    # a blur of 5 px
    return LowPassDenoiser(cutoff=0.53, unit="1/angstrom").fit(np.ones((1, *SHAPE)))


@pytest.fixture(scope="module")
def classifier(denoiser):
    options = {"pixel_size": PIXEL_SIZE, "threshold": 0.05, "random_state": 0}
    return AtomClassifier(denoiser, **options).fit(scenes(24, seed=0))


@pytest.fixture(scope="module")
def unseen(classifier):
    """Columns found in fresh frames, and which of them are real."""
    rng = np.random.default_rng(2)
    tables, real = [], []
    for clean in scenes(12, seed=1):
        atoms = classifier.find_atoms(rng.poisson(clean), polarity="bright")
        truth = find_atoms(
            clean, pixel_size=PIXEL_SIZE, threshold=0.0125, polarity="bright", exclude_border=False
        )
        mine = np.zeros(len(atoms), dtype=bool)
        mine[match_atoms(atoms, truth, max_distance=62.2 / PIXEL_SIZE)["a"]] = True
        tables.append(atoms)
        real.append(mine)
    return tables, np.concatenate(real)


def test_calibrated_on_unseen_images(unseen):
    tables, real = unseen
    p = np.concatenate([table["probability"] for table in tables])
    assert 50 < real.sum() < len(real) - 50
    for low, high in ((0, 0.3), (0.3, 0.8), (0.8, 1)):
        chosen = (p >= low) & (p <= high)
        error = np.sqrt((p * (1 - p))[chosen].sum()) / chosen.sum()
        # as good as the noise of this sample, and of the one it learnt from, allows
        assert real[chosen].mean() == pytest.approx(p[chosen].mean(), abs=0.05 + 3 * error)
    assert roc_auc_score(real, p) > 0.9
    z = np.concatenate([table["z"] for table in tables])
    assert roc_auc_score(real, p) > roc_auc_score(real, z) + 0.01


def test_probabilities_of_a_table(classifier, unseen):
    table = unseen[0][0]
    p = classifier.predict_proba(table)
    assert p.shape == (len(table), 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p[:, 1], table["probability"])
    np.testing.assert_array_equal(classifier.predict(table), p[:, 1] > 0.5)
    with pytest.raises(ValueError, match="no column 'roundness'"):
        classifier.predict_proba(table.drop(columns="roundness"))


def test_features_are_what_they_say(classifier):
    sites = [(60.0, 60.0), (105.0, 60.0), (150.0, 60.0), (60.0, 120.0)]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    clean = np.full(SHAPE, 4.0)
    for k, (u, v) in enumerate(sites):
        clean += (4 + k) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 10**2))
    noisy = np.random.default_rng(0).poisson(4 * clean)
    atoms = classifier.find_atoms(noisy, polarity="bright").iloc[:4]
    near = [np.hypot(atoms["x"] - u, atoms["y"] - v).argmin() for u, v in sites]
    atoms = atoms.iloc[near]
    np.testing.assert_allclose(atoms["nearest"], [270, 270, 270, 360], rtol=0.02)
    assert atoms["neighbours"].tolist() == [2, 2, 1, 1]  # within 400 pm
    assert (atoms["surface"] == 1).all()
    np.testing.assert_allclose(atoms["roundness"], 1, atol=0.25)
    np.testing.assert_allclose(atoms["log_response"], np.log(atoms["response"]))
    assert (atoms["z"] > 10).all()
    assert (atoms["probability"] > 0.9).all()


def test_the_same_seed_gives_the_same_model(classifier):
    # frozen, so that cloning leaves the denoiser fitted
    frozen = clone(classifier).set_params(denoiser=FrozenEstimator(classifier.denoiser))
    again = clone(frozen).fit(scenes(24, seed=0))
    np.testing.assert_array_equal(again.coef_, classifier.coef_)
    assert again.intercept_ == classifier.intercept_
    assert classifier.n_columns_.tolist() == again.n_columns_.tolist()
    assert classifier.classes_.tolist() == [False, True]


def test_kept_as_json(classifier, denoiser, unseen, tmp_path):
    path = tmp_path / "model.json"
    classifier.save(path)
    assert json.loads(path.read_text())["features"] == list(FEATURES)
    loaded = AtomClassifier.load(path, denoiser)
    assert (loaded.threshold, loaded.pixel_size) == (0.05, PIXEL_SIZE)
    for table in unseen[0]:
        np.testing.assert_array_equal(loaded.predict_proba(table), classifier.predict_proba(table))


@pytest.mark.parametrize(
    "broken", ["{}", "no JSON", '{"format": 99, "features": []}', "[]", "\xff"]
)
def test_a_file_that_is_no_model(denoiser, tmp_path, broken):
    path = tmp_path / "model.json"
    path.write_text(broken, encoding="latin-1")  # the last is not UTF-8
    with pytest.raises(ValueError, match=r"model\.json holds no model"):
        AtomClassifier.load(path, denoiser)


@pytest.mark.parametrize(
    "change",
    [
        {"coef": [1.0] * 34},
        {"coef": ["1"] * 35},
        {"coef": [[1.0]] * 35},
        {"coef": [1.0] * 34 + [float("nan")]},
        {"coef": [True] * 35},
        {"mean": 1.0},
        {"mean": [[1.0], [1.0, 2.0]]},
        {"scale": [1.0] * 6 + [0.0]},
        {"n_columns": [1, 2, 3]},
        {"intercept": "big"},
        {"intercept": float("inf")},
        {"intercept": 10**400},
        {"threshold": None},
        {"pixel_size": "6"},
        {"sigma": 0},
    ],
)
def test_a_model_that_was_tampered_with(classifier, denoiser, tmp_path, change):
    path = tmp_path / "model.json"
    classifier.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (name,) = change
    with pytest.raises(ValueError, match=rf"model\.json holds no model .*({name}|OverflowError)"):
        AtomClassifier.load(path, denoiser)


def test_numpy_scalars_are_numbers(classifier, denoiser, tmp_path):
    # parameters do not go into what was fitted
    scalars = {"threshold": np.float32(0.05), "sigma": np.float32(8)}
    scalars["dose"] = (np.float32(0.5), np.float64(2))
    copy = AtomClassifier(denoiser)
    vars(copy).update(vars(classifier))
    copy.pixel_size_ = np.float32(6.22)
    copy.set_params(**scalars).save(tmp_path / "model.json")
    loaded = AtomClassifier.load(tmp_path / "model.json", denoiser)
    assert (loaded.pixel_size, loaded.dose) == (np.float32(6.22), (0.5, 2.0))
    assert loaded.intercept_ == classifier.intercept_


def test_no_column(classifier):
    table = classifier.find_atoms(np.full((64, 64), 7))
    assert len(table) == 0
    assert table["probability"].dtype == np.float64
    assert set(FEATURES) <= set(table)
    # nor in an image without an electron, where there is not even a scale
    pd.testing.assert_frame_equal(classifier.find_atoms(np.zeros((64, 64))), table)


def test_an_absurd_pixel_size_is_questioned_once(denoiser):
    unfitted = AtomClassifier(denoiser, pixel_size=622.0)
    with (
        pytest.warns(UserWarning, match="Is pixel_size in pm") as caught,
        pytest.raises(ValueError, match="too few"),
    ):
        unfitted.fit(np.ones((2, 64, 64)))
    assert [warning.filename for warning in caught] == [__file__]


def test_one_image_at_a_time(classifier):
    with pytest.raises(ValueError, match=r"noisy must be one image .*\(2, 64, 64\).* one by one"):
        classifier.find_atoms(np.ones((2, 64, 64)))
    with pytest.raises(ValueError, match="noisy holds -1"):
        classifier.find_atoms(-np.ones((64, 64)))
    with pytest.raises(ValueError, match="noisy is a masked array"):
        classifier.find_atoms(np.ma.masked_equal(np.eye(64), 1))


def test_bad_input(denoiser):
    unfitted = AtomClassifier(denoiser, pixel_size=PIXEL_SIZE)
    with pytest.raises(NotFittedError):
        unfitted.find_atoms(np.ones(SHAPE))
    with pytest.raises(ValueError, match="too few to learn from"):
        unfitted.fit(np.ones((1, *SHAPE)) * 100)
    with pytest.raises(ValueError, match="0 are real and 0 false: too few to learn from"):
        unfitted.fit(np.zeros((1, *SHAPE)))
    with pytest.raises(NotFittedError):  # still
        unfitted.find_atoms(np.ones(SHAPE))
    with pytest.raises(ValueError, match="negative"):
        unfitted.fit(-np.ones((1, *SHAPE)))
    with pytest.raises(ValueError, match="Expected 3D array"):
        unfitted.fit(np.ones(SHAPE))
    with pytest.raises(ValueError, match="C must be positive"):
        AtomClassifier(denoiser, C=-1.0).fit(np.ones((1, *SHAPE)))
    with pytest.raises(TypeError, match="transform"):
        AtomClassifier(None).fit(np.ones((1, *SHAPE)))


def test_images_that_know_their_pixel_size(denoiser, classifier):
    images = scenes(24, seed=0)
    options = {"threshold": 0.05, "random_state": 0}
    mine = AtomClassifier(denoiser, **options).fit(ImageStack(images, pixel_size=PIXEL_SIZE))
    assert mine.pixel_size is None
    assert mine.pixel_size_ == classifier.pixel_size_ == PIXEL_SIZE
    np.testing.assert_array_equal(mine.coef_, classifier.coef_)
    noisy = np.random.default_rng(3).poisson(images[0])
    expected = classifier.find_atoms(noisy)
    pd.testing.assert_frame_equal(mine.find_atoms(ImageStack(noisy, PIXEL_SIZE)), expected)
    with pytest.warns(PixelSizeWarning, match="pixel_size=6 pm is used.* of 9 pm"):
        other = mine.find_atoms(ImageStack(noisy, 9))
    pd.testing.assert_frame_equal(other, expected)


def test_sigma_is_kept(denoiser, classifier, tmp_path):
    images = scenes(24, seed=0)
    options = {"pixel_size": PIXEL_SIZE, "threshold": 0.05, "random_state": 0}
    same = AtomClassifier(denoiser, sigma=60 / PIXEL_SIZE, **options).fit(images)
    np.testing.assert_allclose(same.coef_, classifier.coef_, rtol=1e-6)
    finer = AtomClassifier(denoiser, sigma=7.0, **options).fit(images)
    assert not np.allclose(finer.coef_, classifier.coef_)
    finer.save(tmp_path / "model.json")
    assert AtomClassifier.load(tmp_path / "model.json", denoiser).sigma == 7.0


def test_the_remainder_of_a_missing_column_is_not_real():
    heights = np.full(25, 1.0)
    heights[12] = 0.15
    sites = [(60.0 + 45 * i, 60.0 + 45 * j) for i in range(5) for j in range(5)]
    y, x = np.mgrid[:300, :300]
    clean = 1 + sum(
        h * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 200)
        for h, (u, v) in zip(heights, sites, strict=True)
    )
    real = _real_columns(clean.astype(np.float32), "bright", 0.01, Lengths(6.0))
    assert len(real) == 24
    assert np.hypot(*(real[["x", "y"]] - np.array(sites[12])).to_numpy().T).min() > 20
