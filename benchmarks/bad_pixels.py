"""Pixels that no count of electrons explains: the damage that they do, and false alarms.

    python benchmarks/bad_pixels.py [--n-frames 4] [--n-counts 1000]

Damage: frames of 256 x 256 pixels of the sample movie's clean images, with Poisson noise and one
thing that is wrong. PSNR more than 40 px away from it, less that of the same frame without it, in
dB, mean over the frames: with the pixels kept as they are, and masked as `transform` does by
default.

False alarms: Poisson counts of 0.05 to 50 per pixel of particles, simulated images of other models
and microscopes, bright and dark dots, edges, and fringes of four pixels and more, 1 to 3 frames
each.

Takes some three minutes of one core. Ends with one JSON line.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from _paper.report import Report
from threadpoolctl import threadpool_limits

from temdenoise import (
    LowPassDenoiser,
    SBDDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
    make_ptceo2,
)
from temdenoise.noise import find_bad_pixels

RESULTS = Path(__file__).parent / "results"
PIXEL_SIZE = 6.22  # pm
SIDE, FAR = 256, 40  # px
DOSES = (0.45, 2.0)  # e/px


def hot_pixel(frame, dose):
    """One pixel of 1000."""
    frame[128, 128] = 1000
    return np.s_[128:129, 128:129]


def hot_cluster(frame, dose):
    """Nine pixels of 100 times the dose."""
    frame[127:130, 127:130] = 100 * dose
    return np.s_[127:130, 127:130]


def hot_row(frame, dose):
    """A row that counts six times as much."""
    frame[128] = 6 * frame[128] + 6 * dose
    return np.s_[128:129]


def dead_rows(frame, dose):
    """Two rows without counts."""
    frame[128:130] = 0
    return np.s_[128:130]


def empty_border(frame, dose):
    """Twenty empty rows, as drift correction leaves them."""
    frame[:20] = 0
    return np.s_[:20]


def label(frame, dose):
    """An empty box with letters."""
    frame[4:34, 4:200] = 0
    frame[12:22, 10:190:6] = frame[12:22, 11:190:6] = 8
    return np.s_[4:34, 4:200]


def saturated_block(frame, dose):
    """A square of 20 pixels that counts 255."""
    frame[118:138, 118:138] = 255
    return np.s_[118:138, 118:138]


KINDS = [hot_pixel, hot_cluster, hot_row, dead_rows, empty_border, label, saturated_block]


def methods():
    """Fitted methods by name."""
    nothing = np.ones((1, 32, 32))
    return {
        "SBD": SBDDenoiser.from_pretrained(device="cpu"),
        "windowed Fourier": WindowedFourierDenoiser(device="cpu").fit(nothing),
        "low-pass": LowPassDenoiser().fit(nothing),
        "adaptive Wiener": WienerDenoiser().fit(nothing),
        "VST+BM3D": VSTDenoiser(binning=4).fit(nothing),
    }


def decibel(estimate, clean, where):
    """PSNR of pixels of a frame, for a data range of one count."""
    return -10 * np.log10(np.mean((estimate[where] - clean[where]) ** 2))


def damage(kind, denoiser, dose, clean, seeds):
    """Loss in dB far away, kept and masked, mean over frames."""
    scale = dose / 0.45
    losses = []
    keywords = {"pixel_size": PIXEL_SIZE} if hasattr(denoiser, "_settle_pixel_size") else {}
    for k in seeds:
        truth = scale * clean[k % len(clean)]
        whole = np.random.default_rng(k).poisson(truth).astype(np.float32)
        spoiled = whole.copy()
        place = kind(spoiled, dose)
        near = np.zeros(whole.shape, dtype=bool)
        near[place] = True
        rows, columns = np.nonzero(near)
        y, x = np.indices(whole.shape)
        down = np.maximum(rows.min() - y, y - rows.max())
        across = np.maximum(columns.min() - x, x - columns.max())
        away = np.maximum(down, across)
        images = [
            denoiser.transform(image[None], bad_pixels=how, **keywords)[0]
            for image, how in ((whole, "keep"), (spoiled, "keep"), (spoiled, "mask"))
        ]
        before, kept, masked = (decibel(image, truth, away > FAR) for image in images)
        losses.append([before - kept, before - masked])
    return np.mean(losses, axis=0)


def scenes():
    """Mean counts of many kinds, of a level of about one."""
    y, x = np.indices((SIDE, SIDE))
    yield from np.asarray(load_sample_movie().clean) / 0.45
    simulated = make_ptceo2(24, models="varied", optics="varied", random_state=3)
    yield from np.asarray(simulated.data) / 0.45
    rng = np.random.default_rng(1)
    for sigma in (1.5, 2, 3):
        for height in (3, 20):
            dots = sum(
                np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2))
                for a, b in rng.uniform(5, SIDE - 5, (40, 2))
            )
            yield 0.2 + height * dots
            yield np.clip(1 - dots, 0.05, None)
    yield np.where(x > 100, 1.0, 0.1)
    yield np.where((x > 100) & (y < 80), 1.0, 0.02)
    for period in (4, 5, 7, 12):
        yield 1 + 0.95 * np.cos(2 * np.pi * x / period)
        yield 1 + 0.9 * np.cos(2 * np.pi * y / period)


def false_alarms(n):
    """Number of stacks of true counts in which something was found, and words about them."""
    every, rng, found = list(scenes()), np.random.default_rng(5), []
    for k in range(n):
        scene = every[k % len(every)]
        dose, frames = 10 ** rng.uniform(-1.3, 1.7), int(rng.integers(1, 4))
        counts = rng.poisson(np.broadcast_to(dose * scene, (frames, *scene.shape)))
        if bad := find_bad_pixels(counts):
            found.append(f"scene {k % len(every)}, {dose:.2f} e/px: {bad}")
    return found


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-frames", type=int, default=4)
    parser.add_argument("--n-counts", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=RESULTS / "bad-pixels-cpu.json")
    args = parser.parse_args()
    args.device = "cpu"
    warnings.simplefilter("ignore")

    report = Report(args, "bad-pixels", "Bad pixels", ["n_frames", "n_counts"])
    clean = np.asarray(load_sample_movie().clean)[:, 100 : 100 + SIDE, 100 : 100 + SIDE]
    named = methods()
    worst = 0.0
    with threadpool_limits(1):
        for dose in DOSES:
            caption = (
                f"Loss of PSNR in dB more than {FAR} px away, at {dose:g} e/px: pixels kept as "
                "they are / masked."
            )
            table = report.table(caption, ["what is wrong", *named])
            for kind in KINDS:
                pairs = [
                    damage(kind, denoiser, dose, clean, range(args.n_frames))
                    for denoiser in named.values()
                ]
                worst = max(worst, *(masked for _, masked in pairs))
                cells = [f"{kept:.2f} / {masked:.2f}" for kept, masked in pairs]
                report.row(table, [kind.__doc__.splitlines()[0].rstrip("."), *cells])
        found = false_alarms(args.n_counts)
    table = report.table("False alarms on true counts.", ["stacks", "with an alarm"])
    report.row(table, [str(args.n_counts), str(len(found))])
    report.finish()
    print("\n".join(found))
    print(json.dumps({"worst_masked_db": round(float(worst), 3), "false_alarms": len(found)}))


if __name__ == "__main__":
    main()
