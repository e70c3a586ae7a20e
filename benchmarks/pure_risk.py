"""Bias of PURE, the risk estimated from the noisy image alone, against the true mean squared error.

    python benchmarks/pure_risk.py [--draws 200] [--size 256] [--levels 0.3 1 5] [--probes 4]
        [--step small|count] [--methods NAME ...]

A simulated Pt/CeO2 image is scaled to each mean count per pixel, gets Poisson noise as many times
as there are draws, and is denoised by a Gaussian, and by PURE-LET on pixels and on bins. The bias
is that of ``pure_risk``, relative to the mean error. From each difference the mean of ``(noisy -
clean)**2 - noisy`` is taken off, whose expectation is zero whatever the denoiser, and with it much
of the scatter. Ends with one JSON line.
"""

import argparse
import json

import numpy as np

from temdenoise import LowPassDenoiser, PoissonNoise, PURELETDenoiser
from temdenoise.datasets import make_ptceo2
from temdenoise.metrics import pure_risk

PIXEL_SIZE = 6.2  # pm
METHODS = {
    "Gaussian": LowPassDenoiser(cutoff=0.1),
    "PURE-LET": PURELETDenoiser(binning=1, n_scales=2),
    "PURE-LET auto": PURELETDenoiser(),
    "PURE-LET bins": PURELETDenoiser(binning=2, n_scales=2),
}
CHUNK = 20  # images at once


def differences(denoiser, clean, n_draws, n_probes, seed, step="small"):
    """True errors, and differences of the estimated ones, of all draws."""
    rng = np.random.RandomState(seed)
    errors, parts = [], []
    for start in range(0, n_draws, CHUNK):
        n = min(CHUNK, n_draws - start)
        stack = np.broadcast_to(clean, (n, *clean.shape))
        noisy = PoissonNoise(random_state=rng).sample(stack)
        error = ((denoiser.fit(noisy).transform(noisy) - stack) ** 2).mean(axis=(1, 2))
        risk = pure_risk(denoiser, noisy, n_probes=n_probes, step=step, random_state=rng)
        errors.append(error)
        parts.append(risk - error - ((noisy - stack) ** 2 - noisy).mean(axis=(1, 2)))
    return np.concatenate(errors), np.concatenate(parts)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.3, 1.0, 5.0])
    parser.add_argument("--probes", type=int, default=4)
    parser.add_argument("--step", choices=("small", "count"), default="small")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()

    sim = make_ptceo2(1, images_per_model=21, random_state=1, pixel_size=PIXEL_SIZE)
    image = np.asarray(sim.data[0], dtype=np.float64)  # lengths in pixels
    middle = tuple(slice((n - args.size) // 2, (n + args.size) // 2) for n in image.shape)
    image = image[middle] / image[middle].mean()
    table = {}
    for name in args.methods:
        for level in args.levels:
            errors, parts = differences(
                METHODS[name], image * level, args.draws, args.probes, seed=0, step=args.step
            )
            row = table[f"{name} {level:g}"] = {
                "mse": round(float(errors.mean()), 6),
                "relative_bias": round(float(parts.mean() / errors.mean()), 5),
                "standard_error": round(
                    float(parts.std() / np.sqrt(len(parts)) / errors.mean()), 5
                ),
            }
            print(name, level, row, flush=True)
    result = {"draws": args.draws, "size": args.size, "step": args.step, "bias": table}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
