"""Train the weights that ship with the package: ``SBDDenoiser.from_pretrained("general")``.

Only simulated images are used: 4,800 of ``make_ptceo2``, from 600 varied models, made on the way if
the file given with --images does not exist. On two cores the images take about ten minutes and the
training the time given. Kill it at any moment: the same command goes on from the last epoch.

    python benchmarks/train_general_weights.py --minutes 40 --images sim.npy --output general

Ends with one JSON line.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from temdenoise import SBDDenoiser
from temdenoise.datasets import make_ptceo2

PIXEL_SIZE = 50 / 256 * 100  # pm, of the simulated images


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=Path("ptceo2_4800.npy"))
    parser.add_argument("--n-images", type=int, default=4800)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--start", help="weights to start from")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder of the weights")
    args = parser.parse_args()

    if not args.images.exists():
        sim = make_ptceo2(
            args.n_images,
            models="varied",
            images_per_model=8,
            random_state=0,
            n_jobs=-1,
            verbose=True,
        )
        np.save(args.images, sim.data)
    clean = np.load(args.images)

    # Doses of 0.1 to 3 counts per pixel at 4 to 10 pm, as counts per bin of 25 pm, and a margin.
    sbd = SBDDenoiser(
        base_channels=args.base_channels,
        dose=(0.04, 6.0),
        patch_size=448,
        batch_size=12,
        steps_per_epoch=100,
        max_epochs=10_000,
        max_time=args.minutes,
        learning_rate=args.learning_rate,
        checkpoint=f"{args.output}.checkpoint",
        device=args.device,
        random_state=args.seed,
        verbose=True,
    )
    if args.start:
        sbd.set_params(warm_start=True)
        sbd.network_ = SBDDenoiser.from_pretrained(args.start).network_
    start = time.time()
    sbd.fit(clean, pixel_size=PIXEL_SIZE)
    best = max(row["valid_psnr"] for row in sbd.history_)
    result = {
        "images": len(clean),
        "minutes": round((time.time() - start) / 60, 1),
        "steps": sum(row["train_batch_count"] for row in sbd.history_),
        "valid_psnr": round(best, 2),
    }
    sbd.save_pretrained(args.output, overwrite=True, info={"training": result})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
