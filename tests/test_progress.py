"""What a training tells: the progress bar, the log, callbacks of the user."""

import csv
import math
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback, EpochScoring, GradientNormClipping
from tiny_training import interrupt_after, lattices, tiny

from temdenoise.training.report import ProgressBar, clock


@pytest.fixture(scope="module")
def images():
    return lattices(6, 40, 40)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0:00:00 left"),
        (3725, "1:02:05 left"),
        (500 * 3600, "500:00:00 left"),
        (math.inf, "estimating time left"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_progress_bar_does_not_guess(images, capsys):
    tiny(max_epochs=2, verbose=True).fit(images)
    shown = capsys.readouterr().err
    assert "99:59:59" not in shown
    assert "estimating time left" in shown
    assert "0:00:0" in shown.split("epoch 2")[-1]


def test_progress_bar_of_a_resumed_training(images, tmp_path, monkeypatch, capsys):
    options = {"checkpoint_file": tmp_path / "run.pt", "verbose": True}
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.warns(UserWarning, match="interrupted after"):
            tiny(**options).fit(images)
    capsys.readouterr()
    bars = []
    start = ProgressBar.on_train_begin
    monkeypatch.setattr(
        ProgressBar,
        "on_train_begin",
        lambda bar, net, **kwargs: start(bar, net, **kwargs) or bars.append(bar.bar_),
    )
    tiny(**options).fit(images)
    first = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[0]
    assert " 50%|" in first  # two of four epochs: the third had begun
    assert bars[0].n == 1.0
    # or it would be silent until as much again is done as was before
    assert not bars[0].dynamic_miniters


# --- the log --------------------------------------------------------------------------------------


def test_a_new_training_replaces_its_log_but_nothing_else(images, tmp_path):
    path = tmp_path / "log.csv"
    tiny(log_file=path).fit(images)
    tiny(log_file=path, max_epochs=1).fit(images)
    assert len(rows(path)) == 1
    path.write_text("image,dose\n1,0.45\n")
    with pytest.raises(FileExistsError, match="is not the log of a training: give another"):
        tiny(log_file=path).fit(images)
    assert path.read_text() == "image,dose\n1,0.45\n"
    with pytest.raises(FileExistsError, match="is a folder"):
        tiny(log_file=tmp_path).fit(images)
    with pytest.raises(FileNotFoundError, match="folder of log_file=.* does not exist"):
        tiny(log_file=tmp_path / "no" / "log.csv").fit(images)


# --- callbacks ------------------------------------------------------------------------------------


class Norms(Callback):
    """Records the norm of the weights at the end of each epoch."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def on_epoch_end(self, net, **kwargs):
        norm = sum(float(p.detach().square().sum()) for p in net.module_.parameters())
        net.history.record("norm", self.factor * norm)


def mean_error(net, X, y):
    predicted = np.concatenate([p.numpy() for p in net.forward_iter(X)])
    return float(np.mean((predicted - y) ** 2))


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_skorchs_callbacks(images, tmp_path):
    scoring = EpochScoring(
        mean_error,
        name="error",
        lower_is_better=True,
        target_extractor=lambda y: y["target"].numpy(),
    )
    norms = Norms(2.0)
    denoiser = tiny(callbacks=[scoring, ("norms", norms)])
    denoiser.set_params(log_file=tmp_path / "log.csv").fit(images)
    table = rows(tmp_path / "log.csv")
    assert {"error", "norm"} <= set(table[0])
    assert not any(name.endswith("_best") for name in table[0])
    for row, logged in zip(denoiser.history_, table, strict=True):
        assert row["error"] > 0
        assert row["error"] == pytest.approx(float(logged["error"]))
    assert denoiser.callbacks == [scoring, ("norms", norms)]
    plain = tiny().fit(images)
    np.testing.assert_array_equal(plain.transform(images), denoiser.transform(images))


def test_callbacks_act_on_the_training(images):
    # gradients of almost no length: AdamW takes them for noise below its epsilon, and stands still
    clipped = tiny(callbacks=[GradientNormClipping(1e-30)], max_epochs=1).fit(images)
    start = tiny(learning_rate=1e-30, max_epochs=1).fit(images)
    free = tiny(max_epochs=1).fit(images)
    for name, value in clipped.network_.state_dict().items():
        expected = start.network_.state_dict()[name]
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-7)
    assert (free.network_.head.weight != start.network_.head.weight).any()


def test_clones_and_copies(images):
    denoiser = tiny(callbacks=[Norms(3.0)], log_file="log.csv", max_epochs=1)
    copy = clone(denoiser)
    assert copy.callbacks[0] is not denoiser.callbacks[0]
    assert copy.callbacks[0].factor == 3.0
    assert copy.log_file == "log.csv"
    copy.set_params(log_file=None).fit(images)
    assert "norm" in pickle.loads(pickle.dumps(copy)).history_[0]


@pytest.mark.parametrize("bad", [3, "Norms", ("a", "b"), (1, Norms()), dict])
def test_what_is_no_callback(images, bad):
    with pytest.raises(TypeError, match="callbacks must hold skorch callbacks"):
        tiny(callbacks=[Norms(), bad]).fit(images)


def test_two_callbacks_of_one_name(images):
    with pytest.raises(ValueError, match="same name"):
        tiny(callbacks=[("a", Norms()), ("a", Norms())]).fit(images)
    assert "norm" in tiny(callbacks=[Norms, Norms()], max_epochs=1).fit(images).history_[0]
