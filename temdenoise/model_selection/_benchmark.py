"""The experiment of the paper's Table 5.1 on any denoiser."""

import json
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import HasMethods, validate_params
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from temdenoise.datasets import make_ptceo2
from temdenoise.datasets._catalogue import whole_set
from temdenoise.model_selection._protocol import ImageSet, Resampled, score_rows, split_white

SEED, SPLIT, N_TEST, PRESET = 0, "images", 40, "default"

# The images are the same in every call: they are simulated once.
_kept = []


@dataclass(frozen=True, eq=False)
class BenchmarkResult:
    """Scores of a denoiser and of other methods, as `benchmark` returns them.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per method, that of the denoiser first: ``psnr`` (dB) and ``ssim``, means over the
        test images, with their standard deviations ``psnr_std`` and ``ssim_std``; ``paper_psnr``
        and ``paper_ssim``, the values of the paper for the method; ``training_minutes``. NaN: no
        such number exists.
    images : pandas.DataFrame
        One row per test image: its number in the whole set, structure, defect, support, thickness
        (Angstrom), tilt_x, tilt_y (deg), defocus (nm); psnr (dB), ssim, seconds (of ``transform``).
    conditions : str
        How the numbers were measured.
    """

    table: pd.DataFrame
    images: pd.DataFrame
    conditions: str

    def __repr__(self):
        return f"{_as_text(self.table).to_string()}\n\n{textwrap.fill(self.conditions, 100)}"

    def _repr_html_(self):
        return f"{_as_text(self.table).to_html()}<p>{self.conditions}</p>"


@validate_params(
    {
        "denoiser": [HasMethods(["transform"])],
        "name": [None, str],
        "transform_params": [None, dict],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def benchmark(denoiser, *, name=None, transform_params=None, n_jobs=None, verbose=False):
    """Measure a fitted denoiser with the experiment of the paper's Table 5.1.

    The test images are 40 images of white contrast that are held out from the simulated set
    (`temdenoise.datasets.make_ptceo2`), with 768 x 768 pixels of 6.22 pm and 0.45 electrons per
    pixel in vacuum. The Poisson noise is the same for every method. Section 5.2 of "Deep denoising
    for scientific discovery: a case study in electron microscopy" (Mohan et al., arXiv:2010.12970).

    Parameters
    ----------
    denoiser : fitted denoiser
        A fitted denoiser, or any object with a ``transform``. It is not fitted again. Its
        ``transform`` gets images of shape (1, 768, 768) that know their pixel size
        (`temdenoise.ImageStack`).
    name : str, optional
        Name of the denoiser's row. By default the name of its class.
    transform_params : dict, optional
        Keywords of ``transform``.
    n_jobs : int, optional
        Number of processes for the simulation, as in joblib. The images do not depend on it. They
        are simulated at the first call, which takes half a minute to two minutes on one core, and
        kept in memory for later calls.
    verbose : bool or int, default=False
        Show a progress bar.

    Returns
    -------
    result : BenchmarkResult
        ``result.table``, ``result.images`` and ``result.conditions``.

    Raises
    ------
    NotFittedError
        If `denoiser` is not fitted.

    See Also
    --------
    temdenoise.model_selection.evaluate : Scores on your own images.

    Notes
    -----
    A network must not be trained on these images. The images of
    ``make_ptceo2(n, models="varied")`` show other particles, and the shipped weights were not
    trained on any of the 40. The other rows are from ``benchmarks/paper_tables.py``. Classical
    methods are tuned on other images of the set. Networks were trained for the minutes in the
    table; those of the paper were trained longer. The numbers of the paper are for its own images,
    so compare columns with care.

    Examples
    --------
    >>> from temdenoise import SBDDenoiser
    >>> from temdenoise.model_selection import benchmark
    >>> result = benchmark(SBDDenoiser.from_pretrained("white"))  # doctest: +SKIP
    >>> result.table["psnr"].iloc[0].round(1)  # doctest: +SKIP
    41.8
    """
    if hasattr(denoiser, "fit"):
        check_is_fitted(denoiser)
    numbers, images = _held_out(n_jobs, bool(verbose))
    label = type(denoiser).__name__ if name is None else name
    with tqdm(total=len(numbers), desc="denoise", unit="image", disable=not verbose) as bar:
        scores = score_rows(
            denoiser,
            Resampled(images),
            dict(enumerate(numbers)),
            SEED,
            transform_params=transform_params,
            tell_pixel_size=True,
            progress=bar.update,
        )
    known = json.loads(files(__package__).joinpath("data", "table_5_1.json").read_text("utf-8"))
    table = pd.DataFrame(known["rows"]).set_index("method").astype(float)
    own = {
        "psnr": scores["psnr"].mean(),
        "psnr_std": scores["psnr"].std(ddof=0),
        "ssim": scores["ssim"].mean(),
        "ssim_std": scores["ssim"].std(ddof=0),
    }
    own = pd.DataFrame(own, pd.Index([label], name="method"), table.columns, dtype=float)
    described = images.frame.drop(columns=["model", "contrast"]).reset_index(drop=True)
    described.insert(0, "number", numbers)
    return BenchmarkResult(
        pd.concat([own, table]), pd.concat([described, scores], axis=1), known["conditions"]
    )


def held_out_numbers():
    """Numbers of the test images in the whole set, and the frame of the set."""
    frame = whole_set(SEED)
    whole = ImageSet(np.empty((0, 1, 1)), frame, np.nan)
    return split_white(whole, split=SPLIT, seed=SEED, max_train=None, n_test=N_TEST)[1], frame


def _held_out(n_jobs, verbose):
    """Numbers of the test images in the whole set, and the images."""
    if not _kept:
        numbers, frame = held_out_numbers()
        chosen = frame.iloc[numbers][["model", "defocus"]]
        sim = make_ptceo2(
            models="catalogue",
            query=" or ".join(f"(model == {m} and defocus == {d})" for m, d in chosen.to_numpy()),
            preset=PRESET,
            n_jobs=n_jobs,
            random_state=SEED,
            verbose=verbose,
        )
        _kept.append((numbers, ImageSet(sim.data, sim.frame, sim.pixel_size)))
    return _kept[0]


def _as_text(table):
    """Numbers with their significant digits; missing numbers are empty."""

    def cell(value, digits, spread=None):
        if np.isnan(value):
            return ""
        return f"{value:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")

    return pd.DataFrame(
        {
            "PSNR (dB)": [
                cell(a, 2, b) for a, b in zip(table["psnr"], table["psnr_std"], strict=True)
            ],
            "SSIM": [cell(a, 3, b) for a, b in zip(table["ssim"], table["ssim_std"], strict=True)],
            "paper: PSNR": [cell(value, 2) for value in table["paper_psnr"]],
            "paper: SSIM": [cell(value, 2) for value in table["paper_ssim"]],
            "training (min)": [cell(value, 1) for value in table["training_minutes"]],
        },
        index=table.index,
    )
