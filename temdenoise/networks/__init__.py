"""Neural networks in pure torch: they map images (n, 1, h, w) to images of the same shape.

Those for movies take (n, n_frames, h, w) and return the middle frame. Nothing here knows about
scikit-learn; :class:`temdenoise.SBDDenoiser` and others train and apply them. Each network accepts
images of any size and states its ``stride``, the multiple it pads them to.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
