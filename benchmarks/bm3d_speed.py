"""BM3D beside the original authors' package on scikit-image's photographs: PSNR and time.

    python benchmarks/bm3d_speed.py --peer-python PYTHON [--crop 256] [--profile normal]

PYTHON is an interpreter with the package ``bm3d`` (its licence is not free, so it is nothing this
library depends on). Both get the same noisy photographs, sigma 10, 25 and 50 on a scale of 255, one
at a time, and the same processors: those this script may use. Ends with one JSON line: mean PSNR of
both, and the ratios of wall-clock and processor time (user + system; below 1 we are faster).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage import data
from skimage.color import rgb2gray

from temdenoise import BM3DDenoiser

# Those that come with scikit-image.
PHOTOGRAPHS = "camera coins astronaut coffee chelsea page text rocket".split()
SIGMAS = (10, 25, 50)

# Run by the other interpreter: denoise what is in a file, time it, write the results to another.
PEER = """
import sys, time, numpy, bm3d
noisy, results = numpy.load(sys.argv[1]), {}
bm3d.bm3d(numpy.zeros((32, 32)) + numpy.random.rand(32, 32), 1.0)
for key in noisy.files:
    wall, processor = time.perf_counter(), time.process_time()
    image = bm3d.bm3d(noisy[key], float(key.split()[1]))
    times = time.perf_counter() - wall, time.process_time() - processor
    results[key], results[key + " time"] = image, times
numpy.savez(sys.argv[2], **results)
"""


def photograph(name, crop):
    """Grey photograph on a scale of 255; its central square of `crop` pixels if that is not 0."""
    image = getattr(data, name)()
    image = rgb2gray(image) * 255 if image.ndim == 3 else image.astype(float)
    if crop:
        top, left = (max(0, (n - crop) // 2) for n in image.shape)
        image = image[top : top + crop, left : left + crop]
    return image


def psnr(clean, estimate):
    """PSNR in dB for a data range of 255."""
    return 10 * np.log10(255**2 / np.mean((clean - estimate) ** 2))


def peer_results(python, noisy):
    """Images and times of the peer, by key."""
    with tempfile.TemporaryDirectory() as folder:
        given, done = Path(folder, "noisy.npz"), Path(folder, "done.npz")
        np.savez(given, **noisy)
        subprocess.run([python, "-c", PEER, given, done], check=True)
        return dict(np.load(done))


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, metavar="PYTHON")
    parser.add_argument("--photographs", nargs="+", default=PHOTOGRAPHS, choices=PHOTOGRAPHS)
    parser.add_argument("--sigmas", nargs="+", type=int, default=SIGMAS)
    parser.add_argument("--crop", type=int, default=0, metavar="PIXELS")
    parser.add_argument("--profile", default="normal")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    clean, noisy = {}, {}
    for name in arguments.photographs:
        image = photograph(name, arguments.crop)
        for sigma in arguments.sigmas:
            key = f"{name} {sigma}"
            clean[key] = image
            noisy[key] = image + np.random.default_rng(sigma).normal(0, sigma, image.shape)

    rows = []
    peer = peer_results(arguments.peer_python, noisy)
    denoiser = BM3DDenoiser(profile=arguments.profile, device=arguments.device)
    denoiser.fit(np.ones((1, 32, 32))).set_params(sigma=1.0)
    denoiser.transform(np.random.default_rng(0).normal(size=(1, 32, 32)))
    for key, image in noisy.items():
        denoiser.set_params(sigma=float(key.split()[1]))
        wall, processor = time.perf_counter(), time.process_time()
        denoised = denoiser.transform(image[np.newaxis])[0]
        times = time.perf_counter() - wall, time.process_time() - processor
        row = (
            psnr(clean[key], denoised), psnr(clean[key], peer[key]), *times, *peer[key + " time"],
        )  # fmt: skip
        print(
            f"{key:14} ours {row[0]:.3f} dB {row[3]:.2f} s   peer {row[1]:.3f} dB {row[5]:.2f} s",
            flush=True,
        )
        rows.append(row)
    ours, theirs, *_ = means = np.mean(rows, axis=0)
    result = {
        "profile": arguments.profile,
        "device": arguments.device,
        "processors": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "images": len(rows),
        "psnr": round(ours, 3),
        "peer_psnr": round(theirs, 3),
        "psnr_difference": round(ours - theirs, 3),
        "worst_difference": round(min(row[0] - row[1] for row in rows), 3),
        "wall_time_ratio": round(means[2] / means[4], 3),
        "processor_time_ratio": round(means[3] / means[5], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
