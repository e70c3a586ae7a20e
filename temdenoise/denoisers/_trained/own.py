"""Networks of users: building them, checks before use, and names."""

import copy

import torch
from sklearn.base import BaseEstimator

from temdenoise._calls import qualified_name

# Side of the image, in bins, on which a user's network is tested.
_SIDE = 64


def build(network):
    """Return a new module: the result of a factory, or a copy of a module.

    Raises
    ------
    TypeError
        If it is not a torch.nn.Module.
    """
    is_module = isinstance(network, torch.nn.Module)
    module = copy.deepcopy(network) if is_module else network()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"network must be a torch.nn.Module, or a class or function that returns one, got "
            f"{type(module).__name__}."
        )
    return module


def build_named(network, *, binned, n_scales=None, base_channels=None, bias_free=True):
    """Return a new network: one of the package by its name, or one of the user.

    Parameters
    ----------
    network : str, callable or torch.nn.Module
    binned : bool
        Whether its input is sums of several pixels.
    n_scales, base_channels : int, optional
        Options of "fourier_unet" and "unet".
    bias_free : bool, default=True
        Option of "unet" and "dncnn".

    Raises
    ------
    ValueError
        If the network has no such option.
    """
    from temdenoise.networks import RelativeToMean, build_network

    if not isinstance(network, str):
        return build(network)
    options = {"n_scales": n_scales, "base_channels": base_channels}
    options = {k: int(v) for k, v in options.items() if v is not None}
    if network in ("dncnn", "small_unet") and options:
        raise ValueError(
            f"{' and '.join(options)} cannot be chosen for network={network!r}: leave them out."
        )
    if network in ("unet", "dncnn"):
        options["bias_free"] = bool(bias_free)
    module = build_network(network, **options)
    if binned and not getattr(module, "takes_level", False):  # others use the mean themselves
        module = RelativeToMean(module)
    return module


def check_network(make_network):
    """Refuse a network that does not return one finite estimate per bin, before any training.

    Parameters
    ----------
    make_network : callable
        Returns a torch.nn.Module.

    Raises
    ------
    TypeError
        If it returns something else.
    ValueError
        If the network changes the shape, returns NaN, or has nothing to train.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = make_network()  # only shapes, without memory
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"The network must be a torch.nn.Module, got {type(module).__name__}.")
    if type(module).__module__.startswith("temdenoise."):
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = make_network().eval()
        counts = torch.poisson(torch.full((2, 1, _SIDE, _SIDE + 8), 4.0))
        estimate = module(counts)
    name = type(module).__name__
    if not isinstance(estimate, torch.Tensor) or estimate.shape != counts.shape:
        got = tuple(estimate.shape) if isinstance(estimate, torch.Tensor) else type(estimate)
        raise ValueError(
            f"The network {name} must map (n, 1, rows, columns) to the same shape, but made "
            f"{got} of {tuple(counts.shape)}."
        )
    if not torch.isfinite(estimate).all():
        raise ValueError(f"The network {name} returns NaN or infinity for counts.")
    if not any(p.requires_grad for p in module.parameters()):
        raise ValueError(f"The network {name} has no parameters to train.")


def name_of(value):
    """Name a parameter's value without addresses in memory, which differ between processes."""
    if isinstance(value, torch.nn.Module):
        return f"{qualified_name(type(value))}: {value!r}"
    if callable(value) and not isinstance(value, BaseEstimator):
        return qualified_name(value)
    return repr(value)
