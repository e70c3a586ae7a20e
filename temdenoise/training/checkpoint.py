"""Checkpoints, from which an interrupted training continues."""

import json
import os
import zipfile
from pathlib import Path

import torch
from skorch.callbacks import Callback

from temdenoise._files import replacing
from temdenoise.training.callbacks import finished_rows

# Contents of a checkpoint.
_STATE = (
    "settings", "seeds", "random", "module", "averaged", "optimizer", "best", "history", "steps",
    "seconds",
)  # fmt: skip


class Checkpoint(Callback):
    """Write a checkpoint after every epoch; the file is never incomplete.

    Parameters
    ----------
    path : str or path-like
        The file.
    budget : Budget
    best : KeepBestWeights
    settings : dict of str
        Settings that must be the same to resume a training.
    seeds : list of int
        Seeds of the weights, patches and noise.
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
            "random": _random_states(net.device),
            "module": net.bare_module.state_dict(),
            "averaged": net.averaged_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "best": self.best.weights_,
            "history": json.dumps(finished_rows(net.history, self.best.score), default=float),
            "steps": self.budget.steps,
            "seconds": self.budget.seconds,
        }
        with replacing(Path(self.path)) as file:
            torch.save(state, file)

    def resume(self, net, state):
        """Set a net to the `state` from `read_checkpoint`."""
        net.bare_module.load_state_dict(state["module"])
        net.averaged_.load_state_dict(state["averaged"])
        net.optimizer_.load_state_dict(state["optimizer"])
        self.best.weights_ = state["best"]
        net.history = type(net.history)(json.loads(state["history"]))
        self.budget.steps, self.budget.seconds = state["steps"], state["seconds"]
        _set_random_states(state["random"], net.device)


def _random_states(device):
    """Return the states of torch's random numbers, which dropout draws."""
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def _set_random_states(states, device):
    torch.set_rng_state(states[0].cpu())
    if torch.device(device).type == "cuda" and len(states) == 2:
        torch.cuda.set_rng_state(states[1].cpu(), device)


def read_checkpoint(path, settings, device):
    """Read the state of a training; None if there is no file.

    Raises
    ------
    FileNotFoundError
        If the folder of the file does not exist.
    ValueError
        If the file is damaged, or belongs to a training with other settings.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"The folder of checkpoint_file={path!r} does not exist: make it."
            )
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if (entry := archive.testzip()) is not None:  # torch does not test the checksums
                raise ValueError(f"checksum of {entry}")
        state = torch.load(path, map_location=device, weights_only=True)
        known = {key: state[key] for key in _STATE}["settings"]
    except Exception as error:  # unpickling a damaged file can raise any error
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
