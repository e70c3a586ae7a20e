"""The simulated sets: what they hold, that any part equals the whole, and that nothing is lost."""

import hashlib
import json
import os
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from temdenoise import ImageStack, LowPassDenoiser, find_atoms, make_ptceo2
from temdenoise._jobs import one_torch_thread
from temdenoise.datasets import _ptceo2, make_ptceo2_surface
from temdenoise.datasets._catalogue import (
    DEFECTS_OF,
    catalogue,
    images_of,
    lean,
    vary_optics,
    whole_set,
)
from temdenoise.datasets._contrast import condition_contrast, image_contrast
from temdenoise.datasets._ptceo2 import VACUUM
from temdenoise.datasets._ptceo2_surface import surface_models
from temdenoise.datasets._simulate import fast_length, structure_of
from temdenoise.simulation import Microscope, exit_wave, pt_ceo2, sample_image
from temdenoise.simulation.surface_defects import SURFACE_CHANGES

# Two models of the smallest particle on the thinnest support, three images each: a second.
FEW = {"structure": "PtNp3", "query": "thickness == 30 and tilt_y == 2", "defocus": (6, 8)}
FEW |= {"n_images": 6, "images_per_model": 21}

# Angstrom between the points of the simulation: coarser than any preset, for speed.
SPACING = 0.2


@pytest.fixture(scope="module", autouse=True)
def coarse():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_ptceo2.PRESETS, "quick", SPACING)
        yield


@pytest.fixture(scope="module")
def few(coarse):
    return make_ptceo2(**FEW)


# --- what the set holds ---------------------------------------------------------------------------


def test_the_whole_set_is_that_of_the_paper():
    frame = whole_set(0)
    assert len(frame) == 17_955
    assert frame["model"].nunique() == 855
    kinds = ["structure", "defect", "support", "thickness", "tilt_x", "tilt_y"]
    assert not frame.duplicated([*kinds, "defocus"]).any()
    assert (frame.groupby("model").size() == 21).all()
    assert sorted(frame["defocus"].unique()) == list(range(21))
    assert sorted(frame["thickness"].unique()) == [30, 40, 50, 60]
    assert frame[["tilt_x", "tilt_y"]].drop_duplicates().shape == (9, 2)
    assert (frame[["tilt_x", "tilt_y"]].min(axis=1) == 0).all()
    assert frame[["structure", "defect"]].drop_duplicates().shape == (14, 2)
    assert frame.drop_duplicates(["structure", "defect", "support", "thickness"]).shape[0] == 95


def test_shares_of_contrast_are_near_the_published_ones():
    # 3,567 published labels: 4.6 % black, 64.1 % intermediate, 31.3 % white
    shares = whole_set(0)["contrast"].value_counts(normalize=True)
    assert shares["black"] == pytest.approx(0.046, abs=0.03)
    assert shares["intermediate"] == pytest.approx(0.641, abs=0.03)
    assert shares["white"] == pytest.approx(0.313, abs=0.03)


@pytest.mark.skipif("TEMDENOISE_PTCEO2_LIST" not in os.environ, reason="needs a published list")
def test_contrast_agrees_with_published_labels():
    rows = pd.read_csv(os.environ["TEMDENOISE_PTCEO2_LIST"])
    assert (condition_contrast(rows) == rows["contrast"]).mean() > 0.75


def test_random_state_gives_order_and_models():
    first, again, other = whole_set(3), whole_set(3), whole_set(4)
    assert first.equals(again)
    assert not first["model"].equals(other["model"])
    by = ["model", "defocus"]
    sort = [f.sort_values(by).reset_index(drop=True) for f in (first, other)]
    assert sort[0].equals(sort[1])  # the same grid in another order


