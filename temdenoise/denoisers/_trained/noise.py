"""The noise model of a trained method: checked, and as JSON holds it."""

from temdenoise import noise as models
from temdenoise._calls import qualified_name


def check_noise(noise):
    """Refuse a noise model with parameters out of range, or of a gain still to be found.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    NotFittedError
        If the model is to be fitted first.
    """
    if hasattr(noise, "_validate_params"):
        noise._validate_params()
    if hasattr(noise, "on_bins"):
        noise.on_bins(1.0)


def to_stored(noise):
    """Return what JSON holds of a noise model; of one of the user's own, its name alone."""
    if noise is None:
        return None
    name = type(noise).__name__
    if getattr(models, name, None) is not type(noise):
        return {"own": qualified_name(noise)}
    params = noise.get_params(deep=False) | {"random_state": None}
    fitted = {k: getattr(noise, k + "_") for k in params if hasattr(noise, k + "_")}
    return {"class": name, "params": {k: v for k, v in {**params, **fitted}.items()}}


def from_stored(stored):
    """Return the noise model that `to_stored` described; None for one of the user's own."""
    if not isinstance(stored, dict) or "class" not in stored:
        return None
    params = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["params"].items()}
    if stored["class"] not in models.__all__:
        raise ValueError(f"there is no noise model {stored['class']!r}")
    return getattr(models, stored["class"])(**params)
