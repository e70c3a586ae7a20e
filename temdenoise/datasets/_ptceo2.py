"""The paper's kind of images, regenerated from physics: Pt nanoparticles on CeO2."""

from importlib.resources import files
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.fft import next_fast_len
from sklearn.utils import Bunch, check_random_state
from tqdm.auto import tqdm

from ..simulation.structures import PARTICLES

FIELD_OF_VIEW = 50.0  # Angstrom
STORED_SHAPE = (256, 256)
# The images hold nothing beyond 1.3 1/Angstrom: this grid, twice as fine as needed, loses nothing.
STORED_PIXEL_SIZE = FIELD_OF_VIEW * 100 / STORED_SHAPE[0]  # pm
VACUUM = 0.45  # counts/px in the paper's 25 ms frames

# Sampling of the multislice calculation in Angstrom.
PRESETS = {"quick": 0.125, "default": 0.1, "paper": 50 / 1024}

_DEFECTS = {
    "PtNp1": ("D0", "D1", "D2", "Dh", "Ds"),
    "PtNp2": ("D0", "D1", "Dh", "Ds"),
    "PtNp3": ("D0", "D1", "D2"),
    "PtNp4": ("D0", "D1"),
}


def draw_model(rng, structures, defocus, n_defoci):
    """Draw one model: arguments of `pt_ceo2`, a tilt and the defoci it is imaged at."""
    structure = str(rng.choice(structures))
    defect = str(rng.choice(_DEFECTS[structure]))
    tilt = [0.0, 0.0]
    tilt[rng.randint(2)] = float(rng.randint(5))
    facets = []
    if rng.uniform() < 0.4:  # the support ends in a facet on one side
        side = rng.choice([-1, 1])
        edge = FIELD_OF_VIEW / 2 - side * rng.uniform(8, 24)
        facets.append((edge, side * rng.choice([35.3, 54.7, 70.5])))
    model = {
        "particle": structure,
        "defect": defect,
        "thickness": float(rng.choice([30, 40, 50, 60])),
        "support": rng.uniform(14, 28),
        "shift": (rng.uniform(-8, 8), rng.uniform(-3, 3)),
        "wulff_height": rng.uniform(-0.3, 0.5),
        "truncation": rng.uniform(1.0, 1.25),
        "size_jitter": (rng.uniform(-2, 2), int(rng.randint(-1, 2))),
        "particle_lattice": rng.uniform(3.9, 4.0),
        "facets": facets,
        "random_state": int(rng.randint(2**31 - 1)),
    }
    low, high = defocus
    values = np.arange(np.ceil(low), np.floor(high) + 1)
    chosen = np.sort(rng.choice(values, n_defoci, replace=n_defoci > len(values)))
    return model, tuple(tilt), chosen


def simulate_model(model, tilt, defocus, pixel_size, shape, spacing, device="cpu"):
    """Images (n_defoci, *shape), vacuum 1, and true columns (in pixels) of one drawn model."""
    from ..simulation import Microscope, exit_wave, pt_ceo2, sample_image

    structure = pt_ceo2(field_of_view=FIELD_OF_VIEW, **model)
    grid = tuple(next_fast_len(int(np.ceil(length / spacing))) for length in structure.extent)
    wave = exit_wave(
        structure.numbers,
        structure.positions,
        structure.extent,
        grid,
        thickness=structure.thickness,
        tilt=tilt,
        device=device,
    )
    spectra, _ = Microscope().image_spectra(wave, structure.extent, defocus)
    origin = structure.info["origin"]
    images = sample_image(spectra, structure.extent, pixel_size, shape, origin)

    columns = structure.columns(tilt)
    columns[["x", "y"]] = (columns[["x", "y"]] - np.array(origin[::-1])) * (100 / pixel_size)
    inside = columns["x"].between(0, shape[1] - 1) & columns["y"].between(0, shape[0] - 1)
    return images.cpu().numpy(), columns[inside].reset_index(drop=True)


def _simulate_single_threaded(*args):
    # one thread a worker: processes scale better than threads on grids this small, and the result
    # does not depend on n_jobs
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return simulate_model(*args)
    finally:
        torch.set_num_threads(threads)


