"""Weights on disk: round trips, and everything that can be wrong with a folder."""

import hashlib
import json
import os
import pickletools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import lattices, noisy_of

from temdenoise import LowPassDenoiser, PoissonNoise, SBDDenoiser, psnr
from temdenoise.datasets import load_sample_movie, make_ptceo2
from temdenoise.denoisers._trained import weights
from temdenoise.images import ImageStack

# networks that were trained for a step or two
pytestmark = pytest.mark.filterwarnings("ignore::temdenoise.denoisers.WorseThanConstantWarning")

TINY = {
    "training_pixel_size": 6.22,
    "n_scales": 2,
    "base_channels": 4,
    "batch_size": 2,
    "steps_per_epoch": 2,
    "max_epochs": 1,
    "patch_size": 48,
    "precision": "float32",
    "device": "cpu",
    "orientations": 1,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def images():
    return lattices(3, 60, 70, period=30.0, pixel_size=6.22)


@pytest.fixture(scope="module")
def trained(images):
    return SBDDenoiser(dose=(0.1, 3.0), **TINY).fit(images)


@pytest.fixture
def folder(trained, tmp_path):
    trained.save_pretrained(tmp_path / "weights", info={"data": "lattices"})
    return tmp_path / "weights"


def edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        place = config["params"] if key in config["params"] else config
        place[key] = value
    sign(path, config)


def sign(path, config):
    """Write a config.json with the hash of its contents, as a folder has that was saved so."""
    config.pop("folder_sha256", None)
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps({**config, "folder_sha256": digest}))


def replace_weights(folder, state):
    """Write other weights with a checksum to match."""
    save_file(state, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, sha256=digest)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
@pytest.mark.filterwarnings("ignore::temdenoise.denoisers.DoseWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"training_pixel_size": 8.5, "zoom": (0.9, 1.1), "dose": 2.0},
        {"network": "unet", "bias_free": False, "binning": 2},
        {"network": "dncnn", "n_scales": None, "base_channels": None, "binning": 4},
        {"network": "small_unet", "n_scales": None, "base_channels": None},
        {
            "base_channels": np.int64(4),
            "training_pixel_size": np.float32(6.25),
            "zoom": [0.9, 1.1],
        },
    ],
)
def test_round_trip(images, tmp_path, options):
    params = {**TINY, "patch_size": 16, **options}
    images = ImageStack(images, float(params["training_pixel_size"]))
    denoiser = SBDDenoiser(**params).fit(images)
    denoiser.save_pretrained(tmp_path / "new" / "weights")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "new" / "weights", device="cpu")
    loaded.set_params(precision="float32", orientations=1)
    for pixel_size in (images.pixel_size, denoiser.bins_.size / 1.3):
        stack = ImageStack(images, pixel_size)
        np.testing.assert_array_equal(loaded.transform(stack), denoiser.transform(stack))
    assert loaded.score(images) == denoiser.score(images)
    assert loaded.history_ == denoiser.history_
    for name in (
        "network", "n_scales", "base_channels", "bias_free", "training_pixel_size", "binning",
    ):  # fmt: skip
        assert getattr(loaded, name) == getattr(denoiser, name)
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (
        tmp_path / "new/weights/model.safetensors"
    ).read_bytes()


def test_round_trip_of_a_range_of_pixel_sizes(images, tmp_path):
    images = ImageStack(images, 6.0)
    denoiser = SBDDenoiser(**{**TINY, "training_pixel_size": (5.0, 8.0)}).fit(images)
    denoiser.save_pretrained(tmp_path / "weights")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "weights", device="cpu")
    assert loaded.training_pixel_size == (5.0, 8.0)
    assert loaded.bins_.size == denoiser.bins_.size == pytest.approx(5 * 40**0.5)
    assert loaded.bins_ == denoiser.bins_
    edit(tmp_path / "weights", training_pixel_size=[8.0, 5.0])
    with pytest.raises(ValueError, match="were changed: in config.json, training_pixel_size"):
        SBDDenoiser.from_pretrained(tmp_path / "weights")


