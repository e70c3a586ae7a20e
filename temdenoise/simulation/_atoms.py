"""Atoms that a user gives: checks, and the box that is simulated."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from temdenoise.simulation.scattering import element_symbol

# Atoms nearer to each other than this (Angstrom) are a mistake: the shortest bond has 0.74 (H2).
MIN_DISTANCE = 0.5


# Thickest specimen (Angstrom): a micrometre. Nobody can image atoms through thicker ones.
_MAX_THICKNESS = 1e4


def check_positive(name, value, unit="Angstrom"):
    """Refuse values that are not positive, finite numbers."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number ({unit}), got {value!r}.")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite ({unit}), got {value!r}.")


def check_slices(thickness, slice_thickness):
    """Refuse a thickness that is absurd or not positive, and slices that are not positive."""
    check_positive("slice_thickness", slice_thickness)
    check_positive("thickness", thickness)
    if thickness > _MAX_THICKNESS:
        raise ValueError(
            f"thickness {thickness:g} Angstrom is more than a micrometre, too thick for images of "
            "atoms. Is it in Angstrom?"
        )


def check_elements(numbers, n_atoms):
    """Validate atomic numbers; return them as an integer array."""
    values = np.asarray(numbers)
    if values.shape != (n_atoms,) or values.dtype.kind not in "iuf":
        raise ValueError(
            f"numbers must hold one atomic number for each of the {n_atoms} positions, got shape "
            f"{values.shape} of {values.dtype}."
        )
    for z in np.unique(values):
        element_symbol(z)  # refuses elements that are not in the table
    return values.astype(int)


def check_atoms(numbers, positions, extent, thickness):
    """Validate atoms against their box; return them as NumPy arrays."""
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise ValueError(
            "positions must be (n_atoms, 3) in Angstrom with at least one atom, got shape "
            f"{positions.shape}."
        )
    numbers = check_elements(numbers, len(positions))
    if not np.isfinite(positions).all():
        raise ValueError("positions hold NaN or infinity.")
    if not thickness > 0 or min(extent) <= 0:
        raise ValueError(
            f"extent and thickness must be positive (Angstrom), got {extent} and {thickness}."
        )
    z = positions[:, 2]
    outside = (z < -1e-6) | (z > thickness + 1e-6)
    if outside.any():
        raise ValueError(
            f"{outside.sum()} atoms lie outside the thickness 0 to {thickness} Angstrom along the "
            f"beam (z from {z.min():.2f} to {z.max():.2f}): shift them or raise thickness."
        )
    _check_distances(positions, extent)
    return numbers, positions


def _check_distances(positions, extent):
    """Refuse atoms too close to each other, also across the border of a periodic cell."""
    if len(positions) < 2:
        return
    box = np.array([extent[1], extent[0], 0.0])  # not periodic along the beam
    wrapped = positions.copy()
    wrapped[:, :2] %= box[:2]
    wrapped[:, :2][wrapped[:, :2] >= box[:2]] = 0.0  # the remainder of -1e-20 rounds to the box
    distance, other = (a[:, 1] for a in cKDTree(wrapped, boxsize=box).query(wrapped, 2))
    if distance.min() < MIN_DISTANCE:
        i = int(distance.argmin())
        raise ValueError(
            f"Atoms {i} and {other[i]} are {distance[i]:.3f} Angstrom apart, in a cell that "
            f"repeats every {extent[0]:g} x {extent[1]:g} Angstrom (height x width), and "
            f"{(distance < MIN_DISTANCE).sum()} atoms have a neighbour within {MIN_DISTANCE} "
            "Angstrom. Remove duplicate atoms (also on sites of mixed or partial occupancy), or "
            "correct the cell."
        )


@dataclass(frozen=True)
class Specimen:
    """Atoms, the vectors of their cell (rows, Angstrom), and which of these are periodic."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None
    periodic: tuple = (False, False, False)

    @property
    def is_upright(self):
        """Whether two of the cell's vectors are normal to the beam and the third is along it."""
        return self.cell is not None and np.allclose(self.cell[[0, 1, 2, 2], [2, 2, 0, 1]], 0,
                                                     atol=1e-6)  # fmt: skip

    @property
    def is_rectangular(self):
        """Whether the cell's vectors run along x, y and z in this order."""
        return self.cell is not None and np.allclose(self.cell, np.diag(np.diag(self.cell)),
                                                     atol=1e-6)  # fmt: skip


