"""What ``SBDDenoiser().fit`` reaches on 2,000 images with all defaults, and in what time.

    python benchmarks/default_fit.py [IMAGE.tif ...]

Trains on 2,000 simulated images and denoises images of models it has not seen, and the clean
images given (as in authors_images.py), all at 0.45 counts per pixel in vacuum. Ends with one JSON
line.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from authors_images import PIXEL_SIZE, shrunk

from temdenoise import PoissonNoise, SBDDenoiser, psnr
from temdenoise.datasets import make_ptceo2


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path)
    args = parser.parse_args()

    start = time.time()
    sim = make_ptceo2(2000, models="varied", images_per_model=10, n_jobs=-1, verbose=True)
    simulated, processor = time.time(), time.process_time()
    sbd = SBDDenoiser(random_state=0, verbose=True).fit(sim.data, pixel_size=sim.pixel_size)
    trained, processor = time.time(), time.process_time() - processor

    unseen = make_ptceo2(
        8, models="varied", images_per_model=1, pixel_size=6.22, random_state=99, n_jobs=-1
    ).data
    noisy = PoissonNoise(random_state=0).sample(unseen)
    result = {
        "simulation_minutes": round((simulated - start) / 60, 2),
        "training_minutes": round((trained - simulated) / 60, 2),
        "training_processor_minutes": round(processor / 60, 2),
        "unseen_models_psnr": round(float(psnr(unseen, sbd.transform(noisy)).mean()), 2),
    }
    for path in args.images:
        clean = shrunk(path)[None]
        noisy = PoissonNoise(random_state=0).sample(clean)
        denoised = sbd.transform(noisy, pixel_size=PIXEL_SIZE)
        result.setdefault("given_images_psnr", []).append(round(psnr(clean, denoised)[0], 2))
    if args.images:
        result["given_images_mean"] = round(float(np.mean(result["given_images_psnr"])), 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
