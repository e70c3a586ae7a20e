"""Data sets: simulated Pt/CeO2 images, the images of the paper, and counted movies."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
