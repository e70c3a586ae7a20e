"""BM3D against brute force, invariances and published quality."""

import numpy as np
import pytest
import torch
from conftest import lattice_images
from scipy import fft
from skimage import data

from temdenoise import BM3DDenoiser
from temdenoise.denoisers import bm3d as bm3d_module
from temdenoise.denoisers._classical.bm3d import algorithm, matching, transforms
from temdenoise.denoisers._classical.bm3d.noise_level import estimate_sigma


@pytest.fixture(scope="module")
def camera():
    return data.camera()[192:288, 160:288].astype(float)


def noisy_version(clean, sigma, seed=0):
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)


def denoise(image, **parameters):
    image = np.asarray(image)[np.newaxis]
    return BM3DDenoiser(**{"device": "cpu", **parameters}).fit(image).transform(image)[0]


def psnr_255(clean, estimate):
    return 10 * np.log10(255**2 / np.mean((clean - estimate) ** 2))


# --- transforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_dct_is_scipys(n):
    expected = fft.dct(np.eye(n), axis=0, norm="ortho")
    np.testing.assert_allclose(transforms.dct_matrix(n), expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4, 32])
def test_haar_is_orthonormal_and_sorted_from_coarse_to_fine(n):
    haar = transforms.haar_matrix(n)
    np.testing.assert_allclose(haar @ haar.T, np.eye(n), atol=1e-12)
    np.testing.assert_allclose(haar[0], np.full(n, n**-0.5))
    if n > 1:
        np.testing.assert_allclose(haar[-1, -2:], [0.5**0.5, -(0.5**0.5)])
        assert not haar[-1, :-2].any()


