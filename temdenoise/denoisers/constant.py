"""The mean of each image, the estimate that every method should beat."""

import numpy as np

from temdenoise.base import BaseDenoiser


class ConstantDenoiser(BaseDenoiser):
    """Replace each image by its mean counts, the baseline of all baselines.

    Where the contrast is weak and electrons are few, methods that show structure can be further
    from the truth than a constant is. `temdenoise.metrics.compare_risk` tells on the counts, and
    `AutoDenoiser` takes the constant where nothing is significantly better.

    Attributes
    ----------
    dose_ : float
        Mean counts per pixel of the images seen in `fit`. The method itself learns nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import ConstantDenoiser
    >>> ConstantDenoiser().fit_transform(np.array([[[0, 1], [2, 1]]]))[0].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def _transform(self, X, mask):
        trusted = np.ones(X.shape, dtype=bool) if mask is None else ~mask
        # an image without any pixel to trust has been filled
        trusted |= ~trusted.any(axis=(1, 2), keepdims=True)
        level = X.mean(axis=(1, 2), keepdims=True, where=trusted, dtype=np.float64)
        return np.broadcast_to(level, X.shape)
