"""Likelihood maps against Poisson's formula, pixel by pixel."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation
from scipy.stats import poisson

from temdenoise import LowPassDenoiser, find_atoms, thin_counts
from temdenoise.atoms import split_surface_bulk
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.inspection import likelihood_map
from temdenoise.plotting import LikelihoodMapDisplay

LEVEL = 0.45
ATOMS = np.array([[40.0, 60.0], [75.5, 60.0], [40.0, 100.25]])


def columns(atoms, shape=(180, 220), height=0.4):
    """Rate of Gaussian columns of 8 px on vacuum."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, LEVEL)
    for ax, ay in atoms:
        image += height * np.exp(-((x - ax) ** 2 + (y - ay) ** 2) / (2 * 8**2))
    return image


@pytest.fixture(scope="module")
def clean():
    return columns(ATOMS)


@pytest.fixture(scope="module")
def counts(clean):
    return np.random.default_rng(0).poisson(clean)


def disk(shape, x, y, radius):
    rows, cols = np.indices(shape)
    return (cols - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_table_against_the_formula(counts, clean):
    radius = 9.0
    result = likelihood_map(counts, clean, atoms=ATOMS, radius=radius)
    vacuum = np.ones(counts.shape, dtype=bool)
    for x, y in ATOMS:
        # the distance to a disk's pixels, not to its rim
        vacuum &= ~binary_dilation(disk(counts.shape, x, y, radius), disk((51, 51), 25, 25, 25))
    assert result.vacuum_level == pytest.approx(counts[vacuum].mean())
    np.testing.assert_array_equal(result.regions == -1, vacuum)
    for k, (x, y) in enumerate(ATOMS):
        inside = disk(counts.shape, x, y, radius)
        row = result.atoms.iloc[k]
        rate = clean[inside].mean()
        with_atom = poisson.logpmf(counts[inside], rate).sum()
        without = poisson.logpmf(counts[inside], result.vacuum_level).sum()
        assert row[["x", "y", "radius"]].tolist() == [x, y, radius]
        assert row["n_pixels"] == inside.sum()
        assert row["counts"] == counts[inside].sum()
        assert row["rate"] == pytest.approx(rate)
        assert row["log_likelihood_atom"] == pytest.approx(with_atom)
        assert row["log_likelihood_vacuum"] == pytest.approx(without)
        assert row["log_ratio"] == pytest.approx(with_atom - without)
        np.testing.assert_array_equal(result.regions == k + 1, inside)
        np.testing.assert_allclose(
            result.map[inside], (with_atom - without) / inside.sum(), rtol=1e-5
        )
    assert np.isnan(result.map[result.regions == 0]).all()


def test_vacuum_in_the_map(counts, clean):
    result = likelihood_map(counts, clean, atoms=ATOMS)
    inside = result.regions > 0
    vacuum = result.regions == -1
    as_atom = poisson.logpmf(counts[vacuum], clean[inside].mean()).mean()
    as_vacuum = poisson.logpmf(counts[vacuum], counts[vacuum].mean()).mean()
    assert result.vacuum_log_ratio_per_pixel == pytest.approx(as_atom - as_vacuum)
    assert result.vacuum_log_ratio_per_pixel < 0
    np.testing.assert_allclose(result.map[vacuum], as_atom - as_vacuum, rtol=1e-5)


def test_flags_a_phantom(counts):
    # the denoiser drew a fourth column that no electron supports
    phantom = (150.0, 60.0)
    denoised = columns([*ATOMS, phantom])
    result = likelihood_map(counts, denoised)
    assert len(result.atoms) == 4
    at_phantom = np.hypot(result.atoms["x"] - 150, result.atoms["y"] - 60) < 2
    assert at_phantom.sum() == 1
    assert (result.atoms["log_ratio"][at_phantom] < 0).all()
    assert (result.atoms["log_ratio"][~at_phantom] > 5).all()


def test_radius(counts, clean):
    table = pd.DataFrame({"x": [40.0, 75.5], "y": [60.0, 60.0], "radius": [5.0, 7.0]}, index=[8, 3])
    result = likelihood_map(counts, clean, atoms=table, radius=table["radius"])
    assert result.atoms["radius"].tolist() == [5.0, 7.0]
    assert result.atoms.index.tolist() == [8, 3]
    assert "n_pixels" not in table.columns
    assert likelihood_map(counts, clean, atoms=table, radius=4).atoms["radius"].tolist() == [4, 4]
    # the paper's, whatever the scale at which atoms were found
    assert likelihood_map(counts, clean, atoms=table).atoms["radius"].tolist() == [11.3, 11.3]
    finer = likelihood_map(counts, clean, atoms=ATOMS, pixel_size=5.0).atoms["radius"]
    np.testing.assert_allclose(finer, 70.4 / 5)


def test_overlapping_disks_share_no_pixel(counts, clean):
    atoms = [(60.0, 50.0), (70.0, 50.0)]
    result = likelihood_map(counts, clean, atoms=atoms, radius=[6.0, 12.0])
    first, second = (result.regions == k for k in (1, 2))
    both = disk(counts.shape, 60, 50, 6) | disk(counts.shape, 70, 50, 12)
    np.testing.assert_array_equal(first | second, both)
    assert result.atoms["n_pixels"].tolist() == [first.sum(), second.sum()]
    # deeper in the small disk: 1 px of 6 against 9 of 12, but not where 5 of 6 meets 5 of 12
    assert first[50, 61]
    assert second[50, 65]


def test_border_outside_and_on_top(counts, clean):
    atoms = [(0, 0), (-40, 20), (75.5, 60), (75.5, 60)]
    table = likelihood_map(counts, clean, atoms=atoms, radius=5).atoms
    quarter, whole = (disk(counts.shape, x, y, 5).sum() for x, y in ((0, 0), (75.5, 60)))
    assert quarter < whole / 2
    assert table["n_pixels"].tolist() == [quarter, 0, whole, 0]
    values = table[["rate", "log_likelihood_atom", "log_ratio", "log_ratio_per_pixel"]]
    assert values.isna().all(axis=1).tolist() == [False, True, False, True]
    assert table["log_likelihood_vacuum"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize("n_atoms", [0, 1, 2, 3])
def test_few_or_collinear_atoms(counts, n_atoms):
    atoms = [(50.0 + 40 * k, 60.0) for k in range(n_atoms)]
    denoised = columns(atoms) if atoms else np.full(counts.shape, LEVEL)
    result = likelihood_map(counts, denoised)
    assert len(result.atoms) == n_atoms
    assert result.atoms.columns.tolist() == [
        "x", "y", "radius", "n_pixels", "counts", "rate", "log_likelihood_atom",
        "log_likelihood_vacuum", "log_ratio", "log_ratio_per_pixel",
    ]  # fmt: skip
    surface, bulk = split_surface_bulk(result.atoms)
    assert (len(surface), len(bulk)) == (n_atoms, 0)
    if not n_atoms:
        assert result.vacuum_level == counts.mean()
        assert (result.regions == -1).all()
        assert np.isnan(result.map).all()
        assert np.isnan(result.vacuum_log_ratio_per_pixel)


def test_vacuum_given(counts, clean):
    chosen = np.zeros(counts.shape, dtype=bool)
    chosen[:20] = True
    by_mask = likelihood_map(counts, clean, atoms=ATOMS, vacuum=chosen)
    assert by_mask.vacuum_level == counts[:20].mean()
    np.testing.assert_array_equal(by_mask.regions == -1, chosen)
    by_level = likelihood_map(counts, clean, atoms=ATOMS, vacuum=0.5)
    assert by_level.vacuum_level == 0.5
    # a level serves where there is no vacuum in sight
    crop = np.s_[50:80, 30:60]
    with pytest.raises(ValueError, match="No pixel .* far enough .* as vacuum"):
        likelihood_map(counts[crop], clean[crop], atoms=[(10, 10)])
    found = likelihood_map(counts[crop], clean[crop], atoms=[(10, 10)], vacuum=LEVEL)
    assert found.atoms["log_ratio"].notna().all()
    assert np.isnan(found.vacuum_log_ratio_per_pixel)


@pytest.mark.parametrize(
    ("vacuum", "message"),
    [
        (np.zeros((180, 220), dtype=bool), "marks no pixel"),
        (np.ones((180, 220)), "bool array"),
        (np.ones((3, 3), dtype=bool), "bool array of the shape"),
        (0.0, "positive level"),
        (np.nan, "positive level"),
        (True, "bool array"),
    ],
)
def test_bad_vacuum(counts, clean, vacuum, message):
    with pytest.raises(ValueError, match=message):
        likelihood_map(counts, clean, atoms=ATOMS, vacuum=vacuum)


def test_vacuum_without_an_electron(clean):
    with pytest.raises(ValueError, match="hold no electron"):
        likelihood_map(np.zeros(clean.shape), clean, atoms=ATOMS)
    # with a level the answer is that of the formula: no electron on 81 pixels
    table = likelihood_map(
        np.zeros(clean.shape), clean, atoms=ATOMS[:1], vacuum=LEVEL, radius=5
    ).atoms
    assert table["log_likelihood_vacuum"].item() == pytest.approx(-81 * LEVEL)


def test_rate_of_zero_is_impossible_with_electrons(counts):
    denoised = columns(ATOMS)
    denoised[disk(denoised.shape, 150, 60, 9)] = 0
    table = likelihood_map(counts, denoised, atoms=[(150, 60)], radius=8).atoms
    assert table["rate"].item() == 0
    assert table["log_ratio"].item() == -np.inf
    with pytest.raises(ValueError, match="disk of atom 1 .*cannot be negative"):
        likelihood_map(counts, denoised - 0.1, atoms=[(40, 60), (150, 60)], radius=8)


def test_mask_hides(counts, clean):
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:, 150:] = True
    mask[55:60, 30:50] = True
    spoiled, blank = counts.astype(float), clean.copy()
    spoiled[mask], blank[mask] = np.nan, np.nan
    result = likelihood_map(spoiled, blank, atoms=ATOMS, radius=9, mask=mask)
    inside = disk(counts.shape, 40, 60, 9) & ~mask
    assert (result.regions[mask] == 0).all()
    assert result.atoms["n_pixels"][0] == inside.sum()
    assert result.atoms["counts"][0] == counts[inside].sum()
    assert result.vacuum_level == pytest.approx(counts[result.regions == -1].mean())
    found = likelihood_map(spoiled, blank, mask=mask)  # finds the atoms under the mask's shadow
    assert (found.atoms["x"] < 150).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d: (n[:-1], d), "same shape"),
        (lambda n, d: (n[None], d[None]), "noisy must be one image.*of a stack one by one"),
        (lambda n, d: (n - 1, d), "noisy holds negative"),
        (lambda n, d: (n + 0.5, d), "not whole numbers"),
        (lambda n, d: (n * 0.37, d), "raw electron counts"),
        (lambda n, d: (n, np.where(np.eye(*d.shape), np.nan, d)), "denoised holds 180 pixels"),
        (lambda n, d: (np.where(np.eye(*n.shape), np.inf, n), d), "noisy holds 180 pixels"),
        (lambda n, d: (n[:0], d[:0]), "with pixels"),
    ],
)
def test_bad_images(counts, clean, change, message):
    with pytest.raises(ValueError, match=message):
        likelihood_map(*change(counts, clean))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"radius": -1}, ValueError, "radius .* positive"),
        ({"radius": "wide"}, TypeError, "radius"),
        ({"atoms": [(1, np.nan)]}, ValueError, "NaN"),
        ({"atoms": ATOMS, "radius": [1, 2, np.nan]}, ValueError, "radius .* positive"),
        ({"atoms": ATOMS, "radius": [1, 2]}, ValueError, "each of the 3 atoms"),
        ({"pixel_size": 0}, ValueError, "pixel_size"),
        ({"mask": np.ones((180, 220))}, ValueError, "mask must be of dtype bool"),
    ],
)
def test_bad_options(counts, clean, options, error, message):
    with pytest.raises(error, match=message):
        likelihood_map(counts, clean, **options)


