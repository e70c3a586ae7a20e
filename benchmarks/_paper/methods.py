"""The rows of the tables: how each method is made, and what the paper has for it.

A method whose classes do not exist yet is left out, and joins once they can be imported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import temdenoise
from temdenoise import SBDDenoiser

from .images import PIXEL_SIZE

FOREVER = 1_000_000  # epochs: the time is what ends a training


@dataclass
class Method:
    """A row. Exactly one of `make`, `weights` and `network` says what the method is, or none."""

    name: str
    paper: tuple | None = None  # PSNR in dB, SSIM
    make: Callable | None = None  # of a classical method
    grid: dict = field(default_factory=dict)  # what of it is tuned, if it has these parameters
    weights: str | None = None  # of a trained network
    network: dict | None = None  # parameters of SBDDenoiser, to be trained
    rehearsal: bool = False  # too little time to mean anything


def _class(name):
    return getattr(temdenoise.denoisers, name)


def _vst(name):
    return lambda: _class("VSTDenoiser")(denoiser=_class(name)())


CLASSICAL = [
    Method("raw", (3.56, 0.00)),
    Method(
        "low-pass filter",
        (21.59, 0.44),
        lambda: _class("LowPassDenoiser")(),
        {"cutoff": [0.015, 0.018, 0.021, 0.025, 0.03, 0.036]},
    ),
    Method(
        "adaptive Wiener filter",
        (22.42, 0.63),
        lambda: _class("WienerDenoiser")(),
        {"window_size": [9, 13, 17, 21, 25, 31]},
    ),
    Method(
        "VST + NLM",
        (26.55, 0.73),
        _vst("NLMDenoiser"),
        {"binning": [4, 6, 8, 10], "denoiser__h": [0.1, 0.15, 0.25, 0.4, 0.6]},
    ),
    Method("VST + BM3D", (25.27, 0.80), _vst("BM3DDenoiser"), {"binning": [4, 6, 8, 10]}),
    Method(
        "PURE-LET",
        (28.36, 0.93),
        lambda: _class("PURELETDenoiser")(),
        {"binning": [2, 3, 4, 5, 6]},
    ),
    Method(
        "windowed Fourier",
        None,
        lambda: _class("WindowedFourierDenoiser")(),
        {"threshold": [0.4, 0.6, 0.8, 1.0, 1.3]},
    ),
]


@dataclass
class Network:
    """A row of Table 3.1(a)."""

    name: str
    options: dict
    parameters: str | None = None  # in the paper
    field_of_view: int | None = None  # px, in the paper
    paper: tuple | None = None  # PSNR in dB, SSIM


PAPER_NETWORKS = [
    Network("DnCNN", {"network": "dncnn"}, "668K", 41, (30.47, 0.93)),
    Network("small UNet", {"network": "small_unet"}, "233K", 45, (30.87, 0.93)),
    *(
        Network(
            f"UNet {channels} ch, {scales} scales",
            {"network": "unet", "base_channels": channels, "n_scales": scales},
            parameters, view, paper,
        )
        for channels, scales, parameters, view, paper in (
            (32, 4, "352K", 221, (36.39, 0.98)),
            (64, 4, "1.41M", 221, (37.24, 0.99)),
            (128, 4, "5.61M", 221, (38.05, 0.99)),
            (128, 6, "70.15M", 893, (42.87, 0.99)),
        )
    ),
]  # fmt: skip
# Bins and patches stand here although they are the defaults: rows are known by their parameters.
DEFAULT = Network(
    "fourier_unet (default, 5 x 5 bins)",
    {"network": "fourier_unet", "binning": 5, "patch_size": 400},
)
FINER = Network(
    "fourier_unet, 4 x 4 bins",
    {"network": "fourier_unet", "binning": 4, "patch_size": 384},
)


def training(args, **options):
    """Parameters of `SBDDenoiser` for a training of the budget given."""
    return {
        "training_pixel_size": PIXEL_SIZE,
        "max_minutes": args.budget,
        "max_epochs": FOREVER,
        "validation_fraction": 0.05,
        "random_state": args.seed,
    } | options


def network_rows(args, networks, *, full, binned):
    """Trainings of networks, at full resolution and/or on summed counts."""
    rehearsal = not args.device.startswith("cuda")
    for network in networks:
        if network in (DEFAULT, FINER):
            yield Method(f"SBD + {network.name}", network=training(args, **network.options))
            continue
        # as they are: the paper trains with Adam and does not average over orientations
        options = network.options | {"orientations": 1, "optimizer": "adam"}
        options["max_minutes"] = args.paper_budget
        if binned:
            name = f"SBD + {network.name}, 4 x 4 bins"
            yield Method(name, network=training(args, binning=4, **options))
        if full:
            name = f"SBD + {network.name}"
            if rehearsal:
                # four pixels or more are left of a patch at the coarsest scale
                side = max(128, 4 * 2 ** options.get("n_scales", 4))
                few = {"patch_size": side, "batch_size": 2, "steps_per_epoch": 5}
                short = {"max_minutes": min(args.paper_budget, args.rehearsal)}
                options = options | few | short
                name += " (REHEARSAL)"
            else:
                options = options | {"patch_size": 400, "steps_per_epoch": 200}
            network_parameters = training(args, **options)
            yield Method(name, network.paper, network=network_parameters, rehearsal=rehearsal)


def shipped_rows():
    """Rows of the weights that ship with the package."""
    for name in ("general", "white"):
        try:
            SBDDenoiser.from_pretrained(name)
        except FileNotFoundError:
            continue
        yield Method(f'SBD, shipped weights "{name}"', weights=name)


def table_5_1(args):
    """Methods of Table 5.1, ours after the paper's."""
    cuda = args.device.startswith("cuda")
    networks = [*(PAPER_NETWORKS[k] for k in ((0, 1, 5) if cuda else (0, 1, 4))), DEFAULT]
    rows = [*CLASSICAL, *network_rows(args, networks, full=cuda, binned=not cuda), *shipped_rows()]
    return _asked_for(args, rows)


def table_3_1(args):
    """Networks of Table 3.1, at full resolution and binned, and ours."""
    rows = network_rows(args, [*PAPER_NETWORKS, FINER, DEFAULT], full=True, binned=True)
    return _asked_for(args, rows)


def _asked_for(args, rows):
    """Rows in whose names there is one of those of the command line, if it has any."""
    return [row for row in rows if not args.only or any(name in row.name for name in args.only)]


def make(method):
    """Make a classical method's estimator; None if a class of it does not exist."""
    try:
        return method.make()
    except (AttributeError, ImportError):
        return None
