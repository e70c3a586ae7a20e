"""Callbacks that control a training.

The decisions of a callback depend only on the history and the budget. Therefore a training that is
resumed from a checkpoint continues exactly as without the interruption.
"""

import math
import time

import torch
from skorch.callbacks import Callback


class TrainingDiverged(RuntimeError):
    """The loss is not a number."""


class ValidationScore(Callback):
    """Record the mean score of the validation images, and whether it is the best so far.

    Parameters
    ----------
    score : Score
    processes : Alone or Several
    """

    def __init__(self, score, processes):
        self.score = score
        self.processes = processes

    def on_epoch_begin(self, net, **kwargs):  # noqa: D102
        self.values_ = []

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):  # noqa: D102
        if not training:
            self.values_ += self.score.function(y_pred, batch[1]).tolist()

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        name = self.score.name
        value = self.processes.from_main(sum(self.values_) / len(self.values_))
        if not math.isfinite(value):
            raise TrainingDiverged(f"The validation score {name} became {value}")
        seen = [row[name] for row in net.history[:-1]]
        net.history.record(name, value)
        net.history.record(self.score.best, self.score.is_better(value, seen))


class StopWhenNotFinite(Callback):
    """Stop at a NaN or infinite loss, before the weights are validated and kept."""

    def __init__(self, processes):
        self.processes = processes

    def on_batch_end(self, net, loss=None, training=False, **kwargs):  # noqa: D102
        if not training:
            return
        value = self.processes.mean(loss.detach().clone()).item()
        if not math.isfinite(value):
            raise TrainingDiverged(f"The loss became {value}")


class KeepBestWeights(Callback):
    """Keep a copy of the averaged weights of the epoch with the best score."""

    def __init__(self, score):
        self.score = score

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        if net.history[-1, self.score.best]:
            state = net.averaged_.module.state_dict()
            self.weights_ = {k: v.detach().clone() for k, v in state.items()}


class Budget(Callback):
    """Count steps and seconds, also over interruptions, and give the used share of the budget.

    Parameters
    ----------
    n_steps : int
        Total number of steps.
    max_seconds : float or None
        Total time. Training stops after the batch that exceeds it.
    processes : Alone or Several, optional
        With several processes, the clock of the main process is used.
    """

    def __init__(self, n_steps, max_seconds=None, processes=None):
        self.n_steps = n_steps
        self.max_seconds = max_seconds
        self.processes = processes
        self.steps = 0
        self.seconds = 0.0

    def on_train_begin(self, net, **kwargs):  # noqa: D102
        self.last_ = time.monotonic()

    def tick(self):
        """Add the time since the last call."""
        now = time.monotonic()
        self.seconds += now - self.last_
        self.last_ = now
        if self.processes is not None and self.max_seconds is not None:
            self.seconds = self.processes.from_main(self.seconds)

    @property
    def used(self):
        """Used share of the budget, 0 to 1."""
        share = self.steps / self.n_steps
        if self.max_seconds is not None:
            share = max(share, self.seconds / self.max_seconds)
        return min(share, 1.0)

    @property
    def seconds_left(self):
        """Remaining time at the rate so far."""
        return self.seconds / self.used - self.seconds if self.used else math.inf

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: D102
        if training:
            self.steps += 1
            self.tick()

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        self.tick()
        if self.used >= 1:
            raise KeyboardInterrupt  # how skorch's callbacks end a fit


class BudgetSchedule(Callback):
    """Lower the learning rate with the budget, after a short warm-up.

    Parameters
    ----------
    budget : Budget
    learning_rate : float
        Highest learning rate.
    shape : {"cosine", "linear"}, default="cosine"
        Half a cosine over the whole budget, or a straight line over its last 40 %.
    warmup_steps : int, default=50
        Steps of the warm-up with "cosine"; "linear", for short trainings, has a tenth of it.
    """

    def __init__(self, budget, learning_rate, shape="cosine", warmup_steps=50):
        self.budget = budget
        self.learning_rate = learning_rate
        self.shape = shape
        self.warmup_steps = warmup_steps if shape == "cosine" else max(1, warmup_steps // 10)

    def on_batch_begin(self, net, training=False, **kwargs):  # noqa: D102
        if not training:
            return
        warmup = min(1.0, (self.budget.steps + 1) / self.warmup_steps)
        rate = self.learning_rate * warmup * self._factor(self.budget.used)
        for group in net.optimizer_.param_groups:
            group["lr"] = rate

    def _factor(self, used):
        if self.shape == "cosine":
            return 0.505 + 0.495 * math.cos(math.pi * used)
        return min(1.0, 0.01 + (1 - used) / 0.4)


class PlateauSchedule(Callback):
    """Halve the learning rate when the score has not improved for four epochs."""

    def __init__(self, learning_rate, score):
        self.learning_rate = learning_rate
        self.score = score

    def on_train_begin(self, net, **kwargs):  # noqa: D102
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate
        self.schedule_ = torch.optim.lr_scheduler.ReduceLROnPlateau(
            net.optimizer_,
            mode="max" if self.score.greater_is_better else "min",
            factor=0.5,
            patience=3,
        )
        for row in net.history:  # not empty if a training is resumed
            self.schedule_.step(row[self.score.name])

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        self.schedule_.step(net.history[-1, self.score.name])


class EarlyStopping(Callback):
    """Stop after `patience` epochs without a better score."""

    def __init__(self, patience, score):
        self.patience = patience
        self.score = score

    def is_due(self, history):
        """Whether the training ends after the epochs so far."""
        best = [row.get(self.score.best, False) for row in history]
        return any(best) and best[::-1].index(True) >= self.patience

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        if self.is_due(net.history):
            raise KeyboardInterrupt  # how skorch's callbacks end a fit


def finished_rows(history, score):
    """Rows of the finished epochs, without their batches."""
    finished = [row for row in history if score.name in row]
    return [{k: v for k, v in row.items() if k != "batches"} for row in finished]
