"""Atoms found on clean simulated images against the columns that are in the model.

    python benchmarks/find_atoms.py [--n-images 20] [--contrast white] [--pixel-size 19.53]

Simulates images of different models, finds atoms with the default parameters and compares:

- recall: of the Pt and Ce columns of two atoms or more, farther from the border than the detector's
  margin and the matching distance (62.2 pm), how many are found;
- precision: of the atoms found, how many lie within that distance of a column of any kind;
- position: rms distance of found atoms from their columns (tilted columns: at half depth), and,
  beside it, that of the maxima of the image itself (interpolated, nothing smoothed): what tilt and
  multiple scattering displace, which no detector can undo.

Columns of white contrast are maxima. In the other classes Pt and Ce may be of opposite contrast:
their figures say how far one polarity goes. Also measures the time for 1024 x 1024 pixels. Ends
with one JSON line.
"""

import argparse
import json
import time

import numpy as np
from scipy.ndimage import maximum_filter, zoom
from scipy.spatial import cKDTree

from temdenoise import find_atoms
from temdenoise.atoms import match_atoms
from temdenoise.atoms.find import COLUMN_SIGMA
from temdenoise.datasets import make_ptceo2
from temdenoise.metrics.atom_metrics import MAX_DISTANCE_PM

ZOOM = 8


def image_maxima(image):
    """Positions (x, y) of the maxima of the spline through the pixels."""
    fine = zoom(image.astype(np.float64), ZOOM, order=5, mode="nearest", grid_mode=True)
    y, x = np.nonzero(maximum_filter(fine, ZOOM + 1) == fine)
    return (np.column_stack([x, y]) + 0.5) / ZOOM - 0.5


def compare(image, columns, pixel_size):
    """Counts and squared distances (pm**2) of one image."""
    distance = MAX_DISTANCE_PM / pixel_size
    margin = 2 * COLUMN_SIGMA / pixel_size + distance
    atoms = find_atoms(image, pixel_size=pixel_size)
    cations = columns[(columns["element"] != "O") & (columns["occupancy"] >= 2)]
    height, width = image.shape
    inside = cations["x"].between(margin, width - 1 - margin)
    inside &= cations["y"].between(margin, height - 1 - margin)
    pairs = match_atoms(atoms, cations, distance)
    found = np.zeros(len(cations), dtype=bool)
    found[pairs["b"]] = True
    any_column = cKDTree(columns[["x", "y"]]).query(atoms[["x", "y"]])[0]
    seen = cations[["x", "y"]].to_numpy()[pairs["b"]]
    maxima = image_maxima(image)
    of_image = cKDTree(maxima).query(seen)[0] if len(maxima) else np.empty(0)
    return {
        "columns": int(inside.sum()),
        "recalled": int((found & inside.to_numpy()).sum()),
        "found": len(atoms),
        "right": int((any_column <= distance).sum()),
        "squares": (pixel_size * pairs["distance"].to_numpy()) ** 2,
        "squares_of_image": (pixel_size * of_image[of_image <= distance]) ** 2,
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-images", type=int, default=20)
    parser.add_argument("--contrast", nargs="+", default=["white"])
    parser.add_argument("--pixel-size", type=float, help="pm; the data set's 19.53 by default")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--n-jobs", type=int)
    args = parser.parse_args()

    result = {}
    for contrast in args.contrast:
        sim = make_ptceo2(
            args.n_images,
            contrast=contrast,
            images_per_model=1,
            pixel_size=args.pixel_size,
            random_state=args.random_state,
            n_jobs=args.n_jobs,
        )
        rows = [
            compare(image, columns, sim.pixel_size)
            for image, columns in zip(sim.data, sim.columns, strict=True)
        ]
        total = {key: sum(row[key] for row in rows) for key in rows[0] if "squares" not in key}
        rms, rms_of_image = (
            float(np.sqrt(np.concatenate([row[key] for row in rows]).mean()))
            for key in ("squares", "squares_of_image")
        )
        result[contrast] = {
            "n_images": len(rows),
            "columns": total["columns"],
            "recall": round(total["recalled"] / total["columns"], 4),
            "precision": round(total["right"] / total["found"], 4),
            "rms_pm": round(rms, 2),
            "rms_px": round(rms / sim.pixel_size, 3),
            "rms_pm_of_image_maxima": round(rms_of_image, 2),
            "pixel_size": round(sim.pixel_size, 2),
        }
        print(contrast, result[contrast], flush=True)

    image = zoom(sim.data[0], 1024 / len(sim.data[0]), order=1)
    wall, cpu = time.perf_counter(), time.process_time()
    find_atoms(image, pixel_size=5000 / 1024)
    result["seconds_1024"] = round(time.perf_counter() - wall, 3)
    result["cpu_seconds_1024"] = round(time.process_time() - cpu, 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
