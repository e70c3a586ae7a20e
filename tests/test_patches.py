"""Training patches: where they come from, and what noise they carry."""

import numpy as np
import pytest
import torch
from conftest import lattice_images
from scipy import ndimage

from temdenoise import PoissonNoise
from temdenoise.binning import bin_counts
from temdenoise.training.batches import CleanBatches, FrameBatches, PairBatches, ThinnedBatches
from temdenoise.training.splines import spline_coefficients, spline_sample


def clean_patches(images, **options):
    defaults = {
        "zoom": 1.0,
        "size": 16,
        "noise": PoissonNoise(),
        "binning": 1,
        "batch_size": 4,
        "n_batches": 3,
        "seed": 0,
    }
    return CleanBatches(coefficients=spline_coefficients(images), **{**defaults, **options})


def test_spline_coefficients_are_scipys():
    images = np.random.default_rng(0).poisson(2.0, size=(70, 150, 33)).astype(np.float32)
    coefficients = spline_coefficients(images)
    assert coefficients.dtype == torch.float32
    for image, found in zip(images, coefficients, strict=True):
        expected = ndimage.spline_filter(image.astype(float), order=3, mode="mirror")
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(9, 13), (4, 30), (1, 6), (1, 1)])
def test_spline_sample_matches_map_coordinates(shape):
    rng = np.random.default_rng(0)
    images = rng.random((3, *shape)).astype(np.float32)
    index = np.array([2, 0, 1, 2])
    # inside, on whole pixels, and far outside, where the image is mirrored
    y, x = (rng.uniform(-2 * n, 3 * n, size=(4, 5, 7)).astype(np.float32) for n in shape)
    y[0, 0], x[0, 0] = np.round(y[0, 0]), np.round(x[0, 0])
    result = spline_sample(
        spline_coefficients(images), torch.from_numpy(index), torch.tensor(y), torch.tensor(x)
    )
    for k, i in enumerate(index):
        expected = ndimage.map_coordinates(
            images[i].astype(float), [y[k], x[k]], order=3, mode="mirror"
        )
        np.testing.assert_allclose(result[k], expected, atol=2e-4)


def gradients(**options):
    """Matrix (2, 2) of each patch of a batch: pixels of the image along y and x per bin."""
    places = np.indices((200, 240)).astype(np.float32)
    rows = []
    for ramp in places:  # same seed: same places
        _, y = clean_patches(ramp[None], batch_size=400, **options)[0]
        clean = y["target"][:, 0, 6:10, 6:10].double()  # the corners may see the mirrored image
        rows.append(torch.stack([clean.diff(dim=1).mean((1, 2)), clean.diff(dim=2).mean((1, 2))]))
    return torch.stack(rows).permute(2, 0, 1).numpy()


def test_stretched_patches_keep_their_area():
    matrices = gradients(zoom=3.0, stretch=0.1)
    lengths = np.linalg.svd(matrices, compute_uv=False)
    np.testing.assert_allclose(lengths.prod(1), 9, rtol=1e-4)
    aspect = lengths[:, 0] / lengths[:, 1]
    assert aspect.max() < 1.1 + 1e-3
    assert 1.09 < aspect.max()
    assert np.mean(aspect) == pytest.approx(1.049, abs=0.006)  # log-uniform from 1 to 1.1
    # along all directions of the image, whatever that of the patch
    axes = np.linalg.svd(matrices)[0][:, :, 0]
    doubled = (axes[:, 0] + 1j * axes[:, 1])[aspect > 1.02] ** 2
    assert abs(doubled.mean()) < 0.15


def test_without_stretch_patches_are_similar_to_the_image():
    lengths = np.linalg.svd(gradients(zoom=3.0, zoom_range=(0.9, 1.1)), compute_uv=False)
    np.testing.assert_allclose(lengths[:, 0], lengths[:, 1], rtol=1e-4)


def test_batches_depend_on_seed_and_number_alone():
    images = lattice_images(5, 40, 50)
    patches = clean_patches(images)
    first = [patches[k] for k in range(3)]
    for again, (noisy, y) in zip(clean_patches(images), first, strict=True):
        torch.testing.assert_close(again[0], noisy, rtol=0, atol=0)
        torch.testing.assert_close(again[1], y, rtol=0, atol=0)
    later = clean_patches(images, first=2)
    torch.testing.assert_close(later[0][0], first[2][0], rtol=0, atol=0)
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(clean_patches(images, seed=1)[0][0], first[0][0])
    assert len(patches) == 3
    with pytest.raises(IndexError):
        patches[3]


def test_unchanged_geometry_cuts_the_image_itself():
    # one image as large as the patch, neither turned nor scaled: it comes back, perhaps mirrored
    images = np.random.default_rng(1).random((1, 16, 16)).astype(np.float32) + 1
    clean = clean_patches(images, rotation=0.0, batch_size=8)[0][1]["target"]
    candidates = images[0], images[0, :, ::-1]
    seen = set()
    for patch in clean[:, 0].numpy():
        errors = [np.abs(patch - c).max() for c in candidates]
        assert min(errors) < 1e-4
        seen.add(int(np.argmin(errors)))
    assert seen == {0, 1}


