"""What ``frequency_report`` says against the truth, ring by ring.

    python benchmarks/frequency_report.py [--n-frames 8 32 128] [--only NAME ...] [--dose 0.45]
        [--shares 0.5/1 0.1/5 0.1/10]

Simulates frames of different particles (make_ptceo2(models="varied"), the paper's microscope),
draws Poisson noise, and reports on a low-pass filter, the windowed Fourier filter, the same with a
lattice that it always draws, and the network "general". The true correlation is that of the very
estimates that were compared with the electrons held out, and that of the estimates of all
electrons. Also how many frames a standard error of 0.03 takes in each ring, at most. At 0.45 e/px
the signal of this microscope is lost in noise beyond 0.8 1/Angstrom. To see farther rings, the same
with images of less vibration at a higher dose. Another table compares shares of electrons held out,
and numbers of draws.

Finished rows lie in results/frequency_report.work, and the same command goes on. One core: ten
minutes, most of them for the network. Writes the tables of the user guide, and ends with one JSON
line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _paper.report import Report
from _paper.work import Work

from temdenoise import ImageStack, LowPassDenoiser, SBDDenoiser, WindowedFourierDenoiser
from temdenoise.datasets import make_ptceo2
from temdenoise.inspection import frequency_report
from temdenoise.inspection._rings import Rings, Window, make_window

RESULTS = Path(__file__).parent / "results"
PIXEL_SIZE = 6.22  # pm
VACUUM = 0.45  # counts/px of the clean images
LIMIT = 1.28  # 1/Angstrom
N_MODELS = 16
MARK = 0.03
SHARP = 30  # pm of vibration; the paper's microscope has 50


def frames(n_frames, side, dose, models, seed):
    """Clean parts of different images, and their counts."""
    rng = np.random.default_rng(seed)
    clean = []
    for k in range(n_frames):
        image = models[k % len(models)]
        y, x = rng.integers(80, np.array(image.shape) - side - 79)
        clean.append(image[y : y + side, x : x + side])
    clean = np.array(clean, dtype=np.float64) * dose / VACUUM
    return clean, rng.poisson(clean).astype(np.float32)


def methods(side):
    """Functions of counts, by name."""
    some = np.ones((1, side, side))
    fourier = WindowedFourierDenoiser().fit(some)
    rows, columns = np.mgrid[:side, :side] * 2 * np.pi * 0.72 * PIXEL_SIZE / 100
    lattice = 0.05 * np.cos(rows) * np.cos(columns)  # 1.02 1/Angstrom
    return {
        "low-pass": LowPassDenoiser().fit(some).transform,
        "windowed Fourier": fourier.transform,
        "with a lattice": lambda X, pixel_size: fourier.transform(X) + lattice * X.mean(),
        "SBD": SBDDenoiser.from_pretrained().transform,
    }


def measure(method, clean, counts, share, n_draws):
    """Report, and true correlations."""
    window, rings = Window(make_window(clean.shape[1:])), Rings(clean.shape[1:], len(clean[0]) // 4)
    truth = [window.spectrum(image) for image in clean]
    signal = sum(rings.sum(np.abs(x) ** 2) for x in truth)
    calls = []

    def watched(X, pixel_size):
        estimate = np.asarray(method(X, pixel_size=pixel_size), dtype=np.float64)
        if len(calls) <= n_draws:  # then come those of the noise substitution
            spectra = [window.spectrum(e) for e in estimate]
            pairs = zip(spectra, truth, strict=True)
            cross = sum(rings.sum(np.real(e * x.conj())) for e, x in pairs)
            calls.append((cross, sum(rings.sum(np.abs(e) ** 2) for e in spectra)))
        return estimate

    stack = ImageStack(counts, PIXEL_SIZE)
    report = frequency_report(watched, stack, share=share, n_draws=n_draws)
    cross, power = (np.mean(v, axis=0) for v in zip(*calls[:-1], strict=True))
    noise = sum(rings.sum(window.noise_power(image)) for image in counts)
    level = window.correlation * noise / np.maximum(rings.sum(np.ones(rings.of_mode.shape)), 1)
    true = cross / np.sqrt(power * signal)
    # The variance of the standard errors in the docstring, with the true power of the signal.
    held_out = share * n_draws
    variance = (1 / held_out - true**2) * level / signal
    variance += true**2 * level * noise / (2 * signal**2)
    shown = report.frequency <= LIMIT
    columns = {
        "frequency": report.frequency,
        "signal": signal / noise,
        "true": true,
        "full": calls[-1][0] / np.sqrt(calls[-1][1] * signal),
        "estimate": report.estimate,
        "se": report.estimate_se,
        "supported": report.supported,
        "supported_se": report.supported_se,
        "invented": report.invented,
        "repeated": report.repeated,
        "frames": len(clean) * np.maximum(variance, 0) / MARK**2,
    }
    return {
        name: [None if np.isnan(v) else float(v) for v in values[shown]]
        for name, values in columns.items()
    }


def digits(value, n=3):
    """Text of a number, None for NaN."""
    return None if value is None or np.isnan(value) else f"{value:.{n}f}"


def few_digits(value):
    """Text of a number of frames."""
    if value > 1e6:
        return "> 1,000,000"
    return f"{float(f'{max(value, 1):.1g}'):,.0f}"


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-frames", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--dose", type=float, default=0.45, help="e/px in vacuum")
    parser.add_argument(
        "--sharp", nargs=2, type=float, default=[8, 20], help="frames, e/px of the sharp images"
    )
    parser.add_argument("--only", nargs="+", default=None, help="names of methods")
    parser.add_argument("--shares", nargs="*", default=["0.5/1", "0.5/2", "0.1/5", "0.1/10"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=RESULTS / "frequency_report.work")
    parser.add_argument("--output", type=Path, default=RESULTS / "frequency-report-cpu.json")
    args = parser.parse_args()
    args.device = "cpu"
    work, cache = Work(args.work), {}

    def models(optics):
        if optics not in cache:
            options = {"models": "varied", "images_per_model": 1, "pixel_size": PIXEL_SIZE}
            options |= {"optics": optics, "random_state": args.seed, "n_jobs": 1}
            sim = make_ptceo2(N_MODELS if optics == "paper" else 2 * N_MODELS, **options)
            sharp = sim.frame["vibration"] < SHARP if optics == "varied" else slice(None)
            cache[optics] = np.asarray(sim.data)[sharp]
        return cache[optics]

    def row(name, n_frames, share, n_draws, seed, dose=args.dose, optics="paper"):
        settings = {"n_frames": n_frames, "share": share, "n_draws": n_draws, "seed": seed}
        settings |= {"side": args.side, "dose": dose, "models": args.seed, "optics": optics}

        def compute():
            pair = frames(n_frames, args.side, dose, models(optics), seed)
            return measure(methods(args.side)[name], *pair, share, n_draws)

        found = work.row(name, settings, compute)
        return {k: np.array(v, dtype=np.float64) for k, v in found.items()}

    names = args.only or list(methods(64))
    settings = ["n_frames", "side", "dose", "sharp", "shares", "seed"]
    title = "Reported against true correlation of the estimate"
    report = Report(args, "frequency-report", title, settings)
    result = {}
    for name in names:
        found = {n: row(name, n, 0.1, 10, args.seed) for n in args.n_frames}
        caption = f"{name}: the paper's microscope, {args.dose:g} e/px."
        result[name] = add_table(report, caption, found)
    n, dose = int(args.sharp[0]), args.sharp[1]
    for name in [name for name in names if name != "with a lattice"]:
        found = {n: row(name, n, 0.1, 10, args.seed, dose, "varied")}
        caption = f"{name}: vibration below {SHARP} pm, {dose:g} e/px."
        result[f"{name}, sharp"] = add_table(report, caption, found)
    shares_table(args, report, row)
    report.finish()
    print(json.dumps(result))


def add_table(report, caption, found):
    """Rings of a method, and a summary for each number of frames."""
    last = list(found.values())[-1]
    columns = ["1/Å", "signal over noise", "true, all electrons", "true"]
    columns += [f"report, {n} frames" for n in found]
    columns += [f"frames for ± {MARK}", "supported share", "invented", "repeated"]
    table = report.table(caption, columns)
    for k, frequency in enumerate(last["frequency"]):
        cells = [f"{frequency:.2f}", f"{last['signal'][k]:.2g}"]
        cells += [digits(last["full"][k]), digits(last["true"][k])]
        for values in found.values():
            text = digits(values["estimate"][k])
            cells.append(text and f"{text} ± {values['se'][k]:.3f}")
        text = digits(last["supported"][k], 2)
        cells.append(few_digits(last["frames"][k]))
        cells.append(text and f"{text} ± {last['supported_se'][k]:.2f}")
        report.row(table, [*cells, digits(last["invented"][k], 2), digits(last["repeated"][k], 2)])
    summary = {}
    for n, values in found.items():
        error = values["estimate"] - values["true"]
        told = np.isfinite(error)
        sure = told & (values["se"] < MARK)
        summary[f"{n} frames"] = {
            "rings": int(told.sum()),
            "last": round(float(values["frequency"][told].max(initial=0)), 2),
            "rms_z": round(float(np.sqrt(np.mean((error / values["se"])[told] ** 2))), 2),
            "rings_se_below_mark": int(sure.sum()),
            "largest_error_there": round(float(np.abs(error[sure]).max(initial=0)), 4),
        }
    return summary


def shares_table(args, report, row):
    """Root mean square error against the correlation of the estimates of all electrons."""
    if not args.shares:
        return
    bands = [(0.25, 0.5), (0.5, 0.6)]
    caption = "Shares held out and draws, windowed Fourier, 8 frames, 6 repeats: error against the "
    caption += "true correlation of the estimates of all electrons (root mean square; mean)."
    columns = ["share", "draws", *(f"{low:g} to {high:g} 1/Å" for low, high in bands)]
    table = report.table(caption, columns)
    for text in args.shares:
        share, n_draws = text.split("/")
        rows = [
            row("windowed Fourier", 8, float(share), int(n_draws), args.seed + k) for k in range(6)
        ]
        errors = np.array([r["estimate"] - r["full"] for r in rows])
        frequency, cells = rows[0]["frequency"], []
        for low, high in bands:
            e = errors[:, (frequency >= low) & (frequency < high)]
            cells.append(f"{np.sqrt(np.nanmean(e**2)):.3f}; {np.nanmean(e):+.3f}")
        report.row(table, [share, n_draws, *cells])


if __name__ == "__main__":
    main()
