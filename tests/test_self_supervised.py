"""Methods that learn from noisy frames alone."""

import copy
import warnings

import numpy as np
import pytest
import torch
from conftest import lattice_images
from quick_methods import METHODS, QUICK
from sklearn.base import clone

from temdenoise import (
    BlindSpotDenoiser,
    ImageStack,
    SBDDenoiser,
    UDVDDenoiser,
    psnr,
)
from temdenoise._frames import frames_around
from temdenoise.denoisers import FramesWarning
from temdenoise.noise import thin_counts
from temdenoise.training.batches import FrameBatches, ThinnedBatches
from temdenoise.training.loop import Training
from temdenoise.training.losses import find_loss
from temdenoise.training.options import TrainingOptions
from temdenoise.training.scores import held_out_score


def movie(n=6, side=60, dose=2.0, seed=0):
    """Noisy and clean frames of lattices, with pixels of 15 pm."""
    clean = lattice_images(n, side, side, level=dose)
    return ImageStack(np.random.default_rng(seed).poisson(clean), 15.0), clean


# --- what the blind-spot network cannot see -------------------------------------------------------


@pytest.mark.parametrize("blind_spot", [1, 3])
def test_a_pixel_is_estimated_without_itself(blind_spot):
    """At every pixel, borders included, averaged over all eight orientations."""
    noisy = np.random.default_rng(1).poisson(2.0, (1, 4, 5)).astype(np.float32)
    denoiser = BlindSpotDenoiser(
        base_channels=2, blind_spot=blind_spot, binning=1, orientations=8, **QUICK
    ).fit(noisy)
    before = denoiser.transform(noisy)
    reach = blind_spot // 2
    # one image for each pixel, with more counts there
    pixels = list(np.ndindex(noisy.shape[1:]))
    changed = np.repeat(noisy, len(pixels), axis=0)
    for image, pixel in zip(changed, pixels, strict=True):
        image[pixel] += 50
    for after, (row, column) in zip(denoiser.transform(changed), pixels, strict=True):
        near = np.s_[
            max(0, row - reach) : row + reach + 1,
            max(0, column - reach) : column + reach + 1,
        ]
        np.testing.assert_array_equal(after[near], before[0][near])
        assert (after != before).any()  # it is seen from elsewhere


def test_the_centre_counts_by_the_weight_of_least_error():
    """Average of blind estimate and counts, by an oracle that knows the rates."""
    noisy, clean = movie(8, 60, dose=20.0)
    denoiser = clone(METHODS["blind-spot"]).set_params(binning=1).fit(noisy)
    blind = np.asarray(denoiser.transform(noisy))
    mixed = np.asarray(denoiser.set_params(use_centre=True).transform(noisy))
    counts = np.asarray(noisy)
    weight = np.mean((mixed - blind) / (counts - blind))
    np.testing.assert_allclose(mixed, blind + weight * (counts - blind), rtol=1e-4, atol=1e-3)
    error = np.mean((blind - clean) ** 2)
    assert weight == pytest.approx(error / (error + clean.mean()), rel=0.05)
    assert np.mean((mixed - clean) ** 2) < error


def test_an_even_blind_spot_is_refused():
    with pytest.raises(ValueError, match="blind_spot must be odd"):
        BlindSpotDenoiser(blind_spot=2, **QUICK).fit(movie()[0])


def test_the_paper_s_network_is_to_be_had():
    noisy, _ = movie(2, 24)
    denoiser = BlindSpotDenoiser(network="laine", binning=1, orientations=1, **QUICK).fit(noisy)
    assert sum(p.numel() for p in denoiser.network_.parameters()) == 1_118_832
    with pytest.raises(ValueError, match="half_plane"):
        BlindSpotDenoiser(network="laine", blind_spot=3, **QUICK).fit(noisy)


