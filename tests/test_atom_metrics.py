"""Scores of atoms against counted examples and scikit-learn's."""

import json
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from sklearn.model_selection import GridSearchCV, cross_validate

from temdenoise import LowPassDenoiser, find_atoms, make_ptceo2, psnr
from temdenoise.atoms import column_polarity
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.metrics import (
    atom_f1,
    atom_f1_scorer,
    atom_jaccard,
    atom_jaccard_scorer,
    atom_precision,
    atom_precision_scorer,
    atom_recall,
    atom_recall_scorer,
    atom_scores,
    make_denoising_scorer,
    make_multimetric_scorer,
)

METRICS = {
    atom_precision: precision_score,
    atom_recall: recall_score,
    atom_f1: f1_score,
    atom_jaccard: jaccard_score,
}


def render(points, *, height=0.2, sigma=8.0, shape=(260, 300), level=0.45):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, level)
    for x, y in points:
        image += height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return image


def lattice(n_rows=5, n_columns=6, spacing=44.0, start=40.0):
    y, x = np.mgrid[:n_rows, :n_columns].reshape(2, -1) * spacing + start
    return np.column_stack([x, y])


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(metric, seed):
    rng = np.random.default_rng(seed)
    sites = lattice(12, 12)
    true, found = rng.random((2, len(sites))) < [[0.7], [0.6]]
    moved = sites[found] + rng.uniform(-5, 5, (found.sum(), 2))
    value = metric(sites[true], rng.permutation(moved))
    assert isinstance(value, float)
    assert value == pytest.approx(METRICS[metric](true, found))


def test_words_decide_over_the_equations():
    # Three found of four: all of them right. Swapped denominators would give 0.75 and 1.
    clean = lattice(1, 4)
    assert atom_precision(clean, clean[:3]) == 1
    assert atom_recall(clean, clean[:3]) == 0.75


def test_regions():
    clean = lattice(5, 5)
    inner = np.flatnonzero((clean == 128).all(axis=1))
    phantom = [[260.0, 128.0]]  # next to the middle of the right side
    denoised = np.vstack([np.delete(clean, inner, axis=0), phantom])
    scores = atom_scores([clean], [denoised], alpha=45).set_index("region")
    assert scores.loc["all", ["n_clean", "n_denoised", "n_matched"]].tolist() == [25, 25, 24]
    # the hole is bridged: its neighbours stay bulk; the phantom covers one surface atom
    assert scores.loc["bulk", ["n_clean", "n_denoised", "n_matched"]].tolist() == [9, 9, 8]
    assert scores.loc["surface", ["n_clean", "n_denoised", "n_matched"]].tolist() == [16, 16, 15]
    for name, metric in zip(["precision", "recall", "f1", "jaccard"], METRICS, strict=True):
        for region in ("all", "surface", "bulk"):
            value = metric(clean, denoised, region=region, alpha=45)
            assert value == scores.loc[region, name]
    assert scores.loc["surface", "jaccard"] == 15 / 17


def test_distance_alpha_and_interface_reach_their_places():
    clean = lattice(4, 4)
    assert atom_f1(clean, clean + [8.0, 0.0]) == 1
    assert atom_f1(clean, clean + [8.0, 0.0], max_distance=7) == 0
    assert atom_f1(clean, clean + [8.0, 0.0], pixel_size=7.7) == 1  # 62.2 pm are 8.08 px
    assert atom_f1(clean, clean + [8.0, 0.0], pixel_size=7.9) == 0  # 7.87 px
    numbers = atom_scores([clean], [clean], alpha=20, zero_division=0)["n_clean"]
    assert numbers.tolist() == [16, 16, 0]  # triangles of radius 31.1: none is left
    numbers = atom_scores([clean], [clean], interface=100)["n_clean"]
    assert numbers.tolist() == [16, 8, 8]


def test_nearest_counts_shared_partners():
    clean, denoised = [(20.0, 20.0), (100.0, 20.0)], [(16.0, 20.0), (24.0, 20.0)]
    assert atom_precision(clean, denoised) == 0.5
    assert atom_precision(clean, denoised, assignment="nearest") == 1.0
    assert atom_recall(clean, denoised, assignment="nearest") == 0.5
    assert atom_f1(clean, denoised, assignment="nearest") == pytest.approx(2 / 3)
    assert atom_jaccard(clean, denoised, assignment="nearest") == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("metric", "clean", "denoised"),
    [
        (atom_precision, [(1, 1)], []),
        (atom_recall, [], [(1, 1)]),
        (atom_f1, [], []),
        (atom_jaccard, [], []),
    ],
)
def test_zero_division(metric, clean, denoised):
    with pytest.warns(UndefinedMetricWarning, match="ill-defined and set to 0"):
        assert metric(clean, denoised) == 0
    assert metric(clean, denoised, zero_division=0) == 0
    assert metric(clean, denoised, zero_division=1) == 1
    assert np.isnan(metric(clean, denoised, zero_division=np.nan))
    with pytest.raises(ValueError, match="zero_division"):
        metric(clean, denoised, zero_division=0.5)