def test_defects_of_a_structure_are_of_one_particle():
    frame = whole_set(0)
    flat = frame[(frame["support"] == "flat") & (frame["thickness"] == 40)]
    flat = flat[(flat["structure"] == "PtNp1") & (flat["tilt_x"] + flat["tilt_y"] == 0)]
    sites = {}
    for job, defect in zip(images_of(flat, 0), flat["defect"].unique(), strict=True):
        table = structure_of(job).columns()
        table = table[table["element"] == "Pt"]
        table[["x", "y"]] -= table[["x", "y"]].max()  # models differ in where the field lies
        sites[defect] = {
            (round(x, 2), round(y, 2)): n
            for x, y, n in zip(table["x"], table["y"], table["occupancy"], strict=True)
        }
    whole = sites["D0"]
    assert len(whole) == 44
    (gone,) = whole.keys() - sites["D1"].keys()
    assert sites["Ds"][gone] == 1
    assert sites["Dh"][gone] == (whole[gone] + 1) // 2
    assert gone not in sites["D2"]
    assert len(sites["D2"]) == 42


def test_particles_have_the_rows_of_the_paper():
    rows = {}
    table = catalogue()
    flat = table[(table["defect"] == "D0") & (table["support"] == "flat")]
    flat = flat[(flat["thickness"] == 40) & (flat["tilt_x"] + flat["tilt_y"] == 0)]
    for job in images_of(flat.rename_axis("model").reset_index().assign(defocus=0.0), 0):
        columns = structure_of(job).columns()
        platinum = columns[columns["element"] == "Pt"]
        rows[job.arguments["particle"]] = platinum.groupby(platinum["y"].round(1)).size().tolist()
    assert rows["PtNp1"] == [7, 8, 9, 10, 10]
    assert rows["PtNp2"] == [7, 8, 9, 10, 9]  # one column less at the interface
    assert max(rows["PtNp3"]) == 5
    assert max(rows["PtNp4"]) == 12


def test_tilts_are_rotations_of_the_specimen():
    # about x: the specimen leans along y, and the other way round
    assert lean(3, 0) == (0.0, -3.0)
    assert lean(0, 2) == (-2.0, 0.0)
    sim = make_ptceo2(1, structure="PtNp3", query="thickness == 30 and tilt_x == 4", defocus=(7, 7))
    job = images_of(sim.frame, 0)[0]
    upright = structure_of(job).columns()
    columns = sim.columns[0]
    place = columns[["x", "y"]] * (sim.pixel_size / 100)
    place += np.array(structure_of(job).info["origin"][::-1])
    platinum = columns["element"] == "Pt"
    gap = cKDTree(upright[["x", "y"]]).query(place[platinum])[0]
    assert gap.max() < 0.2  # all columns of a particle in mid-depth stay where they are


# --- images ---------------------------------------------------------------------------------------


def test_shapes_and_metadata(few):
    assert few.data.shape == (6, 256, 256)
    assert few.data.dtype == np.float32
    assert type(few.data) is ImageStack
    assert few.data.pixel_size == few.data[2:].pixel_size == few.pixel_size == 19.53125
    assert few.groups.tolist() == few.frame["structure"].tolist()
    assert few.frame.columns.tolist() == [
        "model", "structure", "defect", "support", "thickness", "tilt_x", "tilt_y", "defocus",
        "contrast",
    ]  # fmt: skip
    assert len(few.frame) == len(few.columns) == 6
    assert few.frame["model"].nunique() == 2
    assert few.frame["defocus"].tolist() == [6, 7, 8] * 2
    assert "multislice" in few.DESCR
    assert list(few.columns[0]) == ["x", "y", "element", "occupancy", "surface"]


def test_vacuum_has_the_dose_of_the_paper(few):
    assert np.allclose(np.median(few.data[:, :20], axis=(1, 2)), VACUUM, rtol=0.02)


def test_columns_lie_where_the_image_is_bright():
    sim = make_ptceo2(2, structure="PtNp1", contrast="white", defocus=(7, 9), images_per_model=1)
    for image, table in zip(sim.data, sim.columns, strict=True):
        table = table[(table["element"] == "Pt") & (table["occupancy"] >= 4)]
        found = find_atoms(image, pixel_size=sim.pixel_size, polarity="bright")
        gap = cKDTree(found[["x", "y"]]).query(table[["x", "y"]])[0]
        assert np.median(gap) < 2.0  # pixels of 19.5 pm; columns are 240 pm apart
        assert (gap < 5).mean() > 0.9


