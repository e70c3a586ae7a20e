"""Train the weights that ship with the package, on simulated images alone.

    python benchmarks/train_weights.py general --minutes 40 --output OUT/general
    python benchmarks/train_weights.py white --minutes 20 --start OUT/general --output OUT/white

"general" is for doses of 0.1 to 3 counts per pixel, pixels of 4 to 10 pm and microscopes that
nobody measured: images of varied models, by default 4,800, each through a microscope of its own,
and 4,800 of the catalogue, all stretched by up to 8 %. "white" is for the paper's case, white
contrast at 0.45 counts per pixel: the catalogue's white images but the tenth on which
`paper_tables.py` tests, as in the paper. Images are simulated once into the folder --images (some
fifteen minutes on two cores). Kill it at any moment: the same command goes on from the last epoch.

The weights in the package, all with --base-channels 44 --binning 5 --patch-size 560: first on an
NVIDIA H200 that another training shared, with --device cuda --batch-size 64 --steps-per-epoch 300,
5.2 minutes on 9,600 varied images and 4,800 of the catalogue, all through the paper's microscope
and not stretched (--learning-rate 2e-3); from these "white" with --minutes 2.7 --learning-rate
1.5e-3 --seed 1; and from the same "general" on two cores, with

    --minutes 42 --n-varied 9600 --batch-size 16 --steps-per-epoch 100 --learning-rate 4e-4 --seed 3

Ends with one JSON line.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _paper.images import N_SHIPPED, ImageSet, shipped_rows, split_white

from temdenoise import SBDDenoiser
from temdenoise.datasets import make_ptceo2

PIXEL_SIZE = 50 / 256 * 100  # pm, of the simulated images

DESCRIPTIONS = {
    "general": "Pt/CeO2 of all contrasts, many microscopes, 0.1 to 3 counts/px and 4 to 10 pm/px",
    "white": "Pt/CeO2 of white contrast at 0.45 counts/px and 6.2 pm/px",
}


def catalogue(folder):
    """Images and metadata of all 17,955, simulated into the folder if they are not there yet."""
    sim = make_ptceo2(preset="default", out=folder / "ptceo2.npy", n_jobs=-1, verbose=True)
    return sim.data, sim.frame


def varied_images(folder, n_images):
    """Images of models and microscopes drawn at random, eight of each, simulated likewise."""
    path = folder / f"varied-optics-{n_images}.npy"
    options = {"images_per_model": 8, "random_state": 0, "n_jobs": -1, "verbose": True}
    drawn = {"models": "varied", "optics": "varied", "defocus": (-5, 25)}
    return make_ptceo2(n_images, out=path, **drawn, **options).data


def general_images(folder, n_varied):
    """Of varied models and of the catalogue, shuffled."""
    varied = varied_images(folder, n_varied)
    data, _ = catalogue(folder)
    images = np.concatenate([varied, data[shipped_rows(len(data))]])
    return images[np.random.RandomState(1).permutation(len(images))]


def white_images(folder):
    """White-contrast images that no table is tested on; those of some models come last."""
    images = ImageSet(*catalogue(folder), PIXEL_SIZE)
    train, _ = split_white(images, split="images", seed=0, max_train=None, n_test=None)
    return images.data[train]


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=["general", "white"])
    parser.add_argument("--images", type=Path, default=Path("ptceo2"), help="folder for the images")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--n-varied", type=int, default=N_SHIPPED, help="images of varied models")
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--binning", type=int, help="pixels of 6.22 pm a bin, by default 5")
    parser.add_argument("--patch-size", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--start", help="weights to start from")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder of the weights")
    args = parser.parse_args()

    args.images.mkdir(parents=True, exist_ok=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.name == "general":
        images = general_images(args.images, args.n_varied)
        # Doses of 0.1 to 3 counts per pixel at 4 to 10 pm, and a margin
        case = {"dose": (0.04, 6.0), "stretch": 0.08, "validation_fraction": 0.05}
    else:
        images = white_images(args.images)
        case = {"dose": 0.45, "validation_fraction": 0.05}
    sbd = SBDDenoiser(
        base_channels=args.base_channels,
        binning="auto" if args.binning is None else args.binning,
        patch_size=args.patch_size,
        batch_size=args.batch_size,
        steps_per_epoch=args.steps_per_epoch,
        max_epochs=10_000,
        max_minutes=args.minutes,
        learning_rate=args.learning_rate,
        checkpoint_file=f"{args.output}.checkpoint",
        device=args.device,
        random_state=args.seed,
        verbose=True,
        **case,
    )
    before = None
    if args.start:
        before = SBDDenoiser.from_pretrained(args.start)
        sbd.set_params(warm_start=True)
        sbd.network_ = before.network_
    start = time.time()
    sbd.fit(images, pixel_size=PIXEL_SIZE)
    best = max(row["valid_psnr"] for row in sbd.history_)
    result = {
        "images": len(images),
        "device": str(sbd.net_.device),
        "started_from": before and before.info_.get("training"),
        "minutes": round((time.time() - start) / 60, 1),
        "steps": sum(row["train_batch_count"] for row in sbd.history_),
        "valid_psnr": round(best, 2),
    }
    info = {"description": DESCRIPTIONS[args.name], "training": result}
    sbd.save_pretrained(args.output, overwrite=True, dtype="float16", info=info)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
