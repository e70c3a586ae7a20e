"""SBDDenoiser: what it promises to fit and transform, on tiny networks."""

import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from tiny_training import lattices, noisy_of
from tiny_training import tiny as tiny_of_four_epochs

from temdenoise import PoissonNoise, SBDDenoiser, psnr
from temdenoise.binning import bin_counts, unbin
from temdenoise.datasets import make_ptceo2
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.networks import apply, windowed_fourier_threshold

# networks that were trained for a step or two
pytestmark = pytest.mark.filterwarnings("ignore::temdenoise.denoisers.WorseThanConstantWarning")


def tiny(**options):
    return tiny_of_four_epochs(**{"max_epochs": 1, "patch_size": 400, **options})


@pytest.fixture(scope="module")
def images():
    return lattices(6, 40, 48)


@pytest.fixture(scope="module")
def counts(images):
    return noisy_of(images, seed=1)


@pytest.fixture(scope="module")
def trained(images):
    return tiny().fit(images)


@pytest.fixture(scope="module")
def on_bins():
    """A network on bins of five pixels."""
    images = lattices(4, 96, 96, period=30.0, pixel_size=6.22)
    return tiny(training_pixel_size=6.22).fit(images)


@pytest.fixture
def only_fourier(on_bins):
    """One whose network is known: the widest windowed-Fourier estimate."""
    denoiser = pickle.loads(pickle.dumps(on_bins))
    torch.nn.init.zeros_(denoiser.network_.head.weight)
    return denoiser


# --- fit ------------------------------------------------------------------------------------------


def test_seeds(images, counts, trained):
    expected = trained.transform(counts)
    np.testing.assert_array_equal(tiny().fit(images).transform(counts), expected)
    by_instance = tiny(random_state=np.random.RandomState(0)).fit(images)
    np.testing.assert_array_equal(by_instance.transform(counts), expected)
    assert (tiny(random_state=1).fit(images).transform(counts) != expected).any()
    first, second = (tiny(random_state=None).fit(images).transform(counts) for _ in range(2))
    assert (first != second).any()


def test_fit_leaves_the_global_generators_alone(images, counts):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    tiny().fit(images).transform(counts)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


def blobs(n_images, side):
    """Bright spots at random places: no lattice."""
    rng = np.random.default_rng(0)
    images = np.zeros((n_images, side, side))
    for image in images:
        image.flat[rng.choice(image.size, image.size // 100, replace=False)] = 32 * 2 * np.pi
    images = 1 + ndimage.gaussian_filter(images, (0, 2, 2), mode="wrap").astype(np.float32)
    return ImageStack(images, 24.9)


def test_training_improves_on_raw_and_on_where_it_starts():
    clean = blobs(12, 48)
    denoiser = tiny(
        base_channels=8, batch_size=4, steps_per_epoch=40, max_epochs=2, learning_rate=3e-3,
        patch_size=32, validation_fraction=0.25,
    ).fit(clean[:8])  # fmt: skip
    noisy = noisy_of(clean[8:], seed=9)
    bins = torch.from_numpy(np.asarray(noisy))[:, None]
    start = windowed_fourier_threshold(bins, 72, 24, 8.0)[:, 0].numpy()
    denoised = denoiser.transform(noisy)
    value, first, raw = (psnr(clean[8:], x).mean() for x in (denoised, start, noisy))
    assert value > raw + 8
    assert value > first + 0.5
    values = [row["valid_psnr"] for row in denoiser.history_]
    assert values[1] > values[0]
    assert denoiser.score(noisy, clean[8:]) == pytest.approx(value)


def test_pairs(images, counts):
    # targets of another meaning: the network learns to give three times the counts
    options = {"steps_per_epoch": 60, "learning_rate": 1e-2, "optimizer": "adam"}
    denoiser = tiny(network="unet", patch_size=20 * 25, **options)
    denoised = denoiser.fit(counts, 3 * images).transform(counts)
    assert denoised.mean() == pytest.approx(3 * images.mean(), rel=0.1)
    with (
        pytest.raises(ValueError, match="Pairs cannot be resampled.*training_pixel_size=6"),
        pytest.warns(PixelSizeWarning, match="pixel size of 24.9 pm"),
    ):
        tiny().fit(counts, images, pixel_size=6.0)


def test_pairs_with_noisy_targets_without_an_electron():
    counts = ImageStack(np.zeros((4, 20, 20), dtype=np.float32), 24.9)
    counts[0, 3, 3] = counts[3, 10, 10] = 1
    denoiser = tiny(patch_size=4 * 25).fit(counts, counts[::-1])
    assert np.isfinite(denoiser.transform(counts)).all()
    assert all(np.isfinite(row["train_loss"]) for row in denoiser.history_)
    assert max(row["train_loss"] for row in denoiser.history_) < 1e4


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("fourier_unet", {"n_scales": 5, "base_channels": 4}),
        ("fourier_unet", {"n_scales": 1, "base_channels": 4}),
        ("unet", {"n_scales": 3, "base_channels": 4}),
        ("unet", {"n_scales": 3, "base_channels": 4, "bias_free": False}),
        ("dncnn", {"n_scales": None, "base_channels": None}),
        ("small_unet", {"n_scales": None, "base_channels": None}),
    ],
)
def test_networks(images, network, options):
    denoiser = tiny(network=network, patch_size=16 * 25, **options).fit(images)
    odd = noisy_of(images[:2, :33, :39])
    denoised = denoiser.transform(odd)
    assert denoised.shape == odd.shape
    assert np.isfinite(denoised).all()
    assert denoiser.history_[-1]["train_batch_count"] == 2
    small = denoiser.transform(odd[:, :1, :2])  # smaller than any stride
    assert small.shape == (2, 1, 2)
    assert np.isfinite(small).all()


