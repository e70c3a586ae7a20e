"""Blind-spot denoising: a network that learns each pixel from its surroundings."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise.denoisers._trained.self_supervised import SelfSupervisedDenoiser


class BlindSpotDenoiser(SelfSupervisedDenoiser):
    """Blind-spot network, trained on the noisy frames themselves.

    The estimate of a bin comes from its surroundings alone, never from the bin itself. As the noise
    of a bin is independent of all others, a network that predicts the noisy counts best predicts
    their mean (Laine, Karras, Lehtinen and Aila, NeurIPS 2019; Section 5.4.1 of "Deep denoising for
    scientific discovery: a case study in electron microscopy", Mohan et al., arXiv:2010.12970).
    There is no clean image, no simulation and no assumption about the specimen.

    Parameters
    ----------
    network : {"half_plane", "laine"}, default="half_plane"
        "half_plane" is a residual network for bins that trains on a laptop in minutes. "laine" is
        the network of the paper, with 1,118,832 weights; at full resolution (``binning=1``) it
        wants a GPU.
    base_channels : int, default=32
        Channels at the finest scale of "half_plane".
    blind_spot : int, default=1
        Side of the square of bins that the estimate does not see, an odd number. A detector that
        spreads an electron over neighbouring pixels needs 3 or more.
    use_centre : bool, default=False
        Average the estimate with the bin's own counts, by the weight of least squared error, which
        is estimated from the frames. It pays above some 10 electrons per bin only where the network
        is still far from the truth.

    Notes
    -----
    The network learns the frames that it is fitted on. Others of the same movie and dose may be
    denoised too. Training too long on few frames makes it worse, as it begins to remember the
    noise: `held_out` keeps the weights from before.

    Examples
    --------
    >>> from temdenoise import BlindSpotDenoiser, load_sample_movie
    >>> frames = load_sample_movie().data[:4, :160, :160]
    >>> denoiser = BlindSpotDenoiser(base_channels=4, max_epochs=1, steps_per_epoch=2,
    ...                              batch_size=1, random_state=0)
    >>> denoiser.fit(frames).transform(frames).shape
    (4, 160, 160)
    """

    _parameter_constraints = {
        "network": [StrOptions({"half_plane", "laine"})],
        "base_channels": [Interval(Integral, 1, None, closed="left")],
        "blind_spot": [Interval(Integral, 1, None, closed="left")],
        "use_centre": ["boolean"],
    }
    _stored = ("network", "base_channels", "blind_spot", "use_centre", "binning")
    _defaults = {
        "max_epochs": 12, "steps_per_epoch": 20, "batch_size": 4, "patch_size": 480,
        "learning_rate": 2e-3, "schedule": "linear", "early_stopping": 4, "orientations": 8,
    }  # fmt: skip

    def __init__(
        self, *, network="half_plane", base_channels=32, blind_spot=1, use_centre=False, **training
    ):
        super().__init__(**training)
        self.network = network
        self.base_channels = base_channels
        self.blind_spot = blind_spot
        self.use_centre = use_centre

    @property
    def _blind_spot(self):
        return self.blind_spot

    def _make_network(self):
        from temdenoise.networks import BlindSpotNet, LaineNet

        if self.blind_spot % 2 == 0:
            raise ValueError(
                f"blind_spot must be odd, so that it has a centre, got {self.blind_spot}."
            )
        if self.network == "laine":
            if self.blind_spot != 1:
                raise ValueError("blind_spot can be chosen for network='half_plane' only.")
            return LaineNet()
        return BlindSpotNet(base_channels=int(self.base_channels), blind_spot=int(self.blind_spot))

    def _make_batches(self, X, y, part):
        return self._frame_batches(X, y, part)

    def _transform(self, X, mask, pixel_size):
        blind = super()._transform(X, mask, pixel_size)
        if not self.use_centre:
            return blind
        return self._with_centre(blind, X, mask, self._factor(pixel_size))

    def _with_centre(self, blind, X, mask, factor):
        """Average with the bins' own counts, by the weight of least squared error."""
        from temdenoise.binning import bin_counts, unbin

        counts, rates = (
            np.concatenate([bin_counts(one[None], factor) for one in stack]) for stack in (X, blind)
        )
        trusted = np.ones(counts.shape, dtype=bool)
        if mask is not None:
            trusted = np.concatenate([bin_counts(one[None], factor) for one in mask]) == 0
        distance = np.mean((counts - rates)[trusted].astype(np.float64) ** 2)
        noise = np.mean(counts[trusted], dtype=np.float64)  # the variance of Poisson counts
        # Counts and blind estimate are independent: the distance is noise and error together.
        weight = (distance - noise) / distance if distance > 0 else 0.0
        change = weight * np.where(trusted, counts - rates, 0) / factor**2
        return blind + unbin(change.astype(np.float32), factor, X.shape[1:])
