"""The parts of benchmarks/paper_tables.py whose answers are known."""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from temdenoise import LowPassDenoiser, PoissonNoise, make_ptceo2, psnr, ssim

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from _paper.cost import network_cost  # noqa: E402
from _paper.images import ImageSet, Resampled, shipped_rows, split_white  # noqa: E402
from _paper.methods import CLASSICAL, PAPER_NETWORKS, Method, make  # noqa: E402
from _paper.report import Report  # noqa: E402
from _paper.work import Work, evaluate, measure, stop_after, tune  # noqa: E402
from paper_tables import parse  # noqa: E402

ONE = {"structure": "PtNp3", "defocus": (6, 9), "query": "thickness == 30"}
ONE |= {"images_per_model": 21}


@pytest.fixture(scope="module")
def images():
    sim = make_ptceo2(2, **ONE)
    return ImageSet(np.asarray(sim.data), sim.frame, sim.pixel_size)


def arguments(tmp_path, *more):
    line = ["--table", "5.1", "--images", str(tmp_path / "set.npy"), "--budget", "0.02"]
    return parse([*line, "--output", str(tmp_path / "t.json"), *more])[0]


def test_resampled_images_are_those_of_the_simulation(images):
    exact = make_ptceo2(2, **ONE, pixel_size=5.0).data  # 1000 px
    test = Resampled(images, 5.0, level=0.9)
    margin = (1000 - test.side) // 2
    inside = exact[:, margin : margin + test.side, margin : margin + test.side]
    assert psnr(2 * inside, test[[0, 1]]).min() > 80
    assert test[[1]].dtype == np.float32


def whole_frame():
    from temdenoise.datasets._catalogue import whole_set

    return whole_set(0)


@pytest.mark.parametrize("split", ["models", "images"])
def test_split_of_the_white_images(split):
    frame = whole_frame()
    images = ImageSet(np.empty((len(frame), 1, 1)), frame, 19.5)
    train, test = split_white(images, split=split, seed=0, max_train=None, n_test=None)
    white = (frame["contrast"] == "white").to_numpy()
    assert white[train].all()
    assert white[test].all()
    rest = np.setdiff1d(np.flatnonzero(white), [*train, *test])
    assert not set(train) & set(test)
    # of those held out, none that the shipped weights know is tested on
    known = shipped_rows(len(frame))
    assert not set(test) & set(known)
    assert set(rest) <= set(known)
    test = np.union1d(test, rest)
    assert len(test) / white.sum() == pytest.approx(0.1, abs=0.03)
    models = images.models
    assert len(np.unique(models)) == 95
    shared = set(models[train]) & set(models[test])
    assert (not shared) == (split == "models")
    # model after model: the last ones can validate
    changes = np.count_nonzero(np.diff(models[train]))
    assert changes == len(np.unique(models[train])) - 1
    assert set(frame["structure"].iloc[test]) == {"PtNp1", "PtNp2", "PtNp3", "PtNp4"}
    few = split_white(images, split=split, seed=0, max_train=30, n_test=7)
    assert list(map(len, few)) == [30, 7]


def test_costs_of_networks():
    """Multiplications counted by hand for a small one; the others as published."""
    # 20 layers of 64: 1 -> 64, 18 x (64 -> 64), 64 -> 1
    assert network_cost({"architecture": "dncnn"})["macs_per_pixel"] == 9 * (64 + 18 * 64**2 + 64)
    unet = {"architecture": "unet", "scales": 4, "base_channels": 32}
    assert network_cost(unet)["macs_per_pixel"] == 54_176
    binned = network_cost(unet | {"binning": 4})
    assert binned["macs_per_pixel"] == 54_176 / 16
    assert binned["field_of_view"] == 4 * 221
    for network in PAPER_NETWORKS[:3]:
        assert network_cost(network.options)["field_of_view"] == network.field_of_view


def test_scores_are_those_of_the_library(images):
    test = Resampled(images)
    clean = test[[1]]
    noisy = PoissonNoise().sample(clean, random_state=6)
    denoiser = LowPassDenoiser().fit(clean)
    result = evaluate(denoiser, test, [1], 5)
    denoised = denoiser.transform(noisy)
    assert result["psnr"] == pytest.approx(psnr(clean, denoised)[0], abs=1e-3)
    assert result["ssim"] == pytest.approx(ssim(clean, denoised)[0], abs=1e-3)
    assert result["n_test"] == 1
    # the paper's own first row, on its own images
    assert evaluate(None, test, [0, 1], 0)["psnr"] == pytest.approx(3.56, abs=0.1)
    # at ten times the dose, on the scale of 0.45, raw counts are 10 dB better
    more = Resampled(images, level=4.5)
    assert evaluate(None, more, [0, 1], 0)["psnr"] == pytest.approx(13.56, abs=0.1)


