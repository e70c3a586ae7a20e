"""Atomic models: Pt nanoparticles on CeO2 (111), both seen along [1-10]."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

# Rows: image x = [11-2], "up" = [111], beam = [1-10], in crystal coordinates (right-handed).
_AXES = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6], [3], [2]])
_FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
_FLUORITE_OXYGEN = np.stack(np.meshgrid(*[[0.25, 0.75]] * 3, indexing="ij"), -1).reshape(-1, 3)

CERIA_LATTICE = 5.411  # Angstrom
PLATINUM_LATTICE = 3.985  # Angstrom, as measured on the images of the paper's data set
CERIA_PERIOD = CERIA_LATTICE * np.sqrt(1.5)  # along image x
# First Pt plane above the last Ce plane, Angstrom.
INTERFACE_GAP = 2.5
SYMBOLS = {8: "O", 58: "Ce", 78: "Pt"}

# Width at the interface (Angstrom), number of (111) layers of the paper's four particles; PtNp2 is
# PtNp1 with one column less in the interface row.
PARTICLES = {
    "PtNp1": {"width": 20.0, "layers": 5},
    "PtNp2": {"width": 17.5, "layers": 5},
    "PtNp3": {"width": 11.5, "layers": 4},
    "PtNp4": {"width": 28.0, "layers": 7},
}
# D0 none; D1, D2 one or two surface columns missing; Dh one column halved; Ds one atom of it left.
DEFECTS = ("D0", "D1", "D2", "Dh", "Ds")


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
        """Projected atom columns: what an image can show at best.

        Parameters
        ----------
        tilt : tuple of float, default=(0, 0)
            Specimen tilt in degrees, as given to `exit_wave`; a tilted column is centred at half
            depth.
        tolerance : float, default=0.3
            Atoms of one element closer than this (Angstrom, in projection, untilted) are a column.

        Returns
        -------
        pandas.DataFrame
            Columns x, y (Angstrom), element, occupancy (number of atoms).
        """
        lean = np.tan(np.radians(tilt)) * (self.positions[:, 2:] - self.thickness / 2)
        seen = self.positions[:, :2] + lean
        tables = []
        for number in np.unique(self.numbers):
            atoms = np.flatnonzero(self.numbers == number)
            label = _project(self.positions[atoms, :2], tolerance)
            table = pd.DataFrame({"x": seen[atoms, 0], "y": seen[atoms, 1], "label": label})
            groups = table.groupby("label")
            table = groups[["x", "y"]].mean()
            table["element"] = SYMBOLS.get(int(number), str(number))
            table["occupancy"] = groups.size()
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def _project(xy, tolerance):
    """Label points that lie within `tolerance` of each other (transitively)."""
    pairs = cKDTree(xy).query_pairs(tolerance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(xy), len(xy)))
    return connected_components(graph, directed=False)[1]


def _lattice(constant, sites, lower, upper):
    """All sites of a cubic lattice inside a box given in the frame (x, up, beam), Angstrom."""
    reach = int(np.ceil(np.sqrt(np.sum(np.maximum(np.abs(lower), np.abs(upper)) ** 2)) / constant))
    cells = np.stack(np.meshgrid(*[np.arange(-reach - 1, reach + 2)] * 3, indexing="ij"), -1)
    points = (cells.reshape(-1, 1, 3) + sites).reshape(-1, 3) * constant @ _AXES.T
    return points[((points >= lower) & (points < upper)).all(axis=1)]


def _ceria(width, depth, thickness, shift, facets):
    """CeO2 slab below height 0 (last Ce plane), of whole O-Ce-O trilayers.

    Each facet (edge, angle) cuts the slab's left (positive angle) or right side along a plane that
    meets the surface at x = edge under that angle in degrees, one trilayer at a time. The lattice
    is shifted along x before it is cut.
    """
    margin = 1e-3  # sites on the border belong to the cell once
    spacing = CERIA_LATTICE / np.sqrt(3)
    lower = np.array([-margin, -depth, -margin])
    upper = np.array([width - margin, margin, thickness - margin])
    reach = [0, spacing / 4, 0]  # height of an O plane over its Ce plane
    cerium = _lattice(CERIA_LATTICE, _FCC, lower, upper)
    oxygen = _lattice(CERIA_LATTICE, _FLUORITE_OXYGEN, lower - reach, upper + reach)

    def cut(points):
        points[:, 0] = (points[:, 0] + shift) % width
        layer = np.round(-points[:, 1] / spacing)
        keep = np.ones(len(points), dtype=bool)
        for edge, angle in facets:
            run = layer * spacing / np.tan(np.radians(abs(angle)))
            side = np.sign(angle)
            keep &= side * (points[:, 0] - edge) + run >= 0
        return points[keep]

    return cut(cerium), cut(oxygen)


def _platinum(width, layers, thickness, wulff_height, truncation, lattice, offset):
    """Cut a truncated octahedron at height 0, in twin relation to the support (mirrored in x).

    `wulff_height` is the height of the Wulff centre over the particle's height: below 0 the
    particle is widest at its foot; `truncation` is the distance of the {100} facets over that of
    the {111} facets; `offset` (x, beam) moves the centre against the lattice, which trades columns
    between the two sides.
    """
    spacing = lattice / np.sqrt(3)
    height = (layers - 0.5) * spacing
    centre = np.array([offset[0], wulff_height * height, offset[1]])
    # the {111} facets inclined in the image meet the interface at half the width
    normals = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) / np.sqrt(3)
    normals = normals @ _AXES.T
    inclined = normals[(np.abs(normals[:, 2]) < 1e-6) & (np.abs(normals[:, 1]) < 0.9)]
    corner = np.abs([width / 2, centre[1], 0])
    radius = (np.abs(inclined) @ corner).max()
    cubes = np.concatenate([np.eye(3), -np.eye(3)]) @ _AXES.T
    half = np.array([1.5 * width, 0, thickness / 2 - 1])
    points = _lattice(lattice, _FCC, np.array([-half[0], -0.1, -half[2]]), half + [0, height, 0])
    away = points - centre
    # the {111} facet parallel to the interface is set by the number of layers
    flat = np.abs(normals[:, 1]) > 0.9
    keep = (away @ normals[~flat].T <= radius + 1e-6).all(axis=1)
    keep &= (away @ cubes.T <= radius * truncation + 1e-6).all(axis=1)
    return points[keep] * [-1, 1, 1]


def _corner_columns(platinum, lattice, rng):
    """Labels of all columns, and those fit for a defect, least coordinated first."""
    label = _project(platinum[:, :2], 0.3)
    centres = np.array([platinum[label == k, :2].mean(axis=0) for k in range(label.max() + 1)])
    tree = cKDTree(centres)
    neighbours = np.array([len(n) for n in tree.query_ball_point(centres, 0.75 * lattice)])
    surface = (neighbours < neighbours.max()) & (centres[:, 1] > centres[:, 1].min() + 0.5)
    candidates = np.flatnonzero(surface)
    order = rng.permutation(len(candidates))
    return label, candidates[order][np.argsort(neighbours[candidates[order]], kind="stable")]


def _with_defect(platinum, defect, lattice, rng):
    """Apply one of `DEFECTS` to surface columns (corners and edges before terraces)."""
    if defect == "D0":
        return platinum
    label, corners = _corner_columns(platinum, lattice, rng)
    if defect in ("D1", "D2"):
        return platinum[~np.isin(label, corners[: int(defect[1])])]
    members = np.flatnonzero(label == corners[0])
    members = members[np.argsort(platinum[members, 2])]
    kept = (len(members) + 1) // 2 if defect == "Dh" else 1
    return np.delete(platinum, members[kept:], axis=0)


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
    facets=(),
    random_state=None,
):
    """Pt nanoparticle on a CeO2 (111) support, both in [110] zone axis (Appendix A.3).

    The cell is periodic along the support and wider than the field of view, which is cropped from
    its middle: nothing that wraps around is seen.

    Parameters
    ----------
    particle : {"PtNp1", "PtNp2", "PtNp3", "PtNp4"} or None, default="PtNp1"
        Which of the paper's particles (2 nm, 2 nm with a column less at the interface, 1 nm,
        3 nm); None leaves the support bare.
    defect : {"D0", "D1", "D2", "Dh", "Ds"}, default="D0"
        None, one or two surface columns missing, one halved, one reduced to a single atom.
    thickness : float, default=40
        Thickness of the support along the beam, Angstrom.
    field_of_view : float, default=50
        Side of the square field, Angstrom.
    support : float, default=20
        Height of the support in the field, Angstrom.
    shift : tuple of float, default=(0, 0)
        Shift (x, y) of everything in the field, Angstrom.
    wulff_height : float, default=-0.15
        Height of the Wulff centre above the interface over the particle's height; below 0 the
        particle is widest at its foot.
    truncation : float, default=1.15
        Distance of the {100} facets over that of the {111} facets.
    size_jitter : tuple of (float, int), default=(0, 0)
        Added to the particle's width in Angstrom and to its number of layers.
    particle_lattice : float, default=3.985
        Lattice constant of Pt, Angstrom.
    facets : sequence of (float, float), default=()
        Facets of the support: x in Angstrom from the field's left side where the surface ends, and
        angle in degrees under which it falls, positive to the left, negative to the right.
    random_state : int, RandomState instance or None, default=None
        Chooses the place of the particle on the lattice and of the defect.

    Returns
    -------
    Structure
        Its ``info`` holds ``origin``, the (y, x) of the field of view in the cell, Angstrom.

    Raises
    ------
    ValueError
        For an unknown particle or defect, or a thickness below 5 Angstrom.

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
    if not thickness >= 5:
        raise ValueError(f"thickness must be at least 5 Angstrom, got {thickness}.")
    rng = random_state
    if not isinstance(rng, np.random.RandomState):
        rng = np.random.RandomState(rng)
    width = np.ceil((field_of_view + 3) / CERIA_PERIOD) * CERIA_PERIOD
    height = field_of_view + 10.0  # vacuum and support beyond the field, against wrap-around
    origin = ((height - field_of_view) / 2, (width - field_of_view) / 2)
    surface = origin[0] + field_of_view - support + shift[1]  # y of the last Ce plane

    facets = [(x + origin[1], angle) for x, angle in facets]
    cerium, oxygen = _ceria(width, height - surface - 2, thickness, shift[0], facets)
    groups = [(58, cerium), (8, oxygen)]
    if particle is not None:
        base = PARTICLES[particle]
        platinum = _platinum(
            base["width"] + size_jitter[0],
            max(2, base["layers"] + size_jitter[1]),
            thickness,
            wulff_height,
            truncation,
            particle_lattice,
            rng.uniform(-1, 1, 2),
        )
        middle = (platinum.max(axis=0) + platinum.min(axis=0)) / 2
        platinum = _with_defect(platinum, defect, particle_lattice, rng)
        platinum -= [middle[0] - width / 2 - shift[0], -INTERFACE_GAP, middle[2] - thickness / 2]
        groups.append((78, platinum))

    numbers = np.concatenate([np.full(len(p), z) for z, p in groups])
    positions = np.concatenate([p for _, p in groups])
    positions = positions * [1, -1, 1] + [0, surface, 0]
    return Structure(numbers, positions, (height, width), float(thickness), {"origin": origin})
