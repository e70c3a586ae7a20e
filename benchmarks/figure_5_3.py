"""Figure 5.3 of the paper: scores of surface atoms see a changed atom, PSNR does not.

    python benchmarks/figure_5_3.py REFERENCE.tif CHANGED.tif [CHANGED.tif ...]

The files are clean simulated images of one particle (876 x 927 pixels of 4.89 pm, vacuum 0.45); the
reference is compared with itself and with each of the others, all but the reference with Gaussian
noise added. The paper has precision, recall, F1 and Jaccard index of 1, 1, 1, 1 for the same
structure, and 0.933, 0.933, 0.933, 0.875 for one atom more or less, at PSNRs within 0.05 dB.

As in the code that accompanies the paper: images shrunk bilinearly by 0.785, with height and width
exchanged; everything outside of the particle set to 0.45; LoG of sigma 8 px, threshold 0.02 in
counts/px; alpha shape of circles below 40 px; no surface where both ends of an edge lie below row
330, at the support; atoms within 10 px are the same.

The noise has a standard deviation of "around 2/255": with 2/255 on every image, the same structure
is ahead by what the change itself costs (--equal-noise). The paper's PSNRs imply a little more
noise on it. So here each image gets what brings its total error to that of the most changed one at
2/255; the standard deviations are printed. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from temdenoise import find_atoms, psnr, read_stack, ssim
from temdenoise.atoms.find import image_range
from temdenoise.metrics import atom_scores

SHRINK = 0.785
VACUUM = 0.45
PARTICLE = np.s_[100:360, 90:580]
INTERFACE, ALPHA, SIGMA, THRESHOLD = 330, 40, 8, 0.02
NOISE = 2 / 255


def load(path):
    """Clean image of 727 x 687 pixels."""
    image = Image.fromarray(read_stack(path)[0].astype(np.float32))
    width, height = image.size
    size = int(height * SHRINK), int(width * SHRINK)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def find(image):
    """Atoms of the particle."""
    alone = np.full_like(image, VACUUM)
    alone[PARTICLE] = image[PARTICLE]
    return find_atoms(
        alone,
        sigma=SIGMA,
        threshold=THRESHOLD / image_range(alone),
        polarity="bright",
        exclude_border=False,
    )


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("changed", type=Path, nargs="+")
    parser.add_argument("--assignment", choices=["optimal", "nearest"], default="optimal")
    parser.add_argument("--equal-noise", action="store_true", help="2/255 on every image")
    parser.add_argument("--random-state", type=int, default=0)
    args = parser.parse_args()

    reference = load(args.reference)
    images = {path.stem: load(path) for path in (args.reference, *args.changed)}
    for name, image in images.items():
        if image.shape != reference.shape:
            parser.error(f"{name} is {image.shape}, the reference {reference.shape}")
    change = {name: float(np.mean((i - reference) ** 2)) for name, i in images.items()}
    rng = np.random.default_rng(args.random_state)
    rows = {}
    for name, image in images.items():
        makes_up = 0 if args.equal_noise else max(change.values()) - change[name]
        deviation = np.sqrt(NOISE**2 + makes_up)
        noisy = image + rng.normal(0, deviation, image.shape)
        scores = atom_scores(
            find(reference),
            find(noisy),
            regions=["surface"],
            alpha=ALPHA,
            interface=INTERFACE,
            assignment=args.assignment,
        ).iloc[0]
        rows[name] = {
            "psnr": round(psnr(reference, noisy, convention="authors"), 2),
            "ssim": round(ssim(reference, noisy, convention="authors"), 3),
            **{s: round(scores[s], 3) for s in ("precision", "recall", "f1", "jaccard")},
            "atoms": [int(scores[f"n_{s}"]) for s in ("clean", "denoised", "matched")],
            "noise": f"{255 * deviation:.3f}/255",
        }
        print(name, rows[name], sep="\n  ", flush=True)
    psnrs = [row["psnr"] for row in rows.values()]
    result = {"images": rows, "psnr_range": round(max(psnrs) - min(psnrs), 3)}
    print(json.dumps(result | {"assignment": args.assignment}))


if __name__ == "__main__":
    main()
