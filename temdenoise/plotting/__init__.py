"""Pictures of what denoising did, of how far to trust it, and of the noise.

What shows one panel takes ``ax``, axes to draw on. What shows several takes ``figure``, a figure or
a part of one (``figure.subfigures``). Without either a new figure is made, outside pyplot: nothing
has to be closed, ``figure.savefig(path)`` saves it, and a notebook shows it. In a script, make axes
or a figure with ``matplotlib.pyplot``, pass them, and call ``matplotlib.pyplot.show()``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
