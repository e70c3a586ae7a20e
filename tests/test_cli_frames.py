"""The command line on movies: neighbouring frames, training on the frames, adapted weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import lattice_images
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from tiny_training import PIXEL_SIZE, lattices, tiny

from temdenoise import (
    AlignedSumDenoiser,
    BlindSpotDenoiser,
    SBDDenoiser,
    Self2SelfDenoiser,
    ThinnedDenoiser,
    UDVDDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
    read_stack,
    thin_counts,
    write_stack,
)
from temdenoise.cli import main
from temdenoise.cli._methods import METHODS, Method


@pytest.fixture
def movie(tmp_path):
    """A piece of the sample movie in a file."""
    path = tmp_path / "movie.tif"
    write_stack(path, load_sample_movie().data[:4, 200:296, 200:296])
    return path


@pytest.fixture
def long_movie(tmp_path):
    """Counts of a lattice that drifts, of many small frames."""
    clean = lattices(1, 48, 80, level=3.0)[0]
    frames = np.random.default_rng(0).poisson([clean[:, k : k + 48] for k in range(22)])
    path = tmp_path / "long.npy"
    np.save(path, frames.astype(np.uint8))
    return path


@pytest.fixture
def run(tmp_path, capsys):
    """Denoise a file with options; return the result, and what was printed."""

    def run(path, *options):
        out = tmp_path / "out.tif"
        argv = ["denoise", str(path), "-o", str(out), "--overwrite", *map(str, options)]
        assert main(argv) == 0
        return read_stack(out), capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("options", "denoiser", "n_frames"),
    [
        (
            # blocks of 5 frames, 2 apart, look 8 frames far
            ["windowed-fourier", "--binning=1", "--window-size=12"],
            WindowedFourierDenoiser(n_frames=5, binning=1, window_size=12),
            5,
        ),
        (["wiener"], AlignedSumDenoiser(denoiser=WienerDenoiser(), n_frames=3), 3),
    ],
)
def test_parts_of_a_movie_are_those_of_the_whole(
    long_movie, run, monkeypatch, options, denoiser, n_frames
):
    frames = np.load(long_movie)
    expected = denoiser.fit(frames).transform(frames)
    # a part that is no multiple of the step in time
    monkeypatch.setattr("temdenoise.cli._denoise._CHUNK_PIXELS", 17 * 48 * 48)
    denoised, printed = run(long_movie, "--n-frames", n_frames, "--method", *options)
    np.testing.assert_allclose(denoised, expected, rtol=1e-4)
    assert denoised.metadata["info"]["n_frames"] == n_frames
    assert f"method {options[0]} on {n_frames} frames" in printed.out


TINY = {"max_epochs": 1, "steps_per_epoch": 2, "batch_size": 1, "orientations": 1, "binning": 2}
TRAINED = {
    "blind-spot": BlindSpotDenoiser(base_channels=4, random_state=0, **TINY),
    "udvd": UDVDDenoiser(base_channels=4, random_state=0, **TINY),
    "thinned": ThinnedDenoiser(base_channels=4, n_draws=2, random_state=0, **TINY),
    "self2self": Self2SelfDenoiser(n_predictions=2, random_state=0, **TINY),
}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Let the methods that train begin with less than their defaults."""
    for name, denoiser in TRAINED.items():
        small = replace(METHODS[name], make=lambda _, denoiser=denoiser: clone(denoiser))
        monkeypatch.setitem(METHODS, name, small)


@pytest.mark.parametrize("method", TRAINED)
def test_methods_are_trained_on_the_frames_at_hand(movie, run, method):
    counts = read_stack(movie).astype(np.float32)
    mask = np.zeros(counts.shape[1:], dtype=bool)
    mask[:20, :10] = True
    counts[:, mask] = np.nan
    write_stack(movie, counts, overwrite=True)
    denoised, printed = run(
        movie, "--method", method, "--mask", "0:10,0:20", "--random-state=1", "--loss=mse"
    )
    denoiser = clone(TRAINED[method]).set_params(random_state=1, loss="mse")
    expected = denoiser.fit(counts, mask=mask).transform(counts, mask=mask)
    np.testing.assert_allclose(denoised, expected, rtol=1e-3, atol=1e-5)
    assert denoised.metadata["info"]["method"] == method
    assert "training on all 4 frames. Ctrl-C ends it and keeps the best" in printed.out
    assert "train 100%" in printed.err  # the progress


