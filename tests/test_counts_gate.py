"""Values that are no counts are noticed, and counts are left in peace."""

import warnings

import numpy as np
import pytest
from conftest import lattice_images
from scipy import ndimage

from temdenoise import (
    AlignedSumDenoiser,
    LowPassDenoiser,
    NLMDenoiser,
    PURELETDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    analyze_noise,
    thin_counts,
    to_counts,
)
from temdenoise.atoms import confirm_atoms, confirm_atoms_from_halves
from temdenoise.inspection import likelihood_map
from temdenoise.metrics import paired_risk, pure_risk, unbiased_mse, upsnr_scorer
from temdenoise.noise import CountsWarning, check_counts


def counts(level, shape=(2, 120, 130), seed=0, **keywords):
    clean = lattice_images(*shape, level=level, **keywords).astype(float)
    return np.random.default_rng(seed).poisson(clean)


def smoothed(x):
    return ndimage.gaussian_filter(x.astype(float), (0, 1, 1))


# --- the check ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.02, 0.45, 5.0, 300.0])
@pytest.mark.parametrize("period", [2.7, 16.0])
def test_counts_are_left_in_peace(level, period):
    electrons = counts(level, period=period)
    for X in (
        electrons.astype(np.uint16),
        electrons[0],
        electrons + 0.05 * (electrons > 0) * (-1) ** electrons,  # as `pure_risk` does
        1.01 * electrons,
        thin_counts(electrons, random_state=0)[0],
        counts(level, shape=(1, 60, 60)),
        counts(1 + level, shape=(1, 5, 4)),
    ):
        check = check_counts(X)
        assert check.ok and not check.findings and "may be counts" in repr(check)


@pytest.mark.parametrize("level", [0.05, 2.0, 50.0])
def test_sharp_edges_particles_and_drift_are_no_noise(level):
    y, x = np.mgrid[:160, :160]
    frames = []
    for t in range(3):
        u, v = x - 3 * t, y + 2 * t
        disks = (u % 31 - 15) ** 2 + (v % 37 - 18) ** 2 < 60
        frames.append(np.where(u > 70, 1.5, 0.1) + 2 * disks * (1 + np.cos(np.pi * (u + v))))
    assert check_counts(np.random.default_rng(0).poisson(level * np.array(frames))).ok


@pytest.mark.parametrize(
    ("change", "kind", "gain", "offset"),
    [
        (lambda x: 2 * x, "steps", 2, 0),
        (lambda x: 17 * x + 100, "steps", 17, 100),
        (lambda x: 12.5 * x, "steps", 12.5, 0),
        (lambda x: x / 4, "steps", 0.25, 0),
        (lambda x: x + 100, "too little scatter", 1, 100),
        (lambda x: x + 0.5, "offset", 1, 0.5),
        (lambda x: np.rint(36.43 * x), "rounded", 36.43, 0),
        (lambda x: np.floor(7.3 * x), "rounded", 7.3, -0.5),
    ],
)
def test_gain_and_offset_are_found(change, kind, gain, offset):
    check = check_counts(change(counts(2.0)))
    assert not check.ok and check.kinds == (kind,)
    assert check.gain == pytest.approx(gain, rel=0.01)
    assert check.offset == pytest.approx(offset, abs=0.5)
    assert f"- {kind}: {check.findings[0].saw}. " in repr(check)


