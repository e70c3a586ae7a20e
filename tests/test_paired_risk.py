"""Methods compared without a clean image, against the truth of drawn counts."""

import numpy as np
import pytest
from conftest import lattice_images
from sklearn.base import clone

from temdenoise import ImageStack, LowPassDenoiser, WienerDenoiser
from temdenoise.metrics import paired_risk

COLUMNS = ["risk", "risk_se", "difference", "difference_se", "z"]


def draw(clean, seed):
    return np.random.default_rng(seed).poisson(clean).astype(np.float32)


def cutoffs(counts, *values):
    return {value: LowPassDenoiser(cutoff=value).fit(counts) for value in values}


@pytest.mark.parametrize(("n_draws", "n_images"), [(1, 1), (10, 1), (4, 24)])
def test_standard_error_is_that_of_the_scatter(n_draws, n_images):
    """From shot noise, with draws that depend on each other, and from the spread over frames."""
    clean = lattice_images(n_images, 64, 64, level=0.45, contrast=0.9)
    found, errors, truths = [], [], []
    for seed in range(25):
        counts = draw(clean, seed)
        true = {}

        def watched(value, denoiser, true=true):
            def denoise(X):
                rate = denoiser.transform(X) / 0.9
                true.setdefault(value, []).append(np.mean((rate - clean) ** 2))
                return rate * 0.9

            return denoise

        methods = {v: watched(v, d) for v, d in cutoffs(counts, 0.05, 0.1).items()}
        row = paired_risk(methods, counts, n_draws=n_draws, random_state=seed).loc[0.1]
        found.append(row["difference"])
        errors.append(row["difference_se"])
        truths.append(np.mean(true[0.1]) - np.mean(true[0.05]))
    z = (np.array(found) - truths) / errors
    assert abs(z.mean()) < 3 / np.sqrt(len(z))
    assert 0.6 < np.sqrt(np.mean(z**2)) < 1.4
    assert row["difference_se"] < row["risk_se"] / 2


def test_no_method_is_better_by_chance_more_often_than_one_in_twenty():
    """Two estimates, one as far above the truth as the other is below."""
    clean = np.full((2, 64, 64), 0.8)
    methods = [lambda X: np.full_like(X, 0.81 * 0.9), lambda X: np.full_like(X, 0.79 * 0.9)]
    z = np.array(
        [
            paired_risk(methods, draw(clean, seed), n_draws=1, binning=1, random_state=seed).loc[
                1, "z"
            ]
            for seed in range(300)
        ]
    )
    for passed in (z < -1.645, z > 1.645):
        assert 0.015 < passed.mean() < 0.09


def test_table_and_truth():
    clean = lattice_images(8, 128, 128, level=4.0, contrast=0.9, period=36.0)
    counts = ImageStack(draw(clean, 0), 6.22)
    table = paired_risk(cutoffs(counts, 0.1, 0.3, 0.04), counts, n_draws=3)
    assert table.columns.tolist() == COLUMNS
    assert table.index.tolist() == [0.1, 0.3, 0.04]
    assert table.loc[0.1, "difference"] == 0 and np.isnan(table.loc[0.1, "z"])
    np.testing.assert_allclose(table["risk"] - table["risk"][0.1], table["difference"])
    for value, denoiser in cutoffs(counts, 0.1, 0.3, 0.04).items():
        rate = denoiser.transform(draw(clean * 0.9, 1)) / 0.9
        truth = np.mean((rate - clean) ** 2)
        assert table["risk"][value] == pytest.approx(truth, abs=4 * table["risk_se"][value])
        assert table["risk_se"][value] < 0.3 * truth
    again = paired_risk(cutoffs(counts, 0.1, 0.3, 0.04), counts, n_draws=3)
    assert table.equals(again)
    other = paired_risk(cutoffs(counts, 0.1, 0.3, 0.04), counts, n_draws=3, random_state=1)
    assert not table.equals(other)
    # bins hold the scatter down
    pixels = paired_risk(cutoffs(counts, 0.1, 0.3), counts, n_draws=3, binning=1)
    assert pixels["risk_se"][0.1] > 2 * table["risk_se"][0.1]
    np.testing.assert_allclose(pixels["difference"], table["difference"][:2])