def test_tuning_takes_the_best_of_the_parameters_there_are():
    clean = np.full((4, 32, 32), 0.45)
    best, chosen = tune(LowPassDenoiser(), {"cutoff": [0.3, 0.02], "no_such": [1, 2]}, clean)
    assert chosen == {"cutoff": 0.02}
    assert best.transform(clean).shape == clean.shape
    assert tune(LowPassDenoiser(), {"no_such": [1]}, clean)[1] == {}


def test_registry_skips_what_is_not_there():
    missing = Method("new", make=lambda: __import__("temdenoise.no_such_module"))
    assert make(missing) is None
    there = {m.name: make(m) for m in CLASSICAL if m.make is not None}
    assert isinstance(there["low-pass filter"], LowPassDenoiser)


def test_rows_are_computed_once(tmp_path):
    work, calls = Work(tmp_path / "w"), []

    def compute():
        calls.append(1)
        return {"psnr": 1.5}

    for _ in range(2):
        assert work.row("a b", {"budget": 1}, compute) == {"psnr": 1.5}
    assert len(calls) == 1
    work.row("a b", {"budget": 2}, compute)
    assert len(calls) == 2


def test_training_goes_on_after_an_interrupt(tmp_path, images):
    """Interrupted, a row is not there; the same call continues, and then loads the weights."""
    args = arguments(tmp_path)
    network = {
        "architecture": "fourier_unet", "scales": 1, "base_channels": 2, "patch_size": 96,
        "batch_size": 1, "steps_per_epoch": 1, "max_epochs": 10_000, "random_state": 0,
    }  # fmt: skip
    method, work = Method("small", network=network), Work(tmp_path / "w")
    rows = np.array([0, 1])
    interrupter = threading.Thread(target=interrupt_at, args=(work.folder, "*.checkpoint"))
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        measure(method, images, rows, rows, args, work, {"n_test": 2})
    interrupter.join()
    (checkpoint,) = work.folder.glob("*.checkpoint")
    steps = torch.load(checkpoint, weights_only=True)["steps"]
    assert 0 < steps < 10_000
    network["max_epochs"] = steps + 1  # now with the end in sight
    with pytest.raises(ValueError, match="other max_epochs"):
        measure(method, images, rows, rows, args, work, {"n_test": 2})
    network |= {"max_epochs": 10_000, "max_time": 1e-6}  # used up
    result = measure(method, images, rows, rows, args, work, {"n_test": 2})
    assert result["steps"] == steps
    assert not checkpoint.exists()
    # not trained again for another number of tests
    network["max_time"] = 60
    assert measure(method, images, rows, rows[:1], args, work, {"n_test": 1})["steps"] == steps


def interrupt_at(folder, pattern):
    """Ctrl-C in the main thread as soon as there is such a file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(folder.glob(pattern)):
        time.sleep(0.01)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_stop_after():
    with pytest.raises(KeyboardInterrupt), stop_after(1e-3):
        time.sleep(30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    with stop_after(None):
        pass


def test_report(tmp_path, capsys):
    args = arguments(tmp_path)
    report = Report(args, "table-5.1", "Methods", ["budget"])
    table = report.table("Two methods.", ["method", "PSNR (dB)", "paper"])
    report.row(table, ["raw", 3.56, None])
    begun = json.loads(args.output.read_text())
    assert not begun["complete"]
    assert begun["tables"][0]["rows"] == [["raw", 3.56, None]]
    with pytest.raises(ValueError, match="2 cells"):
        report.row(table, ["raw", 3.56])
    report.finish()
    content = json.loads(args.output.read_text())
    assert content["complete"]
    assert content["settings"]["budget"] == 0.02
    assert str(tmp_path) not in args.output.read_text()
    assert "raw          3.56" in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["--budget=0", "--n-test=-1", "--stop-after=0"])
def test_bad_arguments(tmp_path, bad, capsys):
    with pytest.raises(SystemExit):
        arguments(tmp_path, bad)
    assert "must be positive" in capsys.readouterr().err
