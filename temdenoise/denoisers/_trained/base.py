"""Base of all trained methods: parameters, training, application."""

import copy
import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions
from tqdm.auto import tqdm

from temdenoise._calls import level_outside
from temdenoise._jobs import map_images
from temdenoise._masking import fill_masked
from temdenoise.base import ScaledDenoiser, warn_assumed
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers._trained.bins import Bins
from temdenoise.denoisers._trained.parts import Part, fingerprint, number_of_batches, split
from temdenoise.denoisers._trained.signature import merge_doc, merge_signature
from temdenoise.denoisers._trained.stored import StoredWeights
from temdenoise.images import settle_pixel_size

# Stacks of more images than this show a progress bar.
_A_HANDFUL = 4
# Parameters that do not change what a training computes, or that say when it ends.
_NOT_IN_CHECKPOINT = (
    "checkpoint_file", "log_file", "verbose", "device", "max_minutes", "warm_start",
    "random_state", "orientations", "callbacks", "accelerate",
)  # fmt: skip


class TrainedDenoiser(StoredWeights, ScaledDenoiser):
    """Base class of the denoisers that train a network.

    This class has the parameters of training and application, and the methods `fit`, ``transform``,
    those for storage, and the gradient. A method defines ``__init__(self, *, own, **training)``,
    ``_parameter_constraints`` of its own parameters, and

    - ``_make_network()``: a new torch.nn.Module that maps counts per bin (n, 1, rows, columns) to
      estimates of the same shape;
    - ``_make_batches(X, y, part)``: `temdenoise.training.batches.Batches` of the images. `Part` has
      the bins, the number of batches, and the seed;
    - ``_loss``: a name in `temdenoise.training.losses`, or a method ``_loss(prediction, target)``
      that returns a scalar tensor;
    - ``_stored``: names of the parameters without which its weights cannot be used.

    It may also define ``_make_bins(pixel_size, X)``, ``_split(X, y, trusted, seed)``,
    ``_make_score(X)``, which returns a `temdenoise.training.scores.Score`, ``_default_weights``,
    and ``_defaults``, a dict of its own defaults for parameters of this class. The parameters and
    attributes of this class appear in the signature and the documentation of each method.

    Parameters
    ----------
    max_epochs : int, default=30
        Epochs, each of `steps_per_epoch` steps.
    steps_per_epoch : int, default=50
        Steps in an epoch. Every step draws a new batch.
    max_minutes : float, optional
        Minutes after which training stops, if the epochs are not finished before. The learning
        rates follow the limit that is nearer, so results depend on the machine's speed.
    batch_size : int, default=16
        Patches in a step.
    patch_size : int, default=400
        Side of training patches, in pixels of the frames to denoise. Smaller images are used whole.
    optimizer : {"muon", "adam"}, default="muon"
        Muon makes the steps of the convolutions' kernels orthogonal. It reaches the PSNR of Adam,
        which the paper uses, in half as many steps. Both have decoupled weight decay.
    learning_rate : float, default=1.2e-3
        Highest learning rate.
    schedule : {"cosine", "linear", "plateau"}, default="cosine"
        "cosine" lowers the rate along a cosine over the budget. "linear" lowers it along a line
        over the last 40 % of the budget. "plateau" halves it when the validation score has not
        improved for four epochs, as the paper does.
    early_stopping : int or None, default=None
        Stop after this many epochs without a better validation score.
    validation_fraction : float, default=0.1
        Share of the images held out for validation. These are the last ones, not shuffled, so that
        neighbours in a defocus series or movie stay together.
    warm_start : bool, default=False
        Start from the weights of the last fit, or of `from_pretrained`.
    checkpoint_file : str or path-like, optional
        File in which training is kept after every epoch. A fit with the same settings on the same
        images continues from it, as if it had never stopped. If it was finished, it returns at
        once.
    log_file : str or path-like, optional
        CSV file with a row for each epoch: seconds trained, learning rate, losses, validation
        score, and what `callbacks` recorded. It is complete after every epoch. A training that is
        continued from its checkpoint continues it. An older log is replaced, other files are not.
    callbacks : list of skorch callbacks, optional
        Further callbacks, or pairs (name, callback), for instance ``skorch.callbacks.TensorBoard``.
        They are used as they are and see the net of ``net_``. Its batches are ``(noisy, {"target":
        ..., "unit": ...})`` in counts per bin. Checkpoints do not store them: give them again to
        continue a training.
    accelerate : bool, default=False
        Share the training among the processes that ``accelerate launch`` started, one for each GPU.
        Each draws its own `batch_size` patches in every step, and the gradients are averaged. All
        have the same weights at the end. Only the main process writes files and shows progress. A
        process that was started in another way trains alone. Needs ``pip install
        'temdenoise[accelerate]'``.
    orientations : {1, 2, 4, 8}, default=4
        Denoising averages over this number of orientations of the image. 1: as it is. 2: also
        turned by 180 degrees. 4: all quarter turns. 8: the quarter turns of the mirrored image,
        too.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the convolutions. "auto" uses bfloat16 if the CPU or GPU is fast at it. Some
        networks do not tolerate bfloat16 and always denoise in float32.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" takes a GPU if there is one.
    random_state : int, RandomState instance or None, default=None
        Determines weights, patches and noise. On a CPU a refit is bit-identical unless
        `max_minutes` ends it early.
    verbose : bool, default=False
        Show a progress bar, when training and when denoising more than a handful of images.

    Attributes
    ----------
    network_ : torch.nn.Module
        The network with the best averaged weights, or the last ones if nothing was held out.
    net_ : skorch.NeuralNet
        The trained net, for inspection. It does not exist after `from_pretrained`. It holds the
        network, but neither the images nor the state of the optimizer.
    history_ : list of dict
        Losses, validation score and duration of each finished epoch. The score is ``valid_psnr``
        (dB), or ``held_out_loss`` for the methods without clean images. A lower loss is better.
    bins_ : object
        The network's bins: ``binning``, their side in pixels of the training, ``size``, that side
        in pm (None if the pixel size is not known), and ``zoom``, the range of factors on it in
        training.
    info_ : dict
        The ``info`` that `save_pretrained` stored with the weights; only after `from_pretrained`.
    """

    _parameter_constraints: dict = {
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "steps_per_epoch": [Interval(Integral, 1, None, closed="left")],
        "max_minutes": [None, Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions({"muon", "adam"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"cosine", "linear", "plateau"})],
        "early_stopping": [None, Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "checkpoint_file": [None, str, os.PathLike],
        "log_file": [None, str, os.PathLike],
        "callbacks": [None, list, tuple],
        "accelerate": ["boolean"],
        "orientations": [Options(Integral, {1, 2, 4, 8})],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # Groups of the HTML representation; a method's own parameters come first.
    _parameter_groups = {
        "Training": (
            "max_epochs", "steps_per_epoch", "max_minutes", "batch_size", "patch_size",
            "optimizer", "learning_rate", "schedule", "early_stopping", "validation_fraction",
        ),
        "Running": (
            "warm_start", "checkpoint_file", "log_file", "callbacks", "accelerate",
            "orientations", "precision", "device", "random_state", "verbose",
        ),
    }  # fmt: skip

    _fill = "noise"
    _loss = "relative_mse"
    # Decay of the average of the weights that is validated and kept.
    _averaging = 0.998

    def __init_subclass__(cls, **kwargs):
        own = cls.__dict__.get("_parameter_constraints", {})
        cls._parameter_constraints = {**cls.__mro__[1]._parameter_constraints, **own}
        defaults = vars(cls).get("_defaults", {})
        merge_signature(cls, cls.__mro__[1], defaults)
        merge_doc(cls, cls.__mro__[1], defaults)
        super().__init_subclass__(**kwargs)

    def __init__(
        self,
        *,
        max_epochs=30,
        steps_per_epoch=50,
        max_minutes=None,
        batch_size=16,
        patch_size=400,
        optimizer="muon",
        learning_rate=1.2e-3,
        schedule="cosine",
        early_stopping=None,
        validation_fraction=0.1,
        warm_start=False,
        checkpoint_file=None,
        log_file=None,
        callbacks=None,
        accelerate=False,
        orientations=4,
        precision="auto",
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.max_minutes = max_minutes
        self.batch_size = batch_size
        self.patch_size = patch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.checkpoint_file = checkpoint_file
        self.log_file = log_file
        self.callbacks = callbacks
        self.accelerate = accelerate
        self.orientations = orientations
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.non_deterministic = self.max_minutes is not None
        return tags

    def _get_params_html(self, *args, **kwargs):
        from temdenoise.denoisers._trained.repr import GroupedParams

        return GroupedParams.of(super()._get_params_html(*args, **kwargs), self._parameter_groups)

    # --- what a method may define -----------------------------------------------------------------

    def _make_score(self, X):
        """Score that decides which weights are kept, for training on images `X`."""
        from temdenoise.training.scores import PSNR

        return PSNR

    def _make_network(self):
        raise TypeError(f"{type(self).__name__} must define _make_network().")

    def _make_batches(self, X, y, part):
        raise TypeError(f"{type(self).__name__} must define _make_batches(X, y, part).")

    def _make_bins(self, pixel_size, X):
        """Bins for frames `X` of a pixel size in pm (None: not known); by default, pixels."""
        return Bins(1, pixel_size)

    def _split(self, X, y, trusted, seed):
        """Return (X, y, trusted) to train on, and to validate with."""
        return split(self.validation_fraction, X, y, trusted)

    def _frames_pixel_size(self, X, y, pixel_size):
        """Pixel size in pm of the images of `fit`, from what the keyword or the images say."""
        return settle_pixel_size(X, pixel_size, stacklevel=level_outside() + 1)

    # --- training ---------------------------------------------------------------------------------

    def fit(self, X, y=None, *, mask=None, pixel_size=None, bad_pixels="mask"):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Images, in counts per pixel; see the class for which.
        y : array-like of shape (n_images, height, width), default=None
            Targets of the noisy images `X`, clean or noisy themselves.
        mask : bool array-like of shape (height, width) or (n_images, height, width), default=None
            True marks pixels not to trust. They are filled from their surroundings.
        pixel_size : float, default=None
            Pixel size of `X` in pm. By default that of `X`, if it knows it
            (`temdenoise.ImageStack`).
        bad_pixels : {"mask", "keep"}, default="mask"
            As for ``transform``, for methods that learn from noisy frames alone.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the images are not a valid stack, smaller than a bin, or too coarse for the bins; if
            a parameter is out of range, the checkpoint is damaged or belongs to another training,
            the network or the loss does not return what it must, or the loss becomes NaN in the
            first epoch. Methods that learn from noisy frames: if no frame holds an electron, or
            `mask` leaves no bin whole.
        TypeError
            If `callbacks` holds something else than skorch callbacks, or the network is no module.
        FileNotFoundError
            If the folder of the checkpoint or the log does not exist.
        FileExistsError
            If the log would replace a file that is not one.

        Warns
        -----
        PixelSizeWarning
            If the method needs the pixel size and it is not known, or if the keyword differs from
            the pixel size of the images.
        FramesWarning
            Methods that learn from noisy frames: if frames are copies of others, or hold no
            electrons. They are left out of the training.
        UserWarning
            The same methods: if the noise is correlated, or the values look like counts multiplied
            by a gain.
        BadPixelsWarning
            The same methods: if pixels are masked because no count of electrons explains them.
        """
        self._check_parameters()
        pixel_size = self._frames_pixel_size(X, y, pixel_size)
        X, y, mask = self._check_images(X, y, mask)
        if y is None and self._fits_on == "noisy":
            mask = self._hide_bad_pixels(X, mask, bad_pixels)
        X = fill_masked(X, mask, with_noise=self._fits_on == "noisy")
        y = None if y is None else fill_masked(y, mask)
        net, history, bins = self._train(X, y, None if mask is None else ~mask, pixel_size)
        # only now: a fit that fails leaves what was there before
        self.net_, self.network_, self.history_, self.bins_ = net, net.module_, history, bins
        self._size_assumed = pixel_size is None
        self._finish_fit()
        vars(self).pop("info_", None)  # of the weights before these
        return self

    def check_settings(self, *, resume=False):
        """Refuse settings with which `fit` cannot start, without any images.

        Parameters
        ----------
        resume : bool, default=False
            Also read the checkpoint, and refuse one of other settings.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            As `fit`.
        """
        from temdenoise.training.checkpoint import read_checkpoint

        self._check_parameters()
        if resume:
            read_checkpoint(self.checkpoint_file, self._settings(), "cpu")

    def _check_parameters(self):
        """Check the parameters without any image."""
        from temdenoise.denoisers._trained.own import check_network
        from temdenoise.training.losses import try_loss

        self._validate_params()
        check_network(self._make_network)
        try_loss(self._loss)

    def _finish_fit(self):
        """Set further fitted attributes; also called after loading."""

    def _settings(self):
        """Parameters that must be the same for a checkpoint to be continued from."""
        from temdenoise.denoisers._trained.own import name_of

        params = self.get_params(deep=False).items()
        settings = {k: name_of(v) for k, v in params if k not in _NOT_IN_CHECKPOINT}
        if isinstance(self.random_state, Integral):  # others do not tell what they will give
            settings["random_state"] = repr(int(self.random_state))
        return settings

    def _train(self, X, y, trusted, pixel_size):
        from temdenoise.training.loop import Training
        from temdenoise.training.losses import find_loss
        from temdenoise.training.options import TrainingOptions

        bins = self._make_bins(pixel_size, X)
        names = TrainingOptions.__dataclass_fields__
        params = {name: getattr(self, name) for name in names if hasattr(self, name)}
        training = Training(
            TrainingOptions(**params, averaging=self._averaging),
            random_state=self.random_state,
            settings=lambda: (
                self._settings() | {"data": fingerprint(pixel_size, bins.binning, X, y, trusted)}
            ),
        )
        batches = []
        parts = self._split(X, y, trusted, training.seeds[2])
        counts = number_of_batches(self.steps_per_epoch).items()
        for (name, n_batches), seed, images in zip(counts, training.seeds[1:], parts, strict=True):
            part_X, part_y, part_trusted = images
            part = Part(
                name=name, bins=bins, pixel_size=pixel_size, shape=X.shape[1:],
                patch_size=self.patch_size, batch_size=self.batch_size, n_batches=n_batches,
                seed=seed, device=training.device, trusted=part_trusted,
                dose=float(parts[0][0].mean(dtype=np.float64)),
            )  # fmt: skip
            batches.append(self._make_batches(part_X, part_y, part))
        net, history = training.run(
            lambda: self._start_network(parts[0][0], bins),
            *batches,
            loss=find_loss(self._loss),
            score=self._make_score(X),
        )
        return net, history, bins

    def _start_network(self, X, bins):
        """Network to train on images X: a new one, or that of the last fit."""
        module = self._make_network()
        if self.warm_start and hasattr(self, "network_"):
            try:
                module.load_state_dict(self.network_.state_dict())
            except RuntimeError as error:
                raise ValueError(
                    "warm_start=True needs the network of the last fit, but parameters that build "
                    f"it changed since: {error}"
                ) from error
        return module

    # --- application ------------------------------------------------------------------------------

    def _transform(self, X, mask, pixel_size):
        factor = self._factor(pixel_size)
        network = self._tiled_network()
        quiet = not self.verbose or len(X) <= _A_HANDFUL
        with tqdm(total=len(X), desc="denoise", unit="image", disable=quiet) as bar:
            return map_images(
                lambda out, _, k: np.copyto(out, self._denoise(self._seen(X, k), factor, network)),
                X,
                range(len(X)),
                n_jobs=network.n_jobs,
                progress=bar.update,
            )

    def _cheaper(self):
        cheaper = copy.copy(self)
        cheaper.orientations, cheaper.verbose = 1, False
        return cheaper

    def _seen(self, X, k):
        """Return what the network sees to denoise image k: (height, width), or several images."""
        return X[k]

    def _factor(self, pixel_size):
        """Side of a bin in pixels of this size; warn if the pixel size is assumed."""
        bins = self.bins_
        if pixel_size is None and bins.size is not None and not bins.any_size:
            if not getattr(self, "_size_assumed", False):  # said at the fit then
                assumed = f"{bins.pixel_size:.3g} pm, those of the training"
                warn_assumed(type(self).__name__, assumed)
            return bins.binning
        return bins.factor(pixel_size)

    def _tiled_network(self, network=None):
        """Make the fitted network, or another one like it, ready for inference."""
        from temdenoise.networks.apply import TiledNetwork

        return TiledNetwork(
            self.network_ if network is None else network,
            device=self.device,
            orientations=self.orientations,
            precision=self.precision,
        )

    def _denoise(self, image, factor, network):
        """Estimate of one image (height, width), on bins of `factor` pixels.

        If the network sees several images (n, height, width), it estimates the middle one.
        """
        if image.ndim == 2:
            bins = bin_counts(image[None], factor)[0]
        else:
            bins = np.concatenate([bin_counts(one[None], factor) for one in image])
        rates = self._rates(bins, network)
        if not np.isfinite(rates).all():
            raise ValueError(
                f"The network of {type(self).__name__} returned NaN or infinity: train it again, "
                "or lower learning_rate."
            )
        return unbin(rates[None] / factor**2, factor, image.shape[-2:])[0]

    def _dose_of(self, bins):
        """Factor of the dose of an image by which the network's input is divided."""
        return 1.0

    def _rates(self, bins, network):
        """Estimate of counts per bin (rows, columns), or of the middle one of several images."""
        return network(bins)

    def pixel_gradient(self, image, pixel, *, pixel_size=None):
        """Differentiate one denoised pixel with respect to the noisy image.

        `temdenoise.inspection.equivalent_filter` calls this method and explains the result.

        Parameters
        ----------
        image : ndarray of shape (height, width)
            One noisy image, in counts per pixel.
        pixel : tuple of two int
            Row and column of the denoised pixel.
        pixel_size : float or "auto", default=None
            As for ``transform``.

        Returns
        -------
        value : float
            The denoised pixel in counts/px.
        gradient : ndarray of shape (height, width), dtype float64
            Its derivative with respect to each pixel of `image`.

        Raises
        ------
        NotFittedError, ValueError
            As ``transform``.
        """
        from temdenoise.denoisers._trained.gradient import pixel_gradient

        stack = image[np.newaxis]
        known = self._settle_pixel_size(image, pixel_size)
        self._check_call(stack, None)
        used = self._find_pixel_size(np.asarray(stack), None) if known == "auto" else known
        return pixel_gradient(self, np.asarray(image), pixel, self._factor(used))
