"""Whose pixel size counts: that of the keyword, of the images, or one that is assumed."""

import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from tiny_training import PIXEL_SIZE, assert_same_weights, lattices, noisy_of, tiny

import temdenoise
from temdenoise import (
    AutoDenoiser,
    LowPassDenoiser,
    PoissonNoise,
    SBDDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
    psnr,
)
from temdenoise.datasets import make_ptceo2
from temdenoise.denoisers import TrainedDenoiser
from temdenoise.images import ImageStack, PixelSizeWarning

NAMES = [
    name
    for name in temdenoise.denoisers.__all__
    if name.endswith("Denoiser") and name != "TrainedDenoiser"
]
QUICK = {
    "max_epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "patch_size": 32, "orientations": 1,
    "device": "cpu",
}  # fmt: skip


def quick(name):
    """A denoiser that need not denoise well."""
    cls = getattr(temdenoise, name)
    if not issubclass(cls, TrainedDenoiser):
        return cls()
    quicker = {"base_channels": 4, "n_predictions": 2}
    known = cls().get_params()
    return cls(**QUICK, **{k: value for k, value in quicker.items() if k in known})


@pytest.fixture(scope="module")
def sim():
    """Simulated images of 19.5 pm."""
    bunch = make_ptceo2(4, images_per_model=4, structure="PtNp3", random_state=0)
    data = ImageStack(bunch.data[:, 64:192, 64:192], bunch.pixel_size)
    return SimpleNamespace(data=data, pixel_size=bunch.pixel_size)


def small(**params):
    """A training for frames of 6.22 pm, in bins of five."""
    return tiny(training_pixel_size=6.22, patch_size=200, max_epochs=2, **params)


@pytest.fixture(scope="module")
def general():
    return SBDDenoiser.from_pretrained("general", device="cpu")


@pytest.fixture(scope="module")
def frames():
    """Two frames of 0.45 electrons per pixel of 6.22 pm, and what they would be without noise."""
    movie = load_sample_movie()
    place = (slice(0, 2), slice(140, 340), slice(140, 340))
    noisy, clean = (np.asarray(stack)[place] for stack in (movie.data, movie.clean))
    return ImageStack(noisy, 6.22), ImageStack(clean, 6.22)


# --- the images know it ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_fit_takes_the_size_of_the_images(sim):
    by_images = small().fit(sim.data)
    by_keyword = small().fit(np.asarray(sim.data), pixel_size=sim.pixel_size)
    assert_same_weights(by_images, by_keyword)
    assert by_images.history_[0]["valid_psnr"] == by_keyword.history_[0]["valid_psnr"]
    noisy = PoissonNoise(random_state=0).sample(sim.data)
    assert noisy.pixel_size == sim.pixel_size
    said = by_images.transform(np.asarray(noisy), pixel_size=sim.pixel_size)
    known = by_images.transform(noisy)
    np.testing.assert_array_equal(known, said)
    assert known.pixel_size == said.pixel_size == sim.pixel_size
    expected = by_images.score(np.asarray(sim.data), pixel_size=sim.pixel_size)
    assert by_images.score(sim.data) == expected
    pairs = by_images.score(np.asarray(noisy), np.asarray(sim.data), pixel_size=sim.pixel_size)
    assert by_images.score(noisy, sim.data) == pairs
    np.testing.assert_array_equal(small().fit_transform(sim.data), by_images.transform(sim.data))


def test_grid_search_on_images_that_know_their_size(sim):
    search = GridSearchCV(small(), {"learning_rate": [1e-4, 1e-2]}, cv=2)
    search.fit(sim.data)
    by_hand = clone(search.estimator).set_params(learning_rate=1e-2)
    by_hand.fit(np.asarray(sim.data)[2:], pixel_size=sim.pixel_size)
    expected = by_hand.score(np.asarray(sim.data)[:2], pixel_size=sim.pixel_size)
    assert search.cv_results_["split0_test_score"][1] == pytest.approx(expected, rel=1e-9)


