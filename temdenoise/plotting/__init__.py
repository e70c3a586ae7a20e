"""Figures of denoised images, of their reliability, and of the noise.

A display with one panel takes ``ax``, axes to draw on. A display with several panels takes
``figure``, a figure or a part of one (``figure.subfigures``). By default a new figure is made,
outside pyplot: it need not be closed, ``figure.savefig(path)`` saves it, and a notebook shows it.
In a script, make axes or a figure with ``matplotlib.pyplot``, pass them, and call
``matplotlib.pyplot.show()``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
