"""Trained weights on disk, as safetensors and JSON. Nothing in them is executed."""

import hashlib
import json
import math
import os
import warnings
from importlib.resources import files
from pathlib import Path

from temdenoise import __version__
from temdenoise._calls import qualified_name
from temdenoise._files import replacing_folder
from temdenoise._lengths import check_pixel_size
from temdenoise.denoisers._trained import hub

FORMAT = 3
# From this format on, a hash covers config.json too.
_HASHED_FORMAT = 3
WEIGHTS, CONFIG = "model.safetensors", "config.json"
# Format 1 had only one class, and other names for its parameters.
_FIRST_CLASS = "SBDDenoiser"
_FIRST_NAMES = {
    "architecture": "network", "scales": "n_scales", "pixel_size": "training_pixel_size",
    "scale": "zoom",
}  # fmt: skip
# Precisions of stored weights. Loaded weights are float32.
DTYPES = ("float32", "float16", "bfloat16")
# Longest config.json, in bytes. The history of a long training takes a megabyte.
_LONGEST_CONFIG = 2**24
# No network has wider bins, in pixels.
_WIDEST_BIN = 2**10


def bundled():
    """Names of the weights in the package."""
    folder = files("temdenoise.denoisers").joinpath("weights")
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.joinpath(CONFIG).is_file())


def table():
    """Describe the weights in the package; see `temdenoise.SBDDenoiser.list_pretrained`."""
    import pandas as pd

    rows = []
    for name in bundled():
        folder = _find(name)
        config = _read_config(folder)
        params, info = config["params"], config.get("info", {})
        rows.append(
            {
                "name": name,
                "description": info.get("description", ""),
                "network": params["network"],
                "pixel_size": params["training_pixel_size"],
                "dose": params["dose"],
                "megabytes": round(folder.joinpath(WEIGHTS).stat().st_size / 1e6, 1),
            }
        )
    return pd.DataFrame(rows).set_index("name")


def save(est, path, *, overwrite, info, dtype):
    """Write an estimator's weights and settings; see `TrainedDenoiser.save_pretrained`."""
    from safetensors.torch import save as serialise

    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}, got {dtype!r}.")
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file: weights are kept in a folder, give another name.")
    if not overwrite and any((path / name).exists() for name in (WEIGHTS, CONFIG)):
        raise FileExistsError(
            f"{path} holds weights already: give another folder or overwrite=True."
        )
    weights = serialise(_stored(est.network_.state_dict(), dtype))
    config = {
        "format": FORMAT,
        "library_version": __version__,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "dtype": dtype,
        "class": type(est).__name__,
        "params": est._stored_params(),
        "binning": est.bins_.binning,
        "bin_size": est.bins_.size,
        "units": {
            "training_pixel_size": "pm",
            "bin_size": "pm",
            "dose": "mean counts/px at training_pixel_size",
        },
        "history": getattr(est, "history_", []),
        "info": getattr(est, "info_", {}) if info is None else info,
    }
    try:
        # as it is read again: tuples are lists there
        config = json.loads(json.dumps(config, default=_plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"info must hold only what JSON can: {error}.") from error
    text = json.dumps(config | {"folder_sha256": folder_hash(config)}, indent=1)
    _write(path, {WEIGHTS: weights, CONFIG: text.encode()})


def folder_hash(config):
    """Hash of all that a folder of weights holds.

    Parameters
    ----------
    config : dict
        Contents of config.json. Its entry "sha256" is the hash of model.safetensors. An entry
        "folder_sha256" is left out.

    Returns
    -------
    digest : str
        SHA-256 of the entries in canonical form, so that spaces and line ends do not count.
    """
    rest = {name: value for name, value in config.items() if name != "folder_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _stored(state, dtype):
    """Tensors for the file: weights in `dtype`, the few factors of norms in full precision."""
    import torch

    stored = {}
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        if value.is_floating_point() and value.ndim > 1:
            rounded = value.to(getattr(torch, dtype))
            if not torch.isfinite(rounded).all():
                raise ValueError(
                    f"The weights {name} do not fit into {dtype}: give dtype='bfloat16' or "
                    "'float32'."
                )
            value = rounded
        stored[name] = value
    return stored


def _plain(value):
    """Turn NumPy's numbers into Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} is not of that kind")


def _write(path, contents):
    """Write files into a folder so that a partial file never has the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(path) as scratch:
        whole = scratch / "weights"
        whole.mkdir()
        for name, content in contents.items():
            with open(whole / name, "xb") as file:  # its errors get the name of the folder
                file.write(content)
        if not path.exists():
            os.rename(whole, path)
        else:  # between the two moves the checksum does not fit, and reading raises an error
            for name in contents:
                os.replace(whole / name, path / name)


def load(cls, name_or_path, *, network, device):
    """Build a fitted estimator from a folder or a name; see `TrainedDenoiser.from_pretrained`."""
    folder = _find(name_or_path)
    config = _read_config(folder)
    if config["class"] != cls.__name__:
        raise ValueError(
            f"The weights in {folder} are of {config['class']}, not of {cls.__name__}: load them "
            f"with {config['class']}.from_pretrained."
        )
    weights = folder.joinpath(WEIGHTS).read_bytes()
    if hashlib.sha256(weights).hexdigest() != config["sha256"]:
        raise ValueError(f"{_damaged(folder)}: the checksum of {WEIGHTS} is not that in {CONFIG}.")

    params = dict(config["params"])
    if network is not None:
        params["network"] = network
    elif isinstance(params.get("network"), dict):
        own = params["network"]["own"]
        raise ValueError(
            f"The weights in {folder} are of a network that is not of this package, {own}: pass it "
            "as network=."
        )
    try:
        est = cls._from_stored(params, device)
        est._validate_params()
        bins = est._stored_bins(config.get("binning"), config["bin_size"])
        said = config.get("binning") or params.get("binning")
        if isinstance(said, int) and said != bins.binning:
            raise ValueError(f"bin_size={bins.size:g} pm does not fit binning={said}")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{_damaged(folder)}: in {CONFIG}, {error}") from error
    est.network_ = _network(est, weights, config["dtype"], folder)
    est.bins_ = bins
    est.history_ = config.get("history", [])
    est.info_ = config.get("info", {})
    est._finish_fit()
    return est


def stored_value(value):
    """Return a parameter as JSON can hold it. A user's network or loss becomes its name."""
    if callable(value):
        return {"own": qualified_name(value)}
    return value


def _damaged(folder):
    return f"The weights in {folder} are damaged or were changed"


def _find(name_or_path):
    """Folder of the package's weights of this name, of a repository, or of the user."""
    # a user's folder of the same name must not replace the package's weights
    if isinstance(name_or_path, str) and name_or_path in bundled():
        folder = files("temdenoise.denoisers").joinpath("weights", name_or_path)
    elif isinstance(name_or_path, str) and name_or_path.startswith(hub.PREFIX):
        folder = hub.download(name_or_path, (CONFIG, WEIGHTS))
    else:
        folder = Path(name_or_path)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"There are no weights {str(name_or_path)!r}: neither a folder nor one of the "
                f"package's, {bundled()}. A Hugging Face repository is 'hf://owner/name'."
            )
    for name in (WEIGHTS, CONFIG):
        if not folder.joinpath(name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}: it was not written by save_pretrained."
            )
    return folder


