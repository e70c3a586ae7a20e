"""Check of images, shared by what does not take them as `check_images` does."""

import numpy as np

from temdenoise._validation import _as_real_array


def refuse_masked(image, name):
    """Refuse a masked array with masked pixels: made a plain array it would lose its mask.

    Parameters
    ----------
    image : array-like
        Of any kind.
    name : str
        Name of the argument in the error message.

    Raises
    ------
    ValueError
        If a pixel is masked, as for the images of a denoiser.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms._images import refuse_masked
    >>> refuse_masked(np.ma.masked_less(np.ones((2, 2)), 1), "image")  # none is masked
    """
    if np.ma.is_masked(image):
        _as_real_array(image, name, "temdenoise")