@pytest.mark.parametrize("n", [2, 4, 8])
def test_biorthogonal_wavelet(n):
    forward = transforms.biorthogonal_matrix(n)
    inverse = np.linalg.inv(forward)
    np.testing.assert_allclose(np.linalg.norm(forward, axis=1), 1)
    np.testing.assert_allclose(forward[0], np.full(n, n**-0.5), atol=1e-12)
    np.testing.assert_allclose(forward[1:].sum(axis=1), 0, atol=1e-12)
    # The finest details are differences of neighbours, and what is synthesised without them is
    # constant on pairs: the dual scaling function is a box.
    for i, row in enumerate(forward[n // 2 :]):
        np.testing.assert_allclose(np.flatnonzero(row), [2 * i, 2 * i + 1])
    coarse = inverse[:, : n // 2]
    np.testing.assert_allclose(coarse[::2], coarse[1::2], atol=1e-12)


def test_overlap_add_is_the_adjoint():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(9, 7, generator=generator, dtype=torch.float64)
    blocks = transforms.all_blocks(image, (4, 2))
    other = torch.randn(blocks.T.shape, generator=generator, dtype=torch.float64)
    added = transforms.overlap_add(other, (9, 7), (4, 2))
    torch.testing.assert_close((blocks.T * other).sum(), (image * added).sum())
    assert torch.equal(blocks[2 * 6 + 3], image[2:6, 3:5].ravel())


# --- matching -------------------------------------------------------------------------------------


def test_matching_is_brute_force(camera):
    radius, n_blocks = 6, 8
    image = torch.from_numpy(noisy_version(camera[:40, :50], 20).astype(np.float32))
    blocks = transforms.all_blocks(image, (8, 8))
    places = 33, 43
    index, distance = matching.match_blocks(
        blocks, places, step=3, radius=radius, n_blocks=n_blocks
    )
    # Every third place and the last, along both axes.
    references = [(i, j) for i in [*range(0, 33, 3), 32] for j in range(0, 43, 3)]
    assert sorted(index[:, 0].tolist()) == [i * 43 + j for i, j in references]
    blocks = blocks.double().numpy()
    for found, reported in zip(index.numpy(), distance.numpy(), strict=True):
        i, j = divmod(found[0], 43)
        assert len(set(found)) == n_blocks
        exact = ((blocks - blocks[found[0]]) ** 2).sum(axis=1)
        np.testing.assert_allclose(reported, exact[found], rtol=1e-3, atol=1)
        assert (np.diff(exact[found]) > -1).all()
        # Nothing in the window is nearer than the last found.
        window = exact.reshape(places)[
            max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1
        ]
        assert np.sort(window.ravel())[n_blocks - 1] >= exact[found].max() - 1


def test_stack_sizes_are_powers_of_two():
    distance = torch.tensor([[0.0, 1, 2, 3, 4, 5, 6, 7]])
    limits = [0, 0.5, 1, 2, 3, 6, 7, 100]
    sizes = [int(matching.count_similar(distance, limit)) for limit in limits]
    assert sizes == [1, 1, 2, 2, 4, 4, 8, 8]
    assert matching.stack_size(32, (100, 100), 19) == 32
    assert matching.stack_size(32, (3, 7), 19) == 16
    assert matching.stack_size(32, (1, 1), 19) == 1


# --- the whole algorithm --------------------------------------------------------------------------


def brute_force(image, step, n_blocks, block=8):
    """BM3D by loops, in double precision, for an image that one search window covers."""
    n_rows, n_columns = (n - block + 1 for n in image.shape)
    places = [(i, j) for i in range(n_rows) for j in range(n_columns)]
    axes = [sorted({*range(0, n, step), n - 1}) for n in (n_rows, n_columns)]
    window = np.outer(np.kaiser(block, 2), np.kaiser(block, 2))

    def cut(picture, place):
        return picture[place[0] : place[0] + block, place[1] : place[1] + block]

    def stage(pilot, matrix, n_blocks, limit, shrink):
        inverse = np.linalg.inv(matrix)
        total, weights = np.zeros_like(image), np.zeros_like(image)
        for reference in ((i, j) for i in axes[0] for j in axes[1]):
            distance = [np.sum((cut(pilot, p) - cut(pilot, reference)) ** 2) for p in places]
            order = np.argsort(distance)[:n_blocks]
            n = int(np.sum(np.array(distance)[order] <= limit))
            n = 2 ** int(np.log2(n))
            stack = [places[k] for k in order[:n]]
            haar = transforms.haar_matrix(n)

            def forward(picture, stack=stack, haar=haar):
                blocks = np.stack([matrix @ cut(picture, p) @ matrix.T for p in stack])
                return np.tensordot(haar, blocks, 1)

            filtered, weight = shrink(forward(image), forward(pilot))
            blocks = np.tensordot(haar.T, filtered, 1)
            for place, estimate in zip(stack, blocks, strict=True):
                cut(total, place)[:] += weight * window * (inverse @ estimate @ inverse.T)
                cut(weights, place)[:] += weight * window
        return total / weights

    def threshold(noisy, pilot):
        kept = np.abs(noisy) > 2.7
        kept[0, 0, 0] = True
        return noisy * kept, 1 / kept.sum()

    def wiener(noisy, pilot):
        gain = pilot**2 / (pilot**2 + algorithm._WIENER_VARIANCE)
        gain[0, 0, 0] = 1
        return noisy * gain, 1 / np.sum(gain**2)

    wavelet, cosine = transforms.biorthogonal_matrix(block), transforms.dct_matrix(block)
    first = stage(image, wavelet, n_blocks[0], np.inf, threshold)
    return stage(first, cosine, n_blocks[1], algorithm._MAX_DISTANCE * block**2, wiener)


@pytest.mark.parametrize("profile", ["fast", "normal", "crystal"])
def test_both_stages_are_those_of_brute_force(profile):
    rows, columns = np.mgrid[:20, :18]
    image = noisy_version(4 * np.cos(rows / 2 + columns / 3), 1)
    settings = algorithm.PROFILES[profile]
    expected = brute_force(image, settings.step, settings.n_blocks)
    tensor = torch.from_numpy(image.astype(np.float32))
    got = algorithm.bm3d(tensor, settings).numpy()
    # A coefficient that float32 puts on the other side of the threshold would show as 0.1.
    np.testing.assert_allclose(got, expected, atol=2e-4)


@pytest.mark.parametrize(("sigma", "reference"), [(10, 33.707), (25, 29.617), (50, 26.550)])
def test_photograph_as_well_as_the_reference_implementation(sigma, reference):
    # PSNR that the original authors' package (bm3d 4.0.3) reaches on the very same noisy image.
    clean = data.camera()[128:384, 128:384].astype(float)
    noisy = noisy_version(clean, sigma, seed=sigma)
    assert psnr_255(clean, denoise(noisy, sigma=sigma)) > reference - 0.06


def test_profiles_trade_quality(camera):
    noisy = noisy_version(camera, 25)
    quality = {
        profile: psnr_255(camera, denoise(noisy, sigma=25, profile=profile))
        for profile in ("fast", "normal", "high")
    }
    assert psnr_255(camera, noisy) + 5 < quality["fast"] < quality["normal"] < quality["high"]


def test_crystal_profile_gains_on_a_lattice():
    clean = 255 * lattice_images(1, 112, 112, level=0.5)[0]
    noisy = noisy_version(clean, 100)
    normal, crystal = (
        psnr_255(clean, denoise(noisy, sigma=100, profile=profile))
        for profile in ("normal", "crystal")
    )
    assert psnr_255(clean, noisy) + 12 < normal < crystal - 0.5


def test_scale_and_offset_pass_through(camera):
    noisy = np.round(noisy_version(camera, 25))
    denoised = denoise(noisy, sigma=25)
    np.testing.assert_array_equal(denoise(noisy / 64, sigma=25 / 64) * 64, denoised)
    # Another rounding may put a few coefficients on the other side of the threshold.
    lifted = denoise(noisy + 1000, sigma=25) - 1000
    assert np.sqrt(np.mean((lifted - denoised) ** 2)) < 0.25


def test_mean_is_kept_even_of_skewed_noise():
    counts = np.random.default_rng(0).poisson(lattice_images(1, 60, 50)[0])
    assert denoise(counts).mean() == pytest.approx(counts.mean(), rel=1e-5)


def test_transposed_image_gives_transposed_result(camera):
    noisy = noisy_version(camera, 25)
    np.testing.assert_allclose(denoise(noisy.T, sigma=25).T, denoise(noisy, sigma=25), atol=0.5)


def test_tiles_leave_no_seam(camera, monkeypatch):
    noisy = noisy_version(np.hstack([camera, camera[:, ::-1]]), 25)
    whole = denoise(noisy, sigma=25)
    monkeypatch.setattr(bm3d_module, "_TILE", 160)
    tiled = denoise(noisy, sigma=25)
    assert not np.array_equal(tiled, whole)
    assert np.sqrt(np.mean((tiled - whole) ** 2)) < 0.05 * 25
    assert np.abs(tiled - whole).max() < 25


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_gives_the_same(camera):
    noisy = noisy_version(camera, 25)
    difference = denoise(noisy, sigma=25, device="cuda") - denoise(noisy, sigma=25)
    assert np.sqrt(np.mean(difference**2)) < 0.25


# --- input out of the ordinary --------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0, 1e-30])
def test_without_noise_the_image_comes_back(camera, sigma):
    np.testing.assert_array_equal(denoise(camera - 100, sigma=sigma), camera - 100)


@pytest.mark.parametrize("shape", [(400, 1), (1, 400)])
def test_a_line_is_denoised(shape):
    clean = np.where(np.arange(400) // 80 % 2, 3.0, -3.0).reshape(shape)
    denoised = denoise(noisy_version(clean, 1), sigma=1)
    assert np.mean((denoised - clean) ** 2) < 0.25


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 5), (8, 8), (3, 40), (9, 12)])
def test_images_smaller_than_a_block_or_a_search_window(shape):
    noisy = noisy_version(np.full(shape, -7.0), 1)
    denoised = denoise(noisy, sigma=1)
    # Of pure noise hardly more than the mean is left.
    assert denoised.std() <= 0.7 * noisy.std()
    assert denoised.mean() == pytest.approx(noisy.mean(), abs=0.35)


@pytest.mark.parametrize("level", [-1e4, 0.1, 255])
def test_constant_image_stays_exactly(level):
    image = np.full((30, 40), level, dtype=np.float32)
    np.testing.assert_array_equal(denoise(image, sigma=2.0), image)
    np.testing.assert_array_equal(denoise(image), image)


def test_uint8_read_only_and_strided_stacks(camera):
    noisy = np.clip(noisy_version(camera, 25), 0, 255).astype(np.uint8)
    expected = denoise(noisy.astype(float), sigma=25)
    twice = np.repeat(noisy, 2, axis=1)
    twice.setflags(write=False)
    np.testing.assert_array_equal(denoise(twice[:, ::2], sigma=25), expected)


def test_threads_over_images_change_nothing(camera):
    noisy = np.stack([noisy_version(camera, 25, seed) for seed in range(3)])
    expected = BM3DDenoiser(sigma=25, device="cpu").fit(noisy).transform(noisy)
    n_threads = torch.get_num_threads()
    threaded = BM3DDenoiser(sigma=25, device="cpu", n_jobs=2).fit(noisy).transform(noisy)
    np.testing.assert_array_equal(threaded, expected)
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma": -1}, "sigma"),
        ({"sigma": "estimate"}, "sigma"),
        ({"profile": "np"}, "profile"),
        ({"n_jobs": 1.5}, "n_jobs"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        BM3DDenoiser(**parameters).fit(np.ones((1, 20, 20)))


# --- noise level ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 25.0])
def test_noise_level_of_white_noise_on_an_image(camera, sigma):
    smooth = np.add.outer(np.arange(300.0) ** 2, np.arange(200.0)) * sigma * 1e-3
    assert estimate_sigma(noisy_version(smooth, sigma)) == pytest.approx(sigma, rel=0.02)
    line = noisy_version(np.zeros((1, 20000)), sigma)
    assert estimate_sigma(line) == pytest.approx(sigma, rel=0.03)


def test_noise_level_of_very_sparse_counts():
    counts = np.random.default_rng(0).poisson(0.002, (400, 400))
    assert estimate_sigma(counts) == pytest.approx(np.sqrt(0.002), rel=0.1)


def test_auto_takes_the_estimate_of_each_image(camera):
    noisy = np.stack([noisy_version(camera, 10), noisy_version(camera, 40)])
    denoised = BM3DDenoiser(device="cpu").fit(noisy).transform(noisy)
    for image, result in zip(noisy.astype(np.float32), denoised, strict=True):
        np.testing.assert_array_equal(result, denoise(image, sigma=estimate_sigma(image)))


def test_masked_pixels_do_not_count_as_noise(camera):
    noisy = noisy_version(camera, 10)[np.newaxis].astype(np.float32)
    mask = np.zeros(camera.shape, dtype=bool)
    mask[:, :70] = True
    spoiled = np.where(mask, 1e4 * np.random.default_rng(1).random(noisy.shape), noisy)
    denoiser = BM3DDenoiser(device="cpu").fit(noisy)
    result = denoiser.transform(spoiled, mask=mask)[0]
    fixed = BM3DDenoiser(device="cpu", sigma=estimate_sigma(noisy[0, :, 70:])).fit(noisy)
    np.testing.assert_allclose(result, fixed.transform(noisy, mask=mask)[0], rtol=1e-4)
    with pytest.raises(ValueError, match="give sigma a number"):
        denoiser.transform(spoiled, mask=np.add.outer(np.arange(96), np.arange(128)) % 3 > 0)
