"""Contents of the set: the paper's 855 models, random models, and the selection of images."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from temdenoise.datasets._contrast import condition_contrast
from temdenoise.simulation.structures import PARTICLES

FIELD_OF_VIEW = 50.0  # Angstrom
THICKNESSES = (30, 40, 50, 60)  # Angstrom
# Rotations about x and y in degrees, one at a time.
TILTS = ((0, 0), *((k, 0) for k in range(1, 5)), *((0, k) for k in range(1, 5)))
DEFOCI = tuple(range(21))  # nm
DEFECTS_OF = {
    "PtNp1": ("D0", "D1", "D2", "Dh", "Ds"),
    "PtNp2": ("D0", "D1", "Dh", "Ds"),
    "PtNp3": ("D0", "D1", "D2"),
    "PtNp4": ("D0", "D1"),
}
SUPPORTS = ("flat", "step", "facet", "vacancies")
# At 50 Angstrom the paper's set holds four times as many images as at other thicknesses, and three
# times for these particles (counted in the published lists). They have four and three supports.
_THREE_SUPPORTS = (("PtNp1", "D1"), ("PtNp2", "Dh"), ("PtNp2", "Ds"))

# The particles as the paper's images show them: PtNp1 has rows of 7, 8, 9, 10 and 10 columns,
# PtNp2 lacks one of the last row, on the support.
_SHAPE = {
    "PtNp1": {"size_jitter": (1.5, 0), "wulff_height": 0.2, "truncation": 1.0},
    "PtNp2": {"size_jitter": (3.5, 0), "wulff_height": 0.2, "truncation": 1.0},
    "PtNp3": {},
    "PtNp4": {},
}

# Typical largest residual aberrations of a corrected microscope in nm, and the period of their
# azimuths in degrees. Third-order spherical aberration is in micrometres, vibration in pm.
_ASTIGMATISMS = {"12": (3.0, 180.0), "21": (150.0, 360.0), "23": (100.0, 120.0)}
_SPHERICAL, _VIBRATION = (-20.0, 5.0), (20.0, 70.0)

MODEL_COLUMNS = ["structure", "defect", "support", "thickness", "tilt_x", "tilt_y"]
FRAME_COLUMNS = ["model", *MODEL_COLUMNS, "defocus", "contrast"]


@dataclass(frozen=True)
class ModelImages:
    """One model and its selected images.

    `arguments` are those of `pt_ceo2`. If given, `change` (change, index of the site) then alters
    the surface. `series` is the whole defocus series of the wave, of which `chosen` are kept, so an
    image does not depend on the selection of others. `optics` are parameters of the `Microscope`
    that differ from the paper's.
    """

    arguments: dict
    tilt: tuple  # towards x and y, as `exit_wave` takes it
    series: tuple
    chosen: tuple
    start: int = 0  # row of the first image in the stack
    change: tuple | None = None
    optics: dict | None = None


def lean(tilt_x, tilt_y):
    """Tilt towards x and y, as `exit_wave` takes it, of rotations about x and y in degrees.

    The paper states rotations. A rotation about x tilts the specimen along y, and this reproduces
    the paper's images. The paper does not state the sign, which has almost no effect: columns are
    elongated in the same way.
    """
    return (float(-tilt_y) + 0.0, float(-tilt_x) + 0.0)


def catalogue():
    """Table of the 855 models of the paper (Appendix A.2), in a fixed order."""
    rows = []
    for structure, defects in DEFECTS_OF.items():
        for defect in defects:
            for thickness in THICKNESSES:
                n = 1
                if thickness == 50:
                    n = 3 if (structure, defect) in _THREE_SUPPORTS else 4
                rows += [
                    (structure, defect, support, float(thickness), float(x), float(y))
                    for support in SUPPORTS[:n]
                    for x, y in TILTS
                ]
    return pd.DataFrame(rows, columns=MODEL_COLUMNS)


def model_arguments(structure, defect, support, thickness, seed):
    """Arguments of `pt_ceo2` for a model of the catalogue.

    All models of a structure share one particle. `seed` determines the place of the defect on it
    (the same column in Dh, Ds and D1), and of the particle, step or facet in the field. All tilts
    have the same atoms.
    """
    particle = np.random.RandomState([seed, list(PARTICLES).index(structure)])
    place = [seed, list(PARTICLES).index(structure), DEFECTS_OF[structure].index(defect)]
    place += [SUPPORTS.index(support), int(thickness)]
    rng = np.random.RandomState(place)
    arguments = {
        "particle": structure,
        "defect": defect,
        "thickness": float(thickness),
        "support": 22.0 + rng.uniform(-2, 2),
        "shift": (rng.uniform(-4, 4), 0.0),
        "offset": (0.6, 0.0),
        "random_state": int(particle.randint(2**31 - 1)),
        **_SHAPE[structure],
    }
    # steps and facets begin beyond the particle, on either side of it
    side = int(rng.choice([-1, 1]))
    edge = FIELD_OF_VIEW / 2 + arguments["shift"][0] + side * rng.uniform(15, 19)
    if support == "step":
        arguments["steps"] = [(edge, side)]
    elif support == "facet":
        # {100} on the left, {111} on the right: low-index planes of the crystal in this zone
        arguments["facets"] = [(edge, 54.74 if side < 0 else -70.53)]
    elif support == "vacancies":
        arguments["oxygen_vacancies"] = 0.3
    return arguments


def whole_set(seed):
    """Frame of all 17,955 images of the set, with models in the order that `seed` determines."""
    table = catalogue().sample(frac=1, random_state=np.random.RandomState(seed))
    frame = table.loc[table.index.repeat(len(DEFOCI))]
    frame = frame.rename_axis("model").reset_index()
    frame["defocus"] = np.tile(np.asarray(DEFOCI, dtype=float), len(table))
    frame["contrast"] = condition_contrast(frame)
    return frame[FRAME_COLUMNS]


def images_of(frame, seed):
    """Group the rows of a frame of the catalogue (in order) into models to simulate."""
    jobs, start = [], 0
    for _, rows in frame.groupby("model", sort=False):
        first = rows.iloc[0]
        arguments = model_arguments(
            first["structure"], first["defect"], first["support"], first["thickness"], seed
        )
        jobs.append(
            ModelImages(
                arguments,
                lean(first["tilt_x"], first["tilt_y"]),
                tuple(map(float, DEFOCI)),
                tuple(int(d) for d in rows["defocus"]),
                start,
            )
        )
        start += len(rows)
    return jobs


def spread_order(frame):
    """Positions of the rows of a frame with its models in another order.

    Structures alternate, and so do the defects of each structure. The models of a structure and
    defect keep their order, and so do the images of a model.
    """
    models = frame.drop_duplicates("model")[["model", "structure", "defect"]]
    turn = models.groupby(["structure", "defect"]).cumcount()
    models = models.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    turn = models.groupby("structure").cumcount()
    models = models.iloc[np.lexsort((models["structure"].to_numpy(str), turn))]
    place = pd.Series(range(len(models)), index=models["model"])
    return np.argsort(frame["model"].map(place).to_numpy(), kind="stable")


def draw_models(rng, structures, defects, defocus, sizes, *, in_turn=False):
    """Draw any number of models at random: jobs and frame (see ``models="varied"``).

    The structures, and the defects of each, are drawn for every model, or alternate in a random
    order.
    """
    jobs, rows, start = [], [], 0
    turns = _turns(rng, structures, defects)
    for i, n in enumerate(sizes):
        if in_turn:
            structure, defect = next(turns)
            arguments, tilt, defoci = draw_model(rng, [structure], [defect], defocus, n)
        else:
            arguments, tilt, defoci = draw_model(rng, structures, defects, defocus, n)
        support = "facet" if arguments["facets"] else "flat"
        jobs.append(ModelImages(arguments, tilt, tuple(defoci), tuple(range(n)), start))
        start += n
        # the inverse of `lean`
        about = (-tilt[1] + 0.0, -tilt[0] + 0.0)
        head = (i, arguments["particle"], arguments["defect"], support, arguments["thickness"])
        rows += [(*head, *about, value) for value in defoci]
    frame = pd.DataFrame(rows, columns=FRAME_COLUMNS[:-1])
    frame["contrast"] = condition_contrast(frame)
    return jobs, frame


def _turns(rng, structures, defects):
    """Yield structures and defects endlessly: structures alternate, and so do their defects."""
    waiting = {structure: [] for structure in structures}
    while True:
        for structure in rng.permutation(structures):
            if not waiting[structure]:
                possible = [d for d in DEFECTS_OF[structure] if defects is None or d in defects]
                waiting[structure] = rng.permutation(possible).tolist()
            yield str(structure), waiting[structure].pop()


def draw_model(rng, structures, defects, defocus, n_defoci):
    """Draw one model of ``models="varied"``: arguments of `pt_ceo2`, tilt, defoci."""
    structure = str(rng.choice(structures))
    possible = [d for d in DEFECTS_OF[structure] if defects is None or d in defects]
    defect = str(rng.choice(possible))
    tilt = [0.0, 0.0]
    tilt[rng.randint(2)] = float(rng.randint(5))
    facets = []
    if rng.uniform() < 0.4:  # the support ends in a facet on one side
        side = rng.choice([-1, 1])
        edge = FIELD_OF_VIEW / 2 - side * rng.uniform(8, 24)
        facets.append((float(edge), float(side * rng.choice([35.3, 54.7, 70.5]))))
    arguments = {
        "particle": structure,
        "defect": defect,
        "thickness": float(rng.choice(THICKNESSES)),
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
    return arguments, tuple(tilt), [float(value) for value in chosen]


def vary_optics(jobs, frame, seed):
    """Give each model a microscope of its own: jobs and frame (see ``optics="varied"``)."""
    drawn = {model: draw_optics(seed, model) for model in frame["model"].unique()}
    jobs = [replace(job, optics=drawn[frame["model"].iat[job.start]]) for job in jobs]
    optics = pd.DataFrame([drawn[model] for model in frame["model"]], index=frame.index)
    return jobs, pd.concat([frame, optics], axis=1)


def draw_optics(seed, model):
    """Parameters of a `Microscope`, the same for a model whichever others are asked for."""
    rng = np.random.RandomState([seed, 300, model])
    optics = {"c3": rng.uniform(*_SPHERICAL), "vibration": rng.uniform(*_VIBRATION)}
    for name, (highest, period) in _ASTIGMATISMS.items():
        optics[f"c{name}"] = rng.uniform(0, highest)
        optics[f"phi{name}"] = rng.uniform(0, period)
    return optics
