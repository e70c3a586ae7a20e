"""What every denoiser must do. A new method adds one line to DENOISERS."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from conftest import lattice_images
from scipy import ndimage, signal
from skimage.filters import butterworth
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from temdenoise import (
    AlignedSumDenoiser,
    AutoDenoiser,
    BlindSpotDenoiser,
    BM3DDenoiser,
    ConstantDenoiser,
    LowPassDenoiser,
    NLMDenoiser,
    PoissonNoise,
    PURELETDenoiser,
    SBDDenoiser,
    Self2SelfDenoiser,
    ThinnedDenoiser,
    UDVDDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
)
from temdenoise.images import ImageStack
from temdenoise.testing import check_denoiser

# One epoch of one small step.
QUICK = {
    "max_epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "patch_size": 32,
    "precision": "float32", "device": "cpu", "random_state": 0,
}  # fmt: skip

# Name -> (denoiser, grid of one parameter whose candidates differ).
DENOISERS = {
    "constant": (ConstantDenoiser(), None),
    "lowpass gaussian": (LowPassDenoiser(cutoff=0.06), {"cutoff": [0.03, 0.06]}),
    "lowpass ideal": (LowPassDenoiser(kind="ideal", cutoff=0.1), {"cutoff": [0.05, 0.1]}),
    "lowpass butterworth": (LowPassDenoiser(kind="butterworth", cutoff=0.08), {"order": [1, 3]}),
    "wiener": (WienerDenoiser(), {"window_size": [3, 9]}),
    "purelet": (PURELETDenoiser(), {"n_scales": [1, 2]}),
    "purelet decimated": (PURELETDenoiser(cycle_spins=4, n_jobs=2), {"cycle_spins": [1, 3]}),
    "purelet read noise": (PURELETDenoiser(read_noise=0.1), {"binning": [1, 2]}),
    "wiener fixed noise": (WienerDenoiser(noise=0.45, n_jobs=2), {"noise": [0.1, 0.45]}),
    "nlm": (NLMDenoiser(sigma=0.67, h=1.5), {"h": [0.5, 1.5]}),
    "vst": (
        VSTDenoiser(denoiser=LowPassDenoiser(cutoff=0.15), binning=2, n_jobs=2),
        {"denoiser__cutoff": [0.06, 0.15]},
    ),
    "windowed Fourier": (WindowedFourierDenoiser(device="cpu"), {"threshold": [0.5, 2.0]}),
    "windowed Fourier in time": (
        WindowedFourierDenoiser(n_frames=2, device="cpu"),
        {"n_frames": [1, 3]},
    ),
    "aligned sum": (
        AlignedSumDenoiser(denoiser=LowPassDenoiser(cutoff=0.06), n_frames=3),
        {"denoiser__cutoff": [0.03, 0.06]},
    ),
    "bm3d": (BM3DDenoiser(device="cpu"), {"profile": ["fast", "normal"]}),
    "auto": (
        AutoDenoiser(fallback=WindowedFourierDenoiser(device="cpu"), device="cpu"),
        {"fallback__threshold": [0.5, 2.0]},
    ),
    # Noisy images, which many of these tests fit on, can only be taken for clean ones without bins.
    "sbd": (
        SBDDenoiser(
            n_scales=2, base_channels=4, binning=1, patch_size=16, batch_size=2, max_epochs=1,
            steps_per_epoch=1, orientations=1, precision="float32", device="cpu", random_state=0,
        ),
        {"base_channels": [2, 4]},
    ),
    "blind-spot": (
        BlindSpotDenoiser(base_channels=2, orientations=1, **QUICK), {"blind_spot": [1, 3]}
    ),
    "udvd": (UDVDDenoiser(base_channels=2, orientations=1, **QUICK), {"n_frames": [1, 3]}),
    "thinned": (
        ThinnedDenoiser(base_channels=4, n_draws=2, orientations=1, **QUICK), {"n_draws": [0, 2]}
    ),
    "self2self": (Self2SelfDenoiser(n_predictions=2, **QUICK), {"drop_rate": [0.2, 0.5]}),
}  # fmt: skip

_SELF_SUPERVISED = dict.fromkeys(
    ["blind-spot", "udvd", "thinned", "self2self"],
    "one step teaches nothing, and the level is that of the frames it was fitted on; "
    "test_self_supervised.py trains for longer",
)
# Test -> methods it is not for, and why.
NOT_FOR = {
    "test_it_denoises": {**_SELF_SUPERVISED, "constant": "it shows nothing"},
    "test_grid_search": {"constant": "it has no parameters"},
    "test_mask_shields_from_bad_pixels": {
        "udvd": "what a mask hides in a frame is filled in its neighbours too",
        "self2self": "after one step its estimates are anywhere",
        "windowed Fourier in time": "what a mask hides in a frame is filled in its neighbours too",
        "aligned sum": "what a mask hides in a frame is seen in its neighbours",
    },
    "test_constant_images_stay": {
        **_SELF_SUPERVISED,
        "sbd": "a network estimates: that it returns a constant to within some per cent is all",
        "vst": "unbiased for counts with shot noise, of which a constant image has none",
    },
}

# test_pixel_size_of_images.py has the rules of who is told what about the pixel size.
pytestmark = [
    pytest.mark.filterwarnings("ignore::temdenoise.images.PixelSizeWarning"),
    pytest.mark.filterwarnings("ignore::temdenoise.denoisers.FramesWarning"),
    pytest.mark.filterwarnings("ignore:.*images share one network"),
]


@pytest.fixture
def clean():
    return lattice_images(3, 40, 32)


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    """Weights that take less time than the shipped ones, for all that `test_auto.py` looks at."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    small = clone(DENOISERS["sbd"][0]).set_params(
        binning=4, patch_size=64, training_pixel_size=6.22
    )
    small.fit(ImageStack(lattice_images(2, 64, 64), 6.22)).save_pretrained(folder)
    return folder


