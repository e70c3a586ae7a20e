import pickle
from functools import partial

import numpy as np
import pytest
from conftest import lattice_images
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score, cross_validate

from temdenoise import (
    LowPassDenoiser,
    PoissonNoise,
    WienerDenoiser,
    make_ptceo2,
    psnr,
    ssim,
)
from temdenoise.base import BaseDenoiser
from temdenoise.images import ImageStack
from temdenoise.metrics import (
    atom_f1_scorer,
    atom_precision,
    make_denoising_scorer,
    make_multimetric_scorer,
    make_upsnr_scorer,
    multimetric_scorer,
    paired_risk,
    psnr_scorer,
    ssim_scorer,
    unbiased_mse,
    upsnr,
    upsnr_scorer,
)


def mean_absolute_error(clean, denoised):
    return np.abs(clean - denoised).mean(axis=(1, 2))


def test_psnr_by_equation():
    clean = np.full((2, 4, 4), 0.5)
    denoised = clean + np.array([0.1, 0.01]).reshape(2, 1, 1)
    np.testing.assert_allclose(psnr(clean, denoised), [20.0, 40.0])
    np.testing.assert_allclose(psnr(clean, denoised, data_range=10), [40.0, 60.0])
    assert psnr(clean[0], denoised[0]) == pytest.approx(20.0)
    assert isinstance(psnr(clean[0], denoised[0]), float)
    assert psnr(clean[0], clean[0]) == np.inf


def test_psnr_matches_scikit_image(clean, noisy):
    for data_range in (1.0, 2.5):
        expected = [
            peak_signal_noise_ratio(a, b, data_range=data_range)
            for a, b in zip(clean, noisy, strict=True)
        ]
        np.testing.assert_allclose(psnr(clean, noisy, data_range=data_range), expected, rtol=1e-5)


