"""Are the atoms of the surface right? F1 score, phantoms and lost atoms of denoised images.

    python benchmarks/surface_atoms.py IMAGE.tif [IMAGE.tif ...] [--plot FIGURE.png]

Each image (clean, 4.89 pm/px, 0.45 counts/px in vacuum) is shrunk by 0.785 with anti-aliasing and
gets Poisson noise, several draws. The columns found on the clean image are the truth, bright
Fresnel fringes among them. The surface is the outline (alpha shape) of all columns, as in Section
5.3.1 of Mohan et al., arXiv:2010.12970, but for what lies within 350 pm of the image's border,
where it is the image that ends. Per image and frame:

f1             of the two surfaces, each outlined by its own columns: the paper's score. A phantom
               outside the surface covers true surface atoms, so it costs more than itself.
f1_detected    of surface columns as such: found anywhere is found, a phantom is a surface column of
               the denoised image where the clean image has no column at all.
phantoms, lost what those are, per frame; phantoms_faint are phantoms where the clean image has a
               maximum of at least half the threshold, lost_faint are lost columns of less than one
               and a half times the threshold: mostly fringes, that are columns or not by a hair.
f1_certain     as f1_detected, with the faint ones left out on both sides.

Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from authors_images import PIXEL_SIZE, shrunk

from temdenoise import PoissonNoise, SBDDenoiser, WindowedFourierDenoiser, find_atoms, psnr
from temdenoise.atoms import match_atoms, split_surface_bulk
from temdenoise.atoms.find import column_polarity, image_range

MARGIN = 350 / PIXEL_SIZE  # a row of columns of the support is 312 pm high
SAME = 62.2 / PIXEL_SIZE  # two columns closer than this many pixels are one
THRESHOLD = 0.05  # of the mean of the image, as in the tables that this was made for


def columns_of(image, polarity, threshold=THRESHOLD):
    """Table of columns, up to the very border; threshold and response over the image's mean."""
    scale = float(image.mean(dtype=np.float64)) / image_range(image)
    table = find_atoms(
        image,
        pixel_size=PIXEL_SIZE,
        polarity=polarity,
        threshold=threshold * scale,
        exclude_border=False,
    )
    return table.assign(response=table["response"] / scale)


def inside(columns, shape):
    """Which columns are away from the border of an image of this shape."""
    x, y = columns["x"].to_numpy(), columns["y"].to_numpy()
    near = np.minimum.reduce([x, y, shape[1] - 1 - x, shape[0] - 1 - y])
    return near >= MARGIN


def unmatched(columns, others):
    """Which columns are not among the others, in a one-to-one assignment."""
    alone = np.ones(len(columns), dtype=bool)
    alone[match_atoms(columns, others, max_distance=SAME)["a"]] = False
    return alone


def f1_score(correct, false, missed):
    """F1 from numbers; 1 where there is nothing to find and nothing found."""
    total = 2 * correct + false + missed
    return 2 * correct / total if total else 1.0


def compare(clean, faint, denoised, shape):
    """Scores of one denoised image, and its phantoms and lost columns for a picture."""
    surface, found = (split_surface_bulk(c, pixel_size=PIXEL_SIZE)[0] for c in (clean, denoised))
    # Matched first, cut off at the margin after: a column on the line has its partner beyond it.
    true, ours = inside(surface, shape), inside(found, shape)
    missed = true & unmatched(surface, found)
    false = ours & unmatched(found, surface)
    lost = true & unmatched(surface, denoised)
    phantom = ours & unmatched(found, clean)
    certain = surface["response"].to_numpy() >= 1.5 * THRESHOLD
    invented = phantom & unmatched(found, faint)
    hits = true & ~lost
    scores = {
        "f1": f1_score(np.sum(true & ~missed), false.sum(), missed.sum()),
        "f1_detected": f1_score(hits.sum(), phantom.sum(), lost.sum()),
        "f1_certain": f1_score(np.sum(hits & certain), invented.sum(), np.sum(lost & certain)),
        "phantoms": phantom.sum(),
        "phantoms_faint": np.sum(phantom & ~invented),
        "lost": lost.sum(),
        "lost_faint": np.sum(lost & ~certain),
        "surface_columns": true.sum(),
    }
    return scores, {"surface": surface[true], "phantom": found[phantom], "lost": surface[lost]}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--weights", nargs="+", default=["general"], help="names or folders")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()

    methods = {"windowed Fourier": WindowedFourierDenoiser()}
    methods |= {name: SBDDenoiser.from_pretrained(name) for name in args.weights}
    rows, panels = [], []
    for path in args.images:
        image = shrunk(path)
        polarity = column_polarity(image, pixel_size=PIXEL_SIZE)
        clean, faint = (columns_of(image, polarity, t) for t in (THRESHOLD, THRESHOLD / 2))
        stack = np.broadcast_to(image, (args.draws, *image.shape))
        noisy = PoissonNoise(random_state=0).sample(stack)
        for name, method in methods.items():
            if not isinstance(method, SBDDenoiser):
                method.fit(noisy)
            denoised = method.transform(noisy, pixel_size=PIXEL_SIZE)
            for draw, frame in enumerate(denoised):
                columns = columns_of(frame, polarity)
                scores, marks = compare(clean, faint, columns, image.shape)
                row = {"image": path.stem, "method": name, "draw": draw}
                rows.append(row | {"psnr": psnr(image[None], frame[None])[0]} | scores)
                if draw == 0:
                    panels.append((f"{path.stem}\n{name}", frame, marks))
    table = pd.DataFrame(rows).drop(columns="draw")
    images = table.groupby(["image", "method"], sort=False).mean()
    means = images.groupby("method", sort=False).mean()
    print(images.round(3).to_string(), means.round(3).to_string(), sep="\n\n")
    if args.plot:
        draw_panels(panels, len(methods), args.plot)
    result = {
        "draws": args.draws,
        "images": {
            stem: part.droplevel("image").round(4).to_dict("index")
            for stem, part in images.groupby("image", sort=False)
        },
        "mean": means.round(4).to_dict("index"),
    }
    print(json.dumps(result))


def draw_panels(panels, n_columns, path):
    """First draw of each image and method, with the surface, phantoms and lost columns marked."""
    from matplotlib.figure import Figure

    n_rows = len(panels) // n_columns
    figure = Figure(figsize=(6 * n_columns, 6 * n_rows), layout="constrained")
    axes = np.ravel(figure.subplots(n_rows, n_columns))
    styles = {"surface": ("o", "tab:green"), "phantom": ("s", "tab:red"), "lost": ("x", "yellow")}
    for axis, (title, frame, marks) in zip(axes, panels, strict=True):
        axis.imshow(frame, cmap="gray")
        for name, (marker, colour) in styles.items():
            face = {"c": colour} if marker == "x" else {"facecolors": "none", "edgecolors": colour}
            axis.scatter(marks[name]["x"], marks[name]["y"], 90, marker=marker, label=name, **face)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    axes[0].legend(loc="upper right")
    figure.savefig(path, dpi=60)


if __name__ == "__main__":
    main()
