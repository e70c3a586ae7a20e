"""Simulated movies with everything known: drift, rotation, changes of dose, events."""

from importlib.resources import files
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from temdenoise._jobs import one_torch_thread, run_numbered, side_by_side
from temdenoise._lengths import check_length, check_pixel_size
from temdenoise.datasets._catalogue import lean
from temdenoise.datasets._movie_events import Scene, altered, choose_events
from temdenoise.datasets._movie_frames import Imaging, Sampler, image_spectrum
from temdenoise.datasets._movie_model import choose_model, lay_out
from temdenoise.datasets._movie_path import MoviePath, draw_drift
from temdenoise.datasets._movie_truth import ColumnTruth
from temdenoise.datasets._ptceo2 import PRESETS, _seed
from temdenoise.datasets._simulate import fast_length
from temdenoise.images import ImageStack
from temdenoise.noise import PoissonNoise, draw_noise

_MAX_PIXEL_SIZE = 39.0  # pm; coarser pixels cannot hold the finest detail
_MAX_DOSE = 10_000.0  # electrons per pixel in vacuum; counts then stay below the limit of uint16
_LEAST_SIDE = 16  # px


def make_movie(
    *,
    n_frames=40,
    shape=(512, 512),
    pixel_size=6.22,
    drift=0.5,
    rotation=0.0,
    dose=0.45,
    dose_fluctuation=0.0,
    dose_trend=0.0,
    events=3,
    event_frames=(3, 9),
    models="catalogue",
    structure=None,
    defect="D0",
    support=None,
    contrast=None,
    thickness=None,
    tilt=None,
    defocus=None,
    optics="paper",
    noise=None,
    preset="quick",
    n_jobs=None,
    device="cpu",
    random_state=0,
    verbose=False,
):
    """Simulate a movie of a Pt nanoparticle on CeO2 of which everything is known.

    The specimen drifts and turns, the dose changes, and atom columns at the particle's surface
    vanish, appear or hop for some frames. Each state of the structure is calculated by multislice,
    as `make_ptceo2` does, and its image is sampled where each frame's pixels lie: the drift is
    exact to a fraction of a pixel. ``drift=0, events=0`` makes a static movie.

    Parameters
    ----------
    n_frames : int, default=40
        Number of frames.
    shape : int or tuple of int, default=(512, 512)
        (height, width) of the frames in pixels, 16 at least.
    pixel_size : float, default=6.22
        Pixel size in pm, up to 39.
    drift : float, tuple of float, or array-like of shape (n_frames, 2), default=0.5
        A number is the distance in pixels that the scene moves from each frame to the next, in a
        direction that turns smoothly and at random; frames of the paper's kind have up to about
        1.5. A pair (y, x) is a constant velocity in pixels per frame. An array holds the positions
        of all frames in pixels, (y, x); that of the first frame is taken from all.
    rotation : float, default=0
        Angle in degrees by which the scene has turned about the centre of the frame in the last
        frame, evenly from the first on; positive from x (right) towards y (down).
    dose : float, default=0.45
        Electrons per pixel in vacuum, up to 10,000.
    dose_fluctuation : float, default=0
        Relative standard deviation of the dose from frame to frame (its logarithm is normally
        distributed), below 1.
    dose_trend : float, default=0
        Relative change of the dose from the first to the last frame, linear in time, above -1:
        -0.1 is a loss of 10 %.
    events : int, list of dict, or pandas.DataFrame, default=3
        What happens. A number: so many events, of the three kinds in turn, at random places and
        times. A list: one dict for each, with ``kind`` ("vanish": a surface column is gone;
        "appear": a new column stands on the surface; "hop": a column is gone, and its atoms, as
        many as find room, stand on another place) and any of ``first_frame``, ``last_frame``,
        ``x``, ``y`` and, for a hop, ``to_x``, ``to_y`` (pixels in the first frame of the event; the
        nearest place within 1.5 Angstrom is taken); the rest is drawn. The ``events`` of
        another movie can be given.
    event_frames : int or (int, int), default=(3, 9)
        Shortest and longest duration of events drawn at random, in frames. Before and after an
        event the model is what it was.
    models : {"catalogue", "varied"}, default="catalogue"
        "catalogue": a model of the paper. "varied": size, shape and lattice constant of the
        particle, and facets of the support, are drawn as for `make_ptceo2`.
    structure : {"PtNp1", "PtNp2", "PtNp3", "PtNp4"}, optional
        The particle; by default one of them at random.
    defect : {"D0", "D1", "D2", "Dh", "Ds"} or None, default="D0"
        Its surface defect in all frames (see `make_ptceo2`); None draws one that it can have.
    support : {"flat", "step", "facet", "vacancies"}, optional
        Kind of the support; by default flat. Steps and facets begin 15 to 19 Angstrom beside the
        particle's middle. Varied models draw their support.
    contrast : {"black", "intermediate", "white"}, optional
        Draw thickness, tilt and defocus from the paper's conditions of this contrast.
    thickness : float, optional
        Thickness of the support in Angstrom; by default one of 30, 40, 50, 60 at random.
    tilt : tuple of float, optional
        Rotations about x and y in degrees, up to 6; by default up to 4 about one of them.
    defocus : float, optional
        C1 in nm, overfocus positive; by default a whole number from 0 to 20.
    optics : {"paper", "varied"} or Microscope, default="paper"
        The microscope: that of the paper, one with residual aberrations and vibration drawn as
        for `make_ptceo2`, or a `temdenoise.simulation.Microscope`.
    noise : object, optional
        Noise model to draw the frames with, any object with ``sample(clean, random_state=...)``.
        By default electrons are counted (`~temdenoise.PoissonNoise`).
    preset : {"quick", "default", "paper"}, default="quick"
        Sampling of the multislice calculation, as in `make_ptceo2`.
    n_jobs : int, optional
        Processes, as joblib counts them; each calculates states. The movie does not depend on it.
    device : str, default="cpu"
        Where the waves are calculated: "cpu", "cuda" ...; "auto" takes a GPU if there is one. A
        GPU's images differ from those of a CPU by rounding.
    random_state : int, RandomState instance or None, default=0
        Determines all that is drawn. Model, drift, events, dose and noise each have a source of
        their own: the same model moves the same way at another dose.
    verbose : bool, default=False
        Show a progress bar, with rate and time left.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ImageStack, (n_frames, height, width); electron counts, uint8 or, if a count is
          above 255, uint16; with ``noise``, its values in float32
        - clean : ImageStack, float32, (n_frames, height, width); the rates they were drawn from,
          counts per pixel; with ``noise``, what its values are on average
        - columns : list of pandas.DataFrame; the true atom columns inside each frame: column (its
          number, the same in all frames), x, y (px), element, occupancy (atoms), surface (bool)
        - drift : ndarray, (n_frames, 2); displacement (y, x) of the scene from the first frame, px
        - dose : ndarray, (n_frames,); electrons per pixel in vacuum
        - events : pandas.DataFrame; kind, element, first_frame, last_frame, x, y (px, in the
          first frame of the event), occupancy (atoms that change) and column (its number in
          ``columns``); of a hop, x, y and column are those that it leaves, and to_x, to_y,
          to_occupancy, to_column those that it goes to (else NaN, NaN, 0, -1)
        - frame : pandas.DataFrame, a row for each frame; state (number of the structure that it
          shows, by first appearance), drift_y, drift_x, rotation (deg), dose
        - model : dict; structure, defect, support, thickness, tilt_x, tilt_y, defocus, contrast
          (None off the paper's conditions); with varied optics, the parameters drawn
        - pixel_size : float, pm
        - DESCR : str

    Raises
    ------
    TypeError
        If a number or list is something else, or ``noise`` has no ``sample``.
    ValueError
        For numbers out of range, unknown names, events that overlap, have no place or do not fit
        into the movie, or noise with a dose of its own.

    Notes
    -----
    A point at p (y, x) of the first frame is at ``c + R (p - c) + drift`` of a frame, with c the
    frame's centre and R its rotation. Events in the same frames are at least 4 Angstrom apart.
    Drawn events are at least 2 Angstrom inside the frame.

    Examples
    --------
    >>> from temdenoise.datasets import make_movie
    >>> movie = make_movie(
    ...     n_frames=6, shape=128, pixel_size=19.5, structure="PtNp3", thickness=30,
    ...     drift=(0.0, 0.5), events=[{"kind": "vanish", "first_frame": 2, "last_frame": 3}]
    ... )
    >>> movie.data.shape, movie.data.dtype, movie.data.pixel_size
    ((6, 128, 128), dtype('uint8'), 19.5)
    >>> movie.frame["state"].tolist(), movie.drift[-1].tolist()
    ([0, 0, 1, 1, 0, 0], [0.0, 2.5])
    >>> gone = movie.events["column"].iat[0]
    >>> [bool((table["column"] == gone).any()) for table in movie.columns]
    [True, True, False, False, True, True]
    """
    n_frames = _check_n_frames(n_frames)
    shape = _check_shape(shape)
    pixel_size = check_pixel_size(pixel_size)
    if pixel_size > _MAX_PIXEL_SIZE:
        raise ValueError(
            f"pixel_size must be between 1 and {_MAX_PIXEL_SIZE:g} pm, got {pixel_size:g}: coarser "
            "pixels cannot hold the finest detail of the images (1.3 1/Angstrom)."
        )
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f"preset must be one of {list(PRESETS)}, got {preset!r}.")
    rotation = _check_real("rotation", rotation, -np.inf, np.inf, "degrees")
    _check_noise(noise)
    _check_device(device)
    seed = _seed(random_state, None)

    def source(number):
        return np.random.RandomState([seed, number])

    doses = _draw_doses(dose, dose_fluctuation, dose_trend, n_frames, source(410))
    path = MoviePath(
        shape, draw_drift(drift, n_frames, source(411)), np.linspace(0, rotation, n_frames)
    )
    model = choose_model(
        seed,
        models=models,
        structure=structure,
        defect=defect,
        support=support,
        contrast=contrast,
        thickness=thickness,
        tilt=tilt,
        defocus=defocus,
        optics=optics,
    )
    _check_sampling(pixel_size, model)
    atoms, origin = lay_out(model, path, pixel_size, source(412))
    scene = Scene(atoms, lean(*model.tilt), origin, pixel_size, path)
    happening = choose_events(scene, events, event_frames, source(413))
    states, state = _states(happening, n_frames)

    grid = tuple(fast_length(length / PRESETS[preset]) for length in atoms.extent)
    imaging = Imaging(
        atoms.extent,
        grid,
        atoms.thickness,
        scene.tilt,
        model.microscope,
        model.description["defocus"],
        device,
    )
    structures = [altered(atoms, [happening[i] for i in active]) for active in states]
    clean = _clean_frames(structures, imaging, scene, state, doses, n_jobs, verbose)
    data, clean = _draw_frames(clean, noise, source(414))
    truth = ColumnTruth(scene, happening, states)
    return Bunch(
        data=ImageStack(data, pixel_size),
        clean=ImageStack(clean, pixel_size),
        columns=[truth.of_frame(k, state[k]) for k in range(n_frames)],
        drift=path.drift,
        dose=doses,
        events=truth.of_events(happening),
        frame=pd.DataFrame(
            {
                "state": state,
                "drift_y": path.drift[:, 0],
                "drift_x": path.drift[:, 1],
                "rotation": path.rotation,
                "dose": doses,
            }
        ),
        model=model.description,
        pixel_size=pixel_size,
        DESCR=files(__package__).joinpath("descr", "movie.rst").read_text(encoding="utf-8"),
    )


