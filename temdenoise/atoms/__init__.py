"""Atomic columns: find them, split surface and bulk, pair two lists, test them on counts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
