"""Look at what a denoiser did: how well the counts support it, and what it looked at."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
