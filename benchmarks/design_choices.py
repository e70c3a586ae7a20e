"""What each choice behind the default training is worth: the same minutes, one thing changed.

    python benchmarks/design_choices.py --budget 5 [NAME ...]

Trains the default network on bins of 25 pm, as it was made for before this comparison, and its
variations for the same time on the same simulated images and denoises images of models none has
seen, at 0.45 counts per pixel in vacuum: PSNR and SSIM, and the F1 score of the columns at the
surface (`f1_detected` of surface_atoms.py). Rows that are finished are not trained again: kill it
at any moment, and the same command goes on. Time is the budget, so the machine should have nothing
else to do. Ends with one JSON line.
"""

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from _paper.report import Report
from _paper.work import Work
from surface_atoms import THRESHOLD, columns_of, compare
from torch.nn import functional as F

from temdenoise import PoissonNoise, SBDDenoiser, psnr, ssim
from temdenoise.atoms.find import column_polarity
from temdenoise.datasets import make_ptceo2
from temdenoise.networks import fourier_unet
from temdenoise.training.net import DenoisingNet

RESULTS = Path(__file__).parent / "results"
PIXEL_SIZE = 6.22  # pm
N_UNSEEN = 24
COLUMNS = ["", "PSNR (dB)", "SSIM", "F1 of surface columns", "steps", "parameters"]


@dataclass
class Variation:
    """What is changed: parameters of the denoiser, constants of its network, or the loss."""

    params: dict = field(default_factory=dict)
    network: dict = field(default_factory=dict)
    surface_weight: float = 0.0
    n_images: int | None = None  # trained on, by default all


ESTIMATES = fourier_unet.ESTIMATES
# What all others differ from by one thing.
BASE = {"binning": 4, "patch_size": 384}
VARIATIONS = {
    "bins of 25 pm": Variation(),
    "Adam": Variation({"optimizer": "adam"}),
    "half the learning rate": Variation({"learning_rate": 0.6e-3}),
    "twice the learning rate": Variation({"learning_rate": 2.4e-3}),
    "batches of 8": Variation({"batch_size": 8}),
    "patches of 512 pixels": Variation({"patch_size": 512, "batch_size": 9}),
    "rotation by 45 degrees": Variation({"rotation": 45.0}),
    "float32": Variation({"precision": "float32"}),
    "a quarter of the images": Variation(n_images=500),
    "bins of 19 pm": Variation({"binning": 3}),
    "bins of 31 pm": Variation({"binning": 5}),
    "pixels of 4 to 10 pm, not told apart": Variation({"pixel_size": (4.0, 10.0)}),
    "3 scales": Variation({"scales": 3}),
    "4 scales": Variation({"scales": 4}),
    "24 channels": Variation({"base_channels": 24}),
    "48 channels": Variation({"base_channels": 48}),
    "fewer channels at fine scales": Variation(
        network={"WIDTHS": (0.5, 1.5, 3, 5, 6), "BLOCKS": (1, 1, 3, 4, 2)}
    ),
    "one windowed-Fourier estimate": Variation(network={"ESTIMATES": ESTIMATES[-1:]}),
    "two windowed-Fourier estimates": Variation(network={"ESTIMATES": ESTIMATES[1:]}),
    "surface weighed twice": Variation(surface_weight=1.0),
    "surface weighed five times": Variation(surface_weight=4.0),
    "paper's UNet, 32 channels, binned": Variation({"architecture": "unet", "binning": 4}),
    "paper's UNet, 128 channels, binned": Variation(
        {"architecture": "unet", "base_channels": 128, "binning": 4}
    ),
}


def surface_of(clean):
    """How near the ends of the crystal pixels are, 0 to 1, in clean images (n, 1, h, w) on bins.

    Matter is where the image varies, over about an atom's distance; its edge is half way.
    """

    def smooth(images):
        return F.avg_pool2d(images, 17, stride=1, padding=8, count_include_pad=False)

    relative = clean / clean.mean((-2, -1), keepdim=True)
    variance = smooth((relative - smooth(relative)).square())
    matter = smooth(variance / (variance + 0.05**2))
    return 4 * matter * (1 - matter)


def surface_loss(weight):
    """Return the loss of `SBDDenoiser` with squared errors at surfaces weighed 1 + weight times."""
    plain = DenoisingNet.get_loss

    def get_loss(net, y_pred, y_true, X=None, training=False):
        clean, unit = y_true
        factor = 1 + weight * surface_of(clean)
        root = (factor / factor.mean()).sqrt()
        return plain(net, clean + root * (y_pred - clean), (clean, unit), X, training)

    return get_loss


