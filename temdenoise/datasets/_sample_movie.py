"""The small counted movie in the package."""

from importlib.resources import files

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from temdenoise.binning import unbin
from temdenoise.images import ImageStack

_PIXEL_SIZE, _BIN = 6.22, 4  # pm, pixels per stored value of the clean images


def load_sample_movie():
    """Load a small simulated movie of counted electrons.

    The movie has eight frames of a 2 nm Pt nanoparticle on CeO2, with 0.45 electrons per pixel in
    vacuum, the dose of the paper's 25 ms frames. In the last four frames a corner column of the
    particle is missing. `benchmarks/make_sample_movie.py` simulates the movie.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ImageStack, uint8, (8, 512, 512); electron counts
        - clean : ImageStack, float32, (8, 512, 512); the rates of the counts, in counts/px
        - columns : list of pandas.DataFrame; true atom columns of each frame: x, y (px), element,
          occupancy (atoms)
        - pixel_size : float; 6.22 pm
        - DESCR : str

    Examples
    --------
    >>> from temdenoise.datasets import load_sample_movie
    >>> movie = load_sample_movie()
    >>> movie.data.shape, movie.data.dtype, movie.data.pixel_size
    ((8, 512, 512), dtype('uint8'), 6.22)
    """
    folder = files(__package__)
    with (
        folder.joinpath("data", "sample_movie.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        counts, state = stored["counts"], stored["state"]
        clean = unbin(stored["clean"], _BIN, counts.shape[1:])[state]
        tables = [
            pd.DataFrame(
                {
                    "x": stored[f"xy_{i}"][:, 0],
                    "y": stored[f"xy_{i}"][:, 1],
                    "element": stored[f"element_{i}"].astype(object),
                    "occupancy": stored[f"occupancy_{i}"],
                }
            )
            for i in range(state.max() + 1)
        ]
    return Bunch(
        data=ImageStack(counts, _PIXEL_SIZE),
        clean=ImageStack(clean, _PIXEL_SIZE),
        columns=[tables[i] for i in state],
        pixel_size=_PIXEL_SIZE,
        DESCR=folder.joinpath("descr", "sample_movie.rst").read_text(encoding="utf-8"),
    )
