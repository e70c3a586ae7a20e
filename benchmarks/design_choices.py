"""What each choice behind the default training is worth: the same minutes, one thing changed.

    python benchmarks/design_choices.py --minutes 5 --output design_choices.json [NAME ...]

Trains the default network and its variations for the same time on the same simulated images and
denoises images of models none has seen, at 0.45 counts per pixel in vacuum. Rows that the output
already holds are not trained again: kill it at any moment, and the same command goes on. Time is
the budget, so the machine should have nothing else to do. Ends with one JSON line.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch

from temdenoise import PoissonNoise, SBDDenoiser, psnr, ssim
from temdenoise.datasets import make_ptceo2

VARIATIONS = {
    "default": {},
    "Adam": {"optimizer": "adam"},
    "half the learning rate": {"learning_rate": 0.6e-3},
    "twice the learning rate": {"learning_rate": 2.4e-3},
    "bins of 19 pm": {"binning": 3},
    "bins of 31 pm": {"binning": 5},
    "3 scales": {"scales": 3},
    "4 scales": {"scales": 4},
    "24 channels": {"base_channels": 24},
    "48 channels": {"base_channels": 48},
    "batches of 8": {"batch_size": 8},
    "patches of 512 pixels": {"patch_size": 512, "batch_size": 9},
    "float32": {"precision": "float32"},
    "rotation by 45 degrees": {"rotation": 45.0},
    "paper's UNet, 32 channels, binned": {"architecture": "unet", "binning": 4},
    "paper's UNet, 128 channels, binned": {
        "architecture": "unet",
        "base_channels": 128,
        "binning": 4,
    },
}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these variations")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--n-images", type=int, default=2000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if unknown := set(args.names) - set(VARIATIONS):
        parser.error(f"no variation {sorted(unknown)}; there are {list(VARIATIONS)}")
    if args.threads:
        torch.set_num_threads(args.threads)

    settings = {"minutes": args.minutes, "images": args.n_images, "threads": args.threads}
    result = {**settings, "rows": {}}
    if args.output.exists():
        result = json.loads(args.output.read_text())
        if changed := [k for k, v in settings.items() if result[k] != v]:
            parser.error(f"{args.output} was made with other {changed}: give another path")

    sim = make_ptceo2(args.n_images, models="varied", n_jobs=-1, verbose=True)
    unseen = make_ptceo2(
        24, models="varied", images_per_model=1, pixel_size=6.22, random_state=99, n_jobs=-1
    ).data
    noisy = PoissonNoise(random_state=0).sample(unseen)
    for name in args.names or VARIATIONS:
        if name in result["rows"]:
            continue
        sbd = SBDDenoiser(
            max_time=args.minutes,
            max_epochs=100_000,
            device=args.device,
            random_state=0,
            verbose=True,
        ).set_params(**VARIATIONS[name])
        sbd.fit(sim.data, pixel_size=sim.pixel_size)
        denoised = sbd.transform(noisy)
        result["rows"][name] = {
            "steps": sum(row["train_batch_count"] for row in sbd.history_),
            "parameters": sum(p.numel() for p in sbd.network_.parameters()),
            "psnr": round(float(np.mean(psnr(unseen, denoised))), 2),
            "ssim": round(float(np.mean(ssim(unseen, denoised))), 4),
        }
        partial = args.output.with_name(args.output.name + ".partial")
        partial.write_text(json.dumps(result, indent=1))
        os.replace(partial, args.output)
        print(f"{name:36} {result['rows'][name]}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
