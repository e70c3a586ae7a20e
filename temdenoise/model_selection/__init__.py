"""Experiments with different images for training and for testing a denoiser.

scikit-learn's own tools (GridSearchCV, cross_val_score, LeaveOneGroupOut ...) work with denoisers.
This package adds to them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
