"""Do 95 % intervals of the numbers without a clean image hold the truth in 95 % of cases?

    python benchmarks/risk_intervals.py [--repeats 200] [--size 192] [--doses 0.1 0.45 2]
        [--only NAME ...] [--output results/risk-intervals-cpu.json] [--stop-after MINUTES]

Clean images of crystals and of vacuum get Poisson noise as often as there are repeats, and are
denoised by the constant, a low-pass filter, the windowed Fourier filter and the shipped weights.
For each: ``unbiased_mse`` with a second frame, with and without the pixel size; ``paired_risk`` of
five draws of a tenth of the electrons; ``compare_risk`` with the constant, of two estimates by a
second frame and of two methods by five draws. The truth is the squared error, or its difference, of
the very estimates that are tested. A row has the share of intervals that hold the truth with its
binomial standard error, the mean standard error, and that over the scatter of what was found.

Finished rows are kept in the output, and the same command goes on. Ends with one JSON line.
"""

import argparse
import json
import os
import platform
import time
import zlib
from pathlib import Path

import numpy as np

import temdenoise
from temdenoise import (
    ConstantDenoiser,
    ImageStack,
    LowPassDenoiser,
    SBDDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
)
from temdenoise.metrics import compare_risk, paired_risk, unbiased_mse
from temdenoise.simulation import simulate

PIXEL_SIZE = 6.22
RESULTS = Path(__file__).parent / "results"
SHARE, DRAWS = 0.1, 5
NUMBERS = {
    "all frequencies": "unbiased_mse, all frequencies",
    "band": "unbiased_mse, up to 1.28 1/Angstrom",
    "draws": "risk of paired_risk, five draws",
    "pair": "compare_risk with the constant, second frame",
    "pair of draws": "compare_risk with the constant, five draws",
}


def graphene(size):
    """Return a layer of carbon atoms, mean 1."""
    b, a = 1.42, np.sqrt(3) * 1.42
    cell = b * np.array([[0, 0], [0, 1], [np.sqrt(3) / 2, 1.5], [np.sqrt(3) / 2, 2.5]])
    side = size * PIXEL_SIZE / 100
    shifts = [
        (i * a, 3 * j * b) for i in range(int(side / a) + 1) for j in range(int(side / 4) + 1)
    ]
    xy = np.concatenate([cell + shift for shift in shifts])
    atoms = [6] * len(xy), np.column_stack([xy, np.full(len(xy), 0.5)]), None
    image = simulate(atoms, shape=(size, size), pixel_size=PIXEL_SIZE, defocus=6.0, dose=1.0)
    return np.asarray(image, dtype=np.float64).reshape(size, size)