def test_authors_convention(clean, noisy):
    # Counts above one are clamped to the white level, those within are untouched.
    inside = np.clip(noisy, 0, 1)
    assert (noisy != inside).any()
    np.testing.assert_allclose(
        psnr(clean, noisy, convention="authors"), psnr(clean, inside), rtol=1e-12
    )
    assert (psnr(clean, noisy, convention="authors") > psnr(clean, noisy)).all()
    np.testing.assert_allclose(
        psnr(3 * clean, 3 * noisy, data_range=3.0, convention="authors"),
        psnr(clean, noisy, convention="authors"),
    )
    expected = [
        structural_similarity(
            255 * a.astype(float),
            255 * b.astype(float),
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(clean, inside, strict=True)
    ]
    np.testing.assert_allclose(ssim(clean, noisy, convention="authors"), expected, rtol=1e-6)


def test_psnr_of_raw_counts_is_that_of_the_mean_rate(clean):
    # The mean squared error of Poisson counts is the mean rate.
    images = np.tile(clean, (1, 8, 8))
    noisy = PoissonNoise(random_state=0).sample(images)
    expected = -10 * np.log10(images.mean(axis=(1, 2)))
    np.testing.assert_allclose(psnr(images, noisy), expected, atol=0.1)


def test_ssim(clean, noisy):
    np.testing.assert_allclose(ssim(clean, clean), 1.0)
    assert ssim(clean, noisy).shape == (6,)
    assert ssim(clean[0], noisy[0]) == pytest.approx(ssim(clean, noisy)[0])
    # For two constants the index is that of the luminances alone.
    a, b, c1 = 0.4, 0.6, 0.01**2
    expected = (2 * a * b + c1) / (a**2 + b**2 + c1)
    assert ssim(np.full((20, 20), a), np.full((20, 20), b)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(clean[:, :10], noisy[:, :10])


def test_mask_leaves_pixels_out(clean, noisy):
    mask = np.zeros(clean.shape[1:], dtype=bool)
    mask[:, 20:] = True
    spoiled = noisy.copy()
    spoiled[:, mask] = 1e6
    np.testing.assert_allclose(
        psnr(clean, spoiled, mask=mask), psnr(clean[:, :, :20], noisy[:, :, :20])
    )
    np.testing.assert_allclose(
        unbiased_mse(clean, spoiled, mask=mask), unbiased_mse(clean[:, :, :20], noisy[:, :, :20])
    )
    assert psnr(clean[0], spoiled[0], mask=mask) == pytest.approx(
        psnr(clean, spoiled, mask=mask)[0]
    )
    with pytest.raises(ValueError, match="mask has shape"):
        psnr(clean[0], noisy[0], mask=mask[np.newaxis])


def test_unbiased_mse_is_unbiased():
    clean = np.full((64, 64), 0.45)
    denoised = clean + np.random.default_rng(1).normal(0, 0.2, size=clean.shape)
    truth = np.mean((denoised - clean) ** 2)
    others = np.random.default_rng(2).poisson(clean, size=(400, 64, 64))
    estimates = unbiased_mse(np.broadcast_to(denoised, others.shape), others)
    error = estimates.std() / np.sqrt(len(estimates))
    assert estimates.mean() == pytest.approx(truth, abs=4 * error)
    assert error < 0.02 * truth
    np.testing.assert_allclose(
        upsnr(denoised, others[0], data_range=2.0), 10 * np.log10(4 / estimates[0])
    )
    assert upsnr(np.zeros((2, 2)), np.ones((2, 2))) == np.inf  # the estimate is zero


def test_metrics_refuse_bad_input(clean, noisy):
    with pytest.raises(ValueError, match="same shape"):
        psnr(clean, noisy[:3])
    with pytest.raises(ValueError, match="denoised must be an image"):
        ssim(clean, noisy[np.newaxis])
    with pytest.raises(ValueError, match="real numbers"):
        psnr(clean, noisy.astype(complex))
    hidden = np.ma.masked_less(noisy, 1)
    for metric, name in ((psnr, "denoised"), (ssim, "denoised"), (unbiased_mse, "noisy_other")):
        with pytest.raises(ValueError, match=f"{name} is a masked array .* mask="):
            metric(clean, hidden)
    with pytest.raises(ValueError, match="convention"):
        psnr(clean, noisy, convention="other")
    with pytest.raises(ValueError, match="data_range"):
        psnr(clean, noisy, data_range=0)
    with pytest.raises(ValueError, match="data_range"):
        upsnr(clean, noisy, data_range=np.nan)


def test_scorers_with_pairs_use_the_noisy_images_given(clean, noisy):
    denoiser = LowPassDenoiser(cutoff=0.05).fit(noisy)
    denoised = denoiser.transform(noisy)
    assert psnr_scorer(denoiser, noisy, clean) == pytest.approx(psnr(clean, denoised).mean())
    assert ssim_scorer(denoiser, noisy, clean) == pytest.approx(ssim(clean, denoised).mean())
    assert denoiser.score(noisy, clean) == pytest.approx(psnr(clean, denoised).mean())


def test_scorers_without_pairs_draw_noise(clean):
    denoiser = LowPassDenoiser(cutoff=0.05).fit(clean)
    noise = PoissonNoise(dose=2.0)
    noisy, scaled = noise.sample(clean, return_clean=True, random_state=7)
    expected = psnr(scaled, denoiser.transform(noisy)).mean()
    scorer = make_denoising_scorer("psnr", noise=noise, random_state=7)
    assert scorer(denoiser, clean) == pytest.approx(expected)
    assert scorer(denoiser, clean) == scorer(denoiser, clean)
    assert psnr_scorer(denoiser, clean) == denoiser.score(clean)
    # Several draws go on from the first: their mean is that of the draws one by one.
    rng = np.random.RandomState(7)
    singles = [
        make_denoising_scorer("psnr", noise=noise, random_state=rng)(denoiser, clean)
        for _ in range(3)
    ]
    assert singles[0] == pytest.approx(expected)
    assert len(set(singles)) == 3
    several = make_denoising_scorer("psnr", noise=noise, random_state=7, n_realizations=3)
    assert several(denoiser, clean) == pytest.approx(np.mean(singles))


def test_own_metric_and_sign(clean, noisy):
    denoiser = LowPassDenoiser().fit(noisy)
    scorer = make_denoising_scorer(mean_absolute_error, greater_is_better=False)
    expected = -np.abs(clean - denoiser.transform(noisy)).mean()
    assert scorer(denoiser, noisy, clean) == pytest.approx(expected, rel=1e-5)


class CountingDenoiser(LowPassDenoiser):
    """A low-pass filter that counts its calls."""

    n_calls = 0

    def transform(self, X, *, mask=None, pixel_size=None):
        type(self).n_calls += 1
        return super().transform(X, mask=mask, pixel_size=pixel_size)


def test_multimetric_scorer_denoises_once(clean, noisy):
    denoiser = CountingDenoiser().fit(noisy)
    before = CountingDenoiser.n_calls
    scores = multimetric_scorer(denoiser, noisy, clean)
    assert CountingDenoiser.n_calls == before + 1
    assert scores == {
        "psnr": psnr_scorer(denoiser, noisy, clean),
        "ssim": ssim_scorer(denoiser, noisy, clean),
    }


def test_upsnr_scorer_estimates_the_error_without_a_clean_image(clean):
    images = np.tile(clean, (1, 6, 6)) * 40
    noisy = PoissonNoise(random_state=1).sample(images)
    denoiser = LowPassDenoiser(cutoff=0.05).fit(noisy)
    # The truth: the error of denoising nine tenths of the counts, on the scale of the whole.
    most = PoissonNoise(random_state=2).sample(images * 0.9)
    truth = -10 * np.log10(np.mean((denoiser.transform(most) / 0.9 - images) ** 2))
    assert upsnr_scorer(denoiser, noisy) == pytest.approx(truth, abs=0.2)
    assert upsnr_scorer(denoiser, noisy, images) == upsnr_scorer(denoiser, noisy)
    with pytest.raises(ValueError, match="whole numbers"):
        upsnr_scorer(denoiser, images)


@pytest.mark.parametrize("scorer", [psnr_scorer, ssim_scorer, multimetric_scorer, upsnr_scorer])
def test_scorers_pickle_clone_and_represent(scorer, noisy, clean):
    denoiser = WienerDenoiser().fit(noisy)
    expected = scorer(denoiser, noisy, clean)
    assert pickle.loads(pickle.dumps(scorer))(denoiser, noisy, clean) == expected
    assert clone(scorer)(denoiser, noisy, clean) == expected
    assert "Scorer(" in repr(scorer)
    assert scorer.__doc__.endswith(".")


@pytest.mark.parametrize("scorer", [psnr_scorer, ssim_scorer, upsnr_scorer])
def test_scorers_in_a_search(scorer, noisy, clean):
    search = GridSearchCV(
        WienerDenoiser(), {"window_size": [1, 9]}, scoring=scorer, cv=LeaveOneGroupOut()
    )
    search.fit(noisy, clean, groups=[0, 0, 1, 1, 2, 2])
    assert search.best_params_ == {"window_size": 9}  # a window of one pixel does nothing
    assert search.cv_results_["mean_test_score"].shape == (2,)


def test_multimetric_scorer_in_cross_validation(noisy, clean):
    results = cross_validate(WienerDenoiser(), noisy, clean, scoring=multimetric_scorer, cv=3)
    alone = cross_validate(WienerDenoiser(), noisy, clean, scoring=ssim_scorer, cv=3)
    np.testing.assert_array_equal(results["test_ssim"], alone["test_score"])
    search = GridSearchCV(
        WienerDenoiser(),
        {"window_size": [1, 9]},
        scoring=make_multimetric_scorer(n_realizations=2),
        refit="psnr",
        cv=2,
    ).fit(clean)
    assert search.best_params_ == {"window_size": 9}


def test_keywords_are_routed_through_a_scorer(noisy, clean):
    with config_context(enable_metadata_routing=True):
        scorer = make_denoising_scorer("psnr").set_score_request(pixel_size=True)
        results = cross_validate(
            LowPassDenoiser(cutoff=0.5, unit="1/angstrom"),
            noisy,
            clean,
            scoring=scorer,
            cv=2,
            params={"pixel_size": 6.22},
        )
    # 0.5 per Angstrom at 6.22 pm per pixel is 0.0311 cycles per pixel.
    plain = cross_validate(LowPassDenoiser(cutoff=0.0311), noisy, clean, scoring=psnr_scorer, cv=2)
    np.testing.assert_allclose(results["test_score"], plain["test_score"], rtol=1e-6)


def test_pixels_of_a_mask_do_not_count(noisy, clean):
    mask = np.zeros(clean.shape[1:], dtype=bool)
    mask[:, 20:] = True
    denoiser = LowPassDenoiser().fit(noisy)
    spoiled = np.where(mask, 300.0, clean)  # a label that no denoiser could know
    for scorer in (psnr_scorer, make_denoising_scorer(mean_absolute_error)):
        expected = scorer(denoiser, noisy, clean, mask=mask)
        assert scorer(denoiser, noisy, spoiled, mask=mask) == pytest.approx(expected)
        assert scorer(denoiser, noisy, spoiled) != pytest.approx(expected, rel=0.1)
    denoised = denoiser.transform(noisy, mask=mask)
    assert psnr_scorer(denoiser, noisy, clean, mask=mask) == pytest.approx(
        denoiser.score(noisy, clean, mask=mask)
    )
    assert ssim_scorer(denoiser, noisy, clean, mask=mask) == pytest.approx(
        ssim(clean, np.where(mask, clean, denoised)).mean()
    )


def test_upsnr_scorer_leaves_a_mask_out(noisy):
    mask = np.zeros(noisy.shape[1:], dtype=bool)
    mask[:, 20:] = True
    spoiled = np.where(mask, 500, noisy)
    denoiser = LowPassDenoiser().fit(noisy)
    with pytest.raises(ValueError, match="X must hold counts of electrons"):
        upsnr_scorer(denoiser, spoiled)
    assert upsnr_scorer(denoiser, spoiled, mask=mask) > 10


def test_upsnr_scorer_averages_several_draws_and_repeats(noisy):
    before = CountingDenoiser.n_calls
    denoiser = CountingDenoiser(cutoff=0.1).fit(noisy)
    score = make_upsnr_scorer(n_draws=3, binning=1)(denoiser, noisy)
    assert CountingDenoiser.n_calls == before + 3
    assert score == make_upsnr_scorer(n_draws=3, binning=1)(denoiser, noisy)
    assert score != make_upsnr_scorer(n_draws=3, binning=1, random_state=1)(denoiser, noisy)
    scatter = [
        np.std([make_upsnr_scorer(n_draws=n, random_state=k)(denoiser, noisy) for k in range(12)])
        for n in (1, 8)
    ]
    assert scatter[1] < 0.7 * scatter[0]
    with pytest.raises(ValueError, match="n_draws <= 2"):
        make_upsnr_scorer(share=0.5, n_draws=3)(denoiser, noisy)


def test_upsnr_scorer_ranks_where_its_errors_are_below_zero(noisy):
    """Of one small image the error is lost in its scatter; the order of the filters is not."""
    cutoffs = [0.05, 0.1, 0.45]
    denoisers = [LowPassDenoiser(cutoff=c).fit(noisy) for c in cutoffs]
    for seed in range(5):
        scorer = make_upsnr_scorer(random_state=seed)
        scores = [scorer(denoiser, noisy[:1]) for denoiser in denoisers]
        risks = paired_risk(denoisers, noisy[:1], n_draws=4, random_state=seed, binning=1)
        assert np.isfinite(scores).all()
        assert np.argmin(scores) == 2  # it does next to nothing
    assert risks["risk"].min() < 0


def test_search_and_cross_validation_on_counts_alone():
    clean = lattice_images(6, 96, 96, level=0.8, contrast=0.9)
    movie = PoissonNoise(random_state=0).sample(clean)
    search = GridSearchCV(
        LowPassDenoiser(), {"cutoff": [0.02, 0.09, 0.3]}, scoring=upsnr_scorer, cv=3
    ).fit(movie)
    assert search.best_params_ == {"cutoff": 0.09}
    scores = cross_val_score(search.best_estimator_, movie, scoring=upsnr_scorer, cv=3)
    np.testing.assert_allclose(scores.mean(), search.best_score_)


def test_a_pixel_size_is_looked_for_only_where_a_metric_needs_it(noisy, clean):
    class Choosing(LowPassDenoiser):
        def transform(self, X, *, pixel_size=None):
            assert pixel_size == "auto"
            return super().transform(X)

    assert psnr_scorer(Choosing().fit(noisy), noisy, clean, pixel_size="auto") > 0


def test_scorer_factories_refuse_bad_arguments(noisy, clean):
    with pytest.raises(ValueError, match="metric must be"):
        make_denoising_scorer("mse")
    with pytest.raises(ValueError, match="metrics must be a sequence"):
        make_multimetric_scorer("psnr")
    with pytest.raises(ValueError, match="at least one"):
        make_multimetric_scorer([])
    denoiser = WienerDenoiser().fit(noisy)
    with pytest.raises(ValueError, match="n_realizations"):
        make_denoising_scorer("psnr", n_realizations=0)(denoiser, clean)
    with pytest.raises(ValueError, match="noise"):
        make_denoising_scorer("psnr", noise=1.0)(denoiser, clean)
    with pytest.raises(ValueError, match="same shape"):
        psnr_scorer(denoiser, noisy, clean[:2])
    with pytest.raises(ValueError, match="cannot be negative"):
        psnr_scorer(denoiser, -clean)


class SpoiltDenoiser(BaseDenoiser):
    """Return what came in, with one image replaced by a value."""

    def __init__(self, *, value=None):
        self.value = value

    def _transform(self, X, mask):
        spoilt = X.copy()
        if self.value is not None:
            spoilt[0] = self.value
        return spoilt


@pytest.fixture(scope="module")
def columns():
    """Clean images with columns, that know their pixel size."""
    query = "thickness == 30"
    sim = make_ptceo2(2, structure="PtNp3", query=query, contrast="white", images_per_model=1)
    return ImageStack(sim.data, sim.pixel_size)


def test_atoms_of_images_that_know_their_pixel_size(columns):
    """A clean image against itself is 1 with nothing said, also in a search."""
    denoiser = SpoiltDenoiser().fit(columns)
    assert atom_f1_scorer(denoiser, columns, columns) == 1.0
    # of either of a pair; the keyword wins
    assert atom_f1_scorer(denoiser, np.asarray(columns), columns) == 1.0
    assert atom_f1_scorer(denoiser, columns, np.asarray(columns)) == 1.0
    given = atom_f1_scorer(denoiser, np.asarray(columns), columns, pixel_size=columns.pixel_size)
    assert given == 1.0
    with pytest.warns(UserWarning, match="atoms is ill-defined"):
        assert atom_f1_scorer(denoiser, columns, columns, pixel_size=4.0) == 0.0
    search = GridSearchCV(SpoiltDenoiser(), {"value": [0, None]}, scoring=atom_f1_scorer, cv=2)
    for n_jobs in (1, 2):
        search.set_params(n_jobs=n_jobs).fit(columns, columns)
        assert search.best_params_ == {"value": None}
        assert search.cv_results_["mean_test_score"].tolist() == [0.0, 1.0]


class WatchingDenoiser(SpoiltDenoiser):
    """Keep what it is asked to denoise."""

    def transform(self, X, *, mask=None):
        self.seen_ = X
        return super().transform(X)


def test_transform_gets_images_that_know_their_pixel_size(clean, noisy):
    denoiser = WatchingDenoiser().fit(clean)
    for images in [(ImageStack(clean, 6.22),), (noisy, ImageStack(clean, 6.22))]:
        psnr_scorer(denoiser, *images)
        assert denoiser.seen_.pixel_size == 6.22
    upsnr_scorer(denoiser, ImageStack(noisy, 6.22))
    assert denoiser.seen_.pixel_size == 6.22
    psnr_scorer(denoiser, clean)
    assert not isinstance(denoiser.seen_, ImageStack)


def test_keywords_go_to_methods_that_take_them(noisy, clean):
    denoiser = WienerDenoiser().fit(noisy)  # takes a mask, but no pixel size
    expected = psnr_scorer(denoiser, noisy, clean)
    assert psnr_scorer(denoiser, noisy, clean, pixel_size=6.22) == expected
    scorer = make_upsnr_scorer(binning=2)
    assert scorer(denoiser, noisy, pixel_size=6.22) == scorer(denoiser, noisy)
    # a mask counts in the score, whether the method takes it or not
    mask = np.zeros(clean.shape[1:], dtype=bool)
    mask[:, 20:] = True
    identity = SpoiltDenoiser().fit(noisy)
    assert psnr_scorer(identity, noisy, clean, mask=mask) == pytest.approx(
        psnr(clean, noisy, mask=mask).mean()
    )
    with pytest.raises(TypeError, match="pixelsize"):  # a slip of the pen is said
        psnr_scorer(denoiser, noisy, clean, pixelsize=6.22)


def test_masked_pixels_may_hold_anything(noisy, clean):
    mask = np.zeros(clean.shape[1:], dtype=bool)
    mask[:5] = True
    denoiser = LowPassDenoiser().fit(noisy)
    hidden = np.where(mask, 0, noisy), np.where(mask, 0, clean)
    spoilt = np.where(mask, np.nan, noisy), np.where(mask, np.nan, clean)
    for scorer in (psnr_scorer, ssim_scorer):
        expected = scorer(denoiser, *hidden, mask=mask)
        assert scorer(denoiser, *spoilt, mask=mask) == expected
    assert upsnr_scorer(denoiser, spoilt[0], mask=mask) == upsnr_scorer(
        denoiser, hidden[0], mask=mask
    )
    assert psnr_scorer(denoiser, spoilt[1], mask=mask) == psnr_scorer(
        denoiser, hidden[1], mask=mask
    )


def refuse_below_zero(clean, denoised):
    if denoised.min() < 0:
        raise ValueError("below zero")
    return float(psnr(clean, denoised).mean())


WORST = {"psnr": -20 * np.log10(np.finfo(np.float32).max), "ssim": -1.0, "atom_f1": 0.0}


@pytest.mark.filterwarnings("ignore:The estimate of .* is not finite")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_estimate_that_is_not_finite_scores_worst(columns, value):
    denoiser = SpoiltDenoiser(value=value).fit(columns)
    scorer = make_multimetric_scorer(list(WORST))
    scores = scorer(denoiser, columns, columns[[0, 0]])
    good = scorer(SpoiltDenoiser().fit(columns), columns, columns[[0, 0]])
    alone = scorer(SpoiltDenoiser().fit(columns), columns[1:], columns[:1])
    for name, worst in WORST.items():
        assert np.isfinite(scores[name])
        assert scores[name] == pytest.approx((worst + alone[name]) / 2)  # the other image counts
        assert scores[name] < good[name]
    assert upsnr_scorer(denoiser, np.ones_like(columns)) == pytest.approx(WORST["psnr"])


@pytest.mark.parametrize("value", [0.0, -1.0, 1e30])
def test_any_finite_estimate_can_be_scored(columns, value):
    """Nothing at all, below zero, beyond all bounds."""
    denoiser = SpoiltDenoiser(value=value).fit(columns)
    scores = make_multimetric_scorer(list(WORST))(denoiser, columns[:1], columns[:1])
    for name, worst in WORST.items():
        assert worst <= scores[name] < 0.5 * (1 if name != "psnr" else 30)
    assert scores["atom_f1"] == 0


@pytest.mark.filterwarnings("ignore:The estimate of .* is not finite")
def test_a_metric_that_refuses_an_estimate_scores_it_worst(noisy, clean):
    lowest = -float(np.finfo(np.float32).max)
    denoiser = SpoiltDenoiser(value=-1.0).fit(noisy)
    scorer = make_denoising_scorer(refuse_below_zero)
    assert scorer(denoiser, noisy[:1], clean[:1]) == lowest
    assert scorer(denoiser, noisy[:2], clean[:2]) == pytest.approx(lowest / 2)
    smaller_is_better = make_denoising_scorer(refuse_below_zero, greater_is_better=False)
    assert smaller_is_better(denoiser, noisy[:1], clean[:1]) == lowest
    # ranked last, without a warning
    search = GridSearchCV(SpoiltDenoiser(), {"value": [np.nan, -1.0, None]}, scoring=scorer, cv=2)
    assert search.fit(noisy, clean).best_params_ == {"value": None}
    # but what is wrong with the clean image is not the estimate's fault
    with pytest.raises(ValueError, match="below zero"):
        scorer(denoiser, noisy, clean - 1)


def test_wrong_shapes_still_raise(noisy, clean):
    class Cropping:
        def transform(self, X):
            return X[:, 1:]

    class Complex:
        def transform(self, X):
            return X * 1j

    with pytest.raises(ValueError, match="same shape"):
        psnr_scorer(Cropping(), noisy, clean)
    with pytest.raises(ValueError, match="real numbers"):
        psnr_scorer(Complex(), noisy, clean)
    with pytest.raises(TypeError, match="or one for each of the 6 images"):
        make_denoising_scorer(lambda a, b: [1.0, 2.0])(SpoiltDenoiser().fit(noisy), noisy, clean)
    with pytest.raises(ValueError, match="region must be"):
        make_denoising_scorer(partial(atom_precision, region="edge"))(
            SpoiltDenoiser().fit(noisy), noisy, clean
        )


class PlainNoise:
    """Noise that knows nothing of seeds, nor of clean images on its scale."""

    def sample(self, clean):
        return clean + 1


class WrongNoise(PlainNoise):
    def sample(self, clean):
        return clean[:, 1:]


def test_noise_of_ones_own(clean):
    denoiser = SpoiltDenoiser().fit(clean)
    scorer = make_denoising_scorer("psnr", noise=PlainNoise())
    assert scorer(denoiser, clean) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ValueError, match="WrongNoise.sample returned shape"):
        make_denoising_scorer("psnr", noise=WrongNoise())(denoiser, clean)
