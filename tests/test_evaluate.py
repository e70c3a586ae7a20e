"""Scores of what is fitted already: `evaluate`, `benchmark` and the command line."""

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

from temdenoise import (
    LowPassDenoiser,
    PoissonNoise,
    SBDDenoiser,
    WienerDenoiser,
    make_ptceo2,
    psnr,
    ssim,
    write_stack,
)
from temdenoise.base import BaseDenoiser
from temdenoise.cli import main
from temdenoise.images import ImageStack
from temdenoise.metrics import atom_f1, make_denoising_scorer, multimetric_scorer, psnr_scorer
from temdenoise.model_selection import benchmark, evaluate

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from package_table import OUTPUT, shipped  # noqa: E402


class Identity(BaseDenoiser):
    """Return what came in, and note how often `fit` and `transform` are called."""

    n_fits, sizes = 0, ()

    def _fit(self, X, y, mask):
        type(self).n_fits += 1
        super()._fit(X, y, mask)

    def _transform(self, X, mask):
        type(self).sizes = (*self.sizes, len(X))
        return X


@pytest.fixture
def identity(clean):
    denoiser = Identity().fit(clean)
    Identity.n_fits, Identity.sizes = 0, ()
    return denoiser


def off_by(*decibels, side=12):
    """Images, and the same with an error that gives each the PSNR asked for."""
    clean = np.full((len(decibels), side, side), 0.5)
    return clean + 10 ** (-np.array(decibels) / 20).reshape(-1, 1, 1), clean


def test_scores_of_each_image_and_their_standard_error(identity):
    noisy, clean = off_by(20, 23, 26)
    result = evaluate(identity, noisy, clean, scoring="psnr")
    assert result.images.index.name == "image"
    np.testing.assert_allclose(result.images["psnr"], [20, 23, 26], atol=1e-4)
    assert result.summary.columns.tolist() == ["n_images", "psnr", "psnr_sem"]
    row = result.summary.loc["all"]
    assert row.tolist() == pytest.approx([3, 23, 3 / np.sqrt(3)], abs=1e-4)
    assert Identity.n_fits == 0
    text = repr(result)
    assert "psnr_sem" in text
    assert "1.732" in text
    assert "<table" in result._repr_html_()


def test_groups(identity):
    """The standard error of all images is that of independent groups, not of images."""
    noisy, clean = off_by(20, 30, 24, 34)
    result = evaluate(identity, noisy, clean, groups=["a", "b", "a", "b"], scoring="psnr")
    assert result.images["group"].tolist() == ["a", "b", "a", "b"]
    assert result.summary.index.tolist() == ["a", "b", "all"]
    assert result.summary["n_images"].tolist() == [2, 2, 4]
    np.testing.assert_allclose(result.summary["psnr"], [22, 32, 27], atol=1e-4)
    # two groups of one size: the standard deviation of 22 and 32 by the root of two
    expected = [2, 2, np.std([22, 32], ddof=1) / np.sqrt(2)]
    np.testing.assert_allclose(result.summary["psnr_sem"], expected, atol=1e-4)
    one = evaluate(identity, noisy, clean, groups=[7] * 4, scoring="psnr").summary
    assert one.index.tolist() == [7, "all"]
    assert np.isnan(one.loc["all", "psnr_sem"])


def test_groups_of_different_size_count_with_their_images(identity):
    noisy, clean = off_by(20, 26, 26, 26)
    summary = evaluate(identity, noisy, clean, groups=list("abbb"), scoring="psnr").summary
    # deviations from the mean 24.5, summed within the groups: -4.5 and 4.5
    assert summary.loc["all", "psnr_sem"] == pytest.approx(np.sqrt(2 * 2 * 4.5**2) / 4, abs=1e-4)
    assert np.isnan(summary.loc["a", "psnr_sem"])


def test_mean_is_the_score_of_the_scorers(clean, noisy):
    denoiser = LowPassDenoiser().fit(clean)
    for X in ((clean,), (noisy, clean)):
        expected = multimetric_scorer(denoiser, *X)
        for batch_size in (None, 4):  # the same noise, whatever is denoised at a time
            row = evaluate(denoiser, *X, batch_size=batch_size).summary.loc["all"]
            assert row["psnr"] == pytest.approx(expected["psnr"])
            assert row["ssim"] == pytest.approx(expected["ssim"])
    options = {"noise": PoissonNoise(dose=2.0), "n_realizations": 3, "random_state": 5}
    expected = make_denoising_scorer("psnr", **options)(denoiser, clean)
    result = evaluate(denoiser, clean, scoring="psnr", **options)
    assert result.summary.loc["all", "psnr"] == pytest.approx(expected)


