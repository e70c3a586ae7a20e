"""Drift and aligned sums: against movies of which all is known."""

import numpy as np
import pytest

from temdenoise._align import Drift, aligned_sum, estimate_drift
from temdenoise._frames import copies


def scene(height, width, shift=(0.0, 0.0), *, dose=0.45, period=17.0, particle=True, darker=0.0):
    """Rates of a lattice of columns, in a round particle or everywhere, shifted by a fraction."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    y, x = rows - shift[0], columns - shift[1]
    wave = np.cos(2 * np.pi * (x + 0.2 * y) / period) + np.cos(2 * np.pi * (y - 0.2 * x) / period)
    inside = 1.0
    if particle:
        radius = np.hypot(y - 0.55 * height, x - 0.45 * width)
        inside = 1 / (1 + np.exp((radius - 0.33 * height) / 3))
    return (dose * (1 + (0.25 * wave - darker) * inside)).astype(np.float32)


def walk(n_frames, seed=0, step=1.5):
    steps = np.random.default_rng(seed).uniform(-step, step, size=(n_frames, 2))
    return np.cumsum(steps, axis=0) - steps[0]


def poisson(rates, seed=0):
    return np.random.default_rng(seed).poisson(rates).astype(np.float32)


def drifting(n_frames, size=160, seed=0, **options):
    drift = walk(n_frames, seed)
    return np.array([scene(size, size, shift, **options) for shift in drift]), drift


# --- drift ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("particle", [True, False], ids=["particle", "lattice everywhere"])
def test_drift_is_exact_without_noise(particle):
    # no noise at all but that of the counts' level: the scene times a large dose
    clean, drift = drifting(6, dose=3000.0, particle=particle)
    found = estimate_drift(poisson(clean))
    np.testing.assert_allclose(found, drift, atol=0.1)


@pytest.mark.parametrize(("dose", "least"), [(0.16, 0.75), (0.45, 0.9), (3.0, 1.0)])
def test_drift_of_noisy_movies(dose, least):
    clean, drift = drifting(9, size=256, dose=dose)
    found = estimate_drift(poisson(clean), reference=4)
    true = drift - drift[4]
    assert np.isfinite(found).all()
    assert np.mean(np.abs(found - true) < 0.75) >= least
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.6


def test_large_steps_of_a_particle():
    shifts = np.array([[0, 0], [-12, 16], [5, 9]], dtype=float)
    movie = poisson([scene(192, 192, s, dose=2.0, darker=0.25) for s in shifts])
    np.testing.assert_allclose(estimate_drift(movie), shifts, atol=0.5)


def test_of_a_lattice_everywhere_the_smallest_step_is_taken():
    movie = poisson([scene(160, 160, (0, 3 * k), dose=3.0, particle=False) for k in range(4)])
    found = estimate_drift(movie)
    np.testing.assert_allclose(found, [[0, 3 * k] for k in range(4)], atol=0.4)


def test_nothing_to_see_is_said():
    movie = poisson(np.full((6, 128, 128), 0.45))
    found = estimate_drift(movie, reference=2)
    assert np.isnan(np.delete(found, 2, axis=0)).all()
    assert (found[2] == 0).all()
    assert np.isnan(estimate_drift(np.zeros((2, 64, 64)))[1]).all()
    assert np.isnan(estimate_drift(np.ones((2, 64, 64)))[1]).all()


def test_chance_is_taken_for_drift_hardly_ever():
    movie = poisson(np.full((2, 96, 96), 0.45))
    found = [estimate_drift(poisson(movie * 0 + 0.45, seed))[1] for seed in range(100)]
    assert np.isnan(found).all(axis=1).sum() >= 98


def test_drift_beyond_the_frame_is_said():
    movie = poisson([scene(128, 128, (0, s), dose=2.0) for s in (0, 300)])
    assert np.isnan(estimate_drift(movie)[1]).all()


def test_hot_pixels_and_changing_dose_do_not_hold_the_scene_still():
    clean, drift = drifting(5, size=192)
    movie = poisson(clean * np.array([1, 0.6, 1.5, 0.8, 1.2])[:, None, None])
    rng = np.random.default_rng(5)
    movie[:, rng.integers(0, 192, 8), rng.integers(0, 192, 8)] = 200
    assert np.abs(estimate_drift(movie) - drift).max() < 1


def test_a_label_that_stays_is_masked():
    clean, drift = drifting(5, size=192)
    movie = poisson(clean)
    mask = np.zeros(movie.shape, dtype=bool)
    mask[:, 100:140, 20:120] = True
    movie[mask] = np.tile(np.kron(np.eye(20) * 9, np.ones((2, 5))), (5, 1, 1)).ravel()
    assert np.abs(estimate_drift(movie, mask=mask) - drift).max() < 1


def test_pairs_that_contradict_are_dropped():
    clean, drift = drifting(5, size=160, dose=3.0)
    measured = Drift(poisson(clean), reach=4)
    measured.around(0, 0, 5)
    _, weight = measured._pairs[0, 3]
    measured._pairs[0, 3] = (np.array([17.0, -5.0]), weight)  # a period too far
    np.testing.assert_allclose(measured.around(0, 0, 5), drift, atol=0.4)


def test_drift_around_a_frame_is_told_by_the_frames_around_it():
    movie = poisson(drifting(9, size=128, dose=1.0)[0])
    measured = Drift(movie, reach=2)
    for k in range(2, 7):
        expected = estimate_drift(movie[k - 2 : k + 3], reference=2, reach=2)
        np.testing.assert_array_equal(measured.around(k, k - 2, k + 3), expected)
    assert min(i for i, _ in measured._pairs) >= 4  # what is not needed any more is forgotten


# --- sums -----------------------------------------------------------------------------------------


def test_the_sum_has_the_counts_of_the_shifted_frames():
    movie = poisson(np.random.default_rng(3).uniform(0, 3, size=(5, 40, 50)))
    drift = np.array([[0, 0], [2.2, -3.4], [1, 1], [-4.6, 0.4], [50, 0]])
    counts, frames = aligned_sum(movie, 1, 3, drift, level=0)
    expected = movie[1].copy()
    n = np.ones((40, 50))
    # frame 0 is shifted by (-2.2, 3.4) against frame 1, frame 2 by (-1.2, 4.4)
    for other, (dy, dx) in ((movie[0], (-2, 3)), (movie[2], (-1, 4))):
        expected[-dy:, : 50 - dx] += other[: 40 + dy, dx:]
        n[-dy:, : 50 - dx] += 1
    np.testing.assert_array_equal(counts, expected)
    assert (np.abs(frames - n) < 0.15).all()  # in doses of frame 1, as the counts tell them


def test_frames_shifted_out_or_of_unknown_drift_are_left_out():
    movie = poisson(np.full((3, 20, 20), 2.0))
    for lost in ([25.0, 0.0], [np.nan, np.nan]):
        counts, frames = aligned_sum(movie, 1, 3, np.array([lost, [0, 0], lost]), level=0)
        np.testing.assert_array_equal(counts, movie[1])
        np.testing.assert_array_equal(frames, 1)


def test_sums_are_poisson():
    clean, drift = drifting(5, size=60, dose=0.6, particle=False)
    drift = np.rint(drift)
    clean = np.array([scene(60, 60, s, dose=0.6, particle=False) for s in drift])
    inside = (slice(8, -8), slice(8, -8))
    sums = [
        aligned_sum(poisson(clean, seed), 2, 5, drift, level=0)[0][inside] for seed in range(400)
    ]
    mean, variance = np.mean(sums, axis=0), np.var(sums, axis=0, ddof=1)
    assert mean.mean() == pytest.approx(5 * clean[2][inside].mean(), rel=0.01)
    assert np.mean(variance / mean) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mean, 5 * clean[2][inside], rtol=0.3)


def test_masked_pixels_do_not_count():
    movie = poisson(np.full((3, 30, 30), 2.0))
    mask = np.zeros(movie.shape, dtype=bool)
    mask[1, 5:9, 5:9] = True
    mask[:, 20:22] = True
    movie[mask] = 1000
    counts, frames = aligned_sum(movie, 1, 3, np.zeros((3, 2)), mask=mask, level=0)
    assert (frames[20:22] == 0).all() and (counts[20:22] == 0).all()
    np.testing.assert_array_equal(counts[5:9, 5:9], movie[[0, 2], 5:9, 5:9].sum(axis=0))
    assert (np.abs(frames[5:9, 5:9] - 2) < 0.2).all()
    assert counts.max() < 100


def test_doses_are_those_of_the_middle_frame():
    clean = scene(128, 128, dose=2.0)
    movie = poisson(clean * np.array([0.5, 1, 3])[:, None, None])
    counts, frames = aligned_sum(movie, 1, 3, np.zeros((3, 2)))
    assert frames.max() == pytest.approx(4.5, rel=0.03)
    assert np.mean(frames > 4.3) > 0.95  # a change of dose is no change of the scene
    np.testing.assert_allclose((counts / frames).mean(), movie[1].mean(), rtol=0.01)


def test_copies_count_once_and_are_told():
    movie = poisson(np.full((4, 20, 20), 2.0))
    movie[2] = movie[1]
    assert copies(movie, 2) == [(2, 1)]
    assert copies(np.zeros((3, 4, 4)), 2) == []
    assert copies(movie[[1, 0, 3, 2]], 2) == []  # too far from each other
    counts, _ = aligned_sum(movie, 1, 3, np.zeros((4, 2)), level=0)
    np.testing.assert_array_equal(counts, movie[0] + movie[1])


@pytest.mark.parametrize("n_frames", [3, 5, 9])
@pytest.mark.parametrize("dose", [0.16, 0.45, 3.0])
def test_of_a_static_scene_no_more_is_left_out_than_the_level(n_frames, dose):
    clean = np.broadcast_to(scene(120, 123, dose=dose), (n_frames, 120, 123))
    shares = {0.01: [], 0.2: []}
    for seed in range(20):
        movie = poisson(clean, seed)
        for level, found in shares.items():
            _, frames = aligned_sum(
                movie, n_frames // 2, n_frames, np.zeros((n_frames, 2)), level=level
            )
            found.append(np.mean(frames < 0.97 * frames.max()))
    for level, found in shares.items():
        # what chance may add to the mean of so few movies
        assert np.mean(found) <= level + 2 * np.std(found) / np.sqrt(len(found))
    assert np.mean(shares[0.2]) > 0.02  # it does test something


def column(size, depth, width=5.0):
    rows, columns = np.mgrid[:size, :size] - size // 2
    return 1 - depth * np.exp(-(rows**2 + columns**2) / (2 * width**2))


def evidence(clean, event, m, n, window=20):
    """Standard deviations by which an event of `m` of `n` frames stands out in one window."""
    middle = clean.shape[0] // 2
    part = (slice(middle - window // 2, middle + window // 2),) * 2
    c, change = clean[part].sum(), (clean[part] - event[part]).sum()
    return change / c * np.sqrt(c * m * (n - m) / n)


@pytest.mark.parametrize("frames_of_event", [1, 2])
def test_a_clear_event_is_kept(frames_of_event):
    clean = np.full((160, 160), 3.0)
    event = clean * column(160, 0.5, 7.0)
    assert 6 < evidence(clean, event, frames_of_event, 5) < 12
    middle = (slice(75, 86), slice(75, 86))
    kept, without = [], []
    for seed in range(12):
        rates = np.stack([clean] * 5)
        rates[2 : 2 + frames_of_event] = event
        movie = poisson(rates, seed)
        for level, into in ((0.01, kept), (0, without)):
            counts, frames = aligned_sum(movie, 2, 5, np.zeros((5, 2)), level=level)
            into.append((counts / frames)[middle].mean())
    truth, static = event[middle].mean(), 3.0
    share = (static - np.mean(kept)) / (static - truth)
    assert share > 0.9
    assert (static - np.mean(without)) / (static - truth) < frames_of_event / 5 + 0.05


def test_an_event_of_five_sigma_is_kept_more_often_than_not():
    clean = np.full((120, 120), 0.9)
    event = clean * column(120, 0.43, 9.0)
    assert evidence(clean, event, 1, 5) == pytest.approx(5, abs=0.3)
    kept = []
    for seed in range(40):
        rates = np.stack([clean, clean, event, clean, clean])
        _, frames = aligned_sum(poisson(rates, seed), 2, 5, np.zeros((5, 2)))
        kept.append(frames[60, 60] < 0.7 * frames.max())
    assert np.mean(kept) > 0.6


def test_what_changes_for_good_is_summed_up_to_the_change():
    clean = np.full((120, 120), 3.0)
    event = clean * column(120, 0.75, 7.0)
    movie = poisson([clean, clean, clean, event, event])
    counts, frames = aligned_sum(movie, 2, 5, np.zeros((5, 2)))
    assert frames[60, 60] == pytest.approx(3, abs=0.1)
    assert frames[20, 20] == pytest.approx(5, abs=0.2)
    assert counts[60, 60] == movie[:3, 60, 60].sum()


@pytest.mark.parametrize("dose", [0.16, 0.45, 3.0])
def test_two_scenes_do_not_mix(dose):
    first = scene(192, 192, dose=dose, particle=False)
    second = scene(192, 192, (8.5, 8.5), dose=dose, particle=False)  # columns between columns
    movie = poisson([first, first, first, second, second])
    _, frames = aligned_sum(movie, 2, 5, np.zeros((5, 2)))
    assert np.mean(frames < 3.3) > 0.98
    _, frames = aligned_sum(movie, 3, 5, np.zeros((5, 2)))
    assert np.mean(frames < 2.3) > 0.98


def test_half_of_the_scene_moves():
    still = scene(192, 400, dose=0.45, particle=False)
    moved = still.copy()
    moved[:, 200:] = scene(192, 400, (8.5, 8.5), dose=0.45, particle=False)[:, 200:]
    movie = poisson([still, still, moved])
    _, frames = aligned_sum(movie, 1, 3, np.zeros((3, 2)))
    assert np.mean(frames[:, :110] > 2.8) > 0.95
    assert np.mean(frames[:, 290:] < 2.2) > 0.95


def test_half_a_pixel_of_misalignment_is_no_change():
    clean = np.array([scene(192, 192, (0, 0.5 * k), dose=0.45) for k in range(3)])
    _, frames = aligned_sum(poisson(clean), 1, 3, np.zeros((3, 2)))
    assert np.mean(frames > 2.8) > 0.97


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (37, 21)])
def test_any_size(shape):
    movie = poisson(np.full((3, *shape), 2.0))
    movie[:, 0, 0] += [1, 2, 3]
    assert estimate_drift(movie).shape == (3, 2)
    counts, frames = aligned_sum(movie, 1, 3, np.zeros((3, 2)))
    assert counts.shape == frames.shape == shape
    assert (frames >= 1).all()
