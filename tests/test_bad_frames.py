"""Frames that are not what they seem, and the methods that learn from them or use time."""

import warnings

import numpy as np
import pytest
import torch
from conftest import lattice_images
from quick_methods import METHODS, QUICK
from sklearn.base import clone

from temdenoise import (
    ImageStack,
    SBDDenoiser,
    WindowedFourierDenoiser,
)
from temdenoise._correlated_noise import noise_correlation
from temdenoise._frames import cuts
from temdenoise.datasets import make_movie
from temdenoise.denoisers import FramesWarning
from temdenoise.denoisers._trained.dose import estimate_at_dose
from temdenoise.noise import find_bad_pixels

LEARNERS = [*METHODS, "adapt"]


def movie(n=4, side=60, dose=2.0, seed=0):
    """Noisy frames of lattices, with pixels of 15 pm."""
    clean = lattice_images(n, side, side, level=dose)
    return ImageStack(np.random.default_rng(seed).poisson(clean), 15.0)


@pytest.fixture(scope="module")
def trained():
    clean = ImageStack(lattice_images(2, 160, 160, level=2.0, period=20.0), 6.22)
    return SBDDenoiser(
        n_scales=2, base_channels=4, orientations=1, **QUICK | {"patch_size": 120}
    ).fit(clean)


@pytest.fixture
def learn(trained):
    """Train a method of this name on frames, or adapt a trained one."""

    def learn(name, X, *, learning_rate=None, **keywords):
        if name == "adapt":
            rate = 1e-30 if learning_rate is None else learning_rate
            return trained.adapt(X, n_steps=7, learning_rate=rate, **keywords)
        method = clone(METHODS[name])
        if learning_rate is not None:
            method.set_params(learning_rate=learning_rate)
        return method.fit(X, **keywords)

    return learn


def warnings_of(function, *args, **keywords):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **keywords)
    assert all(w.filename == __file__ for w in caught)  # they name the user's line
    return " ".join(str(w.message) for w in caught)


# --- doses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blind-spot", "udvd"])
def test_estimates_follow_the_dose_of_each_frame(name):
    doses = np.array([1, 1, 0.5, 1, 1, 0, 2.0, 1])[:, None, None]
    noisy = np.random.default_rng(0).poisson(6 * doses * lattice_images(8, 60, 60, level=1.0))
    with pytest.warns(FramesWarning, match="1 frames hold no electrons .the first is frame 5"):
        rates = clone(METHODS[name]).fit_transform(ImageStack(noisy, 15.0))
    assert not rates[5].any()
    lit = np.arange(8) != 5
    ratio = np.mean(rates[lit], axis=(1, 2)) / noisy[lit].mean(axis=(1, 2))
    np.testing.assert_allclose(ratio, 1, atol=0.06)


@pytest.mark.parametrize("reach", [0, 1])
def test_the_dose_of_a_bin_is_that_of_others(reach):
    """However much a bin counts, its own estimate stays; that of others follows."""

    def mean_around(bins):
        total = sum(
            np.roll(bins, (y, x), (0, 1)) for y in range(-3, 4) for x in range(-3, 4)
            if max(abs(y), abs(x)) > reach
        )  # fmt: skip
        return total**2

    bins = np.random.default_rng(0).poisson(4.0, (20, 21)).astype(np.float32)
    before = estimate_at_dose(mean_around, bins, 10.0, reach=reach)
    for place in ((0, 0), (7, 8), (12, 5), (19, 20)):
        changed = bins.copy()
        changed[place] += 3000
        after = estimate_at_dose(mean_around, changed, 10.0, reach=reach)
        assert after[place] == before[place]
        assert (after != before).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_without_electrons_nothing_is_learned(learn, name):
    with pytest.raises(ValueError, match="no electrons: every value is 0"):
        learn(name, ImageStack(np.zeros((4, 60, 60)), 15.0))


# --- frames that are not independent --------------------------------------------------------------


@pytest.mark.parametrize("name", ["thinned", "adapt"])
def test_copies_count_once(learn, name):
    noisy = movie(3, 90)
    found = warnings_of(learn, name, noisy[[0, 1, 1, 2, 2]])
    assert "2 frames are copies of others" in found


def test_copies_in_blocks_of_time():
    noisy = movie(2, 40)[[0, 0, 1]]
    with pytest.warns(FramesWarning, match="copies of others.*look like structure"):
        WindowedFourierDenoiser(n_frames=3, device="cpu").fit_transform(noisy)