def test_batches_bound_what_is_denoised_at_a_time(identity, clean, capsys):
    evaluate(identity, clean, batch_size=4, n_realizations=2, verbose=True)
    assert Identity.sizes == (4, 2, 4, 2)
    assert "12/12" in capsys.readouterr().err
    evaluate(identity, clean)
    assert Identity.sizes[4:] == (6,)
    assert capsys.readouterr().err == ""


def test_metrics_by_name_as_callables_and_with_a_pixel_size(identity):
    sim = make_ptceo2(1, structure="PtNp3", contrast="white")
    images = ImageStack(sim.data, sim.pixel_size)
    result = evaluate(identity, images, images, scoring=["atom_f1", "atom_recall"])
    assert result.summary.loc["all", ["atom_f1", "atom_recall"]].tolist() == [1.0, 1.0]

    def worst_pixel(clean, denoised):
        return np.abs(clean - denoised).max()  # one number for the stack: asked image by image

    noisy, clean = off_by(20, 40)
    result = evaluate(identity, noisy, clean, scoring=worst_pixel)
    np.testing.assert_allclose(result.images["worst_pixel"], [0.1, 0.01], atol=1e-6)
    result = evaluate(identity, noisy, clean, scoring={"a": "psnr", "b": worst_pixel})
    assert result.images.columns.tolist() == ["a", "b"]


def test_movie_with_one_mask(clean, noisy):
    mask = np.zeros(clean.shape[1:], dtype=bool)
    mask[:, 20:] = True
    spoilt = np.where(mask, np.nan, noisy)
    denoiser = LowPassDenoiser().fit(clean)
    denoised = denoiser.transform(noisy, mask=mask)
    for batch_size in (None, 4):
        result = evaluate(denoiser, spoilt, clean, scoring="psnr", mask=mask, batch_size=batch_size)
        np.testing.assert_allclose(result.images["psnr"], psnr(clean, denoised, mask=mask))
    # a method that takes no mask is scored on the same pixels
    result = evaluate(Identity().fit(clean), noisy, clean, scoring="psnr", mask=mask)
    np.testing.assert_allclose(result.images["psnr"], psnr(clean, noisy, mask=mask))


def test_keywords_of_transform(clean, noisy):
    class Scaling(BaseDenoiser):
        def transform(self, X, *, pixel_size=None, factor=1):
            self.seen_ = pixel_size
            return factor * super().transform(X)

        def _transform(self, X, mask):
            return X

    denoiser = Scaling().fit(clean)
    result = evaluate(
        denoiser, noisy, clean, scoring="psnr", pixel_size=5.0, transform_params={"factor": 0}
    )
    assert denoiser.seen_ == 5.0
    np.testing.assert_allclose(result.images["psnr"], psnr(clean, 0 * clean))
    wiener = WienerDenoiser().fit(clean)  # takes none
    assert evaluate(wiener, noisy, clean, pixel_size=5.0).summary.equals(
        evaluate(wiener, noisy, clean).summary
    )


@pytest.mark.filterwarnings("ignore:The estimate of .* is not finite")
def test_an_image_that_cannot_be_scored_shows(identity):
    class Broken(Identity):
        def _transform(self, X, mask):
            return np.where(np.arange(len(X))[:, None, None] == 1, np.nan, X)

    noisy, clean = off_by(20, 30)
    scores = evaluate(Broken().fit(clean), noisy, clean, scoring="psnr").images["psnr"]
    assert scores[0] == pytest.approx(20, abs=1e-4)
    assert scores[1] < -700


