"""The regenerated set; the rest of the protocol is in the package."""

import numpy as np

from temdenoise.datasets import make_ptceo2
from temdenoise.model_selection._protocol import (
    LEVEL,
    N_SHIPPED,
    PIXEL_SIZE,
    ImageSet,
    Resampled,
    score_rows,
    shipped_rows,
    split_white,
)

__all__ = [
    "LEVEL",
    "N_SHIPPED",
    "PIXEL_SIZE",
    "ImageSet",
    "Resampled",
    "load",
    "score_rows",
    "shipped_rows",
    "split_white",
]


def load(args):
    """Open the set, or make it first."""
    sim = make_ptceo2(
        args.n_images, images_per_model=args.images_per_model or 21, preset=args.preset,
        out=args.images, n_jobs=args.n_jobs, device=args.device, verbose=True,
    )  # fmt: skip
    return ImageSet(np.asarray(sim.data), sim.frame, sim.pixel_size)