# --- what is held out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "held_out", "kind"),
    [
        (1, "auto", None),
        (6, "auto", "electrons"),
        (12, "auto", "frames"),
        (12, None, None),
        (6, "frames", "frames"),
    ],
)
def test_what_is_held_out(n, held_out, kind):
    noisy, _ = movie(n)
    X = np.asarray(noisy, dtype=np.float32)
    denoiser = clone(METHODS["blind-spot"]).set_params(held_out=held_out)
    (train, _, _), (valid, target, _) = denoiser._split(X, None, None, 3)
    if kind == "electrons":
        np.testing.assert_array_equal(train + target, X)  # no electron twice, none lost
        np.testing.assert_array_equal(valid, train)
        assert 0.05 < target.sum() / X.sum() < 0.15
    elif kind == "frames":
        np.testing.assert_array_equal(np.concatenate([train, valid]), X)
    else:
        assert train is valid


def test_frames_cannot_be_held_out_of_one():
    with pytest.raises(ValueError, match="needs 2 frames at least"):
        clone(METHODS["blind-spot"]).set_params(held_out="frames").fit(movie(1)[0])


def test_the_best_epoch_is_restored():
    """The loss that was recorded for it comes out again."""
    noisy, _ = movie(12)
    params = QUICK | {"max_epochs": 4, "learning_rate": 0.05}
    denoiser = BlindSpotDenoiser(base_channels=2, orientations=1, **params).fit(noisy)
    losses = [row["held_out_loss"] for row in denoiser.history_]
    held_out = np.asarray(noisy[-1:], dtype=np.float32)
    batches = FrameBatches(
        frames=held_out, whole=True, batch_size=1, size=1, binning=denoiser.bins_.binning,
        n_batches=1, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    counts, y = batches[0]
    with torch.no_grad():
        loss = find_loss("poisson")(denoiser.network_(counts), y["target"])
    assert float(loss) == pytest.approx(min(losses), abs=1e-6)


def test_early_stopping():
    noisy, _ = movie(12)
    params = QUICK | {"max_epochs": 30, "learning_rate": 0.3, "early_stopping": 2}
    denoiser = BlindSpotDenoiser(base_channels=2, orientations=1, **params).fit(noisy)
    losses = [row["held_out_loss"] for row in denoiser.history_]
    assert len(losses) < 30
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


def test_masked_pixels_neither_learn_nor_count():
    noisy, _ = movie()
    mask = np.zeros(noisy.shape[1:], dtype=bool)
    mask[:20, :20] = True
    batches = FrameBatches(
        frames=np.asarray(noisy, dtype=np.float32), trusted=np.broadcast_to(~mask, noisy.shape),
        whole=True, batch_size=1, size=1, binning=2, n_batches=1, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    _, y = batches[0]
    expected = torch.ones(1, 1, 30, 30, dtype=torch.bool)
    expected[..., :10, :10] = False
    assert torch.equal(y["trusted"], expected)
    other = noisy.astype(np.float32)
    other[:, mask] = 77
    first, second = (
        clone(METHODS["blind-spot"]).fit(X, mask=mask).transform(noisy, mask=mask)
        for X in (noisy, other)
    )
    np.testing.assert_array_equal(first, second)


# --- movies ---------------------------------------------------------------------------------------


def test_a_frame_sees_its_neighbours_alone():
    noisy, _ = movie(7, 30)
    denoiser = clone(METHODS["udvd"]).set_params(n_frames=3, base_channels=4).fit(noisy)
    before = denoiser.transform(noisy)
    changed = noisy.copy()
    changed[3] = 1
    different = (denoiser.transform(changed) != before).any(axis=(1, 2))
    assert different.tolist() == [False, False, True, True, True, False, False]


def test_a_movie_too_short():
    with pytest.raises(ValueError, match="n_frames=5 needs a movie of as many frames, and X has 3"):
        UDVDDenoiser(n_frames=5, **QUICK).fit(movie(3)[0])
    with pytest.raises(ValueError, match="set n_frames=5"):
        UDVDDenoiser(network="udvd", **QUICK).fit(movie(3)[0])


def test_no_frame_stands_in_for_its_own_neighbours():
    """At the ends of a movie too: a network that sees them whole would see the frame's noise."""
    for n_frames in (2, 3, 4, 9):
        for k in range(n_frames):
            for context in (1, 2):
                around = frames_around(k, context, n_frames)
                assert len(around) == 2 * context + 1
                assert around[context] == k
                assert k not in around[:context] + around[context + 1 :]


@pytest.mark.parametrize("k", [0, 1, 3])
def test_blind_in_each_frame_of_a_movie(k):
    noisy, _ = movie(4, 24)
    denoiser = clone(METHODS["udvd"]).set_params(n_frames=5, binning=1, max_epochs=1)
    denoiser.fit(np.concatenate([noisy, noisy[::-1] + 1]))
    before = denoiser.transform(noisy)[k, 10, 7]
    noisy[k, 10, 7] += 50
    after = denoiser.transform(noisy, bad_pixels="keep")
    assert after[k, 10, 7] == before
    assert (after != denoiser.transform(movie(4, 24)[0])).sum() > 1


def test_copies_of_frames_count_once():
    noisy, _ = movie(6, 24)
    doubled = ImageStack(np.repeat(noisy, 2, axis=0), noisy.pixel_size)
    denoiser = clone(METHODS["udvd"]).set_params(n_frames=3)
    with pytest.warns(FramesWarning, match="6 frames are copies of others .frame 1 of 0"):
        twice = clone(denoiser).fit(doubled)
    once = denoiser.fit(noisy)
    with pytest.warns(FramesWarning, match="count once"):
        rates = twice.transform(doubled)
    np.testing.assert_array_equal(rates, np.repeat(once.transform(noisy), 2, axis=0))
    with (
        pytest.warns(FramesWarning, match="copies"),
        pytest.raises(ValueError, match="All frames of X are copies of one"),
    ):
        denoiser.fit(noisy[[0, 0, 0]])
    with pytest.raises(ValueError, match="X is one frame, without the neighbours"):
        once.transform(noisy[:1])


def test_the_published_video_network():
    noisy, _ = movie(5, 20)
    denoiser = UDVDDenoiser(network="udvd", n_frames=5, binning=1, orientations=1, **QUICK)
    denoiser.fit(noisy)
    assert sum(p.numel() for p in denoiser.network_.parameters()) == 2_123_664


# --- thinning -------------------------------------------------------------------------------------


def test_thinned_batches_are_independent_poisson_counts():
    rate = 3.0
    frames = np.random.default_rng(0).poisson(rate, (4, 64, 64)).astype(np.float32)
    batches = ThinnedBatches(
        frames=frames, share=(0.3, 0.3), batch_size=16, size=32, binning=2, n_batches=8, seed=1,
        device=torch.device("cpu"),
    )  # fmt: skip
    pairs = [batches[k] for k in range(8)]
    noisy = torch.cat([b[0] for b in pairs]).flatten().numpy()
    target = torch.cat([b[1]["target"] for b in pairs]).flatten().numpy()
    assert noisy.mean() == pytest.approx(4 * rate * 0.7, rel=0.02)
    assert target.mean() == pytest.approx(4 * rate * 0.3, rel=0.02)
    assert target.var() == pytest.approx(target.mean(), rel=0.08)
    assert abs(np.corrcoef(noisy, target)[0, 1]) < 0.03
    assert pairs[0][1]["gain"].unique().tolist() == pytest.approx([0.3 / 0.7])


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # no counts
def test_thinning_needs_whole_counts_and_a_range_of_shares():
    noisy, _ = movie()
    with pytest.raises(ValueError, match="whole counts.*to_counts"):
        clone(METHODS["thinned"]).fit(noisy + 0.5)
    for share in ((0.5, 0.2), (0.0, 0.5), (0.2, 1.0), (0.3,)):
        with pytest.raises(ValueError, match="share must be"):
            clone(METHODS["thinned"]).set_params(share=share).fit(noisy)


# --- one image ------------------------------------------------------------------------------------


def test_self2self_says_how_long_it_takes(capsys):
    noisy, _ = movie(1)
    clone(METHODS["self2self"]).set_params(verbose=True).fit(noisy)
    assert "trains for about" in capsys.readouterr().out
    long = clone(METHODS["self2self"]).set_params(max_epochs=10**7, held_out=None)
    long.set_params(callbacks=[("stop", _StopAtOnce())])
    with pytest.warns(UserWarning, match="will train for about"):
        with pytest.raises(KeyboardInterrupt):
            long.fit(noisy)


def test_self2self_warns_of_stacks():
    with pytest.warns(UserWarning, match="6 images share one network"):
        clone(METHODS["self2self"]).fit(movie()[0])


class _StopAtOnce:
    def __new__(cls):
        from skorch.callbacks import Callback

        class Stop(Callback):
            def on_batch_end(self, net, **kwargs):
                raise KeyboardInterrupt

        return Stop()


# --- adaptation -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """Trained for a moment, and spoiled: its corrections are far too strong."""
    clean = ImageStack(lattice_images(4, 160, 160, level=2.0, period=20.0), 6.22)
    denoiser = SBDDenoiser(
        n_scales=2, base_channels=8, max_epochs=1, steps_per_epoch=4, batch_size=2,
        patch_size=120, orientations=1, precision="float32", device="cpu", random_state=0,
    ).fit(clean)  # fmt: skip
    with torch.no_grad():
        denoiser.network_.head.weight.mul_(30)
    return denoiser


@pytest.mark.parametrize("only_gains", [False, True])
def test_adapted_to_other_images(trained, tmp_path, only_gains):
    """A network that hardly knows anything learns the frames, and comes back when it is stored."""
    clean = lattice_images(4, 160, 160, level=2.0, contrast=0.9, period=26.0)
    noisy = ImageStack(np.random.default_rng(0).poisson(clean), 6.22)
    weights = {k: v.clone() for k, v in trained.network_.state_dict().items()}
    rate = 0.05 if only_gains else 3e-3
    adapted = trained.adapt(
        noisy, n_steps=70, learning_rate=rate, only_gains=only_gains, max_minutes=5.0
    )
    assert adapted.adaptation_.accepted
    assert adapted.adaptation_.difference < -1.645 * adapted.adaptation_.standard_error
    before, after = (psnr(clean, d.transform(noisy)).mean() for d in (trained, adapted))
    assert after > before + 0.2
    for name, value in trained.network_.state_dict().items():  # left as it is
        assert torch.equal(value, weights[name])
    adapted.save_pretrained(tmp_path / "weights")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "weights", device="cpu")
    loaded.set_params(orientations=1, precision="float32")
    np.testing.assert_array_equal(loaded.transform(noisy), adapted.transform(noisy))


def test_what_is_not_better_is_not_kept(trained):
    clean = np.full((2, 160, 160), 2.0)
    noisy = ImageStack(np.random.default_rng(0).poisson(clean), 6.22)
    with pytest.warns(UserWarning, match="original weights are kept") as caught:
        adapted = trained.adapt(noisy, n_steps=7, learning_rate=1e-30)
    assert caught[0].filename == __file__
    assert not adapted.adaptation_.accepted
    np.testing.assert_array_equal(adapted.transform(noisy), trained.transform(noisy))


def test_difference_of_errors_is_unbiased(trained):
    """Against the truth: the paired difference of two networks on electrons held out."""
    from temdenoise.denoisers._trained import adapt

    clean = lattice_images(3, 160, 160, level=2.0, contrast=0.9, period=26.0)
    rng = np.random.default_rng(5)
    other = SBDDenoiser(
        n_scales=2, base_channels=8, max_epochs=1, steps_per_epoch=1, batch_size=1,
        patch_size=120, orientations=1, precision="float32", device="cpu", random_state=1,
    ).fit(ImageStack(clean, 6.22))  # fmt: skip
    with torch.no_grad():
        for parameter in other.network_.parameters():
            parameter.mul_(1.5)
    found, errors, truths = [], [], []
    for draw in range(6):
        counts = rng.poisson(clean).astype(np.float32)
        kept, rest = thin_counts(counts, 0.9, random_state=draw)
        difference, error = adapt._compare(trained, other.network_, kept, rest, None, 5)
        scaled = [trained._tiled_network(network) for network in (trained.network_, other.network_)]
        estimates = [
            np.stack([trained._denoise(image, 5, network) for image in kept]) / 0.9
            for network in scaled
        ]
        truth = np.mean((estimates[1] - clean) ** 2) - np.mean((estimates[0] - clean) ** 2)
        found.append(difference), errors.append(error), truths.append(truth)
    z = (np.array(found) - np.array(truths)) / np.array(errors)
    assert abs(z.mean()) < 3 / np.sqrt(len(z))
    assert np.abs(z).max() < 4


def test_adapting_returns_the_best_epoch(trained):
    """Its loss comes out again, on electrons that neither train nor decide about acceptance."""
    from temdenoise.denoisers._trained import adapt

    clean = lattice_images(3, 160, 160, level=2.0, contrast=0.9, period=26.0)
    noisy = ImageStack(np.random.default_rng(0).poisson(clean).astype(np.float32), 6.22)
    adapted = trained.adapt(noisy, n_steps=21, learning_rate=3e-2, max_minutes=None)
    assert adapted.adaptation_.accepted
    losses = [row["held_out_loss"] for row in adapted.adaptation_.history]
    assert len(losses) == 7

    seed = Training(TrainingOptions(device="cpu"), random_state=0, settings=dict).seeds[2]
    X = np.asarray(noisy)
    kept, accepting, shown, few, choosing = adapt._split(X, seed)
    np.testing.assert_array_equal(kept + accepting, X)  # no electron twice, none lost
    np.testing.assert_array_equal(shown[few] + choosing, kept[few])
    assert accepting.sum() / X.sum() == pytest.approx(0.1, abs=0.01)
    assert choosing.sum() / X.sum() == pytest.approx(0.045, abs=0.005)

    batches = FrameBatches(
        frames=shown[few], targets=choosing, gain=0.05 / 0.95, whole=True, batch_size=1, size=1,
        binning=trained._factor(6.22), n_batches=3, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    score = held_out_score(find_loss("poisson")).function
    with torch.no_grad():
        found = [float(score(adapted.network_(counts), y)) for counts, y in batches]
    assert np.mean(found) == pytest.approx(min(losses), abs=1e-6)


def test_what_cannot_be_improved_is_seldom_accepted(trained):
    """Steps of no use, on frames without anything: one in twenty would be accepted by chance."""
    perfect = copy.deepcopy(trained)
    with torch.no_grad():
        perfect.network_.head.weight.zero_()
    z = []
    for seed in range(6):
        noisy = ImageStack(np.random.default_rng(seed).poisson(2.0, (2, 125, 125)), 6.22)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The adapted weights do not predict")
            found = perfect.adapt(noisy, n_steps=7, learning_rate=1e-6, random_state=seed)
        result = found.adaptation_
        z.append(result.difference / result.standard_error)
        assert result.accepted == (z[-1] < -1.645)
    assert np.count_nonzero(np.array(z) < -1.645) <= 1
    assert 0.3 < np.sqrt(np.mean(np.square(z))) < 1.8


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # no counts
def test_adapting_needs_whole_counts(trained):
    noisy, _ = movie()
    with pytest.raises(ValueError, match="whole counts"):
        trained.adapt(noisy + 0.5)
