"""Denoising of movies without ground truth: the middle frame from itself and its neighbours."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from temdenoise._calls import level_outside
from temdenoise._frames import frames_around, independent_frames, warn_of_cuts
from temdenoise.denoisers._trained.self_supervised import SelfSupervisedDenoiser


class UDVDDenoiser(SelfSupervisedDenoiser):
    """Unsupervised deep video denoising: a blind-spot network that sees neighbouring frames.

    ``X`` is a movie: frames of one scene, in their order. The estimate of a bin comes from its
    surroundings and from the frames before and after, never from the bin itself (Sheth et al.,
    "Unsupervised deep video denoising", ICCV 2021; Section 5.4 of "Deep denoising for scientific
    discovery: a case study in electron microscopy", Mohan et al., arXiv:2010.12970). Nothing is
    aligned: the network learns to follow what moves.

    Parameters
    ----------
    network : {"hybrid", "udvd"}, default="hybrid"
        "hybrid" sees the middle frame blind and its neighbours whole, and trains on a laptop in
        minutes. "udvd" is the published network of two stages, with 2,123,664 weights for five
        frames; at full resolution (``binning=1``) it wants a GPU.
    n_frames : {1, 3, 5}, default=3
        Number of frames that the network sees, the middle one included. "udvd" takes 5. Beyond the
        ends of a movie frames of the other side stand in.
    base_channels : int, default=32
        Channels at the finest scale of "hybrid".

    Examples
    --------
    >>> from temdenoise import UDVDDenoiser, load_sample_movie
    >>> movie = load_sample_movie().data[:5, :160, :160]
    >>> denoiser = UDVDDenoiser(base_channels=4, max_epochs=1, steps_per_epoch=2, batch_size=1,
    ...                         random_state=0)
    >>> denoiser.fit(movie).transform(movie).shape
    (5, 160, 160)
    """

    _parameter_constraints = {
        "network": [StrOptions({"hybrid", "udvd"})],
        "n_frames": [Options(Integral, {1, 3, 5})],
        "base_channels": [Interval(Integral, 1, None, closed="left")],
    }
    _stored = ("network", "n_frames", "base_channels", "binning")
    _defaults = {
        "max_epochs": 12, "steps_per_epoch": 20, "batch_size": 4, "patch_size": 480,
        "learning_rate": 2e-3, "schedule": "linear", "early_stopping": 4, "orientations": 8,
    }  # fmt: skip

    # A frame's estimate depends on other frames as well.
    pixel_gradient = None

    def __init__(self, *, network="hybrid", n_frames=3, base_channels=32, **training):
        super().__init__(**training)
        self.network = network
        self.n_frames = n_frames
        self.base_channels = base_channels

    @property
    def _context(self):
        return self.n_frames // 2

    def fit(self, X, y=None, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Train the network on a movie.

        Parameters
        ----------
        X : array-like of shape (n_frames, height, width)
            Frames of one scene in their order, in counts per pixel.
        y : ignored
            For scikit-learn.
        mask : bool array-like of shape (height, width) or (n_frames, height, width), default=None
            True marks pixels not to trust. They do not count in the loss.
        pixel_size : float, default=None
            Pixel size of `X` in pm. By default that of `X`, if it knows it.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the movie has fewer frames than `n_frames`, all frames are copies of one, or as for
            the other methods.

        Warns
        -----
        FramesWarning
            If frames are copies of others or hold no electrons (they are left out), or the scene
            changes all at once.
        UserWarning
            If there are hot or dead pixels, the noise is correlated, or the values look like
            counts multiplied by a gain.
        """
        self._validate_params()
        if len(np.shape(X)) == 3 and 0 < np.shape(X)[0] < self.n_frames:
            raise ValueError(
                f"n_frames={self.n_frames} needs a movie of as many frames, and X has "
                f"{np.shape(X)[0]}: give more frames of the movie, a smaller n_frames, or take "
                "BlindSpotDenoiser."
            )
        return super().fit(X, y, mask=mask, pixel_size=pixel_size, bad_pixels=bad_pixels)

    def _make_network(self):
        from temdenoise.networks import HybridVideoNet, UDVDNet

        if self.network == "udvd":
            if self.n_frames != 5:
                raise ValueError("network='udvd' sees five frames: set n_frames=5.")
            return UDVDNet()
        return HybridVideoNet(n_frames=int(self.n_frames), base_channels=int(self.base_channels))

    def _make_batches(self, X, y, part):
        if part.name == "train" and self.n_frames > 1:
            if len(X) == 1:
                raise ValueError(
                    "All frames of X are copies of one, or hold no electrons: give the frames as "
                    "they were recorded, or take BlindSpotDenoiser."
                )
            warn_of_cuts(X, stacklevel=level_outside())
        return self._frame_batches(X, y, part, context=self._context)

    def _transform(self, X, mask, pixel_size):
        originals = independent_frames(X, stacklevel=level_outside())
        lit = originals >= 0
        distinct, where = np.unique(originals[lit], return_inverse=True)
        if len(distinct) == 1 and self.n_frames > 1:
            raise ValueError(
                "X is one frame, without the neighbours that UDVDDenoiser needs: give the movie, "
                "or take BlindSpotDenoiser."
            )
        if len(distinct) == len(X):
            return super()._transform(X, mask, pixel_size)
        denoised = np.zeros_like(X)
        if len(distinct):
            mask = None if mask is None else mask[distinct]
            denoised[lit] = super()._transform(X[distinct], mask, pixel_size)[where]
        return denoised

    def _seen(self, X, k):
        return X[frames_around(k, self._context, len(X))]
