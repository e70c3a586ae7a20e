"""What the methods share that learn from noisy frames alone."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._band_limit import find_binning_of_stack
from temdenoise.denoisers._trained.base import TrainedDenoiser
from temdenoise.denoisers._trained.bins import Bins
from temdenoise.denoisers._trained.dose import dose_of, estimate_at_dose
from temdenoise.denoisers._trained.frames import check_trusted, frames_to_learn
from temdenoise.denoisers._trained.parts import split
from temdenoise.noise import thin_counts
from temdenoise.noise._gate import warn_unless_counts

# Fewest frames of which whole ones are held out; of fewer, electrons are.
_ENOUGH_FRAMES = 10
# Share of the electrons that is held out.
_HELD_OUT = 0.1
# From this side in pixels on, a bin shares little of its noise with its neighbours, even if each
# pixel is the mean of two: such frames come out as well as those that were counted.
_WIDE = 4
# Least level of a network, in counts per bin.
_LEAST_LEVEL = 1e-6


class SelfSupervisedDenoiser(TrainedDenoiser):
    """Base class of the denoisers that learn from noisy frames, without any clean image.

    ``fit(noisy)`` trains on the frames themselves; a target is not used. What is held out decides
    which weights are kept.

    Parameters
    ----------
    binning : int or "auto", default="auto"
        The network works on sums of binning x binning pixels. "auto" takes what comes closest to
        31.1 pm where the pixel size is known, else what the spectrum of the frames allows. 1 is the
        full resolution, as in the paper.
    loss : {"poisson", "mse", "gaussian", "relative_mse"} or callable, default="poisson"
        "poisson" and "gaussian" are negative log-likelihoods of the counts; the variance of
        "gaussian" is the predicted rate. A callable ``loss(prediction, target)`` gets tensors in
        counts per bin and returns a scalar tensor.
    held_out : {"auto", "frames", "electrons"} or None, default="auto"
        What decides which weights are kept. "frames": a share `validation_fraction` of the frames,
        the last ones. "electrons": a tenth of the electrons of each frame, drawn at random, which
        needs whole counts. "auto" takes frames from 10 on, electrons of 2 to 9, and nothing of a
        single frame, whose held-out electrons cannot tell. None: nothing is held out and the last
        weights are kept.
    """

    _parameter_constraints = {
        "binning": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"poisson", "mse", "gaussian", "relative_mse"}), callable],
        "held_out": [StrOptions({"auto", "frames", "electrons"}), None],
    }
    _averaging = 0.98
    # Whether the network sees counts relative to a level that is fixed in training.
    _has_level = True
    # Side of the square of bins that an estimate does not see.
    _blind_spot = 1

    def __init__(self, *, binning="auto", loss="poisson", held_out="auto", **training):
        super().__init__(**training)
        self.binning = binning
        self.loss = loss
        self.held_out = held_out

    @property
    def _loss(self):
        return self.loss

    def _make_score(self, X):
        from temdenoise.training.losses import find_loss
        from temdenoise.training.scores import held_out_score

        return held_out_score(find_loss(self.loss), keep_last=self._kind_held_out(X) is None)

    def _make_bins(self, pixel_size, X):
        binning = self.binning
        if binning == "auto":
            binning = find_binning_of_stack(X, pixel_size)
        return Bins(int(binning), None if pixel_size is None else binning * pixel_size)

    def _kind_held_out(self, X):
        """Return what is held out of these frames: "frames", "electrons" or None."""
        if self.held_out != "auto":
            return self.held_out
        if len(X) == 1:
            return None
        if len(X) >= _ENOUGH_FRAMES:
            return "frames"
        if (X == np.rint(X)).all():
            return "electrons"
        return "frames" if len(X) >= 2 * self._fewest_held_out else None

    @property
    def _fewest_held_out(self):
        """Frames that can be held out: a movie's frame without neighbours tells nothing."""
        return self._context + 1

    def _split(self, X, y, trusted, seed):
        kind = self._kind_held_out(X)
        if kind == "frames":
            fewest = self._fewest_held_out
            if len(X) < 2 * fewest:
                raise ValueError(
                    f"held_out='frames' needs {2 * fewest} frames at least, and X has {len(X)}: "
                    "give more, or another held_out."
                )
            fraction = max(self.validation_fraction, fewest / len(X))
            return split(fraction, X, None, trusted)
        if kind is None:
            return (X, None, trusted), (X, None, trusted)
        kept, rest = thin_counts(X, 1 - _HELD_OUT, random_state=seed)
        return (kept, None, trusted), (kept, rest, trusted)

    def _frame_batches(self, X, y, part, context=0):
        """Batches for networks that do not see what they predict.

        With `y`, the electrons held out are the target, on their own scale.
        """
        from temdenoise.training.batches import FrameBatches

        common = part.common
        whole = part.name == "valid"
        if whole:
            common["n_batches"] = len(X)
        return FrameBatches(
            frames=X,
            targets=y,
            gain=1.0 if y is None else _HELD_OUT / (1 - _HELD_OUT),
            trusted=part.trusted,
            device=part.device,
            context=context,
            whole=whole,
            doses=self._doses(X, part),
            **common,
        )

    def _needs_independent_pixels(self, binning):
        """Whether noise that neighbouring pixels share is learned, on bins of this side."""
        return self._blind_spot == 1 and binning < _WIDE

    def _doses(self, X, part):
        """Factors of the frames' doses that the input is divided by; None: all are 1."""
        if not self._has_level:
            return None
        n_bins = X[0].size / part.zoom**2
        means = X.mean(axis=(1, 2), dtype=np.float64) * part.zoom**2
        doses = dose_of(means, n_bins, max(part.dose * part.zoom**2, _LEAST_LEVEL))
        doses = np.where(doses > 0, doses, 1)  # its electrons are all held out
        return None if (doses == 1).all() else doses.astype(np.float32)

    def _start_network(self, X, bins):
        network = super()._start_network(X, bins)
        if hasattr(network, "level"):
            level = float(X.mean(dtype=np.float64)) * bins.binning**2
            network.level.fill_(max(level, _LEAST_LEVEL))
        return network

    def _train(self, X, y, trusted, pixel_size):
        hidden = None if trusted is None else ~trusted
        # `frames_to_learn` looks at correlation: what harm it does depends on the method.
        warn_unless_counts(type(self).__name__, X, hidden, but=("correlated",))
        # A copy that is held out, or is a frame's neighbour, would tell the network its noise.
        binning = self._make_bins(pixel_size, X).binning
        check_trusted(trusted, binning)
        X, trusted = frames_to_learn(X, trusted, alone=self._needs_independent_pixels(binning))
        net, history, bins = super()._train(X, y, trusted, pixel_size)
        network = net.module_
        if hasattr(network, "level") and self._kind_held_out(X) == "electrons":
            network.level.div_(1 - _HELD_OUT)  # from now on it sees all electrons
        return net, history, bins

    def _dose_of(self, bins):
        if not self._has_level:
            return 1.0
        return float(dose_of(bins.mean(dtype=np.float64), bins.size, float(self.network_.level)))

    def _rates(self, bins, network):
        if not self._has_level:
            return super()._rates(bins, network)
        level = float(self.network_.level)
        return estimate_at_dose(network, bins, level, reach=self._blind_spot // 2)