def test_what_is_in_the_folder(trained, folder):
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["weights"]  # nothing left beside it
    config = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    assert config["format"] == 3
    assert config["class"] == "SBDDenoiser"
    assert config["sha256"] == hashlib.sha256(weights).hexdigest()
    assert config["params"]["training_pixel_size"] == 6.22
    assert config["params"]["dose"] == [0.1, 3.0]
    assert config["bin_size"] == 5 * 6.22
    assert config["units"]["training_pixel_size"] == "pm"
    assert "counts/px" in config["units"]["dose"]
    assert config["info"] == {"data": "lattices"}
    for name, value in load_file(folder / "model.safetensors").items():
        torch.testing.assert_close(value, trained.network_.state_dict()[name], rtol=0, atol=0)
    # not a pickle: those start with the protocol opcode, or at least decode
    with pytest.raises(Exception, match="opcode|pickle|exhausted|expected|at position"):
        list(pickletools.genops(weights))


def test_folders_have_ordinary_permissions(folder, tmp_path):
    (tmp_path / "ordinary").mkdir()
    assert folder.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_info_stays_with_the_weights(folder, images, tmp_path):
    loaded = SBDDenoiser.from_pretrained(folder)
    assert loaded.info_ == {"data": "lattices"}
    loaded.save_pretrained(tmp_path / "copy")
    assert SBDDenoiser.from_pretrained(tmp_path / "copy").info_ == {"data": "lattices"}
    loaded.set_params(**TINY).fit(images)
    assert not hasattr(loaded, "info_")  # they were of other weights


def test_fine_tuning_starts_from_the_weights(folder, trained, images):
    loaded = SBDDenoiser.from_pretrained(folder)
    loaded.set_params(**TINY, warm_start=True, learning_rate=1e-30).fit(images)
    for name, value in loaded.network_.state_dict().items():
        torch.testing.assert_close(value, trained.network_.state_dict()[name])


def test_loading_leaves_the_global_generator_alone(folder):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    SBDDenoiser.from_pretrained(folder)
    assert torch.equal(torch.rand(3), expected)


def test_names(tmp_path, monkeypatch):
    for name in ("no-such-weights", tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=r"There are no weights .*neither a folder"):
            SBDDenoiser.from_pretrained(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors: it was not written"):
        SBDDenoiser.from_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {name}"):
        SBDDenoiser.from_pretrained(folder)


def test_damaged_weights(folder):
    path = folder / "model.safetensors"
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-5] ^= 1
    for bad in (b"", good[:-4], bytes(flipped), good + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="damaged or were changed: the checksum of model"):
            SBDDenoiser.from_pretrained(folder)


