"""The paper's set of images of Pt nanoparticles on CeO2, simulated again from physics."""

import hashlib
import json
import warnings
from dataclasses import asdict
from importlib.resources import files
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state
from tqdm.auto import tqdm

from temdenoise._jobs import run_numbered
from temdenoise._store import open_store
from temdenoise.datasets._catalogue import (
    DEFECTS_OF,
    FIELD_OF_VIEW,
    draw_models,
    images_of,
    spread_order,
    vary_optics,
    whole_set,
)
from temdenoise.datasets._contrast import CONTRASTS
from temdenoise.datasets._simulate import ColumnTables, simulate
from temdenoise.images import ImageStack
from temdenoise.simulation.structures import PARTICLES
from temdenoise.simulation.surface_defects import DEFECTS

STORED_SHAPE = (256, 256)
# The images have no detail above 1.3 1/Angstrom. This grid is twice as fine as that needs.
STORED_PIXEL_SIZE = FIELD_OF_VIEW * 100 / STORED_SHAPE[0]  # pm
VACUUM = 0.45  # counts/px in the paper's 25 ms frames

# The images are spread over this many models. There are more models if each would otherwise have
# more defoci than this.
MIN_MODELS, MAX_DEFOCI = 12, 10

# Sampling of the multislice calculation in Angstrom.
PRESETS = {"quick": 0.125, "default": 0.1, "paper": 50 / 1024}


