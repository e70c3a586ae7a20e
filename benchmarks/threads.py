"""What the threads of each method gain and cost, on an idle machine and beside busy processes.

    python benchmarks/threads.py [--busy 0 1] [--repeats 5] [--output threads.json]

Every method denoises 4 frames of 512 x 512 pixels (simulated, 0.45 electrons/px in vacuum) with
its defaults: as many threads as there are CPUs, each with one of torch's threads. Beside it, in the
same run and in turns, the same with one thread. Wall and CPU time (of all threads) are the least of
all repeats; ratios are defaults over one thread. "Busy" processes count in a loop meanwhile. Ends
with one JSON line.
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

import temdenoise as t
from temdenoise.images import ImageStack

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


def frames():
    """Four frames of 512 x 512 pixels."""
    movie = t.load_sample_movie()
    return ImageStack(np.asarray(movie.data[:4]), movie.pixel_size)


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
            times[name].append(timed(lambda: denoiser.transform(X)))
    torch.set_num_threads(n)
    return {
        name: [min(column) for column in zip(*rows[1:], strict=True)]
        for name, rows in times.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 1], help="busy processes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    X = frames()
    results = {"cpus": os.cpu_count(), "frames": list(X.shape), "rows": []}
    for n in arguments.busy:
        with busy(n):
            for name in arguments.methods:
                denoiser = METHODS[name]()
                if not hasattr(denoiser, "network_"):
                    denoiser.fit(X)
                found = measure(denoiser, X, arguments.repeats)
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
                print(
                    f"{n} busy  {name:17s} {1e3 * row['seconds_per_frame']:8.1f} ms/frame, "
                    f"{row['faster']:.2f} times as fast as one thread, "
                    f"{row['cpu_ratio']:.2f} of its CPU time",
                    flush=True,
                )
    line = json.dumps(results)
    if arguments.output:
        arguments.output.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
