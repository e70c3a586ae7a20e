"""Denoising by thinning: a network that predicts one part of the electrons from the other."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise.denoisers._trained.self_supervised import SelfSupervisedDenoiser
from temdenoise.denoisers._trained.thinning import check_counts, check_share
from temdenoise.noise import thin_counts

# Seed of the thinned inputs that are averaged: fixed, so that an image always comes out the same.
_SEED = 20_210_917


class ThinnedDenoiser(SelfSupervisedDenoiser):
    """A network trained on the frames' own electrons, split anew at every step.

    Each electron goes to the target with a certain probability, else to the input. Both are Poisson
    counts of the same scene and independent of each other, so that a network that predicts the one
    from the other learns their mean (Noise2Noise, Lehtinen et al., ICML 2018, by binomial thinning;
    GR2R, Monroy, Bacca and Tachella, arXiv:2412.04648, show that it is unbiased for Poisson noise
    and any network). The frames must be whole counts.

    Parameters
    ----------
    network : {"fourier_unet", "unet", "dncnn", "small_unet"}, callable or torch.nn.Module, \
            default="fourier_unet"
        Any network, as for `temdenoise.SBDDenoiser`.
    base_channels : int, optional
        Channels at the finest scale of "fourier_unet" or "unet", by default 32.
    share : (float, float), default=(0.05, 0.6)
        Range of the share of the electrons that goes to the target, drawn uniformly for each patch.
        A single share would leave the network ignorant of the dose that it meets in ``transform``.
    n_draws : int, default=8
        Number of thinned inputs whose estimates ``transform`` averages; 0 takes all electrons as
        one input. A thinned input has `share` drawn evenly over its range.

    Examples
    --------
    >>> from temdenoise import ThinnedDenoiser, load_sample_movie
    >>> frames = load_sample_movie().data[:4, :160, :160]
    >>> denoiser = ThinnedDenoiser(base_channels=4, max_epochs=1, steps_per_epoch=2, batch_size=1,
    ...                            n_draws=2, random_state=0)
    >>> denoiser.fit(frames).transform(frames).shape
    (4, 160, 160)
    """

    _parameter_constraints = {
        "network": [StrOptions({"fourier_unet", "unet", "dncnn", "small_unet"}), callable],
        "base_channels": [None, Interval(Integral, 1, None, closed="left")],
        "share": [tuple, list],
        "n_draws": [Interval(Integral, 0, None, closed="left")],
    }
    _stored = ("network", "base_channels", "share", "n_draws", "binning")
    _defaults = {
        "max_epochs": 40, "steps_per_epoch": 20, "batch_size": 4, "schedule": "linear",
        "early_stopping": 8,
    }  # fmt: skip

    # The mean over thinned inputs is no function of the image that could be differentiated.
    pixel_gradient = None
    _has_level = False

    def __init__(
        self,
        *,
        network="fourier_unet",
        base_channels=None,
        share=(0.05, 0.6),
        n_draws=8,
        **training,
    ):
        super().__init__(**training)
        self.network = network
        self.base_channels = base_channels
        self.share = share
        self.n_draws = n_draws

    def _needs_independent_pixels(self, binning):
        return True  # an electron that stands in several pixels goes to both sides

    def _check_parameters(self):
        super()._check_parameters()
        check_share(self.share)

    def _make_network(self):
        from temdenoise.denoisers._trained.own import build_named

        return build_named(self.network, binned=self.binning != 1, base_channels=self.base_channels)

    def _make_batches(self, X, y, part):
        from temdenoise.training.batches import ThinnedBatches

        if part.name == "valid" and y is not None:
            return self._frame_batches(X, y, part)
        check_counts(X, type(self).__name__)
        return ThinnedBatches(
            frames=X,
            share=check_share(self.share),
            trusted=part.trusted,
            device=part.device,
            **part.common,
        )

    def _denoise(self, image, factor, network):
        if not self.n_draws:
            return super()._denoise(image, factor, network)
        check_counts(image, type(self).__name__)
        low, high = check_share(self.share)
        shares = low + (high - low) * (np.arange(self.n_draws) + 0.5) / self.n_draws
        total = np.zeros(image.shape, dtype=np.float32)
        for k, share in enumerate(shares):
            seen, _ = thin_counts(image, 1 - share, random_state=_SEED + k)
            total += super()._denoise(seen, factor, network) / np.float32(1 - share)
        return total / self.n_draws