@pytest.mark.parametrize("network", ["dncnn", "small_unet"])
def test_options_a_network_does_not_have(images, network):
    with pytest.raises(ValueError, match="n_scales and base_channels cannot be chosen"):
        tiny(network=network).fit(images)


@pytest.mark.parametrize(
    ("options", "bins"),
    [
        ({"training_pixel_size": 6.22}, 5),
        ({"training_pixel_size": 10.0}, 3),
        ({"training_pixel_size": 30.0}, 1),
        ({"training_pixel_size": 6.22, "binning": 2}, 2),
        ({"training_pixel_size": 6.22, "network": "unet"}, 1),
        ({"training_pixel_size": 6.22, "network": "unet", "binning": 3}, 3),
    ],
)
def test_binning(options, bins):
    pixel_size = options["training_pixel_size"]
    clean = lattices(3, 50, 61, period=40.0, pixel_size=pixel_size)
    denoiser = tiny(patch_size=32, orientations=1, **options).fit(clean)
    assert denoiser.bins_.size == pytest.approx(bins * pixel_size)
    counts = noisy_of(clean)
    denoised = denoiser.transform(counts)
    # it is the network on block sums, splined back
    with torch.no_grad():
        sums = torch.from_numpy(bin_counts(np.asarray(counts), bins))[:, None]
        rates = denoiser.network_(sums)[:, 0].numpy() / bins**2
    np.testing.assert_allclose(denoised, unbin(rates, bins, (50, 61)), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_patches_are_no_larger_than_the_images(images):
    small = images[:, :21, :13]
    denoiser = tiny(patch_size=10_000).fit(small)
    assert denoiser.transform(small).shape == small.shape
    paired = tiny(patch_size=10_000).fit(small, small)
    assert paired.transform(small).shape == small.shape
    fitting = tiny(patch_size=13).fit(small)
    np.testing.assert_array_equal(fitting.transform(small), denoiser.transform(small))


@pytest.mark.parametrize("pairs", [False, True])
def test_images_smaller_than_a_bin(images, pairs):
    X = ImageStack(images[:, :3], 6.22)
    with pytest.raises(ValueError, match=r"bin of the network is 5 pixels wide: give larger"):
        tiny(training_pixel_size=6.22).fit(X, X if pairs else None)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_one_image_is_enough(images):
    denoiser = tiny().fit(images[:1])
    assert denoiser.transform(images).shape == images.shape


def test_too_coarse_bins(counts, images):
    fine = np.asarray(lattices(3, 64, 64, period=6.0))
    with pytest.raises(ValueError, match=r"would lose \d+% of their contrast.*fit\(X, pixel_size"):
        tiny(training_pixel_size=6.22).fit(fine, pixel_size=6.22)
    with pytest.raises(ValueError, match=r"If they are noisy images"):
        tiny(training_pixel_size=6.22).fit(ImageStack(counts, 6.22))
    tiny(training_pixel_size=6.22).fit(fine, pixel_size=24.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoom": (1.0,)}, "zoom must be"),
        ({"zoom": (1.1, 0.9)}, "zoom must be"),
        ({"zoom": (0, 1)}, "zoom must be"),
        ({"zoom": ("a", "b")}, "zoom must be"),
        ({"dose": (3.0, 1.0)}, "dose must be"),
        ({"dose": ("a", 1.0)}, "dose must be"),
        ({"dose": (1.0, 2.0, 3.0)}, "dose must be"),
        ({"dose": 0}, "dose"),
        ({"network": "resnet"}, "network"),
        ({"n_scales": 6}, "scales must be 1 to 5"),
        ({"n_scales": 9}, "n_scales"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"rotation": 181}, "rotation"),
        ({"training_pixel_size": -1.0}, "training_pixel_size"),
        ({"training_pixel_size": (10.0, 4.0)}, "training_pixel_size must be"),
        ({"training_pixel_size": (4.0, 5.0, 6.0)}, "training_pixel_size must be"),
        ({"training_pixel_size": ("a", 5.0)}, "training_pixel_size must be"),
        ({"dose": 2.0, "noise": PoissonNoise()}, "dose is that of the default noise"),
        ({"loss": "mae"}, "loss"),
        (
            {"training_pixel_size": (20.0, 30.0)},
            r"is a range: say what .* with fit\(X, pixel_size=\.\.\.\)",
        ),
    ],
)
def test_bad_parameters(images, options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options).fit(np.asarray(images))


