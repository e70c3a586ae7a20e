"""Classify the contrast of every condition of the Pt/CeO2 set, and compare with published labels.

    python benchmarks/ptceo2_contrast.py [LIST.csv ...] [--write TABLE.csv] [--check STRUCTURE]

One reference image (PtNp1-D0, flat support) for each thickness, tilt and defocus is simulated and
classified by its columns; --write stores the table the library reads. Each LIST is a table with
columns thickness, tilt_x, tilt_y, defocus, contrast: the share of its rows that have the same class
here is printed. --check classifies the images of another structure too and prints the share that
agrees with its condition's class. Ends with one JSON line. Takes about a minute.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from temdenoise.datasets._catalogue import (
    DEFOCI,
    THICKNESSES,
    TILTS,
    ModelImages,
    lean,
    model_arguments,
)
from temdenoise.datasets._contrast import image_contrast
from temdenoise.datasets._ptceo2 import PRESETS, STORED_PIXEL_SIZE, STORED_SHAPE
from temdenoise.datasets._simulate import columns_of, simulate


def classify(structure, thickness, tilt):
    """Letters of the classes of a defocus series."""
    arguments = model_arguments(structure, "D0", "flat", thickness, 0)
    series = tuple(map(float, DEFOCI))
    job = ModelImages(arguments, lean(*tilt), series, tuple(DEFOCI))
    images = simulate(job, STORED_PIXEL_SIZE, STORED_SHAPE, PRESETS["quick"], 1.0)
    columns = columns_of(job, STORED_PIXEL_SIZE, STORED_SHAPE)
    return "".join(image_contrast(image, columns, STORED_PIXEL_SIZE)[0] for image in images)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, nargs="*")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", default="")
    parser.add_argument("--n-jobs", type=int, default=1)
    args = parser.parse_args()
    conditions = [(t, tilt) for t in THICKNESSES for tilt in TILTS]

    def table_of(structure):
        return Parallel(n_jobs=args.n_jobs)(delayed(classify)(structure, *c) for c in conditions)

    letters = table_of("PtNp1")
    if args.write:
        lines = [f"{t},{x},{y},{s}" for (t, (x, y)), s in zip(conditions, letters, strict=True)]
        head = "thickness,tilt_x,tilt_y,contrast at 0 to 20 nm"
        args.write.write_text("\n".join([head.replace(" ", "_"), *lines]) + "\n")
    classes = {
        (t, *tilt, f): s[f]
        for (t, tilt), s in zip(conditions, letters, strict=True)
        for f in DEFOCI
    }
    result = {}
    for path in args.lists:
        rows = pd.read_csv(path)
        keys = zip(rows["thickness"], rows["tilt_x"], rows["tilt_y"], rows["defocus"], strict=True)
        here = pd.Series([classes[key] for key in keys])
        there = rows["contrast"].str[0]
        result[path.name] = {
            "rows": len(rows),
            "agree": round(float((here == there).mean()), 3),
            "shares there": (there.value_counts(normalize=True).round(3)).to_dict(),
            "shares here": (here.value_counts(normalize=True).round(3)).to_dict(),
        }
    if args.check:
        other = "".join(table_of(args.check))
        same = [a == b for a, b in zip("".join(letters), other, strict=True)]
        result[f"{args.check} as its condition"] = round(sum(same) / len(same), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
