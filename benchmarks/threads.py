"""What the threads of each method gain and cost, on an idle machine and beside busy processes.

    python benchmarks/threads.py [--busy 0 1] [--repeats 5] [--methods NAME ...]

Every method denoises 4 frames of 512 x 512 pixels (simulated, 0.45 electrons/px in vacuum; for BM3D
alone with Gaussian noise of the same variance) with its defaults: as many threads as there are
CPUs, each with one of torch's threads. Beside it, in the same run and in turns, the same with one
thread. Wall and CPU time (of all threads) are the least of all repeats; ratios are defaults over
one thread. "Busy" processes count in a loop meanwhile. Ten minutes of an otherwise idle machine at
most; writes the tables of the user guide, and ends with one JSON line.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _paper.report import Report
from threadpoolctl import threadpool_limits

import temdenoise as t
from temdenoise.images import ImageStack

RESULTS = Path(__file__).parent / "results"
VACUUM = 0.45  # mean count of a pixel in vacuum
COLUMNS = ["", "ms a frame", "with one thread", "times as fast", "times the CPU time"]
METHODS = {
    "low-pass": lambda: t.LowPassDenoiser(),
    "Wiener": lambda: t.WienerDenoiser(),
    "VST+NLM": lambda: t.VSTDenoiser(denoiser=t.NLMDenoiser()),
    "VST+BM3D": lambda: t.VSTDenoiser(),
    "BM3D": lambda: t.BM3DDenoiser(),
    "PURE-LET": lambda: t.PURELETDenoiser(),
    "windowed Fourier": lambda: t.WindowedFourierDenoiser(device="cpu"),
    "SBD general": lambda: t.SBDDenoiser.from_pretrained(device="cpu"),
}


def frames(gaussian=False):
    """Four frames of 512 x 512 pixels, with shot noise or with Gaussian noise."""
    movie = t.load_sample_movie()
    X = np.asarray(movie.data[:4])
    if gaussian:
        X = np.random.default_rng(0).normal(movie.clean[:4], np.sqrt(VACUUM))
    return ImageStack(X, movie.pixel_size)


@contextlib.contextmanager
def busy(n):
    """Keep n processes counting."""
    count = "import itertools\nfor _ in itertools.count(): pass"
    processes = [subprocess.Popen([sys.executable, "-c", count]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def timed(function):
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(denoiser, X, repeats):
    """Least wall and CPU seconds with the defaults and with one thread, in turns."""
    n = torch.get_num_threads()
    times = {"defaults": [], "one thread": []}
    for _ in range(repeats + 1):  # the first round warms up
        for name, threads in (("defaults", n), ("one thread", 1)):
            torch.set_num_threads(threads)
            with threadpool_limits(threads, user_api="blas"):
                times[name].append(timed(lambda: denoiser.transform(X)))
    torch.set_num_threads(n)
    return {
        name: [min(column) for column in zip(*rows[1:], strict=True)]
        for name, rows in times.items()
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 1], help="busy processes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path, default=RESULTS / "threads-cpu.json")
    parser.set_defaults(device="cpu")
    args = parser.parse_args()
    report = Report(args, "threads", "Threads", ["repeats"])
    results = {"cpus": os.cpu_count(), "rows": []}
    for n in args.busy:
        beside = {0: "On an idle machine", 1: "Beside one busy process"}
        caption = beside.get(n, f"Beside {n} busy processes")
        table = report.table(f"{caption}: 4 frames of 512 x 512 pixels.", COLUMNS)
        with busy(n):
            for name in args.methods:
                X = frames(gaussian=name == "BM3D")
                denoiser = METHODS[name]()
                if not hasattr(denoiser, "network_"):
                    denoiser.fit(X)
                found = measure(denoiser, X, args.repeats)
                (wall, cpu), (wall_one, cpu_one) = found["defaults"], found["one thread"]
                row = {
                    "method": name,
                    "busy": n,
                    "seconds_per_frame": wall / len(X),
                    "seconds_per_frame_one_thread": wall_one / len(X),
                    "faster": wall_one / wall,
                    "cpu_ratio": cpu / cpu_one,
                }
                results["rows"].append(row)
                times = [f"{1e3 * seconds / len(X):.0f}" for seconds in (wall, wall_one)]
                ratios = [f"{row[key]:.2f}" for key in ("faster", "cpu_ratio")]
                report.row(table, [name, *times, *ratios])
                print(n, "busy:", *table["rows"][-1], flush=True)
    report.finish()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