def make_ptceo2(
    n_images=None,
    *,
    models="catalogue",
    optics="paper",
    structure=None,
    defect=None,
    contrast=None,
    defocus=(0, 20),
    query=None,
    images_per_model=None,
    preset="quick",
    pixel_size=None,
    out=None,
    n_jobs=None,
    client=None,
    device="cpu",
    random_state=0,
    verbose=False,
):
    """Simulate clean images of Pt nanoparticles on CeO2 from physics.

    The whole set is that of Appendix A.2 of the paper: 855 models (structure, surface defect,
    support, thickness, tilt), each at 21 defoci, 17,955 images. Any part of the set can be
    simulated alone; its images are equal to those of the whole set, bit by bit. The images have no
    noise: Poisson noise on an image gives a frame of 0.45 counts per pixel in vacuum.

    Parameters
    ----------
    n_images : int, optional
        Number of images. By default all of the selection. A smaller number is spread over the
        structures and their defects, over models and defoci; see `images_per_model`. 2000 images
        take about two minutes on two cores with ``n_jobs=2``.
    models : {"catalogue", "varied"}, default="catalogue"
        "catalogue": the models of the paper, with its particles. "varied": any number of random
        models, in which size, shape, lattice constant, support and place of the particle vary too.
        They give more variety for training, and need ``n_images``.
    optics : {"paper", "varied"}, default="paper"
        "paper": the microscope of the paper. "varied": each model has another microscope, with
        random residual aberrations and vibration. This is for a denoiser of frames from an unknown
        microscope: C3 of -20 to 5 micrometres, C12 up to 3 nm, C21 up to 150 nm, C23 up to 100 nm,
        vibration of 20 to 70 pm (see `temdenoise.simulation.Microscope`).
    structure : str or sequence of str, optional
        Select from "PtNp1", "PtNp2", "PtNp3", "PtNp4".
    defect : str or sequence of str, optional
        Select from "D0" (none), "D1", "D2" (surface columns missing), "Dh", "Ds" (a column halved,
        or reduced to an atom).
    contrast : str or sequence of str, optional
        Select from "black", "intermediate", "white". Not with varied models.
    defocus : tuple of float, default=(0, 20)
        Lowest and highest defocus C1 in nm, overfocus positive. Images have defoci in whole nm.
    query : str, optional
        Any other selection, an expression on the columns of ``frame`` for
        `pandas.DataFrame.query`: ``"thickness == 50 and tilt_x > 0"``. Not with varied models.
    images_per_model : int, optional
        Number of defoci per model, drawn from the selected ones. The first `n_images` of these
        images are taken, with models in random order.

        The default without `n_images` is all defoci of the selection. With `n_images`, the images
        are spread evenly over 12 models (up to 12 images: one per model), or, for 120 images or
        more, over models of 10 images each (more images of each only if the selection holds too few
        models). The structures then alternate, and so do the defects of each structure: twelve
        models are three of each of the four structures.
    preset : {"quick", "default", "paper"}, default="quick"
        Sampling of the multislice calculation: 0.125, 0.1 or 0.049 Angstrom (a grid of 1024 over
        50 Angstrom). A coarser sampling is faster, but less accurate at high spatial frequency.
    pixel_size : float, optional
        Pixel size of the images in pm. By default 19.53 pm, which gives 256 x 256 pixels over the
        field of 5 nm and keeps all detail; a denoiser's ``fit(data, pixel_size=...)`` resamples the
        images. Smaller pixels make larger images: 6.22 pm gives 804 x 804.
    out : str or Path, optional
        Write the images to this file (``.npy``) or folder (``.zarr``, with zarr installed) as they
        are made, and return them from there without reading them into memory. After any
        interruption, the same call continues the set. A complete set is not made again.
    n_jobs : int, optional
        Number of processes, as in joblib (and `joblib.parallel_config`). The images do not depend
        on it.
    client : distributed.Client, optional
        Simulate on this dask cluster; ``n_jobs`` is then ignored. The images do not depend on it if
        all its machines are of the same kind.
    device : str, default="cpu"
        Device of each process: "cpu", "cuda", "cuda:1" ...; "auto" uses a GPU if there is one. A
        GPU makes the whole set in a minute or two. Its images differ from those of a CPU by
        rounding.
    random_state : int, RandomState instance or None, default=0
        Determines the order of the models, the places of their defects, steps and facets, and all
        parameters of varied models. The default gives everyone the same set. With None, a stopped
        run with ``out`` continues with the seed that it drew.
    verbose : bool, default=False
        Show a progress bar, with rate and remaining time.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ImageStack, float32, (n_images, height, width); counts per pixel, 0.45 in vacuum;
          it knows its pixel size. With ``out`` it is a memory map of the ``.npy`` file. For a
          ``.zarr`` folder it is a zarr array, which does not know its pixel size:
          ``ImageStack(sim.data[:100], sim.pixel_size)``
        - frame : pandas.DataFrame; model (its number in the catalogue), structure, defect,
          support, thickness (Angstrom), tilt_x, tilt_y (rotations about x and y, deg), defocus
          (nm), contrast of each image (with varied optics, the contrast for the paper's optics);
          with varied optics also the random parameters
        - groups : ndarray of str, (n_images,); the structure of each image, for scikit-learn's
          ``groups`` (`~sklearn.model_selection.LeaveOneGroupOut`). Other groups are columns of the
          frame: ``frame["model"]``, ``frame["defect"]``, ``frame["contrast"]``
        - columns : sequence of pandas.DataFrame, each built when it is used; the true atom columns
          of each image: x, y (px), element, occupancy (atoms), surface (bool; see
          `temdenoise.simulation.Structure.columns`)
        - pixel_size : float, pm
        - DESCR : str

    Raises
    ------
    ValueError
        If a name or preset is unknown, numbers are out of range, the selection has no images or
        fewer than `n_images`, or ``out`` was begun with other arguments.
    FileExistsError
        If ``out`` exists and was not made by this function.
    OSError
        If ``out`` cannot be written or the disk is full. Finished images are kept.
    TypeError
        If ``out`` is not a path or ``client`` is not a client.

    Notes
    -----
    An incomplete set is in ``out`` + ".part", and ``out`` + ".journal" lists the finished images.

    For a set that version 0.1 made with ``n_images`` but without ``images_per_model``, use
    ``images_per_model=21``, or 10 with varied models. Such a set on disk is then continued.

    Examples
    --------
    >>> from temdenoise.datasets import make_ptceo2
    >>> sim = make_ptceo2(2, structure="PtNp3", defocus=(6, 9), contrast="white")
    >>> sim.data.shape, round(sim.pixel_size, 2)
    ((2, 256, 256), 19.53)
    >>> sim.frame["contrast"].unique().tolist()
    ['white']

    Filters tuned on three structures are tested on the fourth:

    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    >>> from temdenoise import LowPassDenoiser
    >>> sim = make_ptceo2(4, query="thickness == 30")
    >>> scores = cross_val_score(
    ...     LowPassDenoiser(), sim.data, cv=LeaveOneGroupOut(), groups=sim.groups
    ... )
    >>> sim.groups.tolist(), scores.shape
    (['PtNp1', 'PtNp2', 'PtNp3', 'PtNp4'], (4,))
    """
    if models not in ("catalogue", "varied"):
        raise ValueError(f'models must be "catalogue" or "varied", got {models!r}.')
    if optics not in ("paper", "varied"):
        raise ValueError(f'optics must be "paper" or "varied", got {optics!r}.')
    structures = _names("structure", structure, PARTICLES)
    defects = _names("defect", defect, DEFECTS)
    contrasts = _names("contrast", contrast, CONTRASTS)
    for name, value in {"n_images": n_images, "images_per_model": images_per_model}.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    _check_defocus(defocus)

    seed = _seed(random_state, out)
    spread = n_images is not None and images_per_model is None
    selection = {
        "models": models,
        "n_images": None if n_images is None else int(n_images),
        "structure": structures,
        "defect": defects,
        "contrast": contrasts,
        "defocus": [float(value) for value in defocus],
        "query": query,
        "images_per_model": None if images_per_model is None else int(images_per_model),
        "random_state": seed,
    }
    if spread:
        sizes = _spread(n_images)
        selection["images_per_model"] = f"spread over {len(sizes)} models"
    if optics != "paper":  # not named in sets that were made before there was a choice
        selection["optics"] = optics
    if models == "varied":
        if n_images is None or contrasts is not None or query is not None:
            raise ValueError(
                "Varied models need n_images, and take neither contrast nor query: "
                'select rows of the result, or use models="catalogue".'
            )
        if not spread:
            n_whole, rest = divmod(n_images, images_per_model)
            sizes = [images_per_model] * n_whole + [rest] * (rest > 0)
        rng = np.random.RandomState(seed)
        structures = _structures_with(defects, structures)
        jobs, frame = draw_models(rng, structures, defects, defocus, sizes, in_turn=spread)
    else:
        frame = _select(whole_set(seed), structures, defects, contrasts, query, defocus)
        if spread:
            frame = _spread_rows(frame, sizes, seed)
        elif images_per_model is not None:
            frame = _draw_defoci(frame, [images_per_model] * frame["model"].nunique(), seed)
        frame = _first(frame, n_images)
        jobs = images_of(frame, seed)
    if optics == "varied":
        jobs, frame = vary_optics(jobs, frame, seed)
    return generate(
        jobs,
        frame,
        "ptceo2.rst",
        selection,
        preset=preset,
        pixel_size=pixel_size,
        out=out,
        n_jobs=n_jobs,
        client=client,
        device=device,
        verbose=verbose,
    )


