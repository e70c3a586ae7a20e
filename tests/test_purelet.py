"""PURE-LET: the transform, the exactness of its risk estimate, and the denoiser."""

import warnings

import numpy as np
import pytest
from conftest import lattice_images
from scipy import stats

from temdenoise import LowPassDenoiser, PoissonNoise, PURELETDenoiser, psnr
from temdenoise.denoisers._classical.haar import Haar
from temdenoise.denoisers._classical.purelet import (
    _blocks,
    apply_let,
    choose_sets,
    let_system,
    solve,
)

SETS = ["pointwise", "interscale", "neighbours"]


def counts(shape, mean=1.0, seed=0):
    rates = mean * np.random.default_rng(seed + 1).uniform(0.2, 1.8, size=shape)
    return np.random.default_rng(seed).poisson(rates).astype(float)


def analyse_all(image, haar):
    bands = []
    for scale in range(haar.n_scales):
        image, details = haar.analyse(image, scale)
        bands.append(details)
    return image, bands


# --- transform ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimated", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (11, 23), (48, 24), (64, 64)])
def test_transform_is_inverted(shape, decimated):
    haar = Haar(shape, 4, decimated)
    image = counts((3, *shape))
    low, bands = analyse_all(image, haar)
    for scale in reversed(range(haar.n_scales)):
        low = haar.synthesise(low, bands[scale], scale)
    np.testing.assert_allclose(low, image, atol=1e-12)


def test_coefficients_are_sums_over_windows():
    image = counts((20, 24))
    haar = Haar(image.shape, 3)
    low, bands = analyse_all(image, haar)
    assert low.shape == (13, 17)  # 20 - 8 + 1 and 24 - 8 + 1: windows of 8 that lie inside
    window = image[5:13, 7:15]
    assert low[5, 7] == window.sum()
    left, right, top, bottom = window[:, :4], window[:, 4:], window[:4], window[4:]
    assert bands[2][-1,][5, 7] == left.sum() - right.sum()
    assert bands[2][-2,][5, 7] == top.sum() - bottom.sum()
    assert bands[2][-1, -2][5, 7] == (
        window[:4, :4].sum() + window[4:, 4:].sum() - window[:4, 4:].sum() - window[4:, :4].sum()
    )
    assert haar.support(2) == 64
    # The decimated transform holds every 8th of them.
    decimated, decimated_bands = analyse_all(image[:16], Haar((16, 24), 3, decimated=True))
    np.testing.assert_array_equal(decimated, low[:9:8, ::8])
    np.testing.assert_array_equal(decimated_bands[1][-1,], bands[1][-1,][:13:4, :21:4])


@pytest.mark.parametrize("decimated", [False, True])
def test_neighbours_touch_and_share_no_pixel(decimated):
    haar = Haar((16, 16), 2, decimated)
    image = np.zeros((16, 16))
    image[:, 8:12] = 1
    low, _ = analyse_all(image, haar)
    step = 4 if not decimated else 1
    before, after = haar.neighbours(low, 1, -1)
    column = 8 // 4 * step
    assert low[0, column] == 16
    assert before[0, column] == after[0, column] == 0  # the windows next to it hold nothing of it
    assert before[0, column + step] == after[0, column - step] == 16
    assert (before[:, :step] == 0).all() and (after[:, -step:] == 0).all()


# --- risk estimate --------------------------------------------------------------------------------


def functions(image, haar, coefficients, **options):
    low = apply_let(image, haar, np.zeros_like(coefficients), **options)
    return apply_let(image, haar, coefficients, **options) - low, low


