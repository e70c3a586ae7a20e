"""Self2Self: a network trained on one noisy image, by leaving pixels out of it."""

import copy
import time
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from temdenoise._calls import level_outside
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers._trained.self_supervised import SelfSupervisedDenoiser

# Seed of the pixels and channels that predictions leave out: fixed, so that an image always comes
# out the same.
_SEED = 20_200_614
# More images than this share a network that is meant for one.
_A_FEW = 4
# Minutes from which the time is said before a training begins, whatever `verbose` is.
_LONG = 10


class Self2SelfDenoiser(SelfSupervisedDenoiser):
    """Self2Self with dropout: trained on the one noisy image that it denoises.

    In each step some bins are left out at random, and the network predicts them from the others.
    The estimate is the mean of many predictions, each with other bins and other channels of the
    network left out (Quan, Chen, Pang and Ji, "Self2Self with dropout: learning self-supervised
    denoising from single image", CVPR 2020). It is for a single image of which there is nothing
    else. With a movie, `temdenoise.BlindSpotDenoiser` and `temdenoise.UDVDDenoiser` learn more in
    less time.

    Parameters
    ----------
    drop_rate : float, default=0.1
        Probability that a bin is left out, and that a channel's value is. The authors have 0.3,
        with which 1,000 steps do not suffice.
    n_predictions : int, default=50
        Number of predictions that ``transform`` averages.

    Notes
    -----
    The authors train for 150,000 steps at full resolution. On bins, 1,000 steps are the default.
    All images of a stack share one network: give one image per call, or few that are alike.

    Examples
    --------
    >>> from temdenoise import Self2SelfDenoiser, load_sample_movie
    >>> image = load_sample_movie().data[:1, :160, :160]
    >>> denoiser = Self2SelfDenoiser(max_epochs=1, steps_per_epoch=1, batch_size=1,
    ...                              n_predictions=2, random_state=0)
    >>> denoiser.fit(image).transform(image).shape
    (1, 160, 160)
    """

    _parameter_constraints = {
        "drop_rate": [Interval(Real, 0, 1, closed="neither")],
        "n_predictions": [Interval(Integral, 1, None, closed="left")],
    }
    _stored = ("drop_rate", "n_predictions", "binning")
    _defaults = {
        "held_out": None, "max_epochs": 20, "batch_size": 2, "patch_size": 640,
        "optimizer": "adam", "learning_rate": 1e-3, "orientations": 1,
    }  # fmt: skip

    # The mean over random parts is no function of the image that could be differentiated.
    pixel_gradient = None

    def __init__(self, *, drop_rate=0.1, n_predictions=50, **training):
        super().__init__(**training)
        self.drop_rate = drop_rate
        self.n_predictions = n_predictions

    def _make_network(self):
        from temdenoise.networks import Self2SelfNet

        return Self2SelfNet(dropout=float(self.drop_rate))

    def _make_batches(self, X, y, part):
        if len(X) > _A_FEW and part.name == "train":
            warnings.warn(
                f"{len(X)} images share one network that is meant for a single one: give one image "
                "per call, or take BlindSpotDenoiser, which learns from all.",
                UserWarning,
                stacklevel=level_outside(),
            )
        batches = self._frame_batches(X, y, part)
        batches.drop_rate = float(self.drop_rate)
        if part.name == "train":
            self._say_how_long(batches, part.device)
        return batches

    def _say_how_long(self, batches, device):
        """Say how long the training will take, from a step of a network that is thrown away."""
        import torch

        with torch.random.fork_rng(devices=[]):
            network = self._make_network().to(device).train()
            noisy, y = batches[0]
            times = []
            for _ in range(2):
                start = time.perf_counter()
                (network(noisy) - y["target"]).square().mean().backward()
                times.append(time.perf_counter() - start)
        minutes = min(times) * self.max_epochs * self.steps_per_epoch / 60
        minutes = min(minutes, self.max_minutes or np.inf)
        if self.verbose:
            print(f"Self2SelfDenoiser trains for about {minutes:.2g} minutes.", flush=True)
        elif minutes > _LONG:
            warnings.warn(
                f"Self2SelfDenoiser will train for about {minutes:.0f} minutes: lower max_epochs, "
                "or give max_minutes.",
                UserWarning,
                stacklevel=level_outside(),
            )

    def _transform(self, X, mask, pixel_size):
        import torch

        from temdenoise._device import choose_device

        factor = self._factor(pixel_size)
        device = choose_device(self.device)
        network = copy.deepcopy(self.network_).to(device).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train()
        return np.stack([self._predict(image, factor, network, device) for image in X])

    def _predict(self, image, factor, network, device):
        """Mean of predictions from random parts of one image."""
        import torch

        counts = bin_counts(image[None], factor)
        dose = self._dose_of(counts)
        if dose == 0:
            return np.zeros_like(image)
        bins = torch.from_numpy(counts / np.float32(dose))[None].to(device)
        total = torch.zeros_like(bins)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(_SEED)
            for _ in range(self.n_predictions):
                seen = torch.rand_like(bins) >= self.drop_rate
                total += network(torch.cat([bins * seen, seen.to(bins.dtype)], dim=1))
        rates = (total * (dose / self.n_predictions))[0].cpu().numpy()
        return unbin(rates / factor**2, factor, image.shape)[0]