def test_what_is_refused(identity, clean, noisy):
    with pytest.raises(NotFittedError):
        evaluate(LowPassDenoiser(), clean)
    with pytest.raises(ValueError, match="'denoiser' parameter"):
        evaluate("sbd", clean)
    with pytest.raises(ValueError, match="metric must be"):
        evaluate(identity, clean, scoring="snr")
    with pytest.raises(ValueError, match="at least one"):
        evaluate(identity, clean, scoring=[])
    with pytest.raises(ValueError, match="not a scorer"):
        evaluate(identity, clean, scoring=psnr_scorer)
    with pytest.raises(ValueError, match="may be called 'group'"):
        evaluate(identity, clean, scoring={"group": "psnr"})
    with pytest.raises(ValueError, match="noisy already"):
        evaluate(identity, noisy, clean, n_realizations=2)
    with pytest.raises(ValueError, match="same shape"):
        evaluate(identity, noisy, clean[:2])
    with pytest.raises(ValueError, match="one label for each of the 6 images"):
        evaluate(identity, clean, groups=[1, 2])
    with pytest.raises(ValueError, match="called 'all'"):
        evaluate(identity, clean, groups=["all"] * 6)
    with pytest.raises(ValueError, match="cannot be negative"):
        evaluate(identity, -clean)
    with pytest.raises(ValueError, match="mask has shape"):
        evaluate(identity, clean, mask=np.zeros((2, 2), dtype=bool))


def test_cross_validation_of_a_frozen_network_does_not_train(clean, noisy):
    """What scikit-learn clones it fits anew; frozen, it is scored as it is."""
    noisy = ImageStack(noisy, 6.22)
    network = SBDDenoiser.from_pretrained("general", device="cpu").set_params(orientations=1)
    with pytest.raises(NotFittedError):
        clone(network).transform(clean)
    frozen = FrozenEstimator(network)
    groups = [0, 0, 0, 1, 1, 1]
    scores = cross_val_score(
        frozen, noisy, clean, groups=groups, cv=LeaveOneGroupOut(), scoring=psnr_scorer
    )
    result = evaluate(network, noisy, clean, groups=groups, scoring="psnr")
    assert scores == pytest.approx(result.summary["psnr"].iloc[:2])
    again = evaluate(frozen, noisy, clean, groups=groups, scoring="psnr")
    assert again.summary.equals(result.summary)


@pytest.fixture(scope="module")
def three_images():
    """The first of the images that are tested on, instead of all, which take a minute."""
    from temdenoise.model_selection import _benchmark

    numbers, frame = _benchmark.held_out_numbers()
    few = numbers[:3]
    rows = frame.iloc[few]
    query = " or ".join(
        f"(model == {m} and defocus == {d})" for m, d in rows[["model", "defocus"]].to_numpy()
    )
    sim = make_ptceo2(query=query, preset="default")
    images = _benchmark.ImageSet(sim.data, sim.frame, sim.pixel_size)
    pd.testing.assert_frame_equal(sim.frame, rows.reset_index(drop=True))
    assert len(numbers) == 40
    _benchmark._kept.append((few, images))
    yield few, _benchmark.Resampled(images)
    _benchmark._kept.clear()


class Watching(Identity):
    def transform(self, X):
        self.seen_ = X
        return super().transform(X)


def test_benchmark(three_images, capsys):
    numbers, test = three_images
    denoiser = Watching().fit(np.ones((1, 8, 8)))
    result = benchmark(denoiser, verbose=True)
    assert "3/3" in capsys.readouterr().err
    assert denoiser.seen_.pixel_size == 6.22
    assert denoiser.seen_.shape == (1, 768, 768)
    # the paper's own first row, and ours of the 40 images
    assert result.table["psnr"].iloc[0] == pytest.approx(3.54, abs=0.05)
    assert result.table.loc["raw", "psnr"] == 3.54
    assert result.table.loc["raw", "paper_psnr"] == 3.56
    assert result.table.index[0] == "Watching"
    clean = test[[0]]
    noisy = PoissonNoise().sample(clean, random_state=int(numbers[0]))
    assert result.images["psnr"][0] == pytest.approx(psnr(clean, noisy)[0])
    assert result.images["ssim"][0] == pytest.approx(ssim(clean, noisy)[0])
    assert result.images["number"].tolist() == numbers.tolist()
    for text in ("3.54 ± 0.03", "paper: PSNR", "40 tested on"):
        assert text in repr(result)
    assert "<table" in result._repr_html_()