@pytest.mark.parametrize("metric", [*METRICS, atom_scores])
@pytest.mark.parametrize("several", [False, True])
def test_the_warning_points_at_the_caller(metric, several):
    empty = [np.empty((0, 2))] * 2 if several else []
    with pytest.warns(UndefinedMetricWarning) as caught:
        metric(empty, empty)
    assert {warning.filename for warning in caught} == {__file__}


def test_one_empty_list_is_a_plain_zero():
    assert atom_recall([(1, 1)], []) == 0
    assert atom_precision([], [(1, 1)]) == 0
    for metric in (atom_f1, atom_jaccard):
        assert metric([(1, 1)], []) == metric([], [(1, 1)]) == 0
        assert metric([(1, 1)], [(500, 500)]) == 0


def test_several_images_in_all_forms():
    sites = lattice(3, 3)
    clean = [pd.DataFrame(sites, columns=["x", "y"]), pd.DataFrame(sites, columns=["x", "y"])]
    denoised = [sites[:6], sites]
    np.testing.assert_allclose(atom_recall(clean, denoised), [2 / 3, 1])
    np.testing.assert_allclose(atom_recall(clean, np.stack([sites, sites])), [1, 1])
    image = render(sites[:6], shape=(180, 180))
    # true atoms against an image, and images against images
    assert atom_recall(clean[0], image) == pytest.approx(2 / 3)
    stack = np.stack([image, render(sites, shape=(180, 180))])
    np.testing.assert_allclose(atom_recall(clean, stack), [2 / 3, 1])
    np.testing.assert_allclose(atom_precision(stack[::-1], stack), [1, 2 / 3])


def test_lists_of_several_images_differ_in_length():
    clean, denoised = [[(1, 2), (30, 40)], []], [[(1, 2)], []]
    np.testing.assert_array_equal(atom_recall(clean, denoised, zero_division=1), [0.5, 1])
    assert atom_f1([[]], [[]], zero_division=1).tolist() == [1]
    tables = [pd.DataFrame({"x": [1, 30], "y": [2, 40]}), np.empty((0, 2))]
    np.testing.assert_array_equal(atom_recall(tables, denoised, zero_division=1), [0.5, 1])
    with pytest.raises(ValueError, match="denoised holds positions or rows of different lengths"):
        atom_f1(clean, [[(1, 2), (3,)], []])


@pytest.mark.parametrize("several", [False, True])
def test_a_table_without_names_is_no_image(several):
    atoms = np.ones((12, 5))
    table = [(1.0, 2.0)]
    clean, denoised = ([table], [atoms]) if several else (table, atoms)
    with pytest.raises(ValueError, match=r"denoised .* \(12, 5\): too narrow .* columns x and y"):
        atom_f1(clean, denoised)
    with pytest.raises(ValueError, match="clean .* too narrow"):
        atom_scores(atoms[np.newaxis], atoms[np.newaxis])


# --- images ---------------------------------------------------------------------------------------


def test_polarity_is_that_of_the_clean_image():
    sites = lattice()
    clean = render(sites, height=-0.2)
    assert atom_f1(clean, clean) == 1
    # Bright artefacts outweigh the dark columns of the denoised image, but are no columns.
    artefacts = [(18.0 + 44 * k, 62.0) for k in range(7)]
    denoised = clean + render(artefacts, height=0.6, level=0.0)
    assert column_polarity(denoised) == "bright"
    assert atom_recall(sites, denoised) == 0  # without a clean image there is nothing else to go by
    assert atom_recall(clean, denoised) == 1
    assert atom_recall(sites, denoised, find_params={"polarity": "dark"}) == 1


def test_scale_and_parameters_reach_the_detector():
    sites = lattice(3, 3)
    image = render(sites, shape=(180, 180))
    weak = render(sites[:4], height=-0.1, level=0.0, shape=(180, 180)) + image
    assert atom_recall(image, weak) == 1
    assert atom_recall(image, weak, find_params={"threshold": 0.4}) == pytest.approx(5 / 9)
    coarse = image[::4, ::4]
    assert atom_recall(sites / 4, coarse, pixel_size=25) == 1


