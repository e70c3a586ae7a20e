"""What a training step of the default network costs, one thing changed at a time.

    python benchmarks/training_speed.py [--threads 1] [--rounds 6] [--compile]

Steps (noise apart: forward, backward, optimizer) on random counts, medians over alternating rounds,
as ratios to the default's. --compile adds torch.compile, with the minutes it takes to compile. On
Linux, compare a run with these variables set: large tensors are then not given back to the system
after every operation::

    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 \\
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python benchmarks/training_speed.py

Ends with one JSON line.
"""

import argparse
import json
import statistics
import time

import torch

from temdenoise.networks import FourierUNet
from temdenoise.training.muon import Muon

BATCH, SIDE = 8, 80  # patches, bins
RATE = 1.2e-3


def stepper(*, dtype=torch.bfloat16, channels_last=True, optimizer=Muon, compiled=False):
    """Return a function that makes one training step."""
    torch.manual_seed(0)
    network = FourierUNet()
    if channels_last:
        network.to(memory_format=torch.channels_last)
    if compiled:
        network._unet = torch.compile(network._unet)
    optimizer = optimizer(network.parameters(), lr=RATE)
    counts = torch.poisson(torch.full((BATCH, 1, SIDE, SIDE), 7.0))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            rates = network(counts)
        optimizer.zero_grad()
        (rates / 7 - 1).square().mean().backward()
        optimizer.step()

    return step


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--compile", action="store_true", help="needs a C++ compiler")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    steps = {
        "default": stepper(),
        "float32": stepper(dtype=torch.float32),
        "not channels_last": stepper(channels_last=False),
        "Adam": stepper(optimizer=torch.optim.AdamW),
    }
    result = {"threads": args.threads}
    if args.compile:
        steps["torch.compile"] = stepper(compiled=True)
        start = time.perf_counter()
        steps["torch.compile"]()
        result["compile_minutes"] = round((time.perf_counter() - start) / 60, 2)
    times = {name: [] for name in steps}
    for k in range(args.rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if k:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(t) for name, t in times.items()}
    result["seconds"] = {name: round(t, 4) for name, t in seconds.items()}
    result["relative"] = {name: round(t / seconds["default"], 3) for name, t in seconds.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
