"""Simulation-based denoising: a network trained on simulated images with fresh noise."""

import os
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions
from tqdm.auto import tqdm

from temdenoise._lengths import check_pixel_size
from temdenoise._masking import fill_masked
from temdenoise._validation import check_mask
from temdenoise.base import BaseDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.denoisers._trained.bins import bins_of
from temdenoise.noise import PoissonNoise

# A bin wider than this, in pixels, is more likely a pixel size in another unit.
MANY_PIXELS = 16
# Stacks of more images than this show a progress bar.
_A_HANDFUL = 4


class SBDDenoiser(BaseDenoiser):
    """Simulation-based denoising (SBD): a CNN trained on clean simulated images.

    Section 3.1 of "Deep denoising for scientific discovery: a case study in electron microscopy"
    (Mohan et al., arXiv:2010.12970). Noise is drawn afresh at every step, and images are rotated,
    flipped and scaled on the fly; the weights with the best validation PSNR are kept.

    Parameters
    ----------
    architecture : {"fourier_unet", "unet", "dncnn", "small_unet"}, default="fourier_unet"
        The network. The default works on binned counts and trains on a laptop; the others are
        those of Table 3.1 of the paper, which want a GPU at full resolution.
    scales : int, optional
        Scales of "fourier_unet" (default 5) or "unet" (default 4; the paper's largest has 6).
    base_channels : int, optional
        Channels at the finest scale of "fourier_unet" (default 32) or "unet" (default 32; the
        paper's largest has 128).
    bias_free : bool, default=True
        Leave out all additive constants in "unet" and "dncnn", as the paper does.
    pixel_size : float or (float, float), default=6.22
        Pixel size in pm of the frames to denoise, at which training images are sampled. A pair is a
        range, drawn from uniformly: ``transform`` then need not know the size. Where it is known, a
        single size is better: frames of other sizes are binned to what the network knows.
    binning : int or "auto", default="auto"
        The network works on sums of binning x binning pixels. "auto" takes what comes closest to
        31.1 pm for "fourier_unet", and 1 for the others; of a range of pixel sizes, at its
        geometric mean.
    dose : float or (float, float), optional
        Mean counts per pixel of the noisy images drawn in training; a pair is a range, drawn from
        log-uniformly. By default the clean images are counts per pixel as they are. Not used if
        noisy images are given with their targets.
    patch_size : int, default=400
        Side of training patches in pixels of `pixel_size`; smaller images are used whole.
    batch_size : int, default=16
        Patches in a step.
    rotation : float, default=180
        Patches are rotated by up to this many degrees either way (45 in the paper).
    scale : (float, float), default=(0.95, 1.06)
        Range of the factor on the pixel size in training. Where a whole number of pixels makes a
        bin of a size in this range, ``transform`` takes it; elsewhere bins cut pixels.
    stretch : float, default=0.0
        Patches are stretched along a random direction, and shrunk across it, so that lengths along
        and across differ by up to this fraction: as strained crystals and images distorted by drift
        or lenses are.
    optimizer : {"muon", "adam"}, default="muon"
        Muon orthogonalises the steps of the convolutions' kernels: the PSNR of Adam, which the
        paper uses, in half as many steps. Both with decoupled weight decay.
    learning_rate : float, default=1.2e-3
        Highest learning rate.
    schedule : {"cosine", "plateau"}, default="cosine"
        Lower the rate along a cosine over the budget, or halve it when the validation PSNR has not
        improved for four epochs, as the paper does.
    max_epochs : int, default=30
        Epochs, each of `steps_per_epoch` steps.
    steps_per_epoch : int, default=50
        Steps in an epoch. Every step draws new patches and noise.
    max_time : float, optional
        Minutes after which training stops, if the epochs are not over before. The rates follow
        whichever is nearer its end, so results depend on the machine's speed.
    early_stopping : int, optional
        Stop after this many epochs without a better validation PSNR.
    validation_fraction : float, default=0.1
        Share of the images held out for validation: the last ones, not shuffled, so that
        neighbours in a defocus series or movie stay together.
    warm_start : bool, default=False
        Start from the weights of the last fit, or of `from_pretrained`.
    checkpoint : str or path-like, optional
        File in which training is kept after every epoch. A fit with the same settings on the same
        images continues from it, as if it had never stopped; if it was finished, it returns at
        once.
    log : str or path-like, optional
        CSV file with a row for each epoch: seconds trained, learning rate, losses, validation PSNR
        in dB, and what `callbacks` recorded. It is complete after every epoch; a training that is
        continued from its checkpoint continues it. An older log is replaced, other files are not.
    callbacks : list of skorch callbacks, optional
        Further callbacks, or pairs (name, callback), for instance ``skorch.callbacks.TensorBoard``.
        They are used as they are. They see the net of ``net_``; its batches are ``(noisy, (clean,
        unit))`` in counts per bin. A continued training knows their settings only if it is given
        them again.
    accelerate : bool, default=False
        Share the training among the processes that ``accelerate launch`` started, one for each GPU:
        each draws `batch_size` patches of its own in every step, and their gradients are averaged.
        All end with the same weights; only the main one writes files and shows progress. In a
        process started otherwise it trains alone. Needs ``pip install 'temdenoise[accelerate]'``.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the convolutions; "auto" takes bfloat16 where the processor is fast at it.
        Denoising follows it with the default network, whose PSNR changes by less than 0.01 dB; the
        other networks always denoise in float32.
    orientations : {1, 2, 4, 8}, default=4
        Denoising averages over this many orientations of the image: as it is; and turned by 180
        degrees; all quarter turns; those mirrored too. With the shipped weights two gain some
        0.8 dB for twice the time, four and eight 1.0 dB.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" takes a GPU if there is one.
    random_state : int, RandomState instance or None, default=None
        Determines weights, patches and noise: on a CPU a refit is bit-identical unless `max_time`
        cuts it short.
    verbose : bool, default=False
        Show a progress bar, when training and when denoising more than a handful of images.

    Attributes
    ----------
    network_ : torch.nn.Module
        The network with the best averaged weights.
    net_ : skorch.NeuralNet
        The trained net, for a look inside; not there after `from_pretrained`. It holds the network,
        but neither the images nor the state of the optimizer.
    history_ : list of dict
        Losses, validation PSNR (``valid_psnr``, dB) and duration of each epoch that was finished.
    bins_ : object
        The network's bins: ``binning``, their side in pixels of the training, ``size``, that side
        in pm (of a range of pixel sizes, at its geometric mean), and the range of factors on it.
    bin_size_ : float
        ``bins_.size``.
    noise_ : PoissonNoise
        The noise trained with.
    info_ : dict
        What `save_pretrained` was told about the weights; only after `from_pretrained`.

    Notes
    -----
    Ctrl-C ends training early: the best weights so far are kept, with a warning. Before the end of
    the first epoch there are none, and `KeyboardInterrupt` is raised as usual.

    Examples
    --------
    >>> from temdenoise import SBDDenoiser, PoissonNoise
    >>> from temdenoise.datasets import make_ptceo2
    >>> sim = make_ptceo2(4, images_per_model=4, structure="PtNp3", random_state=0)
    >>> sbd = SBDDenoiser(base_channels=8, scales=2, max_epochs=1, steps_per_epoch=2,
    ...                   batch_size=2, random_state=0)
    >>> sbd = sbd.fit(sim.data, pixel_size=sim.pixel_size)
    >>> noisy = PoissonNoise(random_state=0).sample(sim.data)
    >>> sbd.transform(noisy, pixel_size=sim.pixel_size).shape
    (4, 256, 256)
    """

    _parameter_constraints = {
        "architecture": [StrOptions({"fourier_unet", "unet", "dncnn", "small_unet"})],
        "scales": [None, Interval(Integral, 1, 8, closed="both")],
        "base_channels": [None, Interval(Integral, 1, None, closed="left")],
        "bias_free": ["boolean"],
        "pixel_size": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "binning": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "dose": [None, Interval(Real, 0, None, closed="neither"), tuple, list],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "rotation": [Interval(Real, 0, 180, closed="both")],
        "scale": [tuple, list],
        "stretch": [Interval(Real, 0, 1, closed="both")],
        "optimizer": [StrOptions({"muon", "adam"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"cosine", "plateau"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "steps_per_epoch": [Interval(Integral, 1, None, closed="left")],
        "max_time": [None, Interval(Real, 0, None, closed="neither")],
        "early_stopping": [None, Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "checkpoint": [None, str, os.PathLike],
        "log": [None, str, os.PathLike],
        "callbacks": [None, list, tuple],
        "accelerate": ["boolean"],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "orientations": [Options(Integral, {1, 2, 4, 8})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        architecture="fourier_unet",
        scales=None,
        base_channels=None,
        bias_free=True,
        pixel_size=6.22,
        binning="auto",
        dose=None,
        patch_size=400,
        batch_size=16,
        rotation=180.0,
        scale=(0.95, 1.06),
        stretch=0.0,
        optimizer="muon",
        learning_rate=1.2e-3,
        schedule="cosine",
        max_epochs=30,
        steps_per_epoch=50,
        max_time=None,
        early_stopping=None,
        validation_fraction=0.1,
        warm_start=False,
        checkpoint=None,
        log=None,
        callbacks=None,
        accelerate=False,
        precision="auto",
        orientations=4,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.architecture = architecture
        self.scales = scales
        self.base_channels = base_channels
        self.bias_free = bias_free
        self.pixel_size = pixel_size
        self.binning = binning
        self.dose = dose
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.rotation = rotation
        self.scale = scale
        self.stretch = stretch
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.max_time = max_time
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.log = log
        self.callbacks = callbacks
        self.accelerate = accelerate
        self.precision = precision
        self.orientations = orientations
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.non_deterministic = self.max_time is not None
        return tags

    @property
    def bin_size_(self):
        """Side of the network's bins in pm."""
        return self.bins_.size

    def fit(self, X, y=None, *, pixel_size=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Clean images in counts per pixel (or proportional, if `dose` is set), to which fresh
            noise is added at every step; or noisy images, if `y` is given.
        y : array-like of shape (n_images, height, width), optional
            Targets of the noisy images `X`, clean or noisy themselves.
        pixel_size : float, optional
            Pixel size of `X` in pm, if it is not that of the frames to denoise; clean images are
            resampled. Their values keep their meaning: counts per pixel of the frames. It must be
            given if the frames' is a range.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the images are not a valid stack, smaller than a bin, or too coarse for the bins; if
            a parameter is out of range, the checkpoint is damaged or belongs to another training,
            or the loss becomes NaN in the first epoch.
        TypeError
            If `callbacks` holds something else than skorch callbacks.
        FileNotFoundError
            If the folder of the checkpoint or the log does not exist.
        FileExistsError
            If the log would replace a file that is not one.
        """
        from temdenoise.training.loop import TrainingData, train

        bins, noise = self._check_parameters()
        X, y = self._check_fit_input(X, y)
        if y is not None and pixel_size is not None:
            raise ValueError("Pairs cannot be resampled: leave pixel_size out when y is given.")
        if pixel_size is not None:
            pixel_size = check_pixel_size(pixel_size)
        elif y is None and np.ndim(self.pixel_size):
            raise ValueError(
                f"pixel_size={self.pixel_size} of the frames is a range: say what that of the "
                "images is, in pm, with fit(X, pixel_size=...)."
            )
        net, history = train(self, TrainingData(X=X, y=y, pixel_size=pixel_size, bins=bins))
        # only now: a fit that fails leaves what was there before
        self.net_, self.network_, self.history_ = net, net.module_, history
        self.bins_, self.noise_ = bins, noise
        vars(self).pop("info_", None)  # of the weights before these
        return self

    def _check_parameters(self):
        """Find what is wrong with the parameters without any image."""
        from temdenoise.training.loop import check_network

        self._validate_params()
        bins = bins_of(self)
        noise = PoissonNoise(dose=self.dose)
        noise._validate_params()
        noise._check_dose()
        check_network(self)
        return bins, noise

    def transform(self, X, *, mask=None, pixel_size=None):
        """Denoise images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Noisy images in counts per pixel.
        mask : bool array-like of shape (height, width) or (n_images, height, width), optional
            True marks pixels not to trust, such as a burnt-in label. The network sees noise of the
            local mean there instead; the estimate under the mask says nothing.
        pixel_size : float or "auto", optional
            Pixel size of `X` in pm. By default that of the training; "auto" takes the one with the
            smallest unbiased risk, which needs whole counts (see `estimate_pixel_size`).

        Returns
        -------
        denoised : ndarray of shape (n_images, height, width), dtype float32
            Estimated mean counts per pixel.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted.
        ValueError
            If the images are not a valid stack, the mask does not fit, or the pixels are coarser
            than the network's bins.
        MemoryError
            If the device's memory does not even hold the smallest tiles. Where it does not hold the
            usual ones, smaller ones are taken, with a warning.
        """
        from temdenoise.networks.apply import TiledNetwork

        X = self._check_transform_input(X)
        mask = check_mask(mask, X.shape)
        if isinstance(pixel_size, str) and pixel_size == "auto":
            pixel_size = self.estimate_pixel_size(X, mask=mask)
        factor = self.bins_.factor(pixel_size)
        if pixel_size is not None and factor > MANY_PIXELS:
            warnings.warn(
                f"pixel_size={pixel_size:g} pm makes each bin of the network {factor:.0f} pixels "
                "wide: is it in pm?",
                stacklevel=2,
            )
        quiet = not self.verbose or len(X) <= _A_HANDFUL
        denoised = np.empty(X.shape, dtype=np.float32)
        network = TiledNetwork(self)
        for i in tqdm(range(len(X)), desc="denoise", unit="image", disable=quiet):
            one = None if mask is None else mask[i]
            denoised[i] = self._denoise(X[i], one, factor, network)
        return denoised

    def _draw_noise(self, clean, seed):
        if np.ndim(self.dose):
            # A network for a range of doses is scored at the images' own, as other methods are.
            return PoissonNoise().sample(clean, return_clean=True, random_state=seed)
        return super()._draw_noise(clean, seed)

    def _denoise(self, image, mask, factor, network=None):
        """Estimate of one image (height, width), on bins of `factor` pixels."""
        from temdenoise.networks.apply import TiledNetwork

        image = _fill_with_noise(image, mask)
        network = TiledNetwork(self) if network is None else network
        rates = network(bin_counts(image[None], factor)[0])
        return unbin(rates[None] / factor**2, factor, image.shape)[0]

    def estimate_pixel_size(self, X, *, mask=None, candidates=None):
        """Find the pixel size at which the network predicts unseen electrons best.

        The electrons are split at random into two halves; the first is denoised as if its pixels
        had each size in turn, and compared with the second, which is independent of it: the squared
        difference, less the noise of the second half, is an unbiased estimate of the error. No
        clean image is needed.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Counts: whole numbers.
        mask : bool array-like, optional
            True marks pixels not to trust.
        candidates : array-like of float, optional
            Pixel sizes to try, in pm. By default 2.5 to 12 pm in steps of 6 %, or what of this the
            network's bins allow.

        Returns
        -------
        pixel_size : float
            The best candidate in pm.

        Raises
        ------
        ValueError
            If the counts are not whole numbers: then only you can know the pixel size. If the mask
            hides the middle of all images, or a candidate cannot be a pixel size of the network.

        Warns
        -----
        UserWarning
            If no candidate predicts better than an even image would, or the best of the default
            ones is the smallest or largest: then do not believe it.
        """
        from temdenoise.denoisers._trained.pixel_size import estimate_pixel_size

        X = self._check_transform_input(X)
        return estimate_pixel_size(self, X, check_mask(mask, X.shape), candidates)

    def pixel_gradient(self, image, pixel, *, pixel_size=None):
        """Differentiate one denoised pixel with respect to the noisy image.

        `temdenoise.inspection.equivalent_filter` calls it, and says what it means.

        Parameters
        ----------
        image : ndarray of shape (height, width)
            One noisy image, in counts per pixel.
        pixel : tuple of two int
            Row and column of the denoised pixel.
        pixel_size : float or "auto", optional
            As for `transform`.

        Returns
        -------
        value : float
            The denoised pixel in counts/px.
        gradient : ndarray of shape (height, width), dtype float64
            Its derivative with respect to each pixel of `image`.

        Raises
        ------
        NotFittedError, ValueError
            As `transform`.
        """
        from temdenoise.networks.gradient import pixel_gradient

        return pixel_gradient(self, image, pixel, pixel_size=pixel_size)

    def save_pretrained(self, path, *, overwrite=False, info=None, dtype="float32"):
        """Write weights and settings into a folder: model.safetensors and config.json.

        Parameters
        ----------
        path : str or path-like
            The folder.
        overwrite : bool, default=False
            Replace weights that are there.
        info : dict, optional
            What else to record: training set, measured figures, licence ... Nothing but what JSON
            can hold. By default what was recorded with the weights loaded, if they were. What
            stands under "description" is what `list_pretrained` shows.
        dtype : {"float32", "float16", "bfloat16"}, default="float32"
            How to store the weights. Half precision halves the file and rounds every weight, by at
            most 0.05 % ("float16") or 0.4 % ("bfloat16"), which hardly shows in the images; loaded,
            they are float32 again.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted.
        ValueError
            If `dtype` is none of these, or too narrow for the weights.
        FileExistsError
            If the folder holds weights and `overwrite` is False, or is a file.
        TypeError
            If `info` holds what JSON cannot.
        """
        from temdenoise.denoisers._trained.weights import save

        save(self, path, overwrite=overwrite, info=info, dtype=dtype)

    @classmethod
    def from_pretrained(cls, name_or_path="general", *, device="auto"):
        """Load trained weights; nothing in them is executed.

        Parameters
        ----------
        name_or_path : str or path-like, default="general"
            A name of the weights in the package (see `list_pretrained`), or a folder written by
            `save_pretrained` (of the two, the package's: write "./general" for a folder of that
            name). "general" serves doses of about 0.1 to 3 counts/px, pixels of 4 to 10 pm, all
            contrasts; "white" the paper's case alone, white contrast at 0.45 counts/px.
            ``"hf://owner/name"`` is a Hugging Face repository that holds what `save_pretrained`
            wrote, ``"hf://owner/name@revision"`` a certain branch, tag or commit of it; its two
            files are downloaded once and kept in the user's cache.
        device : str, default="auto"
            As the parameter of the class.

        Returns
        -------
        denoiser : SBDDenoiser
            Fitted.

        Raises
        ------
        FileNotFoundError
            If there is no such name, folder or repository.
        ValueError
            If the files are damaged or do not belong together.
        ConnectionError
            If the repository cannot be reached and is not in the cache.
        ImportError
            If a repository is named and huggingface_hub is missing: ``pip install
            'temdenoise[hub]'``.
        """
        from temdenoise.denoisers._trained.weights import load

        return load(cls, name_or_path, device=device)

    @staticmethod
    def list_pretrained():
        """List the trained weights in the package.

        Returns
        -------
        table : pandas.DataFrame
            A row for each name that `from_pretrained` takes: what the weights are for, their
            architecture, pixel size (pm) and dose or range of doses (mean counts/px) in training,
            and the size of the file.

        Examples
        --------
        >>> from temdenoise import SBDDenoiser
        >>> SBDDenoiser.list_pretrained().loc["general", "architecture"]
        'fourier_unet'
        """
        from temdenoise.denoisers._trained.weights import table

        return table()


def _fill_with_noise(image, mask):
    """Fill masked pixels with counts of the mean nearby, drawn with a fixed seed.

    A smooth patch would be a structure of its own to a network that reads the noise too.
    """
    if mask is None or not mask.any():
        return image
    filled = fill_masked(image[None], mask[None])[0]  # a copy, as something is masked
    filled[mask] = np.random.RandomState(0).poisson(np.maximum(filled[mask], 0))
    return filled
