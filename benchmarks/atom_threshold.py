"""Which threshold finds the atoms of denoised frames? Precision and recall against it.

    python benchmarks/atom_threshold.py [--n-images 24] [--doses 0.1 0.2 0.45 1 3]

Simulates frames of different particles (make_ptceo2(models="varied"), one defocus each), draws
Poisson noise at each dose (electrons per pixel in vacuum), denoises with the weights "general", and
finds atoms with thresholds from 0.03 to 0.15. All numbers are pooled over the frames.

- recall: the true columns are the Pt and Ce columns of two atoms or more that show in the clean
  image, farther from the border than the detector's margin and the matching distance (62.2 pm). A
  column shows if the clean image has a maximum within that distance. How many of them are found?
- precision: of the atoms found, how many lie within that distance of a column of any kind?
- F1: the harmonic mean of both.

The polarity is that of the clean image. Fresnel fringes, which are maxima but no columns, lower the
precision in clean images, too. Minutes of one core; writes the tables of the user guide, and ends
with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _paper.report import Report
from scipy.spatial import cKDTree

from temdenoise import PoissonNoise, SBDDenoiser, find_atoms, make_ptceo2
from temdenoise.atoms import column_polarity, match_atoms
from temdenoise.atoms.find import COLUMN_SIGMA
from temdenoise.metrics.atom_metrics import MAX_DISTANCE_PM

RESULTS = Path(__file__).parent / "results"
VACUUM = 0.45  # counts/px of the clean images
FAINT = 0.005  # a maximum of the clean image that shows at all


class Truth:
    """Columns of the model, and those of them that show in the clean image."""

    def __init__(self, clean, columns, pixel_size):
        self.distance = MAX_DISTANCE_PM / pixel_size
        self.polarity = column_polarity(clean, pixel_size=pixel_size)
        self.options = {"pixel_size": pixel_size, "polarity": self.polarity}
        maxima = find_atoms(clean, threshold=FAINT, exclude_border=False, **self.options)
        cations = columns[(columns["element"] != "O") & (columns["occupancy"] >= 2)]
        margin = 2 * COLUMN_SIGMA / pixel_size + self.distance
        height, width = clean.shape
        inside = cations["x"].between(margin, width - 1 - margin)
        inside &= cations["y"].between(margin, height - 1 - margin)
        cations = cations.loc[inside, ["x", "y"]]
        shows = cKDTree(maxima[["x", "y"]]).query(cations)[0] <= self.distance
        self.columns, self.any = cations[shows], cKDTree(columns[["x", "y"]])

    def compare(self, image, thresholds):
        """Numbers found, right, of columns, and of columns found, for each threshold."""
        atoms = find_atoms(image, threshold=min(thresholds), **self.options)
        right = self.any.query(atoms[["x", "y"]])[0] <= self.distance
        rows = []
        for threshold in thresholds:
            kept = atoms["response"].to_numpy() > threshold
            matched = match_atoms(atoms[kept], self.columns, self.distance)
            rows.append([kept.sum(), right[kept].sum(), len(self.columns), len(matched)])
        return np.array(rows)


def scores(counts):
    """Precision, recall and F1."""
    found, right, true, matched = counts
    precision, recall = right / max(found, 1), matched / max(true, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {"precision": precision, "recall": recall, "F1": f1}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-images", type=int, default=24)
    parser.add_argument("--doses", nargs="+", type=float, default=[0.1, 0.2, 0.45, 1.0, 3.0])
    parser.add_argument(
        "--thresholds",
        nargs="+",
        type=float,
        default=[0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15],
    )
    parser.add_argument("--pixel-size", type=float, default=6.22, help="pm")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS / "atom-threshold-cpu.json")
    args = parser.parse_args()

    sim = make_ptceo2(
        args.n_images,
        models="varied",
        images_per_model=1,
        pixel_size=args.pixel_size,
        random_state=args.random_state,
    )
    clean = np.asarray(sim.data)
    truths = [Truth(*pair, sim.pixel_size) for pair in zip(clean, sim.columns, strict=True)]
    denoiser = SBDDenoiser.from_pretrained(device=args.device)
    totals = {}
    for dose in [*args.doses, None]:
        images, name = clean, "clean"
        if dose is not None:
            name = f"{dose:g} e/px"
            noisy = PoissonNoise(random_state=0).sample(clean * np.float32(dose / VACUUM))
            images = denoiser.transform(noisy, pixel_size=sim.pixel_size)
        pairs = zip(truths, images, strict=True)
        totals[name] = sum(truth.compare(image, args.thresholds) for truth, image in pairs)
        print(name, totals[name].tolist(), flush=True)

    settings = ["n_images", "doses", "thresholds", "pixel_size", "random_state", "device"]
    report = Report(args, "atom-threshold", "Atoms of denoised frames", settings)
    n_columns = sum(len(truth.columns) for truth in truths)
    result = {}
    for score in ("precision", "recall", "F1"):
        caption = f"{score[0].upper()}{score[1:]} against threshold and dose in vacuum; "
        caption += f"{n_columns} columns of {len(clean)} frames."
        table = report.table(caption, ["threshold", *totals, "mean"])
        for k, threshold in enumerate(args.thresholds):
            values = [scores(counts[k])[score] for counts in totals.values()]
            row = [f"{value:.3f}" for value in [*values, np.mean(values)]]
            report.row(table, [f"{threshold:g}", *row])
            result.setdefault(score, {})[f"{threshold:g}"] = [round(v, 4) for v in values]
    report.finish()
    print(json.dumps({"columns": list(totals), **result}))


if __name__ == "__main__":
    main()
