"""Mutated files of every format: `read_stack` returns images or raises ValueError, nothing else.

    python benchmarks/reader_fuzz.py [--minutes 10] [--seed 0] [--keep FOLDER]
        [--output benchmarks/results/reader-fuzz.json]

Small valid files are written, and their bytes changed: bits flipped, numbers replaced by extreme
ones, parts cut out, doubled or exchanged with those of other files, ends cut off. Each file is
read, with and without a memory map. A failure is any exception but ValueError, more memory than
`read_stack` allows, or more than ten seconds. ``--keep`` stores the files that failed. The command
can be stopped at any moment; with ``--output`` the same command adds to the counts that are there.
Ends with one JSON line.
"""

import argparse
import io
import json
import platform
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import tifffile

import temdenoise
from temdenoise import ImageStack, read_stack

# What `read_stack` allows for small files, and what Python and the parsers may take besides.
MOST_MEMORY = 2**27 + 2**26
MOST_SECONDS = 10.0
_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**58, 2**63, 2**64 - 1)
COLUMNS = ["tried", "read", "refused", "failed"]


def samples():
    """Return small valid files as {(suffix, name): bytes}."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.5, (3, 24, 20)).astype(np.uint8)
    made = {}

    def tiff(name, writer=(), **options):
        file = io.BytesIO()
        with tifffile.TiffWriter(file, **dict(writer)) as writer:
            frames = options.pop("frames", [counts])
            for frame in frames:
                writer.write(frame, **options)
        made[".tif", name] = file.getvalue()

    line = {"axes": "TYX", "unit": "nm", "cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "counts"}
    signed = (counts.astype(np.int32) + 2**15).astype(np.uint16)
    tiff("ImageJ", {"imagej": True}, frames=[signed], resolution=(160, 160), metadata=line)
    ome = {"axes": "TYX", "PhysicalSizeX": 6.2, "PhysicalSizeY": 6.2, "PhysicalSizeXUnit": "pm"}
    ome["PhysicalSizeYUnit"] = "pm"
    tiff("OME", {"bigtiff": True, "ome": True}, metadata=ome)
    plain = {"photometric": "minisblack", "metadata": None}
    pages = {**plain, "frames": counts, "contiguous": False}
    tiff("pages", **pages)
    tiff("BigTIFF", {"bigtiff": True}, **pages, rowsperstrip=7)
    tiff("tifffile", photometric="minisblack")
    tiff("Deflate", **pages, compression="zlib", predictor=True, rowsperstrip=10)
    tiff("LZW", **pages, compression="lzw", tile=(16, 16))
    tiff("Zstandard", **pages, compression="zstd")
    tiff("PackBits", **pages, compression="packbits")
    tags = [(65003, "s", 0, "nm", True), (65004, "s", 0, "nm", True)]
    tags += [(65009, "d", 1, 6e-3, True), (65010, "d", 1, 6e-3, True)]
    floats = counts.astype(">f4")
    tiff("DigitalMicrograph", {"byteorder": ">"}, **{**pages, "frames": floats}, extratags=tags)

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((24, 20, 3), np.uint8), photometric="rgb", metadata=None)
        writer.write(counts[0].astype(np.uint16), photometric="minisblack", metadata=None)
    made[".tif", "with a preview"] = file.getvalue()

    for name, array in {
        "C order": counts,
        "Fortran order": np.asfortranarray(counts * 0.5),
    }.items():
        file = io.BytesIO()
        np.save(file, array)
        made[".npy", name] = file.getvalue()
    for name, save in {"stored": np.savez, "Deflate": np.savez_compressed}.items():
        file = io.BytesIO()
        save(file, data=counts, pixel_size=6.2)
        made[".npz", name] = file.getvalue()
    return made


def mutate(data, others, rng):
    """Change some bytes of a file."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        where = int(rng.integers(len(data)))
        # The structure lies at the ends of these formats.
        if rng.random() < 0.5:
            near = int(rng.integers(min(len(data), 400)))
            where = near if rng.random() < 0.5 else len(data) - 1 - near
        length = int(rng.integers(1, 65))
        kind = rng.integers(8)
        if kind == 0:
            data[where] ^= 1 << int(rng.integers(8))
        elif kind in (1, 2):
            size = int(rng.choice([1, 2, 4, 8]))
            number = _EXTREMES[rng.integers(len(_EXTREMES))] % 256**size
            order = "little" if rng.random() < 0.7 else "big"
            data[where : where + size] = number.to_bytes(size, order)
        elif kind == 3:
            data[where : where + length] = rng.bytes(length)
        elif kind == 4:
            del data[where : where + length]
        elif kind == 5:
            data[where:where] = data[where : where + length]
        elif kind == 6:
            other = others[rng.integers(len(others))]
            start = int(rng.integers(len(other)))
            data[where : where + length] = other[start : start + length]
        else:
            del data[where:]
    return bytes(data)


