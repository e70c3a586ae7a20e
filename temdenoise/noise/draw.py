"""Draw noise of any model on clean images."""

import numpy as np
from sklearn.utils import check_random_state

from temdenoise._calls import only_taken


def draw_noise(noise, clean, random_state=None):
    """Draw noisy images, and return the clean images on the same scale.

    Parameters
    ----------
    noise : object
        Its ``sample(clean, random_state=...)`` returns noisy images; `random_state` is a
        numpy.random.RandomState there. If it takes ``return_clean``, it may scale the clean images,
        as `PoissonNoise` does with a dose.
    clean : ndarray of shape (n_images, height, width)
        Clean images.
    random_state : None, int or RandomState, default=None
        Source of randomness.

    Returns
    -------
    noisy, clean : ndarrays of shape (n_images, height, width), dtype float32

    Raises
    ------
    ValueError
        If the noise changes the shape of the images, or returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import PoissonNoise
    >>> from temdenoise.noise import draw_noise
    >>> noisy, clean = draw_noise(PoissonNoise(dose=2.0), np.ones((1, 64, 64)), random_state=0)
    >>> float(clean.mean())
    2.0
    """
    if random_state is not None:
        random_state = check_random_state(random_state)
    keywords = only_taken(noise.sample, return_clean=True, random_state=random_state)
    drawn = noise.sample(clean, **keywords)
    noisy, clean = drawn if isinstance(drawn, tuple) else (drawn, clean)
    noisy, clean = (np.asarray(images, dtype=np.float32) for images in (noisy, clean))
    if noisy.shape != clean.shape:
        raise ValueError(
            f"{type(noise).__name__}.sample returned shape {noisy.shape} for clean images of shape "
            f"{clean.shape}. Noise must not change the shape."
        )
    if not np.isfinite(noisy).all():
        raise ValueError(f"{type(noise).__name__}.sample returned NaN or infinity.")
    return noisy, clean
