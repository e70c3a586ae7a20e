"""The experiments of Tables 5.1 and 3.1 and of Figures 3.1 and 5.1."""

from importlib.resources import files

import numpy as np

from temdenoise import SBDDenoiser
from temdenoise.model_selection import generalization_matrix

from . import methods
from .cost import network_cost
from .images import LEVEL, PIXEL_SIZE, Resampled, split_white
from .report import Report
from .work import evaluate, measure

# Figure 3.1: the sweeps, each about the paper's frames.
DOSES = (0.05, 0.1, 0.2, 0.45, 1.0, 2.0, 5.0)  # counts/px in vacuum
PIXEL_SIZES = (3.0, 4.0, 5.0, 6.22, 8.0, 10.0, 12.0)  # pm
# Figure 5.1: groups, images, and the mean PSNR (dB) of the authors' published results per image;
# of Ds there are none, its file repeats those of Dh.
MATRICES = {
    "contrast": (
        None,
        [[39.11, 29.32, 27.93], [37.18, 35.34, 35.31], [36.95, 34.43, 36.26]],
    ),
    "structure": (
        "contrast == 'white' and defect in ['D0', 'D1']",
        [
            [38.33, 37.83, 38.40, 37.72],
            [37.27, 37.19, 37.04, 37.01],
            [34.42, 33.95, 37.84, 33.30],
            [37.49, 37.02, 37.77, 37.24],
        ],
    ),
    "defect": (
        "contrast == 'white'",
        [
            [35.34, 35.03, 35.33, 34.99, 35.17],
            [34.48, 34.49, 34.82, 34.51, 34.42],
            [36.60, 36.49, 36.94, 36.42, 36.30],
            [35.32, 35.26, 35.59, 35.33, 35.06],
            None,
        ],
    ),
}


# What of the command line decides on the numbers.
_DATA = ("seed", "split", "max_train", "n_test", "n_images", "images_per_model", "preset")
_ALL = ("budget", "paper_budget", "rehearsal", "device", "only", *_DATA)


def _report(args, experiment, title):
    return Report(args, experiment, title, _ALL)


def _settings(args, **more):
    """What a row depends on."""
    return {name: getattr(args, name) for name in _DATA} | more


def _split(images, args):
    return split_white(
        images, split=args.split, seed=args.seed, max_train=args.max_train, n_test=args.n_test
    )


def _fingerprint(weights):
    """Tell shipped weights from those of another version: their settings hold a checksum."""
    folder = files("temdenoise.denoisers") / "weights" / weights
    return (folder / "config.json").read_text(encoding="utf-8")


def _measured(method, images, split, args, work):
    settings = _settings(args, device=args.device.split(":")[0])
    if method.network is not None:
        settings |= {"network": method.network}
    elif method.weights is not None:
        settings |= {"weights": _fingerprint(method.weights)}
    else:
        settings |= {"grid": method.grid}
    print(f"--- {method.name}", flush=True)
    return work.row(
        method.name,
        settings,
        lambda: measure(method, images, *split, args, work, settings),
    )


def _score(result):
    return [
        f"{result['psnr']:.2f} ± {result['psnr_std']:.2f}",
        f"{result['ssim']:.3f} ± {result['ssim_std']:.3f}",
    ]


def table_5_1(args, images, work):
    """Methods on the held-out white-contrast images."""
    report = _report(args, "table-5.1", "Methods on held-out white-contrast images (Table 5.1)")
    columns = ["method", "PSNR (dB)", "SSIM", "paper: PSNR", "paper: SSIM", "training (min)"]
    columns += ["denoising (s/image)", "test images", "tuned"]
    split = _split(images, args)
    table = report.table(f"{len(split[0])} images trained or tuned on.", columns)
    for method in methods.table_5_1(args):
        if method.make is not None and methods.make(method) is None:
            print(f"--- {method.name}: not there yet", flush=True)
            continue
        r = _measured(method, images, split, args, work)
        tuned = ", ".join(f"{k}={v}" for k, v in r.get("tuned", {}).items())
        cells = [r.get("fit_minutes"), r["seconds_per_image"], r["n_test"], tuned or None]
        report.row(table, [method.name, *_score(r), *(method.paper or (None, None)), *cells])
    return report


def table_3_1(args, images, work):
    """Networks: what they cost, see and reach."""
    report = _report(args, "table-3.1", "Networks on held-out white-contrast images (Table 3.1)")
    columns = ["network", "parameters", "field of view (px)", "MACs/px", "PSNR (dB)", "SSIM"]
    columns += ["paper: parameters", "paper: field of view", "paper: PSNR", "training (min)"]
    split = _split(images, args)
    table = report.table(f"{len(split[0])} images trained on.", [*columns, "steps", "test images"])
    paper = {f"SBD + {n.name}": n for n in methods.PAPER_NETWORKS}
    for method in methods.table_3_1(args):
        r = _measured(method, images, split, args, work)
        cost = network_cost(method.network)
        known = paper.get(method.name.removesuffix(" (REHEARSAL)"))
        theirs = [known.parameters, known.field_of_view, known.paper[0]] if known else [None] * 3
        cells = [cost["parameters"], cost.get("field_of_view"), cost["macs_per_pixel"]]
        cells += [*_score(r), *theirs, r["fit_minutes"], r["steps"], r["n_test"]]
        report.row(table, [method.name, *cells])
    return report


