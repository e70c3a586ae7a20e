"""Specimens with columns removed: Pt on CeO2, and particles of Au, SrTiO3 and Si."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from temdenoise.simulation import pt_ceo2, simulate
from temdenoise.simulation.crystals import FCC, lattice_points

PIXEL_SIZE = 6.22  # pm
SYMBOLS = {"Pt": 78, "Ce": 58, "O": 8, "Au": 79, "Sr": 38, "Ti": 22, "Si": 14}
# Reach (Angstrom) within which columns of an element are neighbours, and how many there are inside.
_NEIGHBOURS = {"Pt": (3.0, 6), "Ce": (4.1, 6), "Au": (3.1, 6), "Sr": (4.1, 4), "Si": (2.6, 3)}
# Vacancies are farther apart than this (Angstrom).
_APART = 9.0
# From the border of the image (Angstrom).
_MARGIN = 4.0
_SHAPE = 464  # px, 29 Angstrom
SIGMA = {"Si": 30 / PIXEL_SIZE}
"""Standard deviation (px) of columns that the default, 60 pm, does not separate."""


@dataclass
class Specimen:
    """Clean images of a specimen with vacancies, and of the same without them.

    Attributes
    ----------
    name : str
    full, clean : ndarray of shape (n_defoci, height, width)
        Mean counts/px, 1 in vacuum: without and with vacancies.
    vacancies : pandas.DataFrame
        x, y (px), element, surface (bool).
    columns : pandas.DataFrame
        All columns of the full specimen: the same, and inside (bool), whether it is far from the
        border of the image.
    defocus : ndarray of shape (n_defoci,)
        nm.
    """

    name: str
    full: np.ndarray
    clean: np.ndarray
    vacancies: pd.DataFrame
    columns: pd.DataFrame
    defocus: np.ndarray


def specimen(name, seed, n_defoci):
    """Build and simulate one specimen.

    Parameters
    ----------
    name : {"Pt/CeO2", "Au", "SrTiO3", "Si"}
    seed, n_defoci : int

    Returns
    -------
    specimen : Specimen
    """
    rng = np.random.RandomState(seed)
    numbers, positions, cell = _pt_ceo2(rng) if name == "Pt/CeO2" else _particle(name, rng)
    elements = [element for element, z in SYMBOLS.items() if z in numbers]
    columns = pd.concat([_columns(numbers, positions, e) for e in elements], ignore_index=True)
    side = _SHAPE * PIXEL_SIZE / 100
    xy = columns[["x", "y"]]
    columns["inside"] = ((xy > _MARGIN) & (xy < side - _MARGIN)).all(axis=1)
    vacancies = columns.loc[_draw_vacancies(columns, rng)]
    gone = np.zeros(len(numbers), dtype=bool)
    for row in vacancies.itertuples():
        mine = np.hypot(positions[:, 0] - row.x, positions[:, 1] - row.y) < 0.3
        gone |= mine & (numbers == SYMBOLS[row.element])
    defocus = np.sort(rng.choice(np.arange(0.0, 21.0), n_defoci, replace=False))
    options = {"pixel_size": PIXEL_SIZE, "shape": _SHAPE, "defocus": defocus, "dose": 1.0}
    options |= {"sampling": 0.125}
    images = [
        np.asarray(simulate((numbers[keep], positions[keep], cell), **options))
        for keep in (np.ones_like(gone), ~gone)
    ]
    in_pixels = [t.assign(x=t.x * 100 / PIXEL_SIZE, y=t.y * 100 / PIXEL_SIZE)
                 for t in (vacancies, columns)]  # fmt: skip
    return Specimen(name, *images, *(t.reset_index(drop=True) for t in in_pixels), defocus)


def _pt_ceo2(rng):
    side = _SHAPE * PIXEL_SIZE / 100
    model = pt_ceo2(
        str(rng.choice(["PtNp1", "PtNp2", "PtNp4"])),
        thickness=float(rng.choice([30, 40, 50])),
        field_of_view=side,
        support=rng.uniform(10, 13),
        shift=(rng.uniform(-3, 3), 0.0),
        wulff_height=rng.uniform(-0.3, 0.5),
        truncation=rng.uniform(1.0, 1.25),
        random_state=rng,
    )
    height, width = model.extent
    positions = model.positions - [*model.info["origin"][::-1], 0]
    positions[:, :2] %= [width, height]
    return model.numbers, positions, (width, height, model.thickness)


def _particle(name, rng):
    """Numbers, positions and cell of a prism of a crystal, in vacuum, along [110] or [001]."""
    side = _SHAPE * PIXEL_SIZE / 100
    width = side + 25.0  # the cell: vacuum keeps its copies apart
    thickness = rng.uniform(25, 45)
    half = np.array([side, side, thickness / 2])
    if name == "SrTiO3":
        numbers, points = _perovskite(half)
        faces = np.radians([0, 90, 180, 270])
    else:
        constant, sites = {"Au": (4.078, FCC), "Si": (5.431, np.concatenate([FCC, FCC + 0.25]))}[
            name
        ]
        points = lattice_points(constant, sites, -half, half)
        numbers = np.full(len(points), SYMBOLS[name])
        faces = np.radians([90, 90 + 70.5, 90 - 70.5, 90 + 125.3, 90 - 125.3])  # {111}, {100}
    points = points - [*rng.uniform(-2, 2, 2), 0]
    keep = np.ones(len(points), dtype=bool)
    for face in faces:
        keep &= points[:, :2] @ [np.cos(face), np.sin(face)] <= rng.uniform(8.5, 10.5)
    numbers, points = numbers[keep], points[keep]
    turn = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    xy = points[:, :2] @ turn + side / 2
    depth = points[:, 2] + thickness / 2
    return numbers, np.column_stack([xy % width, depth]), (width, width, thickness)


def _perovskite(half, constant=3.905):
    """SrTiO3 along [001]: atomic numbers and positions in a box."""
    n = np.ceil(half / constant).astype(int)
    cells = np.stack(np.meshgrid(*[np.arange(-k, k + 1) for k in n], indexing="ij"), -1)
    sites = [(38, (0, 0, 0)), (22, (0.5, 0.5, 0.5))]
    sites += [(8, site) for site in ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))]
    points = [(cells.reshape(-1, 3) + site) * constant for _, site in sites]
    numbers = np.repeat([z for z, _ in sites], len(points[0]))
    points = np.concatenate(points)
    inside = (np.abs(points) < half).all(axis=1)
    return numbers[inside], points[inside]


def _columns(numbers, positions, element):
    """Columns of an element, and whether each is at the surface (a neighbour is missing)."""
    xy = positions[numbers == SYMBOLS[element], :2]
    tree = cKDTree(xy)
    first = np.array([min(near) for near in tree.query_ball_point(xy, 0.3)])
    chosen = np.unique(first)
    xy, occupancy = xy[chosen], np.bincount(first)[chosen]
    reach, inside = _NEIGHBOURS.get(element, (0.0, 0))
    n_near = cKDTree(xy).query_ball_point(xy, reach, return_length=True) - 1
    table = pd.DataFrame(xy, columns=["x", "y"])
    return table.assign(
        element=element, occupancy=occupancy, n_near=n_near, surface=n_near < inside
    )


def _draw_vacancies(columns, rng):
    """Numbers of an interior and a surface column of each element, far from each other."""
    chosen = []
    xy = columns[["x", "y"]].to_numpy()
    may_go = columns["inside"] & columns["element"].isin(_NEIGHBOURS)
    for (element, surface), group in columns[may_go].groupby(["element", "surface"]):
        # Corners are the ends of rows, not vacancies. Columns of few atoms hardly show.
        fit = group["occupancy"] >= 4
        if surface:
            fit &= group["n_near"] >= _NEIGHBOURS[element][1] - 2
        for k in rng.permutation(group.index[fit]):
            if all(np.hypot(*(xy[k] - xy[other])) > _APART for other in chosen):
                chosen.append(k)
                break
    return chosen
