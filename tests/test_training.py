"""The training loop: budget, schedules, best weights, checkpoints, and what goes wrong."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from forks import start
from skorch.history import History
from tiny_training import (
    TINY,
    assert_same_weights,
    interrupt_after,
    lattices,
    tiny,
    weights,
)

from temdenoise import SBDDenoiser
from temdenoise._device import use_bfloat16
from temdenoise.training import loop
from temdenoise.training import net as training_net
from temdenoise.training.callbacks import Budget, BudgetSchedule, EarlyStopping, PlateauSchedule
from temdenoise.training.checkpoint import Checkpoint
from temdenoise.training.scores import PSNR


@pytest.fixture(scope="module")
def images():
    return lattices(6, 40, 40)


@pytest.fixture(scope="module")
def uninterrupted(images):
    return tiny().fit(images)


# --- the callbacks by themselves ------------------------------------------------------------------


class Net:
    """The part of a net that schedules touch: an optimizer and a history of validation PSNRs."""

    def __init__(self, values=()):
        self.optimizer_ = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.history = History()
        for value in values:
            self.record(value)

    def record(self, value):
        best = all(value > row["valid_psnr"] for row in self.history)
        self.history.append({"valid_psnr": value, "valid_psnr_best": best})

    @property
    def rate(self):
        return self.optimizer_.param_groups[0]["lr"]


def test_cosine_follows_the_budget():
    budget, net = Budget(1000), Net()
    schedule = BudgetSchedule(budget, 2.0, warmup_steps=10)
    rates = []
    for budget.steps in range(1000):
        schedule.on_batch_begin(net, training=True)
        rates.append(net.rate)
    share = np.arange(1000) / 1000
    expected = 2.0 * (0.01 + 0.99 * (1 + np.cos(np.pi * share)) / 2)
    np.testing.assert_allclose(rates[10:], expected[10:], rtol=1e-9)
    np.testing.assert_allclose(rates[:10], expected[:10] * np.arange(1, 11) / 10, rtol=1e-9)
    schedule.on_batch_begin(net, training=False)
    assert net.rate == rates[-1]


PSNRS = [20, 25, 24, 24, 24, 24, 26, 25, 25, 25, 25, 25, 25, 25, 25]


def test_plateau_halves_after_four_epochs_without_progress():
    net = Net()
    schedule = PlateauSchedule(0.8, PSNR)
    schedule.on_train_begin(net)
    rates = []
    for value in PSNRS:
        net.record(value)
        schedule.on_epoch_end(net)
        rates.append(net.rate)
    # the best of epoch 1 stands for epochs 2 to 5, that of epoch 6 for the rest
    assert rates == [0.8] * 5 + [0.4] * 5 + [0.2] * 4 + [0.1]


@pytest.mark.parametrize("n", range(len(PSNRS)))
def test_plateau_resumes_where_it_was(n):
    net = Net(PSNRS[:n])
    schedule = PlateauSchedule(0.8, PSNR)
    schedule.on_train_begin(net)
    for value in PSNRS[n:]:
        net.record(value)
        schedule.on_epoch_end(net)
    assert net.rate == 0.1


def test_early_stopping_counts_epochs_since_the_best():
    stopping = EarlyStopping(3, PSNR)
    assert not stopping.is_due([])
    assert [stopping.is_due(Net(PSNRS[:n]).history) for n in range(1, 9)] == [
        False, False, False, False, True, True, False, False,
    ]  # fmt: skip
    net = Net(PSNRS[:4])
    stopping.on_epoch_end(net)
    net.record(24)
    with pytest.raises(KeyboardInterrupt):
        stopping.on_epoch_end(net)


def test_budget_is_the_larger_share():
    budget = Budget(100, max_seconds=50)
    budget.steps, budget.seconds = 20, 5.0
    assert budget.used == 0.2
    assert budget.seconds_left == 20
    budget.seconds = 25.0
    assert budget.used == 0.5
    budget.seconds = 70.0
    assert budget.used == 1.0
    assert Budget(10).seconds_left == np.inf


def test_history_keeps_finished_epochs_only(uninterrupted):
    history = uninterrupted.history_
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    for row in history:
        assert row["train_batch_count"] == 2
        assert np.isfinite([row["train_loss"], row["valid_loss"], row["valid_psnr"]]).all()
        assert row["dur"] > 0
        assert "batches" not in row
    json.dumps(history, default=float)


# --- budget, early stopping -----------------------------------------------------------------------


def test_plateau_lowers_the_rate_in_training(images):
    # so low a rate that the PSNR never improves by what counts as progress, 1e-4 of it
    denoiser = tiny(max_epochs=6, schedule="plateau", learning_rate=1e-6).fit(images)
    assert denoiser.net_.optimizer_.param_groups[0]["lr"] == 0.5e-6


def test_best_weights_are_kept(images, monkeypatch):
    # so high a rate wrecks the network after a good start: the start is what is kept
    options = {"max_epochs": 5, "learning_rate": 0.5, "optimizer": "adam"}
    denoiser = tiny(**options).fit(images)
    best = int(np.argmax([row["valid_psnr"] for row in denoiser.history_]))
    assert best < 4
    interrupt_after(2 * (best + 1), monkeypatch)  # right after that epoch
    with pytest.warns(UserWarning, match="interrupted after"):
        assert_same_weights(tiny(**options).fit(images), denoiser)


# --- what goes wrong ------------------------------------------------------------------------------


def test_nan_loss_keeps_the_best_weights(images, monkeypatch):
    expected = tiny(max_epochs=4).fit(images)
    best = int(np.argmax([row["valid_psnr"] for row in expected.history_[:2]]))
    loss = training_net.DenoisingNet.get_loss
    calls = []

    def breaks_later(self, *args, training=False, **kwargs):
        calls.append(training)
        value = loss(self, *args, training=training, **kwargs)
        return value * float("nan") if sum(calls) > 4 and training else value

    monkeypatch.setattr(training_net.DenoisingNet, "get_loss", breaks_later)
    with pytest.warns(UserWarning, match="loss became nan: training stopped, the best.*kept") as w:
        denoiser = tiny(max_epochs=4).fit(images)
    assert w[0].filename == __file__
    assert len(denoiser.history_) == 2
    assert denoiser.history_[best]["valid_psnr"] == expected.history_[best]["valid_psnr"]
    assert all(np.isfinite(v).all() for v in weights(denoiser).values())


def test_nan_loss_before_the_first_epoch(images):
    with pytest.raises(ValueError, match="before the first epoch ended: lower learning_rate"):
        tiny(learning_rate=1e30).fit(images)


def test_progress_bar(images, capsys):
    tiny(max_epochs=2, verbose=True).fit(images)
    shown = capsys.readouterr().err
    assert "epoch 2" in shown
    assert "dB (best" in shown
    assert "left" in shown


def test_bfloat16_falls_back_where_torch_does_not_say(monkeypatch):
    cpu = torch.device("cpu")
    assert use_bfloat16("bfloat16", cpu)
    assert not use_bfloat16("float32", cpu)
    assert isinstance(use_bfloat16("auto", cpu), bool)
    monkeypatch.setattr(torch, "ops", object())
    assert use_bfloat16("auto", cpu) is False


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_bfloat16_trains(images):
    denoiser = tiny(precision="bfloat16").fit(images)
    assert denoiser.transform(images).dtype == np.float32
    assert {v.dtype for v in denoiser.network_.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu3"])
def test_bad_device(images, device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here"):
        tiny(device=device).fit(images)


# --- checkpoints ----------------------------------------------------------------------------------


def fit_until_killed(options, images):
    """Fit, and be killed by the system after the second epoch."""
    write = Checkpoint.on_epoch_end

    def write_and_die(self, net, **kwargs):
        write(self, net, **kwargs)
        if len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoint.on_epoch_end = write_and_die
    SBDDenoiser(**options).fit(images)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_killed_and_resumed_is_as_if_never_stopped(images, tmp_path):
    checkpoint = tmp_path / "run.pt"
    options = {**TINY, "schedule": "plateau", "early_stopping": 3}
    killed = start(fit_until_killed, {**options, "checkpoint_file": str(checkpoint)}, images)
    killed.join(timeout=300)
    assert killed.exitcode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]

    resumed = SBDDenoiser(**options, checkpoint_file=str(checkpoint)).fit(images)
    expected = SBDDenoiser(**options).fit(images)
    assert_same_weights(resumed, expected)
    assert [row["valid_psnr"] for row in resumed.history_] == [
        row["valid_psnr"] for row in expected.history_
    ]
    np.testing.assert_array_equal(resumed.transform(images), expected.transform(images))


def test_finished_checkpoint_returns_at_once(images, tmp_path, uninterrupted, monkeypatch):
    checkpoint = tmp_path / "run.pt"  # path-like, and given as such
    tiny(checkpoint_file=checkpoint).fit(images)

    def no_more_steps(self, *args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(training_net.DenoisingNet, "train_step", no_more_steps)
    again = tiny(checkpoint_file=checkpoint, verbose=True).fit(images)
    assert_same_weights(again, uninterrupted)
    assert len(again.history_) == 4


def test_checkpoint_that_stopped_early_returns_at_once(images, tmp_path):
    options = {"max_epochs": 50, "early_stopping": 1, "learning_rate": 1e-12}
    first = tiny(checkpoint_file=tmp_path / "run.pt", **options).fit(images)
    again = tiny(checkpoint_file=tmp_path / "run.pt", **options).fit(images)
    assert 1 < len(again.history_) == len(first.history_) < 50
    assert_same_weights(first, again)


def test_resumes_without_a_fixed_seed_on_the_same_draws(images, tmp_path, monkeypatch):
    options = {"random_state": None, "checkpoint_file": tmp_path / "run.pt"}
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        with pytest.warns(UserWarning, match="interrupted after"):
            first = tiny(**options).fit(images)
    seeds = torch.load(tmp_path / "run.pt", weights_only=True)["seeds"]
    resumed = tiny(**options).fit(images)
    assert torch.load(tmp_path / "run.pt", weights_only=True)["seeds"] == seeds
    assert resumed.history_[:2] == first.history_
    assert len(resumed.history_) == 4


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"base_channels": 6}, "base_channels"),
        ({"random_state": 1}, "random_state"),
        ({"dose": 0.3, "batch_size": 3}, "dose, batch_size|batch_size, dose"),
    ],
)
def test_checkpoint_of_another_training(images, tmp_path, changed, name):
    checkpoint = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint_file=checkpoint).fit(images)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to a training with other ({name})"):
        tiny(max_epochs=1, checkpoint_file=checkpoint, **changed).fit(images)
    assert checkpoint.read_bytes() == before


def test_checkpoint_of_other_images(images, tmp_path):
    options = {"max_epochs": 1, "checkpoint_file": tmp_path / "run.pt"}
    tiny(**options).fit(images)
    with pytest.raises(ValueError, match="other data"):
        tiny(**options).fit(images + np.float32(0.1))
    with pytest.raises(ValueError, match="other data"):
        tiny(**options).fit(np.asarray(images), pixel_size=23.0)


def test_damaged_checkpoint(images, tmp_path):
    checkpoint = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint_file=checkpoint).fit(images)
    good = checkpoint.read_bytes()
    torch.save({"settings": {}}, tmp_path / "other.pt")
    damages = [b"", b"no checkpoint at all", good[: len(good) // 2], good[:200] + good[300:]]
    damages.append((tmp_path / "other.pt").read_bytes())
    weight = torch.load(checkpoint, weights_only=True)["best"]["up.0.weight"].numpy().tobytes()
    flipped = bytearray(good)
    flipped[good.index(weight) + 10] ^= 1
    damages.append(bytes(flipped))
    for bad in damages:
        checkpoint.write_bytes(bad)
        with pytest.raises(ValueError, match=r"run.pt is no checkpoint or is damaged.*remove it"):
            tiny(max_epochs=1, checkpoint_file=checkpoint).fit(images)
        assert checkpoint.read_bytes() == bad


def test_checkpoint_in_no_folder(images, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of checkpoint_file=.* does not exist"):
        tiny(checkpoint_file=tmp_path / "no" / "run.pt").fit(images)
    with pytest.raises(ValueError, match="no checkpoint or is damaged"):
        tiny(checkpoint_file=tmp_path).fit(images)


def test_a_failed_write_leaves_the_last_checkpoint(images, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.pt"
    tiny(max_epochs=2, checkpoint_file=checkpoint).fit(images)
    before = checkpoint.read_bytes()
    save = torch.save

    def disk_full(state, path):
        save({}, path)
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "read_checkpoint", lambda *args: None)
        with pytest.raises(OSError, match="No space left"):
            tiny(max_epochs=2, checkpoint_file=checkpoint).fit(images)
    assert checkpoint.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
