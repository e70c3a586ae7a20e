"""Measures of image quality, and scorers for scikit-learn's model selection."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
