import json
import signal
import threading
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import lattice_images
from forks import start
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, cross_val_score

from temdenoise import LowPassDenoiser, PoissonNoise, SBDDenoiser, psnr, ssim
from temdenoise.base import BaseDenoiser
from temdenoise.images import ImageStack, pixel_size_of
from temdenoise.metrics import multimetric_scorer, psnr_scorer
from temdenoise.model_selection import generalization_matrix
from temdenoise.plotting import GeneralizationMatrixDisplay


class MeanImageDenoiser(BaseDenoiser):
    """Answers with the mean image of its training set, whatever it sees: all scores are known."""

    def _fit(self, X, y, mask):
        self.mean_ = X.mean(axis=0)
        self.seen_ = X[:, 0, 0].tolist()

    def _transform(self, X, mask):
        return np.broadcast_to(self.mean_, X.shape)


def numbered(n, side=12):
    """Constant images, each of its own level: 0.1, 0.2 ..."""
    return np.broadcast_to(0.1 * np.arange(1, n + 1)[:, None, None], (n, side, side)).copy()


def known_images(n):
    """Lattices that know their pixel size."""
    return ImageStack(lattice_images(n, 32, 32), 6.22)


def small_sbd(**changes):
    parameters = {
        "n_scales": 2, "base_channels": 4, "binning": 1, "patch_size": 16, "batch_size": 2,
        "max_epochs": 1, "steps_per_epoch": 2, "precision": "float32", "device": "cpu",
        "random_state": 0,
    }  # fmt: skip
    return SBDDenoiser(**(parameters | changes))


def test_matrix_holds_the_known_scores():
    images = numbered(8)
    groups = np.array(list("aaaabbbb"))
    result = generalization_matrix(MeanImageDenoiser(), images, groups, test_size=0.25)
    assert result.matrix.index.tolist() == result.matrix.columns.tolist() == ["a", "b"]
    assert (result.matrix.index.name, result.matrix.columns.name) == ("trained on", "tested on")
    for row in "ab":
        train = result.train_indices[row]
        assert (groups[train] == row).all()
        for column in "ab":
            test = result.test_indices[column]
            assert (groups[test] == column).all()
            assert not set(train) & set(test)
            error = (images[test, 0, 0] - images[train, 0, 0].mean()) ** 2
            expected = np.mean(-10 * np.log10(error))
            assert result.matrix.loc[row, column] == pytest.approx(expected, abs=1e-4)
    assert result.n_train.tolist() == [3, 3]
    assert result.n_test.tolist() == [1, 1]
    assert (result.fit_seconds > 0).all()
    assert "estimators" not in result


def test_groups_train_on_equally_many_images():
    groups = ["a"] * 20 + ["b"] * 6 + ["c"] * 12
    images = numbered(38)
    equal = generalization_matrix(MeanImageDenoiser(), images, groups, test_size=0.3)
    assert equal.n_train.tolist() == [4, 4, 4]  # of b, 2 of 6 are held out
    everything = generalization_matrix(
        MeanImageDenoiser(), images, groups, test_size=0.3, n_per_group=None
    )
    assert everything.n_train.tolist() == [14, 4, 8]
    assert everything.n_test.tolist() == [6, 2, 4]
    three = generalization_matrix(
        MeanImageDenoiser(), images, groups, test_size=0.3, n_per_group=3, n_test_per_group=1
    )
    assert three.n_train.tolist() == [3, 3, 3]
    assert three.n_test.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="Group 'b' has 4 images that are not held out, but 5 are"):
        generalization_matrix(MeanImageDenoiser(), images, groups, test_size=0.3, n_per_group=5)


@pytest.mark.parametrize("nested", [True, False])
def test_no_model_lies_on_both_sides(nested):
    """Also not where images of one model belong to several groups, as contrasts do."""
    models = np.repeat(np.arange(10), 6)
    groups = np.where(models < 5, "a", "b") if nested else np.tile(["a", "b", "c"], 20)
    result = generalization_matrix(
        MeanImageDenoiser(), numbered(60), groups, models=models, test_size=0.2,
        return_estimators=True,
    )  # fmt: skip
    trained = {models[i] for indices in result.train_indices.values() for i in indices}
    tested = {models[i] for indices in result.test_indices.values() for i in indices}
    assert len(tested) == 2  # a fifth
    assert not trained & tested
    for label, fitted in result.estimators.items():
        levels = numbered(60)[result.train_indices[label], 0, 0]
        np.testing.assert_allclose(fitted.seen_, levels, rtol=1e-6)