def test_a_part_equals_the_same_images_of_the_whole(few):
    # chosen by contrast, by model, and by drawing one defocus a model
    white = make_ptceo2(**FEW | {"contrast": "white", "n_images": 3})
    keys = ["model", "defocus"]
    both = few.frame.reset_index().merge(white.frame.reset_index(), on=keys)
    assert len(both) == 3
    assert np.array_equal(few.data[both["index_x"]], white.data[both["index_y"]])
    model = few.frame["model"].iloc[-1]
    one = make_ptceo2(query=f"model == {model}", defocus=(7, 7))
    assert np.array_equal(one.data[0], few.data[4])
    single = make_ptceo2(**FEW | {"images_per_model": 1, "n_images": 2})
    for image, row in zip(single.data, single.frame.itertuples(), strict=True):
        same = (few.frame["model"] == row.model) & (few.frame["defocus"] == row.defocus)
        assert np.array_equal(image, few.data[same.to_numpy()][0])


def test_finer_pixels_show_the_same_image(few):
    fine = make_ptceo2(**FEW | {"n_images": 1}, pixel_size=50 / 5.12)
    assert fine.data.shape == (1, 512, 512)
    assert np.abs(fine.data[0, ::2, ::2] - few.data[0]).max() < 1e-4
    ratio = fine.columns[0]["x"] / few.columns[0]["x"]
    assert np.allclose(ratio[few.columns[0]["x"] > 1], 2)


def test_tables_of_columns_behave_like_a_list(few):
    assert len(list(few.columns)) == 6
    assert few.columns[-1].equals(few.columns[5])
    assert few.columns[0].equals(few.columns[:2][1])
    with pytest.raises(IndexError):
        few.columns[6]
    table = few.columns[0]
    table["x"] = -1.0  # a copy
    assert few.columns[0].loc[0, "x"] >= 0
    joined = pd.concat(few.columns, keys=range(6))
    assert len(joined) == 3 * (len(few.columns[0]) + len(few.columns[3]))


# --- contrast -------------------------------------------------------------------------------------


def _dots(ce, pt, sigma_x=4.0):
    """An image of columns as Gaussians of given heights, and its table."""
    x, y = np.meshgrid(np.arange(20, 240, 24.0), np.arange(20, 240, 24.0))
    element = np.where(y < 130, "Pt", "Ce")
    columns = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "element": element.ravel()})
    columns["surface"] = False
    places = np.arange(256)
    image = np.ones((256, 256))
    for a, b, e in columns[["x", "y", "element"]].itertuples(index=False):
        height = {"Ce": ce, "Pt": pt}[e]
        across = np.exp(-((places - a) ** 2) / (2 * sigma_x**2))
        image += height * np.outer(np.exp(-((places - b) ** 2) / 32), across)
    return image, columns


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (_dots(0.5, 0.5), "white"),
        (_dots(-0.5, -0.5), "black"),
        (_dots(-0.5, 0.5), "intermediate"),
        (_dots(0.5, -0.5), "intermediate"),
        (_dots(0.2, 0.5), "intermediate"),  # cerium hardly seen
        (_dots(0.5, 0.5, sigma_x=9.0), "intermediate"),  # streaks
        (_dots(0.01, 0.01), "black"),
    ],
)
def test_contrast_of_dots(image, expected):
    assert image_contrast(*image, 19.53) == expected


def test_contrast_needs_columns():
    image, columns = _dots(0.5, 0.5)
    with pytest.raises(ValueError, match="no Ce or Pt column"):
        image_contrast(image, columns[:0], 19.53)
    platinum = columns[columns["element"] == "Pt"]
    assert image_contrast(image, platinum, 19.53) == "white"


def test_conditions_have_the_contrast_of_their_image():
    # the stored table against the rule, for images of other structures than the reference
    query = "support == 'flat' and tilt_x == 0 and tilt_y == 2 and thickness == 30"
    for contrast in ("black", "intermediate", "white"):
        sim = make_ptceo2(1, structure="PtNp4", query=query, contrast=contrast, preset="default")
        image, columns = sim.data[0] / VACUUM, sim.columns[0]
        assert image_contrast(image, columns, sim.pixel_size) == contrast


def test_unknown_conditions_have_no_contrast():
    frame = pd.DataFrame(
        {"thickness": [30.0, 35, 30, 30], "tilt_x": [0.0, 0, -2, 0], "tilt_y": [0.0, 0, 0, 0]}
    ).assign(defocus=[0.0, 0, 20, 25])
    assert condition_contrast(frame).tolist() == ["black", None, "white", None]