# --- checks -------------------------------------------------------------------------------------


def _check_n_frames(n_frames):
    if isinstance(n_frames, bool) or not isinstance(n_frames, Integral) or n_frames < 1:
        raise ValueError(f"n_frames must be a positive whole number, got {n_frames!r}.")
    return int(n_frames)


def _check_shape(shape):
    sides = (shape, shape) if isinstance(shape, Integral) else shape
    whole = np.shape(sides) == (2,) and all(
        isinstance(n, Integral) and not isinstance(n, bool) for n in sides
    )
    if not whole or min(sides) < _LEAST_SIDE:
        raise ValueError(
            f"shape must be (height, width) in pixels (or one number), {_LEAST_SIDE} at least, got "
            f"{shape!r}."
        )
    return tuple(int(n) for n in sides)


def _check_real(name, value, low, high, unit):
    """Return a number strictly between two bounds, or say what is wrong with it."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number ({unit}), got {value!r}.")
    if not low < value < high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g} ({unit}), got {value!r}.")
    return float(value)


def _check_noise(noise):
    if noise is None:
        return
    if not callable(getattr(noise, "sample", None)):
        raise TypeError(f"noise must have a method sample(clean, ...), got {noise!r}.")
    if getattr(noise, "dose", None) is not None:
        raise ValueError(
            f"noise has a dose of its own, {noise.dose!r}: leave it at None, and give make_movie "
            "the dose in vacuum."
        )


def _check_device(device):
    from temdenoise._device import choose_device

    choose_device(device)


def _check_sampling(pixel_size, model):
    limit = model.microscope.information_limit(model.description["defocus"])
    if limit < np.inf and pixel_size > 50 / limit:
        raise ValueError(
            f"pixel_size {pixel_size:g} pm is too coarse: this microscope transfers up to "
            f"{limit:.2f} 1/Angstrom, which needs {50 / limit:.1f} pm or less."
        )


# --- frames -------------------------------------------------------------------------------------


def _draw_doses(dose, fluctuation, trend, n_frames, rng):
    dose = check_length("dose", dose, unit="electrons per pixel")
    fluctuation = _check_real("dose_fluctuation", fluctuation, -1, 1, "relative")
    if fluctuation < 0:
        raise ValueError(f"dose_fluctuation must not be negative, got {fluctuation!r}.")
    trend = _check_real("dose_trend", trend, -1, np.inf, "relative")
    doses = dose * np.linspace(1, 1 + trend, n_frames)
    doses *= np.exp(fluctuation * rng.normal(size=n_frames))
    if doses.max() > _MAX_DOSE:
        raise ValueError(
            f"The dose comes to {doses.max():g} electrons per pixel, more than {_MAX_DOSE:g}: is "
            "it per Angstrom^2? Multiply by the area of a pixel."
        )
    return doses


def _states(events, n_frames):
    """Return the sets of events that are active together, and which one each frame shows."""
    active = [
        tuple(i for i, event in enumerate(events) if event.first <= k <= event.last)
        for k in range(n_frames)
    ]
    states = list(dict.fromkeys(active))
    return states, np.array([states.index(a) for a in active])


def _clean_frames(structures, imaging, scene, state, doses, n_jobs, verbose):
    """Calculate one exit wave for each structure, and sample all frames."""
    jobs = [(i, (s.numbers, s.positions)) for i, s in enumerate(structures)]
    samplers = [None] * len(jobs)
    clean = np.empty((len(doses), *scene.path.shape), dtype=np.float32)
    total = len(jobs) + len(doses)
    with tqdm(total=total, desc="simulate", unit="step", disable=not verbose) as bar:
        for i, spectrum in run_numbered(image_spectrum, jobs, (imaging,), n_jobs=n_jobs):
            samplers[i] = Sampler(spectrum, imaging.extent, scene)
            bar.update()

        def sample(k):
            np.multiply(samplers[state[k]].frame(k), np.float32(doses[k]), out=clean[k])

        with one_torch_thread():
            side_by_side(sample, range(len(doses)), n_jobs=n_jobs, progress=bar.update)
    return clean


def _draw_frames(clean, noise, rng):
    """Draw the frames; return them and the clean ones on their scale."""
    if noise is None:
        counts = np.asarray(PoissonNoise().sample(clean, random_state=rng))
        return counts.astype(np.uint8 if counts.max() <= 255 else np.uint16), clean
    return draw_noise(noise, clean, rng)
