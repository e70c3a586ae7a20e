"""Variance stabilisation: the equations, and the exact inverse against sums of its own."""

import numpy as np
import pytest
from scipy import stats

from temdenoise.variance_stabilization import (
    anscombe,
    exact_rates,
    generalized_anscombe,
    inverse_anscombe,
    inverse_generalized_anscombe,
)

MEANS = np.geomspace(0.05, 100, 40)


def expected_transform(mean):
    """Mean of the transformed counts, summed over SciPy's Poisson distribution."""
    k = np.arange(400)
    return np.sum(stats.poisson.pmf(k, mean) * 2 * np.sqrt(k + 3 / 8))


def test_transform_by_equation():
    np.testing.assert_allclose(
        anscombe([[0, 1], [2.625, 6]]), 2 * np.sqrt([[0.375, 1.375], [3, 6.375]])
    )
    values = np.array([[100.0, 114.0], [-1000.0, 170.0]])
    inside = 7 * (values - 100) + 3 / 8 * 49 + 15**2
    expected = 2 / 7 * np.sqrt(np.maximum(inside, 0))
    result = generalized_anscombe(values, gain=7, offset=100, read_noise=15)
    np.testing.assert_allclose(result, expected)
    assert result[1, 0] == 0
    np.testing.assert_allclose(generalized_anscombe([0, 3, 5]), anscombe([0, 3, 5]))


@pytest.mark.parametrize(("mean", "tolerance"), [(4.0, 0.03), (20.0, 0.01), (500.0, 0.001)])
def test_variance_is_one(mean, tolerance):
    k = np.arange(stats.poisson.ppf(1 - 1e-14, mean) + 1)
    p, s = stats.poisson.pmf(k, mean), anscombe(k)
    assert np.sum(p * s**2) - np.sum(p * s) ** 2 == pytest.approx(1, abs=tolerance)


def test_variance_at_low_rates_as_documented():
    for mean, variance in ((2.0, 0.92), (1.0, 0.7), (0.3, 0.3)):
        k = np.arange(60)
        p, s = stats.poisson.pmf(k, mean), anscombe(k)
        assert np.sum(p * s**2) - np.sum(p * s) ** 2 == pytest.approx(variance, abs=0.02)


def test_exact_inverse_has_no_bias():
    means = np.array([expected_transform(m) for m in MEANS])
    np.testing.assert_allclose(inverse_anscombe(means), MEANS, rtol=1e-4)
    # The others have one: that is what the exact one is for.
    low = MEANS < 1
    assert (np.abs(inverse_anscombe(means, method="algebraic") / MEANS - 1)[low] > 0.15).all()
    assert (np.abs(inverse_anscombe(means, method="asymptotic") / MEANS - 1)[low] > 0.02).all()


def test_exact_inverse_joins_its_asymptote_smoothly():
    s = np.linspace(27.5, 28.6, 2001)  # about the end of the table, at a rate of 196
    rates = inverse_anscombe(s)
    np.testing.assert_allclose(np.diff(rates), s[:-1] / 2 * np.diff(s), rtol=2e-3)
    for mean in (190.0, 200.0, 1000.0, 1e5):
        k = np.arange(stats.poisson.ppf(1e-14, mean), stats.poisson.ppf(1 - 1e-14, mean) + 1)
        s = np.sum(stats.poisson.pmf(k, mean) * anscombe(k))
        assert inverse_anscombe(s) == pytest.approx(mean, rel=1e-5)


def test_exact_inverse_is_zero_below_rate_zero_and_rises():
    lowest = anscombe(0.0)
    np.testing.assert_array_equal(inverse_anscombe([-3.0, 0.0, lowest]), 0)
    rates = inverse_anscombe(np.linspace(lowest, 40, 5000))
    assert (np.diff(rates) > 0).all()


@pytest.mark.parametrize("read_noise", [0.0, 0.01, 0.3, 2.0, 12.0])
def test_exact_generalized_inverse_has_no_bias(read_noise):
    # Sums over counts, and over a fine grid of the read noise.
    t = np.linspace(-8.5, 8.5, 20_001)
    density = stats.norm.pdf(t) / stats.norm.pdf(t).sum()
    for rate in (0.05, 0.5, 5.0, 60.0):
        k = np.arange(stats.poisson.ppf(1 - 1e-13, rate) + 1)
        noise = {"gain": 3.0, "offset": -20.0, "read_noise": 3.0 * read_noise}
        values = 3 * (k[:, None] + read_noise * t) - 20
        mean = stats.poisson.pmf(k, rate) @ generalized_anscombe(values, **noise) @ density
        result = (inverse_generalized_anscombe(mean, **noise) + 20) / 3
        assert result == pytest.approx(rate, rel=2e-3 * (1 + read_noise**2 / 10), abs=1e-4)


def test_exact_inverse_on_draws():
    rng = np.random.default_rng(0)
    noise = {"gain": 2.0, "offset": 10.0, "read_noise": 1.0}
    values = 2 * rng.poisson(0.4, 2_000_000) + rng.normal(10, 1, 2_000_000)
    result = inverse_generalized_anscombe(generalized_anscombe(values, **noise).mean(), **noise)
    assert (result - 10) / 2 == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize("method", ["asymptotic", "algebraic"])
def test_closed_inverses(method):
    constant = {"asymptotic": 1 / 8, "algebraic": 3 / 8}[method]
    s = np.array([3.0, 10.0])
    noise = {"gain": 2.0, "offset": 5.0, "read_noise": 3.0}
    np.testing.assert_allclose(inverse_anscombe(s, method=method), s**2 / 4 - constant)
    np.testing.assert_allclose(
        inverse_generalized_anscombe(s, **noise, method=method),
        2 * (s**2 / 4 - constant - 1.5**2) + 5,
    )


def test_algebraic_is_the_way_back():
    values = np.linspace(-3, 50, 30)
    noise = {"gain": 2.0, "offset": -4.0, "read_noise": 1.0}
    back = inverse_generalized_anscombe(
        generalized_anscombe(values, **noise), **noise, method="algebraic"
    )
    np.testing.assert_allclose(back, values, atol=1e-10)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("read_noise", [0.0, 0.7])
def test_exact_inverse_of_noisy_and_estimate_combined(weight, read_noise):
    rng = np.random.default_rng(1)
    for rate in (0.3, 2.0, 30.0):
        counts = rng.poisson(rate, 400_000) + read_noise * rng.normal(size=400_000)
        combined = weight * counts + (1 - weight) * rate
        root = (combined + read_noise**2) / weight**2 + 3 / 8
        stabilized = 2 * np.sqrt(np.maximum(root, 0))
        result = exact_rates(stabilized.mean()[None], read_noise, weight)[0]
        assert result == pytest.approx(rate, rel=0.01)
        if rate == 30:
            assert stabilized.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anscombe([1, -1]), "must not be negative, got -1"),
        (lambda: anscombe([1, np.nan]), "counts must be finite"),
        (lambda: anscombe(["a"]), "needs numbers"),
        (lambda: generalized_anscombe([np.inf]), "values must be finite"),
        (lambda: generalized_anscombe([1], gain=0), "gain must be positive"),
        (lambda: generalized_anscombe([1], gain="auto"), "gain must be a finite number"),
        (lambda: generalized_anscombe([1], read_noise=-1), "read_noise"),
        (lambda: generalized_anscombe([1], offset=np.nan), "offset must be a finite number"),
        (lambda: inverse_anscombe([1], method="exact"), "method must be one of"),
        (lambda: inverse_anscombe([np.nan]), "stabilized must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
