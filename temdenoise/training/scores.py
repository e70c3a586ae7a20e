"""Scores of a network on the validation batches."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


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
        Whether a greater score is better.
    """

    name: str
    function: Callable
    unit: str = ""
    greater_is_better: bool = True

    @property
    def best(self):
        """Column that says whether an epoch was the best so far."""
        return self.name + "_best"

    def is_better(self, value, others):
        """Whether a value is better than all others, or the only one."""
        if not others:
            return True
        return value > max(others) if self.greater_is_better else value < min(others)


def _psnr(prediction, y):
    error = ((prediction.float() - y["target"]) / y["unit"]).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-12))


PSNR = Score("valid_psnr", _psnr, "dB")
"""PSNR in dB, for a data range of one unit of the training images."""