def outcome(path, mmap):
    """Read a file: "read", "refused", or what went wrong."""
    tracemalloc.reset_peak()
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            stack = read_stack(path, mmap=mmap)
        if type(stack) is not ImageStack or stack.ndim != 3 or stack.size == 0:
            return f"returned {type(stack).__name__} of shape {stack.shape}"
        with np.errstate(all="ignore"):  # any bytes are floats
            np.asarray(stack).sum(dtype=np.float64)
        result = "read"
    except ValueError as error:
        result = "refused" if str(path) in str(error) else f"unclear: {error!r}"
    except Exception as error:
        return repr(error)
    if time.perf_counter() - start > MOST_SECONDS:
        return f"took {time.perf_counter() - start:.0f} s"
    memory = tracemalloc.get_traced_memory()[1]
    return f"took {memory / 1e6:.0f} MB" if memory > MOST_MEMORY else result


def fuzz(folder, *, seconds=np.inf, n_files=np.inf, seed=0, keep=None):
    """Try mutated files for a time; return counts by format, and the failures."""
    made = samples()
    files = list(made.values())
    counts = {key: dict.fromkeys(COLUMNS, 0) for key in made}
    failures = []
    rng = np.random.default_rng(seed)
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    end, number = time.perf_counter() + seconds, 0
    try:
        while number < n_files and time.perf_counter() < end:
            key = list(made)[number % len(made)]
            path = Path(folder) / f"file{key[0]}"
            data = mutate(made[key], files, rng)
            path.unlink(missing_ok=True)  # a memory map keeps the old file
            path.write_bytes(data)
            result = outcome(path, bool(number % 2)) if data else "refused"
            counts[key]["tried"] += 1
            counts[key][result if result in COLUMNS else "failed"] += 1
            if result not in COLUMNS:
                failures.append((key, number, result))
                if keep is not None:
                    (Path(keep) / f"{seed}-{number}{key[0]}").write_bytes(data)
            number += 1
    finally:
        if not tracing:
            tracemalloc.stop()
    return counts, failures


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(exist_ok=True)
    rows, seeds = {}, []
    if args.output and args.output.exists():
        known = json.loads(args.output.read_text(encoding="utf-8"))
        rows = {name: row for name, *row in known["tables"][0]["rows"]}
        seeds = known["settings"]["seeds"]
    if args.seed in seeds:
        parser.error(f"seed {args.seed} is in {args.output} already, give another")
    with tempfile.TemporaryDirectory() as folder:
        counts, failures = fuzz(folder, seconds=60 * args.minutes, seed=args.seed, keep=args.keep)
    for (suffix, name), row in counts.items():
        label = f"{suffix} {name}"
        before = rows.get(label, [0] * len(COLUMNS))
        rows[label] = [a + row[c] for a, c in zip(before, COLUMNS, strict=True)]
        print(f"{label:28}", dict(zip(COLUMNS, rows[label], strict=True)))
    for failure in failures:
        print(*failure)
    result = {
        "experiment": "reader-fuzz",
        "title": "Mutated files given to read_stack",
        "settings": {"seeds": [*seeds, args.seed]},
        "machine": f"Python {platform.python_version()}, NumPy {np.__version__}, tifffile "
        f"{tifffile.__version__}",
        "version": temdenoise.__version__,
        "complete": True,
        "tables": [
            {
                "caption": "Files by format",
                "columns": ["format", *COLUMNS],
                "rows": [[name, *row] for name, row in rows.items()],
            }
        ],
    }
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    total = np.sum(list(rows.values()), axis=0).tolist()
    print(json.dumps(dict(zip(COLUMNS, total, strict=True))))


if __name__ == "__main__":
    main()
