"""`AutoDenoiser`: what it chooses, why, and that it is then the method chosen."""

import numpy as np
import pytest
from conftest import lattice_images

from temdenoise import (
    AutoDenoiser,
    LowPassDenoiser,
    SBDDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
)
from temdenoise.noise import BadPixelsWarning


@pytest.fixture(scope="module")
def movie():
    """Two frames of 0.45 electrons per pixel at 6.22 pm, cut out about the particle."""
    return np.asarray(load_sample_movie().data[:2, 140:330, 150:330])


@pytest.fixture(scope="module")
def auto(movie):
    return AutoDenoiser(device="cpu").fit(movie)


def test_weights_that_fit_denoise(auto, movie):
    mask = np.zeros(movie.shape[1:], dtype=bool)
    mask[:20, :30] = True
    choice = auto.choose(movie, pixel_size=6.22, mask=mask)
    assert choice.method == "sbd"
    assert choice.reason.startswith("the weights 'general' fit: 6.22 pm/px (1.94 to 33 pm/px)")
    assert "(0.04 to 6 at this pixel size)" in choice.reason
    expected = SBDDenoiser.from_pretrained().transform(movie, pixel_size=6.22, mask=mask)
    np.testing.assert_array_equal(auto.transform(movie, pixel_size=6.22, mask=mask), expected)


@pytest.mark.parametrize(
    ("scale", "pixel_size", "reason"),
    [
        (1, None, "the pixel size is not known"),
        (1, 1.5, "do not fit 1.5 pm/px .*: is it in pm"),
        (4, 40.0, "do not fit 40 pm/px .*: pixels too coarse"),
        (50, 6.22, r"do not fit 2\d.* electrons/px \(0.04 to 6 at this"),
        # the electrons of a bin count: of smaller pixels each may hold fewer
        (8, 3.11, r"do not fit 3\.\d+ electrons/px \(0.01 to 1.5 at this"),
    ],
)
def test_others_fall_back(auto, scale, pixel_size, reason):
    clean = scale * load_sample_movie().clean[:2, 140:330, 150:330]
    counts = np.random.default_rng(0).poisson(np.asarray(clean))
    choice = auto.choose(counts, pixel_size=pixel_size)
    assert choice.method == "windowed-fourier"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(choice.reason)
    known = pixel_size if pixel_size in (6.22, 40.0, 3.11) else None
    expected = WindowedFourierDenoiser(device="cpu").fit(counts)
    np.testing.assert_array_equal(
        auto.transform(counts, pixel_size=pixel_size),
        expected.transform(counts, pixel_size=known),
    )


def test_masked_pixels_do_not_count_in_the_dose(auto, movie):
    mask = np.zeros(movie.shape, dtype=bool)
    mask[:, :40] = True
    spoiled = np.where(mask, 5000, movie)
    kept = auto.choose(spoiled, pixel_size=6.22, bad_pixels="keep")
    assert kept.method == "windowed-fourier"
    with pytest.warns(BadPixelsWarning, match="a border of one value: rows 0 to 39"):
        assert auto.choose(spoiled, pixel_size=6.22).method == "sbd"
    assert auto.choose(spoiled, pixel_size=6.22, mask=mask).method == "sbd"


def test_the_pixel_size_is_looked_for_if_asked(auto, movie):
    choice = auto.choose(movie, pixel_size="auto")
    assert choice.method == "sbd"
    assert choice.params["pixel_size"] == pytest.approx(6.22, rel=0.1)
    vacuum = np.random.default_rng(0).poisson(0.45, size=(1, 150, 150))
    for X, method, reason in (
        (vacuum, "constant", "images hold no detail"),
        (movie / 3, "windowed-fourier", "whole numbers"),
    ):
        choice = auto.choose(X, pixel_size="auto")
        assert choice.method == method
        assert choice.reason.startswith("no pixel size was found: ")
        assert reason in choice.reason and not choice.reason.endswith(".")