def test_copies_of_one_frame_are_no_movie():
    fitted = clone(METHODS["udvd"]).fit(movie())
    with (
        pytest.warns(FramesWarning, match="copies"),
        pytest.raises(ValueError, match="X is one frame"),
    ):
        fitted.transform(movie()[[1, 1]])


@pytest.mark.parametrize("name", LEARNERS)
def test_correlated_noise_is_told(learn, name):
    """Frames enlarged by two; and sums of successive frames."""
    enlarged = ImageStack(movie(4, 48).repeat(2, axis=1).repeat(2, axis=2), 30.0)
    stack = enlarged[:1] if name == "self2self" else enlarged
    found = warnings_of(learn, name, stack)
    assert "noise of neighbouring pixels is correlated" in found
    assert "blind_spot=3" in found
    if name != "self2self":
        noisy = movie(4, 90)
        assert "averaged or interpolated in time" in warnings_of(
            learn, name, noisy[1:] + noisy[:-1]
        )


def test_a_wider_blind_spot_bears_correlated_noise():
    enlarged = ImageStack(movie(2, 48).repeat(2, axis=1).repeat(2, axis=2), 30.0)
    clone(METHODS["blind-spot"]).set_params(blind_spot=3).fit(enlarged)


@pytest.mark.parametrize("binning", [1, 4])
def test_no_alarm_on_counted_crystals(binning):
    clean = make_movie(n_frames=4, shape=(256, 256), events=0, dose=1.0, contrast="white").clean
    shape = (4, 256 // binning, binning, 256 // binning, binning)
    clean = np.asarray(clean).reshape(shape).mean(axis=(2, 4))
    for dose in (0.1, 1.0, 3.0):
        X = np.random.default_rng(1).poisson(dose * clean)
        loss, in_time = noise_correlation(X)
        assert loss < 0.3
        assert abs(in_time) < 0.15
        assert not find_bad_pixels(X)
        assert not len(cuts(X))


def test_a_cut_is_told():
    scenes = np.repeat(lattice_images(2, 64, 64, level=3.0, period=40.0), 4, axis=0)
    noisy = ImageStack(np.random.default_rng(0).poisson(scenes), 15.0)
    for method in (METHODS["udvd"], WindowedFourierDenoiser(n_frames=3, device="cpu")):
        with pytest.warns(FramesWarning, match="all at once at 1 places .before frame 4"):
            clone(method).fit_transform(noisy)


# --- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_hot_and_dead_pixels_are_named(learn, name):
    noisy = movie(1 if name == "self2self" else 4, 90, dose=90.0)
    mask = np.zeros((90, 90), dtype=bool)
    mask[20, 30] = mask[50] = True
    noisy[:, 20, 30] = 2000
    noisy[:, 50] = 0
    found = warnings_of(learn, name, noisy)
    assert "masks 1.12% of the pixels" in found
    assert "dead row 50; 1 hot pixel: (row, column) (20, 30). To take them" in found
    assert "pixels" not in warnings_of(learn, name, noisy, mask=mask).replace("per pixel", "")


@pytest.mark.parametrize("name", LEARNERS)
def test_a_mask_that_leaves_nothing(learn, name):
    mask = np.ones((60, 60), dtype=bool)
    mask[3, 7] = False
    with pytest.raises(ValueError, match="mask leaves no bin of"):
        learn(name, movie(1 if name == "self2self" else 4), mask=mask)


# --- values and settings --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blind-spot", "udvd"])
def test_gain_is_told_before_the_training(name):
    noisy = movie(4, 60)
    found = warnings_of(clone(METHODS[name]).fit, ImageStack(7.0 * np.asarray(noisy), 15.0))
    assert "temdenoise.to_counts" in found
    assert "hot pixels" not in found


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learning_rate_too_high_is_named(learn, name):
    with pytest.raises(ValueError, match="lower learning_rate"):
        learn(name, movie(1 if name == "self2self" else 4), learning_rate=1e9)


@pytest.mark.parametrize("setting", ["n_steps", "learning_rate", "max_minutes"])
def test_settings_of_an_adaptation(trained, setting):
    with pytest.raises(ValueError, match=f"{setting} must be above 0"):
        trained.adapt(movie(), **{setting: 0})


@pytest.mark.parametrize("method", [METHODS["blind-spot"], SBDDenoiser()])
def test_a_loss_is_tried_before_anything_else(method):
    method = clone(method).set_params(loss=lambda prediction, target: prediction - target)
    with pytest.raises(ValueError, match="must return a scalar tensor, got shape"):
        method.check_settings()
    method.set_params(loss=lambda prediction, target: torch.mean(prediction - target))
    method.check_settings()