def test_bins_see_noise_that_is_finer_than_they():
    clean = np.full((4, 120, 120), 2.0)
    counts = draw(clean, 0)
    table = paired_risk({"as they are": lambda X: X}, counts, binning=5)
    # The counts left, as they are: the error is their variance.
    assert table["risk"].iloc[0] == pytest.approx(2 / 0.9, rel=0.05)


def test_masked_pixels_do_not_count_and_may_hold_anything():
    clean = lattice_images(2, 60, 60, level=2.0)
    counts = draw(clean, 0)
    mask = np.zeros((60, 60), dtype=bool)
    mask[:20] = True
    spoilt = np.where(mask, np.nan, counts)
    methods = {"Wiener": WienerDenoiser(), **cutoffs(counts, 0.1)}
    methods["Wiener"].fit(counts)
    table = paired_risk(methods, spoilt, mask=mask, binning=5)
    truth = np.mean((methods[0.1].transform(counts, mask=mask) - clean)[:, 20:] ** 2)
    assert table["risk"][0.1] == pytest.approx(truth, abs=4 * table["risk_se"][0.1])

    def label(X):
        """Of no use at all under the mask."""
        return np.where(mask, 1e6, methods[0.1].transform(X, mask=mask))

    same = paired_risk([methods[0.1], label], spoilt, mask=mask, binning=1)
    assert same["difference"].tolist() == [0, 0] and np.isnan(same.loc[1, "z"])
    with pytest.raises(ValueError, match="mask hides every pixel"):
        paired_risk(methods, counts, mask=np.ones((60, 60), dtype=bool))


def test_the_pixel_size_goes_to_methods_that_take_it():
    counts = ImageStack(draw(lattice_images(1, 40, 40), 0), 6.22)
    seen = []

    def takes(X, *, pixel_size):
        seen.append((pixel_size, X.pixel_size))
        return X

    paired_risk([takes, lambda X: X], counts, n_draws=1)
    paired_risk([takes], np.asarray(counts), n_draws=1, pixel_size=5.0)
    assert seen == [(6.22, 6.22), (5.0, 5.0)]


def test_a_method_that_learns_sees_nothing_of_what_is_held_out():
    counts = draw(np.full((2, 30, 30), 2.0), 0)
    left = []

    def learns(X):
        left.append(X.copy())
        return clone(LowPassDenoiser()).fit_transform(X)

    paired_risk([learns], counts, share=0.25, n_draws=4)
    held_out = counts - np.array(left)
    np.testing.assert_array_equal(held_out.sum(axis=0), counts)  # each electron once
    np.testing.assert_allclose(held_out.mean(axis=(1, 2, 3)), 0.5, atol=0.1)


def test_bad_input():
    counts = draw(np.ones((2, 16, 16)), 0)
    good = LowPassDenoiser().fit(counts)
    for keywords, message in [
        ({"share": 1.0}, "share must be"),
        ({"n_draws": 0}, "n_draws must be"),
        ({"share": 0.3, "n_draws": 4}, "n_draws <= 3"),
        ({"binning": 17}, "binning must be"),
        ({"binning": "all"}, "binning must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            paired_risk([good], counts, **keywords)
    with pytest.raises(ValueError, match="whole numbers"):
        paired_risk([good], counts + 0.5)
    with pytest.raises(ValueError, match="at least one method"):
        paired_risk({}, counts)
    with pytest.raises(TypeError, match="dict of names"):
        paired_risk(good, counts)
    with pytest.raises(TypeError, match="'b' must be a fitted denoiser"):
        paired_risk({"a": good, "b": LowPassDenoiser}, counts)
    with pytest.raises(ValueError, match="must return real images"):
        paired_risk([lambda X: X[0]], counts)
    with pytest.raises(ValueError, match="NaN or infinity"):
        paired_risk([lambda X: X * np.nan], counts)