@pytest.fixture(params=DENOISERS)
def denoiser(request):
    reason = NOT_FOR.get(request.function.__name__, {}).get(request.param)
    if reason is not None:
        pytest.skip(reason)
    denoiser = clone(DENOISERS[request.param][0])
    if isinstance(denoiser, AutoDenoiser):
        denoiser.set_params(weights=request.getfixturevalue("small_weights"))
    return denoiser


@pytest.fixture(scope="module")
def all_fitted():
    """Denoisers fitted on `noisy`, each made when it is first asked for."""
    return {}


@pytest.fixture
def fitted(request, denoiser, noisy, all_fitted):
    """A fitted denoiser, which tests share and leave alone."""
    name = request.node.callspec.params["denoiser"]
    if name not in all_fitted:
        all_fitted[name] = denoiser.fit(noisy)
    return all_fitted[name]


@pytest.fixture
def grid(request, denoiser):
    return DENOISERS[request.node.callspec.params["denoiser"]][1]


def test_contract(denoiser):
    """The rules that anyone can check a denoiser of their own by."""
    check_denoiser(denoiser)


def test_it_denoises(fitted, noisy, clean):
    denoised = fitted.transform(noisy)
    gain = np.mean((noisy - clean) ** 2) / np.mean((denoised - clean) ** 2)
    assert gain > 5  # 7 dB
    # The mean counts are kept, image by image: nothing is lost or added.
    np.testing.assert_allclose(denoised.mean(axis=(1, 2)), noisy.mean(axis=(1, 2)), rtol=0.03)


def test_constant_images_stay(fitted):
    for level in (0.0, 1.0, 1000.0):
        X = np.full((2, 33, 21), level)
        np.testing.assert_allclose(fitted.transform(X), X, rtol=1e-4, atol=1e-6)


def test_fit_again_is_identical(denoiser, fitted, noisy):
    first = fitted.transform(noisy)
    np.testing.assert_array_equal(denoiser.fit(noisy[:, :20, :20]).fit_transform(noisy), first)
    np.testing.assert_array_equal(denoiser.fit(noisy).transform(noisy), first)
    np.testing.assert_array_equal(clone(fitted).fit(noisy).transform(noisy), first)