def test_rotations_and_flips_cover_all_directions():
    # the direction of the gradient tells how a patch was turned
    y, x = np.mgrid[:65, :65] - 32.0
    images = (5000 + 20 * x + 0.3 * x * y)[None].astype(np.float32)
    clean = clean_patches(images, size=8, batch_size=64)[0][1]["target"][:, 0].numpy()
    gy, gx = np.gradient(clean, axis=(1, 2))
    angles = np.arctan2(gy.mean((1, 2)), gx.mean((1, 2)))
    assert np.histogram(angles, bins=6, range=(-np.pi, np.pi))[0].min() >= 3
    few = clean_patches(images, size=8, batch_size=64, rotation=20.0)[0][1]["target"]
    few = few[:, 0].numpy()
    gy, gx = np.gradient(few, axis=(1, 2))
    tilt = np.degrees(np.arctan(gy.mean((1, 2)) / gx.mean((1, 2))))
    # 20 degrees, and what 0.3 x y adds: at most 0.3 * 32 / 20
    assert 10 < np.abs(tilt).max() < 20 + np.degrees(np.arctan(0.3 * 32 * 1.5 / 10))
    assert (gx.mean((1, 2)) > 0).mean() == pytest.approx(0.5, abs=0.25)


def test_scale_changes_the_period():
    period = 8.0
    x = np.arange(200.0)
    images = np.broadcast_to(1 + 0.5 * np.cos(2 * np.pi * x / period), (1, 200, 200))
    images = images.astype(np.float32)
    patches = clean_patches(
        images, size=64, rotation=0.0, zoom=2.0, zoom_range=(0.9, 1.2), batch_size=16
    )
    lines = patches[0][1]["target"][:, 0].mean(1).numpy()
    spectrum = np.abs(np.fft.rfft((lines - lines.mean(1, keepdims=True)) * np.hanning(64), 4096))
    frequency = spectrum.argmax(1) / 4096  # cycles per bin: zoom * scale / period
    assert (frequency > 2.0 * 0.9 / period - 0.005).all()
    assert (frequency < 2.0 * 1.2 / period + 0.005).all()
    assert frequency.max() - frequency.min() > 0.1 * 2.0 / period


def test_noise_is_poisson_about_the_clean_patch():
    images = lattice_images(3, 60, 60, level=3.0)
    noisy, y = clean_patches(images, size=40, batch_size=32, binning=2)[0]
    clean = y["target"]
    assert y["unit"].unique().tolist() == [4.0]
    assert torch.equal(noisy, noisy.round())
    assert clean.mean().item() == pytest.approx(12.0, rel=0.1)
    z = (noisy - clean) / clean.sqrt()
    n = z.numel()
    assert abs(z.mean().item()) < 5 / n**0.5
    assert z.var().item() == pytest.approx(1.0, abs=5 * 1.5 / n**0.5)
    neighbours = (z[..., 1:] * z[..., :-1]).mean().item()
    assert abs(neighbours) < 5 / n**0.5


def test_dose_range_and_unit():
    images = lattice_images(4, 60, 60, level=0.45)
    low, high = 0.1 * 16, 3.0 * 16
    patches = clean_patches(
        images, size=32, batch_size=64, binning=4, noise=PoissonNoise(dose=(0.1, 3.0))
    )
    noisy, y = patches[0]
    clean, unit = y["target"], y["unit"]
    means = clean.mean((1, 2, 3))
    assert (means > low * 0.999).all()
    assert (means < high * 1.001).all()
    assert means.log().std().item() == pytest.approx(np.log(high / low) / 12**0.5, rel=0.25)
    n = 32 * 32
    assert ((noisy.mean((1, 2, 3)) - means).abs() < 5 * (means / n).sqrt()).all()
    # divided by the unit, they are what the images were: 0.45 but for the patch's own mean
    np.testing.assert_allclose((clean / unit).mean((1, 2, 3)), 0.45, rtol=0.05)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(3)
    target = rng.random((3, 24, 36)).astype(np.float32) + 1
    return rng.poisson(target * 10).astype(np.float32), target


def test_pairs_stay_aligned(pairs):
    noisy, target = pairs
    patches = PairBatches(
        noisy=100 * target, target=target, binning=2, size=6, batch_size=8, n_batches=2, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    batch, y = patches[1]
    clean, unit = y["target"], y["unit"]
    assert batch.shape == clean.shape == (8, 1, 6, 6)
    torch.testing.assert_close(batch, 100 * clean)
    assert unit.unique().tolist() == [4.0]
    assert not torch.equal(patches[0][0], patches[1][0])
    torch.testing.assert_close(patches[1][0], batch, rtol=0, atol=0)


def test_pairs_are_turned_and_mirrored_bins(pairs):
    noisy, target = (stack[:1, :12, :12] for stack in pairs)
    patches = PairBatches(
        noisy=noisy, target=target, binning=2, size=6, batch_size=64, n_batches=1, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    bins = bin_counts(noisy, 2)[0]
    expected = [np.rot90(b, k) for b in (bins, bins[:, ::-1]) for k in range(4)]
    seen = set()
    for patch in patches[0][0][:, 0].numpy():
        matches = [k for k, e in enumerate(expected) if np.array_equal(patch, e)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert seen == set(range(8))


@pytest.mark.parametrize("shape", [(500, 512), (101, 130), (512, 403)])
@pytest.mark.parametrize("binning", [5, 2.59, 4])
def test_patches_fit_into_frames_of_any_size(shape, binning):
    """A patch as large as the frames does not reach beyond their whole bins."""
    frames = np.ones((1, *shape), dtype=np.float32)
    wanted = int(min(shape) * 1.01 / binning) + 1
    common = {
        "size": wanted, "binning": binning, "batch_size": 3, "n_batches": 1, "seed": 0,
        "device": torch.device("cpu"),
    }  # fmt: skip
    n = int(min(shape) / binning)
    for batches in (FrameBatches(frames=frames, **common), ThinnedBatches(frames=frames, **common)):
        assert batches[0][0].shape == (3, 1, n, n)
    if isinstance(binning, int):
        assert PairBatches(noisy=frames, target=frames, **common)[0][0].shape == (3, 1, n, n)