def test_an_absurd_pixel_size_is_questioned_once(counts, clean):
    with pytest.warns(UserWarning, match="Is pixel_size in pm") as caught:
        likelihood_map(counts, clean, pixel_size=622.0, radius=5, vacuum=LEVEL)
    assert [warning.filename for warning in caught] == [__file__]


def test_masked_arrays_are_refused(counts, clean):
    with pytest.raises(ValueError, match="noisy is a masked array .* mask="):
        likelihood_map(np.ma.masked_greater(counts, 1), clean)
    with pytest.raises(ValueError, match="denoised is a masked array"):
        likelihood_map(counts, np.ma.masked_greater(clean, 0.5))
    blur = LowPassDenoiser(cutoff=0.02).fit(counts[np.newaxis])
    hidden = np.ma.masked_greater(counts, 1)[np.newaxis]
    with pytest.raises(ValueError, match="X is a masked array"):
        LikelihoodMapDisplay.from_estimator(blur, hidden, mask=counts > 1)


def test_complex_images_are_refused(counts, clean):
    with pytest.raises(TypeError, match="real numbers"):
        likelihood_map(counts.astype(complex), clean)


def test_display(counts):
    blur = LowPassDenoiser(cutoff=0.02).fit(counts[np.newaxis])
    stack = np.stack([counts, counts[::-1]])
    display = LikelihoodMapDisplay.from_estimator(blur, stack, image=1, atoms=ATOMS, pixel_size=5.0)
    expected = likelihood_map(
        counts[::-1], blur.transform(stack[1:])[0], atoms=ATOMS, pixel_size=5.0
    )
    grey, coloured = display.ax_.images
    np.testing.assert_array_equal(grey.get_array(), blur.transform(stack[1:])[0])
    np.testing.assert_array_equal(coloured.get_array().filled(np.nan), expected.map)
    assert coloured.get_clim() == pytest.approx(
        (-np.nanmax(np.abs(expected.map)), np.nanmax(np.abs(expected.map)))
    )
    # the centre of pixel (0, 0) is the origin, in nm
    assert grey.get_extent() == pytest.approx([-0.0025, 1.0975, 0.8975, -0.0025])


