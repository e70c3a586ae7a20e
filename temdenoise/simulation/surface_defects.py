"""Remove atoms from, and add atoms to, a nanoparticle's surface (Appendix A.3, Section 5.3.2)."""

from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from temdenoise.simulation.crystals import PLATINUM_LATTICE

PLATINUM = 78
# D0: no defect. D1, D2: one or two surface columns missing. Dh: one column halved. Ds: one atom of
# a column left.
DEFECTS = ("D0", "D1", "D2", "Dh", "Ds")
# Section 5.3.2: one atom of a column removed, two removed, all but one, one added on a new site.
SURFACE_CHANGES = ("removed-1", "removed-2", "single", "added")


def project(xy, tolerance):
    """Label points that lie within `tolerance` of each other (transitively)."""
    pairs = cKDTree(xy).query_pairs(tolerance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(xy), len(xy)))
    return connected_components(graph, directed=False)[1]


def _centres(xy, label):
    count = np.bincount(label)
    return np.stack([np.bincount(label, weights=xy[:, k]) / count for k in (0, 1)], axis=1)


def corner_columns(platinum, lattice, rng):
    """Labels of all columns, and of those suitable for a defect, least coordinated first."""
    label = project(platinum[:, :2], 0.3)
    centres = _centres(platinum, label)
    neighbours = cKDTree(centres).query_ball_point(centres, 0.75 * lattice, return_length=True)
    surface = (neighbours < neighbours.max()) & (centres[:, 1] > centres[:, 1].min() + 0.5)
    candidates = np.flatnonzero(surface)
    order = rng.permutation(len(candidates))
    return label, candidates[order][np.argsort(neighbours[candidates[order]], kind="stable")]


def with_defect(platinum, defect, lattice, rng):
    """Apply one of `DEFECTS` to surface columns (corners and edges before terraces)."""
    if defect == "D0":
        return platinum
    label, corners = corner_columns(platinum, lattice, rng)
    if defect in ("D1", "D2"):
        return platinum[~np.isin(label, corners[: int(defect[1])])]
    members = np.flatnonzero(label == corners[0])
    members = members[np.argsort(platinum[members, 2])]
    kept = (len(members) + 1) // 2 if defect == "Dh" else 1
    return np.delete(platinum, members[kept:], axis=0)


def surface_sites(structure, *, lattice=PLATINUM_LATTICE):
    """Places where the surface of a Pt particle can lose or gain atoms.

    Columns are at the surface by the rule of `Structure.columns`. A new site is a site of the
    particle's lattice above its lowest row. It touches at least three atoms of the particle (the
    hollow of a {111} facet; four on {100}) and appears as a separate column.

    Parameters
    ----------
    structure : Structure
        A particle on its support, as `pt_ceo2` builds it.
    lattice : float, default=3.985
        Lattice constant of Pt, Angstrom.

    Returns
    -------
    columns : ndarray of shape (n_columns, 2)
        x, y in Angstrom (in the cell) of the surface columns with at least two atoms. Columns with
        the fewest neighbours (corners, edges) are first.
    new : ndarray of shape (n_new, 3)
        x, y, z of a new atom for each new column: the site with most neighbours in the column, and
        of these the nearest to half depth. Sites with most neighbours are first.

    Raises
    ------
    ValueError
        If the structure holds no Pt.

    Examples
    --------
    >>> from temdenoise.simulation import pt_ceo2, surface_sites
    >>> columns, new = surface_sites(pt_ceo2("PtNp2", offset=(0.0, 0.0)))
    >>> columns.shape, new.shape
    ((12, 2), (11, 3))
    """
    platinum = _platinum(structure)
    table = structure.columns()
    table = table[(table["element"] == "Pt").to_numpy()]
    xy = table[["x", "y"]].to_numpy()
    neighbours = cKDTree(xy).query_ball_point(xy, 0.75 * lattice, return_length=True)
    order = np.lexsort((xy[:, 0].round(2), xy[:, 1].round(2), neighbours))
    open_ = (table["surface"] & (table["occupancy"] >= 2)).to_numpy()[order]
    columns = xy[order[open_]]

    sites, touching = _open_sites(platinum, structure.thickness, lattice)
    depth = np.abs(sites[:, 2] - structure.thickness / 2)
    order = np.lexsort((sites[:, 0], sites[:, 1], np.round(depth, 3), -touching))
    column = project(sites[:, :2], 0.3)[order]
    new = sites[order][np.sort(np.unique(column, return_index=True)[1])]
    return columns, new


def _open_sites(platinum, thickness, lattice):
    """Sites (n, 3) that continue the particle's lattice, and how many of its atoms each touches."""
    # The bonds of the innermost atom give the lattice as it stands, mirrored or strained.
    distance = lattice / np.sqrt(2)
    tree = cKDTree(platinum)
    bonded = tree.query_ball_point(platinum, 1.1 * distance, return_length=True)
    inner = platinum[bonded.argmax()]
    bonds = platinum[tree.query_ball_point(inner, 1.1 * distance)] - inner
    bonds = np.concatenate([bonds, -bonds])
    sites = (platinum[:, None] + bonds).reshape(-1, 3)
    sites = sites[tree.query(sites)[0] > 0.5 * distance]
    sites = sites[np.unique(np.round(sites, 2), axis=0, return_index=True)[1]]
    foot = platinum[:, 1].max()
    sites = sites[(sites[:, 1] < foot - 0.5) & (sites[:, 2] >= 0)]
    sites = sites[sites[:, 2] <= thickness]
    touching = tree.query_ball_point(sites, 1.1 * distance, return_length=True)
    apart = cKDTree(platinum[:, :2]).query(sites[:, :2])[0] > 0.5
    kept = (touching >= 3) & apart
    return sites[kept], touching[kept]


