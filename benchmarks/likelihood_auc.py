"""Do likelihood ratios tell true atoms from phantoms? And how many atoms does a denoiser recover?

    python benchmarks/likelihood_auc.py [--images 1] [--realizations 2] [--plot FIGURE.png]

On clean images of particles with an altered surface (make_ptceo2_surface, the first of each kind of
change), each with several draws of noise: log-likelihood ratios of the atoms that a denoiser drew
rightly, wrongly or not at all (Figure 3.4 of Mohan et al., arXiv:2010.12970) with the area under
the ROC curve of the first two, and precision, recall, F1 and Jaccard index of surface and bulk
(Figure 5.4). What is true is what is found in the clean image. --images 77 --realizations 25 is the
size of the paper's study. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score

from temdenoise import PoissonNoise, SBDDenoiser, find_atoms, make_ptceo2_surface
from temdenoise.atoms import column_polarity, match_atoms, split_surface_bulk
from temdenoise.inspection import likelihood_map
from temdenoise.metrics import atom_scores

CHANGES = ("removed-1", "removed-2", "single", "added")
SCORES = ("precision", "recall", "f1", "jaccard")
# Of the atoms found, those count to the particle that are as near to one of its columns (pm): one
# lattice step outside its surface included, where phantoms are most frequent.
REACH = 300.0
# Half the distance of its layers (pm).
HALF_LAYER = 110.0


class Particle:
    """The particle of one clean image: its columns and where it stands on the support."""

    def __init__(self, columns, pixel_size):
        columns = columns[columns["element"] == "Pt"]
        self.tree = cKDTree(columns[["x", "y"]])
        self.reach = REACH / pixel_size
        self.foot = columns["y"].max() + HALF_LAYER / pixel_size
        self.interface = columns["y"].max() - HALF_LAYER / pixel_size

    def of(self, atoms):
        """Those of the atoms that belong to the particle."""
        near = self.tree.query(atoms[["x", "y"]])[0] <= self.reach
        return atoms[near & (atoms["y"] <= self.foot)]


def study(clean, noisy, denoised, particle, args):
    """Log-likelihood ratios of the surface's atoms by kind, and scores, of one noisy image."""
    pixel_size = args.pixel_size
    polarity = column_polarity(clean, pixel_size=pixel_size)
    options = {"pixel_size": pixel_size, "polarity": polarity, "threshold": args.threshold}
    everywhere = find_atoms(denoised, **options)
    true, drawn = particle.of(find_atoms(clean, **options)), particle.of(everywhere)
    split = {"pixel_size": pixel_size, "interface": particle.interface}
    scores = atom_scores(true, drawn, regions=("surface", "bulk"), zero_division=0, **split)

    surface_true, surface_drawn = (split_surface_bulk(a, **split)[0] for a in (true, drawn))
    reach = 62.2 / pixel_size
    right = match_atoms(surface_drawn, true, max_distance=reach)["a"].to_numpy()
    seen = match_atoms(surface_true, drawn, max_distance=reach)["a"].to_numpy()
    missed = surface_true.drop(surface_true.index[seen])
    # The level of the vacuum is one for both tables: that far from all atoms drawn.
    disks = {"pixel_size": pixel_size, "radius": args.radius / pixel_size}
    drawn_map = likelihood_map(noisy, denoised, atoms=everywhere, **disks)
    level = drawn_map.vacuum_level
    missed_map = likelihood_map(noisy, denoised, atoms=missed, vacuum=level, **disks)
    ratios = drawn_map.atoms.loc[surface_drawn.index, "log_ratio"]
    is_true = np.zeros(len(surface_drawn), dtype=bool)
    is_true[right] = True
    kinds = {"true": ratios[is_true], "false": ratios[~is_true]}
    kinds["missed"] = missed_map.atoms["log_ratio"]
    return {kind: values.dropna().tolist() for kind, values in kinds.items()}, scores


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1, help="clean images of each change")
    parser.add_argument("--realizations", type=int, default=2, help="draws of noise of each")
    parser.add_argument("--weights", default="general", help="name or folder")
    parser.add_argument("--pixel-size", type=float, default=6.22, help="pm")
    parser.add_argument("--threshold", type=float, default=0.09, help="as that of find_atoms")
    parser.add_argument("--radius", type=float, default=70.4, help="of the disks, in pm")
    parser.add_argument("--plot", type=Path, help="write both figures here")
    args = parser.parse_args()

    denoiser = SBDDenoiser.from_pretrained(args.weights)
    ratios = {"true": [], "false": [], "missed": []}
    scores = []
    for change in CHANGES:
        sim = make_ptceo2_surface(args.images, change=change, pixel_size=args.pixel_size)
        for k, clean in enumerate(sim.data):
            particle = Particle(sim.columns[k], sim.pixel_size)
            for draw in range(args.realizations):
                noisy = PoissonNoise(random_state=draw).sample(clean[np.newaxis])
                denoised = denoiser.transform(noisy, pixel_size=sim.pixel_size)
                found, table = study(clean, noisy[0], denoised[0], particle, args)
                for kind, values in found.items():
                    ratios[kind] += values
                scores.append(table.assign(change=change))
        print(change, {kind: len(values) for kind, values in ratios.items()}, flush=True)

    scores = pd.concat(scores, ignore_index=True)
    print(scores.groupby("region")[list(SCORES)].describe().T.round(3).to_string())
    if args.plot:
        draw_figure(ratios, scores, args.plot)
    print(json.dumps(summary(ratios, scores, args)))


def summary(ratios, scores, args):
    """The numbers of the JSON line."""
    result = {
        "clean_images": args.images * len(CHANGES),
        "realizations": args.realizations,
        "threshold": args.threshold,
        "radius_pm": args.radius,
        "auc_true_against_false": None,
    }
    if ratios["true"] and ratios["false"]:
        labels = [1] * len(ratios["true"]) + [0] * len(ratios["false"])
        auc = roc_auc_score(labels, ratios["true"] + ratios["false"])
        result["auc_true_against_false"] = round(float(auc), 4)
    for kind, values in ratios.items():
        median = round(float(np.median(values)), 3) if values else None
        result[kind] = {"n": len(values), "median_log_ratio_nats": median}
    for region, table in scores.groupby("region"):
        result[region] = {
            f"{statistic}_{name}": round(float(table[name].agg(statistic)), 4)
            for statistic in ("mean", "median")
            for name in SCORES
        }
    return result


def draw_figure(ratios, scores, path):
    """Box plots like Figures 3.4 and 5.4 of the paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.boxplot(list(ratios.values()), whis=(0, 100), widths=0.6)
    left.set_xticks([1, 2, 3], [f"{kind}\n({len(v)})" for kind, v in ratios.items()])
    left.axhline(0, color="0.7", linewidth=1, zorder=0)
    left.set_ylabel("log-likelihood ratio (nats)")
    left.set_title("atoms of the surface")
    for offset, region, colour in ((-0.18, "surface", "tab:red"), (0.18, "bulk", "tab:green")):
        table = scores[scores["region"] == region]
        boxes = right.boxplot(
            [table[name] for name in SCORES],
            positions=np.arange(len(SCORES)) + offset,
            widths=0.3,
            whis=(0, 100),
            patch_artist=True,
            medianprops={"color": "black"},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.5)
        right.plot([], [], color=colour, linewidth=6, alpha=0.5, label=region)
    right.set_xticks(range(len(SCORES)), SCORES)
    right.set_ylabel("score")
    right.legend(loc="lower left")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
