"""How the general weights fare on frames of other microscopes than the paper's.

    python benchmarks/other_microscopes.py [--n-models 120] [--weights general ...]

Denoises images of models that no weights were trained on, at 0.45 counts per pixel in vacuum: seen
through the paper's microscope; the same distorted; and through a microscope of its own each, with
residual aberrations, sorted by its vibration (`make_ptceo2`, optics="varied"). PSNR beside that of
the windowed Fourier filter, which was trained on none. Ends with one JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _paper.report import Report
from scipy import ndimage

from temdenoise import PoissonNoise, SBDDenoiser, WindowedFourierDenoiser, psnr
from temdenoise.datasets import make_ptceo2

RESULTS = Path(__file__).parent / "results"
PIXEL_SIZE = 6.22  # pm
VIBRATIONS = (20, 30, 40, 50, 60, 70)  # pm
STRETCHES = (0.03, 0.06, 0.1)


def stretched(images, stretch):
    """Distort images: lengths along and across a direction, another for each, differ so much."""
    half = np.log1p(stretch) / 2
    results = []
    for image, angle in zip(images, np.linspace(0, np.pi, len(images), False), strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag(np.exp([half, -half])) @ turn.T
        centre = (np.array(image.shape) - 1) / 2
        offset = centre - matrix @ centre
        results.append(ndimage.affine_transform(image, matrix, offset, order=3, mode="mirror"))
    return np.maximum(results, 0).astype(np.float32)


def cases(n_models):
    """Clean images of each case, by its name."""
    options = {"models": "varied", "images_per_model": 1, "pixel_size": PIXEL_SIZE}
    options |= {"random_state": 99, "n_jobs": -1, "verbose": True}
    paper = make_ptceo2(n_models, **options)
    yield "the paper's", paper.data
    for stretch in STRETCHES:
        yield f"the paper's, stretched by {stretch:.0%}", stretched(paper.data, stretch)
    varied = make_ptceo2(n_models, optics="varied", **options)
    for low, high in zip(VIBRATIONS, VIBRATIONS[1:], strict=False):
        inside = varied.frame["vibration"].between(low, high)
        yield f"aberrated, vibration of {low} to {high} pm", varied.data[inside]


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-models", type=int, default=120)
    parser.add_argument("--weights", nargs="+", default=["general"], help="names or folders")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS / "other-microscopes-cpu.json")
    args = parser.parse_args()

    methods = {
        Path(name).name: SBDDenoiser.from_pretrained(name, device=args.device)
        for name in args.weights
    }
    methods["windowed Fourier"] = WindowedFourierDenoiser()
    title = "Frames of other microscopes"
    report = Report(args, "other-microscopes", title, ["n_models", "weights", "device"])
    columns = ["microscope", "images", *(f"{name} (dB)" for name in methods)]
    table = report.table("PSNR on unseen models at 0.45 counts/px.", columns)
    result = {}
    for name, clean in cases(args.n_models):
        noisy = PoissonNoise(random_state=0).sample(clean)
        scores = {}
        for method, denoiser in methods.items():
            if not isinstance(denoiser, SBDDenoiser):
                denoiser.fit(noisy)
            denoised = denoiser.transform(noisy, pixel_size=PIXEL_SIZE)
            scores[method] = round(float(np.mean(psnr(clean, denoised))), 2)
        report.row(table, [name, len(clean), *(f"{score:.2f}" for score in scores.values())])
        result[name] = scores
    report.finish()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
