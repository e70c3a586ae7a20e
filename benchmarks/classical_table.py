"""PSNR and SSIM of the classical denoisers on clean images with fresh Poisson noise.

    python benchmarks/classical_table.py IMAGE.tif [IMAGE.tif ...] [--draws 3] [--methods NAME ...]

Each image (clean, 4.89 pm/px, 0.45 counts/px in vacuum) is shrunk by 0.785 with anti-aliasing and
gets Poisson noise. Every method is tuned by GridSearchCV on simulated images of our own alone, with
the structures as groups. The seconds are processor time per image. Methods that are not installed
are left out. Ends with one JSON line.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from authors_images import PIXEL_SIZE, shrunk
from sklearn.model_selection import GridSearchCV, GroupKFold

import temdenoise
from temdenoise import (
    LowPassDenoiser,
    NLMDenoiser,
    PoissonNoise,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    psnr,
    ssim,
)
from temdenoise.datasets import make_ptceo2

CROP = slice(200, 600)


def methods():
    """Name -> (denoiser, grid)."""
    table = {
        "low-pass": (LowPassDenoiser(), {"cutoff": np.geomspace(0.012, 0.04, 8).round(4).tolist()}),
        "Wiener": (WienerDenoiser(), {"window_size": [13, 17, 21, 25, 31, 39]}),
        "VST + NLM": (
            VSTDenoiser(denoiser=NLMDenoiser(patch_distance=20), iterations=1),
            {"binning": [4, 6, 8, 10], "denoiser__h": [0.15, 0.25, 0.4]},
        ),
        "windowed Fourier": (
            WindowedFourierDenoiser(binning=4),
            {"threshold": [0.7, 0.8, 0.9]},
        ),
    }
    if "BM3DDenoiser" in temdenoise.__all__:
        bm3d = temdenoise.BM3DDenoiser(sigma=1.0)
        table["VST + BM3D"] = (VSTDenoiser(denoiser=bm3d, iterations=1), {"binning": [4, 6, 8, 10]})
        table["iterative VST + BM3D"] = (
            VSTDenoiser(denoiser=bm3d, iterations=3),
            {"binning": [4, 6, 8], "final_weight": [0.1, 0.2, 0.4]},
        )
    if "PURELETDenoiser" in temdenoise.__all__:
        table["PURE-LET"] = (temdenoise.PURELETDenoiser(), {})
    return table


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=methods(), default=list(methods()))
    args = parser.parse_args()

    varied = {"models": "varied", "images_per_model": 1, "random_state": 7}
    sim = make_ptceo2(6, **varied, pixel_size=PIXEL_SIZE)
    clean_sim = np.asarray(sim.data)[:, CROP, CROP]  # lengths in pixels
    images = [shrunk(path) for path in args.images]
    images = [np.broadcast_to(image, (args.draws, *image.shape)) for image in images]
    noisy = [PoissonNoise(random_state=0).sample(clean) for clean in images]
    result = {}
    for name in args.methods:
        denoiser, grid = methods()[name]
        search = GridSearchCV(denoiser, grid, cv=GroupKFold(2))
        best = search.fit(clean_sim, groups=sim.frame["structure"])
        row = result[name] = {"parameters": best.best_params_, "psnr": [], "ssim": []}
        start = time.process_time()
        denoised = [best.transform(stack) for stack in noisy]
        row["seconds"] = (time.process_time() - start) / (len(noisy) * args.draws)
        for clean, estimate in zip(images, denoised, strict=True):
            row["psnr"].append(float(psnr(clean, estimate).mean()))
            row["ssim"].append(float(ssim(clean, estimate).mean()))
        means = (float(np.mean(row[key])) for key in ("psnr", "ssim"))
        row["mean_psnr"], row["mean_ssim"] = means
        print(
            f"{name:22s} {row['mean_psnr']:.2f} dB ({min(row['psnr']):.2f} to "
            f"{max(row['psnr']):.2f})  SSIM {row['mean_ssim']:.3f}  {row['seconds']:.2f} s  "
            f"{row['parameters']}",
            flush=True,
        )
    print(json.dumps({"images": [path.stem for path in args.images], "methods": result}))


if __name__ == "__main__":
    main()
