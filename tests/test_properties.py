"""What must hold of any counts, not only of those someone thought of."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from test_denoisers_contract import DENOISERS

from temdenoise import (
    LowPassDenoiser,
    PoissonNoise,
    UDVDDenoiser,
    confirm_atoms,
    find_atoms,
    psnr,
    thin_counts,
)
from temdenoise.atoms import column_polarity, match_atoms, split_surface_bulk
from temdenoise.atoms._false_discovery import q_values
from temdenoise.binning import bin_counts, unbin
from temdenoise.images import PixelSizeWarning
from temdenoise.inspection import column_intensities
from temdenoise.metrics import atom_f1, paired_risk, ssim, unbiased_mse, upsnr
from temdenoise.noise import analyze_noise
from temdenoise.variance_stabilization import (
    anscombe,
    generalized_anscombe,
    inverse_anscombe,
    inverse_generalized_anscombe,
)

# The same examples at every run, and no database of failed ones beside the tests.
few = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
many = settings(few, max_examples=40)

DTYPES = ["uint8", "int16", "uint16", "int64", "float32", "float64", ">u2"]


@st.composite
def counts(draw, least=6, most=40, n_images=3):
    """Counts of a smooth scene, of any dose, dtype, shape and order in memory."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, n_images)), *(draw(st.integers(least, most)) for _ in range(2))
    dose = 10 ** draw(st.floats(-2.5, 1.5))
    y, x = np.indices(shape[1:]) / draw(st.floats(2, 12))
    rate = dose * (1 + draw(st.floats(0, 0.9)) * np.cos(y) * np.cos(x))
    images = np.minimum(rng.poisson(rate, size=shape), 200)
    images = np.asarray(images, dtype=draw(st.sampled_from(DTYPES)))
    return np.asfortranarray(images) if draw(st.booleans()) else images


# --- denoisers ------------------------------------------------------------------------------------

FITTED = {}


def fitted(name):
    """Denoiser of the contract, fitted once."""
    if name not in FITTED:
        images = np.random.default_rng(0).poisson(1.0, size=(3, 40, 40)).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PixelSizeWarning)
            FITTED[name] = clone(DENOISERS[name][0]).fit(images)
    return FITTED[name]


