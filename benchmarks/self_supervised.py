"""Denoise movies without clean images, and with time: PSNR, events and minutes of every method.

    python benchmarks/self_supervised.py [--movies static events other] [--doses 0.45]
        [--n-frames 5 40 400] [--only blind-spot ...] [--seeds 0]

Simulated movies of a Pt particle on CeO2, 512 x 512 pixels of 6.22 pm, drift of up to 1.5 px a
frame:

- static: nothing but drift, which flatters all methods that use time.
- events: columns at the surface vanish and come back. In the middle frame six of them are missing:
  two for this frame alone, two for 3 frames, two for 9 frames.
- other: static; another particle, contrast and microscope with each seed, as weights meet them in
  practice. The first two have the paper's microscope and white contrast.

All have 400 frames; a method gets the middle N of them. Everything is scored on the same frames,
the middle ones.

- PSNR (dB, data range 1 count) of the five middle frames, mean.
- change kept: how much darker or brighter a method shows a missing column in the middle frame, as a
  share of the truth. The method denoises a second movie, too, in which nothing happens and all
  other electrons are the same; the estimates of both are subtracted and averaged over the column
  (60 pm around it). 1 is the truth, 0 an event that is not seen. For events of 1, 3 and 9 frames.
- F1 after: atoms found in the two frames after each event, 5 frames in all, against the true
  columns.
- minutes of one core: CPU time of the training; seconds a frame: that of denoising.

One specimen and one seed a row unless more `--seeds` are given: differences below 0.3 dB are noise.
Finished rows lie in results/self_supervised.work; the same command goes on where it was stopped.
Ends with one JSON line.
"""

import argparse
import itertools
import json
import time
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _paper.report import Report
from _paper.work import Work
from atom_threshold import Truth, scores
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from temdenoise import (
    AlignedSumDenoiser,
    BlindSpotDenoiser,
    ImageStack,
    SBDDenoiser,
    Self2SelfDenoiser,
    ThinnedDenoiser,
    UDVDDenoiser,
    WindowedFourierDenoiser,
    psnr,
)
from temdenoise.binning import bin_counts, unbin
from temdenoise.datasets import make_movie

RESULTS = Path(__file__).parent / "results"
PIXEL_SIZE = 6.22  # pm
SIZE = 512
N_FRAMES = 400
MOVIES = ("static", "events", "other")
MAX_STEP = 1.5  # px
DURATIONS = (1, 3, 9)  # frames
EACH = 2  # columns of each duration
HALO = 20  # frames either side that any method may use
THRESHOLD = 0.09
COLUMN = 60.0  # pm, radius
TEN_MINUTES = {"max_minutes": 10, "random_state": 0}


# --- movies ---------------------------------------------------------------------------------------


def drift_path(n_frames, rng):
    """Positions (n_frames, 2) in px of a scene that wanders, and stays within some 40 px."""
    position, angle, path = np.zeros(2), rng.uniform(0, 2 * np.pi), []
    for _ in range(n_frames):
        path.append(position.copy())
        angle += rng.uniform(-0.6, 0.6)
        step = rng.uniform(0, MAX_STEP) * np.array([np.sin(angle), np.cos(angle)])
        position = position + step - 0.02 * position
    return np.array(path)


