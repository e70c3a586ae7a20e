"""How often values that are no counts are noticed, and how often counts are taken for such.

    python benchmarks/gate.py [--n-counts 1000] [--n-wrong 12] [--seconds 200]

Draws Poisson counts of many specimens (lattices, sharp edges, particles, grains, texture, slopes,
holes), doses (0.05 to 50 electrons/px), sizes (64 to 512 px) and numbers of frames, with and
without drift, stored as 8 bit, 16 bit or float32, and as sums of bins. `check_counts` must leave
them in peace. Then counts are spoiled as files and programs do it, and must be noticed. Finished
parts are kept beside the results, and a second call goes on with the rest.
"""

import argparse
import io
import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from _paper.report import Report
from scipy import fft, ndimage

from temdenoise.noise import check_counts

RESULTS = Path(__file__).parent / "results"
DOSES = (0.05, 50.0)
SIZES = (64, 96, 128, 181, 256, 384, 512)


# Specimens: mean 1, as functions of coordinates in px, so that drift is exact.


def lattice(rng):
    period, contrast = np.exp(rng.uniform(np.log(2.6), np.log(60))), rng.uniform(0.2, 1)
    angle, kind = rng.uniform(0, np.pi), rng.integers(3)
    turn = (np.cos(angle), np.sin(angle)) if kind else (1.0, 0.0)

    def image(y, x):
        u, v = turn[0] * x + turn[1] * y, turn[0] * y - turn[1] * x
        wave = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 2
        if kind == 2:  # sharp columns
            wave = 2 * np.exp(3 * (wave - 1)) - 0.4
        return np.maximum(1 + contrast * wave, 0.02)

    return image


def edge(rng):
    angle, low = rng.uniform(0, np.pi), rng.uniform(0.02, 0.6)

    def image(y, x):
        side = (x - 40) * np.cos(angle) + (y - 50) * np.sin(angle) > 0
        return np.where(side, 1.4, low)

    return image


def particles(rng):
    n, inside = rng.integers(3, 30), lattice(rng)
    centres, radii = rng.uniform(0, 300, (n, 2)), rng.uniform(2, 40, n)
    level = rng.uniform(0.1, 3)

    def image(y, x):
        found = np.zeros(np.broadcast(y, x).shape, bool)
        for (cy, cx), r in zip(centres, radii, strict=True):
            found |= (y - cy) ** 2 + (x - cx) ** 2 < r * r
        return np.where(found, level * inside(y, x), 1.0)

    return image


