"""Rows that are computed once: finished ones are kept, stopped trainings go on."""

import hashlib
import json
import os
import re
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV

from temdenoise import SBDDenoiser

from .images import PIXEL_SIZE, Resampled, score_rows
from .methods import make

# Side in pixels, and number, of the images classical methods are tuned on.
_TUNE_SIDE, _TUNE_IMAGES = 384, 6
# Test images of a row that is only a rehearsal.
_FEW = 2


class Work:
    """Folder of finished rows (JSON), trained weights, and checkpoints of trainings under way."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def stem(self, name, settings):
        """Path of what belongs to a name and settings, without its suffix."""
        text = json.dumps(settings, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self.folder / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}-{key}"

    def has_row(self, name, settings):
        """Whether the row of these settings is finished."""
        return self._row_path(name, settings).exists()

    def _row_path(self, name, settings):
        stem = self.stem(name, settings)
        return stem.with_name(stem.name + ".json")

    def row(self, name, settings, compute):
        """Return the row of these settings: from the folder if it is there, or by `compute`."""
        path = self._row_path(name, settings)
        if not path.exists():
            write_json(path, compute())
        return json.loads(path.read_text(encoding="utf-8"))

    def train(self, name, settings, parameters, clean, pixel_size, device, start=None):
        """Train, or go on, or load the weights if that is done; return denoiser and record."""
        stem = self.stem(name, settings)
        weights = stem.with_name(stem.name + "-weights")
        checkpoint = stem.with_name(stem.name + ".checkpoint")
        if not weights.exists():
            sbd = SBDDenoiser(**parameters, checkpoint_file=checkpoint, device=device, verbose=True)
            if start is not None:
                sbd.set_params(warm_start=True).network_ = start.network_
            with whole_trainings():
                sbd.fit(clean, pixel_size=pixel_size)
            record = {
                "fit_minutes": round(sum(row["dur"] for row in sbd.history_) / 60, 2),
                "steps": sum(row["train_batch_count"] for row in sbd.history_),
                "valid_psnr": round(max(row["valid_psnr"] for row in sbd.history_), 2),
            }
            sbd.save_pretrained(weights, info=record)
        checkpoint.unlink(missing_ok=True)
        sbd = SBDDenoiser.from_pretrained(weights, device=device)
        if "orientations" in parameters:
            sbd.set_params(orientations=parameters["orientations"])
        return sbd, sbd.info_


def write_json(path, value):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


@contextmanager
def stop_after(minutes):
    """Interrupt what runs after so many minutes, as Ctrl-C would; None for never."""

    def stop(signum, frame):
        raise KeyboardInterrupt

    if minutes is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def whole_trainings():
    """Let an interrupt in a training stop the script: `fit` would return what is there so far."""
    message = "Training was interrupted"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=message)
        try:
            yield
        except UserWarning as warning:
            if message not in str(warning):
                raise
            raise KeyboardInterrupt from warning


def tune(estimator, grid, clean):
    """Best of the grid, as far as the estimator has its parameters, on training images."""
    grid = {k: v for k, v in grid.items() if k in estimator.get_params()}
    if not grid:
        return estimator.fit(clean), {}
    search = GridSearchCV(estimator, grid, cv=2).fit(clean)
    return search.best_estimator_, search.best_params_


def evaluate(denoiser, test, indices, seed, **transform_params):
    """Mean and standard deviation over images of PSNR and SSIM, and seconds an image."""
    numbers = {int(i): int(i) for i in indices}
    scores = score_rows(denoiser, test, numbers, seed, transform_params=transform_params)
    result = {"n_test": len(numbers), "seconds_per_image": round(scores["seconds"].mean(), 3)}
    for name in ("psnr", "ssim"):
        result[name] = round(scores[name].mean(), 4)
        result[f"{name}_std"] = round(scores[name].std(ddof=0), 4)
    return result


def measure(method, images, train_rows, test_rows, args, work, settings):
    """Make a method ready, by tuning or training, and evaluate it."""
    test, extra, keywords = Resampled(images), {}, {}
    if method.network is not None:
        clean = np.asarray(images.data[train_rows])
        settings = {k: v for k, v in settings.items() if k != "n_test"}
        denoiser, extra = work.train(
            method.name, settings, method.network, clean, images.pixel_size, args.device
        )
        if method.rehearsal:
            test_rows = test_rows[:_FEW]
        keywords = {"pixel_size": PIXEL_SIZE}
    elif method.weights is not None:
        denoiser = SBDDenoiser.from_pretrained(method.weights, device=args.device)
        keywords = {"pixel_size": PIXEL_SIZE}
    elif method.make is not None:
        few = train_rows[np.linspace(0, len(train_rows) - 1, _TUNE_IMAGES).astype(int)]
        first = (test.side - _TUNE_SIDE) // 2
        centre = slice(first, first + _TUNE_SIDE)
        denoiser, best = tune(make(method), method.grid, test[few][:, centre, centre])
        extra = {"tuned": best}
    else:
        denoiser = None
    return evaluate(denoiser, test, test_rows, args.seed, **keywords) | extra
