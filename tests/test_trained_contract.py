"""What every trained denoiser must do. A new class adds one line to TRAINED."""

import csv
import pickle
import time
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from test_equivalent_filter import assert_is_gradient_of_transform, image_of
from tiny_training import (
    PIXEL_SIZE,
    assert_same_weights,
    interrupt_after,
    lattices,
    noisy_of,
    tiny,
)

from temdenoise import BlindSpotDenoiser, Self2SelfDenoiser, ThinnedDenoiser, UDVDDenoiser

CLEAN = lattices(3, 32, 30)
NOISY = noisy_of(CLEAN)
SMALL = {
    "max_epochs": 3, "steps_per_epoch": 2, "batch_size": 2, "patch_size": 32, "orientations": 1,
    "precision": "float32", "device": "cpu", "random_state": 0,
}  # fmt: skip

# Name -> (denoiser of three epochs of two steps, the images that its `fit` takes, tests that do not
# apply and why).
TRAINED = {
    "sbd": (tiny(max_epochs=3), CLEAN, {}),
    "blind-spot": (BlindSpotDenoiser(base_channels=2, **SMALL), NOISY, {}),
    "udvd": (
        UDVDDenoiser(base_channels=2, **SMALL),
        NOISY,
        {"test_gradient_against_finite_differences": "an estimate depends on several frames"},
    ),
    "thinned": (
        ThinnedDenoiser(base_channels=2, n_draws=1, **SMALL),
        NOISY,
        {"test_gradient_against_finite_differences": "transform thins at random"},
    ),
    "self2self": (
        Self2SelfDenoiser(n_predictions=1, **SMALL),
        NOISY[:1],
        {
            "test_gradient_against_finite_differences": "transform leaves out bins at random",
            "test_early_stopping": "nothing is held out that could say when to stop",
        },
    ),
}


@pytest.fixture(scope="module", params=TRAINED)
def case(request):
    """A denoiser, the images to fit on, and the denoiser as it is after an undisturbed fit."""
    denoiser, images, exempt = TRAINED[request.param]
    return SimpleNamespace(
        images=images,
        make=lambda **params: clone(denoiser).set_params(**params),
        fitted=clone(denoiser).fit(images),
        exempt=exempt,
    )


@pytest.fixture(autouse=True)
def skip_what_does_not_apply(request, case):
    if request.function.__name__ in case.exempt:
        pytest.skip(case.exempt[request.function.__name__])


def score_of(denoiser):
    """Name of the score: beside it stands a column for the best so far, as beside the losses."""
    row = denoiser.history_[0]
    (name,) = {k for k in row if k + "_best" in row} - {"train_loss", "valid_loss"}
    return name


def scores(denoiser):
    """Validation scores of the epochs."""
    return [row[score_of(denoiser)] for row in denoiser.history_]


