"""Losses by name."""

import torch

# Smallest mean counts per bin in the relative error. Otherwise an image without any electron would
# outweigh all others.
_LEAST_MEAN = 0.05
# Smallest rate per bin in the logarithm.
_LEAST_RATE = 1e-2
# Side in bins of the images on which a loss is tried.
_TRIED = 64


def relative_mse(prediction, target):
    """Squared error relative to the image's mean, times the root of the mean counts.

    Relative errors are larger at low dose. Without the weight they would outweigh the others.
    """
    mean = target.mean((-2, -1), keepdim=True).clamp_min(_LEAST_MEAN)
    return (((prediction - target) / mean).square() * mean.sqrt()).mean()


def mse(prediction, target):
    """Mean squared error, in which images of high dose have the largest weight."""
    return (prediction - target).square().mean()


def poisson(prediction, target):
    """Negative Poisson log-likelihood of counts, without terms independent of the prediction."""
    rate = prediction.clamp_min(_LEAST_RATE)
    # Below the smallest rate the loss is a straight line that leads back up, for any counts.
    below = (_LEAST_RATE - prediction).clamp_min(0)
    return (rate - target * rate.log() + below * (1 + target / _LEAST_RATE)).mean()


def gaussian(prediction, target):
    """Negative log-likelihood of Gaussian noise whose variance is the predicted rate."""
    rate = prediction.clamp_min(_LEAST_RATE)
    below = (_LEAST_RATE - prediction).clamp_min(0)
    return ((rate - target).square() / rate + rate.log() + below / _LEAST_RATE).mean() / 2


LOSSES = {"relative_mse": relative_mse, "mse": mse, "poisson": poisson, "gaussian": gaussian}
"""Name of each loss, and the function ``loss(prediction, target)``."""


def check_loss(value):
    """Refuse what a loss returned if it is no scalar tensor.

    Parameters
    ----------
    value : object
        What ``loss(prediction, target)`` returned.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, torch.Tensor) or value.ndim:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        raise ValueError(
            f"The loss must return a scalar tensor, got {got}: take its mean over the batch."
        )


def try_loss(loss):
    """Call a loss on images without structure, before a training takes time.

    Parameters
    ----------
    loss : str or callable
        As for `find_loss`.

    Raises
    ------
    ValueError
        If it does not return a scalar tensor.
    """
    if callable(loss):
        images = torch.ones(2, 1, _TRIED, _TRIED)
        check_loss(loss(images.clone().requires_grad_(), images))


def find_loss(loss):
    """Return the loss of this name, or a callable itself."""
    return LOSSES[loss] if isinstance(loss, str) else loss