# --- a number of images, spread over the set ------------------------------------------------------


@pytest.fixture(scope="module")
def spread(coarse):
    return make_ptceo2(4)


def test_a_number_of_images_is_spread_over_structures_defects_and_models(planned):
    frame = planned(24)
    models = frame.drop_duplicates("model")
    assert (frame.groupby("model").size() == 2).all()
    assert models["structure"].value_counts().to_dict() == dict.fromkeys(DEFECTS_OF, 3)
    assert set(models["defect"]) == {"D0", "D1", "D2", "Dh", "Ds"}
    # no defect of a structure comes again before the others have come
    for structure, rows in models.groupby("structure"):
        assert rows["defect"].nunique() == min(3, len(DEFECTS_OF[structure]))
    assert frame["thickness"].nunique() > 2
    assert frame["defocus"].nunique() > 10
    assert frame["model"].ne(frame["model"].shift()).sum() == 12  # images of a model come together


def test_images_of_the_spread_are_those_of_the_set(spread):
    row = spread.frame.iloc[2]  # of the smallest particle
    defocus = (row["defocus"], row["defocus"])
    alone = make_ptceo2(query=f"model == {row['model']}", defocus=defocus)
    np.testing.assert_array_equal(alone.data[0], spread.data[2])


def test_filters_are_tuned_with_a_structure_left_out(spread):
    search = GridSearchCV(LowPassDenoiser(), {"cutoff": [0.1, 0.3]}, cv=LeaveOneGroupOut())
    search.fit(spread.data, groups=spread.groups)
    assert search.n_splits_ == 4
    scores = [search.cv_results_[f"split{k}_test_score"] for k in range(4)]
    assert np.isfinite(scores).all()
    assert spread.groups.dtype.kind == "U"


@pytest.mark.parametrize(
    ("n_images", "n_models", "most"),
    [(1, 1, 1), (4, 4, 1), (13, 12, 2), (120, 12, 10), (125, 13, 10), (2000, 200, 10)],
)
@pytest.mark.parametrize("models", ["catalogue", "varied"])
def test_number_of_models_of_a_number_of_images(planned, models, n_images, n_models, most):
    frame = planned(n_images, models=models)
    sizes = frame.groupby("model").size()
    assert (len(frame), len(sizes), sizes.max()) == (n_images, n_models, most)
    assert sizes.min() >= most - 1
    structures = frame.drop_duplicates("model")["structure"].value_counts()
    assert np.ptp(structures.reindex(list(DEFECTS_OF), fill_value=0)) <= 1


def test_where_the_selection_holds_few_models_there_are_more_images_of_each(planned):
    assert planned(17_955)["model"].nunique() == 855
    frame = planned(40, structure="PtNp3", defect="D1", query="thickness == 30", defocus=(0, 9))
    assert frame["model"].nunique() == 9  # all there are
    assert frame.groupby("model").size().between(4, 5).all()
    # few images of each: others make up for it
    frame = planned(100, contrast="black")
    assert len(frame) == 100
    assert set(frame["contrast"]) == {"black"}


@pytest.fixture
def planned(monkeypatch):
    """What would be simulated: the frame alone."""

    def frame_of(*arguments, **keywords):
        monkeypatch.setattr(_ptceo2, "generate", lambda jobs, frame, *a, **k: frame)
        return make_ptceo2(*arguments, **keywords)

    return frame_of


# What `generate` is given, to the last digit: sets on disk are named by it.
PLANS = {
    "all": ({}, "ebe7c1ef69db2dc4"),
    "seed": ({"random_state": 3}, "39afe62a68e3e319"),
    "white": ({"contrast": "white", "defocus": (3, 9)}, "17d13b8041f1e99f"),
    "one of each": ({"n_images": 30, "images_per_model": 1}, "5d006000b37c24cc"),
    "first models": ({"n_images": 24, "images_per_model": 21}, "759c57bd32d58c69"),
    "varied": ({"n_images": 24, "models": "varied", "images_per_model": 10}, "9b45d226ec4c944b"),
}