# --- transform ------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["fourier_unet", "unet"])
def test_tiles_join_without_seams(network, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        denoiser = tiny(network=network, n_scales=3).fit(lattices(2, 40, 40))
    # half of it lattice, half vacuum, and brighter to one side: tiles have different means
    clean = lattices(1, 450, 430, level=20.0, period=9.0)
    clean[:, :, 200:] = 20.0
    clean *= np.linspace(0.5, 1.5, 450, dtype=np.float32)[:, None]
    counts = noisy_of(clean)
    whole = denoiser.transform(counts)
    monkeypatch.setattr(apply, "TILE", 384)
    tiled = denoiser.transform(counts)
    assert (tiled != whole).any()
    np.testing.assert_allclose(tiled, whole, atol=1e-3 * 20)


def test_frames_do_not_depend_on_each_other(on_bins):
    counts = noisy_of(lattices(7, 50, 60, period=30.0, pixel_size=7.0))
    denoised = on_bins.transform(counts)
    for k in (0, 6):
        alone = on_bins.transform(counts[k : k + 1])
        np.testing.assert_array_equal(alone[0], denoised[k])


def test_pixel_size_scales_the_bins(only_fourier):
    # what the network sees is the same for pixels twice as fine, each holding a quarter
    counts = noisy_of(lattices(1, 96, 96, level=5.0, period=30.0, pixel_size=6.22))
    fine = np.zeros((1, 192, 192), dtype=np.float32)
    fine[:, ::2, ::2] = counts
    expected = only_fourier.transform(counts)
    result = only_fourier.transform(fine, pixel_size=3.11, bad_pixels="keep")
    blocks = result.reshape(1, 96, 2, 96, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(blocks[:, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], rtol=5e-3)


@pytest.mark.parametrize(
    ("pixel_size", "factor"),
    [(None, 5), (6.22, 5), (6.0, 5), (6.5, 5), (15.55, 2), (31.1, 1), (32.0, 1)],
)
def test_whole_factors_where_the_training_covers_them(on_bins, pixel_size, factor):
    assert on_bins.bins_.factor(pixel_size) == factor
    assert isinstance(on_bins.bins_.factor(pixel_size), int)


def test_fractional_factors_elsewhere(on_bins):
    # 31.1 / 7 = 4.44: five bins would be 1.13 times too large, four 1.11 times too small
    assert on_bins.bins_.factor(7.0) == pytest.approx(31.1 / 7.0)


@pytest.fixture(scope="module")
def scale_blind():
    """A network trained on pixels of 4 to 9 pm, in bins of five."""
    images = lattices(4, 96, 96, period=30.0, pixel_size=6.0)
    return tiny(training_pixel_size=(4.0, 9.0)).fit(images)


@pytest.mark.parametrize(
    ("pixel_size", "factor"),
    [(None, 5), (4.0, 5), (6.0, 5), (9.0, 5), (9.5, 5), (3.0, 10), (20.0, 2), (40.0, 1)],
)
def test_a_range_of_pixel_sizes_is_treated_alike(scale_blind, pixel_size, factor):
    # outside of it, bins of a size that was trained on
    assert scale_blind.bins_.size == pytest.approx(30.0)
    assert scale_blind.bins_.factor(pixel_size) == factor


class Batches(Callback):
    """Keeps the batches trained on."""

    def on_train_begin(self, net, **kwargs):
        self.batches = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.batches.append(batch)


def test_patches_are_of_all_pixel_sizes_in_the_range():
    # one lattice of a known period; what period do patches have, in bins?
    clean = lattices(2, 256, 256, period=32.0, pixel_size=3.0)
    seen = Batches()
    tiny(
        training_pixel_size=(4.0, 9.0), binning=2, rotation=0, zoom=(1.0, 1.0), batch_size=32,
        steps_per_epoch=1, callbacks=[seen],
    ).fit(clean)  # fmt: skip
    drawn = seen.batches[0][1]["target"]
    rows = (drawn - drawn.mean((2, 3), keepdim=True))[:, 0].sum(1)
    periods = 2048 / np.abs(np.fft.rfft(rows, 2048)).argmax(1)
    # 96 pm between columns, in bins of 8 to 18 pm; patches fit into the images where coarsest
    assert drawn.shape[-1] == int(256 * 1.01 * 3 / 18)
    assert 96 / 18 * 0.9 < periods.min() < 96 / 18 * 1.2
    assert 96 / 8 * 0.8 < periods.max() < 96 / 8 * 1.1


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_pairs_may_have_a_range_of_pixel_sizes(images):
    denoiser = tiny(training_pixel_size=(20.0, 30.0)).fit(images, images)
    assert denoiser.transform(ImageStack(images, 21.0)).shape == images.shape


def test_many_pixels_a_bin_are_no_mistake_of_units(images, counts, recwarn):
    denoiser = tiny(training_pixel_size=1.0, binning=20).fit(np.asarray(images), pixel_size=20.0)
    denoiser.transform(np.asarray(counts), pixel_size=1.0)
    assert not recwarn.list


def test_pixels_coarser_than_the_bins(on_bins):
    X = np.ones((1, 20, 20))
    with pytest.raises(ValueError, match="pixel_size=40 pm is too coarse: this network works on"):
        on_bins.transform(X, pixel_size=40.0)
    for bad in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="positive and finite"):
            on_bins.transform(X, pixel_size=bad)
    with pytest.raises(TypeError, match="pixel_size must be a number"):
        on_bins.transform(X, pixel_size="6 pm")


def test_nothing_under_the_mask_counts(on_bins):
    counts = noisy_of(lattices(3, 60, 70, period=30.0, pixel_size=6.22))
    mask = np.zeros((60, 70), dtype=bool)
    mask[:10, :25] = True
    mask[40:44, 50:] = True
    spoiled = counts.copy()
    spoiled[:, mask] = np.random.default_rng(0).integers(0, 10_000, size=(3, mask.sum()))
    for pixel_size in (6.22, 7.0):
        counts.pixel_size = spoiled.pixel_size = pixel_size
        expected = on_bins.transform(counts, mask=mask)
        result = on_bins.transform(spoiled, mask=mask)
        np.testing.assert_array_equal(result, expected)
    assert np.abs(result).max() < 5
    assert spoiled[:, mask].max() > 9000  # the input is left as it was


def test_progress_bar_for_more_than_a_handful(trained, counts, capsys):
    denoiser = pickle.loads(pickle.dumps(trained)).set_params(verbose=True)
    denoiser.transform(counts[:4])
    assert capsys.readouterr().err == ""
    denoiser.transform(counts)
    assert "denoise: 100%" in capsys.readouterr().err
    trained.transform(counts)
    assert capsys.readouterr().err == ""


def test_not_fitted(counts):
    for method in ("transform", "estimate_pixel_size", "score"):
        with pytest.raises(NotFittedError):
            getattr(tiny(), method)(counts)
    with pytest.raises(NotFittedError):
        tiny().save_pretrained("nowhere")


# --- the rest of scikit-learn ---------------------------------------------------------------------


def test_grid_search_leaves_one_structure_out():
    sims = [
        make_ptceo2(2, images_per_model=2, structure=s, random_state=0) for s in ("PtNp3", "PtNp4")
    ]
    clean = np.concatenate([s.data[:, 64:192, 64:192] for s in sims])
    clean = ImageStack(clean, sims[0].pixel_size)
    groups = np.concatenate([s.frame["structure"] for s in sims])
    denoiser = tiny(training_pixel_size=sims[0].pixel_size, patch_size=600)
    search = GridSearchCV(denoiser, {"base_channels": [2, 4]}, cv=LeaveOneGroupOut())
    search.fit(clean, groups=groups)
    assert search.n_splits_ == 2
    by_hand = clone(denoiser).set_params(base_channels=4).fit(clean[2:])
    assert search.cv_results_["split0_test_score"][1] == by_hand.score(clean[:2])
    noisy = noisy_of(clean)
    assert search.best_estimator_.score(noisy, clean) > psnr(clean, noisy).mean() + 5


def test_pixel_size_is_routed():
    clean = np.asarray(lattices(4, 40, 40))
    with config_context(enable_metadata_routing=True):
        denoiser = tiny(training_pixel_size=12.45).set_fit_request(pixel_size=True)
        denoiser.set_score_request(pixel_size=True)
        search = GridSearchCV(denoiser, {"learning_rate": [1e-4, 1e-2]}, cv=2)
        search.fit(clean, pixel_size=24.9)
        by_hand = clone(denoiser).set_params(learning_rate=1e-2).fit(clean[2:], pixel_size=24.9)
        expected = by_hand.score(clean[:2], pixel_size=24.9)
        assert search.cv_results_["split0_test_score"][1] == expected
        assert expected != by_hand.score(clean[:2], pixel_size=12.45)

        denoiser.set_transform_request(pixel_size=True)
        pipeline = make_pipeline(denoiser).fit(clean, pixel_size=24.9)
        counts = PoissonNoise(random_state=0).sample(clean)
        np.testing.assert_array_equal(
            pipeline.transform(counts, pixel_size=24.9),
            denoiser.fit(clean, pixel_size=24.9).transform(counts, pixel_size=24.9),
        )


def test_score_draws_the_noise_trained_with(images):
    denoiser = tiny(dose=2.0).fit(images)
    noisy, clean = PoissonNoise(dose=2.0).sample(images, return_clean=True, random_state=0)
    noisy = ImageStack(noisy, 24.9)
    assert denoiser.score(images) == pytest.approx(psnr(clean, denoiser.transform(noisy)).mean())


def test_fit_on_a_pixel_size_of_its_own(counts):
    # images of half the pixel size, binned by two in training, are the same images
    wide = lattices(2, 40, 48, period=20.0)
    fine = np.stack([unbin(image[None], 2, (80, 96))[0] for image in wide])
    a = tiny().fit(wide)
    b = tiny().fit(fine, pixel_size=12.45)
    assert a.bins_.size == b.bins_.size == 24.9
    values = [d.history_[0]["valid_psnr"] for d in (a, b)]
    assert values[0] == pytest.approx(values[1], abs=1.5)


def test_the_papers_networks_learn_on_bins(images, counts):
    images, counts = (ImageStack(stack, 6.22) for stack in (images, counts))
    denoiser = tiny(
        network="unet", base_channels=8, binning=4, training_pixel_size=6.22, patch_size=40,
        steps_per_epoch=20, max_epochs=3,
    ).fit(images)  # fmt: skip
    assert denoiser.history_[-1]["valid_psnr"] > denoiser.history_[0]["valid_psnr"]
    flat = np.full_like(images, images.mean())
    assert psnr(images, denoiser.transform(counts)).mean() > psnr(images, flat).mean() - 0.5


def test_bfloat16_denoises_all_but_alike():
    """Only where the network corrects an estimate; others stay in float32."""
    general = SBDDenoiser.from_pretrained(device="cpu").set_params(orientations=1)
    clean = lattices(1, 160, 128, level=0.45, pixel_size=6.22)
    noisy = noisy_of(clean)
    exact, rounded = (
        general.set_params(precision=p).transform(noisy) for p in ("float32", "bfloat16")
    )
    error = rounded - exact
    assert 0 < np.sqrt(np.mean(error**2)) < 1e-3 * exact.mean()
    unet = tiny(network="unet", binning=2, training_pixel_size=6.22).fit(clean)
    both = [unet.set_params(precision=p).transform(noisy) for p in ("float32", "bfloat16")]
    np.testing.assert_array_equal(*both)