def test_damaged_config(folder):
    path = folder / "config.json"
    good = path.read_text()
    for bad in ("", good[: len(good) // 2], "[]", "7", '{"format": 1}'):
        path.write_text(bad)
        with pytest.raises(ValueError, match="damaged or were changed: config.json"):
            SBDDenoiser.from_pretrained(folder)
    path.write_bytes(b"\xff\xfe" + good.encode())
    with pytest.raises(ValueError, match="damaged or were changed: config.json"):
        SBDDenoiser.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 4}, "have format 4; this version of temdenoise reads formats up to 3"),
        ({"format": True}, "have format True"),
        ({"format": [1]}, "have format"),
        ({"sha256": "0"}, "checksum"),
        ({"sha256": None}, "damaged"),
        ({"params": []}, "damaged"),
        ({"bin_size": "wide"}, "damaged"),
        ({"bin_size": -1.0}, "damaged"),
        ({"bin_size": float("nan")}, "damaged"),
        ({"bin_size": 10**400}, "damaged"),
        ({"bin_size": 311.0}, r"damaged.*bin_size=311 pm does not fit binning=5"),
        ({"binning": 10**400}, "damaged"),
        ({"dose": [0.1, 10**400]}, "damaged"),
        ({"dose": [float("nan"), 1.0]}, "damaged"),
        ({"info": []}, "damaged"),
        ({"network": "unet"}, "not those of the network with the settings"),
        ({"network": "small_unet"}, "n_scales and base_channels cannot be chosen"),
        ({"network": "alexnet"}, "damaged.*network"),
        ({"base_channels": 5}, "not those of the network"),
        ({"base_channels": 10**7}, "not those of"),  # and no attempt to build such a network
        ({"n_scales": 3}, "not those of"),
        ({"n_scales": 99}, "damaged.*n_scales"),
        ({"n_scales": 7}, "not those of the network .*scales"),
        ({"zoom": [2, 1]}, "damaged.*zoom must be"),
        ({"zoom": None}, "damaged.*zoom"),
        ({"class": "UDVDDenoiser"}, "are of UDVDDenoiser, not of SBDDenoiser: load them with UDVD"),
        ({"training_pixel_size": "x"}, "damaged.*pixel_size"),
    ],
)
def test_changed_config(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message):
        SBDDenoiser.from_pretrained(folder)


def test_any_change_of_the_settings_is_noticed(folder):
    path = folder / "config.json"
    good = path.read_text()
    assert '"bin_size": 31.09' in good
    for one, other in (
        ('"bin_size": 31.09', '"bin_size": 310.9'),
        ('"lattices"', '"lattice"'),
        ('"format": 3', '"format": 3, "more": 1'),
    ):
        path.write_text(good.replace(one, other))
        with pytest.raises(ValueError, match="damaged or were changed: the checksum of config"):
            SBDDenoiser.from_pretrained(folder)
    path.write_text(json.dumps(json.loads(good)))  # spaces and line ends do not count
    SBDDenoiser.from_pretrained(folder)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, " " * 2**24 + "{}"])
def test_deep_and_long_settings(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged or were changed: config.json cannot be read"):
        SBDDenoiser.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, value):
    state = load_file(folder / "model.safetensors")
    state["head.weight"][0, 0, 0, 0] = value
    replace_weights(folder, state)
    with pytest.raises(ValueError, match="head.weight holds NaN or inf"):
        SBDDenoiser.from_pretrained(folder)


def test_weights_that_do_not_belong(folder):
    state = load_file(folder / "model.safetensors")
    replace_weights(folder, {k: v for k, v in state.items() if k != "head.weight"})
    with pytest.raises(ValueError, match="names or shapes of the tensors differ"):
        SBDDenoiser.from_pretrained(folder)
    replace_weights(folder, {**state, "head.weight": torch.zeros(1, 4, 5, 5)})
    with pytest.raises(ValueError, match="names or shapes of the tensors differ"):
        SBDDenoiser.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    edit(folder, sha256=hashlib.sha256(b"not safetensors").hexdigest())
    with pytest.raises(ValueError, match="not those of"):
        SBDDenoiser.from_pretrained(folder)