@pytest.mark.parametrize("name", PLANS)
def test_sets_that_were_made_before_are_made_again(monkeypatch, name):
    keywords, expected = PLANS[name]
    monkeypatch.setattr(_ptceo2, "generate", lambda jobs, *a, **k: jobs)
    plan = json.dumps([[_ptceo2._plain(job) for job in make_ptceo2(**keywords)]], sort_keys=True)
    assert hashlib.sha256(plan.encode()).hexdigest()[:16] == expected


# --- varied models --------------------------------------------------------------------------------


def test_varied_models_differ_each_from_each():
    arguments = {"models": "varied", "images_per_model": 2, "defect": ["D1", "Dh"]}
    sim = make_ptceo2(4, **arguments, random_state=1)
    assert set(sim.frame["defect"]) <= {"D1", "Dh"}
    assert sim.frame["model"].tolist() == [0, 0, 1, 1]
    other = make_ptceo2(2, **arguments, random_state=2)
    assert not np.allclose(other.data, sim.data[:2], atol=0.01)
    same = make_ptceo2(2, **arguments, random_state=1)
    assert np.array_equal(same.data, sim.data[:2])


def test_varied_optics_are_those_of_a_microscope_each():
    arguments = {"models": "varied", "images_per_model": 2, "random_state": 3}
    arguments |= {"structure": "PtNp3"}
    paper = make_ptceo2(4, **arguments)
    sim = make_ptceo2(4, optics="varied", **arguments)
    names = [f.name for f in fields(Microscope) if f.name in sim.frame]
    assert names == ["c3", "vibration", "c12", "phi12", "c21", "phi21", "c23", "phi23"]
    pd.testing.assert_frame_equal(sim.frame[paper.frame.columns], paper.frame)  # the same models
    assert (sim.frame.groupby("model")[names].nunique() == 1).all(axis=None)
    assert (sim.frame[names].nunique() == 2).all()
    # the second model's images, step by step
    rows = sim.frame[2:]
    job = sim.columns._jobs[1]
    structure = structure_of(job)
    grid = tuple(fast_length(length / SPACING) for length in structure.extent)
    with one_torch_thread():
        wave = exit_wave(
            structure.numbers, structure.positions, structure.extent, grid,
            thickness=structure.thickness, tilt=job.tilt,
        )  # fmt: skip
        microscope = Microscope(**rows.iloc[0][names])
        spectra, _ = microscope.image_spectra(wave, structure.extent, rows["defocus"])
        image = sample_image(
            spectra, structure.extent, sim.pixel_size, (256, 256), structure.info["origin"]
        )
    np.testing.assert_allclose(sim.data[2:], 0.45 * image, atol=1e-5)
    assert not np.allclose(sim.data[2:], paper.data[2:], atol=0.02)


def test_optics_of_a_model_do_not_depend_on_what_else_is_asked_for():
    whole = vary_optics(images_of(frame := whole_set(0)[:63], 0), frame, 0)[1]
    assert len(whole["c12"].unique()) == 3
    query = f"model == {whole['model'].iat[42]}"
    part = make_ptceo2(1, optics="varied", images_per_model=21, query=query)
    pd.testing.assert_series_equal(part.frame.iloc[0], whole.iloc[42], check_names=False)


def test_ranges_of_varied_optics():
    frame = whole_set(0)
    drawn = vary_optics(images_of(frame, 0), frame, 0)[1].describe()
    for name, low, high in [
        ("c3", -20, 5), ("vibration", 20, 70), ("c12", 0, 3), ("c21", 0, 150), ("c23", 0, 100),
        ("phi12", 0, 180), ("phi21", 0, 360), ("phi23", 0, 120),
    ]:  # fmt: skip
        assert low <= drawn[name]["min"] < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < drawn[name]["max"] <= high


# --- surface defects ------------------------------------------------------------------------------


