"""Denoise sums of a movie's neighbouring frames, by any method for single images."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
)

from temdenoise._align import Drift, aligned_sum
from temdenoise._calls import level_outside, only_taken
from temdenoise._frames import FramesWarning, warn_of_copies
from temdenoise._jobs import side_by_side
from temdenoise.base import ScaledDenoiser
from temdenoise.noise._gate import passed

# Side of the windows in which counts are compared: an atom column, in pm, and in pixels where the
# pixel size is not known.
_COLUMN, _COLUMN_PIXELS = 125.0, 20.0
# Frames that are summed before they are denoised together.
_AT_ONCE = 16


class AlignedSumDenoiser(ScaledDenoiser):
    """Sum each frame of a movie with its neighbours, and denoise the sums.

    Neighbours are shifted by whole pixels to where the scene is in the frame, and their counts are
    added: sums of Poisson counts are Poisson counts, so that any method for single images can
    denoise them. Where the scene changes, neighbours are left out of the sum as far as the counts
    can tell. The result is the rate in each frame. It takes no training beyond that of the method.

    Parameters
    ----------
    denoiser : None or denoiser, default=None
        What denoises the sums: a denoiser of single images for electron counts. It is cloned, and
        fitted to the images of `fit`. None: `SBDDenoiser` with the weights "general". A denoiser
        with trained weights is given as ``sklearn.frozen.FrozenEstimator(denoiser)``.
    n_frames : int, default=5
        Frames in a sum, an odd number. At the ends of the movie, and in shorter ones, as many as
        there are.
    drift : {"measure", "none"}, default="measure"
        "measure": find how the scene moves, from the counts of the frames that are summed. "none":
        the frames are aligned already.
    level : float, default=0.01
        Share of the pixels, at most, at which neighbours may be left out although nothing changes.
        More finds weaker events, and averages less. 0: neighbours are never left out.
    window_size : "auto" or float, default="auto"
        Side, in pixels, of the windows in which the counts of frames are compared. "auto": 125 pm,
        about an atom column, where the pixel size is known; otherwise 20 pixels.

    Attributes
    ----------
    denoiser_ : denoiser
        The fitted inner denoiser.
    dose_ : float
        Mean counts per pixel of the images seen in `fit`.

    Warns
    -----
    FramesWarning
        In ``transform``, if the movie is one frame; if frames are copies of others, whose noise is
        not independent (they count once); or if no drift can be measured for some neighbours (they
        are left out).

    Notes
    -----
    What can be seen of an event is limited by the electrons. In a window of *c* counts per frame, a
    column whose counts change by a share *s* for *m* of *n* frames in the sum stands out by
    ``s * sqrt(c * m * (n - m) / n)`` standard deviations. With the default `level`, neighbours are
    left out from about 4 on. A Pt column that vanishes from one frame of 0.45 counts/px, pixels
    of 6.22 pm, changes 180 counts by 17 %: two standard deviations. It is averaged away, and no
    method can tell it from noise. Events of several frames are told from the noise by longer sums.

    Frames may differ in dose. Masked pixels do not count in the sums: what a mask hides in a frame
    is seen where it is not hidden in the neighbours. Where fewer frames are in the sum (at borders,
    or where something was left out) counts are raised to those of all frames, with their noise.

    Parameters of the inner denoiser are reached as ``denoiser__threshold``, in ``set_params`` and
    in grids. The sum has `n_frames` times the dose of a frame: weights should have been trained on
    doses not far from that ("general": 0.1 to 3 counts per pixel of 6.22 pm).

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import AlignedSumDenoiser, WindowedFourierDenoiser, psnr
    >>> rows, columns = np.mgrid[:96, :128]
    >>> scene = np.exp(-((rows - 48) ** 2 + (columns - 60) ** 2) / 1600)
    >>> scene = 0.3 + scene * (np.cos(0.4 * columns) + np.cos(0.4 * rows)) ** 2 / 4
    >>> clean = np.stack([scene[:, k : k + 96] for k in range(8)])  # drifts by a pixel a frame
    >>> noisy = np.random.default_rng(0).poisson(clean)
    >>> single = WindowedFourierDenoiser(binning=3, device="cpu").fit(noisy)
    >>> summed = AlignedSumDenoiser(denoiser=single, n_frames=5).fit(noisy)
    >>> gain = psnr(clean, summed.transform(noisy)) - psnr(clean, single.transform(noisy))
    >>> bool(gain.mean() > 2)
    True
    """

    _parameter_constraints: dict = {
        "denoiser": [None, HasMethods(["fit", "transform", "get_params", "set_params"])],
        "n_frames": [Interval(Integral, 1, None, closed="left")],
        "drift": [StrOptions({"measure", "none"})],
        "level": [Interval(Real, 0, 1, closed="left")],
        "window_size": [StrOptions({"auto"}), Interval(Real, 1, None, closed="left")],
    }

    def __init__(
        self, *, denoiser=None, n_frames=5, drift="measure", level=0.01, window_size="auto"
    ):
        self.denoiser = denoiser
        self.n_frames = n_frames
        self.drift = drift
        self.level = level
        self.window_size = window_size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    @property
    def _context(self):
        return self.n_frames // 2

    def _fit(self, X, y, mask):
        if self.n_frames % 2 == 0:
            raise ValueError(
                f"n_frames={self.n_frames} must be odd: as many frames before as after each are "
                "summed."
            )
        super()._fit(X, y, mask)
        if self.denoiser is None:
            from temdenoise.denoisers.sbd import SBDDenoiser

            self.denoiser_ = SBDDenoiser.from_pretrained()
            return
        inner = clone(self.denoiser)
        frozen = isinstance(inner, FrozenEstimator)
        if getattr(inner, "_fits_on", "noisy") == "clean" and not frozen:
            raise ValueError(
                f"denoiser={type(inner).__name__} learns from clean images, not from the noisy "
                "ones of a movie: fit it, or load its weights, and give "
                "denoiser=sklearn.frozen.FrozenEstimator(fitted)."
            )
        try:
            self.denoiser_ = inner.fit(X, None)  # a frozen one asks for y
        except InvalidParameterError as error:
            # Name the parameter as it is reached from here.
            message = str(error).replace("The '", "The 'denoiser__", 1)
            raise InvalidParameterError(message) from error
        if getattr(inner, "_context", 0):
            raise ValueError(
                f"denoiser={type(inner).__name__} uses the other frames of a movie itself, and "
                "sums of neighbours are not independent: give one for single images (n_frames=1)."
            )

    def _transform(self, X, mask, pixel_size):
        window = self.window_size
        if window == "auto":
            window = _COLUMN_PIXELS if pixel_size is None else max(1, _COLUMN / pixel_size)
        warn_of_copies(X, self._context, "count once", stacklevel=level_outside())
        sums = _Sums(X, mask, self.n_frames, self.drift == "measure", self.level, window)
        keywords = {"pixel_size": pixel_size, "bad_pixels": "keep"}  # they are masked already
        keywords = only_taken(self.denoiser_.transform, **keywords)
        denoised = np.empty_like(X)
        for first in range(0, len(X), _AT_ONCE):
            part = range(first, min(first + _AT_ONCE, len(X)))
            counts, doses, hidden = sums(part)
            if hidden.any():
                keywords |= only_taken(self.denoiser_.transform, mask=hidden)
            else:
                keywords.pop("mask", None)
            with passed():  # sums that were aligned between pixels
                rates = np.asarray(self.denoiser_.transform(counts, **keywords))
            denoised[first : part.stop] = rates / doses[:, None, None]
        self._warn_of_what_was_left_out(sums, len(X))
        return denoised

    def _warn_of_what_was_left_out(self, sums, n_frames):
        if self.n_frames == 1:
            return
        if n_frames == 1:
            warnings.warn(
                "A movie of one frame has no neighbours to sum: it is denoised as it is.",
                FramesWarning,
                stacklevel=4,
            )
        elif sums.n_unknown:
            warnings.warn(
                f"The drift of {sums.n_unknown} of {sums.n_neighbours} neighbours could not be "
                "measured (too few electrons, nothing to see, or another scene): they are left "
                'out of the sums. If the frames are aligned already, set drift="none" '
                "(--aligned on the command line).",
                FramesWarning,
                stacklevel=4,
            )


class _Sums:
    """Aligned sums of the frames of a movie, a part at a time."""

    def __init__(self, X, mask, n_frames, measure, level, window):
        self.X, self.mask = X, mask
        self.n_frames, self.level, self.window = n_frames, level, window
        self.drift = Drift(X, mask, reach=max(1, n_frames // 2)) if measure else None
        self.n_neighbours = self.n_unknown = 0

    def __call__(self, part):
        """Sum around the frames in `part`, a range.

        Returns
        -------
        counts : ndarray of shape (n, height, width), dtype float32
            Counts of each sum, raised to those of all of its frames.
        doses : ndarray of shape (n,)
            Frames in the sum, in doses of the middle one.
        hidden : bool ndarray of shape (n, height, width)
            Pixels that no frame has.
        """
        drifts = [self._around(k) for k in part]
        counts = np.empty((len(part), *self.X.shape[1:]), dtype=np.float32)
        hidden = np.zeros(counts.shape, dtype=bool)
        doses = np.ones(len(part))

        def sum_into(i):
            first, drift = drifts[i]
            frames = slice(first, first + len(drift))
            mask = None if self.mask is None else self.mask[frames]
            total, n = aligned_sum(
                self.X[frames], part[i] - first, self.n_frames, drift,
                mask=mask, level=self.level, window=self.window,
            )  # fmt: skip
            hidden[i] = n == 0
            doses[i] = n.max()
            # Under a mask that hides it in all frames, what filled the middle one stands.
            rate = np.where(hidden[i], self.X[part[i]], total / np.where(hidden[i], 1, n))
            counts[i] = np.where(n == doses[i], total, rate * doses[i])

        side_by_side(sum_into, range(len(part)))
        return counts, doses.astype(np.float32), hidden

    def _around(self, k):
        """First frame of the sum of frame `k`, and the drift of its frames."""
        half = self.n_frames // 2
        first, last = max(0, k - half), min(len(self.X), k + half + 1)
        if self.drift is None:
            return first, np.zeros((last - first, 2))
        drift = self.drift.around(k, first, last)
        self.n_neighbours += last - first - 1
        self.n_unknown += int(np.isnan(drift[:, 0]).sum())
        return first, drift