def read_atoms(atoms):
    """Convert the argument `atoms` to a checked `Specimen`.

    It is an ``ase.Atoms``, the path of a file that ASE can read, or (numbers, positions, cell).
    """
    if isinstance(atoms, str | Path):
        atoms = _read_file(Path(atoms))
    if hasattr(atoms, "get_atomic_numbers") and hasattr(atoms, "get_positions"):
        _refuse_partial_occupancy(atoms)
        numbers, positions = atoms.get_atomic_numbers(), atoms.get_positions()
        cell, periodic = np.array(atoms.get_cell()), tuple(bool(p) for p in atoms.get_pbc())
        if abs(np.linalg.det(cell)) < 1e-6:
            if any(periodic):
                raise ValueError(
                    f"The atoms are periodic (pbc {periodic}), but their cell {cell.tolist()} has "
                    "no volume. Give all three vectors, as atoms.center(vacuum=2, axis=2) does "
                    "for a slab, or set pbc to False for a cluster in vacuum."
                )
            cell, periodic = None, (False, False, False)
        else:
            # ASE leaves many atoms outside the cell. Shifted by a period, an atom is the same atom.
            fractions = positions @ np.linalg.inv(cell)
            shifts = -np.floor(fractions + 1e-9) * np.array(periodic)
            positions = positions + shifts @ cell
    elif isinstance(atoms, tuple | list) and len(atoms) == 3:
        numbers, positions, cell = atoms
        periodic = (cell is not None,) * 3
    else:
        raise TypeError(
            "atoms must be an ase.Atoms, the path of a structure file, or a tuple (numbers, "
            f"positions, cell), got {type(atoms).__name__}."
        )
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise ValueError(
            "positions must be (n_atoms, 3) in Angstrom with at least one atom, got shape "
            f"{positions.shape}."
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions hold NaN or infinity.")
    numbers = check_elements(numbers, len(positions))
    if cell is None:
        return Specimen(numbers, positions, None)
    cell = np.asarray(cell, dtype=np.float64)
    cell = np.diag(cell) if cell.shape == (3,) else cell
    if cell.shape != (3, 3) or not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError(
            "cell must be three lengths or three independent vectors in Angstrom, got "
            f"{cell.tolist()}."
        )
    inside = positions @ np.linalg.inv(cell)
    tolerance = 1e-3 / np.linalg.norm(cell, axis=1)
    outside = ((inside < -tolerance) | (inside > 1 + tolerance)).any(axis=1)
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(
            f"{outside.sum()} atoms lie outside the cell, the first is atom {i} at "
            f"{np.round(positions[i], 3).tolist()} Angstrom. Wrap them (ase.Atoms.wrap) or enlarge "
            "the cell."
        )
    return Specimen(numbers, positions, cell, periodic)


def _read_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no structure file {str(path)!r}.")
    try:
        import ase.io
    except ImportError as error:
        raise ImportError(
            "Structure files are read with ASE: pip install 'temdenoise[simulation]'."
        ) from error
    try:
        atoms = ase.io.read(path)
    except Exception as error:  # ASE's parsers raise many kinds of errors
        raise ValueError(
            f"{str(path)!r} cannot be read as a structure "
            f"({type(error).__name__}: {error}). Is the file complete, and is its suffix correct?"
        ) from error
    if len(atoms) == 0:
        raise ValueError(f"{str(path)!r} holds no atoms.")
    return atoms


def _refuse_partial_occupancy(atoms):
    """Refuse sites that are not exactly one atom. They cannot be simulated atom by atom."""
    for site in (atoms.info.get("occupancy") or {}).values():
        if len(site) > 1 or any(share < 1 for share in site.values()):
            raise ValueError(
                f"A site is occupied by {site}. Choose one atom for each site (mixed and "
                "partial occupancy cannot be simulated atom by atom)."
            )


def turn_to_zone_axis(specimen, zone_axis):
    """Turn a crystal so that the lattice direction [u v w] is along the beam.

    The shortest other lattice vector, in projection along the beam, points to the right.
    """
    indices = np.asarray(zone_axis, dtype=np.float64)
    if indices.shape != (3,) or not indices.any() or not np.isfinite(indices).all():
        raise ValueError(f"zone_axis must be three lattice indices, not all 0, got {zone_axis!r}.")
    if specimen.cell is None or not all(specimen.periodic):
        raise ValueError("zone_axis needs a crystal: a cell that is periodic in all directions.")
    beam = indices @ specimen.cell
    beam /= np.linalg.norm(beam)
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = steps @ specimen.cell
    sideways = vectors - np.outer(vectors @ beam, beam)
    length = np.linalg.norm(sideways, axis=1)
    candidates = np.flatnonzero(length > 1e-6)
    # of equally short vectors, the last has positive indices
    best = candidates[np.flatnonzero(np.isclose(length[candidates], length[candidates].min()))[-1]]
    right = sideways[best] / length[best]
    axes = np.array([right, np.cross(beam, right), beam])
    return replace(specimen, positions=specimen.positions @ axes.T, cell=specimen.cell @ axes.T)


def fill_box(specimen, lower, upper):
    """All atoms of a periodic specimen inside a box (Angstrom). Only one of two borders counts."""
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    corners = np.stack(np.meshgrid(*zip(lower, upper, strict=True), indexing="ij"), -1)
    reach = corners.reshape(-1, 3) @ np.linalg.inv(specimen.cell)
    first = np.floor(reach.min(axis=0)).astype(int) - 1
    last = np.ceil(reach.max(axis=0)).astype(int) + 1
    for axis in np.flatnonzero(~np.array(specimen.periodic)):
        first[axis], last[axis] = 0, 1
    counts = [np.arange(a, b) for a, b in zip(first, last, strict=True)]
    shifts = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, 3) @ specimen.cell
    positions = (shifts[:, None] + specimen.positions).reshape(-1, 3)
    numbers = np.tile(specimen.numbers, len(shifts))
    margin = 1e-6
    inside = ((positions >= lower - margin) & (positions < upper - margin)).all(axis=1)
    return numbers[inside], positions[inside]
