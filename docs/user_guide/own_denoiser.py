from numbers import Real

import numpy as np
from skimage.restoration import denoise_tv_chambolle
from sklearn.utils._param_validation import Interval

from temdenoise.base import BaseDenoiser


class TotalVariationDenoiser(BaseDenoiser):
    """Total variation, by scikit-image: the image is made of even areas."""

    _parameter_constraints = {"weight": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, *, weight=1.0):
        self.weight = weight

    def _transform(self, X, mask):
        return np.stack([denoise_tv_chambolle(image, weight=self.weight) for image in X])