@pytest.mark.parametrize("split", [None, "thinning"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": 2}, IndexError, "image must be from 0 to 1"),
        ({"image": -1}, IndexError, "image must be from 0 to 1"),
        ({"image": "a"}, TypeError, "image must be an integer"),
        ({"image": None}, TypeError, "image must be an integer"),
        ({"image": 0.5}, TypeError, "image must be an integer"),
        ({"image": False}, TypeError, "image must be an integer"),
        ({"mask": np.zeros((3, 3), dtype=bool)}, ValueError, r"mask has shape \(3, 3\)"),
    ],
)
def test_display_names_what_is_wrong(counts, split, options, error, message):
    blur = LowPassDenoiser(cutoff=0.02).fit(counts[np.newaxis])
    with pytest.raises(error, match=message):
        LikelihoodMapDisplay.from_estimator(blur, np.stack([counts] * 2), split=split, **options)
    with pytest.raises(ValueError, match="2D array"):
        LikelihoodMapDisplay.from_estimator(blur, counts, split=split, mask=counts > 5)


@pytest.mark.parametrize("split", [None, "thinning"])
def test_display_hides_masked_pixels_from_the_denoiser(counts, split):
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:, 150:] = True
    spoiled = np.where(mask, np.nan, counts)[np.newaxis]
    blur = LowPassDenoiser(cutoff=0.03).fit(counts[np.newaxis])
    options = {"mask": mask, "random_state": 0, "vacuum": LEVEL}
    display = LikelihoodMapDisplay.from_estimator(blur, spoiled, split=split, **options)
    assert (display.result.regions[mask] == 0).all()
    if split is None:
        expected = blur.transform(np.where(mask, 0, spoiled), mask=mask)[0]
        np.testing.assert_array_equal(display.denoised, expected)