def figure_3_1(args, images, work):
    """One network for all doses and pixel sizes against experts fine-tuned at each."""
    report = _report(args, "figure-3.1", "Doses and pixel sizes (Figure 3.1, extended)")
    general = SBDDenoiser.from_pretrained("general", device=args.device)
    train_rows, test_rows = _split(images, args)
    area = PIXEL_SIZE**2
    sweeps = {
        f"Dose, at {PIXEL_SIZE} pm/px.": [(dose, PIXEL_SIZE, dose) for dose in DOSES],
        "Pixel size, at 0.45 counts per 6.22 pm square in vacuum.": [
            (size, size, LEVEL * size**2 / area) for size in PIXEL_SIZES
        ],
    }
    for caption, points in sweeps.items():
        what = "dose (counts/px)" if caption.startswith("Dose") else "pixel size (pm)"
        columns = [what, "general: PSNR (dB)", "expert: PSNR (dB)", "general: SSIM", "expert: SSIM"]
        table = report.table(caption, columns)
        for value, pixel_size, level in points:
            r = _point(general, pixel_size, level, images, train_rows, test_rows, args, work)
            scores = [f"{r[who]['psnr']:.2f}" for who in ("general", "expert")]
            scores += [f"{r[who]['ssim']:.3f}" for who in ("general", "expert")]
            report.row(table, [value, *scores])
    return report


def _point(general, pixel_size, level, images, train_rows, test_rows, args, work):
    """Scores of the general weights, and of them fine-tuned for this pixel size and dose."""
    name = f"expert {pixel_size:g} pm {level:.4g}"
    options = {"base_channels": general.base_channels, "learning_rate": 4e-4}
    parameters = methods.training(args, training_pixel_size=pixel_size, **options)
    settings = _settings(args, expert=parameters, level=level, start=_fingerprint("general"))
    print(f"--- {name}", flush=True)

    def compute():
        clean = np.asarray(images.data[train_rows]) * np.float32(level / LEVEL)
        training = {k: v for k, v in settings.items() if k != "n_test"}
        expert, _ = work.train(
            name, training, parameters, clean, images.pixel_size, args.device, start=general
        )
        test = Resampled(images, pixel_size, level)
        return {
            who: evaluate(denoiser, test, test_rows, args.seed, pixel_size=pixel_size)
            for who, denoiser in {"general": general, "expert": expert}.items()
        }

    return work.row(name, settings, compute)


def figure_5_1(args, images, work):
    """Train on one contrast, structure or defect, test on another."""
    report = _report(
        args, "figure-5.1", "Trained on one kind of images, tested on others (Figure 5.1)"
    )
    models = images.models
    if args.split == "images":
        models = np.arange(len(images.data))
    for kind, (query, paper) in MATRICES.items():
        rows = np.arange(len(images.data)) if query is None else images.rows(query)
        estimator = SBDDenoiser(
            **methods.training(args), device=args.device, verbose=True,
        )  # fmt: skip
        settings = _settings(args, kind=kind, parameters=methods.training(args))
        print(f"--- {kind}", flush=True)
        result = generalization_matrix(
            estimator,
            images.data if query is None else images.data[rows],
            images.frame[kind].to_numpy()[rows],
            models=models[rows],
            n_per_group="equal" if args.max_train is None else args.max_train,
            n_test_per_group=args.n_test,
            test_images=_Rows(Resampled(images), rows),
            fit_params={"pixel_size": images.pixel_size},
            transform_params={"pixel_size": PIXEL_SIZE},
            random_state=args.seed,
            out=work.stem(f"matrix {kind}", settings),
            verbose=True,
        )
        labels = result.matrix.columns.tolist()
        n = int(result.n_train.iloc[0])
        ours = report.table(
            f"By {kind}: PSNR (dB), trained on {n} images each.", ["trained on", *labels]
        )
        for label, values in result.matrix.round(2).iterrows():
            report.row(ours, [label, *values.tolist()])
        theirs = report.table(
            f"By {kind}, in the authors' published results.", ["trained on", *labels]
        )
        for label, values in zip(labels, paper, strict=True):
            if values is not None:
                report.row(theirs, [label, *values])
    return report


class _Rows:
    """Some rows of a sequence of images, as a sequence of images."""

    def __init__(self, images, rows):
        self.images = images
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        return self.images[self.rows[indices]]


EXPERIMENTS = {
    ("table", "5.1"): table_5_1,
    ("table", "3.1"): table_3_1,
    ("figure", "3.1"): figure_3_1,
    ("figure", "5.1"): figure_5_1,
}