def generate(
    jobs, frame, description, selection, *,
    preset, pixel_size, out, n_jobs, client, device, verbose,
):  # fmt: skip
    """Simulate `jobs` into memory or a stack on disk; return the Bunch."""
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {list(PRESETS)}, got {preset!r}.")
    if pixel_size is None:
        pixel_size, side = STORED_PIXEL_SIZE, STORED_SHAPE[0]
    elif not isinstance(pixel_size, Real) or not 1 <= pixel_size <= 39:
        raise ValueError(
            f"pixel_size must be between 1 and 39 pm, got {pixel_size!r}: coarser pixels cannot "
            "hold the finest detail of the images (1.3 1/Angstrom)."
        )
    else:
        side = round(FIELD_OF_VIEW * 100 / pixel_size)
    if client is not None and not hasattr(client, "submit"):
        raise TypeError(f"client must be a distributed.Client, got {client!r}.")
    shape, n_images = (side, side), len(frame)
    settings = (float(pixel_size), shape, PRESETS[preset], VACUUM)
    if client is None:  # with a client, the workers know
        from temdenoise._device import choose_device

        choose_device(device)

    def run(write, done):
        todo = [(i, job) for i, job in enumerate(jobs) if i not in done]
        n_done = n_images - sum(len(job.chosen) for _, job in todo)
        bar = tqdm(
            total=n_images, initial=n_done, desc="simulate", unit="image", disable=not verbose
        )
        results = run_numbered(simulate, todo, (*settings, device), n_jobs=n_jobs, client=client)
        try:
            for number, images in results:
                write(number, images)
                bar.update(len(images))
        finally:
            bar.close()
            # if storing failed, the workers are stopped; joblib would warn about this
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*have been cancelled")
                results.close()

    if out is None:
        data = np.empty((n_images, *shape), dtype=np.float32)

        def write(number, images):
            start = jobs[number].start
            data[start : start + len(images)] = images

        run(write, set())
    else:
        from temdenoise.simulation import Microscope

        physics = [[_plain(job) for job in jobs], asdict(Microscope()), settings]
        plan = json.dumps(physics, sort_keys=True)
        # only the hash identifies the images: several selections can name the same set
        identity = selection | {
            "preset": preset,
            "pixel_size": float(pixel_size),
            "atoms_and_optics": hashlib.sha256(plan.encode()).hexdigest()[:16],
        }
        groups = [(job.start, len(job.chosen)) for job in jobs]
        decisive = ["atoms_and_optics"]
        with open_store(out, (n_images, *shape), groups, identity, decisive) as store:
            if not store.complete:
                run(store.write, store.done)
                store.finish()
            data = store.load()
    return Bunch(
        data=ImageStack(data, pixel_size) if isinstance(data, np.ndarray) else data,
        frame=frame,
        groups=frame["structure"].to_numpy(dtype=str),
        columns=ColumnTables(jobs, float(pixel_size), shape),
        pixel_size=float(pixel_size),
        DESCR=files(__package__).joinpath("descr", description).read_text(encoding="utf-8"),
    )


