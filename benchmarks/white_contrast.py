"""The white-contrast subset of the regenerated set, split as in Section 5.2 of the paper."""

import numpy as np

from temdenoise.datasets import make_ptceo2


def catalogue(folder):
    """Images and metadata of all 17,955, simulated into the folder if they are not there yet."""
    sim = make_ptceo2(preset="default", out=folder / "ptceo2.npy", n_jobs=-1, verbose=True)
    return sim.data, sim.frame


def split(frame):
    """Rows of the white images for training (90 %), validation and testing (5 % each).

    Images are shuffled, not models, as the paper's were: a test image's model may have been seen in
    training at another defocus.
    """
    white = np.flatnonzero(frame["contrast"] == "white")
    shuffled = np.random.RandomState(0).permutation(white)
    n = len(white) // 20
    return {"train": shuffled[2 * n :], "valid": shuffled[n : 2 * n], "test": shuffled[:n]}
