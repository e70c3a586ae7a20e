"""Denoise published clean simulated images with fresh noise: PSNR and SSIM per method.

    python benchmarks/authors_images.py IMAGE.tif [IMAGE.tif ...] [--figure FIGURE.png]

Each image (clean, 4.89 pm/px, 0.45 counts/px in vacuum) is shrunk by 0.785 with anti-aliasing, as
in the paper's training, gets Poisson noise, five draws, and is denoised by low-pass and adaptive
Wiener filters and PURE-LET, tuned by GridSearchCV on our own simulated images, by the windowed
Fourier filter as it is, and by trained weights. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from skimage.transform import rescale
from sklearn.model_selection import GridSearchCV

from temdenoise import (
    LowPassDenoiser,
    PoissonNoise,
    PURELETDenoiser,
    SBDDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    psnr,
    read_stack,
    ssim,
)
from temdenoise.datasets import make_ptceo2

ORIGINAL_PIXEL_SIZE, SHRINK = 4.89, 0.785
PIXEL_SIZE = ORIGINAL_PIXEL_SIZE / SHRINK  # pm


def shrunk(path):
    """Clean image (height, width) at the pixel size of the experiment."""
    image = np.asarray(read_stack(path)[0], dtype=np.float64)
    return rescale(image, SHRINK, anti_aliasing=True).astype(np.float32)


def tuned_filters():
    """Low-pass and Wiener filters, and PURE-LET, with the best parameters on simulated images."""
    varied = {"models": "varied", "images_per_model": 2, "random_state": 7}
    sim = make_ptceo2(16, **varied, pixel_size=PIXEL_SIZE, n_jobs=-1)
    clean = np.asarray(sim.data)[:, 150:650, 150:650]  # cutoffs and windows in pixels
    grids = {
        "low-pass": (LowPassDenoiser(), {"cutoff": np.geomspace(0.01, 0.06, 10).round(4).tolist()}),
        "PURE-LET": (PURELETDenoiser(), {"binning": [3, 4, 5], "n_scales": [3, 4, 5]}),
        "Wiener": (WienerDenoiser(), {"window_size": [5, 9, 13, 17, 21, 25, 31]}),
    }
    for name, (estimator, grid) in grids.items():
        search = GridSearchCV(estimator, grid, cv=2, n_jobs=-1).fit(clean)
        print(f"{name}: {search.best_params_}", flush=True)
        yield name, search.best_estimator_


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--weights", default="general")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()

    methods = {"raw": None, **dict(tuned_filters())}
    methods["windowed Fourier"] = WindowedFourierDenoiser().fit(np.ones((1, 8, 8)))
    methods[args.weights] = SBDDenoiser.from_pretrained(args.weights)
    known = (SBDDenoiser, WindowedFourierDenoiser)  # that are told the pixel size
    table, panels = {}, []
    for path in args.images:
        clean = shrunk(path)
        clean = np.broadcast_to(clean, (args.draws, *clean.shape))
        noisy = PoissonNoise(random_state=0).sample(clean)
        row = table[path.stem] = {}
        for name, method in methods.items():
            keywords = {"pixel_size": PIXEL_SIZE} if isinstance(method, known) else {}
            denoised = noisy if method is None else method.transform(noisy, **keywords)
            figures = psnr(clean, denoised), ssim(clean, denoised)
            row[name] = [round(float(np.mean(f)), 3) for f in figures]
            last = denoised[0]
        panels.append((path.stem, noisy[0], last, clean[0]))
        print(path.stem, *(f"{k} {v[0]:.2f} dB {v[1]:.3f}" for k, v in row.items()), sep="  ")
    means = {m: np.mean([row[m] for row in table.values()], axis=0).round(3) for m in methods}
    if args.figure:
        draw(panels, args.figure)
    result = {"psnr_ssim": table, "mean": {m: v.tolist() for m, v in means.items()}}
    print(json.dumps(result))


def draw(panels, path):
    """Noisy, denoised, clean and difference of each image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4 * len(panels)), layout="constrained")
    for axes, (name, noisy, denoised, clean) in zip(
        np.atleast_2d(figure.subplots(len(panels), 4)), panels, strict=True
    ):
        limits = {"vmin": clean.min(), "vmax": clean.max(), "cmap": "gray"}
        axes[0].imshow(noisy, cmap="gray")
        axes[1].imshow(denoised, **limits)
        axes[2].imshow(clean, **limits)
        axes[3].imshow(denoised - clean, vmin=-0.1, vmax=0.1, cmap="RdBu_r")
        for axis, title in zip(axes, (name, "denoised", "clean", "difference"), strict=True):
            axis.set_title(title)
            axis.set_axis_off()
    figure.savefig(path, dpi=60)


if __name__ == "__main__":
    main()