def test_frames_binned_by_two(general, frames):
    noisy, clean = frames
    binned = sum(noisy[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    truth = sum(np.asarray(clean)[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    assert binned.pixel_size is None
    with pytest.warns(PixelSizeWarning, match="assumes 6.22 pm, those of the training"):
        wrong = general.transform(binned)
    right = general.transform(ImageStack(binned, 2 * 6.22))
    assert right.pixel_size == 12.44
    assert psnr(truth, right).mean() > psnr(truth, wrong).mean() + 3
    np.testing.assert_array_equal(right, general.transform(np.asarray(binned), pixel_size=12.44))


# --- keyword and images disagree ------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: SBDDenoiser.from_pretrained("general", device="cpu"),
        lambda: WindowedFourierDenoiser(device="cpu").fit(np.ones((1, 9, 9))),
        lambda: LowPassDenoiser(cutoff=0.5, unit="1/angstrom").fit(np.ones((1, 9, 9))),
        lambda: AutoDenoiser(device="cpu").fit(np.ones((1, 9, 9))),
    ],
    ids=["sbd", "windowed Fourier", "lowpass", "auto"],
)
def test_the_keyword_wins_and_it_is_said_once(frames, make):
    denoiser, noisy = make(), frames[0][:1, :64, :64]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoised = denoiser.transform(noisy, pixel_size=10.0)
    assert [w.category for w in caught] == [PixelSizeWarning]
    assert "pixel_size=10 pm is used, but the images have a pixel size of 6.22" in str(
        caught[0].message
    )
    assert caught[0].filename == __file__
    expected = denoiser.transform(np.asarray(noisy), pixel_size=10.0)
    np.testing.assert_array_equal(denoised, expected)
    assert denoised.pixel_size == 10.0
    # the same number, rounded by who wrote it down
    denoiser.transform(noisy, pixel_size=6.225)


def test_the_keyword_of_fit_wins(sim):
    with pytest.warns(PixelSizeWarning, match="pixel_size=24 pm is used") as caught:
        denoiser = small().fit(sim.data, pixel_size=24.0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_same_weights(denoiser, small().fit(np.asarray(sim.data), pixel_size=24.0))


# --- nobody says it -------------------------------------------------------------------------------


def test_what_is_assumed_is_said_once_for_each_line(frames):
    noisy = np.asarray(frames[0])[:1, :64, :64]
    denoiser = SBDDenoiser.from_pretrained("general", device="cpu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            denoiser.transform(noisy)
        denoiser.transform(noisy)
        for _ in range(2):
            denoiser.score(noisy, noisy)
    assert [w.category for w in caught] == [PixelSizeWarning] * 3
    assert {w.filename for w in caught} == {__file__}
    assert len({w.lineno for w in caught}) == 3
    assert "SBDDenoiser does not know the pixel size of the images and assumes 6.22 pm" in (
        str(caught[0].message)
    )


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_fitted_on_images_of_unknown_size_it_does_not_ask_again():
    images = np.asarray(lattices(4, 40, 40))
    with pytest.warns(PixelSizeWarning, match=r"assumes 24.9 pm \(training_pixel") as caught:
        denoiser = tiny(max_epochs=1).fit(images)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    denoiser.transform(images)
    denoiser.score(images)
    with pytest.warns(PixelSizeWarning):  # in each fold and at the end
        search = GridSearchCV(denoiser, {"binning": [1]}, cv=2).fit(images)
    search.best_estimator_.transform(images)
    # one that was told asks
    denoiser.fit(images, pixel_size=PIXEL_SIZE)
    with pytest.warns(PixelSizeWarning, match="those of the training"):
        denoiser.transform(images)


def test_methods_that_do_not_need_it_do_not_ask():
    noisy = np.random.default_rng(0).poisson(2.0, (4, 40, 40))
    # the default of AlignedSumDenoiser is a network, which asks
    for name in set(NAMES) - {"SBDDenoiser", "AutoDenoiser", "AlignedSumDenoiser"}:
        quick(name).fit(noisy).transform(noisy)
    AutoDenoiser(device="cpu").fit(noisy).transform(noisy)  # falls back, and `choose` says why


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_a_network_for_a_range_of_pixel_sizes_does_not_ask():
    images = lattices(4, 48, 48)
    denoiser = tiny(training_pixel_size=(20.0, 30.0), max_epochs=1).fit(images)
    plain = denoiser.transform(np.asarray(images))
    assert plain.pixel_size is None
    np.testing.assert_array_equal(plain, denoiser.transform(images))


# --- other units ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_pixel_sizes_in_nm_or_angstrom(name):
    X = np.asarray(load_sample_movie().data[:4, 140:204, 140:204])  # some need a movie
    if name == "SBDDenoiser":
        denoiser = SBDDenoiser.from_pretrained(device="cpu")
    else:
        denoiser = quick(name).fit(X)
    takes = [
        getattr(denoiser, m)
        for m in ("fit", "transform", "choose")
        if hasattr(denoiser, m)
        and "pixel_size" in inspect.signature(getattr(denoiser, m)).parameters
    ]
    if denoiser.transform in takes:
        takes += [denoiser.score, denoiser.fit_transform]
    for call in takes:
        for wrong in (0.0622, 0.622):
            with pytest.raises(ValueError, match=r"is it in nm or Angstrom\? Give it in pm"):
                call(X, pixel_size=wrong)
    if not takes:
        with pytest.raises(TypeError, match="pixel_size"):
            denoiser.transform(X, pixel_size=6.22)


def test_training_pixel_sizes_in_another_unit():
    images = lattices(2, 40, 40)
    for wrong in (0.0622, (0.5, 2.0)):
        with pytest.raises(ValueError, match="training_pixel_size=0.* is it in nm or Angstrom"):
            tiny(training_pixel_size=wrong).fit(images)
    general = SBDDenoiser.from_pretrained(device="cpu")
    with pytest.raises(ValueError, match="is it in nm or Angstrom"):
        general.estimate_pixel_size(noisy_of(images), candidates=[0.0622])


@pytest.mark.parametrize(
    ("value", "error"),
    [(-6.0, ValueError), (0.0, ValueError), (np.nan, ValueError), ("6 pm", TypeError)],
)
def test_images_whose_pixel_size_cannot_be_one(general, value, error):
    class Other(np.ndarray):
        """An array of another library."""

        pixel_size = value

    for call in (general.transform, general.score, small().fit):
        with pytest.raises(error, match="pixel_size must be"):
            call(np.ones((1, 64, 64)).view(Other))
