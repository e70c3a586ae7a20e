"""Denoisers: every method is one class in one file, all under the contract of ``temdenoise.base``.

The classes are loaded at first use, so that the classical methods do not import torch. Each method
has a line in ``__init__.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
