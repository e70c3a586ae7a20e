"""A trained denoiser adapted to the frames at hand, by thinning their own electrons."""

import copy
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from temdenoise._calls import level_outside
from temdenoise._jobs import side_by_side
from temdenoise.denoisers._trained.parts import Part
from temdenoise.metrics._held_out import difference_of_image, mean_of_images
from temdenoise.noise import thin_counts

# Share of the electrons that decides whether the adapted weights are accepted.
_HELD_OUT = 0.1
# Share of the others, in a few frames, that decides which epoch's weights are kept.
_FOR_CHOICE = 0.05
# Patches in a step.
_BATCH_SIZE = 4
# Epochs: after each the electrons for the choice are looked at.
EPOCHS = 7
# Most frames that are looked at after each epoch; at the end all are.
_FRAMES = 8
# Standard errors by which the adapted weights must predict better: one chance in twenty without.
_CONVINCING = 1.645
# Decay of the average of the weights in so short a training.
AVERAGING = 0.9


@dataclass(frozen=True)
class Adaptation:
    """What came of an adaptation.

    Attributes
    ----------
    accepted : bool
        Whether the adapted weights predict electrons held out significantly better.
    difference : float
        Mean squared error of the adapted weights less that of the original ones, in (counts per
        pixel)**2 of the whole frames; below zero is better. It is unbiased: both are held against
        electrons that neither has seen, and that did not choose the epoch.
    standard_error : float
        Of the difference, from the shot noise of the electrons held out; of 20 frames or more from
        the spread over the frames, if this is larger.
    history : list of dict
        A row for each epoch, with ``held_out_loss`` on the electrons that choose the epoch.
    """

    accepted: bool
    difference: float
    standard_error: float
    history: list


class _Gains(nn.Module):
    """A factor on each output channel of a convolution."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, weight):
        return weight * self.gain[:, None, None, None]


def adapt(est, X, trusted, factor, *, options, share, only_gains, random_state):
    """Train the network of `est` further on frames, and keep what is better.

    Parameters
    ----------
    est : TrainedDenoiser
        Fitted; it is left as it is.
    X : ndarray of shape (n_images, height, width), dtype float32
        Whole counts per pixel, masked pixels filled.
    trusted : None or bool ndarray of the same shape
    factor : float
        Side of a bin in pixels of `X`.
    options : TrainingOptions
    share : (float, float)
        Range of the share of the electrons that goes to the target.
    only_gains : bool
        Train one factor per channel alone.
    random_state : None, int or RandomState

    Returns
    -------
    network : torch.nn.Module
        The better one, a copy.
    adaptation : Adaptation
    """
    from temdenoise.training.batches import FrameBatches, ThinnedBatches
    from temdenoise.training.loop import Training
    from temdenoise.training.losses import find_loss
    from temdenoise.training.scores import held_out_score

    training = Training(options, random_state=random_state, settings=dict)
    _, seed, held_out_seed = training.seeds
    kept, accepting, shown, few, choosing = _split(X, held_out_seed)
    part = Part(
        name="train", bins=est.bins_, pixel_size=est.bins_.size and est.bins_.size / factor,
        shape=X.shape[1:], patch_size=est.patch_size, batch_size=_BATCH_SIZE,
        n_batches=options.steps_per_epoch, seed=seed, device=training.device,
    )  # fmt: skip
    common = part.common | {"binning": factor}
    batches = ThinnedBatches(
        frames=shown, share=share, trusted=trusted, device=training.device, **common
    )
    validation = FrameBatches(
        frames=shown[few], targets=choosing, gain=_FOR_CHOICE / (1 - _FOR_CHOICE),
        trusted=None if trusted is None else trusted[few], device=training.device, whole=True,
        **common | {"n_batches": len(few)},
    )  # fmt: skip
    loss = find_loss("poisson")
    net, history = training.run(
        lambda: _start(est.network_, only_gains), batches, validation, loss=loss,
        score=held_out_score(loss),
    )  # fmt: skip
    adapted = _baked(net.module_) if only_gains else net.module_
    difference, error = _compare(est, adapted, kept, accepting, trusted, factor)
    accepted = difference < -_CONVINCING * error
    if not accepted:
        warnings.warn(
            "The adapted weights do not predict the electrons held out significantly better "
            f"(difference of the squared error {difference:.2g} +- {error:.1g} counts**2 per "
            "pixel): the original weights are kept. More frames or more minutes may help.",
            UserWarning,
            stacklevel=level_outside(),
        )
    network = adapted if accepted else copy.deepcopy(est.network_)
    return network, Adaptation(bool(accepted), difference, error, history)


def _split(X, seed):
    """Split the electrons: a part to accept by, a part to choose the epoch by, and the others.

    Returns
    -------
    kept, accepting : ndarrays of the shape of `X`
        Nine tenths of the electrons, and those that decide about acceptance alone.
    shown : ndarray of the shape of `X`
        What the training sees: `kept`, less what chooses the epoch.
    few : ndarray of int
        The frames in which electrons choose the epoch.
    choosing : ndarray of shape (len(few), height, width)
        These electrons.
    """
    rng = np.random.RandomState(seed)
    kept, accepting = thin_counts(X, 1 - _HELD_OUT, rng)
    few = np.unique(np.linspace(0, len(X) - 1, min(len(X), _FRAMES)).round().astype(int))
    shown = kept.copy()
    shown[few], choosing = thin_counts(kept[few], 1 - _FOR_CHOICE, rng)
    return kept, accepting, shown, few, choosing


def _start(network, only_gains):
    network = copy.deepcopy(network)
    if only_gains:
        network.requires_grad_(False)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                gains = _Gains(module.out_channels)
                parametrize.register_parametrization(module, "weight", gains)
    return network


def _baked(network):
    """Put the gains into the weights."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            parametrize.remove_parametrizations(module, "weight")
    return network.requires_grad_(True)


def _compare(est, adapted, kept, accepting, trusted, factor):
    """Paired difference of the squared errors on electrons held out, and its standard error."""
    networks = [est._tiled_network(network) for network in (est.network_, adapted)]

    def compared(k):
        rates = [est._denoise(kept[k], factor, net)[None] / (1 - _HELD_OUT) for net in networks]
        where = None if trusted is None else trusted[k]
        return difference_of_image(*rates, accepting[k][None], _HELD_OUT, where)

    return mean_of_images(side_by_side(compared, range(len(kept)), n_jobs=networks[0].n_jobs))
