"""The methods of ``temdenoise denoise`` and their parameters."""

from dataclasses import dataclass

from temdenoise.cli._shared import positive_float, positive_int

# Name on the command line -> what it is; the first is the default.
METHODS = {
    "auto": "trained weights where they fit the images, else windowed-fourier",
    "sbd": "network trained on simulations",
    "windowed-fourier": "windowed Fourier filter, for crystals",
    "vst-bm3d": "variance stabilisation and block matching",
    "nlm": "variance stabilisation and non-local means",
    "pure-let": "wavelet thresholds of least estimated risk",
    "wiener": "adaptive Wiener filter",
    "lowpass": "low-pass filter",
}

# Those that can be told of a detector's read noise.
TAKES_READ_NOISE = ("vst-bm3d", "nlm", "pure-let")


@dataclass(frozen=True)
class _Option:
    type: callable
    metavar: str
    help: str
    methods: dict  # method -> the parameter it is there

    def described(self):
        return f"{', '.join(self.methods)}: {self.help}"


_OPTIONS = {
    "--weights": _Option(
        str,
        "NAME_OR_DIR",
        "trained weights (default: the package's); without --method it means sbd",
        {"sbd": "weights", "auto": "weights"},
    ),
    "--cutoff": _Option(
        positive_float, "F", "cutoff in cycles/px (default: 0.025)", {"lowpass": "cutoff"}
    ),
    "--window-size": _Option(
        positive_int,
        "PX",
        "side of the windows in px",
        {"wiener": "window_size", "windowed-fourier": "window_size"},
    ),
    "--binning": _Option(
        positive_int,
        "PX",
        "side of the bins in px (default: what the image allows)",
        {name: "binning" for name in ("windowed-fourier", "vst-bm3d", "nlm", "pure-let")},
    ),
    "--threshold": _Option(
        positive_float,
        "T",
        "1: noise hardly passes (default: 0.8)",
        {"windowed-fourier": "threshold"},
    ),
    "--iterations": _Option(
        positive_int,
        "N",
        "refinements of the estimate (default: 3)",
        {"vst-bm3d": "iterations", "nlm": "iterations"},
    ),
    "--profile": _Option(
        str, "NAME", "fast, normal (default), high or crystal", {"vst-bm3d": "denoiser__profile"}
    ),
    "--smoothing": _Option(
        positive_float, "H", "larger is smoother (default: 0.8)", {"nlm": "denoiser__h"}
    ),
    "--n-scales": _Option(
        positive_int, "N", "scales of the wavelets (default: 4)", {"pure-let": "n_scales"}
    ),
    "--n-jobs": _Option(
        int,
        "N",
        "images at a time; -1: one per processor",
        {name: "n_jobs" for name in ("wiener", "vst-bm3d", "nlm", "pure-let")},
    ),
    "--device": _Option(
        str,
        "NAME",
        "cpu, cuda, ... (default: a GPU if there is one)",
        {
            "auto": "device",
            "sbd": "device",
            "windowed-fourier": "device",
            "vst-bm3d": "denoiser__device",
        },
    ),
}


def add_arguments(parser):
    """Add ``--method`` and the parameters of the methods."""
    lines = "; ".join(f"{name}: {text}" for name, text in METHODS.items())
    parser.add_argument("--method", choices=METHODS, help=f"{lines} (default: auto)")
    group = parser.add_argument_group("parameters of the methods")
    for name, option in _OPTIONS.items():
        group.add_argument(name, type=option.type, metavar=option.metavar, help=option.described())


def check_method(arguments):
    """Settle the method, and refuse parameters that it does not take."""
    if arguments.method is None:
        arguments.method = "auto" if arguments.weights is None else "sbd"
    for name, option in _OPTIONS.items():
        if _given(arguments, name) is not None and arguments.method not in option.methods:
            raise ValueError(
                f"{name} goes with --method {' or '.join(option.methods)}, not with "
                f"{arguments.method}"
            )


def build(arguments, read_noise=0.0):
    """Return the denoiser; unless it is pretrained, it is still to be fitted to images.

    Parameters
    ----------
    arguments : argparse.Namespace
        Checked by `check_method`.
    read_noise : float, default=0.0
        Of the detector, in electrons; only for the methods that take it.
    """
    import temdenoise as t

    params = {
        option.methods[arguments.method]: _given(arguments, name)
        for name, option in _OPTIONS.items()
        if _given(arguments, name) is not None
    }
    if arguments.method == "sbd":
        name = params.pop("weights", "general")
        return t.SBDDenoiser.from_pretrained(name, **params)
    if read_noise:
        params["read_noise"] = read_noise
    make = {
        "auto": t.AutoDenoiser,
        "windowed-fourier": t.WindowedFourierDenoiser,
        "vst-bm3d": lambda: t.VSTDenoiser(denoiser=t.BM3DDenoiser(sigma=1.0)),
        "nlm": lambda: t.VSTDenoiser(denoiser=t.NLMDenoiser()),
        "pure-let": t.PURELETDenoiser,
        "wiener": t.WienerDenoiser,
        "lowpass": t.LowPassDenoiser,
    }
    return make[arguments.method]().set_params(**params)


def _given(arguments, name):
    return getattr(arguments, name.removeprefix("--").replace("-", "_"))
