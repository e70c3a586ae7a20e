"""The test of single columns against exact tails, invariances and simulated noise."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest

from temdenoise.atoms._evidence import column_tests, principal_curvatures, tail
from temdenoise.atoms._false_discovery import q_values

RADIUS, SIGMA = 26.0, 9.6
SHAPE = (160, 200)
SITES = np.array([[60.3, 70.8], [130.0, 90.5]])


def spots(sites, shape=SHAPE, sigma=(8, 8)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for u, v in sites:
        image += np.exp(-((x - u) ** 2) / (2 * sigma[0] ** 2) - (y - v) ** 2 / (2 * sigma[1] ** 2))
    return image


def plane(shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 0.4 + 0.002 * x - 0.001 * y


def exact_tail(value, weights, rate):
    """P(S >= value) by inverting the characteristic function (Gil-Pelaez)."""
    t = np.linspace(1e-6, 10, 20_001) / np.sqrt(weights**2 @ rate)
    phase = np.zeros(len(t), dtype=complex)
    for w, mu in zip(weights, rate, strict=True):
        phase += mu * (np.exp(1j * t * w) - 1 - 1j * t * w)
    integrand = np.imag(np.exp(phase - 1j * t * value)) / t
    return 0.5 + np.trapezoid(integrand, t) / np.pi


@pytest.mark.parametrize("z", [-2.0, -0.5, 0.0, 1e-4, 0.7, 2.0, 3.5])
def test_tail_against_the_exact_distribution(z):
    rng = np.random.default_rng(1)
    weights, rate = rng.gamma(2.0, size=60) - 0.8, rng.uniform(0.3, 3, size=60)
    value = z * np.sqrt(weights**2 @ rate)
    assert tail(value, weights, rate) == pytest.approx(exact_tail(value, weights, rate), rel=0.02)


@pytest.mark.parametrize("dose", [0.001, 0.01, 0.1])
def test_tail_of_few_electrons_is_a_chance(dose):
    rng = np.random.default_rng(2)
    weights, rate = rng.gamma(2.0, size=200) - 2, np.full(200, dose)
    values = np.append(rng.poisson(rate, size=(300, 200)) @ weights, 0) - weights @ rate
    p = np.array([tail(value, weights, rate) for value in values])
    assert ((p > 0) & (p <= 1)).all()
    # of true sums at most a share p has a p-value of p or less
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p[:-1] <= level) < level + 3 * np.sqrt(level / 300)
    assert tail(-1e9, weights, rate) == 1


def test_tail_is_smooth_through_zero():
    weights, rate = np.array([1.0, -0.3, 2.0]), np.array([20.0, 30.0, 10.0])
    values = np.linspace(-0.05, 0.05, 41)
    p = np.array([tail(v, weights, rate) for v in values])
    assert (np.diff(p) < 0).all()
    assert np.ptp(np.diff(p)) < 0.1 * abs(np.diff(p).mean())


def test_no_plane_is_a_column():
    drawn = plane() + 0.3 * spots(SITES)
    tests = column_tests(plane(), drawn, SITES, RADIUS, SIGMA)
    np.testing.assert_allclose(tests["z"], 0, atol=1e-9)
    np.testing.assert_allclose(tests["height_counted"], 0, atol=1e-9)
    np.testing.assert_allclose(tests["p_value"], 0.5, atol=0.03)


def test_what_was_drawn_is_what_is_expected():
    drawn = 0.4 + 0.3 * spots(SITES)
    tests = column_tests(drawn, drawn, SITES, RADIUS, SIGMA)
    np.testing.assert_allclose(tests["z"], tests["expected_z"])
    np.testing.assert_allclose(tests["height_counted"], tests["height_drawn"], rtol=0.02)
    # the rim of the window, 3.25 sigma away, lies 0.5 % above the background
    np.testing.assert_allclose(tests["height_drawn"], 0.3, rtol=0.02)
    assert (tests["p_contradicted"] > 0.9).all()


def test_scale_of_the_image_and_of_the_dose():
    counts = np.random.default_rng(0).poisson(0.4 + 0.3 * spots(SITES))
    drawn = 0.4 + 0.3 * spots(SITES)
    once = column_tests(counts, drawn, SITES, RADIUS, SIGMA)
    again = column_tests(counts, 7 * drawn, SITES, RADIUS, SIGMA)
    np.testing.assert_allclose(once, again)
    longer = column_tests(4 * drawn, drawn, SITES, RADIUS, SIGMA)
    shorter = column_tests(drawn, drawn, SITES, RADIUS, SIGMA)
    np.testing.assert_allclose(longer["z"], 2 * shorter["z"])
    np.testing.assert_allclose(longer["height_counted"], 4 * shorter["height_counted"])


def test_p_values_are_uniform_without_columns_and_small_with_them():
    y, x = np.mgrid[:12, :12]
    sites = 30 + 53.0 * np.column_stack([x.ravel(), y.ravel()])
    shape = (660, 660)
    rng = np.random.default_rng(2)
    drawn = 0.3 + 0.15 * spots(sites, shape)
    background = 0.25 + 0.0002 * np.arange(660)
    empty = rng.poisson(np.broadcast_to(background, shape))
    tests = column_tests(empty, drawn, sites, RADIUS, SIGMA)
    assert kstest(tests["p_value"], "uniform").pvalue > 0.01
    # half of what was drawn is rejected when nothing is there, not when all of it is
    full = column_tests(rng.poisson(drawn), drawn, sites, RADIUS, SIGMA)
    assert (full["p_value"] < 0.05).mean() > 0.8
    assert (full["p_contradicted"] < 0.05).mean() < 0.02
    assert (tests["p_contradicted"] < 0.05).mean() > 0.25
    assert full["z"].mean() == pytest.approx(full["expected_z"].mean(), abs=4 / 12)
    assert full["height_counted"].mean() == pytest.approx(0.15, abs=0.02)


def test_dark_columns():
    drawn = 0.4 - 0.3 * spots(SITES)
    tests = column_tests(drawn, drawn, SITES, RADIUS, SIGMA)
    assert (tests["z"] > 2).all()
    assert (tests["height_drawn"] < -0.25).all()


def test_on_a_ridge_the_maximum_must_show():
    sites = np.array([[100.0, 80.0]])
    ridge = 0.4 + 0.4 * spots(sites, sigma=(1e6, 9.6))
    drawn = ridge + 0.005 * spots(sites, sigma=(9.6, 9.6))
    knotted = column_tests(ridge + 0.3 * spots(sites), drawn, sites, RADIUS, SIGMA)
    even = column_tests(ridge, drawn, sites, RADIUS, SIGMA)
    # both stand out from a plane
    round_drawn = 0.4 + 0.4 * spots(sites)
    assert column_tests(ridge, round_drawn, sites, RADIUS, SIGMA)["z"].item() > 3
    assert abs(even["z"].item()) < 0.02
    assert knotted["z"].item() > 2


def test_principal_curvatures():
    ratio, angle = principal_curvatures(spots(SITES, sigma=(8, 16)), np.rint(SITES), 4.0)
    # a Gaussian of widths s, t has the curvatures 1/(s^2 + 4^2), 1/(t^2 + 4^2) when blurred by 4
    np.testing.assert_allclose(ratio, (64 + 16) / (256 + 16), rtol=0.02)
    np.testing.assert_allclose(np.cos(angle) ** 2, 1, atol=0.01)  # along x
    saddle = np.subtract.outer(np.linspace(-1, 1, 41) ** 2, np.linspace(-1, 1, 41) ** 2)
    assert principal_curvatures(saddle, np.array([[20, 20]]), 4.0)[0] < 0
    assert principal_curvatures(np.ones((9, 9)), np.array([[4, 4]]), 2.0)[0] == 1


def test_hidden_pixels_and_borders():
    drawn = 0.4 + 0.3 * spots(SITES)
    counts = drawn.copy()
    trusted = np.ones(SHAPE, dtype=bool)
    trusted[:, 140:] = False
    spoiled = np.where(trusted, drawn, np.nan)
    sites = np.vstack([SITES, [[3.0, 3.0], [170.0, 90.0], [500.0, 500.0]]])
    tests = column_tests(np.where(trusted, counts, np.nan), spoiled, sites, RADIUS, SIGMA, trusted)
    assert tests["p_value"].isna().tolist() == [False, False, True, True, True]
    assert (tests["z"][:2] > 1).all()


def test_q_values_against_benjamini_and_hochberg():
    rng = np.random.default_rng(0)
    p = np.concatenate(
        [rng.uniform(size=60), rng.uniform(0, 1e-3, size=10), rng.uniform(0.5, 1, 30)]
    )
    one = np.full(len(p), "all")
    # half of these or more are large, so that all are taken to be null
    expected = np.where(p > 0.1, 1, false_discovery_control(p))
    np.testing.assert_allclose(q_values(p, one), expected)


def test_q_values_with_a_share_of_nulls():
    p = np.concatenate([np.linspace(1e-4, 0.02, 90), np.linspace(0.51, 0.99, 9)])
    share = (1 + 9) / (99 * 0.5)
    np.testing.assert_allclose(
        q_values(p, np.zeros(99))[:90], np.minimum(share * false_discovery_control(p), 1)[:90]
    )


def test_families_are_separate():
    rng = np.random.default_rng(3)
    p = rng.uniform(0, 0.3, size=50)
    p[[4, 17]] = np.nan
    family = rng.permutation(np.repeat(["bulk", "surface"], 25)).astype(object)
    q = q_values(p, family)
    assert np.isnan(q).tolist() == np.isnan(p).tolist()
    for name in ("bulk", "surface"):
        mine = family == name
        np.testing.assert_allclose(q[mine], q_values(p[mine], family[mine]))
    assert q_values(np.array([]), np.array([])).shape == (0,)
    assert q_values(np.array([0.2, 1e-9, 1e-9]), np.zeros(3))[0] == 1  # the counts say nothing