def make_ptceo2(
    n_images=2000,
    *,
    preset="quick",
    structure=None,
    defocus=(0, 20),
    images_per_model=10,
    pixel_size=None,
    n_jobs=None,
    random_state=None,
    verbose=False,
):
    """Simulate clean images of Pt nanoparticles on CeO2 from physics.

    Each model is drawn at random: particle, surface defect, support thickness and facets, tilt,
    lateral shift; each is imaged at several defoci with the optics of Appendix A of the paper. The
    images hold no noise: a Poisson draw of one is a frame of 0.45 counts per pixel in vacuum.

    Parameters
    ----------
    n_images : int, default=2000
        Number of images. 2000 take about two minutes on two cores.
    preset : {"quick", "default", "paper"}, default="quick"
        Sampling of the multislice calculation: 0.125, 0.1 or 0.049 Angstrom (a grid of 1024 over
        50 Angstrom). Coarser costs accuracy at high spatial frequency, and less time.
    structure : str or sequence of str, optional
        Only these of "PtNp1", "PtNp2", "PtNp3", "PtNp4"; by default all four.
    defocus : tuple of float, default=(0, 20)
        Lowest and highest defocus C1 in nm, overfocus positive; drawn in whole nm.
    images_per_model : int, default=10
        Defoci at which each model is imaged.
    pixel_size : float, optional
        Pixel size of the images in pm. By default 19.53 pm, 256 x 256 pixels over the field of
        5 nm, which holds all there is; a denoiser's ``fit(data, pixel_size=...)`` resamples it.
        Smaller pixels make larger images: 6.22 pm gives 804 x 804.
    n_jobs : int, optional
        Processes, as joblib counts them. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Determines every model.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ndarray, float32, (n_images, height, width); counts per pixel, 0.45 in vacuum
        - frame : pandas.DataFrame; model, structure, defect, thickness (Angstrom), tilt_x, tilt_y
          (deg), defocus (nm) of each image
        - columns : list of pandas.DataFrame; the true atom columns of each image: x, y (px),
          element, occupancy (atoms)
        - pixel_size : float, pm
        - DESCR : str

    Raises
    ------
    ValueError
        For an unknown preset or structure, or numbers out of range.

    Examples
    --------
    >>> from temdenoise.datasets import make_ptceo2
    >>> sim = make_ptceo2(4, images_per_model=4, structure="PtNp3", random_state=0)
    >>> sim.data.shape, round(sim.pixel_size, 2)
    ((4, 256, 256), 19.53)
    """
    structures = list(PARTICLES) if structure is None else np.atleast_1d(structure).tolist()
    unknown = sorted(set(structures) - set(PARTICLES))
    if unknown or not structures:
        raise ValueError(f"structure must be among {list(PARTICLES)}, got {structure!r}.")
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {list(PRESETS)}, got {preset!r}.")
    for name, value in {"n_images": n_images, "images_per_model": images_per_model}.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    if len(defocus) != 2 or not np.isfinite(defocus).all() or defocus[1] < defocus[0]:
        raise ValueError(f"defocus must be (lowest, highest) in nm, got {defocus!r}.")
    if pixel_size is None:
        pixel_size, shape = STORED_PIXEL_SIZE, STORED_SHAPE
    elif not 1 <= pixel_size <= 39:
        raise ValueError(
            f"pixel_size must be between 1 and 39 pm, got {pixel_size!r}: coarser pixels cannot "
            "hold the finest detail of the images (1.3 1/Angstrom)."
        )
    else:
        shape = (round(FIELD_OF_VIEW * 100 / pixel_size),) * 2

    rng = check_random_state(random_state)
    sizes = [images_per_model] * (n_images // images_per_model)
    if n_images % images_per_model:
        sizes.append(n_images % images_per_model)
    models = [draw_model(rng, structures, defocus, n) for n in sizes]

    data = np.empty((n_images, *shape), dtype=np.float32)
    rows, columns = [], []
    jobs = (
        delayed(_simulate_single_threaded)(*model, pixel_size, shape, PRESETS[preset])
        for model in models
    )
    results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    with tqdm(total=n_images, desc="simulate", unit="image", disable=not verbose) as bar:
        for i, (images, table) in enumerate(results):
            model, tilt, defoci = models[i]
            data[len(rows) : len(rows) + len(images)] = images * VACUUM
            for value in defoci:
                rows.append(
                    (i, model["particle"], model["defect"], model["thickness"], *tilt, value)
                )
                columns.append(table)
            bar.update(len(images))
    names = ["model", "structure", "defect", "thickness", "tilt_x", "tilt_y", "defocus"]
    return Bunch(
        data=data,
        frame=pd.DataFrame(rows, columns=names),
        columns=columns,
        pixel_size=float(pixel_size),
        DESCR=files(__package__).joinpath("descr", "ptceo2.rst").read_text(encoding="utf-8"),
    )
