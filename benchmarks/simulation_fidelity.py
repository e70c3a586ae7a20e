"""Rebuild a published image of Pt on CeO2 from physics, and say how near the simulation comes.

    python benchmarks/simulation_fidelity.py REFERENCE.tif [--figure FIGURE.png]

REFERENCE is a clean image of another program (Dr. Probe) from the paper's data set: flat CeO2 (111)
below, a Pt particle on it, both along [110], 4.892 pm per pixel. Nothing else is told:

1. The support is a crystal, so one unit cell of it is simulated (fidelity_support.py). Mirror,
   thickness, tilt and defocus come from a search over the values of the data set; then focus, tilt,
   focal spread, vibration, Debye-Waller factors, pixel size and position are fitted.
2. The upper end of the support is the lattice plane that fits best beside the particle.
3. The particle's columns are found in the image and continued as a lattice by one step. Numbers of
   atoms from 0 up, positions and one Debye-Waller factor for all are fitted to the image.

Ends with one JSON line. The comparison leaves out a border of 40 pixels, where the reference shows
the end of its cell.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from fidelity_support import (
    BORDER,
    PERIOD,
    PLANE,
    ROW,
    VACUUM,
    Support,
    ceria_atoms,
    sample,
    spectrum,
)
from scipy.spatial import cKDTree

from temdenoise import find_atoms, read_stack
from temdenoise.atoms.find import image_range

PT_DEPTH, PT_STEP = 3.985 / np.sqrt(2), 3.985 * np.sqrt(3 / 8)  # between atoms, between columns
MARGIN = 8.0  # Angstrom simulated around the image


class Scene:
    """The support with its surface and the particle, in a box with a margin around the image."""

    def __init__(self, support):
        self.support, self.reference = support, support.reference
        self.fitted = support.fitted | {"pt": 0.4}
        self.field = np.array(self.reference.shape) * self.fitted["pixel_size"] / 100
        errors = {surface: self._surface_error(surface) for surface in range(-20, 21)}
        self.surface = min(errors, key=errors.get)
        print(f"surface: {100 * errors[self.surface] ** 0.5 / VACUUM:.3f} % of vacuum", flush=True)
        # in the frame of the image, Angstrom
        self.surface_y = self.surface * ROW - self.fitted["y"]
        self.columns, self.parity = self._find_columns()
        self.sites = self.columns.copy()
        self.occupancy = np.zeros(len(self.columns), dtype=int)
        self.most = int(support.thickness / PT_DEPTH) - 1

    def image(self, window=None, bare=None):
        """Simulated image in counts, whole or of a window (slices).

        `bare` is the upper plane of a support without particle, simulated one period wide.
        """
        window = window or tuple(slice(0, n) for n in self.reference.shape)
        step, support = self.fitted["pixel_size"] / 100, self.support
        start = np.array([w.start for w in window[::-1]]) * step - MARGIN
        height, width = (2 * MARGIN + (w.stop - w.start) * step for w in window)
        width = PERIOD[0] * (np.ceil(width / PERIOD[0]) if bare is None else 1)
        corner = np.array([*(start + [self.fitted["x"], self.fitted["y"]]), 0.0])
        surface = self.surface if bare is None else bare
        upper = [corner[0] + width, corner[1] + height, support.planes * PLANE - 0.5]
        lower = [corner[0], max(surface * ROW - ROW / 4 - 0.1, corner[1]), 0]
        numbers, positions = ceria_atoms(lower, upper, support.mirror)
        positions = positions - corner
        if bare is None:
            platinum = self._platinum() - [*start, 0]
            numbers = np.concatenate([numbers, np.full(len(platinum), 78)])
            positions = np.concatenate([positions, platinum])
        extent = (height + MARGIN, width)
        spectra = spectrum((numbers, positions), extent, support.thickness, self.fitted)
        shape = [w.stop - w.start for w in window]
        return sample(spectra[0], extent, self.fitted, shape, (MARGIN, MARGIN)) * VACUUM

    def _surface_error(self, surface):
        """Squared error of bare support that ends at a plane, where there is no particle."""
        y = surface * ROW - self.fitted["y"]
        if not 0.3 * self.field[0] < y < 0.6 * self.field[0]:
            return np.inf
        rows = slice(int(0.25 * len(self.reference)), int(0.62 * len(self.reference)))
        error = (self.image(bare=surface) - self.reference)[rows, BORDER:-BORDER]
        each = np.sort((error**2).mean(axis=0))
        return each[: len(each) // 4].mean()

    def _platinum(self):
        """Positions of all Pt atoms: the columns' atoms lie about half depth."""
        middle, atoms = self.support.planes * PLANE / 2, []
        # columns side by side are half a step apart along the beam
        for place, n, odd in zip(self.columns, self.occupancy, self.parity, strict=True):
            first = np.floor(-(n - 1 + odd) / 2 + 0.5) + odd / 2
            z = middle + (first + np.arange(n)) * PT_DEPTH
            atoms.append(np.column_stack([np.tile(place, (n, 1)), z]))
        return np.concatenate(atoms)

    def _find_columns(self):
        """Columns above the support in the image, continued as a lattice by one step."""
        size = self.fitted["pixel_size"]
        faint = 0.02 * self.reference.mean() / image_range(self.reference)
        table = find_atoms(self.reference, pixel_size=size, threshold=float(faint))
        found = table[["x", "y"]].to_numpy() * size / 100
        found = found[found[:, 1] < self.surface_y - 1.7]
        start = found[np.argmin(np.linalg.norm(found - found.mean(axis=0), axis=1))]
        fits = []
        for side in (1, -1):
            basis = np.array([[PT_STEP, 0], [side * PT_STEP / 3, PT_STEP * np.sqrt(8) / 3]])
            origin = start
            for _ in range(5):
                index = np.round((found - origin) @ np.linalg.inv(basis))
                near = np.linalg.norm(found - origin - index @ basis, axis=1) < 0.8
                terms = np.column_stack([np.ones(near.sum()), index[near]])
                if np.linalg.matrix_rank(terms) < 3:  # the wrong side
                    break
                origin, *basis = np.linalg.lstsq(terms, found[near], rcond=None)[0]
                basis = np.array(basis)
            fits.append((near.sum(), index, near, origin, basis))
        _, index, near, origin, basis = max(fits, key=lambda fit: fit[0])
        steps = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, -1], [-1, 1]]
        sites = np.unique((index[near][:, None] + steps).reshape(-1, 2), axis=0)
        columns = origin + sites @ basis
        keep = columns[:, 1] < self.surface_y - 1.7
        if not near.all():  # a column that stands off the lattice takes the room of its neighbours
            keep &= cKDTree(found[~near]).query(columns)[0] > 1.5
        columns, sites = columns[keep], sites[keep]
        distance, nearest = cKDTree(found).query(columns)
        columns = np.where((distance < 0.5)[:, None], found[nearest], columns)
        parity = np.concatenate([sites.sum(axis=1) % 2, np.zeros((~near).sum())])
        return np.concatenate([columns, found[~near]]), parity

    def fit(self, n_steps=6):
        """Fit numbers of atoms, positions and vibration of the particle's columns."""
        size = self.fitted["pixel_size"] / 100
        pixels = self.columns / size
        low = (pixels.min(axis=0) - 30).astype(int).clip(0)
        high = (pixels.max(axis=0) + 30).astype(int).clip(None, self.reference.shape[::-1])
        self.window = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
        y, x = (np.indices(self.reference.shape)[(slice(None), *self.window)] * size).reshape(2, -1)
        distance, owner = cKDTree(self.columns).query(np.column_stack([x, y]))
        self.seen, self.owner = distance < 1.1, owner[distance < 1.1]
        self.target = self.reference[self.window].ravel()[self.seen]
        errors = []
        for n in range(self.most + 1):
            self.occupancy[:] = n
            errors.append(self._per_column((self._values() - self.target) ** 2))
        self.occupancy = np.argmin(errors, axis=0)
        for _ in range(n_steps):
            self._refine()
        return self.image()

    def _values(self):
        """Simulated image near the columns."""
        return self.image(self.window).ravel()[self.seen]

    def _per_column(self, values):
        return np.bincount(self.owner, values, len(self.columns))

    def _refine(self):
        """One Gauss-Newton step: shifts and number of atoms of each column, vibration of all."""
        image = self._values()
        residual = self.target - image
        print(f"particle: {100 * residual.std() / VACUUM:.3f} % of vacuum", flush=True)
        slopes = []
        for axis in (0, 1):
            self.columns[:, axis] += 0.05
            slopes.append((self._values() - image) / 0.05)
            self.columns[:, axis] -= 0.05
        normal = np.array([[self._per_column(a * b) for a in slopes] for b in slopes])
        normal = normal.transpose(2, 0, 1) + 1e-9 * np.eye(2)  # a column may hold no atom

        def shifts_for(change):
            right = np.array([self._per_column(slope * change) for slope in slopes]).T
            return np.linalg.solve(normal, right[..., None])[..., 0]

        def without_shifts(change):
            moves = shifts_for(change)[self.owner]
            return change - slopes[0] * moves[:, 0] - slopes[1] * moves[:, 1]

        # an atom more or less also moves the image of a tilted column: shifts are left out
        now, changes = self.occupancy, [np.zeros_like(image)]
        for step in (1, -1):
            self.occupancy = (now + step).clip(0, self.most)
            changes.append(self._values() - image)
        errors = [self._per_column(without_shifts(residual - c) ** 2) for c in changes]
        errors[0] *= 0.95
        choice = np.argmin(errors, axis=0)
        # the vibration from those columns that have their number of atoms
        self.occupancy, kept = now, (choice == 0)[self.owner]
        self.fitted["pt"] += 0.1
        change = without_shifts((self._values() - image) / 0.1)[kept]
        step = np.dot(change, without_shifts(residual)[kept]) / np.dot(change, change)
        self.fitted["pt"] = float(np.clip(self.fitted["pt"] - 0.1 + step, 0.05, 2.0))
        self.occupancy = (now + np.array([0, 1, -1])[choice]).clip(0, self.most)
        residual = residual - np.choose(choice[self.owner], changes)
        # columns do not leave the sites they were found on
        shift = shifts_for(residual) + self.columns - self.sites
        self.columns = self.sites + shift.clip(-0.4, 0.4)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("--figure", type=Path, help="reference, simulation and difference")
    args = parser.parse_args()
    reference = np.asarray(read_stack(args.reference)[0], dtype=np.float64)
    support = Support(reference)
    print(f"support: {100 * support.residual / VACUUM:.3f} % of vacuum", flush=True)
    scene = Scene(support)
    image = scene.fit()

    error = image - reference
    seen = (slice(BORDER, -BORDER),) * 2
    surface = int(scene.surface_y * 100 / scene.fitted["pixel_size"])
    present = scene.columns[scene.occupancy > 0] * 100 / scene.fitted["pixel_size"]
    (left, top), (right, _) = present.min(axis=0) - 30, present.max(axis=0) + 30
    areas = {
        "": seen,
        "_ceo2": (slice(surface, -BORDER), seen[1]),
        "_pt": (slice(int(max(top, 0)), surface), slice(int(max(left, 0)), int(right))),
    }
    areas["_material"] = (slice(areas["_pt"][0].start, -BORDER), seen[1])
    result = {"correlation": np.corrcoef(image[seen].ravel(), reference[seen].ravel())[0, 1]}
    for name, area in areas.items():
        result[f"rmse_percent_of_vacuum{name}"] = 100 * np.sqrt((error[area] ** 2).mean()) / VACUUM
    result |= {"thickness": support.thickness, "planes": support.planes, "mirror": support.mirror}
    result |= scene.fitted
    result = {name: round(float(value), 4) for name, value in result.items()}
    result["columns_by_atoms"] = np.bincount(scene.occupancy).tolist()
    if args.figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(15, 5), layout="constrained")
        limits = {"vmin": reference.min(), "vmax": reference.max(), "cmap": "gray"}
        panels = {"reference": (reference, limits), "simulated": (image, limits)}
        panels["difference"] = (error, {"vmin": -0.02, "vmax": 0.02, "cmap": "RdBu_r"})
        for axis, (title, (panel, style)) in zip(
            figure.subplots(1, 3), panels.items(), strict=True
        ):
            axis.imshow(panel, **style)
            axis.set_title(title)
        figure.savefig(args.figure, dpi=60)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
