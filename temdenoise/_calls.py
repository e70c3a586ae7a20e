"""Which keywords a function takes, how to hand it only those, and who called."""

import os
import sys
from inspect import Parameter, signature

# Where this package's files are.
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def parameters_of(function):
    """Parameters of a function by name; none for a function in C without a signature."""
    try:
        return signature(function).parameters
    except ValueError:
        return {}


def takes(function, name):
    """Whether a function can be called with a keyword of this name."""
    parameters = parameters_of(function)
    return name in parameters or any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())


def keyword_only(function):
    """Names of the keyword-only parameters of a function."""
    parameters = parameters_of(function).values()
    return [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]


def only_taken(function, **keywords):
    """Return the keywords that are not None and that a function takes.

    Parameters
    ----------
    function : callable
    **keywords
        Keywords of a call.

    Returns
    -------
    taken : dict

    Examples
    --------
    >>> from temdenoise import WienerDenoiser, WindowedFourierDenoiser
    >>> from temdenoise._calls import only_taken
    >>> only_taken(WindowedFourierDenoiser().transform, pixel_size=5.0, mask=None)
    {'pixel_size': 5.0}
    >>> only_taken(WienerDenoiser().transform, pixel_size=5.0)
    {}
    """
    return {k: v for k, v in keywords.items() if v is not None and takes(function, k)}


def transform_keywords(denoiser, *, pixel_size=None, mask=None, params=None):
    """Keywords for ``denoiser.transform``: those that it takes, and `params` unchanged.

    Parameters
    ----------
    denoiser : object
        With a ``transform``.
    pixel_size, mask
        Passed on if ``transform`` has a parameter of that name, and they are not None.
    params : dict, optional
        Other keywords. They replace these two.

    Returns
    -------
    keywords : dict

    Raises
    ------
    TypeError
        If there is no ``transform``.
    """
    transform = getattr(denoiser, "transform", None)
    if not callable(transform):
        raise TypeError(f"denoiser must be fitted and have a transform method, got {denoiser!r}.")
    return only_taken(transform, pixel_size=pixel_size, mask=mask) | dict(params or {})


def image_function(denoiser, name):
    """Return the function that denoises: ``denoiser.transform``, or `denoiser` itself.

    Parameters
    ----------
    denoiser : fitted denoiser or callable
    name : str
        Name of the argument in the error message.

    Returns
    -------
    function : callable

    Raises
    ------
    TypeError
        If `denoiser` is not callable and has no ``transform``, or is a class.

    Examples
    --------
    >>> from temdenoise._calls import image_function
    >>> image_function(abs, "denoiser")(-2)
    2
    """
    transform = getattr(denoiser, "transform", None)
    function = transform if callable(transform) else denoiser
    if not callable(function) or isinstance(denoiser, type):
        raise TypeError(
            f"{name} must be a function of images (n_images, height, width) or a fitted denoiser, "
            f"got {denoiser!r}."
        )
    return function


def level_outside():
    """Return the stack level, for `warnings.warn`, of the line that called into this package.

    Returns
    -------
    stacklevel : int
        For a warning of the function that calls this one.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    return level


def qualified_name(value):
    """Return module and name of a class or function; for an object, of its class."""
    value = value if hasattr(value, "__qualname__") else type(value)
    return f"{value.__module__}.{value.__qualname__}"