def test_pickle_and_joblib(fitted, noisy, tmp_path):
    expected = fitted.transform(noisy)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(noisy), expected)
    joblib.dump(fitted, tmp_path / "denoiser.joblib")
    loaded = joblib.load(tmp_path / "denoiser.joblib")
    np.testing.assert_array_equal(loaded.transform(noisy), expected)
    assert loaded.score(noisy) == fitted.score(noisy)


def test_mask_shields_from_bad_pixels(fitted, noisy, clean):
    mask = np.zeros(noisy.shape[1:], dtype=bool)
    mask[:12, :15] = True
    spoiled = noisy.copy()
    spoiled[:, mask] = 1000
    denoised = fitted.transform(spoiled, mask=mask)
    assert np.abs(denoised - clean).max() < 5  # beside the 1000 of the spoiled pixels
    # What hides under the mask has no influence, and a mask of nothing changes nothing.
    np.testing.assert_array_equal(fitted.transform(noisy, mask=mask), denoised)
    np.testing.assert_array_equal(
        fitted.transform(noisy, mask=np.zeros_like(mask)), fitted.transform(noisy)
    )
    stack_mask = np.zeros(noisy.shape, dtype=bool)
    stack_mask[1] = mask
    one = fitted.transform(np.where(stack_mask, spoiled, noisy), mask=stack_mask)
    np.testing.assert_allclose(one[1], denoised[1], rtol=1e-5)
    np.testing.assert_allclose(one[2], fitted.transform(noisy)[2], rtol=1e-5)
    with pytest.raises(ValueError, match="mask has shape"):
        fitted.transform(noisy, mask=mask.T)
    with pytest.raises(ValueError, match="dtype bool"):
        fitted.transform(noisy, mask=mask.astype(float))


