import os
import signal

# One thread per test worker: pytest-xdist already keeps the cores busy. Set before NumPy and torch
# are loaded, which read it once.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Where a test asks for more threads, those that wait leave their core to the other worker.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from mirror_site import mirror, site  # noqa: E402, F401

matplotlib.use("Agg")


def lattice_images(n_images, height, width, *, level=0.45, contrast=0.5, period=16.0):
    """Clean images (mean counts per pixel): square lattices of blobs, each shifted and turned."""
    rows, columns = np.mgrid[:height, :width]
    images = []
    for i in range(n_images):
        angle = 0.3 * i
        u = np.cos(angle) * columns + np.sin(angle) * rows + i
        v = -np.sin(angle) * columns + np.cos(angle) * rows
        wave = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 2
        images.append(level * (1 + contrast * wave))
    return np.array(images, dtype=np.float32)


@pytest.fixture
def clean():
    return lattice_images(6, 48, 40)


@pytest.fixture
def noisy(clean):
    return np.random.default_rng(0).poisson(clean).astype(np.float32)


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """A process started in the background may have been told to ignore Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
