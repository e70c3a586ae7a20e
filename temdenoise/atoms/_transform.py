"""Call a denoiser with those of its keywords that it has."""

import inspect


def transform_keywords(denoiser, pixel_size=None, mask=None, params=None):
    """Keywords for ``denoiser.transform``.

    Parameters
    ----------
    denoiser : object
        With a ``transform``.
    pixel_size, mask
        Passed on if ``transform`` has a parameter of that name, and they are not None.
    params : dict, optional
        Keywords that go before these two.

    Returns
    -------
    keywords : dict

    Raises
    ------
    TypeError
        If there is no ``transform``.

    Examples
    --------
    >>> from temdenoise import WienerDenoiser, WindowedFourierDenoiser
    >>> from temdenoise.atoms._transform import transform_keywords
    >>> transform_keywords(WindowedFourierDenoiser(), pixel_size=5.0)
    {'pixel_size': 5.0}
    >>> transform_keywords(WienerDenoiser(), pixel_size=5.0)
    {}
    """
    transform = getattr(denoiser, "transform", None)
    if not callable(transform):
        raise TypeError(f"denoiser must be fitted and have a transform method, got {denoiser!r}.")
    known = inspect.signature(transform).parameters
    given = {"pixel_size": pixel_size, "mask": mask}
    given = {name: v for name, v in given.items() if v is not None and name in known}
    return given | dict(params or {})