def specimens(size):
    """Clean images of mean 1, by name."""
    clean = np.asarray(load_sample_movie().clean[0], dtype=np.float64)
    middle = tuple(slice((n - size) // 2, (n + size) // 2) for n in clean.shape)
    images = {
        "Pt/CeO2": clean[middle], "graphene": graphene(size), "vacuum": np.ones((size, size))
    }  # fmt: skip
    return {name: image / image.mean() for name, image in images.items()}


class Watched:
    """A method that remembers what it returned."""

    def __init__(self, denoiser):
        self.denoiser, self.returned = denoiser, []

    def __call__(self, X, *, pixel_size=None):
        """Denoise images."""
        known = {} if isinstance(self.denoiser, ConstantDenoiser) else {"pixel_size": pixel_size}
        self.returned.append(np.asarray(self.denoiser.transform(X, **known), dtype=np.float64))
        return self.returned[-1]


def one(clean, denoiser, seed):
    """Return what was found, its standard error and the truth, by number."""
    rng = np.random.default_rng(seed)
    noisy, other = (ImageStack(rng.poisson(clean)[None], PIXEL_SIZE) for _ in range(2))
    if not isinstance(denoiser, SBDDenoiser):  # which is trained
        denoiser.fit(noisy)
    constant, method = Watched(ConstantDenoiser().fit(noisy)), Watched(denoiser)
    estimate, level = (m(noisy, pixel_size=PIXEL_SIZE) for m in (method, constant))
    truth = np.mean((estimate - clean) ** 2)
    found = {}
    for name, limit in (("all frequencies", None), ("band", 1.28)):
        mse, std = unbiased_mse(estimate, other, band_limit=limit, return_std=True)
        found[name] = mse[0], std[0], truth
    pair = compare_risk(level, estimate, other)
    gain = truth - np.mean((level - clean) ** 2)
    found["pair"] = pair.difference, pair.standard_error, gain
    method.returned, constant.returned = [], []
    options = {"share": SHARE, "n_draws": DRAWS, "random_state": seed % 2**32}
    table = paired_risk({"constant": constant, "method": method}, noisy, **options)
    truths = [
        np.mean([np.mean((r / (1 - SHARE) - clean) ** 2) for r in m.returned])
        for m in (method, constant)
    ]
    row = table.loc["method"]
    found["draws"] = row["risk"], row["risk_se"], truths[0]
    found["pair of draws"] = row["difference"], row["difference_se"], truths[0] - truths[1]
    return found


def summary(found):
    """Number of intervals that hold the truth, and standard errors beside the scatter."""
    value, error, truth = np.array(found).T
    inside = np.abs(value - truth) <= 1.96 * error
    return {
        "inside": int(inside.sum()),
        "repeats": len(found),
        "standard_error": float(f"{error.mean():.3g}"),
        "scatter": float(f"{np.std(value - truth):.3g}"),
        "bias": float(f"{np.mean(value - truth):.2g}"),
        "truth": float(f"{truth.mean():.3g}"),
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--doses", type=float, nargs="+", default=[0.1, 0.45, 2.0])
    parser.add_argument("--only", nargs="+", help="methods")
    parser.add_argument("--output", type=Path, default=RESULTS / "risk-intervals-cpu.json")
    parser.add_argument("--stop-after", type=float, default=np.inf, metavar="MINUTES")
    args = parser.parse_args()

    sbd = SBDDenoiser.from_pretrained(device="cpu").set_params(orientations=1)
    methods = {
        "constant": ConstantDenoiser(),
        "low-pass": LowPassDenoiser(),
        "windowed Fourier": WindowedFourierDenoiser(device="cpu"),
        "shipped weights": sbd,
    }
    for denoiser in methods.values():
        denoiser._against_constant = False  # this script looks itself
    settings = {"repeats": args.repeats, "size": args.size}
    kept = {}
    if args.output.exists():
        content = json.loads(args.output.read_text(encoding="utf-8"))
        if content["settings"] == settings:
            kept = content["cells"]
    start = time.monotonic()
    complete = True
    for specimen, image in specimens(args.size).items():
        for dose in args.doses:
            for name, denoiser in methods.items():
                key = f"{specimen}, {dose:g}, {name}"
                if key in kept or (args.only and name not in args.only):
                    continue
                if time.monotonic() - start > 60 * args.stop_after:
                    complete = False
                    continue
                first = zlib.crc32(key.encode())  # other noise in each row
                found = [one(image * dose, denoiser, first + k) for k in range(args.repeats)]
                kept[key] = {
                    n: summary([f[n] for f in found])
                    for n in found[0]
                    if not (name == "constant" and n.startswith("pair"))  # against itself
                }
                print(key, json.dumps(kept[key]), flush=True)
                write(args.output, settings, kept, complete=False)
    write(args.output, settings, kept, complete)
    print(json.dumps({"settings": settings, "complete": complete, "risk_intervals": kept}))


def share(rows):
    """Coverage of several cells in per cent, with its binomial standard error."""
    if not rows:
        return None
    inside, n = (sum(row[name] for row in rows) for name in ("inside", "repeats"))
    p = inside / n
    return f"{100 * p:.1f} ± {100 * np.sqrt(p * (1 - p) / n):.1f}"


def write(path, settings, kept, complete):
    """Write the results for the user guide."""
    rows = [
        [key, *(share([row[n]]) if n in row else None for n in NUMBERS)]
        for key, row in kept.items()
    ]
    rows.append(["all", *(share([row[n] for row in kept.values() if n in row]) for n in NUMBERS)])
    content = {
        "experiment": "risk-intervals",
        "title": "Errors without a clean image: 95 % intervals that hold the truth, in per cent",
        "complete": complete,
        "version": temdenoise.__version__,
        "machine": f"{os.cpu_count()} core(s), {platform.machine()}",
        "settings": settings,
        "cells": kept,
        "tables": [
            {
                "caption": f"Intervals that hold the true squared error, or difference, of "
                f"{settings['repeats']} draws of noise on {settings['size']} x {settings['size']} "
                "pixels; with the binomial standard error.",
                "columns": ["specimen, counts/px, method", *NUMBERS.values()],
                "rows": rows,
            }
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