def test_display_without_atoms(counts):
    display = LikelihoodMapDisplay.from_predictions(counts, np.full(counts.shape, LEVEL))
    assert display.result.atoms.empty
    display.figure_.canvas.draw()
    assert display.ax_.get_xlabel() == "x (px)"


def test_regions_of_one_half_tested_on_the_other(counts):
    blur = LowPassDenoiser(cutoff=0.5, unit="1/angstrom").fit(counts[np.newaxis])
    options = {"pixel_size": 6.22, "split": "thinning", "random_state": 4}
    result = likelihood_map(counts, blur, **options)
    first, second = thin_counts(counts, random_state=4)
    denoised = blur.transform(first[np.newaxis], pixel_size=6.22)[0]
    expected = likelihood_map(second, denoised, pixel_size=6.22)
    pd.testing.assert_frame_equal(result.atoms, expected.atoms)
    np.testing.assert_array_equal(result.regions, expected.regions)
    np.testing.assert_array_equal(result.map, expected.map)
    np.testing.assert_array_equal(result.denoised, denoised)
    # the level given is that of the whole frame
    given = likelihood_map(counts, blur, vacuum=0.5, **options)
    assert given.vacuum_level == 0.25
    # what the method is told goes before
    coarse = likelihood_map(counts, blur, transform_params={"pixel_size": 12.0}, **options)
    assert not np.array_equal(coarse.denoised, denoised)
    known = ImageStack(counts[None], 6.22)
    display = LikelihoodMapDisplay.from_estimator(blur, known, **options)
    pd.testing.assert_frame_equal(display.result.atoms, expected.atoms)
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), denoised)