@pytest.mark.parametrize("name", [name for name in DENOISERS if name != "auto"])  # it is another
@few
@given(data=st.data())
def test_an_estimate_is_a_finite_rate_for_each_pixel(name, data):
    X = data.draw(counts())
    if isinstance(fitted(name), UDVDDenoiser):
        assume(X.any(axis=(1, 2)).sum() > 1)  # it needs frames beside one another
    mask = None
    if data.draw(st.booleans()):
        mask = np.zeros(X.shape[1:], dtype=bool)
        mask[: X.shape[1] // 3, : X.shape[2] // 2] = True
    before = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copies, few pixels, an unknown scale
        rates = fitted(name).transform(X, mask=mask)
    assert (rates.shape, rates.dtype) == (X.shape, np.float32)
    assert np.isfinite(rates).all()
    np.testing.assert_array_equal(X, before)
    # No estimate lies far outside of what was counted.
    assert rates.max() <= 3 * X.max() + 3
    assert rates.min() >= -2 * float(X.max()) - 3


# --- noise ----------------------------------------------------------------------------------------


@many
@given(X=counts(), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_thinning_loses_no_electron(X, fraction, seed):
    a, b = thin_counts(X, fraction, random_state=seed)
    assert a.dtype == b.dtype == X.dtype
    np.testing.assert_array_equal(a.astype(int) + b, X.astype(int))
    assert min(a.min(), b.min()) >= 0


@many
@given(X=counts(), seed=st.integers(0, 99), dose=st.floats(0.01, 20))
def test_drawn_counts_are_whole(X, seed, dose):
    noise = PoissonNoise(dose=dose, random_state=seed)
    X = X[X.any(axis=(1, 2))]
    if len(X):
        noisy, clean = noise.sample(X, return_clean=True)
        np.testing.assert_array_equal(noisy, np.rint(noisy))
        np.testing.assert_allclose(clean.mean(axis=(1, 2)), dose, rtol=1e-5)
        assert not noisy[clean == 0].any()


@few
@given(X=counts(least=24))
def test_an_analysis_never_invents_a_gain(X):
    """Poisson counts have gain 1, or it cannot be told."""
    try:
        found = analyze_noise(X)
    except ValueError as error:
        assert str(error)
        return
    low, high = found.gain - 6 * found.gain_se, found.gain + 6 * found.gain_se
    assert low <= 1 <= high or X.max() >= 200


@many
@given(X=counts(), gain=st.floats(0.5, 50), offset=st.floats(-20, 20))
def test_stabilisation_keeps_the_order(X, gain, offset):
    values = np.unique(X.astype(float))
    for stabilized in (
        anscombe(values),
        generalized_anscombe(gain * values + offset, gain=gain, offset=offset),
    ):
        np.testing.assert_allclose(stabilized, 2 * np.sqrt(values + 3 / 8), rtol=1e-6)
        assert (np.diff(stabilized) > 0).all()
        rates = inverse_anscombe(stabilized)
        assert (np.diff(rates) >= 0).all()
        assert (rates >= 0).all()
    back = inverse_generalized_anscombe(stabilized, gain=gain, offset=offset, method="algebraic")
    np.testing.assert_allclose(back, gain * values + offset, rtol=1e-6, atol=1e-6 * gain)


# --- bins -----------------------------------------------------------------------------------------


@many
@given(X=counts(), factor=st.sampled_from([1, 2, 3, 1.5, 2.75]))
def test_bins_hold_whole_electrons(X, factor):
    bins = bin_counts(X, factor)
    assert bins.shape == (len(X), *(int(np.ceil(n / factor - 1e-9)) for n in X.shape[1:]))
    np.testing.assert_allclose(bins, np.rint(bins), atol=1e-3)
    inside = X[:, : int(X.shape[1] // factor * factor), : int(X.shape[2] // factor * factor)]
    assert bins.sum() >= inside.sum()
    flat = unbin(np.full_like(bins, 2.5), factor, X.shape[1:])
    np.testing.assert_allclose(flat, 2.5, rtol=1e-5)


# --- atoms ----------------------------------------------------------------------------------------

places = st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=0, max_size=12).map(
    lambda xy: np.array(xy).reshape(-1, 2)
)


@many
@given(a=places, b=places, reach=st.floats(0.5, 120))
def test_pairs_are_one_to_one_within_reach(a, b, reach):
    pairs = match_atoms(a, b, max_distance=reach)
    assert pairs["a"].is_unique
    assert pairs["b"].is_unique
    distances = np.hypot(*(a[pairs["a"]] - b[pairs["b"]]).T) if len(pairs) else np.zeros(0)
    np.testing.assert_allclose(pairs["distance"], distances, rtol=1e-9, atol=1e-9)
    assert (distances <= reach).all()
    other = match_atoms(b, a, max_distance=reach)
    assert len(other) == len(pairs)
    assert other["distance"].sum() == pytest.approx(pairs["distance"].sum())
    # no pair is left: an atom without partner has no free atom within reach
    free_a = np.delete(a, pairs["a"], axis=0)
    free_b = np.delete(b, pairs["b"], axis=0)
    if len(free_a) and len(free_b):
        assert (np.hypot(*(free_a[:, None] - free_b).transpose(2, 0, 1)) > reach).all()
    if len(pairs):
        f1 = atom_f1(a, b, max_distance=reach)
        assert f1 == pytest.approx(2 * len(pairs) / (len(a) + len(b)))


@few
@given(X=counts(least=30, most=60, n_images=1), turns=st.integers(0, 3), level=st.floats(-50, 50))
def test_atoms_turn_with_the_image(X, turns, level):
    image = LowPassDenoiser(cutoff=0.12).fit(X).transform(X)[0].astype(np.float64)
    found = find_atoms(image, sigma=2, threshold=0.02)
    height, width = image.shape
    assert found["x"].between(0, width - 1).all()
    assert found["y"].between(0, height - 1).all()
    assert (found["response"].diff().dropna() <= 0).all()
    turned = find_atoms(np.rot90(image, turns) + level, sigma=2, threshold=0.02)
    assert len(turned) == len(found)
    np.testing.assert_allclose(turned["response"], found["response"], rtol=1e-2, atol=1e-4)
    assert column_polarity(image, sigma=2) == column_polarity(image + level, sigma=2)


@few
@given(X=counts(least=64, most=90, n_images=1), seed=st.integers(0, 9))
def test_verdicts_are_chances(X, seed):
    denoiser = LowPassDenoiser(cutoff=0.1).fit(X)
    atoms = confirm_atoms(denoiser, X[0].astype(int), sigma=3, random_state=seed)
    for name in ("p_value", "q_value"):
        if name in atoms:
            assert atoms[name].dropna().between(0, 1).all()
    for name in ("x", "y"):
        assert atoms[name].between(0, max(X.shape)).all()


@many
@given(p=st.lists(st.floats(0, 1), max_size=30), seed=st.integers(0, 9))
def test_q_values_keep_the_order_of_p_values(p, seed):
    p = np.array(p)
    families = np.random.default_rng(seed).integers(0, 2, len(p))
    q = q_values(p, families)
    assert q.shape == p.shape
    for family in (0, 1):
        of = families == family
        order = np.argsort(p[of], kind="stable")
        assert (np.diff(q[of][order]) >= -1e-12).all()


@many
@given(points=places, alpha=st.floats(1, 300))
def test_surface_and_bulk_are_all(points, alpha):
    surface, bulk = split_surface_bulk(points, alpha=alpha)
    assert len(surface) + len(bulk) == len(points)


# --- metrics and inspection -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # it is made from X
@many
@given(X=counts(least=11), shift=st.floats(0.01, 5), factor=st.floats(0.1, 10))
def test_errors_are_what_they_are_called(X, shift, factor):
    clean = X.astype(np.float64)
    np.testing.assert_allclose(psnr(clean, clean + shift), -20 * np.log10(shift), atol=1e-6)
    scaled = psnr(factor * clean, factor * (clean + shift), data_range=factor)
    np.testing.assert_allclose(scaled, psnr(clean, clean + shift), atol=1e-6)
    np.testing.assert_allclose(ssim(clean, clean), 1)
    expected = np.mean((shift - 0.0) ** 2) - clean.mean(axis=(1, 2))
    np.testing.assert_allclose(unbiased_mse(clean + shift, X), expected, atol=1e-6)
    assert (upsnr(clean + 100, X) < 0).all()


@few
@given(X=counts(least=24, n_images=2))
def test_no_method_differs_from_itself(X):
    filters = [LowPassDenoiser(cutoff=0.1).fit(X)] * 2
    table = paired_risk(filters, X.astype(int), random_state=0)
    assert not table["difference"].any()


@few
@given(X=counts(least=30, n_images=2))
def test_columns_hold_the_electrons_in_them(X):
    atoms = np.array([(12.0, 12.0), (20.0, 18.0)])
    found = column_intensities(X, X.astype(float), atoms, radius=4)
    rows, columns = np.indices(X.shape[1:])
    for k, (x, y) in enumerate(atoms):
        disc = np.hypot(columns - x, rows - y) <= 4
        assert found["movie"][k] == pytest.approx(X[:, disc].mean())
        assert found["denoised"][k] == pytest.approx(X[:, disc].mean())