@pytest.mark.parametrize(
    ("change", "kind", "certain"),
    [
        (lambda x: x - x.mean(), "negative values", True),
        (lambda x: np.full(x.shape, 7.0), "constant", True),
        (lambda x: 0 * x, "no electrons", False),
        (lambda x: np.stack([f / f.mean() for f in x]), "frames scaled one by one", True),
        (lambda x: np.log1p(x), "uneven levels", True),
        (lambda x: np.sqrt(x), "uneven levels", True),
        (lambda x: np.rint(255 * np.sqrt(x / x.max())), "gaps", True),
        (lambda x: smoothed(x) / 30, "correlated", True),
        (smoothed, "correlated", True),
        (lambda x: (x[:, :, 1:] + x[:, :, :-1]) / 2, "correlated", True),
        (lambda x: x.repeat(2, axis=1).repeat(2, axis=2), "correlated", True),
        (lambda x: ndimage.median_filter(x, (1, 3, 3)), "too little scatter", True),
        (lambda x: x.max() - x, "saturated", False),
        (lambda x: np.minimum(x, 6), "saturated", True),
        (lambda x: x + np.random.default_rng(1).normal(9, 3, x.shape), "negative values", True),
        (
            lambda x: np.rint(200 * x + 500 + np.random.default_rng(1).normal(0, 20, x.shape)),
            "too much scatter",
            True,
        ),
        (lambda x: x[[0, 0, 1, 1]], "copies", True),
        (lambda x: np.stack([x[0], x[1], x[1] + (x[0] > 8)]), "correlated frames", True),
    ],
)
def test_kinds(change, kind, certain):
    check = check_counts(change(counts(5.0)))
    assert check.kinds[0] == kind
    assert check.findings[0].certain == certain
    assert str(check.findings[0]).endswith(".")


def test_running_sums_share_half_of_their_noise():
    frames = counts(1.0, shape=(9, 128, 128), period=9.0)
    check = check_counts(frames[1:] + frames[:-1])
    assert check.kinds == ("correlated frames",)
    assert "share 5" in check.findings[0].saw or "share 4" in check.findings[0].saw
    assert check.matters(frames=False) == ()
    assert check_counts(frames[1::2] + frames[:-1:2]).ok


def test_masked_pixels_are_not_looked_at():
    X = counts(2.0).astype(float)
    mask = np.zeros(X.shape[1:], dtype=bool)
    mask[:40, :60] = True
    X[:, mask] = np.nan
    assert check_counts(X, mask=mask).ok
    X[:, mask] = 1e6
    assert check_counts(X, mask=mask).ok and not check_counts(X).dose < 10
    # whatever is not masked is
    assert check_counts(np.where(mask, X, 3 * X), mask=mask).kinds == ("steps",)


def test_filled_borders_and_hot_pixels_are_not_taken_for_a_gain():
    X = counts(5.0, shape=(3, 200, 200))
    X[:, :40] = 5  # as drift correction leaves them
    X[:, 100, 100] = 5000
    assert check_counts(X).ok


def test_a_known_gain_is_divided_by():
    X = 40 * counts(2.0)
    assert check_counts(X, gain=40.0).ok
    assert check_counts(X, gain=10.0).kinds == ("steps",)
    for gain in (0, -1.0, np.inf, "auto", True):
        with pytest.raises(ValueError, match="gain must be a positive number"):
            check_counts(X, gain=gain)
    with pytest.raises(ValueError, match="NaN"):
        check_counts(np.full((1, 8, 8), np.nan))


# --- gains of rounded values ----------------------------------------------------------------------


@pytest.mark.parametrize("gain", [255 / 7, 7.3, 2.6])
@pytest.mark.parametrize("cut", [np.rint, np.floor])
@pytest.mark.parametrize("level", [0.45, 4.0])
def test_rounded_values_are_whole_electrons_again(gain, cut, level):
    electrons = counts(level, shape=(3, 128, 128))
    found, noise = to_counts(cut(gain * electrons), return_noise=True)
    np.testing.assert_array_equal(found, electrons)
    assert noise.gain_ == pytest.approx(gain, rel=0.01 if level > 1 else 0.05)  # by few levels
    assert analyze_noise(electrons).gain == 1.0


# --- who asks it ----------------------------------------------------------------------------------


def test_methods_that_count_warn_with_the_mend():
    electrons = counts(2.0)
    stored = 40 * electrons + 1000
    for denoiser in (WienerDenoiser(), WindowedFourierDenoiser(device="cpu"), PURELETDenoiser()):
        name = type(denoiser).__name__
        message = f"{name}: .* all 40 apart.*temdenoise.to_counts.*offset of 1000"
        with pytest.warns(CountsWarning, match=message) as w:
            denoiser.fit(stored).transform(stored)
        assert w[0].filename == __file__
        denoiser.transform(to_counts(stored))
    # methods that are told of the gain, or need none, are not spoken to
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PURELETDenoiser(gain=40.0, offset=1000.0).fit(stored).transform(stored)
        PURELETDenoiser(gain=40.0).fit(40 * electrons).transform(40 * electrons)
        WienerDenoiser(noise=3200.0).fit(stored).transform(stored)
        LowPassDenoiser().fit(stored).transform(stored)
        NLMDenoiser(patch_size=3, patch_distance=2).fit(stored[:, :40]).transform(stored[:, :40])
    vst = VSTDenoiser(denoiser=WienerDenoiser(noise=1.0), gain=4.0, binning=2)
    with pytest.warns(CountsWarning, match="VSTDenoiser: the values are all 10 apart"):
        vst.fit(40 * electrons).transform(40 * electrons)


