"""The methods of ``temdenoise denoise`` and their parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from temdenoise.cli._defaults import say_default
from temdenoise.cli._shared import positive_float, positive_int


@dataclass(frozen=True)
class Method:
    """A method by its name on the command line."""

    text: str
    make: Callable  # gets the package, returns the denoiser with its default parameters
    trains: bool = False  # whether it trains a network on the frames to denoise


# The first is the default.
METHODS = {
    "auto": Method(
        "the one of sbd, windowed-fourier, lowpass and constant that predicts held-out electrons "
        "best",
        lambda t: t.AutoDenoiser(),
    ),
    "sbd": Method("network trained on simulations", lambda t: t.SBDDenoiser()),
    "windowed-fourier": Method(
        "windowed Fourier filter, for crystals", lambda t: t.WindowedFourierDenoiser()
    ),
    "vst-bm3d": Method(
        "variance stabilisation and block matching",
        lambda t: t.VSTDenoiser(denoiser=t.BM3DDenoiser(sigma=1.0)),
    ),
    "vst-nlm": Method(
        "variance stabilisation and non-local means",
        lambda t: t.VSTDenoiser(denoiser=t.NLMDenoiser()),
    ),
    "bm3d": Method(
        "block matching for Gaussian noise (for counts take vst-bm3d)", lambda t: t.BM3DDenoiser()
    ),
    "nlm": Method(
        "non-local means for Gaussian noise (for counts take vst-nlm)", lambda t: t.NLMDenoiser()
    ),
    "pure-let": Method("wavelet thresholds of least estimated risk", lambda t: t.PURELETDenoiser()),
    "wiener": Method("adaptive Wiener filter", lambda t: t.WienerDenoiser()),
    "lowpass": Method("low-pass filter", lambda t: t.LowPassDenoiser()),
    "constant": Method("mean of each image, to compare with", lambda t: t.ConstantDenoiser()),
    "blind-spot": Method(
        "network trained on the given frames, predicts each bin from its surroundings",
        lambda t: t.BlindSpotDenoiser(random_state=0),
        trains=True,
    ),
    "udvd": Method(
        "network trained on the given movie, sees the neighbouring frames too",
        lambda t: t.UDVDDenoiser(random_state=0),
        trains=True,
    ),
    "thinned": Method(
        "network trained on the given frames, predicts a part of the electrons from the rest",
        lambda t: t.ThinnedDenoiser(random_state=0),
        trains=True,
    ),
    "self2self": Method(
        "network trained on the one given image",
        lambda t: t.Self2SelfDenoiser(random_state=0),
        trains=True,
    ),
}
_TRAINED_HERE = [name for name, method in METHODS.items() if method.trains]
# Methods with trained weights, which `adapt` can change.
_WITH_WEIGHTS = ("auto", "sbd")
# Methods whose parameter n_frames says how many frames they use.
_WITH_TIME = ("windowed-fourier", "udvd")


@dataclass(frozen=True)
class _Option:
    type: Callable
    metavar: str
    help: str
    methods: dict  # method -> the parameter it is there
    adapting: bool = False  # whether it goes with --adapt too
    frames: bool = False  # whether it is about the frames of a file, so that only denoise has it

    def described(self, methods):
        """Help: which of `methods` take it, and what it is."""
        names = [name for name in methods if name in self.methods]
        others = [name for name in methods if name not in self.methods]
        if 0 < len(others) <= len(names) // 2:
            names = [f"all but {', '.join(others)}"]
        return f"{', '.join(names + ['--adapt'] * self.adapting)}: {self.help}"

    def default(self, methods):
        """Defaults of those of `methods` that take it, in words."""
        import temdenoise

        values = {}
        for method, name in self.methods.items():
            if method not in methods:
                continue
            value = METHODS[method].make(temdenoise).get_params().get(name)
            if value is not None:
                values.setdefault(str(value), []).append(method)
        if len(values) == 1:
            return next(iter(values))
        return ", ".join(f"{value} for {' and '.join(names)}" for value, names in values.items())


_OPTIONS = {
    "--weights": _Option(
        str,
        "NAME_OR_DIR",
        "trained weights; without --method it means sbd",
        {"sbd": "weights", "auto": "weights"},
    ),
    "--cutoff": _Option(positive_float, "F", "cutoff in cycles/px", {"lowpass": "cutoff"}),
    "--window-size": _Option(
        positive_int,
        "PX",
        "side of the windows in px",
        {"wiener": "window_size", "windowed-fourier": "window_size"},
    ),
    "--binning": _Option(
        positive_int,
        "PX",
        "side of the bins in px; auto: what the image allows",
        {
            name: "binning"
            for name in ("windowed-fourier", "vst-bm3d", "vst-nlm", "pure-let", *_TRAINED_HERE)
        },
    ),
    "--threshold": _Option(
        positive_float, "T", "at 1 noise hardly passes", {"windowed-fourier": "threshold"}
    ),
    "--iterations": _Option(
        positive_int,
        "N",
        "refinements of the estimate",
        {"vst-bm3d": "iterations", "vst-nlm": "iterations"},
    ),
    "--profile": _Option(
        str,
        "NAME",
        "fast, normal, high or crystal",
        {"vst-bm3d": "denoiser__profile", "bm3d": "profile"},
    ),
    "--smoothing": _Option(
        positive_float, "H", "larger is smoother", {"vst-nlm": "denoiser__h", "nlm": "h"}
    ),
    "--sigma": _Option(
        positive_float,
        "S",
        "standard deviation of the noise; auto: measured on each image",
        {"bm3d": "sigma", "nlm": "sigma"},
    ),
    "--n-scales": _Option(positive_int, "N", "scales of the wavelets", {"pure-let": "n_scales"}),
    "--n-jobs": _Option(
        int,
        "N",
        "images at a time (default: one per CPU)",
        {name: "n_jobs" for name in ("wiener", "vst-bm3d", "vst-nlm", "bm3d", "nlm", "pure-let")},
    ),
    "--device": _Option(
        str,
        "NAME",
        "cpu, cuda, ...; auto: a GPU if there is one",
        {
            "auto": "device",
            "sbd": "device",
            "windowed-fourier": "device",
            "vst-bm3d": "denoiser__device",
            "bm3d": "device",
            **dict.fromkeys(_TRAINED_HERE, "device"),
        },
    ),
    "--n-frames": _Option(
        positive_int,
        "N",
        "frames of a movie that are used together\n"
        "windowed-fourier: any number, 9 for movies, 20 where nothing happens\n"
        "udvd: 1, 3 or 5\n"
        "others: sums of N aligned frames are denoised, N odd\n",
        {name: "n_frames" for name in METHODS if name not in _TRAINED_HERE or name in _WITH_TIME},
        frames=True,
    ),
    "--max-minutes": _Option(
        positive_float,
        "MIN",
        "training lasts no longer",
        dict.fromkeys(_TRAINED_HERE, "max_minutes"),
        adapting=True,
        frames=True,
    ),
    "--checkpoint": _Option(
        Path,
        "FILE",
        "file that keeps the training after every epoch; a training that was stopped goes on from "
        "it",
        dict.fromkeys(_TRAINED_HERE, "checkpoint_file"),
        frames=True,
    ),
    "--loss": _Option(
        str,
        "NAME",
        "poisson, gaussian, mse or relative_mse",
        dict.fromkeys(_TRAINED_HERE, "loss"),
        frames=True,
    ),
    "--random-state": _Option(
        int,
        "SEED",
        "seed of the training",
        dict.fromkeys(_TRAINED_HERE, "random_state"),
        adapting=True,
        frames=True,
    ),
}


def add_arguments(parser, *, frames=False):
    """Add ``--method`` and the parameters of the methods.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    frames : bool, default=False
        Whether a method may be trained on, and adapted to, the frames of the file that it denoises.
    """
    methods = {name: m for name, m in METHODS.items() if frames or not m.trains}
    options = {name: o for name, o in _OPTIONS.items() if frames or not o.frames}
    lines = ["one of these (default: auto)", *(f"{n}: {m.text}" for n, m in methods.items())]
    parser.add_argument("--method", choices=methods, metavar="NAME", help="\n".join(lines))
    group = parser.add_argument_group("parameters of the methods")
    for name, option in options.items():
        action = group.add_argument(
            name, type=option.type, metavar=option.metavar, help=option.described(methods)
        )
        say_default(action, partial(option.default, methods))
    if frames:
        group.add_argument(
            "--aligned",
            action="store_true",
            help="with --n-frames: the frames are aligned already, no drift is measured",
        )
        group.add_argument(
            "--adapt",
            action="store_true",
            help="auto, sbd: first train the weights further on the frames (about a minute). They "
            "are taken only if they predict held-back electrons better",
        )
        group.add_argument(
            "--save-weights",
            type=Path,
            metavar="DIR",
            help="with --adapt: folder for the adapted weights, to give as --weights another time",
        )
    switches = {"aligned": False, "adapt": False, "save_weights": None}
    parser.set_defaults(**switches, method_options=tuple(options))


def check_method(arguments):
    """Settle the method, and refuse parameters that it does not take."""
    if arguments.method is None:
        arguments.method = "auto" if arguments.weights is None else "sbd"
    method = arguments.method
    if arguments.adapt and method not in _WITH_WEIGHTS:
        raise ValueError(
            f"--adapt goes with --method {' or '.join(_WITH_WEIGHTS)}, not with {method}"
        )
    if arguments.save_weights is not None and not arguments.adapt:
        raise ValueError("--save-weights goes with --adapt")
    given = _given(arguments)
    for name in given:
        option = _OPTIONS[name]
        if method not in option.methods and not (option.adapting and arguments.adapt):
            also = " or with --adapt" if option.adapting else ""
            raise ValueError(
                f"{name} goes with --method {' or '.join(option.methods)}{also}, not with {method}"
            )
    if arguments.aligned and ("--n-frames" not in given or method in _WITH_TIME):
        raise ValueError("--aligned goes with --n-frames and a method that denoises sums of frames")
    if "--n-frames" in given:
        _check_n_frames(given["--n-frames"], arguments)


def _check_n_frames(n_frames, arguments):
    if arguments.method == "udvd" and n_frames not in (1, 3, 5):
        raise ValueError(f"--n-frames must be 1, 3 or 5 with --method udvd, got {n_frames}")
    if arguments.method not in _WITH_TIME and n_frames % 2 == 0:
        raise ValueError(
            f"--n-frames must be odd with --method {arguments.method}, got {n_frames}: as many "
            "frames before as after each are summed"
        )
    if arguments.adapt and n_frames > 1:
        raise ValueError(
            "--adapt goes without --n-frames: it adapts to the dose of single frames, not of sums"
        )


def build(arguments):
    """Return the denoiser; unless it is pretrained, it is still to be fitted to images.

    Methods with trained weights take single frames, whatever ``--n-frames`` is: see `summed`.

    Parameters
    ----------
    arguments : argparse.Namespace
        Checked by `check_method`.
    """
    import temdenoise

    method = arguments.method
    params = {
        _OPTIONS[name].methods[method]: value
        for name, value in _given(arguments).items()
        if method in _OPTIONS[name].methods
    }
    n_frames = 1 if method in _WITH_TIME else params.pop("n_frames", 1)
    if method == "sbd":
        return temdenoise.SBDDenoiser.from_pretrained(params.pop("weights", None), **params)
    denoiser = METHODS[method].make(temdenoise).set_params(**params)
    return denoiser if method in _WITH_WEIGHTS else summed(denoiser, n_frames, arguments.aligned)


def summed(denoiser, n_frames, aligned=False):
    """Return a denoiser of sums of frames; of single frames, `denoiser` itself."""
    from temdenoise import AlignedSumDenoiser

    if n_frames == 1:
        return denoiser
    drift = "none" if aligned else "measure"
    return AlignedSumDenoiser(denoiser=denoiser, n_frames=n_frames, drift=drift)


def takes_read_noise(denoiser):
    """Whether a method has a parameter for the read noise of a detector."""
    return "read_noise" in denoiser.get_params(deep=False)


def methods_with_read_noise():
    """Names of the methods that take read noise."""
    import temdenoise

    return [name for name, method in METHODS.items() if takes_read_noise(method.make(temdenoise))]


def _given(arguments):
    """Parameters of the methods that were given, by the names of their options."""
    values = {
        name: getattr(arguments, name.removeprefix("--").replace("-", "_"))
        for name in arguments.method_options
    }
    return {name: value for name, value in values.items() if value is not None}
