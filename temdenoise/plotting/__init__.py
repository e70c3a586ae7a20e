"""Pictures of what denoising did, of how far to trust it, and of the noise.

What shows one panel takes ``ax``, axes to draw on; what shows several takes ``figure``, and a part of
a figure (``figure.subfigures``) will do. Without either, a new figure is made that pyplot does not
know: nothing has to be closed, ``figure.savefig(path)`` saves it, and a notebook shows it. In a
script, pass axes or a figure of pyplot's and call ``matplotlib.pyplot.show()``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