def test_frames_matter_to_methods_of_several_frames_only():
    frames = counts(1.0, shape=(6, 64, 64))
    sums = frames[1:] + frames[:-1]
    WienerDenoiser().fit(sums).transform(sums)
    movie = WindowedFourierDenoiser(n_frames=3, device="cpu").fit(sums)
    with pytest.warns(CountsWarning, match="WindowedFourierDenoiser: frames share"):
        movie.transform(sums)
    # what a method makes of counts is not asked again
    aligned = AlignedSumDenoiser(denoiser=WienerDenoiser(), n_frames=3, drift="none").fit(frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CountsWarning)
        aligned.transform(frames)


def test_frames_that_test_each_other_must_be_independent():
    rng = np.random.default_rng(0)
    frames = rng.poisson(3.0, size=(6, 96, 96))
    blur = LowPassDenoiser(cutoff=0.02).fit(frames)
    options = {"split": "frames", "pixel_size": 20.0}
    confirm_atoms(blur, frames, **options)
    for wrong, message in (
        (frames.repeat(2, axis=0), r"6 of 12 frames are copies of others \(frame 1 of frame 0\)"),
        (frames[[0, 0, 1, 2, 3, 3]], "2 of 6 frames are copies"),
        (frames[1:] + frames[:-1], "share 5[0-9]% of their noise|share 4[0-9]% of their noise"),
        (frames[[0, 1, 2, 2]] + np.arange(4)[:, None, None] // 3 * (frames[3] > 8), "share"),
    ):
        with pytest.raises(ValueError, match=message):
            confirm_atoms(blur, wrong, **options)
    # copies that do not test each other are no harm
    confirm_atoms(blur, frames[[0, 1, 0, 2]], **options)
    a, b = frames[:2]
    halves = [blur.transform(f[np.newaxis])[0] for f in (a, b)]
    confirm_atoms_from_halves(a, b, *halves, pixel_size=20.0)
    with pytest.raises(ValueError, match="Frames of a and b must be independent"):
        confirm_atoms_from_halves(a, a, *halves, pixel_size=20.0)
    with pytest.raises(ValueError, match="b must hold counts of electrons: .* all 3 apart"):
        confirm_atoms_from_halves(a, 3 * b, *halves, pixel_size=20.0)


def test_risks_refuse_what_is_no_counts():
    frames = counts(2.0, shape=(4, 80, 80))
    blur = LowPassDenoiser(cutoff=0.05).fit(frames)
    bad = 12 * frames
    for call in (
        lambda: paired_risk([blur], bad),
        lambda: pure_risk(blur, bad),
        lambda: unbiased_mse(blur.transform(bad), bad),
        lambda: upsnr_scorer(blur, bad),
        lambda: likelihood_map(bad[0], blur.transform(bad)[0], atoms=[(40.0, 40.0)]),
    ):
        with pytest.raises(ValueError, match="must hold counts of electrons: .* all 12 apart"):
            call()
    pure_risk(blur, bad, gain=12.0, random_state=0)
    with pytest.raises(ValueError, match="4 of 8 frames are copies"):
        paired_risk([blur], frames.repeat(2, axis=0))


def test_an_estimate_is_not_tested_on_its_own_electrons():
    frames = counts(2.0, shape=(2, 80, 80))
    denoised = ndimage.gaussian_filter(frames.astype(float), (0, 0.7, 0.7))
    with pytest.warns(CountsWarning, match="Image 0 of denoised shares the noise of noisy_other"):
        assert unbiased_mse(denoised, frames).max() < 0
    same = counts(2.0, shape=(2, 80, 80), seed=1)
    assert unbiased_mse(denoised, same).min() > 0