def test_threads_change_nothing(fitted, noisy):
    """As with the defaults on two CPUs: images, or their parts, side by side."""
    expected = fitted.transform(noisy)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(fitted.transform(noisy), expected)
        # a movie's frame is another one without its neighbours
        if not fitted._context and not fitted._decides_by_call:
            np.testing.assert_array_equal(fitted.transform(noisy[:1]), expected[:1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        np.testing.assert_array_equal(fitted.transform(noisy), expected)


def test_pipeline(denoiser, fitted, noisy, clean):
    expected = fitted.transform(noisy)
    pipeline = make_pipeline(denoiser).fit(noisy)
    np.testing.assert_array_equal(pipeline.transform(noisy), expected)
    assert pipeline.score(noisy, clean) == fitted.score(noisy, clean)
    assert type(denoiser).__name__ in repr(pipeline)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # some fit to noisy images
@pytest.mark.parametrize("pairs", [False, True], ids=["clean", "noisy and clean"])
def test_grid_search(denoiser, grid, pairs):
    if not pairs and isinstance(denoiser, ThinnedDenoiser):
        pytest.skip("it splits whole counts, which clean images are not")
    clean = lattice_images(6, 32, 28)  # three in each half, for methods of three frames
    noisy = np.random.default_rng(0).poisson(clean).astype(np.float32)
    ((name, candidates),) = grid.items()
    # One method in processes of their own, which take longer to start than all the fits; that the
    # others can be sent there is seen in test_pickle_and_joblib.
    n_jobs = 2 if pairs and isinstance(denoiser, SBDDenoiser) else None
    search = GridSearchCV(denoiser, grid, cv=LeaveOneGroupOut(), n_jobs=n_jobs)
    data = (noisy, clean) if pairs else (clean,)
    search.fit(*data, groups=[0, 0, 0, 1, 1, 1])
    # The scores are those of the denoiser by hand.
    halves = slice(3), slice(3, 6)
    for split, (test, train) in enumerate((halves, halves[::-1])):
        i = split if pairs else 1 - split  # each candidate once, each split once
        by_hand = clone(denoiser).set_params(**{name: candidates[i]})
        by_hand.fit(*(stack[train] for stack in data))
        np.testing.assert_allclose(
            search.cv_results_[f"split{split}_test_score"][i],
            by_hand.score(*(stack[test] for stack in data)),
            rtol=1e-4,
        )
    assert search.best_estimator_.transform(noisy).shape == noisy.shape


# --- each method against known answers ------------------------------------------------------------


def test_gaussian_is_the_gaussian_filter(noisy):
    sigma = 3.0
    denoiser = LowPassDenoiser(cutoff=1 / (2 * np.pi * sigma)).fit(noisy)
    expected = [
        ndimage.gaussian_filter(image.astype(float), sigma, mode="reflect", truncate=8)
        for image in noisy
    ]
    np.testing.assert_allclose(denoiser.transform(noisy), expected, atol=2e-6)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_butterworth_matches_scikit_image(noisy, order):
    denoiser = LowPassDenoiser(kind="butterworth", cutoff=0.07, order=order).fit(noisy)
    height, width = noisy.shape[1:]
    for image, denoised in zip(noisy, denoiser.transform(noisy), strict=True):
        mirrored = np.pad(image, ((0, height), (0, width)), mode="symmetric").astype(float)
        expected = butterworth(mirrored, 0.07, False, order, squared_butterworth=False)
        np.testing.assert_allclose(denoised, expected[:height, :width], atol=2e-6)


@pytest.mark.parametrize(("cutoff", "kept"), [(0.11, True), (0.09, False)])
def test_ideal_keeps_below_and_removes_beyond_the_cutoff(noisy, cutoff, kept):
    wave = np.cos(2 * np.pi * 0.1 * (np.arange(100) + 0.5))  # 0.1 cycles/px, symmetric borders
    X = 1 + np.broadcast_to(wave, (1, 50, 100))
    denoised = LowPassDenoiser(kind="ideal", cutoff=cutoff).fit(noisy).transform(X)
    np.testing.assert_allclose(denoised, X if kept else np.ones_like(X), atol=1e-5)


def test_lowpass_does_not_wrap_around():
    X = np.zeros((1, 64, 64))
    X[:, :, :8] = 100
    denoised = LowPassDenoiser(cutoff=0.05).fit(X).transform(X)
    assert np.abs(denoised[:, :, 48:]).max() < 1e-4


def test_lowpass_cutoff_in_reciprocal_angstrom(noisy):
    expected = LowPassDenoiser(cutoff=0.06).fit(noisy).transform(noisy)
    denoiser = LowPassDenoiser(cutoff=0.6, unit="1/angstrom").fit(noisy)
    # 10 pm per pixel is 0.1 Angstrom per pixel.
    np.testing.assert_allclose(denoiser.transform(noisy, pixel_size=10), expected, rtol=1e-5)
    known = denoiser.transform(ImageStack(noisy, 10))
    np.testing.assert_allclose(known, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="needs the pixel size"):
        denoiser.transform(noisy)
    with pytest.raises(ValueError, match="LowPassDenoiser cannot find the pixel size"):
        denoiser.transform(noisy, pixel_size="auto")
    with pytest.warns(UserWarning, match="is it in pm"):
        denoiser.transform(noisy, pixel_size=1.5)
    # a cutoff in cycles per pixel does not ask
    plain = LowPassDenoiser(cutoff=0.06).fit(noisy).transform(ImageStack(noisy, 10))
    np.testing.assert_array_equal(plain, expected)


@pytest.mark.parametrize("window_size", [3, 9])
def test_fixed_noise_wiener_matches_scipy(noisy, window_size):
    denoiser = WienerDenoiser(window_size=window_size, noise=0.3).fit(noisy)
    inside = slice(window_size, -window_size)  # the borders are handled in another way
    for image, denoised in zip(noisy, denoiser.transform(noisy), strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):  # of windows without variance
            expected = signal.wiener(image.astype(float), window_size, noise=0.3)
        np.testing.assert_allclose(denoised[inside, inside], expected[inside, inside], atol=1e-6)


def test_poisson_wiener_by_equation(noisy):
    denoised = WienerDenoiser(window_size=5).fit(noisy).transform(noisy)
    for image, row, column in ((0, 10, 10), (1, 20, 25), (2, 37, 29)):
        window = noisy[image, row - 2 : row + 3, column - 2 : column + 3].astype(float)
        mean, variance = window.mean(), window.var()
        gain = max(0, (variance - mean) / variance)
        expected = mean + gain * (noisy[image, row, column] - mean)
        assert denoised[image, row, column] == pytest.approx(expected, abs=1e-6)


def test_wiener_keeps_a_strong_edge_and_flattens_shot_noise():
    clean = np.full((1, 64, 64), 5.0)
    clean[:, :, 32:] = 500
    noisy = PoissonNoise(random_state=0).sample(clean)
    denoised = WienerDenoiser(window_size=7).fit(noisy).transform(noisy)
    assert np.abs(denoised[:, :, 31] - 5).max() < 15
    assert denoised[:, :, :24].std() < 0.4 * noisy[:, :, :24].std()


def test_wiener_is_never_negative(noisy):
    assert WienerDenoiser(window_size=5).fit(noisy).transform(noisy).min() >= 0
    sparse = np.random.default_rng(2).poisson(0.05, (1, 128, 128))
    assert WienerDenoiser().fit(sparse).transform(sparse).min() >= 0


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (LowPassDenoiser(kind="box"), "kind"),
        (LowPassDenoiser(cutoff=0), "cutoff"),
        (LowPassDenoiser(cutoff=-0.1), "cutoff"),
        (LowPassDenoiser(order=0), "order"),
        (LowPassDenoiser(order=1.5), "order"),
        (WienerDenoiser(window_size=0), "window_size"),
        (WienerDenoiser(window_size=2.5), "window_size"),
        (WienerDenoiser(noise="gaussian"), "noise"),
        (WienerDenoiser(noise=-1.0), "noise"),
    ],
)
def test_bad_parameters(denoiser, message, noisy):
    with pytest.raises(ValueError, match=message):
        denoiser.fit(noisy)


