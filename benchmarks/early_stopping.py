"""Does what is held out tell when to stop? Held-out loss against the true error, epoch by epoch.

    python benchmarks/early_stopping.py [--n-frames 5 40] [--max-epochs 24] [--seed 0]

Trains `BlindSpotDenoiser` on the middle frames of the static movie of self_supervised.py, 0.45
e/px, far longer than it should be. After every epoch the averaged weights denoise the five middle
frames. PSNR is that of the frames' bins of 31 pm, on the scale of one pixel, where it is some
tenths of a dB above that of the pixels. What it costs not to stop is the difference between the
best epoch and the last. What it costs not to know the truth is the difference between the best
epoch and the one that the held-out loss chose. Writes the tables of the user guide; ends with one
JSON line.
"""

import argparse
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from _paper.report import Report
from self_supervised import N_FRAMES, RESULTS, Movie
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from temdenoise import BlindSpotDenoiser
from temdenoise.binning import bin_counts

BINNING = 5  # pixels of 6.22 pm


class TrueError(Callback):
    """PSNR in dB of the averaged weights on frames whose rates are known."""

    def __init__(self, counts, clean, share):
        self.share = share  # of the electrons that the network is trained on
        self.counts = torch.from_numpy(bin_counts(counts, BINNING))[:, None]
        self.clean = bin_counts(clean, BINNING)

    def on_epoch_end(self, net, **kwargs):
        """Record the PSNR."""
        network = deepcopy(net.averaged_.module).eval()
        network.level.div_(self.share)  # it sees all electrons now, as it does after the training
        with torch.inference_mode():
            rates = network(self.counts)[:, 0].numpy()
        error = np.mean(((rates - self.clean) / BINNING**2) ** 2, axis=(1, 2))
        net.history.record("true_psnr", float(np.mean(-10 * np.log10(error))))


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-frames", nargs="+", type=int, default=[5, 40])
    parser.add_argument("--max-epochs", type=int, default=24)
    parser.add_argument("--dose", type=float, default=0.45, help="e/px in vacuum")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=RESULTS / "self_supervised.work")
    parser.add_argument("--output", type=Path, default=RESULTS / "early-stopping-cpu.json")
    args = parser.parse_args()
    args.device = "cpu"

    movie = Movie("static", N_FRAMES, args.dose, args.seed, args.work)
    middle = slice(movie.middle - 2, movie.middle + 3)
    settings = ["n_frames", "max_epochs", "dose", "seed"]
    report = Report(args, "early-stopping", "Blind-spot networks trained for too long", settings)
    result = {}
    for n_frames in args.n_frames:
        share = 1.0 if n_frames >= 10 else 0.9  # of few frames a tenth is held out
        truth = TrueError(movie.counts[middle], movie.clean[middle], share)
        denoiser = BlindSpotDenoiser(
            max_epochs=args.max_epochs,
            early_stopping=None,
            random_state=args.seed,
            callbacks=[truth],
        )
        with threadpool_limits(1):
            denoiser.fit(movie.middle_frames(n_frames))
        rows = denoiser.history_
        loss = np.array([row["held_out_loss"] for row in rows])
        psnr = np.array([row["true_psnr"] for row in rows])
        chosen, best = int(np.argmin(loss)), int(np.argmax(psnr))
        caption = (
            f"{n_frames} frames: the held-out loss chose epoch {chosen + 1} ({psnr[chosen]:.2f} "
            f"dB), the best was epoch {best + 1} ({psnr[best]:.2f} dB), the last has "
            f"{psnr[-1]:.2f} dB."
        )
        columns = ["epoch", "training loss", "held-out loss", "PSNR"]
        table = report.table(caption, columns)
        for k, row in enumerate(rows):
            cells = [f"{x:.5f}" for x in (row["train_loss"], loss[k])]
            report.row(table, [str(k + 1), *cells, f"{psnr[k]:.2f}"])
        result[n_frames] = {"chosen": psnr[chosen], "best": psnr[best], "last": psnr[-1]}
    report.finish()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
