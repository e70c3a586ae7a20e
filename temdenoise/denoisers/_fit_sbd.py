"""Training of `SBDDenoiser`: from images to a network with its best weights."""

import logging
import warnings

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.helper import predefined_split

from ..networks import build_network
from ..noise import PoissonNoise
from . import _training as training
from ._patches import CleanPatches, PairedPatches, spline_coefficients

_LOGGER = logging.getLogger(__name__)
# Batches of validation, drawn once and the same for all epochs.
_VALIDATION_BATCHES = 4


def choose_device(device):
    """Resolve "auto"."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _use_bfloat16(precision, device):
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # on processors without the instructions bfloat16 is emulated, and slow
    return device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


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
            "estimator."
        )


def _datasets(est, X, y, pixel_size, binning, device, seed):
    """Training and validation batches."""
    common = {"batch_size": est.batch_size, "size": max(1, est.patch_size // binning)}
    n_batches = {"train": est.steps_per_epoch, "valid": _VALIDATION_BATCHES}
    if y is not None:
        side = common["size"] * binning
        if min(X.shape[1:]) < side:
            raise ValueError(
                f"patch_size={est.patch_size} is larger than the images {X.shape[1:]}: lower it."
            )
        pairs = zip(
            _split(X, est.validation_fraction), _split(y, est.validation_fraction), strict=True
        )
        return [
            PairedPatches(
                noisy=a, target=b, binning=binning, n_batches=n_batches[part], seed=s,
                device=device, **common,
            )
            for (a, b), part, s in zip(pairs, n_batches, seed, strict=True)
        ]  # fmt: skip
    zoom = est.bin_size_ / pixel_size
    if common["size"] * zoom > min(X.shape[1:]) * 1.01:
        raise ValueError(
            f"A patch of patch_size={est.patch_size} covers {common['size'] * zoom:.0f} pixels of "
            f"the training images, which have {X.shape[1:]}: lower patch_size, or give the images' "
            "pixel_size to fit."
        )
    _check_resolution(X, zoom)
    dose = est.dose
    if dose is not None:
        dose = tuple(d * binning**2 for d in dose) if np.ndim(dose) else dose * binning**2
    noise = PoissonNoise(dose=dose)
    noise._validate_params()
    return [
        CleanPatches(
            coefficients=spline_coefficients(images).to(device), zoom=zoom, noise=noise,
            area=float(binning**2), n_batches=n_batches[part], seed=s,
            rotation=float(est.rotation), scale=est.scale_, **common,
        )
        for images, part, s in zip(_split(X, est.validation_fraction), n_batches, seed, strict=True)
    ]  # fmt: skip


class _Drawn(torch.utils.data.Dataset):
    """Batches drawn once."""

    def __init__(self, dataset):
        self.batches = [dataset[k] for k in range(len(dataset))]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]


def train(est, X, y, pixel_size, binning):
    """Train the estimator's network; set ``network_``, ``net_`` and ``history_``."""
    device = choose_device(est.device)
    rng = check_random_state(est.random_state)
    seed, *data_seeds = (int(s) for s in rng.randint(2**31 - 1, size=3))
    options = network_options(est)
    patches, validation = _datasets(est, X, y, pixel_size, binning, device, data_seeds)

    seconds = None if est.max_time is None else est.max_time * 60
    budget = training.Budget(est.max_epochs * est.steps_per_epoch, seconds)
    best = training.KeepBestWeights()
    callbacks = [("psnr", training.ValidationPSNR()), ("best", best)]
    callbacks.append(("finite", training.StopWhenNotFinite()))
    if est.schedule == "cosine":
        callbacks.append(("rate", training.CosineSchedule(budget, est.learning_rate)))
    else:
        callbacks.append(("rate", LRScheduler(
            torch.optim.lr_scheduler.ReduceLROnPlateau, monitor="valid_psnr", mode="max",
            factor=0.5, patience=3,
        )))  # fmt: skip
    checkpoint = None
    if est.checkpoint is not None:
        settings = {k: repr(v) for k, v in est.get_params().items()}
        for name in ("checkpoint", "verbose", "device", "max_time", "warm_start"):
            del settings[name]
        settings["images"] = repr(X.shape)
        checkpoint = training.Checkpoint(est.checkpoint, budget, best, settings)
        callbacks.append(("checkpoint", checkpoint))
    if est.verbose:
        callbacks.append(("progress", training.ProgressBar(budget)))
    if est.early_stopping is not None:
        callbacks.append(("patience", EarlyStopping(
            monitor="valid_psnr", lower_is_better=False, patience=est.early_stopping,
            sink=_LOGGER.info,
        )))  # fmt: skip
    callbacks.append(("budget", budget))

    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        module = build_network(est.architecture, **options)
        if est.warm_start and hasattr(est, "network_"):
            module.load_state_dict(est.network_.state_dict())
        net = training.DenoisingNet(
            module,
            criterion=torch.nn.MSELoss,  # replaced by get_loss, which sees the units too
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=1e-4,
            lr=est.learning_rate,
            max_epochs=est.max_epochs,
            train_split=predefined_split(_Drawn(validation)),
            callbacks=callbacks,
            callbacks__print_log=None,
            autocast=_use_bfloat16(est.precision, device),
            budget=budget,
            device=device,
            verbose=0,
        ).initialize()
        if checkpoint is not None:
            checkpoint.resume(net)
        try:
            if budget.used < 1:
                net.partial_fit(patches, epochs=est.max_epochs - len(net.history))
        except training.TrainingDiverged as error:
            _explain_divergence(error, best, est)
    if budget.used < 1 and est.early_stopping is None and hasattr(best, "weights_"):
        warnings.warn(
            f"Training ended after {budget.used:.0%} of its budget; the best weights so far are "
            "kept. With a checkpoint, the same call continues it.",
            stacklevel=4,
        )
    if not hasattr(best, "weights_"):
        raise RuntimeError("Training was interrupted before its first epoch ended.")
    module.load_state_dict(best.weights_)
    est.network_ = module.eval()
    est.history_ = _plain_history(net.history)
    net.set_params(callbacks=None, budget=None)
    net.callbacks_ = []
    del net.averaged_  # its best state is what the network now holds
    net.train_split = None
    est.net_ = net


def _explain_divergence(error, best, est):
    advice = f"lower learning_rate ({est.learning_rate:g}) or use precision='float32'"
    if not hasattr(best, "weights_"):
        raise ValueError(f"{error} before the first epoch ended: {advice}.") from error
    warnings.warn(f"{error}: training stopped, the best weights are kept; {advice}.", stacklevel=5)


def _plain_history(history):
    return [{k: v for k, v in row.items() if k != "batches"} for row in history]