@pytest.mark.parametrize("decimated", [False, True])
@pytest.mark.parametrize("read_noise", [0.0, 0.7])
@pytest.mark.parametrize("name", SETS)
def test_target_is_exact_by_brute_force(name, read_noise, decimated):
    """The closed form is the sum over pixels, each with one count less, of the definition."""
    image = counts((12, 8), 0.8)
    haar = Haar(image.shape, 2, decimated)
    options = {"sets": [name] * 2, "read_noise": read_noise}
    gram, target, *_ = let_system(image, haar, **options)
    coefficients = np.random.default_rng(3).normal(size=len(target))
    estimate, low = functions(image, haar, coefficients, **options)
    expected = -(estimate * low).sum()
    for n in np.ndindex(image.shape):
        less = image.copy()
        less[n] -= 1
        expected += image[n] * functions(less, haar, coefficients, **options)[0][n]
        if read_noise:
            values = []
            for step in (1e-3, -1e-3):
                less[n] = image[n] - 1 + step
                values.append(functions(less, haar, coefficients, **options)[0][n])
            expected -= read_noise**2 * (values[0] - values[1]) / 2e-3
    assert coefficients @ target == pytest.approx(expected, rel=1e-6)
    assert coefficients @ gram @ coefficients == pytest.approx((estimate**2).sum(), rel=1e-10)


def test_target_is_unbiased_over_all_images():
    """Expectations over every image of two pixels, by summation, not by sampling."""
    rates = np.array([[0.3, 1.7]])
    haar = Haar(rates.shape, 1)
    options = {"sets": ["pointwise"], "read_noise": 0.0}
    coefficients = np.array([0.5, -1.0])
    left, right = 0.0, 0.0
    for values in np.ndindex(10, 16):
        image = np.array([values], dtype=float)
        probability = stats.poisson.pmf(image, rates).prod()
        _, target, *_ = let_system(image, haar, **options)
        estimate, low = functions(image, haar, coefficients, **options)
        left += probability * (coefficients @ target)
        right += probability * (estimate * (rates - low)).sum()
    assert left == pytest.approx(right, abs=1e-8)
    assert abs(right) > 0.02


def test_decimated_coefficients_are_those_of_the_published_formula():
    """Luisier et al. (2010): the estimate of each band on its own, from its d and s alone."""
    image = counts((64, 64), 3.0)
    haar = Haar(image.shape, 2, decimated=True)
    gram, target, noise, _ = let_system(image, haar, sets=["pointwise"] * 2, read_noise=0.0)
    found = solve(gram, target, np.zeros_like(noise)).reshape(-1, 2)
    low, expected = image, []
    for scale in range(2):
        low, details = haar.analyse(low, scale)
        for d in details.values():
            s = low

            def theta(d, s):
                spread = np.exp(-(d**2) / (12 * np.maximum(s, 1e-12)))
                return np.stack([d, d * spread]).reshape(2, -1)

            less, more = theta(d - 1, s - 1), theta(d + 1, s - 1)
            right = ((less + more) @ d.ravel() + (less - more) @ s.ravel()) / 2
            expected.append(np.linalg.solve(theta(d, s) @ theta(d, s).T, right))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_solve_shrinks_by_the_noise():
    gram = np.diag([4.0, 1.0, 9.0, 0.0])
    target = np.array([8.0, 1.0, 3.0, 0.0])
    np.testing.assert_allclose(solve(gram, target, np.zeros((4, 4))), [2, 1, 1 / 3, 0])
    # Variances of the coordinates target / sqrt(gram) = (4, 1, 1): 2, 2 and 0.5.
    noise = np.diag([8.0, 2.0, 4.5, 1.0])
    np.testing.assert_allclose(solve(gram, target, noise), [2 * (1 - 2 / 16), 0, 1 / 6, 0])


def test_functions_are_those_the_windows_can_afford():
    haar = Haar((64, 64), 4)
    # 1024, 256, 64, 16 windows side by side; "neighbours" needs 140, "interscale" 100.
    assert choose_sets(haar, 4096, "neighbours") == ["neighbours"] * 2 + ["pointwise"] * 2
    assert choose_sets(haar, 4096, "interscale") == ["interscale"] * 2 + ["pointwise"] * 2
    assert choose_sets(haar, 4096, "pointwise") == ["pointwise"] * 4


def test_masked_images_leave_out_scales_of_few_windows():
    haar = Haar((64, 64), 4)
    # 102, 25, 6 and less than 2 windows side by side
    sets = choose_sets(haar, 409, "neighbours", may_leave_out=True)
    assert sets == ["interscale", "pointwise", "pointwise", None]
    assert choose_sets(haar, 0, "neighbours", may_leave_out=True) == [None] * 4