def surface_f1(clean, denoised):
    """F1 score of the surface's columns, mean over images."""
    scores = []
    for image, frame in zip(clean, denoised, strict=True):
        polarity = column_polarity(image, pixel_size=PIXEL_SIZE)
        tables = [columns_of(image, polarity, t) for t in (THRESHOLD, THRESHOLD / 2)]
        found = columns_of(frame, polarity)
        scores.append(compare(*tables, found, image.shape)[0]["f1_detected"])
    return float(np.mean(scores))


def score(clean, denoised):
    """PSNR in dB, SSIM and F1 score of the surface's columns, mean over images."""
    return {
        "psnr": round(float(np.mean(psnr(clean, denoised))), 2),
        "ssim": round(float(np.mean(ssim(clean, denoised))), 4),
        "surface_f1": round(surface_f1(clean, denoised), 3),
    }


def cells(row):
    """Cells of a score."""
    return [f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", f"{row['surface_f1']:.3f}"]


def average(orientations, clean, noisy, device):
    """Cells of the shipped weights averaged over so many orientations."""
    sbd = SBDDenoiser.from_pretrained(device=device).set_params(orientations=orientations)
    sbd.transform(noisy[:1])  # warms up
    start = time.perf_counter()
    denoised = sbd.transform(noisy)
    seconds = (time.perf_counter() - start) / len(noisy)
    return [*cells(score(clean, denoised)), round(seconds, 2)]


def train(variation, sim, unseen, noisy, **options):
    """Row of a variation."""
    sbd = SBDDenoiser(max_epochs=100_000, random_state=0, verbose=True, **BASE, **options)
    sbd.set_params(**variation.params)
    with ExitStack() as stack:
        if variation.network:
            stack.enter_context(patch.multiple(fourier_unet, **variation.network))
        if variation.surface_weight:
            loss = surface_loss(variation.surface_weight)
            stack.enter_context(patch.object(DenoisingNet, "get_loss", loss))
        sbd.fit(sim.data[: variation.n_images], pixel_size=sim.pixel_size)
        denoised = sbd.transform(noisy)
    return {
        "steps": sum(row["train_batch_count"] for row in sbd.history_),
        "parameters": sum(p.numel() for p in sbd.network_.parameters()),
    } | score(unseen, denoised)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these variations")
    parser.add_argument("--budget", type=float, default=5, help="minutes of each training")
    parser.add_argument("--n-images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS / "design-choices-cpu.json")
    parser.add_argument("--work", type=Path, default=RESULTS / "design_choices.work")
    args = parser.parse_args()
    if unknown := set(args.names) - set(VARIATIONS):
        parser.error(f"no variation {sorted(unknown)}; there are {list(VARIATIONS)}")
    torch.set_num_threads(args.threads)

    settings = {"budget": args.budget, "n_images": args.n_images, "threads": args.threads}
    report = Report(args, "design-choices", "What each choice is worth", [*settings, "device"])
    work = Work(args.work)
    caption = f"{args.n_images} images trained on, {N_UNSEEN} of other models tested on."
    table = report.table(caption, COLUMNS)
    sim = make_ptceo2(args.n_images, models="varied", images_per_model=10, n_jobs=-1, verbose=True)
    unseen = make_ptceo2(
        N_UNSEEN,
        models="varied",
        images_per_model=1,
        pixel_size=PIXEL_SIZE,
        random_state=99,
        n_jobs=-1,
    ).data
    noisy = PoissonNoise(random_state=0).sample(unseen)
    options = {"max_time": args.budget, "device": args.device}
    for name in args.names or VARIATIONS:
        variation = VARIATIONS[name]
        row = work.row(
            name,
            settings | {"base": BASE} | asdict(variation),
            lambda variation=variation: train(variation, sim, unseen, noisy, **options),
        )
        report.row(table, [name, *cells(row), row["steps"], f"{row['parameters']:,}"])
    columns = ["orientations averaged", *COLUMNS[1:4], "s/image"]
    averages = report.table('Shipped weights "general", on the same images.', columns)
    for n in (1, 2, 4, 8):
        report.row(averages, [n, *average(n, unseen, noisy, args.device)])
    report.finish()
    print(json.dumps({r[0]: dict(zip(COLUMNS[1:], r[1:], strict=True)) for r in table["rows"]}))


if __name__ == "__main__":
    main()
