"""Standard errors of ``paired_risk`` against the scatter of its differences.

    python benchmarks/paired_risk.py [--repeats 200] [--size 192] [--levels 0.2 0.45 2]
        [--draws 1 5 10] [--frames 1 3 24]

Frames of the simulated movie in the package are scaled to each mean count per pixel and get Poisson
noise as often as there are repeats. Low-pass filters are compared with each other, and with the
windowed Fourier filter. The truth is the difference of the squared errors of the very estimates
that are tested. For each pair: the true difference, the bias of the estimated one, the root mean
square of its z (1 if the standard error is right, above 1 if it is too small), the share of 95 %
intervals that hold the truth, and the mean standard error. The same of the risk of the first
method. Ends with one JSON line.
"""

import argparse
import json

import numpy as np

from temdenoise import ImageStack, LowPassDenoiser, WindowedFourierDenoiser, load_sample_movie
from temdenoise.metrics import paired_risk

FIRST = "low-pass 0.02"
METHODS = {
    FIRST: LowPassDenoiser(cutoff=0.02),
    "low-pass 0.017": LowPassDenoiser(cutoff=0.017),
    "low-pass 0.04": LowPassDenoiser(cutoff=0.04),
    "windowed Fourier": WindowedFourierDenoiser(),
}


def compare(clean, share, n_draws, seed):
    """Return the table of one draw of noise, and the true risks of what was tested."""
    counts = np.random.default_rng(seed).poisson(clean)
    counts = ImageStack(counts.astype(np.float32), clean.pixel_size)
    errors = {name: [] for name in METHODS}

    def watched(name):
        denoiser = METHODS[name].fit(counts)

        def denoise(X):
            denoised = denoiser.transform(X)
            errors[name].append(np.mean((denoised / (1 - share) - clean) ** 2))
            return denoised

        return denoise

    methods = {name: watched(name) for name in METHODS}
    table = paired_risk(methods, counts, share=share, n_draws=n_draws, random_state=seed)
    return table, {name: float(np.mean(e)) for name, e in errors.items()}


def summary(found, standard_errors, truths):
    """Bias, root mean square of z and coverage of many estimates."""
    z = (np.array(found) - truths) / standard_errors
    return {
        "truth": float(f"{np.mean(truths):.3g}"),
        "relative_bias": round(float(np.mean(np.subtract(found, truths)) / np.mean(truths)), 3),
        "standard_error": float(f"{np.mean(standard_errors):.3g}"),
        "rms_z": round(float(np.sqrt(np.mean(z**2))), 3),
        "coverage_95": round(float(np.mean(np.abs(z) < 1.96)), 3),
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.2, 0.45, 2.0])
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 3, 24])
    parser.add_argument("--share", type=float, default=0.1)
    args = parser.parse_args()

    movie = load_sample_movie()
    middle = [slice((n - args.size) // 2, (n + args.size) // 2) for n in movie.clean.shape[1:]]
    images = np.asarray(movie.clean, dtype=np.float64)[(slice(None), *middle)]
    table = {}
    for level in args.levels:
        for n_frames in args.frames:
            frames = np.resize(np.arange(len(images)), n_frames)
            clean = ImageStack(images[frames] / images.mean() * level, movie.pixel_size)
            for n_draws in args.draws:
                results = [
                    compare(clean, args.share, n_draws, seed) for seed in range(args.repeats)
                ]
                row = {
                    name: summary(
                        [t["difference"][name] for t, _ in results],
                        [t["difference_se"][name] for t, _ in results],
                        [true[name] - true[FIRST] for _, true in results],
                    )
                    for name in METHODS
                    if name != FIRST
                }
                row["risk"] = summary(
                    [t["risk"][FIRST] for t, _ in results],
                    [t["risk_se"][FIRST] for t, _ in results],
                    [true[FIRST] for _, true in results],
                )
                key = f"{level:g} e/px, {n_frames} frames, {n_draws} draws"
                table[key] = row
                for name, values in row.items():
                    print(key, name, values, flush=True)
    print(json.dumps({"repeats": args.repeats, "size": args.size, "paired_risk": table}))


if __name__ == "__main__":
    main()
