"""Rebuild a published image of Pt on CeO2 from physics, and say how near the simulation comes.

    python benchmarks/simulation_fidelity.py REFERENCE.tif [--figure FIGURE.png]

REFERENCE is a clean simulated image of another program (Dr. Probe; 4.892 pm/px, vacuum 0.45,
defocus 6 nm, tilt 3 degrees, support 4 nm thick). Its atom columns are found, the lattices of Pt
and CeO2 laid on them, the number of atoms in each Pt column and small shifts fitted, and the image
computed with the library's own optics. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from skimage.registration import phase_cross_correlation

from temdenoise import find_atoms, read_stack
from temdenoise.simulation import Microscope, exit_wave, sample_image
from temdenoise.simulation.crystals import CERIA_LATTICE
from temdenoise.simulation.crystals import FCC as _FCC
from temdenoise.simulation.crystals import FLUORITE_OXYGEN as _FLUORITE_OXYGEN
from temdenoise.simulation.crystals import lattice_points as _lattice

PIXEL_SIZE, VACUUM = 4.892, 0.45  # pm, counts/px
EXTENT = (1024 * PIXEL_SIZE / 100,) * 2  # Angstrom
ORIGIN = (20 * PIXEL_SIZE / 100, 48 * PIXEL_SIZE / 100)  # of the image in the cell
THICKNESS, TILT, DEFOCUS = 40.0, (0.0, -3.0), 6.0
PT_LATTICE = 3.985
GRID = (540, 540)


def split_columns(table):
    """Pt and Ce columns (x, y in Angstrom, in the cell), told apart by their spacing in a row."""
    xy = table[["x", "y"]].to_numpy() * PIXEL_SIZE / 100 + ORIGIN[::-1]
    pairs = cKDTree(xy * [1, 4]).query(xy * [1, 4], 2)[0][:, 1]  # neighbours of the same row
    pt_spacing, ce_spacing = PT_LATTICE * np.sqrt(3 / 8), CERIA_LATTICE * np.sqrt(3 / 8)
    is_pt = pairs < (pt_spacing + ce_spacing) / 2
    return xy[is_pt], xy[~is_pt]


def lay_lattice(columns, constant, sites, anchor):
    """Lattice atoms (x right, y down) in either mirror, shifted onto measured columns."""
    best = None
    reach = np.array([70.0, 70.0, THICKNESS + 2])
    atoms = _lattice(constant, sites, -reach, reach)
    for mirror in (1, -1):
        moved = atoms * [mirror, -1, 1]
        moved = moved - moved[np.argmin(np.hypot(*moved[:, :2].T))] * [1, 1, 0]
        moved[:, :2] += anchor
        for _ in range(5):
            offset, index = cKDTree(moved[:, :2]).query(columns)
            moved[:, :2] += np.median(columns - moved[index, :2], axis=0)
        error = float(np.median(offset))
        if best is None or error < best[0]:
            best = error, moved, mirror
    return best


class Model:
    """Atoms laid on the reference's columns; what is fitted are shifts and occupancies."""

    def __init__(self, reference):
        pt, ce = split_columns(find_atoms(reference, pixel_size=PIXEL_SIZE, polarity="bright"))
        self.columns = pt
        surface = ce[:, 1].min()
        inner = ce[ce[:, 1] > surface + 4]
        pt_error, self.pt, _ = lay_lattice(pt, PT_LATTICE, _FCC, pt[len(pt) // 2])
        ce_error, cerium, mirror = lay_lattice(inner, CERIA_LATTICE, _FCC, inner[len(inner) // 2])
        print(f"lattice fits: Pt {pt_error:.3f}, Ce {ce_error:.3f} Angstrom", flush=True)
        # oxygen: the same lattice points as cerium's, shifted from one known pair
        reach = np.array([70.0, 70.0, THICKNESS + 2])
        frame = _lattice(CERIA_LATTICE, _FCC, -reach, reach) * [mirror, -1, 1]
        oxygen = _lattice(CERIA_LATTICE, _FLUORITE_OXYGEN, -reach, reach) * [mirror, -1, 1]
        start = frame[np.argmin(np.hypot(*frame[:, :2].T))]
        origin = cerium[np.argmin(np.hypot(*frame[:, :2].T))]
        oxygen[:, :2] += origin[:2] - start[:2]
        quarter = CERIA_LATTICE / np.sqrt(48)
        self.support = [(58, cerium[cerium[:, 1] > surface - 1])]
        self.support.append((8, oxygen[oxygen[:, 1] > surface - 1 - quarter + 0.5]))
        self.shift = {"Pt": np.zeros(2), "CeO2": np.zeros(2)}
        self.occupancy = np.full(len(pt), 9)

    def atoms(self):
        """Atomic numbers and positions in the cell."""
        numbers, positions = [], []
        for number, atoms in self.support:
            atoms = atoms + [*self.shift["CeO2"], 0]
            depth = (atoms[:, 2] > -1e-3) & (atoms[:, 2] < 20 * CERIA_LATTICE / np.sqrt(8) - 0.5)
            inside = (np.abs(atoms[:, 0] - EXTENT[1] / 2) < EXTENT[1] / 2 + 1) & depth
            atoms = atoms[inside & (atoms[:, 1] < EXTENT[0])]
            numbers.append(np.full(len(atoms), number))
            positions.append(atoms)
        tree = cKDTree(self.pt[:, :2])
        for column, n in zip(self.columns, self.occupancy, strict=True):
            members = self.pt[tree.query_ball_point(column, 0.5)]
            members = members[np.argsort(np.abs(members[:, 2]), kind="stable")][:n]
            numbers.append(np.full(len(members), 78))
            positions.append(members + [*self.shift["Pt"], 19.0])
        return np.concatenate(numbers), np.concatenate(positions)

    def image(self, shape):
        """Simulated image in counts per pixel."""
        numbers, positions = self.atoms()
        wave = exit_wave(numbers, positions, EXTENT, GRID, thickness=THICKNESS, tilt=TILT)
        spectra, _ = Microscope().image_spectra(wave, EXTENT, [DEFOCUS])
        return sample_image(spectra[0], EXTENT, PIXEL_SIZE, shape, ORIGIN).numpy() * VACUUM


def fit(reference):
    """Fit shifts and occupancies; return the simulated image and the areas compared."""
    model = Model(reference)
    rows, columns = ((model.columns[:, k] - ORIGIN[1 - k]) * 100 / PIXEL_SIZE for k in (1, 0))
    top, bottom = int(rows.min()) - 30, int(rows.max())
    areas = {
        "Pt": (slice(top, bottom + 15), slice(int(columns.min()) - 30, int(columns.max()) + 30)),
        "CeO2": (slice(bottom + 110, len(reference) - 40), slice(60, reference.shape[1] - 60)),
    }
    places = np.round(rows).astype(int), np.round(columns).astype(int)

    def align(steps):
        for _ in range(steps):
            image = model.image(reference.shape)
            for name, area in areas.items():
                shift = phase_cross_correlation(
                    reference[area], image[area], upsample_factor=50, normalization=None
                )[0]
                model.shift[name] += shift[::-1] * PIXEL_SIZE / 100
        return model.image(reference.shape)

    align(3)
    heights = np.arange(2, 12)
    peaks = []
    for n in heights:
        model.occupancy[:] = n
        peaks.append(model.image(reference.shape)[places])
    difference = np.abs(np.array(peaks) - reference[places])
    model.occupancy = heights[difference.argmin(axis=0)]
    return align(2), areas, model


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    reference = read_stack(args.reference)[0][0].astype(np.float64)
    image, areas, model = fit(reference)
    # the lower border shows the far end of the support, which is cut in another place
    seen = slice(30, len(reference) - 40), slice(40, reference.shape[1] - 40)
    result = {
        "correlation": round(
            float(np.corrcoef(image[seen].ravel(), reference[seen].ravel())[0, 1]), 5
        )
    }
    error = image - reference
    result["rmse_percent_of_vacuum"] = round(
        100 * float(np.sqrt((error[seen] ** 2).mean())) / VACUUM, 3
    )
    for name, area in areas.items():
        result[f"rmse_percent_{name}"] = round(
            100 * float(np.sqrt((error[area] ** 2).mean())) / VACUUM, 3
        )
    result["atoms_per_column"] = np.bincount(model.occupancy).tolist()
    if args.figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(15, 5), layout="constrained")
        limits = {"vmin": reference.min(), "vmax": reference.max(), "cmap": "gray"}
        panels = {"reference": (reference, limits), "simulated": (image, limits)}
        panels["difference"] = (error, {"vmin": -0.08, "vmax": 0.08, "cmap": "RdBu_r"})
        for axis, (title, (panel, style)) in zip(
            figure.subplots(1, 3), panels.items(), strict=True
        ):
            axis.imshow(panel, **style)
            axis.set_title(title)
        figure.savefig(args.figure, dpi=60)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
