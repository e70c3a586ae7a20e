"""Denoise real counted frames: agreement with a reference, unbiased error, residuals.

    python benchmarks/real_movie.py COUNTS.tif REFERENCE.tif [--mask 0:30,0:141] [--figure F.png]

COUNTS are frames of one movie with whole electron counts, REFERENCE the same frames denoised by
others (any level and scale). The unbiased error is the mean over pixels of
(estimate - next frame)^2 - next frame: it needs no clean image, and holds the true changes between
the frames, the same for all methods. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from temdenoise import LowPassDenoiser, SBDDenoiser, read_stack
from temdenoise.metrics import unbiased_mse


def parse_mask(text, shape):
    """Mask from "rows,columns" ranges such as 0:30,0:141."""
    mask = np.zeros(shape, dtype=bool)
    if text:
        mask[tuple(slice(*map(int, part.split(":"))) for part in text.split(","))] = True
    return mask


def vacuum_dispersion(counts, estimate, mask):
    """Mean of (counts - estimate)^2 / estimate where the frames are flattest: 1 if Poisson."""
    flatness = [
        ndimage.gaussian_filter(ndimage.gaussian_gradient_magnitude(e, 4), 12) for e in estimate
    ]
    flatness = np.where(mask, np.inf, flatness)
    flat = flatness <= np.quantile(flatness[np.isfinite(flatness)], 0.1)
    return float(((counts - estimate)[flat] ** 2 / estimate[flat]).mean())


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--mask", help="rows and columns not to trust, e.g. 0:30,0:141")
    parser.add_argument("--weights", default="general")
    parser.add_argument("--pixel-size", default="auto")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()

    counts = read_stack(args.counts)[0].astype(np.float32)
    reference = read_stack(args.reference)[0].astype(np.float32)
    mask = parse_mask(args.mask, counts.shape[1:])
    following = np.roll(counts, -1, axis=0)

    def error(estimate):
        return float(np.mean(unbiased_mse(estimate, following, mask=mask)))

    sbd = SBDDenoiser.from_pretrained(args.weights)
    pixel_size = args.pixel_size
    if pixel_size == "auto":
        pixel_size = sbd.estimate_pixel_size(counts, mask=mask)
    pixel_size = float(pixel_size)
    estimates = {
        "constant": np.broadcast_to(counts.mean(axis=(1, 2), keepdims=True), counts.shape),
        args.weights: sbd.transform(counts, mask=mask, pixel_size=pixel_size),
    }
    filters = [LowPassDenoiser(cutoff=c) for c in np.geomspace(0.01, 0.08, 13)]
    filtered = [f.fit(counts).transform(counts, mask=mask) for f in filters]
    estimates["Gaussian, tuned on this error"] = min(filtered, key=error)

    trusted = ~mask
    result = {"pixel_size_pm": round(pixel_size, 3), "mean_counts": round(float(counts.mean()), 3)}
    for name, estimate in estimates.items():
        row = result[name] = {"unbiased_mse": round(error(estimate), 5)}
        if name != "constant":
            pairs = zip(estimate, reference, strict=True)
            correlation = [np.corrcoef(a[trusted], b[trusted])[0, 1] for a, b in pairs]
            row["correlation_with_reference"] = np.round(correlation, 4).tolist()
            row["vacuum_dispersion"] = round(vacuum_dispersion(counts, estimate, mask), 4)
        print(name, row)
    if args.figure:
        draw(counts, estimates[args.weights], reference, args.figure)
    print(json.dumps(result))


def draw(counts, denoised, reference, path):
    """Counts, estimate and reference of each frame."""
    from matplotlib.figure import Figure

    n = min(len(counts), 5)
    figure = Figure(figsize=(12, 4 * n), layout="constrained")
    for axes, *images in zip(figure.subplots(n, 3), counts, denoised, reference, strict=False):
        for axis, image, title in zip(
            axes, images, ("counts", "denoised", "reference"), strict=True
        ):
            low, high = np.percentile(image, (0.5, 99.8))
            axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_title(title)
            axis.set_axis_off()
    figure.savefig(path, dpi=60)


if __name__ == "__main__":
    main()
