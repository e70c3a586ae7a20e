"""Atomic models: Pt nanoparticles on CeO2 (111), both seen along [1-10]."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from temdenoise.simulation.crystals import (
    CERIA_LATTICE,
    CERIA_PERIOD,
    INTERFACE_GAP,
    PLATINUM_LATTICE,
    ceria_slab,
    platinum_particle,
    without_surface_oxygen,
)
from temdenoise.simulation.surface_defects import DEFECTS, project, with_defect

SYMBOLS = {8: "O", 58: "Ce", 78: "Pt"}
# Distance in Angstrom within which columns are neighbours: two rings of cation columns around a
# cation, one ring of all columns around oxygen.
_CATION_REACH = 0.75 * CERIA_LATTICE
_PLATINUM_REACH = 0.75 * PLATINUM_LATTICE
_OXYGEN_REACH = 0.55 * CERIA_LATTICE
# Directions from a bulk column to its neighbours are at most 90 degrees apart, also across the
# interface. They are 109 degrees or more apart if a neighbour is missing.
SURFACE_GAP = 100.0

# Width at the interface (Angstrom), number of (111) layers of the paper's four particles; PtNp2 is
# PtNp1 with one column less in the interface row.
PARTICLES = {
    "PtNp1": {"width": 20.0, "layers": 5},
    "PtNp2": {"width": 17.5, "layers": 5},
    "PtNp3": {"width": 11.5, "layers": 4},
    "PtNp4": {"width": 28.0, "layers": 7},
}


@dataclass(frozen=True)
class Structure:
    """Atoms in a periodic cell, in the frame of the image.

    Parameters
    ----------
    numbers : ndarray of int, shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of float, shape (n_atoms, 3)
        x (right), y (down) and z (along the beam) in Angstrom.
    extent : tuple of float
        (height, width) of the periodic cell in Angstrom.
    thickness : float
        Length of the cell along the beam in Angstrom.
    """

    numbers: np.ndarray
    positions: np.ndarray
    extent: tuple
    thickness: float
    info: dict = field(default_factory=dict)

    def columns(self, tilt=(0.0, 0.0), tolerance=0.3):
        """Projected atom columns.

        A column is at the surface if there is a gap of more than 100 degrees between the directions
        to its neighbouring columns. Neighbours of a cation column are the cation columns (Ce, Pt)
        within 0.75 lattice constants. Neighbours of an oxygen column are all columns within 0.55.
        The projection is untilted, and the cell is periodic. The widest gap in the bulk is 71
        degrees (90 around oxygen); at the interface, Pt and Ce columns are neighbours and close the
        gaps. If a column is missing, the gap is at least 109 degrees.

        Parameters
        ----------
        tilt : tuple of float, default=(0, 0)
            Specimen tilt in degrees, as for `exit_wave`. The position of a tilted column is that at
            half depth.
        tolerance : float, default=0.3
            Atoms of one element closer than this (Angstrom, in untilted projection) are one column.

        Returns
        -------
        pandas.DataFrame
            Columns x, y (Angstrom), element, occupancy (number of atoms), surface (bool).
        """
        lean = np.tan(np.radians(tilt)) * (self.positions[:, 2:] - self.thickness / 2)
        seen = self.positions[:, :2] + lean
        tables, upright = [], []
        for number in np.unique(self.numbers):
            atoms = np.flatnonzero(self.numbers == number)
            label = project(self.positions[atoms, :2], tolerance)
            count = np.bincount(label)
            x, y, x0, y0 = (
                np.bincount(label, weights=values) / count
                for values in (*seen[atoms].T, *self.positions[atoms, :2].T)
            )
            element = SYMBOLS.get(int(number), str(number))
            tables.append(pd.DataFrame({"x": x, "y": y, "element": element, "occupancy": count}))
            upright.append(np.stack([x0, y0], axis=1))
        table = pd.concat(tables, ignore_index=True)
        table["surface"] = self._at_surface(np.concatenate(upright), table["element"].to_numpy())
        return table

    def _at_surface(self, xy, element):
        box = np.array(self.extent[::-1], dtype=np.float64)
        wrapped = xy % box
        wrapped[wrapped >= box] = 0  # the remainder of a tiny negative number
        tree = cKDTree(wrapped, boxsize=box)
        reach = min(_CATION_REACH, 0.499 * box.min())
        pairs = tree.sparse_distance_matrix(tree, reach, output_type="ndarray")
        i, j, distance = pairs["i"], pairs["j"], pairs["v"]
        oxygen, platinum = element == "O", element == "Pt"
        limit = np.where(platinum[i] & platinum[j], _PLATINUM_REACH, _CATION_REACH)
        limit[oxygen[j]] = 0
        limit[oxygen[i]] = _OXYGEN_REACH
        near = (distance > 0.1) & (distance < limit)
        i, j = i[near], j[near]
        step = xy[j] - xy[i]
        step -= box * np.round(step / box)
        angle = np.degrees(np.arctan2(step[:, 1], step[:, 0]))
        order = np.lexsort((angle, i))
        i, angle = i[order], angle[order]
        first = np.flatnonzero(np.diff(i, prepend=-1))
        after = np.append(angle[1:], 0.0)
        last = np.append(first[1:], len(i)) - 1
        if len(i):
            after[last] = angle[first] + 360
        gap = np.full(len(xy), 360.0)  # a column without neighbours
        if len(i):
            gap[i[first]] = np.maximum.reduceat(after - angle, first)
        return gap > SURFACE_GAP


def pt_ceo2(
    particle="PtNp1",
    *,
    defect="D0",
    thickness=40.0,
    field_of_view=50.0,
    support=20.0,
    shift=(0.0, 0.0),
    wulff_height=-0.15,
    truncation=1.15,
    size_jitter=(0.0, 0),
    particle_lattice=PLATINUM_LATTICE,
    offset=None,
    facets=(),
    steps=(),
    oxygen_vacancies=0.0,
    random_state=None,
):
    """Pt nanoparticle on a CeO2 (111) support, both in [110] zone axis (Appendix A.3).

    The cell is periodic along the support. The field of view is the middle of this wider cell, so
    that nothing in it wraps around.

    Parameters
    ----------
    particle : {"PtNp1", "PtNp2", "PtNp3", "PtNp4"} or None, default="PtNp1"
        One of the paper's particles (2 nm, 2 nm with a column less at the interface, 1 nm, 3 nm).
        None: the support alone.
    defect : {"D0", "D1", "D2", "Dh", "Ds"}, default="D0"
        No surface column missing, one, or two; one column halved, or reduced to a single atom.
    thickness : float, default=40
        Thickness of the support along the beam, Angstrom.
    field_of_view : float, default=50
        Side of the square field, Angstrom.
    support : float, default=20
        Height of the support in the field, Angstrom.
    shift : tuple of float, default=(0, 0)
        Shift (x, y) of the whole model in the field, Angstrom.
    wulff_height : float, default=-0.15
        Height of the Wulff centre above the interface over the particle's height; below 0 the
        particle is widest at its foot.
    truncation : float, default=1.15
        Distance of the {100} facets over that of the {111} facets.
    size_jitter : tuple of (float, int), default=(0, 0)
        Added to the particle's width in Angstrom and to its number of layers.
    particle_lattice : float, default=3.985
        Lattice constant of Pt, Angstrom.
    offset : tuple of float, optional
        (x, beam) in Angstrom by which the particle's centre is moved relative to its lattice. One
        side of the particle gains atom columns and the other loses them. By default drawn from -1
        to 1.
    facets : sequence of (float, float), default=()
        Facets of the support. The first number is x in Angstrom, from the field's left side, where
        the surface ends. The second is the angle of the facet in degrees, positive if it descends
        to the left, negative if to the right.
    steps : sequence of (float, int), default=()
        Steps of the support: x in Angstrom from the field's left side, and the number of O-Ce-O
        trilayers that are missing on the right of x (positive) or on its left (negative).
    oxygen_vacancies : float, default=0
        Share of the oxygen atoms of the support's topmost plane that are missing, at random.
    random_state : int, RandomState instance or None, default=None
        Determines the places of the particle on the lattice, of the defect and of the vacancies.

    Returns
    -------
    Structure
        Its ``info`` holds ``origin``, the (y, x) of the field of view in the cell, Angstrom.

    Raises
    ------
    ValueError
        If particle or defect is unknown, the thickness is below 5 Angstrom, the field of view or
        the support leaves no room for the model, or facets, steps or vacancies are out of range.

    Examples
    --------
    >>> from temdenoise.simulation import pt_ceo2
    >>> model = pt_ceo2("PtNp3", thickness=30, random_state=0)
    >>> columns = model.columns()
    >>> sorted(columns["element"].unique())
    ['Ce', 'O', 'Pt']
    """
    if particle is not None and particle not in PARTICLES:
        raise ValueError(f"particle must be one of {list(PARTICLES)} or None, got {particle!r}.")
    if defect not in DEFECTS:
        raise ValueError(f"defect must be one of {list(DEFECTS)}, got {defect!r}.")
    _check_geometry(thickness, field_of_view, support, facets, steps, oxygen_vacancies)
    rng = random_state
    if not isinstance(rng, np.random.RandomState):
        rng = np.random.RandomState(rng)
    width = np.ceil((field_of_view + 3) / CERIA_PERIOD) * CERIA_PERIOD
    height = field_of_view + 10.0  # vacuum and support outside the field prevent wrap-around
    origin = ((height - field_of_view) / 2, (width - field_of_view) / 2)
    surface = origin[0] + field_of_view - support + shift[1]  # y of the last Ce plane

    facets = [(x + origin[1], angle) for x, angle in facets]
    steps = [(x + origin[1], layers) for x, layers in steps]
    depth = height - surface - 2
    cerium, oxygen = ceria_slab(width, depth, thickness, shift[0], facets, steps)
    groups = [(58, cerium), (8, oxygen)]
    if particle is not None:
        base = PARTICLES[particle]
        platinum = platinum_particle(
            base["width"] + size_jitter[0],
            max(2, base["layers"] + size_jitter[1]),
            thickness,
            wulff_height,
            truncation,
            particle_lattice,
            rng.uniform(-1, 1, 2) if offset is None else offset,
        )
        middle = (platinum.max(axis=0) + platinum.min(axis=0)) / 2
        platinum = with_defect(platinum, defect, particle_lattice, rng)
        platinum -= [middle[0] - width / 2 - shift[0], -INTERFACE_GAP, middle[2] - thickness / 2]
        groups.append((78, platinum))
    if oxygen_vacancies:
        groups[1] = (8, without_surface_oxygen(oxygen, oxygen_vacancies, rng))

    numbers = np.concatenate([np.full(len(p), z) for z, p in groups])
    positions = np.concatenate([p for _, p in groups])
    positions = positions * [1, -1, 1] + [0, surface, 0]
    return Structure(numbers, positions, (height, width), float(thickness), {"origin": origin})


def _check_geometry(thickness, field_of_view, support, facets, steps, oxygen_vacancies):
    if not (thickness >= 5 and np.isfinite(thickness)):
        raise ValueError(f"thickness must be at least 5 Angstrom, got {thickness}.")
    if not (field_of_view > 0 and np.isfinite(field_of_view)):
        raise ValueError(f"field_of_view must be positive (Angstrom), got {field_of_view}.")
    if not 0 < support <= field_of_view:
        raise ValueError(
            f"support must lie between 0 and the field of view ({field_of_view} Angstrom), got "
            f"{support}."
        )
    for x, angle in facets:
        if not (np.isfinite(x) and 0 < abs(angle) < 180):
            raise ValueError(
                "Each of facets must be (x in Angstrom, angle in degrees between 0 and 180, with "
                f"a sign), got {(x, angle)}."
            )
    for x, layers in steps:
        if not np.isfinite(x) or layers != int(layers) or layers == 0:
            raise ValueError(
                "Each of steps must be (x in Angstrom, a whole number of trilayers, not 0), got "
                f"{(x, layers)}."
            )
    if not 0 <= oxygen_vacancies <= 1:
        raise ValueError(f"oxygen_vacancies must be a share, 0 to 1, got {oxygen_vacancies}.")
