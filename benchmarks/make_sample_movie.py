"""Make the small counted movie in the package: ``load_sample_movie``.

    python benchmarks/make_sample_movie.py temdenoise/datasets/data/sample_movie.npz

Eight frames of a 2 nm Pt particle on CeO2 at the paper's 0.45 electrons per pixel; from the fifth
frame on a corner column of the particle is gone. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from temdenoise import PoissonNoise
from temdenoise.binning import unbin
from temdenoise.simulation import Microscope, exit_wave, pt_ceo2, sample_image

PIXEL_SIZE, BIN, SIDE = 6.22, 4, 512  # pm, pixels, pixels
VACUUM = 0.45
ORIGIN = np.array([10.0, 9.0])  # (y, x) of the crop in the field of view, Angstrom
DEFOCUS, TILT = 7.0, (1.0, 0.0)
FRAMES = ("D0",) * 4 + ("D1",) * 4


def simulate(defect):
    """Clean image on bins, and true columns in pixels."""
    model = pt_ceo2("PtNp1", defect=defect, thickness=40, support=22, random_state=4)
    wave = exit_wave(
        model.numbers, model.positions, model.extent, (648, 576), thickness=40, tilt=TILT
    )
    spectra, _ = Microscope().image_spectra(wave, model.extent, [DEFOCUS])
    origin = np.add(model.info["origin"], ORIGIN)
    centre = (BIN - 1) / 2 * PIXEL_SIZE / 100  # of the first bin
    shape = (SIDE // BIN,) * 2
    image = sample_image(spectra[0], model.extent, PIXEL_SIZE * BIN, shape, origin + centre)
    columns = model.columns(TILT)
    columns[["x", "y"]] = (columns[["x", "y"]] - origin[::-1]) * (100 / PIXEL_SIZE)
    inside = columns["x"].between(0, SIDE - 1) & columns["y"].between(0, SIDE - 1)
    return image.numpy() * VACUUM, columns[inside]


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    states = sorted(set(FRAMES))
    images, tables = zip(*[simulate(s) for s in states], strict=True)
    clean = np.stack(images).astype(np.float16)
    state = np.array([states.index(f) for f in FRAMES])
    rates = unbin(clean, BIN, (SIDE, SIDE))[state]
    counts = PoissonNoise(random_state=0).sample(rates).astype(np.uint8)
    arrays = {"counts": counts, "clean": clean, "state": state}
    for i, table in enumerate(tables):
        arrays[f"xy_{i}"] = table[["x", "y"]].to_numpy(np.float32)
        arrays[f"element_{i}"] = table["element"].to_numpy("U2")
        arrays[f"occupancy_{i}"] = table["occupancy"].to_numpy(np.int16)
    np.savez_compressed(args.output, **arrays)
    size = args.output.stat().st_size
    print(json.dumps({"shape": counts.shape, "mean": float(counts.mean()), "bytes": size}))


if __name__ == "__main__":
    main()
