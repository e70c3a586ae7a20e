"""The methods of ``temdenoise denoise`` and their parameters."""

from collections.abc import Callable
from dataclasses import dataclass

from temdenoise.cli._defaults import say_default
from temdenoise.cli._shared import positive_float, positive_int


@dataclass(frozen=True)
class Method:
    """A method by its name on the command line."""

    text: str
    make: Callable  # gets the package, returns the denoiser with its default parameters


# The first is the default.
METHODS = {
    "auto": Method(
        "trained weights where they fit the images, else windowed-fourier",
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
        "block matching for Gaussian noise; for counts take vst-bm3d", lambda t: t.BM3DDenoiser()
    ),
    "nlm": Method(
        "non-local means for Gaussian noise; for counts take vst-nlm", lambda t: t.NLMDenoiser()
    ),
    "pure-let": Method("wavelet thresholds of least estimated risk", lambda t: t.PURELETDenoiser()),
    "wiener": Method("adaptive Wiener filter", lambda t: t.WienerDenoiser()),
    "lowpass": Method("low-pass filter", lambda t: t.LowPassDenoiser()),
}


@dataclass(frozen=True)
class _Option:
    type: Callable
    metavar: str
    help: str
    methods: dict  # method -> the parameter it is there

    def described(self):
        return f"{', '.join(self.methods)}: {self.help}"

    def default(self):
        """Defaults of the methods, in words."""
        import temdenoise

        values = {}
        for method, name in self.methods.items():
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
        {name: "binning" for name in ("windowed-fourier", "vst-bm3d", "vst-nlm", "pure-let")},
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
        },
    ),
}


def add_arguments(parser):
    """Add ``--method`` and the parameters of the methods."""
    lines = "; ".join(f"{name}: {method.text}" for name, method in METHODS.items())
    parser.add_argument("--method", choices=METHODS, help=f"{lines} (default: auto)")
    group = parser.add_argument_group("parameters of the methods")
    for name, option in _OPTIONS.items():
        action = group.add_argument(
            name, type=option.type, metavar=option.metavar, help=option.described()
        )
        say_default(action, option.default)


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


def build(arguments):
    """Return the denoiser; unless it is pretrained, it is still to be fitted to images.

    Parameters
    ----------
    arguments : argparse.Namespace
        Checked by `check_method`.
    """
    import temdenoise

    params = {
        option.methods[arguments.method]: _given(arguments, name)
        for name, option in _OPTIONS.items()
        if _given(arguments, name) is not None
    }
    if arguments.method == "sbd":
        return temdenoise.SBDDenoiser.from_pretrained(params.pop("weights", None), **params)
    return METHODS[arguments.method].make(temdenoise).set_params(**params)


def takes_read_noise(denoiser):
    """Whether a method has a parameter for the read noise of a detector."""
    return "read_noise" in denoiser.get_params(deep=False)


def methods_with_read_noise():
    """Names of the methods that take read noise."""
    import temdenoise

    return [name for name, method in METHODS.items() if takes_read_noise(method.make(temdenoise))]


def _given(arguments, name):
    return getattr(arguments, name.removeprefix("--").replace("-", "_"))
