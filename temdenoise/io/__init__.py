"""Read and write stacks of images: TIFF (plain, ImageJ, OME, DigitalMicrograph) and NumPy files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
