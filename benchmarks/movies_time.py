"""Denoise a movie with time and without: PSNR of a static scene that drifts.

    python benchmarks/movies_time.py [--n-frames 40] [--dose 0.45] [--size 512] [--seed 0]

A simulated image of Pt on CeO2 is shifted by 0 to 1.5 px a frame, by cubic splines, and gets
Poisson noise. Nothing happens in such a movie, which flatters all methods that use time. "known
drift" is the same sum with the drift that was simulated, rounded to pixels, and nothing left out:
what measuring the drift and looking for changes cost. Ends with one JSON line.
"""

import argparse
import json
import time

import numpy as np
from scipy import ndimage

from temdenoise import (
    AlignedSumDenoiser,
    ImageStack,
    SBDDenoiser,
    WindowedFourierDenoiser,
    make_ptceo2,
    psnr,
)
from temdenoise._align import aligned_sum

PIXEL_SIZE = 6.22  # pm
MAX_STEP = 1.5  # px


def drifting(scene, n_frames, size, rng):
    """Clean frames (n_frames, size, size) of a scene that drifts, and the drift (n_frames, 2)."""
    angle = np.cumsum(rng.uniform(-0.6, 0.6, n_frames)) + rng.uniform(0, 2 * np.pi)
    steps = rng.uniform(0, MAX_STEP, n_frames)[:, None] * np.stack(
        [np.sin(angle), np.cos(angle)], axis=1
    )
    drift = np.cumsum(steps, axis=0)
    drift -= drift.mean(axis=0)
    height, width = scene.shape
    top, left = (height - size) // 2, (width - size) // 2
    frames = [
        ndimage.shift(scene, shift, order=3, mode="nearest")[top : top + size, left : left + size]
        for shift in drift
    ]
    return np.clip(frames, 0, None).astype(np.float32), drift


def known_drift(sbd, movie, n_frames, drift):
    """SBD of sums with the true drift."""
    denoised = np.empty_like(movie)
    for k in range(len(movie)):
        counts, frames = aligned_sum(movie, k, n_frames, drift, level=0)
        raised = counts * (frames.max() / frames)
        rates = sbd.transform(raised[None], pixel_size=PIXEL_SIZE)
        denoised[k] = rates[0] / frames.max()
    return denoised


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-frames", type=int, default=40)
    parser.add_argument("--dose", type=float, default=0.45, help="counts/px in vacuum")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    sim = make_ptceo2(
        1, structure="PtNp2", contrast="white", pixel_size=PIXEL_SIZE, random_state=args.seed
    )
    clean, drift = drifting(np.asarray(sim.data[0]), args.n_frames, args.size, rng)
    clean *= args.dose / 0.45
    movie = ImageStack(rng.poisson(clean).astype(np.float32), PIXEL_SIZE)

    sbd = SBDDenoiser.from_pretrained("general", device="cpu")
    methods = {
        f"windowed Fourier, n_frames={n}": WindowedFourierDenoiser(n_frames=n, device="cpu")
        for n in (1, 5, 9, 20)
    }
    methods["SBD, one frame"] = sbd
    methods |= {f"sum of {n}, SBD": AlignedSumDenoiser(n_frames=n) for n in (3, 5, 9)}
    results = {}

    def report(name, denoise):
        start = time.perf_counter()
        denoised = denoise()
        seconds = (time.perf_counter() - start) / len(movie)
        values = psnr(clean, denoised)
        results[name] = {"psnr": round(float(values.mean()), 2), "seconds": round(seconds, 3)}
        print(f"{name:32s} {values.mean():6.2f} dB   {seconds:.3f} s a frame", flush=True)

    for name, denoiser in methods.items():
        if denoiser is not sbd:
            denoiser.fit(movie)
        report(name, lambda d=denoiser: d.transform(movie))
    for n in (3, 5, 9):
        report(
            f"sum of {n}, known drift, SBD",
            lambda n=n: known_drift(sbd, np.asarray(movie), n, drift),
        )
    print(json.dumps(vars(args) | {"results": results}))


if __name__ == "__main__":
    main()
