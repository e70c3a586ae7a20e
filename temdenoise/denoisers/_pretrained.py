"""Trained weights on disk: safetensors and JSON, nothing executable."""

import hashlib
import json
import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from .. import __version__
from ..noise import PoissonNoise

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
# Parameters that say what the network is and was trained for; the rest belongs to a run.
_KEPT = ("architecture", "scales", "base_channels", "bias_free", "pixel_size", "dose", "scale")


def bundled():
    """Names of the weights in the package."""
    folder = files("temdenoise.denoisers").joinpath("weights")
    return sorted(p.name for p in folder.iterdir() if p.joinpath(CONFIG).is_file())


def save(est, path, *, overwrite, info):
    """Write an estimator's weights and settings; see `SBDDenoiser.save_pretrained`."""
    from safetensors.torch import save as serialise

    check_is_fitted(est)
    path = Path(path)
    if not overwrite and any((path / name).exists() for name in (WEIGHTS, CONFIG)):
        raise FileExistsError(
            f"{path} holds weights already: give another folder or overwrite=True."
        )
    weights = serialise({k: v.cpu().contiguous() for k, v in est.network_.state_dict().items()})
    config = {
        "format": FORMAT,
        "library_version": __version__,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "params": {k: getattr(est, k) for k in _KEPT},
        "bin_size": est.bin_size_,
        "units": {"pixel_size": "pm", "bin_size": "pm", "dose": "mean counts/px at pixel_size"},
        "history": getattr(est, "history_", []),
        "info": info or {},
    }
    text = json.dumps(config, indent=1, default=float)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=".partial-", dir=path.parent)
    try:
        (Path(scratch) / WEIGHTS).write_bytes(weights)
        (Path(scratch) / CONFIG).write_text(text, encoding="utf-8")
        path.mkdir(exist_ok=True)
        for name in (WEIGHTS, CONFIG):
            os.replace(Path(scratch) / name, path / name)
    finally:
        shutil.rmtree(scratch)


def load(cls, name_or_path, *, device):
    """Build a fitted estimator from a folder or a name; see `SBDDenoiser.from_pretrained`."""
    from safetensors.torch import load as deserialise

    from ..networks import build_network
    from ._fit_sbd import network_options

    folder = Path(name_or_path)
    if not folder.is_dir():
        if str(name_or_path) not in bundled():
            raise FileNotFoundError(
                f"There are no weights {str(name_or_path)!r}: neither a folder nor one of the "
                f"package's, {bundled()}."
            )
        folder = files("temdenoise.denoisers").joinpath("weights", str(name_or_path))
    for name in (WEIGHTS, CONFIG):
        if not folder.joinpath(name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}: it was not written by save_pretrained."
            )
    damaged = f"The weights in {folder} are damaged or were changed"
    try:
        config = json.loads(folder.joinpath(CONFIG).read_text(encoding="utf-8"))
        version, digest, params = config["format"], config["sha256"], config["params"]
        bin_size = float(config["bin_size"])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{damaged}: {CONFIG} cannot be read ({error}).") from error
    if version != FORMAT:
        raise ValueError(
            f"The weights in {folder} have format {version}; this version reads {FORMAT}."
        )
    weights = folder.joinpath(WEIGHTS).read_bytes()
    if hashlib.sha256(weights).hexdigest() != digest:
        raise ValueError(f"{damaged}: the checksum of {WEIGHTS} is not that in {CONFIG}.")

    params = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items() if k in _KEPT}
    est = cls(**params, device=device)
    est._validate_params()
    network = build_network(est.architecture, **network_options(est))
    try:
        network.load_state_dict(deserialise(weights))
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {folder} are not those of architecture={est.architecture!r} with "
            f"these settings: {error}"
        ) from error
    est.network_ = network.eval()
    est.bin_size_ = bin_size
    est.scale_ = est._check_scale()
    est.noise_ = PoissonNoise(dose=est.dose)
    est.history_ = config.get("history", [])
    est.info_ = config.get("info", {})
    return est