@pytest.mark.parametrize("read_noise", [0.0, 0.7])
def test_systems_of_trusted_pixels_add_up(read_noise):
    image = counts((24, 16))
    haar = Haar(image.shape, 2)
    options = {"sets": SETS[1:], "read_noise": read_noise}
    trusted = np.random.default_rng(4).random(image.shape) < 0.3
    parts = (let_system(image, haar, trusted=t, **options) for t in (trusted, ~trusted))
    for some, rest, total in zip(*parts, let_system(image, haar, **options), strict=True):
        np.testing.assert_allclose(some + rest, total, atol=1e-10 * np.abs(total).max())


@pytest.mark.parametrize("decimated", [False, True])
@pytest.mark.parametrize("n_scales", [1, 4, 8])
@pytest.mark.parametrize("shape", [(1, 1), (512, 256), (1536, 768), (1024, 1)])
def test_blocks_cover_the_image_and_hold_its_scales(shape, n_scales, decimated):
    image = np.ones(shape)
    axes = Haar(shape, n_scales, decimated).axes
    for block, trusted in _blocks(image, None, decimated, n_scales):
        assert trusted is None
        assert Haar(block.shape, n_scales, decimated).axes == axes
        block += 1
    assert (image == 2).all()


# --- denoiser -------------------------------------------------------------------------------------


def particle(size, level=0.45):
    """A lattice inside a disk, flat outside."""
    y, x = np.mgrid[:size, :size] - size / 2
    lattice = lattice_images(1, size, size, level=level, period=26.0)[0]
    return np.where(np.hypot(y, x) < size / 3, lattice, np.float32(level))[np.newaxis]


def test_it_beats_the_best_gaussian():
    clean = particle(320)
    noisy = PoissonNoise(random_state=0).sample(clean)
    cutoffs = np.geomspace(0.01, 0.06, 12)
    best = max(LowPassDenoiser(cutoff=c).fit(noisy).score(noisy, clean) for c in cutoffs)
    assert PURELETDenoiser().fit(noisy).score(noisy, clean) > best + 1


def test_surroundings_add_to_the_detail_alone():
    clean = particle(320, level=2.0)
    noisy = PoissonNoise(random_state=0).sample(clean)
    scores = [PURELETDenoiser(thresholding=n).fit(noisy).score(noisy, clean) for n in SETS]
    assert scores[0] + 1 < min(scores[1:])


def test_cycle_spins_approach_the_undecimated_transform():
    clean = particle(96, level=4.0)
    noisy = PoissonNoise(random_state=0).sample(clean)
    scores = [
        PURELETDenoiser(cycle_spins=n, binning=1).fit(noisy).score(noisy, clean)
        for n in (1, 8, "all")
    ]
    assert scores[0] + 0.5 < scores[1] < scores[2]


@pytest.mark.parametrize("thresholding", SETS)
def test_flips_and_turns_commute(thresholding):
    noisy = PoissonNoise(random_state=0).sample(particle(90, level=2.0))
    denoiser = PURELETDenoiser(thresholding=thresholding, binning=1).fit(noisy)
    expected = denoiser.transform(noisy)
    for turn in (lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: a.transpose(0, 2, 1)):
        np.testing.assert_allclose(denoiser.transform(turn(noisy)), turn(expected), atol=2e-4)


@pytest.mark.parametrize("read_noise", [0.0, 0.4])
def test_gain_and_offset_are_units(read_noise):
    rng = np.random.default_rng(0)
    noisy = rng.poisson(particle(64, level=2.0)) + read_noise * rng.normal(size=(1, 64, 64))
    expected = PURELETDenoiser(read_noise=read_noise).fit(noisy).transform(noisy)
    units = {"gain": 7.3, "offset": 100.0, "read_noise": 7.3 * read_noise}
    scaled = 7.3 * noisy + 100
    denoised = PURELETDenoiser(**units).fit(scaled).transform(scaled)
    np.testing.assert_allclose(denoised, 7.3 * expected + 100, rtol=2e-4)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # an offset
