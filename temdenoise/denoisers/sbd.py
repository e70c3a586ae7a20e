"""Simulation-based denoising: a network trained on simulated images with fresh noise."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from temdenoise._calls import level_outside
from temdenoise.base import warn_assumed
from temdenoise.denoisers._trained.base import TrainedDenoiser
from temdenoise.denoisers._trained.bins import make_bins
from temdenoise.denoisers._trained.noise import check_noise, from_stored, to_stored
from temdenoise.denoisers._trained.resolution import check_resolution
from temdenoise.images import settle_pixel_size
from temdenoise.noise import PoissonNoise, draw_noise

# Bin of the default network, in pm. Images have no detail finer than twice this size.
_FOURIER_UNET_BIN = 31.1
# Pixel sizes closer than this fraction are the same.
_SAME = 0.005
# Weights that were trained at one dose are used up to this factor above and below it.
_DOSE_MARGIN = 2.0


class DoseWarning(UserWarning):
    """Images have fewer or more counts than the network was trained for."""


class SBDDenoiser(TrainedDenoiser):
    """Simulation-based denoising (SBD): a CNN trained on clean simulated images.

    Section 3.1 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970). Noise is drawn anew at every step, and images are rotated,
    flipped and zoomed on the fly. The weights with the best validation PSNR are kept.

    ``fit(clean)`` draws noise on clean images. ``fit(noisy, target)`` trains on the given pairs.

    Parameters
    ----------
    network : {"fourier_unet", "unet", "dncnn", "small_unet"}, callable or torch.nn.Module, \
            default="fourier_unet"
        The network. The default works on binned counts and trains on a laptop. The others are those
        of Table 3.1 of the paper, which need a GPU at full resolution. For your own network, give a
        class or a function without arguments that returns a torch.nn.Module, or such a module (a
        copy of it is trained). It maps counts per bin (n, 1, rows, columns), of any size, to
        estimates of the same shape. Large images are denoised in tiles if the network has the
        attributes ``halo`` (distance in bins that influences an estimate) and ``grid`` (tiles start
        at multiples of it).
    n_scales : int, optional
        Scales of "fourier_unet" (default 5) or "unet" (default 4; the paper's largest has 6).
    base_channels : int, optional
        Channels at the finest scale of "fourier_unet" (default 32) or "unet" (default 32; the
        paper's largest has 128).
    bias_free : bool, default=True
        Leave out all additive constants in "unet" and "dncnn", as the paper does.
    noise : object with a method ``sample``, optional
        Noise model for training: `temdenoise.PoissonNoise` (the default),
        `temdenoise.PoissonGaussianNoise` (then images are in its stored units),
        `temdenoise.noise.GaussianNoise`, or your own, see `temdenoise.noise.draw_noise`.
    dose : float or (float, float), optional
        Mean counts per pixel of the noisy images in training. For a pair (low, high) the dose is
        drawn log-uniformly from this range. By default the clean images are in counts per pixel. A
        noise model has its own dose. Not used if noisy images are given with their targets.
    loss : {"relative_mse", "mse", "poisson"} or callable, default="relative_mse"
        "relative_mse": squared error relative to the image's mean, so that all doses have equal
        weight.
        A callable ``loss(prediction, target)`` gets tensors in counts per bin, of shape (n, 1,
        rows, columns), and returns a scalar tensor.
    training_pixel_size : float or (float, float), default=6.22
        Pixel size in pm of the frames to denoise. Training images are sampled at this size. For a
        pair (low, high) the size is drawn uniformly from this range, and ``transform`` does not
        need to know it. If the size is known, a single number is better: frames of other pixel
        sizes are binned to the network's bins.
    binning : int or "auto", default="auto"
        The network works on sums of binning x binning pixels. "auto": bins closest to 31.1 pm for
        "fourier_unet", and 1 for the others. For a range of pixel sizes, its geometric mean is
        used.
    rotation : float, default=180
        Largest rotation of patches in degrees, in either direction (45 in the paper).
    zoom : (float, float), default=(0.95, 1.06)
        Range of the factor on the pixel size in training. If a whole number of pixels makes a bin
        in this range, ``transform`` uses it. Otherwise edges of bins cut pixels.
    stretch : float, default=0.0
        Patches are stretched along a random direction and shrunk across it, so that lengths along
        and across differ by up to this fraction. This imitates strained crystals and images
        distorted by drift or lenses.

    Attributes
    ----------
    noise_ : object
        The noise model of the training.

    Notes
    -----
    Ctrl-C ends training early: the best weights so far are kept, with a warning. Before the end of
    the first epoch there are none, and `KeyboardInterrupt` is raised as usual.

    Examples
    --------
    >>> from temdenoise import SBDDenoiser, PoissonNoise
    >>> from temdenoise.datasets import make_ptceo2
    >>> sim = make_ptceo2(4, images_per_model=4, structure="PtNp3", random_state=0)
    >>> sbd = SBDDenoiser(base_channels=8, n_scales=2, max_epochs=1, steps_per_epoch=2,
    ...                   batch_size=2, random_state=0)
    >>> sbd = sbd.fit(sim.data, pixel_size=sim.pixel_size)
    >>> noisy = PoissonNoise(random_state=0).sample(sim.data)
    >>> sbd.transform(noisy, pixel_size=sim.pixel_size).shape
    (4, 256, 256)
    """

    _parameter_constraints = {
        "network": [StrOptions({"fourier_unet", "unet", "dncnn", "small_unet"}), callable],
        "n_scales": [None, Interval(Integral, 1, 8, closed="both")],
        "base_channels": [None, Interval(Integral, 1, None, closed="left")],
        "bias_free": ["boolean"],
        "noise": [None, HasMethods("sample")],
        "dose": [None, Interval(Real, 0, None, closed="neither"), tuple, list],
        "loss": [StrOptions({"relative_mse", "mse", "poisson"}), callable],
        "training_pixel_size": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "binning": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "rotation": [Interval(Real, 0, 180, closed="both")],
        "zoom": [tuple, list],
        "stretch": [Interval(Real, 0, 1, closed="both")],
    }
    _stored = (
        "network", "n_scales", "base_channels", "bias_free", "noise", "dose",
        "training_pixel_size", "binning", "zoom", "stretch",
    )  # fmt: skip
    _fits_on = "clean"
    _default_weights = "general"
    _against_constant = True

    def __init__(
        self,
        *,
        network="fourier_unet",
        n_scales=None,
        base_channels=None,
        bias_free=True,
        noise=None,
        dose=None,
        loss="relative_mse",
        training_pixel_size=6.22,
        binning="auto",
        rotation=180.0,
        zoom=(0.95, 1.06),
        stretch=0.0,
        **training,
    ):
        super().__init__(**training)
        self.network = network
        self.n_scales = n_scales
        self.base_channels = base_channels
        self.bias_free = bias_free
        self.noise = noise
        self.dose = dose
        self.loss = loss
        self.training_pixel_size = training_pixel_size
        self.binning = binning
        self.rotation = rotation
        self.zoom = zoom
        self.stretch = stretch

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # noise other than that of counts can give negative values
        tags.input_tags.positive_only = self.noise is None or isinstance(self.noise, PoissonNoise)
        return tags

    @property
    def _loss(self):
        return self.loss

    def _check_parameters(self):
        super()._check_parameters()
        self._make_bins(None, None)
        check_noise(self._noise())

    def _noise(self):
        """Return the noise model for training, in the units of the images."""
        if self.noise is None:
            return PoissonNoise(dose=self.dose)
        if self.dose is not None:
            raise ValueError(
                "dose is that of the default noise: leave it out, or give it to the noise model "
                "(PoissonNoise(dose=...))."
            )
        return self.noise

    def _make_bins(self, pixel_size, X, size=None):
        fourier = isinstance(self.network, str) and self.network == "fourier_unet"
        return make_bins(
            self.training_pixel_size,
            binning=self.binning,
            zoom=self.zoom,
            goal=_FOURIER_UNET_BIN if fourier else None,
            size=size,
        )

    def _stored_bins(self, binning, size):
        return self._make_bins(None, None, size=size)

    def _make_network(self):
        from temdenoise.denoisers._trained.own import build_named

        return build_named(
            self.network,
            binned=self.binning != "auto" and self.binning > 1,
            n_scales=self.n_scales,
            base_channels=self.base_channels,
            bias_free=self.bias_free,
        )

    def _frames_pixel_size(self, X, y, pixel_size):
        pixel_size = settle_pixel_size(X, pixel_size, stacklevel=level_outside() + 1)
        at = self.training_pixel_size
        if y is not None:
            single = np.ndim(at) == 0
            if pixel_size is not None and single and abs(pixel_size - at) > _SAME * at:
                raise ValueError(
                    f"Pairs cannot be resampled, and these have pixels of {pixel_size:g} pm: set "
                    f"training_pixel_size={pixel_size:g}."
                )
            return None
        if pixel_size is None and np.ndim(at):
            raise ValueError(
                f"training_pixel_size={at} is a range: say what the pixel size of the images is, "
                "in pm, with fit(X, pixel_size=...)."
            )
        if pixel_size is None:
            warn_assumed(type(self).__name__, f"{at:g} pm (training_pixel_size)")
        return pixel_size

    def _make_batches(self, X, y, part):
        from temdenoise.training.batches import CleanBatches, PairBatches
        from temdenoise.training.splines import spline_coefficients

        if y is not None:
            X, y = (self._in_electrons(images) for images in (X, y))
            return PairBatches(noisy=X, target=y, device=part.device, **part.common)
        common = part.common  # refuses images that are smaller than a bin, whatever they hold
        check_resolution(X, part.zoom)
        noise = self._noise()
        return CleanBatches(
            coefficients=spline_coefficients(X, part.device),
            zoom=part.zoom,
            noise=noise.in_electrons() if hasattr(noise, "in_electrons") else noise,
            rotation=float(self.rotation),
            zoom_range=part.bins.zoom,
            stretch=float(self.stretch),
            **common,
        )

    def _finish_fit(self):
        self.noise_ = self._noise()

    def _in_electrons(self, images):
        """Undo the gain and offset that the noise model has, if it has any."""
        noise = self._noise()
        return noise.to_electrons(images) if hasattr(noise, "to_electrons") else images

    def _transform(self, X, mask, pixel_size):
        factor = self.bins_.factor(pixel_size)
        if pixel_size is not None and factor > self.bins_.most_pixels:
            warnings.warn(
                f"pixel_size={pixel_size:g} pm makes each bin of the network {factor:.0f} pixels "
                "wide: is it in pm?",
                stacklevel=level_outside(),
            )
        X = self._in_electrons(X)
        if pixel_size is None or factor <= self.bins_.most_pixels:
            self._warn_of_dose(X, mask, pixel_size)
        denoised = super()._transform(X, mask, pixel_size)
        noise = self._noise()
        return noise.from_electrons(denoised) if hasattr(noise, "from_electrons") else denoised

    def trained_doses(self, pixel_size=None):
        """Doses that the network was trained for.

        Parameters
        ----------
        pixel_size : float, default=None
            Pixel size of the images in pm. By default that of the training.

        Returns
        -------
        low, high : float
            Mean counts per pixel of this size. A network of one dose serves half of it to twice as
            much; one without a dose serves any.

        Raises
        ------
        NotFittedError
            If `fit` was not called.

        Examples
        --------
        >>> from temdenoise import SBDDenoiser
        >>> low, high = SBDDenoiser.from_pretrained().trained_doses(6.22)
        >>> round(low, 3), round(high, 1)
        (0.04, 6.0)
        """
        check_is_fitted(self)
        if self.dose is None:
            return 0.0, float("inf")
        several = isinstance(self.dose, tuple | list)
        low, high = self.dose if several else (self.dose / _DOSE_MARGIN, self.dose * _DOSE_MARGIN)
        bins = self.bins_
        factor = bins.binning if pixel_size is None else bins.factor(pixel_size)
        area = (bins.binning / factor) ** 2  # for equal counts in a bin
        return low * area, high * area

    def _warn_of_dose(self, X, mask, pixel_size):
        """Say that the network never saw such a dose."""
        low, high = self.trained_doses(pixel_size)
        dose = float(X.mean(where=True if mask is None else ~mask, dtype=np.float64))
        if dose and not low <= dose <= high:
            few, mend = "more", "Split the counts (thin_counts)"
            if dose < low:
                few, mend = "fewer", "Sum frames"
            warnings.warn(
                f"{type(self).__name__}: {dose:.3g} counts/px are {few} than the network was "
                f"trained for ({low:.3g} to {high:.3g} at this pixel size). The estimate may be "
                f"worse than the images. {mend}, or take WindowedFourierDenoiser.",
                DoseWarning,
                stacklevel=level_outside(),
            )

    def _draw_noise(self, clean, seed):
        if np.ndim(getattr(self.noise_, "dose", None)):
            # A network for a range of doses is scored at the images' own dose, like other methods.
            return draw_noise(PoissonNoise(), clean, seed)
        return super()._draw_noise(clean, seed)

    def _find_pixel_size(self, X, mask):
        """Pixel size in pm of checked images."""
        from temdenoise.denoisers._trained.pixel_size import estimate_pixel_size

        return estimate_pixel_size(self, self._in_electrons(X), mask)

    def estimate_pixel_size(self, X, *, mask=None, candidates=None):
        """Find the pixel size at which the network predicts unseen electrons best.

        The electrons are split at random into two independent halves. The first half is denoised
        with each candidate as its pixel size, and compared with the second half. The squared
        difference, minus the noise of the second half, is an unbiased estimate of the error. No
        clean image is needed.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Counts: whole numbers.
        mask : bool array-like, optional
            True marks pixels not to trust.
        candidates : array-like of float, optional
            Pixel sizes to try, in pm. By default 2.5 to 12 pm in steps of 6 %, as far as the
            network's bins allow.

        Returns
        -------
        pixel_size : float
            The best candidate in pm.

        Raises
        ------
        ValueError
            If the counts are not whole numbers, because the pixel size cannot be estimated then. If
            the mask hides the middle of all images, or the network cannot use a candidate.

        Warns
        -----
        UserWarning
            If no candidate predicts better than an even image, or the best default candidate is the
            smallest or the largest. Then do not trust the result.
        """
        from temdenoise.denoisers._trained.pixel_size import estimate_pixel_size

        X, mask, _ = self._check_call(X, mask)
        return estimate_pixel_size(self, self._in_electrons(X), mask, candidates)

    def adapt(
        self,
        X,
        *,
        mask=None,
        pixel_size=None,
        max_minutes=1.0,
        n_steps=70,
        learning_rate=3e-4,
        share=(0.05, 0.5),
        only_gains=False,
        random_state=0,
        verbose=False,
    ):
        """Adapt the trained network to frames, by their own electrons.

        The electrons of the frames are split anew at every step, and the network learns to predict
        the one part from the other, as `temdenoise.ThinnedDenoiser` does, but from the weights that
        it has. Two parts of the electrons take no part in that. The first part, a tenth of the
        electrons of all frames, decides at the end whether the adapted weights are accepted: only
        if they predict these electrons significantly better than the original weights (one-sided,
        5 %). The second part, a twentieth of what is left in up to eight frames, decides after each
        seventh of the steps whether the weights are the best so far. The two are independent, so
        the choice of the best weights does not make the acceptance easier.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Frames in whole counts per pixel, such as those that are to be denoised.
        mask : bool array-like of shape (height, width) or (n_images, height, width), default=None
            True marks pixels not to trust. They do not count.
        pixel_size : float or "auto", default=None
            As for ``transform``.
        max_minutes : float or None, default=1.0
            Minutes after which training stops, if the steps are not over before. None: all steps.
        n_steps : int, default=70
            Steps of training, rounded up to a multiple of 7.
        learning_rate : float, default=3e-4
            Highest learning rate.
        share : (float, float), default=(0.05, 0.5)
            Range of the share of the electrons that goes to the target.
        only_gains : bool, default=False
            Train one factor per channel of the network alone, as GainTuning does (Mohan et al.,
            "Adaptive denoising via GainTuning", arXiv:2107.12815): the smallest change, for a
            single frame.
        random_state : None, int or RandomState, default=0
            Determines the split and the patches.
        verbose : bool, default=False
            Show a progress bar.

        Returns
        -------
        denoiser : SBDDenoiser
            Fitted, with the weights accepted; this one is left as it is. ``adaptation_`` says what
            came of it: ``accepted``, ``difference`` of the squared errors and its
            ``standard_error`` ((counts per pixel)**2), ``history``.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted.
        ValueError
            If the images are not whole counts or hold no electrons, `mask` leaves no whole bin, or
            `n_steps`, `learning_rate` or `max_minutes` is not above 0; if the loss becomes NaN in
            the first epoch; or as for ``transform``.

        Warns
        -----
        FramesWarning
            If frames are copies of others, or hold no electrons: they are left out.
        UserWarning
            If the adapted weights are not significantly better: then the original ones are kept.
            If there are hot or dead pixels, or the noise is correlated.

        Examples
        --------
        >>> from temdenoise import SBDDenoiser, load_sample_movie
        >>> frames = load_sample_movie().data[:2, :256, :256]
        >>> general = SBDDenoiser.from_pretrained()
        >>> adapted = general.adapt(frames, n_steps=7)  # doctest: +SKIP
        """
        import copy
        from math import ceil

        from temdenoise.denoisers._trained import adapt as adapting
        from temdenoise.denoisers._trained.frames import check_trusted, frames_to_learn
        from temdenoise.denoisers._trained.thinning import check_counts, check_share
        from temdenoise.training.options import TrainingOptions

        numbers = {"n_steps": n_steps, "learning_rate": learning_rate}
        if max_minutes is not None:
            numbers["max_minutes"] = max_minutes
        for name, value in numbers.items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value!r}.")
        said = self._settle_pixel_size(X, pixel_size)
        X, mask, _ = self._check_call(X, mask)
        check_counts(X, f"{type(self).__name__}.adapt")
        used = self._find_pixel_size(X, mask) if said == "auto" else said
        factor = self._factor(used)
        trusted = None if mask is None else ~mask
        check_trusted(trusted, factor)
        X, trusted = frames_to_learn(self._filled(X, mask), trusted)
        options = TrainingOptions(
            max_epochs=adapting.EPOCHS,
            steps_per_epoch=ceil(n_steps / adapting.EPOCHS),
            max_minutes=max_minutes,
            learning_rate=learning_rate,
            schedule="linear",
            averaging=adapting.AVERAGING,
            precision=self.precision,
            device=self.device,
            verbose=verbose,
        )
        network, adaptation = adapting.adapt(
            self,
            X,
            trusted,
            factor,
            options=options,
            share=check_share(share),
            only_gains=only_gains,
            random_state=random_state,
        )
        adapted = copy.copy(self)
        adapted.network_, adapted.adaptation_ = network.eval(), adaptation
        vars(adapted).pop("net_", None)  # of the training before
        return adapted

    def _stored_params(self):
        return super()._stored_params() | {"noise": to_stored(self.noise)}

    @classmethod
    def _from_stored(cls, params, device):
        return cls(**params | {"noise": from_stored(params.get("noise"))}, device=device)

    @staticmethod
    def list_pretrained():
        """List the trained weights in the package.

        Returns
        -------
        table : pandas.DataFrame
            A row for each name that `from_pretrained` takes: the purpose of the weights, their
            network, pixel size (pm) and dose or range of doses (mean counts/px) in training, and
            the size of the file. "general" is for doses of about 0.1 to 3 counts/px, pixels of 4 to
            10 pm, and all contrasts. "white" is for the paper's case alone, white contrast at 0.45
            counts/px.

        Examples
        --------
        >>> from temdenoise import SBDDenoiser
        >>> SBDDenoiser.list_pretrained().loc["general", "network"]
        'fourier_unet'
        """
        from temdenoise.denoisers._trained.weights import table

        return table()
