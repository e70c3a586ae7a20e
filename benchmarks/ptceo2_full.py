"""Generate the whole Pt/CeO2 set, 17,955 images, and say in what time.

    python benchmarks/ptceo2_full.py OUT [--preset default] [--n-jobs -1] [--n-images N]

OUT ends in .npy (4.7 GB at the default size) or .zarr. Kill it at any moment: the same command goes
on where it was, and the time counts all runs (kept in OUT.seconds, to two seconds). Ends with one
JSON line: the time, the rate, the size, and SHA-256 of the metadata (the frame as CSV) and of the
images.
"""

import argparse
import hashlib
import json
import os
import threading
import time
from pathlib import Path

import joblib

from temdenoise.datasets import make_ptceo2


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--n-images", type=int, help="only the first")
    args = parser.parse_args()

    clock = args.out.with_name(args.out.name + ".seconds")
    before = float(clock.read_text()) if clock.exists() else 0.0
    finished = args.out.exists()
    started, done = time.perf_counter(), threading.Event()

    def keep_time():
        while not done.wait(2):
            clock.write_text(f"{before + time.perf_counter() - started:.1f}")

    watch = threading.Thread(target=keep_time, daemon=True)
    if not finished:  # opening a finished set takes no time worth counting
        watch.start()
    sim = make_ptceo2(
        args.n_images, images_per_model=21, preset=args.preset, n_jobs=args.n_jobs, out=args.out,
        verbose=True,
    )  # fmt: skip
    seconds = before if finished else before + time.perf_counter() - started
    done.set()
    if not finished:
        watch.join()
        clock.write_text(f"{seconds:.1f}")
    metadata = sim.frame.to_csv(index=False, lineterminator="\n").encode()
    images = hashlib.sha256()
    for first in range(0, len(sim.data), 256):
        images.update(sim.data[first : first + 256].tobytes())
    files = [args.out] if args.out.is_file() else [f for f in args.out.rglob("*") if f.is_file()]
    result = {
        "images": len(sim.data),
        "preset": args.preset,
        "processes": joblib.effective_n_jobs(args.n_jobs),
        "cores": os.cpu_count(),
        "minutes": round(seconds / 60, 2),
        "images_per_minute": round(60 * len(sim.data) / seconds),
        "gigabytes": round(sum(f.stat().st_size for f in files) / 1e9, 3),
        "contrast": sim.frame["contrast"].value_counts().to_dict(),
        "sha256_metadata": hashlib.sha256(metadata).hexdigest(),
        "sha256_images": images.hexdigest(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
