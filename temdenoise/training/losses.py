"""What a training makes small: losses by name."""

# Least mean counts per bin in the relative error: below, an image without any electron would
# outweigh all others.
_LEAST_MEAN = 0.05
# Least rate per bin whose logarithm is taken.
_LEAST_RATE = 1e-2


def relative_mse(prediction, target):
    """Squared error relative to the image's mean, times the root of the mean counts.

    At low dose all errors are larger: without the weight they would drown the rest.
    """
    mean = target.mean((-2, -1), keepdim=True).clamp_min(_LEAST_MEAN)
    return (((prediction - target) / mean).square() * mean.sqrt()).mean()


def mse(prediction, target):
    """Mean squared error, which counts images of high dose most."""
    return (prediction - target).square().mean()


def poisson(prediction, target):
    """Negative Poisson log-likelihood of counts, without what does not depend on the prediction."""
    rate = prediction.clamp_min(_LEAST_RATE)
    # A straight line below the least rate, which leads back up whatever the counts are.
    below = (_LEAST_RATE - prediction).clamp_min(0)
    return (rate - target * rate.log() + below * (1 + target / _LEAST_RATE)).mean()


def gaussian(prediction, target):
    """Negative log-likelihood of Gaussian noise whose variance is the predicted rate."""
    rate = prediction.clamp_min(_LEAST_RATE)
    below = (_LEAST_RATE - prediction).clamp_min(0)
    return ((rate - target).square() / rate + rate.log() + below / _LEAST_RATE).mean() / 2


LOSSES = {"relative_mse": relative_mse, "mse": mse, "poisson": poisson, "gaussian": gaussian}
"""Name of each loss, and the function ``loss(prediction, target)``."""


def find_loss(loss):
    """Return the function that a name stands for, or a callable itself."""
    return LOSSES[loss] if isinstance(loss, str) else loss