def new_columns(structure, *, lattice=PLATINUM_LATTICE):
    """Whole columns that the surface of a Pt particle could gain.

    Parameters
    ----------
    structure : Structure
        A particle on its support, as `pt_ceo2` builds it.
    lattice : float, default=3.985
        Lattice constant of Pt, Angstrom.

    Returns
    -------
    columns : list of ndarray of shape (n_atoms, 3)
        x, y, z of the atoms of each new column, sorted by z: all sites of it that touch at least
        three atoms of the particle (see `surface_sites`). From top to bottom, and left to right.

    Raises
    ------
    ValueError
        If the structure holds no Pt.
    """
    sites, _ = _open_sites(_platinum(structure), structure.thickness, lattice)
    if not len(sites):
        return []
    label = project(sites[:, :2], 0.3)
    columns = [sites[label == i] for i in range(label.max() + 1)]
    columns = [column[np.argsort(column[:, 2])] for column in columns]
    return sorted(columns, key=lambda c: tuple(c[:, 1::-1].mean(axis=0).round(2)))


def without_column(structure, xy):
    """Take a whole Pt column away.

    Parameters
    ----------
    structure : Structure
    xy : array-like of float
        x, y of the column in Angstrom.

    Returns
    -------
    Structure
        A new structure.

    Raises
    ------
    ValueError
        If there is no Pt column.
    """
    members = _column_members(structure, xy)
    if not len(members):
        raise ValueError(f"There is no Pt column at {np.asarray(xy).tolist()} Angstrom.")
    return replace(
        structure,
        numbers=np.delete(structure.numbers, members),
        positions=np.delete(structure.positions, members, axis=0),
    )


def with_platinum(structure, atoms):
    """Add Pt atoms.

    Parameters
    ----------
    structure : Structure
    atoms : array-like of float, shape (n_atoms, 3)
        x, y, z in Angstrom.

    Returns
    -------
    Structure
        A new structure.

    Raises
    ------
    ValueError
        If one of them lies nearer than 2 Angstrom to an atom of the structure.
    """
    atoms = np.asarray(atoms, dtype=np.float64).reshape(-1, 3)
    gaps = cKDTree(structure.positions).query(atoms)[0]
    if not (gaps >= 2).all():
        raise ValueError(
            f"An atom at {atoms[gaps.argmin()].tolist()} would lie {gaps.min():.2f} Angstrom from "
            "another; Pt atoms keep 2.8. Take a site from surface_sites."
        )
    return replace(
        structure,
        numbers=np.append(structure.numbers, np.full(len(atoms), PLATINUM)),
        positions=np.vstack([structure.positions, atoms]),
    )


def _platinum(structure):
    platinum = structure.positions[structure.numbers == PLATINUM]
    if not len(platinum):
        raise ValueError("The structure holds no Pt atoms (78): give a particle on its support.")
    return platinum


def _column_members(structure, xy):
    """Return the indices of the atoms of a Pt column, sorted by z."""
    near = np.hypot(*(structure.positions[:, :2] - np.asarray(xy)[:2]).T) < 0.3
    members = np.flatnonzero(near & (structure.numbers == PLATINUM))
    return members[np.argsort(structure.positions[members, 2])]


def alter_surface(structure, change, site):
    """Remove atoms from a surface column of a Pt particle, or add one on a new site.

    Parameters
    ----------
    structure : Structure
        A particle on its support, as `pt_ceo2` builds it.
    change : {"removed-1", "removed-2", "single", "added"}
        One atom of the column removed, two removed, all but one removed, or an atom added. Atoms
        are removed from the end of the column that the beam reaches first.
    site : array-like of float
        (x, y) of the column in Angstrom, or (x, y, z) of the atom to add, as `surface_sites`
        returns them.

    Returns
    -------
    Structure
        A new structure.

    Raises
    ------
    ValueError
        If the change is unknown, the site has no column, the column has too few atoms, or the new
        atom is nearer than 2 Angstrom to another.

    Examples
    --------
    >>> from temdenoise.simulation import alter_surface, pt_ceo2, surface_sites
    >>> model = pt_ceo2("PtNp2", random_state=0)
    >>> columns, new = surface_sites(model)
    >>> fewer = alter_surface(model, "removed-2", columns[0])
    >>> more = alter_surface(model, "added", new[0])
    >>> len(fewer.numbers) - len(model.numbers), len(more.numbers) - len(model.numbers)
    (-2, 1)
    """
    if change not in SURFACE_CHANGES:
        raise ValueError(f"change must be one of {list(SURFACE_CHANGES)}, got {change!r}.")
    site = np.asarray(site, dtype=np.float64)
    if change == "added":
        return with_platinum(structure, site)
    members = _column_members(structure, site)
    removed = len(members) - 1 if change == "single" else int(change[-1])
    if not 0 < removed < len(members):
        raise ValueError(
            f"The Pt column at {site[:2].tolist()} has only {len(members)} atoms: {change!r} would "
            "leave none. Take a site from surface_sites."
        )
    return replace(
        structure,
        numbers=np.delete(structure.numbers, members[:removed]),
        positions=np.delete(structure.positions, members[:removed], axis=0),
    )