def test_knowing_the_read_noise_helps():
    clean = particle(160, level=2.0) + 20  # twenty of which are the detector's offset
    rng = np.random.default_rng(0)
    noisy = rng.poisson(clean - 20) + 20 + 2.0 * rng.normal(size=clean.shape)
    known = PURELETDenoiser(read_noise=2.0, offset=20.0, binning=1).fit(noisy)
    best = known.score(noisy, clean)
    with pytest.warns(UserWarning, match="smoother than"):  # the offset is taken for electrons
        assert best > PURELETDenoiser(binning=1).fit(noisy).score(noisy, clean) + 0.3
    wrong = PURELETDenoiser(binning=1, gain=0.1).fit(noisy)
    with pytest.warns(UserWarning, match="times the variance of counts"):
        assert best > wrong.score(noisy, clean) + 0.3


def test_tiles_are_averaged():
    noisy = counts((1, 40, 24), 4.0)
    whole = PURELETDenoiser(binning=1).fit(noisy)
    total, cover = np.zeros((40, 24)), np.zeros((40, 24))
    for top in (0, 12, 16):
        total[top : top + 24] += whole.transform(noisy[:, top : top + 24])[0]
        cover[top : top + 24] += 1
    tiled = PURELETDenoiser(binning=1, tile_size=24).fit(noisy).transform(noisy)
    np.testing.assert_allclose(tiled[0], total / cover, rtol=1e-5)
    large = PURELETDenoiser(binning=1, tile_size=400).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(large, whole.transform(noisy))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"binning": 2},
        {"tile_size": 64},
        {"cycle_spins": 2},
        {"cycle_spins": 2, "binning": 3, "tile_size": 48},
        {"read_noise": 1.0},
    ],
)
def test_masked_halves_do_not_spoil_the_rest(parameters):
    y, x = np.mgrid[:128, :256]
    clean = 5 * (1 + 0.6 * np.cos(x / 5) * np.cos(y / 5))
    rng = np.random.default_rng(7)
    noisy = rng.poisson(clean) + parameters.get("read_noise", 0.0) * rng.normal(size=clean.shape)
    mask = x < 120
    denoiser = PURELETDenoiser(**parameters).fit(noisy[np.newaxis])
    denoised = denoiser.transform(noisy[np.newaxis], mask=mask)[0]
    alone = denoiser.transform(noisy[np.newaxis, :, 120:])[0]
    errors = [((a[:, -136:] - clean[:, -136:]) ** 2).mean() for a in (denoised, alone)]
    # without it, the filled half spoilt the coefficients: errors in the hundreds
    assert errors[0] < 1.2 * errors[1]
    assert 0 < denoised.min() and denoised.max() < 12


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # no counts
@pytest.mark.parametrize(
    ("add", "spread", "parameters"),
    [
        (0, 0, {}),
        (0, 0, {"tile_size": 64}),
        (0, 0, {"cycle_spins": 2}),
        (0, 0, {"binning": 2}),
        (30, 1, {}),  # a forgotten offset
        (0, 1, {"read_noise": 9.0}),
    ],
)
def test_images_smoother_than_their_noise(add, spread, parameters):
    y, x = np.mgrid[:128, :128]
    clean = 5 * (1 + 0.6 * np.cos(x / 5) * np.cos(y / 5))
    noisy = np.random.default_rng(7).poisson(clean)
    image = clean + spread * (noisy - clean) + add
    stack = np.stack([image, image])
    with pytest.warns(UserWarning, match="smoother than gain=1, offset=0 and read_noise=") as found:
        denoised = PURELETDenoiser(**parameters).fit(stack).transform(stack)
    found = [warning for warning in found if "smoother" in str(warning.message)]
    assert len(found) == 1 and found[0].filename == __file__
    # it was in the millions
    assert clean.min() + add < denoised.min() and denoised.max() < clean.max() + add