def test_splitting_makes_the_ratio_honest():
    # atoms "found" in pure noise: chosen on the counts that are tested they look real; on others
    # exp(ratio) has the mean one (that of a likelihood ratio where there is nothing)
    shape = (360, 360)
    blur = LowPassDenoiser(cutoff=0.02).fit(np.ones((1, *shape)))
    biased, honest = [], []
    for seed in range(4):
        noise = np.random.default_rng(seed).poisson(np.full(shape, LEVEL))
        options = {"vacuum": LEVEL, "pixel_size": 6.22}
        sites = find_atoms(blur.transform(noise[np.newaxis])[0], threshold=0.02, pixel_size=6.22)
        denoised = blur.transform(noise[np.newaxis])[0]
        biased.append(likelihood_map(noise, denoised, atoms=sites, **options).atoms["log_ratio"])
        half = blur.transform(thin_counts(noise, random_state=seed)[0][np.newaxis])[0]
        sites = find_atoms(half, threshold=0.02, pixel_size=6.22)
        split = {"split": "thinning", "random_state": seed}
        split["transform_params"] = {"pixel_size": None}
        result = likelihood_map(noise, blur, atoms=sites, **split, **options)
        honest.append(result.atoms["log_ratio"])
    biased, honest = np.concatenate(biased), np.concatenate(honest)
    assert min(len(biased), len(honest)) > 100
    assert np.exp(biased).mean() > 2
    error = np.exp(honest).std() / np.sqrt(len(honest))
    assert np.exp(honest).mean() == pytest.approx(1, abs=4 * error)


def test_split_hides_masked_pixels_from_the_denoiser(counts):
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:, 150:] = True
    spoiled = np.where(mask, np.nan, counts)
    blur = LowPassDenoiser(cutoff=0.03).fit(counts[np.newaxis])
    result = likelihood_map(spoiled, blur, mask=mask, split="thinning", random_state=0)
    assert (result.regions[mask] == 0).all()
    assert np.isfinite(result.denoised).all()


def test_bad_split(counts, clean):
    blur = LowPassDenoiser().fit(counts[np.newaxis])
    with pytest.raises(ValueError, match='split must be None or "thinning"'):
        likelihood_map(counts, blur, split="frames")
    with pytest.raises(TypeError, match="transform"):
        likelihood_map(counts, clean, split="thinning")
    with pytest.raises(TypeError, match='split="thinning"'):
        likelihood_map(counts, blur)
    with pytest.raises(ValueError, match="whole numbers"):
        likelihood_map(counts * 0.5, blur, split="thinning")
    with pytest.raises(ValueError, match=r"mask has shape \(3, 3\)"):
        likelihood_map(counts, blur, split="thinning", mask=np.zeros((3, 3), dtype=bool))


def test_images_that_know_their_pixel_size(counts, clean):
    expected = likelihood_map(counts, clean, pixel_size=7.0)
    known = ImageStack(clean, pixel_size=7.0)
    for images in ((ImageStack(counts, 7.0), clean), (counts, known)):
        result = likelihood_map(*images)
        np.testing.assert_array_equal(result.map, expected.map)
        assert type(result.map) is np.ndarray
        display = LikelihoodMapDisplay.from_predictions(*images)
        assert display.ax_.get_xlabel() == "x (nm)"
    with pytest.warns(PixelSizeWarning, match="pixel_size=6 pm") as caught:
        likelihood_map(counts, known, pixel_size=6.0)
    assert [warning.filename for warning in caught] == [__file__]

    class Recorder:
        def transform(self, X, pixel_size=None):
            self.pixel_size = pixel_size
            return np.broadcast_to(clean, np.shape(X))

    denoiser = Recorder()
    stack = ImageStack(counts[np.newaxis], pixel_size=7.0)
    display = LikelihoodMapDisplay.from_estimator(denoiser, stack)
    assert denoiser.pixel_size == display.pixel_size == 7.0
    np.testing.assert_array_equal(display.result.map, expected.map)
    split = {"split": "thinning", "random_state": 0}
    half = likelihood_map(stack[0], denoiser, **split)
    same = likelihood_map(counts, denoiser, pixel_size=7.0, **split)
    np.testing.assert_array_equal(half.map, same.map)