def read_log(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def interrupted(case, monkeypatch, n, **params):
    """Fit, with Ctrl-C in the middle of step n."""
    with monkeypatch.context() as patch:
        interrupt_after(n, patch)
        with pytest.warns(UserWarning, match="interrupted after .* of its budget") as caught:
            denoiser = case.make(**params).fit(case.images)
    assert caught[0].filename == __file__
    return denoiser


def test_history_has_a_row_for_each_epoch(case):
    rows = case.fitted.history_
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert np.isfinite([[row["train_loss"], row["valid_loss"]] for row in rows]).all()
    assert np.isfinite(scores(case.fitted)).all()


def test_resumed_is_as_if_never_stopped(case, monkeypatch, tmp_path):
    params = {"checkpoint_file": tmp_path / "run.pt", "log_file": str(tmp_path / "log.csv")}
    interrupted(case, monkeypatch, 5, **params)
    before = read_log(tmp_path / "log.csv")
    resumed = case.make(**params).fit(case.images)
    assert_same_weights(resumed, case.fitted)
    assert scores(resumed) == scores(case.fitted)
    np.testing.assert_array_equal(resumed.transform(NOISY), case.fitted.transform(NOISY))
    # the log has every epoch once
    after = read_log(tmp_path / "log.csv")
    assert [row["epoch"] for row in before] == ["1", "2"]
    assert [row["epoch"] for row in after] == ["1", "2", "3"]
    assert after[:2] == before
    assert float(after[2]["seconds"]) > float(before[1]["seconds"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "run.pt"]


def test_log_is_the_history(case, tmp_path):
    path = tmp_path / "log.csv"
    denoiser = case.make(log_file=path).fit(case.images)
    table = read_log(path)
    assert len(table) == len(denoiser.history_) == 3
    names = list(table[0])
    assert names[:5] == ["epoch", "seconds", "learning_rate", "train_loss", "valid_loss"]
    assert names[5:] == [score_of(denoiser)]
    for name in names:
        logged = [float(row[name]) for row in table]
        assert logged == pytest.approx([row[name] for row in denoiser.history_], rel=1e-12)
    assert np.all(np.diff([float(row["seconds"]) for row in table]) > 0)
    assert_same_weights(denoiser, case.fitted)


@pytest.mark.parametrize("early_stopping", [None, 3])
def test_ctrl_c_keeps_the_best_weights(case, monkeypatch, early_stopping):
    # in the third epoch, or as it begins: the weights are those of the two epochs before
    begun, at_its_start = (
        interrupted(case, monkeypatch, n, early_stopping=early_stopping) for n in (5, 4)
    )
    assert len(begun.history_) == 2
    assert scores(begun) == scores(case.fitted)[:2]
    assert_same_weights(begun, at_its_start)
    assert np.isfinite(begun.transform(NOISY)).all()


@pytest.mark.parametrize("step", ["train_step", "validation_step"])
def test_ctrl_c_before_the_end_of_the_first_epoch(case, monkeypatch, step):
    interrupt_after(0, monkeypatch, step)
    denoiser = case.make(max_epochs=1)
    with pytest.raises(KeyboardInterrupt, match="before its first epoch"):
        denoiser.fit(case.images)
    assert not hasattr(denoiser, "network_")


def test_early_stopping(case):
    # at so low a rate the score hardly moves, and soon not for the better
    denoiser = case.make(max_epochs=200, early_stopping=2, learning_rate=1e-12).fit(case.images)
    best = [row[score_of(denoiser) + "_best"] for row in denoiser.history_]
    assert best[::-1].index(True) == 2


def test_max_minutes_ends_the_training(case):
    start = time.monotonic()
    denoiser = case.make(max_epochs=10**6, max_minutes=0.1 / 60).fit(case.images)
    assert 1 <= len(denoiser.history_) < 10**5
    assert time.monotonic() - start < 60  # a million epochs take days
    assert denoiser.transform(NOISY).shape == NOISY.shape


def test_warm_start(case):
    denoiser = case.make(warm_start=True).fit(case.images)
    assert_same_weights(denoiser, case.fitted)  # nothing to start from yet
    # a rate that changes nothing: the weights of the last fit are where the next one starts
    denoiser.set_params(learning_rate=1e-30).fit(case.images)
    for name, value in denoiser.network_.state_dict().items():
        torch.testing.assert_close(value, case.fitted.network_.state_dict()[name])


def test_save_and_load(case, tmp_path):
    case.fitted.save_pretrained(tmp_path / "weights", info={"data": "lattices"})
    loaded = type(case.fitted).from_pretrained(tmp_path / "weights", device="cpu")
    loaded.set_params(**case.fitted.get_params())
    np.testing.assert_array_equal(loaded.transform(NOISY), case.fitted.transform(NOISY))
    assert loaded.score(NOISY, CLEAN) == case.fitted.score(NOISY, CLEAN)
    assert loaded.history_ == case.fitted.history_
    assert loaded.bins_ == case.fitted.bins_
    assert loaded.info_ == {"data": "lattices"}
    loaded.fit(case.images)  # these are other weights than those it was told about
    assert not hasattr(loaded, "info_")
    assert_same_weights(loaded, case.fitted)


def test_pickle_and_joblib(case, tmp_path):
    expected = case.fitted.transform(NOISY)
    copy = pickle.loads(pickle.dumps(case.fitted))
    np.testing.assert_array_equal(copy.transform(NOISY), expected)
    assert copy.history_ == case.fitted.history_
    joblib.dump(case.fitted, tmp_path / "denoiser.joblib")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "denoiser.joblib").transform(NOISY), expected
    )
    unfitted = clone(case.fitted)
    assert unfitted.get_params() == case.fitted.get_params()
    assert not hasattr(unfitted, "network_")


def test_the_images_do_not_stay(case):
    # the same network, trained on more pixels, is not larger
    large = case.make().fit(np.tile(case.images, (1, 2, 2)), pixel_size=PIXEL_SIZE)
    assert len(pickle.dumps(large)) < len(pickle.dumps(case.fitted)) + 2000


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # away from kinks
def test_gradient_against_finite_differences(case):
    result = assert_is_gradient_of_transform(
        case.fitted, image_of((26, 28), level=6.0), (13, 9), pixel_size=PIXEL_SIZE
    )
    assert result.weights.shape == (26, 28)
    assert np.abs(result.weights).max() > 0


def test_failed_fit_leaves_the_last_one(case):
    denoiser = pickle.loads(pickle.dumps(case.fitted))
    expected = denoiser.transform(NOISY)
    with pytest.raises(ValueError, match="before the first epoch ended: lower learning_rate"):
        denoiser.set_params(learning_rate=1e30).fit(case.images)
    np.testing.assert_array_equal(denoiser.transform(NOISY), expected)
    unfitted = case.make(learning_rate=1e30)
    with pytest.raises(ValueError, match="before the first epoch"):
        unfitted.fit(case.images)
    assert not [name for name in vars(unfitted) if name.endswith("_")]


def test_check_settings_finds_what_fit_would_refuse(case, tmp_path):
    case.make().check_settings()
    with pytest.raises(ValueError, match="max_epochs"):
        case.make(max_epochs=0).check_settings()
    checkpoint = tmp_path / "run.pt"
    case.make(max_epochs=1, checkpoint_file=checkpoint).fit(case.images)
    case.make(max_epochs=1, checkpoint_file=checkpoint).check_settings(resume=True)
    with pytest.raises(ValueError, match="training with other batch_size"):
        other = case.make(max_epochs=1, checkpoint_file=checkpoint, batch_size=3)
        other.check_settings(resume=True)