def _plain(job):
    """Return everything on which a job's images depend, without the optics of the paper."""
    plain = asdict(job)
    if job.optics is None:
        del plain["optics"]
    return plain


def _names(name, value, allowed):
    if value is None:
        return None
    values = [value] if isinstance(value, str) else list(value)
    unknown = [v for v in values if v not in allowed]
    if unknown or not values:
        raise ValueError(f"{name} must be among {list(allowed)}, got {value!r}.")
    return [v for v in allowed if v in values]


def _check_defocus(defocus):
    if np.shape(defocus) != (2,) or not np.isfinite(defocus).all() or defocus[1] < defocus[0]:
        raise ValueError(f"defocus must be (lowest, highest) in nm, got {defocus!r}.")
    if np.floor(defocus[1]) < np.ceil(defocus[0]):
        raise ValueError(f"defocus {defocus!r} holds no whole nm; widen it.")


def _seed(random_state, out):
    """Return a whole number that represents the random state."""
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        check_random_state(int(random_state))
        return int(random_state)
    if random_state is None and out is not None:
        journal = open_store(out, (0, 0, 0), [], {}).journal
        if journal.exists():
            with journal.open() as file:
                line = file.readline()
            if line.endswith("\n"):
                return int(json.loads(line)["random_state"])
    return int(check_random_state(random_state).randint(2**31 - 1))


def _spread(n_images):
    """Numbers of images of each model, if only a number of images is given."""
    n_models = max(min(n_images, MIN_MODELS), -(-n_images // MAX_DEFOCI))
    n, rest = divmod(n_images, n_models)
    return [n + (i < rest) for i in range(n_models)]


def _select(frame, structures, defects, contrasts, query, defocus):
    wanted = {"structure": structures, "defect": defects, "contrast": contrasts}
    keep = frame["defocus"].between(*defocus)
    for name, values in wanted.items():
        if values is not None:
            keep &= frame[name].isin(values)
    frame = frame[keep]
    if query is not None:
        try:
            wanted_rows = frame.eval(query)
        except Exception as error:  # pandas and the expression can raise any error
            raise ValueError(
                f"query {query!r} cannot be evaluated ({error}); its names are "
                f"{frame.columns.tolist()}."
            ) from error
        if not pd.api.types.is_bool_dtype(wanted_rows):
            raise ValueError(
                f"query {query!r} is neither true nor false for each image. Use a comparison, such "
                'as "thickness == 50".'
            )
        frame = frame[wanted_rows]
    if not len(frame):
        asked = {n: v for n, v in wanted.items() if v} | {"defocus": tuple(defocus)}
        asked |= {"query": query} if query else {}
        raise ValueError(f"No image of the set has {asked}; {DEFECTS_OF} are its structures.")
    return frame


def _spread_rows(frame, sizes, seed):
    """Rows of the first models, with alternating structures and defects; `sizes` rows of each.

    If the selection holds fewer rows of a model, more models are used, or more images of each.
    """
    frame = frame.iloc[spread_order(frame)]
    wanted = min(sum(sizes), len(frame))
    n_models = frame["model"].nunique()
    sizes = np.array([*sizes, *[max(sizes)] * n_models][:n_models])
    held = frame.groupby("model", sort=False).size().to_numpy()
    while np.minimum(sizes, held).sum() < wanted:
        sizes += 1
    return _draw_defoci(frame, sizes, seed)


def _draw_defoci(frame, sizes, seed):
    """Rows of a number of defoci of each model, independent of the other selected models."""
    chosen = np.zeros(len(frame), dtype=bool)
    models = frame.groupby("model", sort=False).indices
    for model, size in zip(frame["model"].unique(), sizes, strict=True):
        rng = np.random.RandomState([seed, 855, model])
        chosen[rng.permutation(models[model])[:size]] = True
    return frame[chosen]


def _first(frame, n_images):
    if n_images is not None and n_images > len(frame):
        raise ValueError(
            f"n_images = {n_images}, but the selection holds {len(frame)} images. Use a smaller "
            'n_images or a wider selection; models="varied" makes any number.'
        )
    return frame.iloc[:n_images].reset_index(drop=True)


def _structures_with(defects, structures):
    structures = [
        name
        for name in structures or PARTICLES
        if defects is None or set(defects) & set(DEFECTS_OF[name])
    ]
    if not structures:
        raise ValueError(f"No structure has the defects {defects}; there are {DEFECTS_OF}.")
    return structures