def _read_config(folder):
    """Contents of config.json, checked against the hash of the folder."""
    try:
        text = folder.joinpath(CONFIG).read_bytes()
        if len(text) > _LONGEST_CONFIG:
            raise ValueError(f"it is longer than {_LONGEST_CONFIG} bytes")
        config = json.loads(text.decode("utf-8"))
        version = config["format"]
    # The parser of JSON has a limit on depth.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{_damaged(folder)}: {CONFIG} cannot be read ({error!r}).") from error
    if type(version) is not int or version not in range(1, FORMAT + 1):
        raise ValueError(
            f"The weights in {folder} have format {version}; this version of temdenoise reads "
            f"formats up to {FORMAT}. Use a newer version to read them."
        )
    if version >= _HASHED_FORMAT and config.get("folder_sha256") != folder_hash(config):
        raise ValueError(
            f"{_damaged(folder)}: the checksum of {CONFIG} is not that stored in it. Load the "
            "original folder, or save the weights again (save_pretrained(info=...) adds notes)."
        )
    try:
        if config["bin_size"] is not None:
            config["bin_size"] = check_pixel_size(config["bin_size"], "bin_size")
        binning = config.get("binning")
        sound = binning is None or (type(binning) is int and 1 <= binning <= _WIDEST_BIN)
        sound = sound and config.setdefault("dtype", "float32") in DTYPES
        sound = sound and isinstance(config["sha256"], str)
        sound = sound and isinstance(config.get("info", {}), dict)
        sound = sound and isinstance(config.get("history", []), list)
        names = _FIRST_NAMES if version == 1 else {}
        config["params"] = {names.get(k, k): _tuple(v) for k, v in config["params"].items()}
        sound = sound and all(map(_is_finite, config["params"].values()))
        config.setdefault("class", _FIRST_CLASS)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{_damaged(folder)}: {CONFIG} cannot be read ({error!r}).") from error
    if not sound:
        raise ValueError(
            f"{_damaged(folder)}: {CONFIG} holds no valid params, bin_size, binning, sha256, info, "
            "history or known dtype."
        )
    if version < _HASHED_FORMAT:
        warnings.warn(
            f"The weights in {folder} were saved by an older version: no hash tells whether their "
            f"{CONFIG} was changed. Save them again (save_pretrained) to add one.",
            UserWarning,
            stacklevel=4,
        )
    return config


def _is_finite(value):
    """Whether a parameter holds no NaN and no number beyond floats."""
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, int | float) or math.isfinite(value)


def _tuple(value):
    """Pairs are tuples again."""
    return tuple(value) if isinstance(value, list) else value


def _network(est, weights, dtype, folder):
    """Build the network the settings name, with these weights."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as deserialise

    try:
        # Only shapes until they are known to fit: no random numbers, no memory for wrong sizes.
        with torch.device("meta"):
            network = est._make_network()
        state = deserialise(weights)
        known = {torch.float32, getattr(torch, dtype)}
        if any(v.is_floating_point() and v.dtype not in known for v in state.values()):
            raise ValueError(f"the numbers are stored in another precision than {dtype}")
        expected = {k: v.shape for k, v in network.state_dict().items()}
        if expected != {k: v.shape for k, v in state.items()}:
            raise ValueError("names or shapes of the tensors differ")
        wrong = [k for k, v in state.items() if not torch.isfinite(v).all()]
        if wrong:
            raise ValueError(f"{wrong[0]} holds NaN or inf")
        network.to_empty(device="cpu").load_state_dict(state)  # float32 whatever was stored
        # as in training, because the order of sums, and so the last digit, depends on it
        network.to(memory_format=torch.channels_last)
    # Settings out of all proportion end in an ArithmeticError or MemoryError.
    except (
        RuntimeError,
        ValueError,
        TypeError,
        ArithmeticError,
        MemoryError,
        SafetensorError,
    ) as error:
        raise ValueError(
            f"The weights in {folder} are not those of the network with the settings in {CONFIG}: "
            f"{error}"
        ) from error
    return network.eval()
