"""Denoise real counted frames: agreement with a reference, unbiased error, residuals.

    python benchmarks/real_movie.py COUNTS.tif REFERENCE.tif [--mask 0:30,0:141] [--figure F.png]

COUNTS are frames of one movie with whole electron counts, REFERENCE the same frames denoised by
others (any level and scale). Unbiased errors need no clean image. To the next frame (of all frames
but the last): the mean over pixels of (estimate - next frame)^2 - next frame, with its standard
error. It holds the true changes between the frames. To electrons of the same frame that were held
back, 15 % of them: the rest is denoised, and the methods are compared in pairs with the weights as
they are (``temdenoise.metrics.paired_risk``).
Methods that learn from the frames do so twice: from all electrons, and from those not held back.
Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.base import clone

from temdenoise import (
    BlindSpotDenoiser,
    LowPassDenoiser,
    SBDDenoiser,
    ThinnedDenoiser,
    WindowedFourierDenoiser,
    read_stack,
)
from temdenoise.metrics import paired_risk, unbiased_mse

KEPT = 0.85  # share of the electrons not held back


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

    counts = np.asarray(read_stack(args.counts), dtype=np.float32)
    reference = np.asarray(read_stack(args.reference), dtype=np.float32)
    mask = parse_mask(args.mask, counts.shape[1:])

    def error(estimate):
        """Squared error by the next frame, and its standard error; the last frame has none."""
        known = {"mask": mask, "pixel_size": pixel_size, "return_std": True}
        mse, std = unbiased_mse(estimate[:-1], counts[1:], **known)
        return float(np.mean(mse)), float(np.sqrt(np.sum(std**2)) / len(std))

    sbd = SBDDenoiser.from_pretrained(args.weights)
    pixel_size = args.pixel_size
    if pixel_size == "auto":
        pixel_size = sbd.estimate_pixel_size(counts, mask=mask)
    pixel_size = float(pixel_size)
    filters = [LowPassDenoiser(cutoff=c).fit(counts) for c in np.geomspace(0.01, 0.08, 13)]
    gaussian = min(filters, key=lambda f: error(f.transform(counts, mask=mask))[0])
    known = {"mask": mask, "pixel_size": pixel_size}

    def learnt(denoiser):
        """Learn from the frames and denoise them."""
        return lambda x: clone(denoiser).fit(x, **known).transform(x, **known)

    methods = {
        args.weights: lambda x: sbd.transform(x, **known),
        "adapted": lambda x: sbd.adapt(x, **known, max_minutes=None).transform(x, **known),
        "adapted, gains only": lambda x: sbd.adapt(
            x, **known, max_minutes=None, only_gains=True
        ).transform(x, **known),
        "blind-spot": learnt(BlindSpotDenoiser(random_state=0)),
        "thinned": learnt(ThinnedDenoiser(random_state=0)),
        "windowed Fourier": lambda x: WindowedFourierDenoiser().fit(x).transform(x, **known),
        "Gaussian, tuned on the next frames": lambda x: gaussian.transform(x, mask=mask),
        "constant": lambda x: np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape),
    }

    trusted = ~mask
    result = {"pixel_size_pm": round(pixel_size, 3), "mean_counts": round(float(counts.mean()), 3)}
    estimates = {}
    for name, denoise in methods.items():
        estimate = estimates[name] = denoise(counts)
        row = result[name] = {
            "to_next_frame": np.round(error(estimate), 5).tolist(),
        }
        if name != "constant":
            pairs = zip(estimate, reference, strict=True)
            correlation = [np.corrcoef(a[trusted], b[trusted])[0, 1] for a, b in pairs]
            row["correlation_with_reference"] = np.round(correlation, 4).tolist()
            row["vacuum_dispersion"] = round(vacuum_dispersion(counts, estimate, mask), 4)
        print(name, row)

    risks = paired_risk(
        methods, counts, mask=mask, pixel_size=pixel_size, share=1 - KEPT, n_draws=1, random_state=6
    )
    print(risks.to_string())
    for name, risk in risks.astype(float).round(6).iterrows():
        result[name]["held_back"] = {k: None if np.isnan(v) else v for k, v in risk.items()}
    if args.figure:
        shown = [args.weights, "adapted", "blind-spot", "windowed Fourier"]
        draw(
            {"counts": counts, **{k: estimates[k] for k in shown}, "reference": reference},
            args.figure,
        )
    print(json.dumps(result))


def draw(stacks, path):
    """Draw the first three frames of each stack, a column for each."""
    from matplotlib.figure import Figure

    n = min(len(stacks["counts"]), 3)
    figure = Figure(figsize=(4 * len(stacks), 4 * n), layout="constrained")
    for column, (name, stack) in zip(
        figure.subplots(n, len(stacks), squeeze=False).T, stacks.items(), strict=True
    ):
        for axis, image in zip(column, stack, strict=False):
            low, high = np.percentile(image, (0.5, 99.8))
            axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_title(name)
            axis.set_axis_off()
    figure.savefig(path, dpi=60)


if __name__ == "__main__":
    main()