def test_all_rows_are_tested_on_the_same_noise():
    """Linear filters of one kind that differ in nothing else must then score alike."""
    images = known_images(12)
    result = generalization_matrix(LowPassDenoiser(), images, list("aaaaaabbbbbb"))
    assert result.matrix.loc["a"].equals(result.matrix.loc["b"])
    other = generalization_matrix(LowPassDenoiser(), images, list("aaaaaabbbbbb"), random_state=1)
    assert not other.matrix.equals(result.matrix)


def test_scoring_noise_and_keywords():
    images = lattice_images(8, 32, 32)
    groups = list("aaaabbbb")
    options = {"noise": PoissonNoise(dose=5.0), "transform_params": {"pixel_size": 20.0}}
    estimator = LowPassDenoiser(cutoff=0.2, unit="1/angstrom")
    both = generalization_matrix(
        estimator, images, groups, scoring=multimetric_scorer, return_estimators=True, **options
    )
    assert list(both.matrices) == ["psnr", "ssim"]
    assert both.matrix.equals(both.matrices["psnr"])
    for name, metric in {"psnr": psnr, "ssim": ssim}.items():
        alone = generalization_matrix(estimator, images, groups, scoring=name, **options)
        pd.testing.assert_frame_equal(alone.matrix, both.matrices[name])
        # again by hand, with other noise: nearly the same
        clean = images[both.test_indices["b"]]
        noisy, clean = PoissonNoise(dose=5.0, random_state=5).sample(clean, return_clean=True)
        denoised = both.estimators["a"].transform(noisy, pixel_size=20.0)
        assert metric(clean, denoised).mean() == pytest.approx(alone.matrix.loc["a", "b"], rel=0.1)


def test_test_images_on_another_grid():
    coarse, fine = numbered(8), numbered(8, side=24)
    estimator = LowPassDenoiser()
    result = generalization_matrix(estimator, coarse, list("aaaabbbb"), test_images=fine)
    again = generalization_matrix(estimator, fine, list("aaaabbbb"))
    pd.testing.assert_frame_equal(result.matrix, again.matrix)


def test_jobs_change_nothing():
    arguments = MeanImageDenoiser(), numbered(10), list("aaaaabbbbb")
    serial = generalization_matrix(*arguments)
    pd.testing.assert_frame_equal(generalization_matrix(*arguments, n_jobs=2).matrix, serial.matrix)


def test_networks_differ_by_what_they_were_trained_on():
    estimator = small_sbd()
    matrix = generalization_matrix(estimator, known_images(8), list("aaaabbbb")).matrix
    assert np.isfinite(matrix).all(axis=None)
    assert not matrix.loc["a"].equals(matrix.loc["b"])
    assert not hasattr(estimator, "network_")


class Slow(LowPassDenoiser):
    """Takes a minute to fit on the second of two groups."""

    def _fit(self, X, y, mask):
        if X.mean() > 0.5:
            time.sleep(60)
        super()._fit(X, y, mask)


def test_killed_and_continued(tmp_path, monkeypatch):
    out = tmp_path / "matrix"
    clean = np.repeat([0.2, 0.8], 4)[:, None, None] * np.ones((8, 12, 12))
    arguments = Slow(), clean, list("aaaabbbb")
    killed = start(partial(generalization_matrix, *arguments, out=out))
    try:
        deadline = time.monotonic() + 60
        while not (out / "row_0.json").exists():
            assert killed.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        killed.kill()
        killed.join()
    assert not (out / "row_1.json").exists()
    first = json.loads((out / "row_0.json").read_text())
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    done = generalization_matrix(*arguments, out=out)
    assert done.fit_seconds["a"] == pytest.approx(first["fit_seconds"])  # not trained again
    expected = generalization_matrix(LowPassDenoiser(), clean, list("aaaabbbb")).matrix
    pd.testing.assert_frame_equal(done.matrix, expected)