def test_benchmark_measures_what_the_table_says(three_images):
    """Three of the 40 images are within the scatter of all."""
    result = benchmark(LowPassDenoiser(cutoff=0.03).fit(np.ones((1, 8, 8))), name="mine")
    mine, table = result.table.loc["mine"], result.table.loc["low-pass filter"]
    assert mine["psnr"] == pytest.approx(table["psnr"], abs=2 * table["psnr_std"])
    assert mine["ssim"] == pytest.approx(table["ssim"], abs=2 * table["ssim_std"])
    white = benchmark(SBDDenoiser.from_pretrained("white", device="cpu")).table
    table = white.loc['SBD, shipped weights "white"']
    assert white["psnr"].iloc[0] == pytest.approx(table["psnr"], abs=2 * table["psnr_std"])


def test_benchmark_refuses_what_is_not_fitted():
    with pytest.raises(NotFittedError):
        benchmark(LowPassDenoiser())


def test_shipped_numbers_are_those_of_the_results():
    installed = files("temdenoise.model_selection").joinpath("data", OUTPUT.name)
    assert json.loads(installed.read_text(encoding="utf-8")) == shipped()


@pytest.fixture
def file(tmp_path, clean):
    path = tmp_path / "clean.tif"
    write_stack(path, clean, pixel_size=20.0)
    return path


def test_command_line(file, tmp_path, clean, capsys):
    out = tmp_path / "scores.csv"
    argv = ["evaluate", "--images", str(file), "--method", "lowpass", "--cutoff", "0.05"]
    argv += ["--metrics", "psnr", "atom_f1", "-o", str(out)]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "lowpass on 6 images of 48 x 40 pixels, 20 pm/px" in printed
    table = pd.read_csv(out)
    assert table.columns.tolist() == ["image", "psnr", "atom_f1"]
    # the cutoff is in cycles/px, atoms are looked for at 20 pm
    denoiser = LowPassDenoiser(cutoff=0.05).fit(clean)
    expected = evaluate(denoiser, clean, scoring="psnr").images["psnr"]
    np.testing.assert_allclose(table["psnr"], expected, rtol=1e-5)
    noisy, rate = PoissonNoise().sample(clean, return_clean=True, random_state=0)
    expected = atom_f1(rate, denoiser.transform(noisy), pixel_size=20.0)
    assert expected.max() > 0.2  # without the scale nothing would be found
    np.testing.assert_allclose(table["atom_f1"], expected, rtol=1e-5)
    assert main(argv) == 2
    assert "exists already" in capsys.readouterr().err


def test_command_line_with_groups_of_a_simulated_file(tmp_path, capsys):
    path = tmp_path / "images.npz"
    data = np.full((3, 32, 32), 0.45)
    np.savez(path, data=data, pixel_size=20.0, frame_defect=["D0", "D1", "D0"])
    assert main(["evaluate", "--images", str(path), "--method=lowpass", "--groups=defect"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["D0", "D1", "all"]
    assert main(["evaluate", "--images", str(path), "--method=lowpass", "--groups=tilt"]) == 2
    assert "holds no column 'tilt'" in capsys.readouterr().err


def test_command_line_simulates(capsys):
    argv = ["evaluate", "--n-images=2", "--method=lowpass", "--groups=structure", "--pixel-size=20"]
    assert main([*argv, "--dose=2"]) == 0
    assert "lowpass on 2 images of 250 x 250 pixels, 20 pm/px" in capsys.readouterr().out
    assert main(["evaluate", "--n-images=1", "--groups=no", "--pixel-size=20"]) == 2
    assert "'no' is none of model, structure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--images=no.tif"], "there is no file 'no.tif'"),
        (["--images=no.tif", "--n-images=2"], "not allowed with"),
        (["--images=no.tif", "--optics=varied"], "--optics is for simulated images"),
        (["--metrics=snr"], "'snr' is none of psnr"),
        (["-o", "scores.txt"], "must end in .csv"),
        (["-o", "no/scores.csv"], "there is no folder 'no'"),
        (["--method=wiener", "--cutoff=1"], "--cutoff goes with"),
    ],
)
def test_command_line_refuses(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_command_line_asks_for_a_pixel_size(tmp_path, clean, capsys):
    path = tmp_path / "clean.npy"
    np.save(path, clean)
    assert main(["evaluate", "--images", str(path)]) == 2
    assert "has no pixel size" in capsys.readouterr().err
    argv = ["evaluate", "--images", str(path), "--pixel-size=20", "--method=sbd", "--device=cpu"]
    assert main(argv) == 0
    assert "sbd on 6 images" in capsys.readouterr().out
