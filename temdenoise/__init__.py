"""Denoising of atomic-resolution transmission electron micrographs.

The public names, listed in ``__init__.pyi``, are loaded when they are first used. Therefore
``import temdenoise`` is fast; in particular it does not import torch.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