def test_constants_and_small_images_of_counts_are_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for level in (0.0, 3.3):
            constant = np.full((1, 40, 40), level)
            np.testing.assert_allclose(PURELETDenoiser().fit_transform(constant), constant)
        for seed in range(60):  # in some of them the estimate fails at the coarsest scales
            noisy = counts((1, 12, 12), 100.0, seed)
            denoised = PURELETDenoiser(binning=1, cycle_spins=1).fit_transform(noisy)
            assert np.abs(denoised - 100).max() < 200


def test_few_trusted_pixels():
    noisy = counts((1, 64, 64), 5.0)
    mask = np.ones((64, 64), dtype=bool)
    mask[30, 30:33] = False
    for parameters in ({}, {"binning": 2}, {"tile_size": 16}, {"cycle_spins": 3}):
        denoised = PURELETDenoiser(**parameters).fit(noisy).transform(noisy, mask=mask)[0]
        # nothing is known but these three: their mean, more or less, everywhere
        few = noisy[0][~mask]
        assert few.min() - 1e-3 < denoised.min() and denoised.max() < few.max() + 1e-3


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # no counts
def test_auto_binning_looks_at_trusted_pixels():
    noisy = counts((1, 96, 96), 5.0)
    noisy[0, :48] = 0
    mask = np.zeros((96, 96), dtype=bool)
    mask[:50] = True  # the mean around the edge, of which zeros are a part, fills them
    given, found = (PURELETDenoiser(binning=b).fit(noisy) for b in (1, "auto"))
    expected = given.transform(noisy, mask=mask)
    np.testing.assert_array_equal(found.transform(noisy, mask=mask), expected)


@pytest.mark.parametrize(
    ("level", "size", "factor"),
    [(0.45, 100, 3), (4.1, 100, 1), (3.9, 100, 2), (0.001, 100, 8), (0.0, 100, 8), (0.45, 16, 2)],
)
def test_auto_binning_holds_four_electrons(level, size, factor):
    # Single pixels of a level that stands for the mean: what is binned alike comes out alike.
    noisy = PoissonNoise(random_state=0).sample(np.full((1, size, size), level))
    noisy *= level / max(noisy.mean(), 1e-9)
    expected = PURELETDenoiser(binning=factor).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(PURELETDenoiser().fit(noisy).transform(noisy), expected)
    if noisy.any():
        other = PURELETDenoiser(binning=factor + 1).fit(noisy).transform(noisy)
        assert not np.array_equal(other, expected)


def test_bad_counts():
    noisy = counts((1, 20, 20))
    with pytest.raises(ValueError, match="binning=21 is larger than the images of 20 x 20"):
        PURELETDenoiser(binning=21).fit(noisy)
    with pytest.raises(ValueError, match="below offset=1"):
        PURELETDenoiser(offset=1.0).fit(noisy)
    assert np.isfinite(PURELETDenoiser(offset=1.0, read_noise=1.0).fit_transform(noisy)).all()
    # A float32 image at an offset that float32 cannot hold is not below it.
    dark = np.full((1, 20, 20), 0.1, dtype=np.float32)
    np.testing.assert_array_equal(PURELETDenoiser(offset=0.1).fit_transform(dark), dark)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_scales": 0},
        {"n_scales": 9},
        {"thresholding": "soft"},
        {"cycle_spins": 0},
        {"cycle_spins": "none"},
        {"binning": 0},
        {"binning": 1.5},
        {"gain": 0.0},
        {"offset": np.nan},
        {"read_noise": -1.0},
        {"tile_size": 1},
    ],
)
def test_bad_parameters(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        PURELETDenoiser(**parameters).fit(counts((1, 20, 20)))


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # no counts
def test_psnr_of_a_lone_bright_pixel_is_kept():
    image = np.full((1, 64, 64), 3.0)
    image[0, 30, 30] = 5000.0
    denoised = PURELETDenoiser(binning=1).fit_transform(image)
    assert denoised[0, 30, 30] == pytest.approx(5000, rel=0.1)
    assert psnr(image, denoised, data_range=5000) > 60
