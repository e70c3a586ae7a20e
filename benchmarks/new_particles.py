"""Shipped weights on particles that none of them was trained on, of white contrast.

    python benchmarks/new_particles.py [--n-models 120] [--weights general white] [--dose 0.45]

The test of Table 5.1 holds images out whose models were trained on at other defoci. Here each image
is of a model drawn anew, seen through the paper's microscope, with Poisson noise, at 6.22 pm per
pixel. Those of the "white" class of contrast are kept. Prints the mean PSNR and SSIM and their
standard errors over the models, and the paired difference of the weights. Ends with one JSON line.
"""

import argparse
import json

import numpy as np

from temdenoise import ImageStack, PoissonNoise, SBDDenoiser, psnr, ssim
from temdenoise.datasets import make_ptceo2

PIXEL_SIZE = 6.22
SEED = 20_261  # the weights were trained on models of seed 0


def mean(values):
    """Return mean and standard error, in words."""
    values = np.asarray(values)
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-models", type=int, default=120)
    parser.add_argument("--weights", nargs="+", default=["general", "white"])
    parser.add_argument("--dose", type=float, default=0.45)
    args = parser.parse_args()

    # a model and a defocus each; about a quarter of them are white
    drawn = {"models": "varied", "images_per_model": 1, "random_state": SEED}
    sim = make_ptceo2(args.n_models, **drawn, pixel_size=PIXEL_SIZE)
    clean = np.asarray(sim.data)[(sim.frame["contrast"] == "white").to_numpy()]
    clean = clean * np.float32(args.dose / 0.45)  # simulated with a vacuum of 0.45
    noisy = ImageStack(PoissonNoise(random_state=0).sample(clean), PIXEL_SIZE)
    figures, result = {}, {"n_models": len(clean), "dose": args.dose}
    for name in args.weights:
        denoised = SBDDenoiser.from_pretrained(name).transform(noisy)
        figures[name] = psnr(clean, denoised)
        result[name] = {"psnr": mean(figures[name]), "ssim": mean(ssim(clean, denoised))}
        print(name, result[name], flush=True)
    first, *others = args.weights
    for name in others:
        result[f"{name} less {first}"] = mean(figures[name] - figures[first])
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