def test_psnr_hardly_sees_a_missing_atom():
    sites = lattice(4, 4)
    reference, changed = render(sites), render(sites[1:])  # a corner is missing
    noise = np.random.default_rng(0).normal(0, 10 / 255, (2, *reference.shape))
    difference = psnr(reference, reference + noise[0]) - psnr(reference, changed + noise[1])
    assert 0 < difference < 0.5
    assert atom_jaccard(reference, reference + noise[0], region="surface") == 1
    # of the twelve around the particle one is missing, and its neighbours were there before
    assert atom_jaccard(reference, changed + noise[1], region="surface") == 11 / 12


def test_bad_images():
    image = render(lattice())
    spoiled = image.copy()
    spoiled[3, 4] = np.nan
    with pytest.raises(ValueError, match="row 3, column 4"):
        atom_f1(image, spoiled)
    with pytest.raises(ValueError, match="denoised is a masked array"):
        atom_f1(image, np.ma.masked_greater(image, 0.5))
    with pytest.raises(ValueError, match="same shape"):
        atom_f1(image, image[:-1])
    with pytest.raises(ValueError, match="same number of images: one and a sequence of 2"):
        atom_f1(image, np.stack([image, image]))
    with pytest.raises(ValueError, match="same number of images"):
        atom_f1(np.stack([image] * 3), np.stack([image] * 2))
    with pytest.raises(ValueError, match="clean must be a list of atoms"):
        atom_f1(np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match="region must be"):
        atom_f1(image, image, region="edge")
    with pytest.raises(ValueError, match="regions must be"):
        atom_scores(image, image, regions="all")
    with pytest.raises(ValueError, match="pixel_size"):
        atom_f1(image, image, pixel_size=0)
    with pytest.raises(TypeError, match="find_params"):
        atom_f1(image, image, find_params=[("sigma", 8)])
    with pytest.raises(TypeError, match="treshold"):
        atom_f1(image, image, find_params={"treshold": 0.1})


def test_images_without_atoms_have_a_defined_score():
    blank = np.full((64, 64), 0.45)
    assert atom_f1(blank, blank, zero_division=1) == 1
    for region in ("surface", "bulk"):
        assert np.isnan(atom_f1(blank, blank, region=region, zero_division=np.nan))


# --- scorers --------------------------------------------------------------------------------------


@pytest.fixture
def images():
    clean = np.stack([render(lattice() + shift, height=0.4, level=0.45) for shift in (0, 5, 9, 13)])
    return np.random.default_rng(0).poisson(clean).astype(np.float32), clean.astype(np.float32)


class CountingDenoiser(LowPassDenoiser):
    """A low-pass filter that counts its calls."""

    n_calls = 0

    def transform(self, X, *, mask=None, pixel_size=None):
        type(self).n_calls += 1
        return super().transform(X, mask=mask, pixel_size=pixel_size)


def test_scorers(images):
    noisy, clean = images
    denoiser = LowPassDenoiser(cutoff=0.03).fit(noisy)
    denoised = denoiser.transform(noisy)
    scorers = [atom_precision_scorer, atom_recall_scorer, atom_f1_scorer, atom_jaccard_scorer]
    for scorer, metric in zip(scorers, METRICS, strict=True):
        value = scorer(denoiser, noisy, clean)
        assert value == pytest.approx(metric(clean, denoised).mean())
        assert 0.5 < value <= 1
        assert pickle.loads(pickle.dumps(scorer))(denoiser, noisy, clean) == value