def wanted_events(n_frames, middle):
    """Columns that vanish: some of each duration about the middle frame, others far from it."""
    wanted = [
        {"kind": "vanish", "first_frame": middle - d // 2, "last_frame": middle + d // 2}
        for d in DURATIONS
        for _ in range(EACH)
    ]
    for k, first in enumerate(range(4, n_frames - 10, 14)):
        last = first + (2, 4, 8)[k % 3]
        if last < middle - HALO or first > middle + HALO:
            wanted.append({"kind": "vanish", "first_frame": first, "last_frame": last})
    return wanted


def simulated(name, n_frames, seed, work):
    """Clean frames at 0.45 e/px, those without events, columns and events; kept in a file."""
    path = work / f"{name}-{n_frames}-{seed}.npz"
    middle = n_frames // 2
    options = {
        "n_frames": n_frames,
        "shape": SIZE,
        "pixel_size": PIXEL_SIZE,
        "drift": drift_path(n_frames, np.random.default_rng(seed)),
        "random_state": seed,
    }
    if name == "other":
        options |= {"models": "varied", "optics": "varied"}
    else:
        options |= {"structure": "PtNp1", "contrast": "white"}
    events = wanted_events(n_frames, middle) if name == "events" else []
    if not path.exists():
        movie = make_movie(events=events, **options)
        still = make_movie(events=[], **options).clean if events else movie.clean
        path.parent.mkdir(parents=True, exist_ok=True)
        near = slice(max(0, middle - HALO), middle + HALO + 1)
        np.savez(path, clean=movie.clean, still=still[near])
        movie.events.to_json(path.with_suffix(".events.json"))
        for k in range(max(0, middle - HALO), min(n_frames, middle + HALO + 1)):
            movie.columns[k].to_json(path.with_suffix(f".{k}.json"))
    return path


class Movie:
    """A movie at one dose: counts, truth, and the same without events."""

    def __init__(self, name, n_frames, dose, seed, work):
        import pandas as pd

        path = simulated(name, n_frames, seed, work)
        with np.load(path) as file:
            scale = np.float32(dose / 0.45)
            clean, still = file["clean"] * scale, file["still"] * scale
        rng = np.random.default_rng([seed, round(1000 * dose)])
        counts = rng.poisson(clean).astype(np.float32)
        self.clean, self.middle, self.dose = clean, n_frames // 2, dose
        self.counts = counts
        self.first = max(0, self.middle - HALO)
        near = slice(self.first, self.first + len(still))
        # The same electrons where nothing happens, and Poisson counts of the other rate elsewhere.
        ratio = np.minimum(still / np.maximum(clean[near], 1e-12), 1)
        control = rng.binomial(counts[near].astype(int), ratio)
        control += rng.poisson(np.maximum(still - clean[near], 0))
        self.control, self.still = control.astype(np.float32), still
        self.events = pd.read_json(path.with_suffix(".events.json"))
        self.columns = {
            k: pd.read_json(path.with_suffix(f".{k}.json"))
            for k in range(self.first, self.first + len(still))
        }

    def middle_frames(self, n_frames):
        """The N middle frames, to learn from."""
        first = max(0, self.middle - n_frames // 2)
        return ImageStack(self.counts[first : first + n_frames], PIXEL_SIZE)

    def near(self, n_frames, control=False):
        """Frames of the N middle ones that estimates of the scored frames may depend on.

        Returns
        -------
        counts : ImageStack
        middle : int
            Index of the middle frame in them.
        """
        half = n_frames // 2
        first = max(self.first, self.middle - half)
        last = min(self.first + len(self.still), self.middle + n_frames - half)
        source, offset = (self.control, self.first) if control else (self.counts, 0)
        return ImageStack(source[first - offset : last - offset], PIXEL_SIZE), self.middle - first


# --- methods --------------------------------------------------------------------------------------


class Method:
    """A method: how it is fitted, and how many frames it needs at least.

    Parameters
    ----------
    fit : callable
        ``fit(movie)`` returns a fitted denoiser.
    least, most : int
        Numbers of frames that it is run for.
    time : bool
        Whether an estimate depends on other frames.
    """

    def __init__(self, fit, least=1, most=10**9, time=False):
        self.fit, self.least, self.most, self.time = fit, least, most, time


def general():
    """SBD with the weights for all doses."""
    return SBDDenoiser.from_pretrained("general", device="cpu")


def adapted(movie, **options):
    """SBD adapted to the movie."""
    return general().adapt(movie, max_minutes=None, **options)


def sum_of(n_frames, denoiser=None):
    """Aligned sums, denoised by SBD or what is given."""
    inner = None if denoiser is None else FrozenEstimator(denoiser)
    return AlignedSumDenoiser(denoiser=inner, n_frames=n_frames)


class BM4D:
    """Block matching in x, y and t for Poisson counts, by the package bmnd, on bins of 31 pm."""

    binning = 5

    def transform(self, movie):
        """Denoise counts (n_frames, height, width)."""
        from bmnd import BM4DProfile, NoiseModel, bmnd

        counts = bin_counts(np.asarray(movie), self.binning)
        rates = bmnd(counts, BM4DProfile(noise_model=NoiseModel.POISSON))
        return unbin(rates / self.binning**2, self.binning, movie.shape[1:])


METHODS = {
    "windowed Fourier": Method(lambda x: WindowedFourierDenoiser(device="cpu").fit(x)),
    "windowed Fourier, 5 frames": Method(
        lambda x: WindowedFourierDenoiser(n_frames=5, device="cpu").fit(x), 5, 39, time=True
    ),
    "windowed Fourier, 9 frames": Method(
        lambda x: WindowedFourierDenoiser(n_frames=9, device="cpu").fit(x), 9, time=True
    ),
    "windowed Fourier, 20 frames": Method(
        lambda x: WindowedFourierDenoiser(n_frames=20, device="cpu").fit(x), 20, time=True
    ),
    "BM4D (bmnd)": Method(lambda x: BM4D(), 5, time=True),
    "SBD": Method(lambda x: general()),
    "sum of 5, SBD": Method(lambda x: sum_of(5).fit(x), 5, time=True),
    "sum of 9, SBD": Method(lambda x: sum_of(9).fit(x), 9, time=True),
    "SBD adapted": Method(adapted),
    "SBD adapted, gains only": Method(lambda x: adapted(x, only_gains=True)),
    "sum of 9, SBD adapted": Method(lambda x: sum_of(9, adapted(x)).fit(x), 9, time=True),
    "blind-spot": Method(lambda x: BlindSpotDenoiser(random_state=0).fit(x)),
    "thinned": Method(lambda x: ThinnedDenoiser(random_state=0).fit(x)),
    "UDVD, light": Method(lambda x: UDVDDenoiser(random_state=0).fit(x), 5, time=True),
    "UDVD, light, 5 frames": Method(
        lambda x: UDVDDenoiser(n_frames=5, random_state=0).fit(x), 10, time=True
    ),
    # The published networks, for as long as a laptop's user may wait.
    "UDVD, published, 10 minutes": Method(
        lambda x: UDVDDenoiser(network="udvd", n_frames=5, **TEN_MINUTES).fit(x), 10, time=True
    ),
    "blind-spot, published, full resolution, 10 minutes": Method(
        lambda x: BlindSpotDenoiser(
            network="laine", binning=1, patch_size=128, orientations=1, **TEN_MINUTES
        ).fit(x),
        10,
    ),
    "Self2Self, middle frame": Method(
        lambda x: Self2SelfDenoiser(random_state=0).fit(x[len(x) // 2 : len(x) // 2 + 1]), 1, 5
    ),
}


# --- scores ---------------------------------------------------------------------------------------


def denoise(method, denoiser, movie, n_frames, wanted, control=False):
    """Estimates of the frames `wanted` (offsets from the middle), and seconds of CPU a frame."""
    counts, middle = movie.near(n_frames, control)
    where = [middle + k for k in wanted if 0 <= middle + k < len(counts)]
    start = time.process_time()
    if method.time:
        estimates = np.asarray(denoiser.transform(counts))
        seconds = (time.process_time() - start) / len(counts)
        return estimates[where], seconds
    estimates = np.asarray(denoiser.transform(counts[where]))
    return estimates, (time.process_time() - start) / len(where)


def change_kept(movie, changed, unchanged):
    """Share of the change of missing columns that is kept in the middle frame, by duration."""
    true = movie.still[movie.middle - movie.first] - movie.clean[movie.middle]
    shown = unchanged - changed
    rows, columns = np.indices(true.shape)
    kept = {}
    for duration in DURATIONS:
        total = np.zeros(2)
        for event in movie.events.itertuples():
            here = event.first_frame <= movie.middle <= event.last_frame
            if not here or event.last_frame - event.first_frame + 1 != duration:
                continue
            y, x = at_middle(movie, event)
            disc = np.hypot(rows - y, columns - x) <= COLUMN / PIXEL_SIZE
            total += [shown[disc].sum(), true[disc].sum()]
        kept[str(duration)] = float(total[0] / total[1])
    return kept


def at_middle(movie, event):
    """Place (y, x) of an event's column in the middle frame."""
    tables = movie.columns
    before = tables[event.first_frame - 1]
    column = before[before["column"] == event.column].iloc[0]
    # The scene moved since: all columns of the two frames tell by how much.
    both = before.merge(tables[movie.middle], on="column", suffixes=("", "_now"))
    moved = (both[["y_now", "x_now"]].to_numpy() - both[["y", "x"]].to_numpy()).mean(axis=0)
    return column["y"] + moved[0], column["x"] + moved[1]


def f1_after(movie, estimates, wanted):
    """F1 of the atoms of frames, pooled; `wanted` are their offsets from the middle."""
    totals = 0
    for k, image in zip(wanted, estimates, strict=True):
        frame = movie.middle + k
        truth = Truth(movie.clean[frame], movie.columns[frame], PIXEL_SIZE)
        totals = totals + truth.compare(image, [THRESHOLD])[0]
    return scores(totals)["F1"]


def measure(method, movie, n_frames):
    """Fit and score one method: a dict of numbers."""
    start = time.process_time()
    denoiser = method.fit(movie.middle_frames(n_frames))
    minutes = (time.process_time() - start) / 60
    middle = list(range(-2, 3)) if method.most > 5 or method.least > 1 else [0]
    estimates, seconds = denoise(method, denoiser, movie, n_frames, middle)
    clean = np.stack([movie.clean[movie.middle + k] for k in middle])
    row = {
        "PSNR": float(np.mean(psnr(clean, estimates))),
        "minutes": minutes,
        "seconds a frame": seconds,
    }
    if len(movie.events) and len(middle) == 5:
        unchanged, _ = denoise(method, denoiser, movie, n_frames, [0], control=True)
        row["kept"] = change_kept(movie, estimates[2], unchanged[0])
        after = [k for d in DURATIONS for k in (d // 2 + 1, d // 2 + 2)]
        after = sorted(set(after)) if n_frames > 12 else [1, 2]
        found, _ = denoise(method, denoiser, movie, n_frames, after)
        row["F1 after"] = f1_after(movie, found, after)
    if hasattr(denoiser, "history_") and "held_out_loss" in denoiser.history_[0]:
        losses = [epoch["held_out_loss"] for epoch in denoiser.history_]
        row["best epoch"] = f"{int(np.argmin(losses)) + 1} of {len(losses)}"
    return row


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movies", nargs="+", default=["static", "events"], choices=MOVIES)
    parser.add_argument("--doses", nargs="+", type=float, default=[0.45], help="e/px in vacuum")
    parser.add_argument("--n-frames", nargs="+", type=int, default=[5, 40, 400])
    parser.add_argument("--only", nargs="+", choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--finished", action="store_true", help="show the rows that are finished, compute none"
    )
    parser.add_argument("--work", type=Path, default=RESULTS / "self_supervised.work")
    parser.add_argument("--output", type=Path, default=RESULTS / "self-supervised-cpu.json")
    args = parser.parse_args()
    if not all(1 <= n <= N_FRAMES for n in args.n_frames):
        parser.error(f"--n-frames must be 1 to {N_FRAMES}")
    args.device = "cpu"
    warnings.simplefilter("ignore")  # what a method left out, what adapting came to

    rows, work = [], Work(args.work)

    @lru_cache(maxsize=1)
    def read(name, dose, seed):
        return Movie(name, N_FRAMES, dose, seed, args.work)

    every = itertools.product(
        args.movies, args.doses, args.seeds, args.n_frames, args.only or METHODS
    )
    for movie, dose, seed, n_frames, label in every:
        method = METHODS[label]
        if not method.least <= n_frames <= method.most:
            continue
        if label == "BM4D (bmnd)" and not find_spec("bmnd"):
            continue  # pip install bmnd
        what = {"movie": movie, "dose": dose, "seed": seed, "n_frames": n_frames}
        if args.finished and not work.has_row(label, what):
            continue

        def compute(method=method, label=label, what=what):
            movie = read(what["movie"], what["dose"], what["seed"])
            with threadpool_limits(1):
                return {**what, "method": label, **measure(method, movie, what["n_frames"])}

        rows.append(work.row(label, what, compute))
        print(json.dumps(rows[-1]), flush=True)
    write_report(args, rows)
    print(json.dumps({"rows": rows}))


def write_report(args, rows):
    """Write the tables that the user guide shows."""
    settings = ["movies", "doses", "n_frames", "seeds"]
    report = Report(args, "self-supervised", "Movies without a clean image", settings)
    for name in args.movies:
        for dose in args.doses:
            part = [row for row in rows if row["movie"] == name and row["dose"] == dose]
            if part:
                _table(report, args, name, dose, part)
    report.finish()


def _table(report, args, name, dose, rows):
    numbers = sorted({row["n_frames"] for row in rows})
    columns = ["method", *[f"PSNR, N = {n}" for n in numbers], "minutes", "s a frame"]
    if name == "events":
        columns += [f"kept, {d}" for d in DURATIONS] + ["F1 after"]
    caption = f"{name.capitalize()} movie, {dose:g} e/px: PSNR in dB of N frames"
    caption += "; the other columns are for the largest N of the method." if numbers[1:] else "."
    table = report.table(caption, columns)
    for label in METHODS:
        mine = [row for row in rows if row["method"] == label]
        if not mine:
            continue
        cells = []
        for n in numbers:
            values = [row["PSNR"] for row in mine if row["n_frames"] == n]
            cells.append(_cell(values, ".2f"))
        most = [row for row in mine if row["n_frames"] == max(row["n_frames"] for row in mine)]
        cells += [_cell([row[k] for row in most], ".2f") for k in ("minutes", "seconds a frame")]
        if name == "events":
            for d in DURATIONS:
                kept = [row["kept"][str(d)] for row in most if "kept" in row]
                cells.append(_cell(kept, ".2f"))
            cells.append(_cell([row["F1 after"] for row in most if "F1 after" in row], ".3f"))
        report.row(table, [label, *cells])


def _cell(values, form):
    return format(np.mean(values), form) if values else None


if __name__ == "__main__":
    main()
