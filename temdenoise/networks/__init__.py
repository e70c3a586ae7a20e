"""Neural networks in pure torch: they map images (n, 1, h, w) to images of the same shape.

Networks for movies take (n, n_frames, h, w) and return the middle frame. These modules do not use
scikit-learn; :class:`temdenoise.SBDDenoiser` and other denoisers train and apply the networks. Each
network accepts images of any size. It pads them to a multiple of its ``stride``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
