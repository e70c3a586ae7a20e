"""How networks are trained here: a skorch net whose batches come ready made.

What a callback decides follows from the history and the budget alone, so that a training resumed
from a checkpoint goes on exactly as it would have.
"""

import contextlib
import json
import math
import os
import time
import zipfile

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

# Least mean counts per bin in the relative error: below, an image without any electron would
# outweigh all others.
_LEAST_MEAN = 0.05


class TrainingDiverged(RuntimeError):
    """The loss is not a number."""


class _FreshBatches:
    """Iterates over an epoch's batches, new ones each time, until the budget is used up."""

    def __init__(self, dataset, budget):
        self.dataset = dataset
        self.budget = budget

    def __iter__(self):
        self.dataset.first = self.budget.steps
        for k in range(len(self.dataset)):
            if self.budget.used >= 1:
                return
            yield self.dataset[k]


class DenoisingNet(NeuralNet):
    """A skorch net for denoising: ready-made batches, mixed precision, averaged weights.

    Parameters
    ----------
    autocast : bool, default=False
        Convolve in bfloat16.
    averaging : float, default=0.998
        Decay of the exponential moving average of the weights that is validated and kept.
    budget : Budget
        When it is used up, the epoch ends.
    """

    def __init__(self, *args, budget, autocast=False, averaging=0.998, **kwargs):
        super().__init__(*args, **kwargs)
        self.budget = budget
        self.autocast = autocast
        self.averaging = averaging

    def initialize_module(self):
        """Build the module and its average (which gets no gradient, and so no steps)."""
        super().initialize_module()
        self.module_.to(memory_format=torch.channels_last)
        self.averaged_ = torch.optim.swa_utils.AveragedModel(
            self.module_, multi_avg_fn=self._average, use_buffers=True
        )
        return self

    @torch.no_grad()
    def _average(self, averages, weights, n_averaged):
        n = float(n_averaged)
        decay = min(self.averaging, (1 + n) / (10 + n))  # short memory while all is still moving
        if averages[0].is_floating_point():  # they come one dtype at a time
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:
            torch._foreach_copy_(averages, weights)

    @property
    def bare_module(self):
        """The network being trained."""
        return self.module_

    def get_iterator(self, dataset, training=False):
        """Hand out the batches as they are."""
        return _FreshBatches(dataset, self.budget) if training else dataset.batches

    def infer(self, x, **fit_params):
        """Apply the network being trained, or its average during validation."""
        module = self.module_ if self.module_.training else self.averaged_.module
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            return module(x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Squared error relative to the image's mean, times the root of the mean counts.

        At low dose all errors are larger: without the weight they would drown the rest.
        """
        clean, _ = y_true
        mean = clean.mean((-2, -1), keepdim=True).clamp_min(_LEAST_MEAN)
        return (((y_pred - clean) / mean).square() * mean.sqrt()).mean()

    def train_step(self, batch, **fit_params):
        """Make one step and average the weights."""
        step = super().train_step(batch, **fit_params)
        self.averaged_.update_parameters(self.module_)
        return step

    def evaluation_step(self, batch, training=False):
        """Predict in evaluation mode."""
        self.averaged_.eval()
        return super().evaluation_step(batch, training=training)


class ValidationPSNR(Callback):
    """Record ``valid_psnr``, in dB for a data range of one unit of the training images."""

    def __init__(self, processes):
        self.processes = processes

    def on_epoch_begin(self, net, **kwargs):  # noqa: D102
        self.values_ = []

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):  # noqa: D102
        if training:
            return
        clean, unit = batch[1]
        error = ((y_pred.float() - clean) / unit).square().mean((1, 2, 3))
        self.values_ += (-10 * torch.log10(error.clamp_min(1e-12))).tolist()

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        psnr = self.processes.from_main(sum(self.values_) / len(self.values_))
        if not math.isfinite(psnr):
            raise TrainingDiverged(f"The validation PSNR became {psnr}")
        seen = [row["valid_psnr"] for row in net.history[:-1]]
        net.history.record("valid_psnr", psnr)
        net.history.record("valid_psnr_best", not seen or psnr > max(seen))


class StopWhenNotFinite(Callback):
    """Stop at a loss that is NaN or infinite, before its weights are validated and kept."""

    def __init__(self, processes):
        self.processes = processes

    def on_batch_end(self, net, loss=None, training=False, **kwargs):  # noqa: D102
        if not training:
            return
        value = self.processes.mean(loss.detach().clone()).item()
        if not math.isfinite(value):
            raise TrainingDiverged(f"The loss became {value}")


class KeepBestWeights(Callback):
    """Keep the averaged weights of the epoch with the best validation PSNR."""

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        if net.history[-1, "valid_psnr_best"]:
            state = net.averaged_.module.state_dict()
            self.weights_ = {k: v.detach().clone() for k, v in state.items()}


class Budget(Callback):
    """Count steps and seconds, over interruptions too; say how much of the budget is used.

    Parameters
    ----------
    n_steps : int
        Steps in all.
    max_seconds : float or None
        Time in all; training stops after the batch that exceeds it.
    processes : Alone or Several, optional
        If there are several, the main one's clock counts.
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
        """Share of the budget that is used, 0 to 1."""
        share = self.steps / self.n_steps
        if self.max_seconds is not None:
            share = max(share, self.seconds / self.max_seconds)
        return min(share, 1.0)

    @property
    def seconds_left(self):
        """Time left at the rate so far."""
        return self.seconds / self.used - self.seconds if self.used else math.inf

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: D102
        if training:
            self.steps += 1
            self.tick()

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        self.tick()
        if self.used >= 1:
            raise KeyboardInterrupt  # how skorch's callbacks end a fit


class CosineSchedule(Callback):
    """Lower the learning rate along half a cosine over the budget, after a short warm-up."""

    def __init__(self, budget, learning_rate, warmup_steps=50):
        self.budget = budget
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps

    def on_batch_begin(self, net, training=False, **kwargs):  # noqa: D102
        if not training:
            return
        warmup = min(1.0, (self.budget.steps + 1) / self.warmup_steps)
        rate = self.learning_rate * warmup * (0.505 + 0.495 * math.cos(math.pi * self.budget.used))
        for group in net.optimizer_.param_groups:
            group["lr"] = rate


class PlateauSchedule(Callback):
    """Halve the learning rate when the validation PSNR has not improved for four epochs."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def on_train_begin(self, net, **kwargs):  # noqa: D102
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate
        self.schedule_ = torch.optim.lr_scheduler.ReduceLROnPlateau(
            net.optimizer_, mode="max", factor=0.5, patience=3
        )
        for row in net.history:  # of a training that is resumed
            self.schedule_.step(row["valid_psnr"])

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        self.schedule_.step(net.history[-1, "valid_psnr"])


class EarlyStopping(Callback):
    """Stop after `patience` epochs without a better validation PSNR."""

    def __init__(self, patience):
        self.patience = patience

    def is_due(self, history):
        """Whether the epochs so far are the end of the training."""
        best = [row.get("valid_psnr_best", False) for row in history]
        return any(best) and best[::-1].index(True) >= self.patience

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        if self.is_due(net.history):
            raise KeyboardInterrupt  # how skorch's callbacks end a fit


# What a checkpoint holds.
_STATE = (
    "settings", "seeds", "module", "averaged", "optimizer", "best", "history", "steps", "seconds",
)  # fmt: skip


class Checkpoint(Callback):
    """Write all there is to resume from after every epoch; never a half-written file.

    Parameters
    ----------
    path : str or path-like
        The file.
    budget : Budget
    best : KeepBestWeights
    settings : dict of str
        What must be the same for a training to be resumed.
    seeds : list of int
        What the weights, patches and noise were drawn from.
    """

    def __init__(self, path, budget, best, settings, seeds):
        self.path = os.fspath(path)
        self.budget = budget
        self.best = best
        self.settings = settings
        self.seeds = seeds

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        state = {
            "settings": self.settings,
            "seeds": self.seeds,
            "module": net.bare_module.state_dict(),
            "averaged": net.averaged_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "best": self.best.weights_,
            "history": json.dumps(plain_history(net.history), default=float),
            "steps": self.budget.steps,
            "seconds": self.budget.seconds,
        }
        partial = self.path + ".partial"
        try:
            torch.save(state, partial)
            os.replace(partial, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(partial)

    def resume(self, net, state):
        """Put a net where `state`, from `read_checkpoint`, says."""
        net.bare_module.load_state_dict(state["module"])
        net.averaged_.load_state_dict(state["averaged"])
        net.optimizer_.load_state_dict(state["optimizer"])
        self.best.weights_ = state["best"]
        net.history = type(net.history)(json.loads(state["history"]))
        self.budget.steps, self.budget.seconds = state["steps"], state["seconds"]


def read_checkpoint(path, settings, device):
    """Read the state of a training, None if there is no file.

    Raises
    ------
    FileNotFoundError
        If even the folder of the file does not exist.
    ValueError
        If the file is damaged, or of a training with other settings.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"The folder of checkpoint={path!r} does not exist: make it.")
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if (entry := archive.testzip()) is not None:  # torch does not look at the checksums
                raise ValueError(f"checksum of {entry}")
        state = torch.load(path, map_location=device, weights_only=True)
        known = {key: state[key] for key in _STATE}["settings"]
    except Exception as error:  # whatever unpickling random bytes raises
        raise ValueError(
            f"{path} is no checkpoint or is damaged ({type(error).__name__}): remove it to start "
            "anew, or give another path."
        ) from error
    changed = [k for k, v in settings.items() if known.get(k, v) != v]
    if changed:
        raise ValueError(
            f"The checkpoint {path} belongs to a training with other {', '.join(changed)}: give "
            "another path, or remove it to start anew."
        )
    return state


def plain_history(history):
    """Rows of the epochs that were finished, without their batches."""
    finished = [row for row in history if "valid_psnr" in row]
    return [{k: v for k, v in row.items() if k != "batches"} for row in finished]