# --- scikit-learn's own checks --------------------------------------------------------------------


class FlatDenoiser(TransformerMixin, BaseEstimator):
    """Adapter that shows a denoiser of images as a transformer of rows, one image of one row each.

    scikit-learn's checks feed tables (n_samples, n_features); on an estimator of three-axis input
    they stop after the first.
    """

    def __init__(self, denoiser=None):
        self.denoiser = denoiser

    def _images(self, X, reset):
        tags = get_tags(self.denoiser)
        X = validate_data(
            self, X, reset=reset, ensure_non_negative=tags.input_tags.positive_only and reset
        )
        return X[:, np.newaxis]

    def fit(self, X, y=None):
        self.denoiser_ = clone(self.denoiser).fit(self._images(X, reset=True))
        return self

    def transform(self, X):
        check_is_fitted(self)
        return self.denoiser_.transform(self._images(X, reset=False))[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = get_tags(self.denoiser).input_tags.positive_only
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


# Configurations of which the checks run the code of another one: trained methods that of "sbd".
ALIKE = {"lowpass ideal", "lowpass butterworth", "purelet decimated", "blind-spot"}
# scikit-learn's checks feed tables of real numbers, of any number of rows and also of one: no whole
# counts, no movies, no single images.
OTHER_INPUT = {"thinned", "udvd", "self2self"}
FLAT = [
    FlatDenoiser(denoiser)
    for name, (denoiser, _) in DENOISERS.items()
    if name not in ALIKE | OTHER_INPUT
]

# Check -> why it cannot pass, of methods that use a movie's neighbours whatever they are.
_IN_TIME = dict.fromkeys(
    ["check_methods_sample_order_invariance", "check_methods_subset_invariance"],
    "a movie's frames are in the order of time, and depend on their neighbours",
)


def expected_failed_checks(flat):
    in_time = isinstance(flat.denoiser, WindowedFourierDenoiser) and flat.denoiser.n_frames > 1
    return _IN_TIME if in_time else {}


@parametrize_with_checks(FLAT, expected_failed_checks=expected_failed_checks, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("flat", FLAT)
def test_how_many_scikit_learn_checks_run(flat):
    assert len(list(estimator_checks_generator(flat))) >= 40


def test_lattice_images_are_what_they_say():
    images = lattice_images(2, 160, 160, level=0.45, contrast=0.5, period=16.0)
    assert images.shape == (2, 160, 160)
    assert images.min() >= 0.45 * 0.5 - 1e-6
    assert images[0].mean() == pytest.approx(0.45, rel=1e-4)