def grains(rng):
    centres, inside = rng.uniform(0, 300, (12, 2)), [lattice(rng) for _ in range(12)]

    def image(y, x):
        distance = [(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres]
        nearest = np.argmin(distance, axis=0)
        return np.choose(nearest % 4, [inside[k](y, x) for k in range(4)])

    return image


def texture(rng):
    scale, contrast = rng.uniform(4, 20), rng.uniform(0.05, 0.3)
    waves = rng.normal(size=(60, 2)) / scale
    phases = rng.uniform(0, 2 * np.pi, 60)

    def image(y, x):
        total = sum(np.cos(a * y + b * x + p) for (a, b), p in zip(waves, phases, strict=True))
        return np.maximum(1 + contrast * total / np.sqrt(30), 0.02)

    return image


def slope(rng):
    a, b = rng.uniform(-0.9, 0.9, 2) / 400

    def image(y, x):
        return np.maximum(1 + a * (x - 100) + b * (y - 100), 0.01)

    return image


def holes(rng):
    inside, r = lattice(rng), rng.uniform(20, 100)

    def image(y, x):
        return np.where((y - 60) ** 2 + (x - 60) ** 2 < r * r, 0.0, inside(y, x))

    return image


SPECIMENS = (lattice, edge, particles, grains, texture, slope, holes)


def clean_frames(rng, *, n_frames=None, size=None, dose=None):
    """Mean counts of a specimen, (n_frames, size, size)."""
    specimen = SPECIMENS[rng.integers(len(SPECIMENS))](rng)
    size = rng.choice(SIZES) if size is None else size
    n_frames = rng.choice([1, 2, 3, 8]) if n_frames is None else n_frames
    dose = np.exp(rng.uniform(*np.log(DOSES))) if dose is None else dose
    y, x = np.mgrid[:size, :size]
    step = rng.normal(0, 1.5, 2) * (rng.random() < 0.6)
    frames = [specimen(y - step[0] * t, x - step[1] * t) for t in range(n_frames)]
    changes = rng.uniform(0.8, 1.2, n_frames) if rng.random() < 0.3 else np.ones(n_frames)
    return np.stack([dose * c * f for c, f in zip(changes, frames, strict=True)])


def true_counts(rng):
    """Counts as files hold them."""
    if rng.random() < 0.2:  # sums of bins
        clean = clean_frames(rng, size=rng.choice([256, 384, 512]), n_frames=2)
        side = int(rng.choice([2, 4]))
        counts = rng.poisson(clean / side**2)
        n, m = len(counts), counts.shape[1] // side
        counts = counts[:, : m * side, : m * side].reshape(n, m, side, m, side).sum((2, 4))
    else:
        counts = rng.poisson(clean_frames(rng))
    if not counts.any():
        return true_counts(rng)
    dtypes = [np.uint16, np.float32, np.int32] + ([np.uint8] if counts.max() < 256 else [])
    return counts.astype(dtypes[rng.integers(len(dtypes))])


# Ways to spoil counts: each gets counts and a generator, and returns what a file would hold.


def stretched(c, rng=None, top=255):
    return np.rint((c - c.min()) * (top / max(c.max() - c.min(), 1)))


def per_frame(c, function):
    return np.stack([function(one) for one in c])


def shifted(c, by, order=1):
    return per_frame(c.astype(float), lambda f: ndimage.shift(f, by, order=order, mode="mirror"))


def low_pass(c, cutoff):
    f = np.hypot(fft.fftfreq(c.shape[1])[:, None], fft.rfftfreq(c.shape[2]))
    return fft.irfft2(fft.rfft2(c) * np.exp(-((f / cutoff) ** 2)), c.shape[1:])


def jpeg_like(c):
    image = stretched(c)
    height, width = (n // 8 * 8 for n in image.shape[1:])
    image = image[:, :height, :width].reshape(len(c), height // 8, 8, width // 8, 8)
    blocks = fft.dctn(image, axes=(2, 4), norm="ortho")
    table = 8 + 6 * np.add.outer(np.arange(8), np.arange(8))[None, None, :, None, :]
    blocks = np.rint(blocks / table) * table
    image = fft.idctn(blocks, axes=(2, 4), norm="ortho")
    return np.clip(np.rint(image.reshape(len(c), height, width)), 0, 255)


def spread(c, rng):
    """Each electron in several pixels, as a detector that does not count sees it."""
    return per_frame(30.0 * c, lambda f: ndimage.gaussian_filter(f, 0.9))


def camera(c, rng, gain, offset, noise):
    return np.rint(gain * c + offset + rng.normal(0, noise, c.shape)).clip(0, 65535)


def averages(c, n=3):
    return np.stack([c[max(0, k - n // 2) : k + n // 2 + 1].mean(axis=0) for k in range(len(c))])


def recursive(c):
    frames = [c[0].astype(float)]
    for frame in c[1:]:
        frames.append(0.5 * frames[-1] + 0.5 * frame)
    return np.stack(frames)


def window_of(c):
    low, high = np.percentile(c, [2, 98])
    return np.rint(np.clip((c - low) / max(high - low, 1), 0, 1) * 255)


def block_mean(c, side=2):
    m = c.shape[1] // side
    return c[:, : m * side, : m * side].reshape(len(c), m, side, m, side).mean((2, 4))


def as_halves(c):
    """Two bytes, of which only the lower is kept: numbers above it wrap around."""
    return (40 * c + 37) % 256


# name: (what is done, fewest frames, lowest and highest dose, electrons/px)
KINDS = {
    "counts times 2": (lambda c, r: 2 * c, 1, DOSES),
    "counts times 37": (lambda c, r: 37 * c, 1, DOSES),
    "counts times 12.5, float": (lambda c, r: 12.5 * c, 1, DOSES),
    "counts times 256 (bytes swapped)": (lambda c, r: 256 * c, 1, DOSES),
    "counts times 12 plus 500": (lambda c, r: 12 * c + 500, 1, DOSES),
    "divided by the maximum (0 to 1)": (lambda c, r: c / c.max(), 1, (0.2, 50)),
    "each frame divided by its maximum": (
        lambda c, r: per_frame(c * 1.0, lambda f: f / f.max()), 2, (0.2, 50)),
    "each frame divided by its mean": (
        lambda c, r: per_frame(c * 1.0, lambda f: f / f.mean()), 2, (0.05, 50)),
    "divided by the pixels' area": (lambda c, r: c / 0.0387, 1, DOSES),
    "stretched to 8 bit, rounded": (stretched, 1, (0.2, 50)),
    "stretched to 16 bit, rounded": (lambda c, r: stretched(c, top=65535), 1, (0.2, 50)),
    "times 1.3, rounded": (lambda c, r: np.rint(1.3 * c), 1, (1, 50)),
    "times 7.3, cut to whole numbers": (lambda c, r: np.floor(7.3 * c), 1, (0.3, 50)),
    "contrast window of 2 to 98 %": (lambda c, r: window_of(c), 1, (1, 50)),
    "8 bit, gamma of 0.5": (
        lambda c, r: np.rint(255 * np.sqrt(c / c.max())), 1, (0.3, 50)),
    "logarithm, float": (lambda c, r: np.log1p(c), 1, (0.3, 50)),
    "logarithm, 8 bit": (lambda c, r: stretched(np.log1p(c)), 1, (0.3, 50)),
    "square root, float": (lambda c, r: np.sqrt(c), 1, (0.3, 50)),
    "Anscombe transform": (lambda c, r: 2 * np.sqrt(c + 0.375), 1, (0.05, 50)),
    "inverted, 8 bit": (lambda c, r: 255 - stretched(c), 1, (0.3, 50)),
    "inverted counts": (lambda c, r: c.max() - c, 1, (0.05, 20)),
    "counts plus 100": (lambda c, r: c + 100, 1, DOSES),
    "counts plus 0.5": (lambda c, r: c + 0.5, 1, (0.05, 1)),
    "camera: gain 200, offset 500": (
        lambda c, r: camera(c, r, 200, 500, 20), 1, (0.3, 50)),
    "camera: gain 7, offset 96": (lambda c, r: camera(c, r, 7, 96, 3), 1, (20, 50)),
    "camera: gain 40, offset subtracted, cut at 0": (
        lambda c, r: np.maximum(40 * c + r.normal(0, 12, c.shape), 0), 1, (0.3, 50)),
    "camera: dark frame subtracted": (
        lambda c, r: 40 * c + r.normal(0, 12, c.shape), 1, (0.05, 3)),
    "electrons spread over pixels": (spread, 1, (0.3, 50)),
    "mean subtracted": (lambda c, r: c - c.mean(), 1, DOSES),
    "standardised": (lambda c, r: (c - c.mean()) / c.std(), 1, DOSES),
    "signed 16 bit of unsigned": (
        lambda c, r: (c * 1200).astype(np.uint16).astype(np.int16), 1, (10, 50)),
    "mean of 2 x 2 pixels": (lambda c, r: block_mean(c), 1, (0.2, 50)),
    "mean of 10 frames": (lambda c, r: c[:10].mean(axis=0)[None], 10, (0.05, 5)),
    "smoothed, sigma 1 px": (
        lambda c, r: per_frame(c * 1.0, lambda f: ndimage.gaussian_filter(f, 1.0)), 1, DOSES),
    "smoothed, rounded": (
        lambda c, r: np.rint(per_frame(c * 1.0, lambda f: ndimage.gaussian_filter(f, 0.8))), 1,
        (2, 50)),
    "median of 3 x 3 pixels": (
        lambda c, r: per_frame(c, lambda f: ndimage.median_filter(f, 3)), 1, (2, 50)),
    "low-pass filter (0.25 cycles/px)": (
        lambda c, r: np.maximum(low_pass(c, 0.25), 0), 1, DOSES),
    "band-pass filter": (lambda c, r: low_pass(c, 0.3) - low_pass(c, 0.02), 1, DOSES),
    "the clean image": (lambda c, r: None, 1, DOSES),
    "shifted by half a pixel": (lambda c, r: shifted(c, (0, 0.5, 0.5)[1:]), 1, DOSES),
    "shifted by a quarter, cubic": (
        lambda c, r: np.maximum(shifted(c, (0.3, 0.3), order=3), 0), 1, DOSES),
    "rotated by 7 degrees": (
        lambda c, r: per_frame(
            c * 1.0, lambda f: ndimage.rotate(f, 7, reshape=False, order=1, mode="mirror")),
        1, DOSES),
    "enlarged twice, bilinear": (
        lambda c, r: per_frame(c[:, :128, :128] * 1.0, lambda f: ndimage.zoom(f, 2, order=1)), 1,
        DOSES),
    "enlarged twice, each pixel four times": (
        lambda c, r: c.repeat(2, axis=1).repeat(2, axis=2), 1, DOSES),
    "8 bit, compressed as JPEG does": (lambda c, r: jpeg_like(c), 1, (0.5, 50)),
    "saturated at the mean plus one sigma": (
        lambda c, r: np.minimum(c, np.ceil(c.mean() + np.sqrt(c.mean()))), 1, (0.5, 50)),
    "one electron per pixel at most": (lambda c, r: np.minimum(c, 1), 1, (0.15, 1)),
    "numbers wrapped around at 256": (lambda c, r: as_halves(c), 1, (3, 50)),
    "noise of 0.4 added to averages": (
        lambda c, r: c / 4 + np.abs(r.normal(0, 0.05, c.shape)), 1, (2, 50)),
    "every frame stored twice": (lambda c, r: c.repeat(2, axis=0), 2, DOSES),
    "every third frame repeated": (
        lambda c, r: c[np.sort(np.r_[: len(c), : len(c) : 3])], 3, DOSES),
    "running mean of 3 frames": (lambda c, r: averages(c), 8, DOSES),
    "running sum of 2 frames": (lambda c, r: c[1:] + c[:-1], 8, DOSES),
    "recursive filter of frames": (lambda c, r: recursive(c), 8, DOSES),
    "interpolated to twice the frames": (
        lambda c, r: np.stack([f for a, b in pairwise(c) for f in (a, (a + b) / 2)]), 8, DOSES),
}  # fmt: skip


def spoiled(kind, seed):
    """Values of a kind of wrong input."""
    what, n_frames, (low, high) = KINDS[kind]
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    dose = np.exp(rng.uniform(np.log(low), np.log(high)))
    n = max(n_frames, int(rng.choice([1, 2, 8])))
    clean = clean_frames(rng, n_frames=n, dose=dose, size=rng.choice([128, 256, 384]))
    clean = np.maximum(clean, dose / 50)
    counts = rng.poisson(clean)
    wrong = what(counts, rng)
    return clean.astype(np.float32) if wrong is None else np.asarray(wrong)


def look(job):
    """Result of one job: kinds found and seconds."""
    name, number = job
    if name is None:
        X = true_counts(np.random.default_rng(number))
    else:
        X = spoiled(name, number)
    start = time.perf_counter()
    check = check_counts(X)
    return {"found": list(check.kinds), "seconds": time.perf_counter() - start}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-counts", type=int, default=1000, help="stacks of true counts")
    parser.add_argument("--n-wrong", type=int, default=12, help="stacks of each wrong kind")
    parser.add_argument("--seconds", type=float, default=200, help="stop after about so long")
    parser.add_argument("--output", default=RESULTS / "gate-cpu.json")
    args = parser.parse_args()
    args.device = "cpu"
    kept = Path(args.output).with_suffix(".work") / "parts.jsonl"
    kept.parent.mkdir(exist_ok=True)
    results = {}
    if kept.exists():
        for line in io.StringIO(kept.read_text()):
            name, number, result = json.loads(line)
            results[name, number] = result
    jobs = [(None, k) for k in range(args.n_counts)]
    jobs += [(name, k) for k in range(args.n_wrong) for name in KINDS]
    start = time.perf_counter()
    with kept.open("a") as file:
        for job in jobs:
            if job in results:
                continue
            if time.perf_counter() - start > args.seconds:
                print(f"{len(results)} of {len(jobs)} done: call again")
                return
            results[job] = look(job)
            file.write(json.dumps([*job, results[job]]) + "\n")
            file.flush()
    write(results, args)
    kept.unlink()
    kept.parent.rmdir()


def write(results, args):
    """Write and print the tables."""
    report = Report(args, "gate", "Are they counts?", ["n_counts", "n_wrong"])
    true = [results[None, k] for k in range(args.n_counts)]
    table = report.table("True counts.", ["stacks", "false alarms", "median time (ms)"])
    alarms = sum(bool(r["found"]) for r in true)
    report.row(table, [len(true), alarms, f"{1000 * np.median([r['seconds'] for r in true]):.0f}"])
    table = report.table("Wrong input.", ["kind", "stacks", "caught", "mostly as"])
    total = 0
    for name in KINDS:
        found = [results[name, k]["found"] for k in range(args.n_wrong)]
        caught = [kinds for kinds in found if kinds]
        total += len(caught)
        first = [kinds[0] for kinds in caught]
        most = max(set(first), key=first.count) if first else ""
        report.row(table, [name, len(found), f"{len(caught) / len(found):.0%}", most])
    n = args.n_wrong * len(KINDS)
    report.row(table, ["all", n, f"{total / n:.1%}", ""])
    report.finish()


if __name__ == "__main__":
    main()
