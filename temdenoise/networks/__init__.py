"""Neural networks in pure torch: they map images (n, 1, h, w) to images of the same shape.

Nothing here depends on scikit-learn; :class:`temdenoise.SBDDenoiser` trains and applies the
networks. Each network accepts images of any size. It pads them to a multiple of its ``stride``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
