"""Measure how many images a minute the simulator makes on this machine.

    python benchmarks/simulation_throughput.py [--preset default] [--n-models 12] [--n-jobs 2]

Each model (a Pt particle on CeO2, 30 to 60 Angstrom thick) gives one exit wave and 21 images of
256 x 256 pixels, defocus 0 to 20 nm, as in the paper's data set. One thread a process. Ends with
one JSON line.
"""

import argparse
import json
import time

import numpy as np
from joblib import Parallel, delayed
from scipy.fft import next_fast_len

SAMPLING = {"quick": 0.125, "default": 0.1, "paper": 50 / 1024}  # Angstrom
PARTICLES = ("PtNp1", "PtNp2", "PtNp3", "PtNp4")
DEFOCUS = np.arange(21.0)


def simulate_model(i, sampling):
    """Seconds for structure, exit wave and images of one model, and a check sum."""
    import torch

    from temdenoise.simulation import Microscope, exit_wave, pt_ceo2, sample_image

    torch.set_num_threads(1)
    clock = [time.perf_counter()]
    thickness = (30.0, 40.0, 50.0, 60.0)[i // 4 % 4]
    model = pt_ceo2(PARTICLES[i % 4], thickness=thickness, random_state=i)
    clock.append(time.perf_counter())
    grid = [next_fast_len(int(np.ceil(length / sampling))) for length in model.extent]
    tilt = (float(i % 5), 0.0)
    wave = exit_wave(
        model.numbers, model.positions, model.extent, grid, thickness=thickness, tilt=tilt
    )
    clock.append(time.perf_counter())
    spectra, _ = Microscope().image_spectra(wave, model.extent, DEFOCUS)
    images = sample_image(spectra, model.extent, 19.53, (256, 256), model.info["origin"])
    clock.append(time.perf_counter())
    return np.diff(clock), float(images.mean())


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=[*SAMPLING, "all"], default="all")
    parser.add_argument("--n-models", type=int, default=12)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args()
    presets = list(SAMPLING) if args.preset == "all" else [args.preset]
    result = {"n_jobs": args.n_jobs, "n_models": args.n_models, "images_per_model": len(DEFOCUS)}
    with Parallel(n_jobs=args.n_jobs) as pool:
        pool(delayed(simulate_model)(i, 0.2) for i in range(args.n_jobs))  # start the processes
        for preset in presets:
            start = time.perf_counter()
            done = pool(delayed(simulate_model)(i, SAMPLING[preset]) for i in range(args.n_models))
            seconds = time.perf_counter() - start
            parts = np.mean([parts for parts, _ in done], axis=0).round(3).tolist()
            result[preset] = {
                "images_per_minute": round(60 * args.n_models * len(DEFOCUS) / seconds),
                "seconds_per_model": dict(
                    zip(("structure", "exit_wave", "images"), parts, strict=True)
                ),
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