@pytest.mark.parametrize(("dose", "doses"), [(None, (0, np.inf)), (0.5, (0.25, 1.0))])
def test_own_weights_and_fallback(movie, tmp_path, dose, doses):
    own = SBDDenoiser(
        network="dncnn", training_pixel_size=12.0, dose=dose, zoom=(1.0, 1.0), patch_size=16,
        batch_size=1, max_epochs=1, steps_per_epoch=1, device="cpu", random_state=0,
    ).fit(movie[:, :64, :64], pixel_size=12.0)  # fmt: skip
    own.save_pretrained(tmp_path / "own")
    auto = AutoDenoiser(
        weights=tmp_path / "own", fallback=LowPassDenoiser(cutoff=0.1), device="cpu"
    ).fit(movie)
    crystal = lattice_images(1, 64, 64, level=0.6, contrast=0.9)
    crystal = np.random.default_rng(0).poisson(crystal)
    # Values that cannot be split are denoised by what fits, without a comparison.
    choice = auto.choose(1.5 * crystal, pixel_size=12.0)
    assert (choice.method, choice.table) == ("sbd", None)
    low, high = doses
    assert f"({low:.3g} to {high:.3g} at this" in choice.reason
    assert choice.reason.endswith("values are not whole counts")
    # A network that has learnt nothing is not taken: the filter is better.
    choice = auto.choose(crystal, pixel_size=12.0)
    assert choice.method == "LowPassDenoiser"
    assert choice.table["z"]["sbd"] > 5 and choice.table["z"]["constant"] > 2
    np.testing.assert_array_equal(
        auto.transform(crystal), LowPassDenoiser(cutoff=0.1).fit(crystal).transform(crystal)
    )
    assert auto.choice_.method == "LowPassDenoiser"
    choice = auto.choose(crystal, pixel_size=13.0)
    assert "do not fit 13 pm/px" in choice.reason
    assert (choice.method, choice.params) == ("LowPassDenoiser", {"pixel_size": 13.0})


class OffTarget(LowPassDenoiser):
    """A filter whose estimates are of the wrong scale."""

    def _transform(self, X, mask, pixel_size):
        return 2 * super()._transform(X, mask, pixel_size)


def test_the_table_of_candidates_decides(movie):
    """Own candidates take part; the constant stays where nothing is significantly better."""
    names = {"off": OffTarget(), "good": LowPassDenoiser(cutoff=0.022)}
    auto = AutoDenoiser(fallback=LowPassDenoiser(cutoff=0.3), candidates=names, device="cpu")
    auto.fit(movie)
    assert auto.choice_ is None
    choice = auto.choose(np.asarray(movie))
    assert choice.method == "good" and auto.choice_ is choice
    assert choice.table.columns.tolist() == ["risk", "risk_se", "difference", "difference_se", "z"]
    assert choice.table.index.tolist() == ["good", "constant", "LowPassDenoiser", "off"]
    assert choice.table["difference"].iloc[0] == 0 and (choice.table["z"].iloc[1:] > 2).all()
    assert "good predicts held-out electrons best" in choice.reason
    assert "off +0.19" in choice.reason  # twice the truth: its square is the error
    # Of two that are nearly the same, the first is taken: the electrons cannot tell.
    twins = {"b": LowPassDenoiser(cutoff=0.0221), "a": LowPassDenoiser(cutoff=0.022)}
    auto.set_params(candidates=twins).fit(movie)
    choice = auto.choose(movie)
    assert choice.method == "b" and abs(choice.table["z"]["a"]) < 1.96
    for level in (0.0, 0.45):
        vacuum = np.random.default_rng(1).poisson(level, size=(1, 64, 64))
        choice = auto.choose(vacuum)
        if level == 0:
            assert "no electrons" in choice.reason and choice.table is None
        else:
            assert choice.method == "constant"
            assert "no method predicts held-out electrons significantly better" in choice.reason
            np.testing.assert_allclose(auto.transform(vacuum), vacuum.mean(), rtol=1e-6)
    for wrong, error in (({"sbd": LowPassDenoiser()}, ValueError), ({"x": 3}, TypeError)):
        with pytest.raises(error, match="candidates: "):
            AutoDenoiser(candidates=wrong, device="cpu").fit(movie)


def test_bad_arguments(auto, movie):
    for call in (auto.transform, auto.choose):
        for bad, error in ((-1.0, ValueError), ("big", TypeError), (np.nan, ValueError)):
            with pytest.raises(error, match="pixel_size must be"):
                call(movie, pixel_size=bad)
    with pytest.raises(FileNotFoundError, match="no weights 'nowhere'"):
        AutoDenoiser(weights="nowhere").fit(movie)
    with pytest.warns(UserWarning, match="all 30 apart"):
        auto.transform(30 * movie.astype(int))
