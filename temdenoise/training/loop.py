"""Training of `SBDDenoiser`: from images to a network with its best weights."""

import hashlib
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from temdenoise._device import choose_device, use_bfloat16
from temdenoise.denoisers._trained.bins import Bins
from temdenoise.networks import RelativeToMean, build_network
from temdenoise.noise import PoissonNoise
from temdenoise.training import net as training
from temdenoise.training.batches import CleanPatches, PairedPatches, spline_coefficients
from temdenoise.training.muon import Muon
from temdenoise.training.processes import Alone, Several, SharedNet, silent
from temdenoise.training.report import CSVLog, ProgressBar, check_log

# Batches of validation, drawn once and the same for all epochs.
_VALIDATION_BATCHES = 4
# Settings that do not change what a training computes, or that say when it ends.
_NOT_IN_CHECKPOINT = (
    "checkpoint", "verbose", "device", "max_time", "warm_start", "random_state", "orientations",
    "callbacks", "log", "accelerate",
)  # fmt: skip

_OPTIMIZERS = {"muon": Muon, "adam": torch.optim.AdamW}


@dataclass(kw_only=True)
class TrainingData:
    """Images to train on, and the bins the network will see them on."""

    X: np.ndarray
    y: np.ndarray | None
    pixel_size: float | None  # of X, pm; None: that of the frames to denoise
    bins: Bins

    @property
    def zoom(self):
        """Side of a bin in pixels of the images."""
        if self.pixel_size is None:
            return float(self.bins.binning)
        return self.bins.size / self.pixel_size

    def fingerprint(self):
        """Tell these data from others."""
        digest = hashlib.sha256(repr((self.pixel_size, self.bins.binning)).encode())
        for stack in (self.X, self.y):
            if stack is not None:
                digest.update(repr(stack.shape).encode())
                digest.update(np.ascontiguousarray(stack))
        return digest.hexdigest()


def network_options(est):
    """Keyword arguments of the network's class that the estimator's parameters stand for."""
    options = {"scales": est.scales, "base_channels": est.base_channels}
    options = {k: int(v) for k, v in options.items() if v is not None}
    if est.architecture in ("dncnn", "small_unet") and options:
        raise ValueError(
            f"{' and '.join(options)} cannot be chosen for architecture={est.architecture!r}: "
            "leave them out."
        )
    if est.architecture in ("unet", "dncnn"):
        options["bias_free"] = bool(est.bias_free)
    return options


def network_of(est):
    """Build the network that the estimator's parameters stand for."""
    network = build_network(est.architecture, **network_options(est))
    binned = est.binning != "auto" and est.binning > 1
    if binned and not getattr(network, "takes_level", False):  # those that do see to it themselves
        network = RelativeToMean(network)
    return network


def check_network(est):
    """Refuse parameters for which there is no network."""
    with torch.device("meta"):  # shapes alone: no memory and no random draw
        network_of(est)


def check_settings(est, *, resume):
    """Refuse a training that could not begin, before there are any images.

    Parameters
    ----------
    est : SBDDenoiser
    resume : bool
        Whether to continue from the checkpoint, which then must be there and fit.
    """
    est._check_parameters()
    if resume:
        training.read_checkpoint(est.checkpoint, settings_of(est), "cpu")


def _split(X, fraction):
    """Cut the last images off for validation; a single image serves both."""
    if len(X) == 1:
        return X, X
    n = min(max(1, round(fraction * len(X))), len(X) - 1)
    return X[:-n], X[-n:]


