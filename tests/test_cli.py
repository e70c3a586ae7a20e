"""The command line: what it writes, and what it refuses without a trace."""

import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import lattice_images

from temdenoise import (
    BM3DDenoiser,
    LowPassDenoiser,
    NLMDenoiser,
    PURELETDenoiser,
    SBDDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    find_atoms,
    load_sample_movie,
    make_ptceo2,
    read_stack,
    write_stack,
)
from temdenoise.base import BaseDenoiser, ScaledDenoiser
from temdenoise.cli import main
from temdenoise.cli._methods import METHODS, Method


def lattice(n_images=3, shape=(96, 120), pixel_size=10.0):
    """Counts of a lattice of bright columns, 2.8 A apart."""
    y, x = np.mgrid[: shape[0], : shape[1]] * pixel_size / 100
    wave = np.cos(2 * np.pi * x / 2.8) + np.cos(2 * np.pi * y / 2.8)
    clean = 5 * np.exp(wave - 1)
    return np.random.default_rng(0).poisson(clean, (n_images, *shape)).astype(np.uint16)


@pytest.fixture
def movie(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    path = tmp_path / "in" / "movie.tif"
    write_stack(path, lattice(), pixel_size=10.0)
    return path


@pytest.fixture
def out(tmp_path, movie):
    return tmp_path / "out"


def listing(folder):
    return sorted(p.name for p in folder.iterdir())


def fails(capsys, *argv):
    """Run, expect code 2, return the one line on stderr."""
    assert main([str(a) for a in argv]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("temdenoise: error: ")
    assert printed.count("\n") == 1
    return printed


@pytest.mark.parametrize(
    ("argv", "denoiser", "params"),
    [
        (["lowpass"], LowPassDenoiser(), {}),
        (["lowpass", "--cutoff", "0.1"], LowPassDenoiser(cutoff=0.1), {}),
        (["wiener"], WienerDenoiser(), {}),
        (["wiener", "--window-size=5", "--n-jobs=2"], WienerDenoiser(window_size=5), {}),
        (["windowed-fourier"], WindowedFourierDenoiser(), {"pixel_size": 10.0}),
        (
            ["windowed-fourier", "--window-size=40"],  # pixels, whatever the pixel size
            WindowedFourierDenoiser(window_size=40),
            {"pixel_size": 10.0},
        ),
        (
            ["windowed-fourier", "--binning=2", "--window-size=40", "--threshold=1.5"],
            WindowedFourierDenoiser(binning=2, window_size=40, threshold=1.5),
            {},
        ),
        (
            ["vst-bm3d", "--profile=fast", "--iterations=1", "--binning=2", "--device=cpu"],
            VSTDenoiser(denoiser=BM3DDenoiser(sigma=1.0, profile="fast"), iterations=1, binning=2),
            {},
        ),
        (["bm3d", "--profile=fast", "--sigma=1.5"], BM3DDenoiser(sigma=1.5, profile="fast"), {}),
        (["bm3d", "--device=cpu", "--n-jobs=1"], BM3DDenoiser(), {}),
        (["nlm", "--smoothing=0.4"], NLMDenoiser(h=0.4), {}),
        (
            ["vst-nlm", "--smoothing=0.4", "--binning=3", "--iterations=1"],
            VSTDenoiser(denoiser=NLMDenoiser(h=0.4), binning=3, iterations=1),
            {},
        ),
        (
            ["pure-let", "--n-scales=2", "--binning=12"],
            PURELETDenoiser(n_scales=2, binning=12),
            {},
        ),
    ],
)
def test_denoise_is_the_librarys_transform(movie, out, argv, denoiser, params):
    method = argv[0]
    assert main(["denoise", str(movie), "-o", str(out), "--method", *argv]) == 0
    assert listing(out) == ["movie_denoised.tif"]
    denoised = read_stack(out / "movie_denoised.tif")
    counts = np.asarray(read_stack(movie))  # lengths in pixels
    expected = denoiser.fit(counts).transform(counts, **params)
    np.testing.assert_allclose(denoised, expected, rtol=1e-5)
    assert denoised.dtype == np.float32
    assert denoised.pixel_size == pytest.approx(10)
    assert denoised.metadata["info"] == {"source": "movie.tif", "method": method}


def test_several_files_atoms_and_figures(movie, out, capsys):
    np.save(movie.with_name("other.npy"), lattice(1))
    files = [str(movie), str(movie.with_name("other.npy"))]
    code = main(["denoise", *files, "-o", str(out), "--method=wiener", "--atoms", "--figure"])
    assert code == 0
    assert listing(out) == sorted(
        f"{name}_denoised{end}"
        for name, image in (("movie", ".tif"), ("other", ".npy"))
        for end in (image, "_atoms.csv", ".png")
    )
    printed = capsys.readouterr().out
    assert "10 pm/px from the file" in printed
    assert "pixel size unknown" in printed
    table = pd.read_csv(out / "movie_denoised_atoms.csv")
    denoised = read_stack(out / "movie_denoised.tif")
    expected = pd.concat([find_atoms(i, pixel_size=10.0) for i in denoised])
    assert len(table) == len(expected) > 0
    assert table["frame"].nunique() == 3
    assert list(table) == [
        "frame", "x_px", "y_px", "x_nm", "y_nm", "radius_px", "intensity_counts_per_px", "response",
    ]  # fmt: skip
    np.testing.assert_allclose(table[["x_px", "y_px"]], expected[["x", "y"]], rtol=1e-4)
    np.testing.assert_allclose(table["response"], expected["response"], rtol=1e-4)
    np.testing.assert_allclose(table["x_nm"], table["x_px"] * 0.01, rtol=1e-4)
    assert "x_nm" not in pd.read_csv(out / "other_denoised_atoms.csv")
    assert (out / "movie_denoised.png").read_bytes().startswith(b"\x89PNG")


def test_auto_says_what_it_takes_and_why(out, tmp_path, capsys):
    sample = load_sample_movie()
    counts = np.asarray(sample.data[:1, 140:330, 150:330])
    path = tmp_path / "sample.tif"
    denoised = SBDDenoiser.from_pretrained().transform(counts, pixel_size=6.22)

    def run(*argv):
        assert main(["denoise", str(path), "-o", str(out / "a.tif"), "--overwrite", *argv]) == 0
        stack = read_stack(out / "a.tif")
        return stack, stack.metadata["info"]["method"], capsys.readouterr().out

    write_stack(path, counts, pixel_size=6.22)
    stack, method, printed = run()
    np.testing.assert_allclose(stack, denoised, rtol=1e-5)
    assert method == "sbd"
    assert "method sbd, for the weights 'general' fit: 6.22 pm/px" in printed
    assert "sbd predicts held-out electrons best" in printed and "constant +" in printed
    counts = np.random.default_rng(0).poisson(lattice_images(1, 64, 64, level=4.0, contrast=0.9))
    write_stack(path, counts, overwrite=True)
    stack, method, printed = run("--pixel-size", "50")
    expected = WindowedFourierDenoiser().fit(counts).transform(counts, pixel_size=50.0)
    np.testing.assert_allclose(stack, expected, rtol=1e-5)
    assert method == "windowed-fourier"
    assert "method windowed-fourier, for the weights 'general' do not fit 50 pm/px" in printed
    # where nothing tells the scale, it is looked for
    vacuum = np.random.default_rng(0).poisson(0.45, size=(1, 120, 120))
    write_stack(path, vacuum, overwrite=True)
    stack, method, printed = run()
    assert method == "constant"
    np.testing.assert_allclose(stack, vacuum.mean(), rtol=1e-5)
    assert "no method predicts held-out electrons significantly better" in printed
    assert "no pixel size was found: " in printed and "; pixel size unknown" in printed


def ramp(n_images=4):
    """Electrons on a field that brightens from 2 to 20 per pixel."""
    rate = np.broadcast_to(np.linspace(2, 20, 128), (n_images, 128, 128))
    return np.random.default_rng(0).poisson(rate)


@pytest.mark.parametrize("gain", ["auto", "12"])
def test_a_gain_is_undone(movie, out, capsys, gain):
    electrons = ramp()
    write_stack(movie, 12 * electrons + 500, overwrite=True)
    argv = ["denoise", str(movie), "-o", str(out / "a.tif"), "--method", "wiener"]
    assert main([*argv, "--figure", "--gain", gain]) == 0
    assert "gain 12 per electron, offset 500, read noise 0 electrons" in capsys.readouterr().out
    denoised = read_stack(out / "a.tif")
    expected = WienerDenoiser().fit(electrons).transform(electrons)
    np.testing.assert_allclose(denoised, expected, rtol=1e-6)
    assert denoised.metadata["info"] == {
        "source": "movie.tif", "method": "wiener", "gain": 12, "offset": 500
    }  # fmt: skip
    # given altogether; and not at all, which is noticed
    assert main([*argv, "--gain", "12", "--offset", "500", "--overwrite"]) == 0
    np.testing.assert_allclose(read_stack(out / "a.tif"), expected, rtol=1e-6)
    capsys.readouterr()
    message = fails(capsys, *argv, "--overwrite")
    assert re.search("no counts.* all 12 apart.* gain of 12 .*--gain auto.*--gain 1", message)
    with warnings.catch_warnings():  # who insists is warned
        warnings.simplefilter("default")
        assert main([*argv, "--overwrite", "--gain", "1"]) == 0
    assert re.search("warning: Wiener.* all 12 apart.*--gain auto", capsys.readouterr().err)


def test_read_noise_is_reckoned_with_or_refused(movie, out, capsys):
    electrons = ramp()
    noise = np.random.default_rng(1).normal(0, 30, electrons.shape)
    stored = (12 * electrons + 500 + noise).astype(np.float32)
    write_stack(movie, stored, overwrite=True)
    argv = ["denoise", movie, "-o", out / "a.tif", "--gain", "12", "--offset", "500", "--method"]
    message = fails(capsys, *argv, "wiener")
    assert "not Poisson" in message and "use --method vst-bm3d, vst-nlm or pure-let" in message
    # sums of frames do not take it, whatever the method
    assert "pure-let without --n-frames" in fails(capsys, *argv, "vst-bm3d", "--n-frames", "3")
    assert listing(out) == []
    assert main([str(a) for a in argv] + ["pure-let"]) == 0
    rates = read_stack(out / "a.tif")
    known = PURELETDenoiser(read_noise=2.5).fit_transform((stored - 500) / 12)
    # the read noise is measured here, and given there
    assert np.sqrt(np.mean((rates - known) ** 2)) < 0.1
    # a little read noise is no harm: what it carries below zero is told
    write_stack(movie, (12 * ramp() + 500 + noise / 8).round(), overwrite=True)
    capsys.readouterr()
    assert main([str(a) for a in argv] + ["wiener", "--overwrite"]) == 0
    assert "of the pixels were below zero, by read noise" in capsys.readouterr().out


def test_what_has_no_gain_is_refused(movie, out, capsys):
    image = np.add.outer(np.arange(128.0), np.arange(128.0)) + 100
    noise = np.random.default_rng(0).normal(0, 5, (4, 128, 128))
    write_stack(movie, image + noise, overwrite=True)  # alike at all brightnesses
    message = fails(capsys, "denoise", movie, "-o", out, "--method", "wiener", "--gain", "auto")
    assert "The gain cannot be found from these images" in message
    assert listing(out) == []


def test_output_file_of_another_format_and_long_stacks_in_parts(movie, out, monkeypatch):
    monkeypatch.setattr("temdenoise.cli._denoise._CHUNK_PIXELS", 1)
    assert main(["denoise", str(movie), "-o", str(out / "a.npy"), "--method", "wiener"]) == 0
    counts = np.asarray(read_stack(movie))  # lengths in pixels
    np.testing.assert_allclose(
        np.load(out / "a.npy"), WienerDenoiser().fit(counts).transform(counts), rtol=1e-6
    )


def test_masks(movie, out, tmp_path):
    counts = np.asarray(read_stack(movie))  # lengths in pixels
    mask = np.zeros(counts.shape[1:], dtype=bool)
    mask[:10, 5:40] = True
    mask[90:, :] = True
    np.save(tmp_path / "mask.npy", mask[90:].any() * (np.arange(96)[:, None] >= 90) * np.ones(120))
    argv = ["denoise", str(movie), "-o", str(out), "--method", "lowpass"]
    assert main([*argv, "--mask", "5:40,0:10", "--mask", str(tmp_path / "mask.npy")]) == 0
    denoised = read_stack(out / "movie_denoised.tif")
    expected = LowPassDenoiser().fit(counts).transform(counts, mask=mask)
    np.testing.assert_allclose(denoised, expected, rtol=1e-6)
    assert np.abs(expected - LowPassDenoiser().fit(counts).transform(counts)).max() > 1e-3
    assert main([*argv, "--mask", ":,90:", "--mask", "5:40,:10", "--overwrite"]) == 0
    np.testing.assert_array_equal(read_stack(out / "movie_denoised.tif"), denoised)


@pytest.mark.filterwarnings("ignore:NLMDenoiser lost")  # which the filter does to counts
@pytest.mark.parametrize("method", [name for name, m in METHODS.items() if not m.trains])
def test_masked_pixels_may_be_nan(out, method):
    path, mask = out / "broken.npy", np.zeros((96, 120), dtype=bool)
    mask[:10, 5:40] = True
    argv = ["denoise", path, "-o", out / "a.npy", "--method", method, "--mask", "5:40,0:10"]
    argv = [str(a) for a in [*argv, "--pixel-size", "10", "--overwrite"]]
    if method == "lowpass":
        argv.append("--figure")  # which is drawn in the same way for all methods
    denoised = []
    for value in (np.nan, 1.0):
        counts = lattice(1).astype(np.float32)
        counts[:, mask] = value
        np.save(path, counts)
        assert main(argv) == 0
        denoised.append(np.load(out / "a.npy"))
    assert np.isfinite(denoised).all()
    np.testing.assert_allclose(*denoised, rtol=1e-6)


def test_nan_without_a_mask_is_refused(out, capsys):
    counts = lattice(1).astype(np.float32)
    counts[0, 0, 0] = np.nan
    np.save(out / "broken.npy", counts)
    argv = ["denoise", out / "broken.npy", "-o", out / "a.npy", "--method", "wiener"]
    assert "NaN" in fails(capsys, *argv)
    assert listing(out) == ["broken.npy"]


def test_gain_of_images_with_nan_under_the_mask(out):
    stored = (12 * ramp() + 500).astype(np.float32)
    stored[:, :10, :20] = np.nan
    np.save(out / "broken.npy", stored)
    argv = ["denoise", str(out / "broken.npy"), "-o", str(out / "a.npy"), "--method", "wiener"]
    assert main([*argv, "--mask", "0:20,0:10", "--gain", "auto"]) == 0
    mask = np.isnan(stored[0])
    expected = WienerDenoiser().fit(ramp()).transform(ramp(), mask=mask)
    np.testing.assert_allclose(np.load(out / "a.npy"), expected, rtol=1e-5)


def test_any_denoiser_of_the_contract_can_be_run(movie, out, monkeypatch):
    """A line in the table of methods is all it takes, whatever keywords its transform takes."""

    class Mean(BaseDenoiser):
        def _transform(self, X, mask):
            return np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)

    class PixelSize(ScaledDenoiser):
        def _transform(self, X, mask, pixel_size):
            return np.full(X.shape, pixel_size)

    class OldStyle(Mean):
        def transform(self, X):
            return super().transform(X)

    counts = read_stack(movie)
    for denoiser, expected in (
        (Mean, counts.mean(axis=(1, 2))),
        (PixelSize, [10.0] * 3),
        (OldStyle, counts.mean(axis=(1, 2))),
    ):
        monkeypatch.setitem(METHODS, "wiener", Method("own", lambda t, make=denoiser: make()))
        argv = ["denoise", str(movie), "-o", str(out / "a.npy"), "--method=wiener", "--overwrite"]
        assert main(argv) == 0
        np.testing.assert_allclose(np.load(out / "a.npy")[:, 0, 0], expected, rtol=1e-6)


def test_no_atoms_are_reported_under_the_mask(movie, out):
    argv = ["denoise", str(movie), "-o", str(out), "--method", "wiener", "--atoms", "--overwrite"]
    table = out / "movie_denoised_atoms.csv"
    assert main(argv) == 0
    assert (pd.read_csv(table)["x_px"] < 60).any()
    assert main([*argv, "--mask", "0:60,0:96"]) == 0
    masked = pd.read_csv(table)
    assert len(masked) > 0
    assert masked["x_px"].min() >= 59.5


def test_existing_output_is_replaced_only_if_asked(movie, out, capsys):
    (out / "movie_denoised.png").write_text("precious")
    argv = ["denoise", movie, "-o", out, "--method", "wiener"]
    assert "movie_denoised.png' exists already" in fails(capsys, *argv, "--figure")
    assert listing(out) == ["movie_denoised.png"]
    assert (out / "movie_denoised.png").read_text() == "precious"
    (out / "movie_denoised.tif").write_text("precious")
    assert "--overwrite" in fails(capsys, *argv)
    assert (out / "movie_denoised.tif").read_text() == "precious"
    assert main([str(a) for a in argv] + ["--overwrite"]) == 0
    assert len(read_stack(out / "movie_denoised.tif")) == 3


def test_missing_or_damaged_input_and_absent_folder(movie, out, capsys):
    def refused(path, output=out):
        return fails(capsys, "denoise", path, "-o", output, "--method", "wiener")

    assert "there is no file" in refused(movie.with_name("nowhere.tif"))
    damaged = movie.with_name("damaged.tif")
    damaged.write_bytes(movie.read_bytes()[:5000])
    assert "damaged, truncated" in refused(damaged)
    (movie.parent / "a.txt").write_text("hello")
    assert "unknown format '.txt'" in refused(movie.parent / "a.txt")
    assert "there is no folder" in refused(movie, out / "absent")
    assert "There is no folder" in refused(movie, out / "absent" / "a.tif")
    negative = movie.with_name("negative.npy")
    np.save(negative, lattice(1) - 3.0)
    assert "negative.npy': " in refused(negative)
    assert listing(out) == []


def test_outputs_that_clash(movie, out, capsys):
    twin = movie.with_suffix(".npy")
    np.save(twin, lattice(1))
    argv = ["--method", "wiener", "--overwrite", "-o"]
    assert "cannot go into one file" in fails(capsys, "denoise", movie, twin, *argv, out / "a.tif")
    assert "is an input" in fails(capsys, "denoise", movie, *argv, movie)
    other = out / "movie.tif"
    write_stack(other, lattice(1))
    assert "both be written" in fails(capsys, "denoise", movie, other, *argv, out)
    np.testing.assert_array_equal(read_stack(movie), lattice())


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("0:10", "neither a region"),
        ("0:10,5:5", "empty or not within"),
        ("0:121,0:5", "120 columns and 96 rows"),
        (":,:", "hides every pixel"),
        ("nowhere.npy", "neither a region"),
        ("small.npy", r"shape (95, 120), but those to denoise have shape (96, 120)"),
        ("long.npy", "(4, 96, 120)"),
    ],
)
def test_bad_masks(movie, out, tmp_path, monkeypatch, capsys, mask, message):
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.eye(95, 120, dtype=bool))
    np.save("long.npy", np.ones((4, 96, 120), dtype=bool) * (np.arange(120) < 3))
    argv = ["denoise", movie, "-o", out, "--method", "wiener", "--mask", mask]
    assert message in fails(capsys, *argv)
    assert listing(out) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "a command is missing"),
        (["fly"], "invalid choice: 'fly'"),
        (["denoise", "a.tif"], "-o/--output"),
        (["denoise", "a.tif", "-o", ".", "--pixel-size", "-3"], "positive finite"),
        (["denoise", "a.tif", "-o", ".", "--pixel-size", "big"], "neither a number"),
        (["denoise", "a.tif", "-o", ".", "--method", "magic"], "invalid choice: 'magic'"),
        (["denoise", "a.tif", "-o", ".", "--method", "wiener", "--weights", "w"], "--weights goes"),
        (
            ["denoise", "a.tif", "-o", ".", "--method", "wiener", "--pixel-size", "auto"],
            "auto goes",
        ),
        (
            ["denoise", "a.tif", "-o", ".", "--cutoff", "0.1"],
            "--cutoff goes with --method lowpass, not with auto",
        ),
        (
            ["denoise", "a.tif", "-o", ".", "--method", "vst-nlm", "--window-size", "9"],
            "--window-size goes with --method wiener or windowed-fourier, not with vst-nlm",
        ),
        (["denoise", "a.tif", "-o", ".", "--gain", "-1"], "positive finite"),
        (["denoise", "a.tif", "-o", ".", "--gain", "big"], "neither a number nor 'auto'"),
        (["denoise", "a.tif", "-o", ".", "--gain", "2", "--offset", "inf"], "not a finite"),
        (["denoise", "a.tif", "-o", ".", "--offset", "100"], "--offset goes with --gain"),
        (["simulate", "-n", "0", "-o", "a.npz"], "not a positive integer"),
        (["simulate", "-n", "1", "-o", "a.png"], "must be a folder or end in .npz"),
        (["simulate", "-n", "1", "-o", "absent/a.npz"], "there is no folder 'absent'"),
        (["simulate", "-n", "1", "-o", "a.npz", "--preset", "fast"], "preset"),
        (["simulate", "-n", "1", "-o", "a.npz", "--device", "gpu"], "device='gpu' cannot be used"),
        (["train", "-o", "w", "--resume"], "there is no 'w/checkpoint.pt'"),
        (["train", "-o", "w", "--pixel-size", "4", "5", "6"], "one or two numbers"),
        (["train", "-o", "w", "--max-minutes", "0"], "positive finite"),
        (["train", "-o", "w", "--images", "nowhere.npz"], "no file 'nowhere.npz'"),
        (["train", "-o", "full"], "'full' is not empty"),
        # all before any image is read or simulated, which would take minutes
        (["train", "-o", "w", "--network", "resnet", "--images", "no.npz"], "network"),
        (
            ["train", "-o", "w", "--images", "no.npz", "--optics", "varied"],
            "--optics is for images",
        ),
        (["train", "-o", "w", "--n-scales", "7", "--images", "no.npz"], "scales must be 1 to 5"),
        (
            ["train", "-o", "w", "--network", "dncnn", "--n-scales", "2"],
            "n_scales cannot be chosen",
        ),
        (["demo", "-o", "full"], "exists already"),
    ],
)
def test_refused_arguments(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "demo.png").write_text("precious")
    assert message in fails(capsys, *argv)
    assert listing(tmp_path) == ["full"]
    assert listing(tmp_path / "full") == ["demo.png"]