def test_a_folder_serves_one_experiment(tmp_path):
    images, groups = known_images(8), list("aaaabbbb")
    out = tmp_path / "deep" / "matrix"
    first = generalization_matrix(small_sbd(), images, groups, out=out)
    assert sorted(f.name for f in out.iterdir()) == ["row_0.json", "row_1.json", "settings.json"]
    # what does not change the result may change
    again = generalization_matrix(
        small_sbd(verbose=True), images, groups, out=out, return_estimators=True
    )
    pd.testing.assert_frame_equal(first.matrix, again.matrix)
    assert first.fit_seconds.equals(again.fit_seconds)
    for label, fitted in again.estimators.items():
        clean = images[again.test_indices[label]]
        assert np.isfinite(fitted.score(clean))
    for changes in (
        {"estimator": small_sbd(max_epochs=2)},
        {"images": images * 2},
        {"groups": list("aaaabbbc")[:4] + list("cccc")},
        {"scoring": "ssim"},
        {"random_state": 1},
        {"noise": PoissonNoise(dose=1.0)},
    ):
        arguments = {"estimator": small_sbd(), "images": images, "groups": groups} | changes
        with pytest.raises(ValueError, match="begun with other"):
            generalization_matrix(**arguments, out=out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no results"):
        generalization_matrix(small_sbd(), images, groups, out=tmp_path / "other")
    with pytest.raises(ValueError, match="integer random_state"):
        generalization_matrix(small_sbd(), images, groups, out=out, random_state=None)


def interrupt_at(path):
    """Ctrl-C in the main thread as soon as there is such a file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not path.exists():
        time.sleep(0.01)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_a_training_interrupted_is_continued(tmp_path):
    """Not taken for a finished one, though the network would return what it has."""
    images, groups, out = known_images(8), list("aaaabbbb"), tmp_path / "m"
    estimator = small_sbd(max_epochs=100_000, steps_per_epoch=1)
    interrupter = threading.Thread(target=interrupt_at, args=(out / "row_0.checkpoint",))
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        generalization_matrix(estimator, images, groups, out=out)
    interrupter.join()
    assert sorted(f.name for f in out.iterdir()) == ["row_0.checkpoint", "settings.json"]
    spent = torch.load(out / "row_0.checkpoint", weights_only=True)
    assert spent["steps"] < 100_000
    # A budget of time that is all but used up: nothing is trained any more, the weights are there.
    settings = json.loads((out / "settings.json").read_text())
    settings["parameters"]["max_minutes"] = "1e-06"
    (out / "settings.json").write_text(json.dumps(settings))
    result = generalization_matrix(
        estimator.set_params(max_minutes=1e-6), images, groups, out=out, return_estimators=True
    )
    assert len(result.estimators["a"].history_) == spent["steps"]
    assert np.isfinite(result.matrix).all(axis=None)


BAD = {
    "one group": ({"groups": ["a"] * 8}, "two groups or more"),
    "too few labels": ({"groups": ["a", "b"]}, "one label for each of the 8 images"),
    "table of labels": ({"groups": np.ones((8, 2))}, "one label for each of the 8 images"),
    "missing label": ({"groups": [*"aaabbb", None, "b"]}, r"groups\[6\] is missing"),
    "missing model": ({"models": [0, 1, 2, np.nan, 4, 5, 6, 7]}, r"models\[3\] is missing"),
    "one model": ({"models": [0, 0, 1, 1] * 2}, "only ones of their kind"),
    "single image": ({"images": np.ones((8, 8))}, r"images\[np.newaxis\]"),
    "no image": ({"images": np.ones((0, 8, 8)), "groups": []}, "no image"),
    "test images": ({"test_images": numbered(7)}, "8 are needed, got 7"),
    "test size": ({"test_size": 1.0}, "test_size"),
    "n per group": ({"n_per_group": 0}, "n_per_group"),
    "scoring": ({"scoring": "f1"}, "scoring"),
    "estimator": ({"estimator": "lowpass"}, "estimator"),
    "negative": ({"images": -numbered(8)}, "negative"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    changes, message = BAD[case]
    arguments = {
        "estimator": MeanImageDenoiser(),
        "images": numbered(8),
        "groups": list("aabbaabb"),
    }
    with pytest.raises(ValueError, match=message):
        generalization_matrix(**(arguments | changes))


# --- scikit-learn's own tools ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("estimator", "grid"),
    [(LowPassDenoiser(), {"cutoff": [0.02, 0.4]}), (small_sbd(), {"base_channels": [2, 4]})],
)
def test_group_splits_of_scikit_learn(estimator, grid):
    clean = known_images(6)
    groups = ["Np1", "Np1", "Np2", "Np2", "Np3", "Np3"]
    scores = cross_val_score(estimator, clean, groups=groups, cv=LeaveOneGroupOut())
    assert scores.shape == (3,)
    for k, name in enumerate(sorted(set(groups))):
        inside = np.array([g == name for g in groups])
        fitted = type(estimator)(**estimator.get_params()).fit(clean[~inside])
        assert scores[k] == pytest.approx(fitted.score(clean[inside]), abs=1e-4)
    search = GridSearchCV(estimator, grid, cv=GroupKFold(3), scoring=psnr_scorer)
    search.fit(clean, groups=groups)
    means = search.cv_results_["mean_test_score"]
    (name, candidates) = next(iter(grid.items()))
    assert search.best_params_[name] == candidates[int(np.argmax(means))]
    assert means[0] != means[1]


# --- display --------------------------------------------------------------------------------------
def test_display_shows_the_matrix():
    matrix = pd.DataFrame([[39.11, 29.32], [36.95, 36.26]], ["black", "white"], ["black", "white"])
    display = GeneralizationMatrixDisplay.from_matrix(matrix)
    assert [[t.get_text() for t in row] for row in display.text_] == [
        ["39.1", "29.3"],
        ["37.0", "36.3"],
    ]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("tested on", "trained on")
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["black", "white"]
    np.testing.assert_array_equal(display.im_.get_array(), matrix)
    # light on dark and dark on light
    assert display.text_[0, 0].get_color() != display.text_[0, 1].get_color()
    axes = display.figure_.add_subplot()
    assert GeneralizationMatrixDisplay(matrix).plot(ax=axes, values_format=".2f").ax_ is axes
    with pytest.raises(ValueError, match="finite numbers"):
        GeneralizationMatrixDisplay.from_matrix(matrix * np.nan)


def test_display_runs_the_experiment():
    images, groups = numbered(8), list("aaaabbbb")
    display = GeneralizationMatrixDisplay.from_estimator(MeanImageDenoiser(), images, groups)
    pd.testing.assert_frame_equal(
        display.matrix, generalization_matrix(MeanImageDenoiser(), images, groups).matrix
    )


class ScaleDenoiser(MeanImageDenoiser):
    """Note the pixel size of what it is fitted on and what it denoises."""

    seen = ()

    def fit(self, X, y=None):
        type(self).seen = (*self.seen, pixel_size_of(X))
        return super().fit(X, y)

    def transform(self, X):
        type(self).seen = (*self.seen, pixel_size_of(X))
        return super().transform(X)


def test_images_that_know_their_pixel_size(tmp_path):
    images = ImageStack(numbered(8), 19.5)
    options = {"test_size": 0.25, "out": tmp_path / "out"}
    generalization_matrix(ScaleDenoiser(), images, list("aaaabbbb"), **options)
    assert set(ScaleDenoiser.seen) == {19.5}
    other = ImageStack(images, 6.22)
    with pytest.raises(ValueError, match="begun with other pixel_size"):
        generalization_matrix(ScaleDenoiser(), other, list("aaaabbbb"), **options)


class PlainNoise:
    """Noise that takes no keywords."""

    def sample(self, clean):
        return clean


def test_noise_of_ones_own():
    images, groups = numbered(8), list("aaaabbbb")
    result = generalization_matrix(MeanImageDenoiser(), images, groups, noise=PlainNoise())
    assert result.matrix.equals(generalization_matrix(MeanImageDenoiser(), images, groups).matrix)