def test_nothing_is_overwritten_unasked(trained, folder, tmp_path):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(FileExistsError, match="holds weights already: .*overwrite=True"):
        trained.save_pretrained(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    (folder / "notes.txt").write_text("mine")
    trained.save_pretrained(folder, overwrite=True, info={"second": True})
    assert SBDDenoiser.from_pretrained(folder).info_ == {"second": True}
    assert (folder / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        trained.save_pretrained(tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_what_json_cannot_hold(trained, tmp_path):
    with pytest.raises(TypeError, match="info must hold only what JSON can"):
        trained.save_pretrained(tmp_path / "weights", info={"data": {1, 2}})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(trained, folder, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(os, "rename", full)
    for path in (folder, folder.parent / "new"):
        with pytest.raises(OSError, match="No space left"):
            trained.save_pretrained(path, overwrite=True, info={"second": True})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["weights"]


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_weights_of_format_1(trained, folder, images):
    """As version 0.1 wrote them: of one class, and with other names of its parameters."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    names = {
        "network": "architecture", "n_scales": "scales", "training_pixel_size": "pixel_size",
        "zoom": "scale",
    }  # fmt: skip
    params = {names.get(k, k): v for k, v in config["params"].items() if k != "noise"}
    del config["class"]
    del config["folder_sha256"]
    path.write_text(json.dumps({**config, "format": 1, "params": params}))
    with pytest.warns(UserWarning, match="no hash tells whether .*Save them again") as caught:
        loaded = SBDDenoiser.from_pretrained(folder, device="cpu")
    assert caught[0].filename == __file__
    loaded.set_params(precision="float32", orientations=1)
    np.testing.assert_array_equal(loaded.transform(images), trained.transform(images))
    for name in (*names, "dose"):
        assert getattr(loaded, name) == getattr(trained, name)
    loaded.save_pretrained(folder, overwrite=True)
    SBDDenoiser.from_pretrained(folder)  # without the warning
    with pytest.raises(ValueError, match="are of SBDDenoiser, not of Other"):
        type("Other", (SBDDenoiser,), {}).from_pretrained(folder)


# --- half precision -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision(trained, images, tmp_path, dtype, digits):
    trained.save_pretrained(tmp_path / "full")
    trained.save_pretrained(tmp_path / "half", dtype=dtype)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == dtype
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {v.dtype for v in stored.values()} == {getattr(torch, dtype)}
    loaded = SBDDenoiser.from_pretrained(tmp_path / "half", device="cpu")
    loaded.set_params(precision="float32", orientations=1)
    for name, value in trained.network_.state_dict().items():
        rounded = loaded.network_.state_dict()[name]
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded, value, rtol=digits, atol=1e-7)
    noisy = noisy_of(images)
    expected = trained.transform(noisy)
    assert np.abs(loaded.transform(noisy) - expected).max() < 4 * digits * expected.max()
    # once rounded nothing more is lost
    loaded.save_pretrained(tmp_path / "again", dtype=dtype)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "half" / "model.safetensors"
    ).read_bytes()


def test_statistics_of_norms_are_stored_in_full(images, tmp_path):
    denoiser = SBDDenoiser(**{**TINY, "network": "unet", "bias_free": False}).fit(images)
    denoiser.save_pretrained(tmp_path / "w", dtype="bfloat16")
    stored = load_file(tmp_path / "w" / "model.safetensors")
    loaded = SBDDenoiser.from_pretrained(tmp_path / "w", device="cpu").network_.state_dict()
    for name, value in denoiser.network_.state_dict().items():
        kept = value.ndim < 2
        assert stored[name].dtype == (value.dtype if kept else torch.bfloat16)
        assert not kept or torch.equal(loaded[name], value)


def test_weights_too_large_for_half_precision(trained, tmp_path):
    copy = SBDDenoiser(**trained.get_params())
    vars(copy).update(vars(trained))
    copy.network_ = type(trained.network_)(n_scales=2, base_channels=4)
    copy.network_.head.weight.data[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="head.weight do not fit into float16: give dtype="):
        copy.save_pretrained(tmp_path / "w", dtype="float16")
    with pytest.raises(ValueError, match="dtype must be one of"):
        copy.save_pretrained(tmp_path / "w", dtype="int8")
    assert list(tmp_path.iterdir()) == []


def test_precision_other_than_stated(folder):
    state = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    replace_weights(folder, state)
    with pytest.raises(ValueError, match="another precision than float32"):
        SBDDenoiser.from_pretrained(folder)
    edit(folder, dtype="float64")
    with pytest.raises(ValueError, match="damaged.*known dtype"):
        SBDDenoiser.from_pretrained(folder)


# --- the weights in the package -------------------------------------------------------------------


@pytest.fixture(scope="module")
def general():
    return SBDDenoiser.from_pretrained("general", device="cpu")


def test_general_is_the_default():
    assert weights.bundled() == ["general", "white"]
    default = SBDDenoiser.from_pretrained()
    assert default.network == "fourier_unet"
    assert default.info_["training"]["images"] > 1000


def test_list_pretrained(general):
    table = SBDDenoiser.list_pretrained()
    assert list(table.index) == weights.bundled()
    row = table.loc["general"]
    assert "Pt/CeO2" in row["description"]
    assert row["network"] == general.network
    assert row["pixel_size"] == general.training_pixel_size
    assert row["dose"] == general.dose
    assert table.loc["white", "dose"] == 0.45
    parameters = sum(p.numel() for p in general.network_.parameters())
    assert 2e-6 * parameters < row["megabytes"] < 4.1e-6 * parameters
    assert table["megabytes"].sum() < 15


def test_white_weights_know_the_papers_images_best(general):
    clean = make_ptceo2(2, contrast="white", images_per_model=1, pixel_size=6.22).data
    clean = ImageStack(clean[:, 150:550, 150:550], 6.22)
    noisy = noisy_of(clean)
    white = SBDDenoiser.from_pretrained("white", device="cpu")
    scores = [np.mean(psnr(clean, est.transform(noisy))) for est in (white, general)]
    assert scores[0] > max(scores[1], 36)


def test_a_folder_of_that_name_is_not_in_the_way(general, tmp_path, monkeypatch):
    (tmp_path / "general").mkdir()
    monkeypatch.chdir(tmp_path)
    assert SBDDenoiser.from_pretrained("general").history_ == general.history_
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        SBDDenoiser.from_pretrained("./general")


def test_general_denoises_the_sample_movie(general):
    movie = load_sample_movie()
    frames = movie.data[:2], movie.clean[:2]
    denoised = general.transform(frames[0], pixel_size=movie.pixel_size)
    value = psnr(frames[1], denoised).mean()
    gaussians = [LowPassDenoiser(cutoff=c).fit(frames[0]) for c in (0.015, 0.02, 0.03, 0.04)]
    best = max(psnr(frames[1], g.transform(frames[0])).mean() for g in gaussians)
    assert value > 34
    assert value > best + 4


def test_general_is_scored_at_the_dose_of_the_images(general):
    clean = ImageStack(load_sample_movie().clean[:2, 100:300, 100:300], 6.22)
    noisy = ImageStack(PoissonNoise().sample(clean, random_state=0), 6.22)
    expected = psnr(clean, general.transform(noisy)).mean()
    assert general.score(clean) == pytest.approx(expected)
    assert general.score(clean) == pytest.approx(general.score(noisy, clean))


@pytest.mark.parametrize(
    ("precision", "limit"),
    [("float32", 1e-4), ("auto", 2e-3)],  # of the vacuum's level; bfloat16 rounds by 1e-3 of it
)
def test_general_joins_tiles_without_seams(monkeypatch, precision, limit):
    general = SBDDenoiser.from_pretrained("general", device="cpu").set_params(precision=precision)
    movie = load_sample_movie()
    counts = np.tile(movie.data[:1], (1, 5, 1))[:, :2250, :100]  # 450 x 20 bins
    whole = general.transform(counts, pixel_size=movie.pixel_size)
    monkeypatch.setattr("temdenoise.networks.apply.TILE", 384)
    tiled = general.transform(counts, pixel_size=movie.pixel_size)
    assert (tiled != whole).any()
    assert np.abs(tiled - whole).max() < limit * 0.45


def test_a_pixel_size_in_another_unit_is_noticed(general):
    frame = np.asarray(load_sample_movie().data[:1, :64, :64])
    with pytest.warns(UserWarning, match="is it in pm"):
        general.transform(frame, pixel_size=1.5)
    with pytest.raises(ValueError, match="is it in nm or Angstrom"):
        general.transform(frame, pixel_size=0.0622)
