"""Experiments on which images a denoiser is trained, and on which it is tested.

scikit-learn's own tools (GridSearchCV, cross_val_score, LeaveOneGroupOut ...) serve denoisers as
they are; here is what they lack.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