def test_a_video_network_resumes_and_sees_the_neighbours_of_a_part(
    long_movie, run, monkeypatch, tmp_path
):
    checkpoint = tmp_path / "training.pt"
    options = ["--method=udvd", "--checkpoint", checkpoint]
    whole, printed = run(long_movie, *options, "--n-frames=5")
    assert f"with {checkpoint} the same command goes on where it stopped" in printed.out
    # the training was finished: it is not begun again
    before = checkpoint.read_bytes()
    monkeypatch.setattr("temdenoise.cli._denoise._CHUNK_PIXELS", 1)
    parts, _ = run(long_movie, *options, "--n-frames=5")
    assert checkpoint.read_bytes() == before
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_a_training_lasts_no_longer_than_it_may(movie, run, monkeypatch):
    endless = clone(TRAINED["blind-spot"]).set_params(max_epochs=10**6)
    monkeypatch.setitem(METHODS, "blind-spot", Method("", lambda _: endless, trains=True))
    denoised, _ = run(movie, "--method=blind-spot", "--max-minutes=0.002")
    assert np.isfinite(denoised).all()


def test_a_long_movie_is_learnt_from_its_middle(long_movie, run, monkeypatch):
    monkeypatch.setattr("temdenoise.cli._prepare._TRAINING_PIXELS", 48 * 48 * 12)
    _, printed = run(long_movie, "--method=blind-spot")
    assert "training on 12 of 22 frames" in printed.out


@pytest.mark.filterwarnings("ignore:The drift of")  # this piece holds too little to measure some
def test_trained_weights_denoise_sums(movie, run):
    counts = load_sample_movie().data[:4, 140:300, 150:310]
    write_stack(movie, counts, overwrite=True)
    general = SBDDenoiser.from_pretrained()
    denoiser = AlignedSumDenoiser(denoiser=FrozenEstimator(general), n_frames=3).fit(counts)
    expected = denoiser.transform(counts)
    for options in ([], ["--method=sbd"]):
        denoised, printed = run(movie, "--n-frames=3", *options)
        np.testing.assert_allclose(denoised, expected, rtol=1e-4)
        assert np.abs(denoised - general.transform(counts)).max() > 0.02
        assert "method sbd on 3 frames, aligned and summed" in printed.out
    assert denoised.metadata["info"]["method"] == "sbd"


def test_frames_that_are_aligned_already(movie, run):
    counts = read_stack(movie)
    for method, inner in (("wiener", WienerDenoiser()), ("sbd", SBDDenoiser.from_pretrained())):
        inner = FrozenEstimator(inner) if method == "sbd" else inner
        denoiser = AlignedSumDenoiser(denoiser=inner, n_frames=3, drift="none").fit(counts)
        denoised, printed = run(movie, "--method", method, "--n-frames=3", "--aligned")
        np.testing.assert_allclose(denoised, denoiser.transform(counts), rtol=1e-4)
        assert f"method {method} on 3 frames, summed" in printed.out


@pytest.mark.filterwarnings("ignore:The drift of")
def test_auto_chooses_by_the_dose_of_the_sums(movie, run):
    counts = read_stack(movie)
    thin = thin_counts(counts, 0.06, random_state=0)[0]
    write_stack(movie, thin, overwrite=True)
    assert "for the weights 'general' do not fit 0.0" in run(movie, "--pixel-size=6.22")[1].out
    printed = run(movie, "--pixel-size=6.22", "--n-frames=5")[1]
    assert "on 5 frames, aligned and summed, for the weights 'general' fit:" in printed.out


def test_auto_takes_windows_in_time_where_the_weights_do_not_fit(movie, run):
    counts = np.random.default_rng(0).poisson(lattice_images(4, 64, 64, level=4.0, contrast=0.9))
    write_stack(movie, counts, overwrite=True)
    denoised, printed = run(movie, "--pixel-size=50", "--n-frames=3")
    filtered = WindowedFourierDenoiser(n_frames=3).fit(counts)
    np.testing.assert_allclose(denoised, filtered.transform(counts, pixel_size=50), rtol=1e-4)
    assert "method windowed-fourier on 3 frames, for" in printed.out
    printed = run(movie, "--pixel-size=50", "--adapt")[1]
    assert "nothing to adapt: windowed-fourier has no weights" in printed.out


