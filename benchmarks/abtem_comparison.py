"""Compare exit waves, images and speed with abTEM, an independent multislice program.

    pip install abtem
    python benchmarks/abtem_comparison.py [--size 1024] [--threads 1]

A Pt particle on CeO2 is sliced once; both programs send a wave through the same potential array and
image it with explicit focal averaging. Then each calculates an exit wave from the atoms, slices of
1/6 Angstrom, on a grid of SIZE x SIZE. Agreement is 10 log10(1 / mean squared difference) for
intensities of vacuum 1. Ends with one JSON line.
"""

import argparse
import json
import os
import time
import warnings

import numpy as np


def decibel(a, b):
    """Agreement of two intensities (vacuum 1) in dB."""
    return float(-10 * np.log10(np.mean((np.asarray(a, dtype=float) - np.asarray(b)) ** 2)))


def abtem_wave(abtem, potential, extent, thickness):
    """Exit wave of abTEM through given slices (n, y, x), as an array (y, x)."""
    slices = abtem.PotentialArray(
        np.ascontiguousarray(potential.transpose(0, 2, 1)),
        slice_thickness=thickness / len(potential),
        extent=extent[::-1],
    )
    return abtem.PlaneWave(energy=300e3).multislice(slices, lazy=False)


def abtem_image(abtem, wave, microscope, defocus):
    """Explicit focal average, on the focus values and weights the library uses."""
    values, weights, _ = microscope._focus_grid(np.array([defocus]))
    image = 0
    for value, weight in zip(values, weights, strict=True):
        aberrations = {"C10": value * 10, "C30": microscope.c3 * 1e4, "C50": microscope.c5 * 1e7}
        lens = abtem.CTF(energy=300e3, **aberrations)
        image = image + weight * np.abs(np.asarray(wave.apply_ctf(lens).array)) ** 2
    return image.T


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="grid of the timing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    warnings.simplefilter("ignore")

    import abtem
    import torch
    from ase import Atoms

    from temdenoise.simulation import (
        Microscope,
        exit_wave,
        projected_potential,
        propagate_potential,
        pt_ceo2,
    )

    torch.set_num_threads(args.threads)
    abtem.config.set({"fftw.threads": args.threads, "num_threads": args.threads})
    # the same band limit: 2/3 of the grid, with a cosine edge over its last 2 %
    abtem.config.set({"antialias.cutoff": 2 / 3, "antialias.taper": 0.02 / 3})
    abtem.config.set({"diagnostics.progress_bar": False, "local_diagnostics.progress_bar": False})

    # a particle in a cell whose image shows every kind of column
    model = pt_ceo2("PtNp3", thickness=30, field_of_view=24, random_state=0)
    extent, thickness = model.extent, model.thickness
    shape = tuple(2 * int(length / 0.08 / 2) for length in extent)
    # abTEM applies the band limit's edge once more in every empty slice: not too many of them
    slices = projected_potential(
        model.numbers, model.positions, extent, shape, thickness=thickness, slice_thickness=0.5
    ).numpy()
    theirs = abtem_wave(abtem, slices, extent, thickness)
    ours = propagate_potential(slices, extent, thickness=thickness)
    result = {
        "abtem": abtem.__version__,
        "exit_wave_db": decibel(ours.abs() ** 2, np.abs(np.asarray(theirs.array).T) ** 2),
    }
    microscope = Microscope(convergence=0.0, vibration=0.0)
    for defocus in (0.0, 6.0, 15.0):
        spectra, _ = microscope.image_spectra(ours, extent, [defocus])
        image = torch.fft.ifft2(spectra[0]).real
        reference = abtem_image(abtem, theirs, microscope, defocus)
        result[f"image_db_{defocus:g}nm"] = decibel(image, reference)

    model = pt_ceo2("PtNp1", thickness=40, random_state=0)
    grid, seconds = (args.size, args.size), {"temdenoise": [], "abtem": []}
    cell = [*model.extent[::-1], model.thickness]
    atoms = Atoms(model.numbers, model.positions, cell=cell)
    for _ in range(args.repeats):
        start = time.perf_counter()
        exit_wave(model.numbers, model.positions, model.extent, grid, thickness=model.thickness)
        seconds["temdenoise"].append(time.perf_counter() - start)
        start = time.perf_counter()
        potential = abtem.Potential(
            atoms, gpts=grid, slice_thickness=1 / 6, parametrization="kirkland", periodic=True
        )
        abtem.PlaneWave(energy=300e3).multislice(potential, lazy=False)
        seconds["abtem"].append(time.perf_counter() - start)
    best = {name: min(values) for name, values in seconds.items()}
    result |= {f"{name}_seconds": value for name, value in best.items()}
    result |= {"size": args.size, "threads": args.threads, "n_atoms": len(model.numbers)}
    result["time_ratio"] = best["abtem"] / best["temdenoise"]
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}))


if __name__ == "__main__":
    main()