def _check_resolution(X, zoom):
    """Refuse clean images whose detail the bins cannot hold: a forgotten or wrong pixel size."""
    sample = X[:: max(1, len(X) // 16)].astype(np.float64)
    sample = sample - sample.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(sample.shape[1])[:, None] * np.hanning(sample.shape[2])
    power = np.abs(np.fft.fft2(sample * window)) ** 2
    gy, gx = (np.abs(np.fft.fftfreq(n)) for n in sample.shape[1:])
    beyond = np.maximum(gy[:, None], gx) > 0.5 / zoom
    lost = power[:, beyond].sum() / max(power.sum(), 1e-30)
    if lost > 0.05:
        raise ValueError(
            f"The network's bins are {zoom:.3g} pixels of these images wide and would lose "
            f"{lost:.0%} of their contrast. If their pixels are larger than those of the frames to "
            "denoise, say so with fit(X, pixel_size=...); or set pixel_size or binning of the "
            "estimator. If they are noisy images, give their targets too: fit(X, y)."
        )


def _patch_bins(est, data):
    """Side of a patch in bins: what was asked for, or what the images hold."""
    coarsest = data.bins.scale[1] if data.bins.scale_blind else 1.0
    fits = int(min(data.X.shape[1:]) * 1.01 / (data.zoom * coarsest))
    if fits < 1:
        raise ValueError(
            f"X holds images of {data.X.shape[1:]} pixels, but a bin of the network is "
            f"{data.zoom * coarsest:.3g} pixels wide: give larger images, or lower binning."
        )
    return min(max(1, est.patch_size // data.bins.binning), fits)


def _datasets(est, data, device, seeds):
    """Training and validation batches."""
    parts = {"train": est.steps_per_epoch, "valid": _VALIDATION_BATCHES}
    binning = data.bins.binning
    common = {"batch_size": est.batch_size, "size": _patch_bins(est, data)}
    stacks = zip(*(
        _split(stack, est.validation_fraction) for stack in (data.X, data.y) if stack is not None
    ), strict=True)  # fmt: skip
    if data.y is not None:
        return [
            PairedPatches(
                noisy=noisy, target=target, binning=binning, n_batches=n, seed=seed,
                device=device, **common,
            )
            for (noisy, target), n, seed in zip(stacks, parts.values(), seeds, strict=True)
        ]  # fmt: skip
    _check_resolution(data.X, data.zoom)
    area = float(binning**2)
    noise = PoissonNoise(dose=None if est.dose is None else _per_bin(est.dose, area))
    return [
        CleanPatches(
            coefficients=spline_coefficients(clean, device), zoom=data.zoom, noise=noise, area=area,
            n_batches=n, seed=seed, rotation=float(est.rotation), scale=data.bins.scale,
            stretch=float(est.stretch), **common,
        )
        for (clean,), n, seed in zip(stacks, parts.values(), seeds, strict=True)
    ]  # fmt: skip


def _per_bin(dose, area):
    return tuple(d * area for d in dose) if np.ndim(dose) else dose * area


class _Drawn(torch.utils.data.Dataset):
    """Batches drawn once."""

    def __init__(self, dataset):
        self.batches = [dataset[k] for k in range(len(dataset))]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]


def train(est, data):
    """Train a network as the estimator's parameters say.

    Returns
    -------
    net : DenoisingNet
        Its module holds the best weights. It has let go of the data and all that trained it.
    history : list of dict
    """
    processes = Several(est.device) if est.accelerate else Alone()
    device = processes.device if est.accelerate else choose_device(est.device)
    own = _own_callbacks(est.callbacks)
    log = None if est.log is None else check_log(est.log)
    rng = check_random_state(est.random_state)
    seeds = processes.from_main([int(s) for s in rng.randint(2**31 - 1, size=3)])
    settings, state = {}, None
    if est.checkpoint is not None:
        settings = {
            **settings_of(est),
            "data": data.fingerprint(),
            "number of processes": repr(processes.count),
        }
        state = training.read_checkpoint(est.checkpoint, settings, device)
        if state is not None:
            seeds = state["seeds"]
    # each process draws patches of its own
    patches, validation = _datasets(est, data, device, [seeds[1] + processes.rank, seeds[2]])

    budget = training.Budget(
        est.max_epochs * est.steps_per_epoch,
        None if est.max_time is None else est.max_time * 60,
        processes,
    )
    best = training.KeepBestWeights()
    patience = None if est.early_stopping is None else training.EarlyStopping(est.early_stopping)
    cosine = est.schedule == "cosine"
    rate = (
        training.CosineSchedule(budget, est.learning_rate)
        if cosine
        else training.PlateauSchedule(est.learning_rate)
    )
    checkpoint = None
    if est.checkpoint is not None:
        checkpoint = training.Checkpoint(est.checkpoint, budget, best, settings, seeds)
    # In this order: each may use what those before it recorded, and the last two end the training.
    callbacks = [
        ("psnr", training.ValidationPSNR(processes)),
        ("best", best),
        ("finite", training.StopWhenNotFinite(processes)),
        ("rate", rate),
        *own,
        ("log", CSVLog(log, budget) if log is not None and processes.is_main else None),
        ("checkpoint", checkpoint if processes.is_main else None),
        ("progress", ProgressBar(budget) if est.verbose and processes.is_main else None),
        ("patience", patience),
        ("budget", budget),
    ]

    alone = processes.count == 1
    if alone:
        net_class, further = training.DenoisingNet, {"callbacks__print_log": None}
    else:
        net_class = SharedNet
        further = {"accelerator": processes.accelerator, "callbacks__print_log__sink": silent}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seeds[0])
        module = network_of(est)
        if est.warm_start and hasattr(est, "network_"):
            _start_from(module, est)
        net = net_class(
            module,
            criterion=torch.nn.MSELoss,  # replaced by get_loss, which sees the units too
            optimizer=_OPTIMIZERS[est.optimizer],
            optimizer__weight_decay=1e-4,
            lr=est.learning_rate,
            max_epochs=est.max_epochs,
            train_split=predefined_split(_Drawn(validation)),
            callbacks=[(name, c) for name, c in callbacks if c is not None],
            autocast=use_bfloat16(est.precision, device),
            budget=budget,
            device=device,
            verbose=0,
            **further,
        ).initialize()
        if state is not None:
            checkpoint.resume(net, state)

        def is_finished():
            return budget.used >= 1 or (patience is not None and patience.is_due(net.history))

        diverged = None
        if not is_finished():
            try:
                with _fastest_algorithms():
                    net.partial_fit(patches, epochs=est.max_epochs - len(net.history))
            except training.TrainingDiverged as error:
                net.notify("on_train_end", X=patches, y=None)
                diverged = error
    with warnings.catch_warnings():
        if not processes.is_main:
            warnings.simplefilter("ignore")  # one of all says it
        _explain_early_end(est, best, diverged, budget, is_finished())

    weights = {k: v.cpu() for k, v in best.weights_.items()}
    module.load_state_dict(processes.from_main(weights))
    module.eval()
    history = processes.from_main(training.plain_history(net.history))
    net.set_params(callbacks=None, budget=None, train_split=None)
    net.callbacks_ = []
    net.optimizer_.state.clear()
    del net.averaged_  # its best state is what the network now holds
    if not alone:
        net.forget_processes()
    return net, history


@contextmanager
def _fastest_algorithms():
    """Let a GPU try which algorithms are fastest, once for all batches as they have one shape."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = not cudnn.deterministic
    try:
        yield
    finally:
        cudnn.benchmark = before


def _own_callbacks(callbacks):
    """Callbacks of the user, each with a name that none of ours has."""
    named = []
    for k, item in enumerate(callbacks or ()):
        name, callback = item if isinstance(item, tuple) and len(item) == 2 else (None, item)
        if isinstance(callback, type) and issubclass(callback, Callback):
            callback = callback()
        if not isinstance(callback, Callback) or not (name is None or isinstance(name, str)):
            raise TypeError(
                f"callbacks must hold skorch callbacks, or pairs (name, callback), got {item!r}."
            )
        name = f"{type(callback).__name__}_{k}" if name is None else name
        named.append((f"user_{name}", callback))
    if len({name for name, _ in named}) < len(named):
        raise ValueError("Two of the callbacks have the same name.")
    return named


def settings_of(est):
    """Collect the parameters that must be the same for a checkpoint to be continued from."""
    settings = {k: v for k, v in est.get_params().items() if k not in _NOT_IN_CHECKPOINT}
    if isinstance(est.random_state, Integral):  # others do not tell which numbers they will give
        settings["random_state"] = int(est.random_state)
    return {k: repr(v) for k, v in settings.items()}


def _start_from(module, est):
    try:
        module.load_state_dict(est.network_.state_dict())
    except RuntimeError as error:
        raise ValueError(
            "warm_start=True needs the network of the last fit, but architecture, scales, "
            f"base_channels or bias_free changed since: {error}"
        ) from error


def _explain_early_end(est, best, diverged, budget, finished):
    """Warn that training ended early; raise if there is nothing to keep."""
    kept = hasattr(best, "weights_")
    if diverged is not None:
        advice = f"lower learning_rate ({est.learning_rate:g}) or use precision='float32'"
        if not kept:
            raise ValueError(f"{diverged} before the first epoch ended: {advice}.") from diverged
        message = f"{diverged}: training stopped, the best weights are kept; {advice}."
    elif not kept:
        raise KeyboardInterrupt("Training was interrupted before its first epoch ended.")
    elif not finished:
        message = (
            f"Training was interrupted after {budget.used:.0%} of its budget; the best weights so "
            "far are kept. With a checkpoint, the same call continues it."
        )
    else:
        return
    warnings.warn(message, stacklevel=4)  # of the line that called fit