@pytest.fixture(scope="module")
def poor_weights(tmp_path_factory):
    """Weights of a network whose corrections are far too strong."""
    folder = tmp_path_factory.mktemp("poor")
    denoiser = tiny(max_epochs=1).fit(lattices(4, 64, 64, level=3.0))
    with torch.no_grad():
        denoiser.network_.head.weight.mul_(30)
    denoiser.save_pretrained(folder)
    return folder


def test_adapted_weights_are_kept(poor_weights, long_movie, run, tmp_path):
    kept = tmp_path / "adapted"
    scale = ["--pixel-size", PIXEL_SIZE]
    options = ["--weights", poor_weights, "--adapt", "--save-weights", kept, *scale]
    denoised, printed = run(long_movie, *options, "--max-minutes", "0.001")
    assert "adapting the weights to all 22 frames. Ctrl-C ends it" in printed.out
    assert "adapted weights accepted: they change the squared error by -" in printed.out
    assert "+-" in printed.out and "train 100%" in printed.err
    assert denoised.metadata["info"]["adapted"]
    assert SBDDenoiser.from_pretrained(kept).info_["adapted_to"] == "long.npy"
    again, _ = run(long_movie, "--weights", kept, *scale)
    np.testing.assert_allclose(again, denoised, rtol=1e-5)
    before, _ = run(long_movie, "--weights", poor_weights, *scale)
    assert np.abs(before - denoised).max() > 0.01


def test_weights_that_cannot_be_bettered_stay(movie, run, tmp_path):
    write_stack(movie, read_stack(movie)[:1], overwrite=True)
    kept = tmp_path / "adapted"
    options = ["--adapt", "--max-minutes", "0.001", "--save-weights", kept]
    denoised, printed = run(movie, *options)
    assert "adapted weights not accepted, the original ones are used" in printed.out
    assert f"nothing is written to {kept}" in printed.out
    assert not kept.exists()
    assert "warning" not in printed.err
    np.testing.assert_allclose(denoised, run(movie, "--method=sbd")[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-frames", "4"], "must be odd with --method auto, got 4: as many frames before"),
        (["--method=wiener", "--n-frames=2"], "must be odd with --method wiener"),
        (["--method=udvd", "--n-frames=7"], "must be 1, 3 or 5 with --method udvd, got 7"),
        (["--method=blind-spot", "--n-frames=3"], "not with blind-spot"),
        (["--n-frames", "0"], "not a positive integer"),
        (["--aligned"], "--aligned goes with --n-frames"),
        (["--method=udvd", "--n-frames=3", "--aligned"], "a method that denoises sums"),
        (["--adapt", "--n-frames", "3"], "--adapt goes without --n-frames"),
        (["--adapt", "--method", "wiener"], "--adapt goes with --method auto or sbd"),
        (["--save-weights", "w"], "--save-weights goes with --adapt"),
        (["--adapt", "--save-weights", "full"], "'full' is not empty"),
        (["--adapt", "--save-weights", "a.txt"], "'a.txt' is a file"),
        (["--max-minutes", "1"], "or with --adapt, not with auto"),
        (["--method=sbd", "--checkpoint", "c.pt"], "--checkpoint goes with --method blind-spot"),
        (["b.npy", "--method=udvd", "--checkpoint", "c.pt"], "--checkpoint is for one training"),
        (["--method=udvd", "--checkpoint", "no/c.pt"], "folder of checkpoint_file"),
        (["--method=udvd", "--n-frames=5"], "n_frames=5 needs a movie of as many frames"),
        (["--method=thinned", "--loss=l1"], "'loss' parameter"),
    ],
)
def test_refused(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    for name in ("full", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "precious").touch()
    (tmp_path / "a.txt").touch()
    frames = np.random.default_rng(0).poisson(1.0, size=(3, 48, 48))
    np.save("a.npy", frames.astype(np.uint8))
    assert main(["denoise", "a.npy", *options, "-o", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_evaluate_has_no_frames_to_train_on(capsys):
    assert main(["evaluate", "--method", "udvd"]) == 2
    assert "invalid choice: 'udvd'" in capsys.readouterr().err
    assert main(["evaluate", "--n-frames", "3"]) == 2
    assert "unrecognized arguments: --n-frames" in capsys.readouterr().err
