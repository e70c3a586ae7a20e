"""The noise model of a trained method: checks, and its form in JSON."""

from temdenoise import noise as models
from temdenoise._calls import qualified_name


def check_noise(noise):
    """Refuse a noise model that is not fitted, or whose parameters are out of range.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    NotFittedError
        If the model must be fitted first.
    """
    if hasattr(noise, "_validate_params"):
        noise._validate_params()
    if hasattr(noise, "on_bins"):
        noise.on_bins(1.0)


def to_stored(noise):
    """Return a noise model as JSON can hold it. A user's own class becomes its name."""
    if noise is None:
        return None
    name = type(noise).__name__
    if getattr(models, name, None) is not type(noise):
        return {"own": qualified_name(noise)}
    params = noise.get_params(deep=False) | {"random_state": None}
    fitted = {k: getattr(noise, k + "_") for k in params if hasattr(noise, k + "_")}
    return {"class": name, "params": {k: v for k, v in {**params, **fitted}.items()}}


def from_stored(stored):
    """Return the noise model from the result of `to_stored`; None for a user's own class."""
    if not isinstance(stored, dict) or "class" not in stored:
        return None
    params = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["params"].items()}
    if stored["class"] not in models.__all__:
        raise ValueError(f"there is no noise model {stored['class']!r}")
    return getattr(models, stored["class"])(**params)