def test_surface_models_differ_in_one_place():
    jobs, frame = surface_models(list(SURFACE_CHANGES), 0)
    assert len(jobs) == 44
    assert len(frame) == 308
    assert (frame.groupby("model").size() == 7).all()
    assert frame["defocus"].between(6, 10).all()
    perfect = pt_ceo2(field_of_view=50.0, **jobs[0].arguments)
    atoms = {tuple(p) for p in perfect.positions.round(3)}
    seen = set()
    for job, (_, rows) in zip(jobs, frame.groupby("model"), strict=True):
        changed = {tuple(p) for p in structure_of(job).positions.round(3)}
        difference = np.array(sorted(changed ^ atoms))
        assert np.ptp(difference[:, :2], axis=0).max() < 0.01  # one column
        kind = rows["change"].iloc[0]
        assert (len(changed) > len(atoms)) == (kind == "added")
        assert len(difference) == {"removed-1": 1, "removed-2": 2, "added": 1}.get(
            kind, len(difference)
        )
        seen.add(frozenset(changed))
    assert len(seen) == 44


def test_surface_images_show_the_change():
    one, two, added = (
        make_ptceo2_surface(1, change=change) for change in ("removed-1", "single", "added")
    )
    assert added.data.shape == (1, 256, 256)
    assert added.groups.tolist() == ["added"]
    assert added.data.pixel_size == added.pixel_size
    assert two.frame["site"].equals(one.frame["site"])
    for other, row in ((two, two.frame.loc[0]), (added, added.frame.loc[0])):
        # the corner column brightens the image, at its place
        sign = 1 if other is two else -1
        difference = sign * (one.data[0] - other.data[0])
        y, x = np.unravel_index(difference.argmax(), difference.shape)
        assert np.hypot(row["site_x"] - x, row["site_y"] - y) < 6  # 1.2 Angstrom
        table = other.columns[0]
        near = np.hypot(table["x"] - row["site_x"], table["y"] - row["site_y"]) < 8
        assert table.loc[near & (table["element"] == "Pt"), "occupancy"].tolist() == [1]
    assert two.frame["contrast"].tolist() == [one.frame["contrast"][0]]
    whole = make_ptceo2_surface(9, change="single")
    assert whole.frame["model"].nunique() == 2
    assert np.array_equal(whole.data[0], two.data[0])


# --- selections and mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_images": 0}, "n_images"),
        ({"n_images": 2.5}, "n_images"),
        ({"n_images": 20_000}, "holds 17955 images"),
        ({"models": "all"}, "models"),
        ({"optics": "perfect"}, "optics must be"),
        ({"preset": "fast"}, "preset"),
        ({"structure": "PtNp7"}, "PtNp7"),
        ({"structure": []}, "structure"),
        ({"defect": "D9"}, "D9"),
        ({"contrast": "grey"}, "grey"),
        ({"structure": "PtNp4", "defect": "D2"}, "No image of the set"),
        ({"structure": "PtNp4", "defect": "D2", "models": "varied"}, "No structure has"),
        ({"query": "thickness = 50"}, "neither true nor false"),
        ({"query": "depth == 50"}, "cannot be evaluated"),
        ({"query": "thickness > 90"}, "No image of the set"),
        ({"models": "varied", "contrast": "white"}, "neither contrast nor query"),
        ({"models": "varied", "n_images": None}, "need n_images"),
        ({"defocus": (5, 2)}, "defocus"),
        ({"defocus": (0, np.nan)}, "defocus"),
        ({"defocus": (5.2, 5.8)}, "no whole nm"),
        ({"defocus": 5}, "defocus"),
        ({"images_per_model": 0}, "images_per_model"),
        ({"pixel_size": 60}, "pixel_size"),
        ({"pixel_size": -1}, "pixel_size"),
        ({"out": "images.tif"}, "must end in"),
        ({"device": "nowhere"}, "device=.nowhere. cannot be used here"),
    ],
)
def test_bad_requests_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_ptceo2(**{"n_images": 1} | keywords)


@pytest.mark.parametrize("n_images", [0, 400, 1.5])
def test_bad_surface_requests_are_refused(n_images):
    with pytest.raises(ValueError, match="n_images"):
        make_ptceo2_surface(n_images)
    with pytest.raises(ValueError, match="change"):
        make_ptceo2_surface(change="gone")


@pytest.mark.parametrize("query", ["thickness", "thickness + 1", "structure"])
def test_a_query_must_say_yes_or_no(query):
    with pytest.raises(ValueError, match="neither true nor false"):
        make_ptceo2(2, query=query)
