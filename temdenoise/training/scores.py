"""Scores of a network on the validation batches."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from temdenoise.training.net import compared


@dataclass(frozen=True)
class Score:
    """A number for each validation image. The mean decides which weights are kept.

    Parameters
    ----------
    name : str
        Column in the history. ``name + "_best"`` marks the epochs that were the best so far.
    function : callable
        ``function(prediction, y)``, with `y` of a batch, returns a tensor of one value per image.
    unit : str, default=""
        Unit of the score, for the progress bar.
    greater_is_better : bool, default=True
        Which way it goes.
    keep_last : bool, default=False
        Take every epoch for the best so far: nothing is held out that could tell.
    """

    name: str
    function: Callable
    unit: str = ""
    greater_is_better: bool = True
    keep_last: bool = False

    @property
    def best(self):
        """Column that says whether an epoch was the best so far."""
        return self.name + "_best"

    def is_better(self, value, others):
        """Whether a value is better than all others, or there are none."""
        if self.keep_last or not others:
            return True
        return value > max(others) if self.greater_is_better else value < min(others)


def _psnr(prediction, y):
    error = ((prediction.float() - y["target"]) / y["unit"]).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-12))


PSNR = Score("valid_psnr", _psnr, "dB")
"""PSNR in dB, for a data range of one unit of the training images."""


def held_out_score(loss, *, keep_last=False):
    """Score of a loss on what was held out.

    Parameters
    ----------
    loss : callable
        ``loss(prediction, target)`` returns a scalar tensor.
    keep_last : bool, default=False
        See `Score`.

    Returns
    -------
    score : Score
        Its column is ``held_out_loss``; less is better.
    """

    def function(prediction, y):
        prediction, target = compared(prediction.float(), y)
        return torch.stack(
            [loss(p[None], t[None]) for p, t in zip(prediction, target, strict=True)]
        )

    return Score("held_out_loss", function, greater_is_better=False, keep_last=keep_last)
