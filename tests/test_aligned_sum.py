"""Sums of neighbouring frames, denoised by any method."""

import warnings

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from test_align import drifting, poisson, scene

from temdenoise import (
    AlignedSumDenoiser,
    LowPassDenoiser,
    SBDDenoiser,
    VSTDenoiser,
    WindowedFourierDenoiser,
    psnr,
)
from temdenoise._align import aligned_sum, estimate_drift
from temdenoise.base import BaseDenoiser
from temdenoise.denoisers import FramesWarning
from temdenoise.testing import check_denoiser


class AsItIsDenoiser(BaseDenoiser):
    """Return what it gets, to look at the sums."""

    def _transform(self, X, mask):
        return X


def summed(**options):
    return AlignedSumDenoiser(**({"denoiser": AsItIsDenoiser()} | options))


@pytest.fixture(scope="module")
def movie():
    clean, drift = drifting(11, size=112)
    return clean, poisson(clean), drift


def test_it_denoises_the_aligned_sums(movie):
    _, noisy, _ = movie
    inner = LowPassDenoiser(cutoff=0.06)
    result = AlignedSumDenoiser(denoiser=inner, n_frames=5).fit(noisy).transform(noisy)
    inner = inner.fit(noisy)
    for k in (0, 4, 10):
        first, last = max(0, k - 2), min(11, k + 3)
        drift = estimate_drift(noisy[first:last], reference=k - first, reach=2)
        counts, frames = aligned_sum(noisy[first:last], k - first, 5, drift)
        raised = np.where(frames == frames.max(), counts, counts / frames * frames.max())
        expected = inner.transform(raised[None])[0] / frames.max()
        np.testing.assert_allclose(result[k], expected, atol=1e-5)


def test_longer_sums_are_better(movie):
    clean, noisy, _ = movie
    inner = WindowedFourierDenoiser(binning=4, window_size=200, device="cpu")
    scores = {1: psnr(clean, inner.fit(noisy).transform(noisy)).mean()}
    for n_frames in (3, 5, 9):
        denoiser = AlignedSumDenoiser(denoiser=inner, n_frames=n_frames).fit(noisy)
        scores[n_frames] = psnr(clean, denoiser.transform(noisy)).mean()
    assert scores[3] > scores[1] + 1.5
    assert scores[5] > scores[3] + 0.4
    assert scores[9] > scores[5] + 0.4


def test_one_frame_is_the_inner_denoiser(movie):
    _, noisy, _ = movie
    inner = LowPassDenoiser(cutoff=0.06)
    result = AlignedSumDenoiser(denoiser=inner, n_frames=1).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(result, inner.fit(noisy).transform(noisy))


def test_by_default_it_is_sbd_with_general_weights(movie):
    clean, noisy, _ = movie
    noisy, clean = noisy[:3], clean[:3]
    denoiser = AlignedSumDenoiser(n_frames=3).fit(noisy)
    assert isinstance(denoiser.denoiser_, SBDDenoiser)
    with pytest.warns(UserWarning, match="does not know the pixel size"):
        denoiser.transform(noisy)
    result = denoiser.transform(noisy, pixel_size=6.22)
    assert result.pixel_size == 6.22
    single = SBDDenoiser.from_pretrained("general").transform(noisy, pixel_size=6.22)
    assert psnr(clean, result).mean() > psnr(clean, single).mean() + 1


def test_trained_weights_are_given_frozen(movie):
    _, noisy, _ = movie
    noisy = noisy[:3]
    trained = SBDDenoiser.from_pretrained("general", device="cpu")
    frozen = AlignedSumDenoiser(denoiser=FrozenEstimator(trained), n_frames=3)
    expected = AlignedSumDenoiser(n_frames=3).fit(noisy).transform(noisy, pixel_size=6.22)
    result = clone(frozen).fit(noisy).transform(noisy, pixel_size=6.22)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    with pytest.raises(ValueError, match="learns from clean images.*FrozenEstimator"):
        AlignedSumDenoiser(denoiser=trained).fit(noisy)


def test_the_mean_is_kept(movie):
    _, noisy, _ = movie
    noisy = noisy * np.linspace(0.5, 2, 11).round(1)[:, None, None]
    noisy = poisson(noisy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are no Poisson counts any more
        result = summed(n_frames=5).fit(noisy).transform(noisy)
    np.testing.assert_allclose(result.mean((1, 2)), noisy.mean((1, 2)), rtol=0.01)


def test_a_vanishing_column_is_not_averaged_away():
    clean = np.stack([scene(160, 160, dose=3.0)] * 7)
    rows, columns = np.mgrid[:160, :160]
    hole = np.exp(-((rows - 88) ** 2 + (columns - 72) ** 2) / 100)
    clean[3] *= 1 - 0.8 * hole
    noisy = poisson(clean)
    result = summed(n_frames=5, drift="none", window_size=20).fit(noisy).transform(noisy)
    mixed = summed(n_frames=5, drift="none", level=0).fit(noisy).transform(noisy)
    there = hole > 0.6

    def share_kept(estimate):
        return (clean[2] - estimate[3])[there].mean() / (clean[2] - clean[3])[there].mean()

    assert share_kept(result) > 0.85
    assert share_kept(mixed) < 0.35
    # and the frames beside it do not get a hole
    for k in (1, 2, 4, 5):
        assert result[k][there].mean() > 0.95 * clean[2][there].mean()


def test_masks_per_frame_are_filled_from_the_neighbours(movie):
    clean, noisy, _ = movie
    mask = np.zeros(noisy.shape, dtype=bool)
    mask[5, 60:90, 60:90] = True
    spoiled = noisy.copy()
    spoiled[mask] = np.nan
    denoiser = AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.06), n_frames=5).fit(noisy)
    result = denoiser.transform(spoiled, mask=mask)
    hidden = mask[5]
    error = np.mean((result[5] - clean[5])[hidden] ** 2)
    filled = LowPassDenoiser(cutoff=0.06).fit(noisy).transform(spoiled, mask=mask)
    assert error < 0.3 * np.mean((filled[5] - clean[5])[hidden] ** 2)
    # frames that do not see it are as they are
    untouched = denoiser.transform(noisy)
    np.testing.assert_allclose(result[:3], untouched[:3], atol=1e-6)
    np.testing.assert_allclose(result[8:], untouched[8:], atol=1e-6)


