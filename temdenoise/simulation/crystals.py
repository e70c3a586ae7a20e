"""The two crystals of the paper's models, cut from their lattices: CeO2 support, Pt particle."""

import numpy as np

# Rows: image x = [11-2], "up" = [111], beam = [1-10], in crystal coordinates (right-handed).
AXES = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6], [3], [2]])
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
FLUORITE_OXYGEN = np.stack(np.meshgrid(*[[0.25, 0.75]] * 3, indexing="ij"), -1).reshape(-1, 3)

CERIA_LATTICE = 5.411  # Angstrom
PLATINUM_LATTICE = 3.985  # Angstrom, as measured on the images of the paper's data set
CERIA_PERIOD = CERIA_LATTICE * np.sqrt(1.5)  # along image x
CERIA_SPACING = CERIA_LATTICE / np.sqrt(3)  # of the O-Ce-O trilayers
# First Pt plane above the last Ce plane, Angstrom.
INTERFACE_GAP = 2.5


def lattice_points(constant, sites, lower, upper):
    """All sites of a cubic lattice inside a box given in the frame (x, up, beam), Angstrom."""
    lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    # A cube in crystal axes around the box is filled with cells. Only cells whose centre is within
    # half a cell's diagonal of the box are kept.
    centre, half = (lower + upper) / 2 @ AXES / constant, (upper - lower) / 2 @ np.abs(AXES)
    first = np.floor(centre - half / constant).astype(int) - 1
    last = np.ceil(centre + half / constant).astype(int) + 1
    ranges = [np.arange(a, b) for a, b in zip(first, last, strict=True)]
    cells = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    middle = (cells + 0.5) * constant @ AXES.T
    reach = constant * np.sqrt(3) / 2 + 1e-6
    cells = cells[((middle >= lower - reach) & (middle <= upper + reach)).all(axis=1)]
    points = (cells[:, None] + sites).reshape(-1, 3) * constant @ AXES.T
    return points[((points >= lower) & (points < upper)).all(axis=1)]


def ceria_slab(width, depth, thickness, shift=0.0, facets=(), steps=()):
    """CeO2 slab below height 0 (last Ce plane), of whole O-Ce-O trilayers.

    Each facet (edge, angle) cuts the slab's left (positive angle) or right side along a plane, one
    trilayer at a time. The plane meets the surface at x = edge under this angle in degrees. Each
    step (edge, layers) removes whole trilayers on the right of x = edge (positive) or on its left
    (negative). The lattice is shifted along x before it is cut.

    Returns
    -------
    cerium, oxygen : ndarray of shape (n_atoms, 3)
        x, height, beam in Angstrom.
    """
    margin = 1e-3  # sites on the border belong to the cell only once
    lower = np.array([-margin, -depth, -margin])
    upper = np.array([width - margin, margin, thickness - margin])
    reach = [0, CERIA_SPACING / 4, 0]  # height of an O plane over its Ce plane
    cerium = lattice_points(CERIA_LATTICE, FCC, lower, upper)
    oxygen = lattice_points(CERIA_LATTICE, FLUORITE_OXYGEN, lower - reach, upper + reach)

    def cut(points):
        points[:, 0] = (points[:, 0] + shift) % width
        layer = np.round(-points[:, 1] / CERIA_SPACING)
        keep = np.ones(len(points), dtype=bool)
        for edge, angle in facets:
            run = layer * CERIA_SPACING / np.tan(np.radians(abs(angle)))
            side = np.sign(angle)
            keep &= side * (points[:, 0] - edge) + run >= 0
        lowered = np.zeros(len(points))
        for edge, layers in steps:
            lowered += abs(layers) * (np.sign(layers) * (points[:, 0] - edge) > 0)
        return points[keep & (layer >= lowered)]

    return cut(cerium), cut(oxygen)


def without_surface_oxygen(oxygen, share, rng):
    """Remove a share of the oxygen atoms above the slab's last Ce plane, at random."""
    top = np.flatnonzero(oxygen[:, 1] > 0)
    gone = rng.choice(top, round(share * len(top)), replace=False)
    return np.delete(oxygen, gone, axis=0)


def platinum_particle(width, layers, thickness, wulff_height, truncation, lattice, offset):
    """Cut a truncated octahedron at height 0, in twin relation to the support (mirrored in x).

    `wulff_height` is the height of the Wulff centre over the particle's height: below 0 the
    particle is widest at its foot. `truncation` is the distance of the {100} facets over that of
    the {111} facets. `offset` (x, beam) moves the centre relative to the lattice, so that one side
    gains columns and the other loses them.
    """
    spacing = lattice / np.sqrt(3)
    height = (layers - 0.5) * spacing
    centre = np.array([offset[0], wulff_height * height, offset[1]])
    # the {111} facets inclined in the image meet the interface at half the width
    normals = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) / np.sqrt(3)
    normals = normals @ AXES.T
    inclined = normals[(np.abs(normals[:, 2]) < 1e-6) & (np.abs(normals[:, 1]) < 0.9)]
    corner = np.abs([width / 2, centre[1], 0])
    radius = (np.abs(inclined) @ corner).max()
    cubes = np.concatenate([np.eye(3), -np.eye(3)]) @ AXES.T
    half = np.array([1.5 * width, 0, thickness / 2 - 1])
    points = lattice_points(
        lattice, FCC, np.array([-half[0], -0.1, -half[2]]), half + [0, height, 0]
    )
    away = points - centre
    # the number of layers sets the {111} facet parallel to the interface
    flat = np.abs(normals[:, 1]) > 0.9
    keep = (away @ normals[~flat].T <= radius + 1e-6).all(axis=1)
    keep &= (away @ cubes.T <= radius * truncation + 1e-6).all(axis=1)
    return points[keep] * [-1, 1, 1]