def test_scorers_look_for_atoms_outside_a_mask(images):
    noisy, clean = images
    denoiser = LowPassDenoiser(cutoff=0.03).fit(noisy)
    mask = np.zeros(clean.shape, dtype=bool)
    mask[0, :, : clean.shape[2] // 2] = mask[1:, : clean.shape[1] // 2] = True
    denoised = denoiser.transform(noisy, mask=mask)
    each = [
        atom_f1(a, b, find_params={"mask": m})
        for a, b, m in zip(clean, denoised, mask, strict=True)
    ]
    assert atom_f1_scorer(denoiser, noisy, clean, mask=mask) == pytest.approx(np.mean(each))


def test_atoms_and_psnr_of_one_transform_in_a_search(images):
    noisy, clean = images
    surface = partial(atom_f1, region="surface", zero_division=0)
    scorer = make_multimetric_scorer({"psnr": psnr, "f1": atom_f1, "surface": surface})
    denoiser = CountingDenoiser(cutoff=0.03).fit(noisy)
    before = CountingDenoiser.n_calls
    scores = scorer(denoiser, noisy, clean)
    assert CountingDenoiser.n_calls == before + 1
    assert scores["f1"] == atom_f1_scorer(denoiser, noisy, clean)
    search = GridSearchCV(
        LowPassDenoiser(), {"cutoff": [0.03, 0.5]}, scoring=scorer, refit="f1", cv=2
    ).fit(noisy, clean)
    assert search.best_params_ == {"cutoff": 0.03}  # noise peaks are no atoms
    assert {"mean_test_psnr", "mean_test_surface"} <= set(search.cv_results_)


def test_pixel_size_of_the_call_reaches_the_metric(images):
    noisy, clean = (stack[:, ::2, ::2] for stack in images)
    with config_context(enable_metadata_routing=True):
        scorer = make_denoising_scorer("atom_recall").set_score_request(pixel_size=True)
        keywords = {"scoring": scorer, "cv": 2, "params": {"pixel_size": 12.5}}
        in_angstrom = LowPassDenoiser(cutoff=0.32, unit="1/angstrom")
        routed = cross_validate(in_angstrom, noisy, clean, **keywords)
    # 0.32 per Angstrom at 12.5 pm per pixel is 0.04 cycles per pixel.
    fixed = make_denoising_scorer(partial(atom_recall, pixel_size=12.5))
    plain = cross_validate(LowPassDenoiser(cutoff=0.04), noisy, clean, scoring=fixed, cv=2)
    np.testing.assert_allclose(routed["test_score"], plain["test_score"])
    denoiser = LowPassDenoiser(cutoff=0.32).fit(noisy)
    assert make_denoising_scorer(reported)(denoiser, noisy, clean, pixel_size=12.5) == 12.5
    own = make_denoising_scorer(partial(reported, pixel_size=6.0))
    assert own(denoiser, noisy, clean, pixel_size=12.5) == 6.0
    assert np.isnan(make_denoising_scorer(reported)(denoiser, noisy, clean))


def reported(clean, denoised, pixel_size=None):
    return np.nan if pixel_size is None else pixel_size


# --- the paper ------------------------------------------------------------------------------------


@pytest.mark.skipif("TEMDENOISE_FIGURE_5_3" not in os.environ, reason="needs the paper's images")
@pytest.mark.parametrize("assignment", ["optimal", "nearest"])
def test_figure_5_3(assignment):
    paths = os.environ["TEMDENOISE_FIGURE_5_3"].split(os.pathsep)  # the reference first
    script = Path(__file__).parents[1] / "benchmarks" / "figure_5_3.py"
    command = [sys.executable, str(script), *paths, "--assignment", assignment]
    environment = os.environ | {"PYTHONPATH": str(script.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result = json.loads(done.stdout.splitlines()[-1])
    rows = [[row[n] for n in ("precision", "recall", "f1", "jaccard")]
            for row in result["images"].values()]  # fmt: skip
    assert rows[0] == [1, 1, 1, 1]
    assert all(row == [0.933, 0.933, 0.933, 0.875] for row in rows[1:])
    assert len(rows) == len(paths) > 1
    assert result["psnr_range"] < 0.1


def test_images_that_know_their_pixel_size():
    sim = make_ptceo2(2, structure="PtNp3", query="thickness == 30")
    clean = ImageStack(sim.data[:, 64:192, 64:192], pixel_size=sim.pixel_size)
    plain = np.asarray(clean)
    assert (atom_f1(clean, clean) == 1).all()
    assert (atom_f1(clean, clean, region="surface") == 1).all()
    scores = atom_scores(clean, clean)
    assert (scores["f1"] == 1).all()
    assert (scores["n_clean"] > 0).all()
    damaged = plain.copy()
    damaged[:, :64] = damaged[:, :64].mean()
    expected = atom_scores(plain, damaged, pixel_size=sim.pixel_size)
    pd.testing.assert_frame_equal(atom_scores(clean, damaged), expected)
    pd.testing.assert_frame_equal(atom_scores(plain, clean * 0 + damaged), expected)
    pd.testing.assert_frame_equal(atom_scores(list(clean), list(damaged)), expected)
    tables = [[find_atoms(image) for image in clean * 0 + images] for images in (plain, damaged)]
    pd.testing.assert_frame_equal(atom_scores(*tables), expected)
    for atoms in ((clean, damaged), tables, (clean[0], damaged[0])):
        for score in (atom_f1, partial(atom_recall, region="bulk"), atom_scores):
            with pytest.warns(PixelSizeWarning, match="pixel_size=9 pm is used") as caught:
                score(*atoms, pixel_size=9, zero_division=1)
            assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(ValueError, match="pixel_size"):
        atom_f1(plain, plain, pixel_size=-6)