def test_a_mask_for_all_frames(movie):
    _, noisy, _ = movie
    mask = np.zeros(noisy.shape[1:], dtype=bool)
    mask[:30, :141] = True
    spoiled = noisy.copy()
    spoiled[:, mask] = 1000
    denoiser = AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.06), n_frames=5).fit(noisy)
    result = denoiser.transform(spoiled, mask=mask)
    assert result.max() < 3
    spoiled[:, mask] = np.nan
    np.testing.assert_array_equal(denoiser.transform(spoiled, mask=mask), result)


def test_copies_of_frames_are_told(movie):
    _, noisy, _ = movie
    doubled = np.repeat(noisy[:3], 2, axis=0)
    with pytest.warns(FramesWarning, match="3 frames are copies.*frame 1 of 0.*not independent"):
        result = summed(n_frames=3, drift="none").fit(doubled).transform(doubled)
    # of frames 0, 0', 1 the copy counts once: no more counts than those of two frames
    assert np.allclose((2 * result[1]).round(), 2 * result[1], atol=0.05)


def test_one_frame_of_a_movie_is_told(movie):
    _, noisy, _ = movie
    with pytest.warns(FramesWarning, match="one frame has no neighbours"):
        result = summed(n_frames=5).fit(noisy[:1]).transform(noisy[:1])
    np.testing.assert_array_equal(result, noisy[:1])


def test_drift_that_cannot_be_told_is_told():
    noisy = poisson(np.full((4, 96, 96), 0.45))
    with pytest.warns(FramesWarning, match="drift of 6 of 6 neighbours .* left out"):
        result = summed(n_frames=3).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(result, noisy)
    flat = summed(n_frames=3, drift="none").fit(noisy).transform(noisy)
    assert flat[1].var() < 0.5 * noisy[1].var()


def test_a_movie_of_two_scenes_is_not_mixed():
    first = poisson(np.stack([scene(192, 192, dose=1.0)] * 4))
    turned = ndimage.rotate(scene(292, 292, dose=1.0, period=13.0, particle=False), 30)
    middle = len(turned) // 2
    turned = turned[middle - 96 : middle + 96, middle - 96 : middle + 96].clip(0)
    second = poisson(np.stack([turned] * 4), seed=1)
    both = np.concatenate([first, second])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FramesWarning)  # the drift between them may be unknown
        result = summed(n_frames=5).fit(both).transform(both)
        alone = summed(n_frames=5).fit(first).transform(first)
    assert np.mean(np.abs(result[3] - alone[3]) < 0.05) > 0.95


def test_constant_frames_stay():
    X = np.full((4, 40, 40), 2.0)
    with pytest.warns(FramesWarning):
        result = summed(n_frames=3).fit(X).transform(X)
    np.testing.assert_array_equal(result, X)


def test_dark_frames_stay_dark():
    noisy = poisson(np.stack([scene(96, 96, dose=2.0)] * 4))
    noisy[2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FramesWarning)
        result = summed(n_frames=3).fit(noisy).transform(noisy)
    assert not result[2].any()
    assert np.isfinite(result).all()


def test_long_movies_go_part_by_part(movie, monkeypatch):
    _, noisy, _ = movie
    denoiser = AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.06), n_frames=3).fit(noisy)
    expected = denoiser.transform(noisy)
    monkeypatch.setattr("temdenoise.denoisers.aligned_sum._AT_ONCE", 4)
    np.testing.assert_array_equal(denoiser.transform(noisy), expected)


def test_nested_parameters_and_grids(movie):
    clean, noisy, _ = movie
    denoiser = AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.3), n_frames=3, drift="none")
    search = GridSearchCV(denoiser, {"denoiser__cutoff": [0.05, 0.3]}, cv=2)
    search.fit(noisy[:6, :64, :64], clean[:6, :64, :64])
    assert search.best_params_ == {"denoiser__cutoff": 0.05}
    with pytest.raises(ValueError, match="denoiser__cutoff"):
        clone(denoiser).set_params(denoiser__cutoff=-1).fit(noisy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_frames": 4}, "n_frames=4 must be odd"),
        ({"n_frames": 0}, "n_frames"),
        ({"drift": "guess"}, "drift"),
        ({"level": 1.0}, "level"),
        ({"window_size": 0.5}, "window_size"),
        ({"denoiser": "sbd"}, "denoiser"),
        ({"denoiser": WindowedFourierDenoiser(n_frames=3)}, "not independent"),
    ],
)
def test_bad_parameters(movie, options, message):
    _, noisy, _ = movie
    with pytest.raises(ValueError, match=message):
        AlignedSumDenoiser(**options).fit(noisy)


def test_contract():
    check_denoiser(AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.06), n_frames=3))
    inner = VSTDenoiser(denoiser=LowPassDenoiser(cutoff=0.15), binning=2)
    check_denoiser(AlignedSumDenoiser(denoiser=inner, n_frames=5, drift="none"))