def test_simulate(tmp_path):
    argv = ["simulate", "-n", "2", "--random-state", "3"]
    assert main([*argv, "-o", str(tmp_path / "a.npz")]) == 0
    assert main([*argv, "-o", str(tmp_path / "folder")]) == 0
    archive = np.load(tmp_path / "a.npz")
    images = read_stack(tmp_path / "a.npz")
    assert images.shape == (2, 256, 256)
    assert images.pixel_size == pytest.approx(19.53125)
    same = read_stack(tmp_path / "folder" / "images.tif")
    np.testing.assert_array_equal(same, images)
    assert same.pixel_size == pytest.approx(19.53125)
    frame = pd.read_csv(tmp_path / "folder" / "images.csv")
    # few images show several structures, and say which
    assert frame["structure"].tolist() == archive["groups"].tolist()
    assert frame["structure"].nunique() == 2
    assert frame["defocus_nm"].tolist() == archive["frame_defocus"].tolist()
    assert {"thickness_angstrom", "tilt_x_deg", "tilt_y_deg"} < set(frame)
    columns = pd.read_csv(tmp_path / "folder" / "columns.csv")
    assert set(columns["image"]) == {0, 1}
    np.testing.assert_allclose(columns["x_px"], archive["columns_x"], rtol=1e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network trained for a moment by the command itself."""
    folder = tmp_path_factory.mktemp("train")
    main(["simulate", "-n", "4", "--random-state", "0", "-o", str(folder / "images.npz")])
    argv = ["train", "--images", str(folder / "images.npz"), "-o", str(folder / "weights")]
    argv += ["--n-scales=2", "--base-channels=8", "--pixel-size", "5", "8", "--stretch=0.05"]
    assert main([*argv, "--dose", "0.3", "6", "--max-minutes", "0.01"]) == 0
    return folder / "weights"


def test_train_leaves_weights_that_denoise(weights, movie, out):
    denoiser = SBDDenoiser.from_pretrained(weights)
    assert denoiser.training_pixel_size == (5, 8)
    assert denoiser.stretch == 0.05
    assert denoiser.bins_.size == pytest.approx(5 * 40**0.5)
    assert denoiser.transform(np.ones((1, 64, 64)), pixel_size=5).shape == (1, 64, 64)
    argv = ["denoise", str(movie), "-o", str(out / "a.tif"), "--weights", str(weights)]
    assert main([*argv, "--pixel-size", "6", "--mask", "0:20,0:20"]) == 0
    denoised = read_stack(out / "a.tif")
    counts = np.asarray(read_stack(movie))  # lengths in pixels
    mask = np.zeros(counts.shape[1:], dtype=bool)
    mask[:20, :20] = True
    np.testing.assert_allclose(
        denoised, denoiser.transform(counts, pixel_size=6, mask=mask), rtol=1e-5
    )
    assert denoised.pixel_size == pytest.approx(6)


def test_simulate_other_microscopes(tmp_path):
    argv = ["simulate", "-n", "1", "--random-state", "3", "--optics", "varied"]
    assert main([*argv, "-o", str(tmp_path / "a.npz")]) == 0
    expected = make_ptceo2(1, models="varied", optics="varied", random_state=3)
    archive = np.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(archive["data"], expected.data)
    assert archive["frame_c12"].tolist() == expected.frame["c12"].tolist()


def test_train_does_not_replace_weights_unasked(weights, capsys):
    before = (weights / "model.safetensors").read_bytes()
    assert "--overwrite" in fails(capsys, "train", "-o", weights, "--max-minutes", "0.01")
    assert (weights / "model.safetensors").read_bytes() == before


def test_train_resumes(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    before = len(SBDDenoiser.from_pretrained(folder).history_)
    argv = ["train", "--images", str(weights.parent / "images.npz"), "-o", str(folder), "--resume"]
    argv += ["--n-scales=2", "--base-channels=8", "--pixel-size", "5", "8", "--stretch=0.05"]
    # the time trained so far, which the checkpoint knows, and half a second more: some steps
    seconds = torch.load(folder / "checkpoint.pt", weights_only=True)["seconds"] + 0.5
    assert main([*argv, "--dose", "0.3", "6", "--max-minutes", str(seconds / 60)]) == 0
    assert len(SBDDenoiser.from_pretrained(folder).history_) > before


def test_train_checks_what_it_resumes_before_it_reads_images(weights, tmp_path, capsys):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    argv = ["train", "--images", "no.npz", "-o", folder, "--resume", "--n-scales", "3"]
    assert "belongs to a training with other" in fails(capsys, *argv, "--max-minutes", "0.1")
    (folder / "checkpoint.pt").write_bytes(b"damaged")
    assert "is no checkpoint or is damaged" in fails(capsys, *argv, "--max-minutes", "0.1")


def test_failed_training_leaves_no_empty_folder(weights, tmp_path, capsys):
    images = weights.parent / "images.npz"
    new = tmp_path / "a" / "b"
    argv = ["train", "--images", images, "-o", new, "--max-epochs", "1", "--pixel-size", "400"]
    assert "of their contrast" in fails(capsys, *argv)
    assert listing(tmp_path) == []


def test_pixel_size_is_found_where_nothing_tells_it(weights, out, capsys):
    path = out.parent / "in" / "bare.npy"
    np.save(path, lattice(2))
    argv = ["denoise", str(path), "-o", str(out), "--weights", str(weights)]
    assert main(argv) == 0
    assert "suits the network best" in capsys.readouterr().out
    np.save(path, lattice(1) + 0.5)
    message = fails(capsys, *argv, "--overwrite")
    assert "bare.npy" in message and "whole numbers plus 0.5" in message


def test_damaged_weights(weights, movie, out, tmp_path, capsys):
    shutil.copytree(weights, tmp_path / "w")
    (tmp_path / "w" / "model.safetensors").write_bytes(b"junk")
    for name, message in ((tmp_path / "w", "damaged"), ("nowhere", "no weights 'nowhere'")):
        assert message in fails(capsys, "denoise", movie, "-o", out, "--weights", name)
    assert listing(out) == []


def test_demo(tmp_path, capsys):
    folder = tmp_path / "new" / "demo"
    assert main(["demo", "--output", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert listing(folder) == ["demo.png", "demo_atoms.csv", "demo_denoised.tif"]
    before, after = (float(x) for x in re.search(r"PSNR (\S+) dB -> (\S+) dB", printed).groups())
    assert after > before + 20
    precision, recall = re.search(r"precision (\S+), recall (\S+)", printed).groups()
    assert float(precision) > 0.85 and float(recall) > 0.85
    denoised = read_stack(folder / "demo_denoised.tif")
    movie = load_sample_movie()
    assert denoised.shape == movie.data.shape
    assert denoised.pixel_size == pytest.approx(movie.pixel_size)
    assert pd.read_csv(folder / "demo_atoms.csv")["frame"].nunique() == len(denoised)
    assert "exists already" in fails(capsys, "demo", "-o", folder)
