"""The paper's own images, from a copy on this machine."""

import os
import re

import numpy as np
import pandas as pd
import pooch
import pytest
import tifffile
from mirror_site import HEADER, ROWS, SHAPE, content, fetch, image, listing, tiff, write

from temdenoise import ImageStack
from temdenoise.datasets import fetch_ptceo2


def test_local_copy_is_read_as_it_is(tmp_path, site):
    write(tmp_path, content())
    before = listing(tmp_path)
    train = fetch(site, tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])
    assert train.data.dtype == np.float32
    assert type(train.data) is ImageStack
    assert train.data.pixel_size == 4.89
    assert train.groups.tolist() == ["PtNp1", "PtNp3"]
    assert [os.path.basename(name)[:8] for name in train.filenames] == ["PtNp1-D0", "PtNp3-Dh"]
    expected = pd.DataFrame(
        {
            "subset": ["train", "train"],
            "structure": ["PtNp1", "PtNp3"],
            "defect": ["D0", "Dh"],
            "thickness": [40.0, 30.0],
            "tilt_x": [0.0, 1.0],
            "tilt_y": [2.0, 0.0],
            "defocus": [7.0, 9.0],
            "contrast": ["white", "white"],
        }
    )
    pd.testing.assert_frame_equal(train.frame, expected, check_dtype=False)
    assert train.pixel_size == 4.89
    assert "17,955" in train.DESCR
    assert site.requests == []
    assert listing(tmp_path) == before


def test_images_are_read_only_on_request(tmp_path):
    write(tmp_path, content())
    for path in tmp_path.glob("images/*"):
        path.write_bytes(b"not looked at")
    train = fetch_ptceo2(data_home=tmp_path)
    assert train.data is None
    assert len(train.filenames) == 2


def test_all_subsets_and_the_first_images(tmp_path):
    write(tmp_path, content())
    every = fetch_ptceo2(subset="all", data_home=tmp_path)
    assert every.frame["subset"].tolist() == ["train", "train", "valid", "test"]
    first = fetch_ptceo2(subset="all", n_images=3, data_home=tmp_path, load_images=True)
    assert first.frame["subset"].tolist() == ["train", "train", "valid"]
    assert np.array_equal(first.data[2], image(2))


def test_first_images_do_not_need_the_others(tmp_path):
    files = content()
    del files["images/PtNp3-Dh_180slc_1024x1024_9nmDefocus.tif"]
    write(tmp_path, files)
    assert len(fetch_ptceo2(n_images=1, data_home=tmp_path).filenames) == 1


def test_several_contrasts_have_a_list_of_their_own(tmp_path):
    files = content()
    files["train_black_white.csv"] = files["train_white.csv"]
    write(tmp_path, files)
    for contrast in ("white-black", ["black", "white"], ("white", "black")):
        assert len(fetch_ptceo2(contrast=contrast, data_home=tmp_path).frame) == 2


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        ("D:\\data\\ptceo2\\images\\", "images/"),
        ("/scratch/someone/images/", "images/"),
        ("images\\", "images/"),
        ("./images/", "images/"),
        ("/scratch/someone/images/", ""),
        ("", "deeper/images/"),
        ("images/", "unpacked/images/"),
        ("/scratch/here/", "there/"),
        ("../../outside/", "there/"),
    ],
)
def test_paths_of_another_machine_are_found(tmp_path, listed, stored):
    files = {n: d for n, d in content(listed).items() if n.endswith(".csv")}
    files |= {n: d for n, d in content(stored).items() if n.endswith(".tif")}
    write(tmp_path, files)
    train = fetch_ptceo2(data_home=tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(0), image(1)])


def test_nothing_outside_the_folder_is_read(tmp_path):
    home = tmp_path / "home"
    files = content("../secret/")
    write(home, files)  # "../secret" of the lists lies beside home
    assert (tmp_path / "secret" / ROWS[0].format(folder="").split(",")[0]).is_file()
    with pytest.raises(FileNotFoundError, match="2 of 2 images"):
        fetch_ptceo2(data_home=home)


def test_same_name_in_two_folders_is_told_apart(tmp_path):
    # tilts are not in the names, so that a name alone does not say which image it is
    name = "PtNp1-D0_240slc_1024x1024_7nmDefocus.tif"
    rows = [f"/old/{i}/{name},PtNp1-D0,1,1,40,{i},0,0,0,300,7,white" for i in (1, 2)]
    (tmp_path / "train_white.csv").write_text("\n".join([HEADER, *rows]))
    for i in (1, 2):
        (tmp_path / str(i)).mkdir()
        tifffile.imwrite(tmp_path / str(i) / name, image(i))
    train = fetch_ptceo2(data_home=tmp_path, load_images=True)
    assert np.array_equal(train.data, [image(1), image(2)])
    assert train.frame["tilt_x"].tolist() == [1, 2]

    # with one of them gone, the other must not stand in for it, not even for one row alone
    (tmp_path / "2" / name).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 images"):
        fetch_ptceo2(data_home=tmp_path)
    (tmp_path / "test_white.csv").write_text("\n".join([HEADER, rows[1]]))
    with pytest.raises(FileNotFoundError, match="1 of 1 images"):
        fetch_ptceo2(subset="test", data_home=tmp_path)


def test_ambiguous_copies_are_refused(tmp_path):
    write(tmp_path, content("images/") | content("spare/images/"))
    lines = [HEADER, ROWS[0].format(folder="/old/images/")]
    (tmp_path / "test_white.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"Several files .* can be '/old/images/PtNp1"):
        fetch_ptceo2(subset="test", data_home=tmp_path)


def test_two_rows_cannot_share_a_file(tmp_path):
    write(tmp_path, content())
    lines = [HEADER, ROWS[0].format(folder="images/"), ROWS[0].format(folder="x/images/")]
    (tmp_path / "train_white.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="lead to the same file"):
        fetch_ptceo2(data_home=tmp_path)


def test_missing_images_are_named_or_dropped(tmp_path):
    files = content()
    del files["images/PtNp1-D0_240slc_1024x1024_7nmDefocus.tif"]
    write(tmp_path, files)
    with pytest.raises(FileNotFoundError, match=r"(?s)1 of 2 images.*PtNp1-D0_240.*make_ptceo2"):
        fetch_ptceo2(data_home=tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 images .* left out"):
        train = fetch_ptceo2(data_home=tmp_path, on_missing="drop", load_images=True)
    assert train.frame["structure"].tolist() == ["PtNp3"]
    assert np.array_equal(train.data, [image(1)])
    # one that is there is all that was asked for
    assert len(fetch_ptceo2(data_home=tmp_path, on_missing="drop", n_images=1).frame) == 1


def test_missing_list_names_the_others(tmp_path):
    write(tmp_path, content())
    with pytest.raises(FileNotFoundError, match=r"no train_black\.csv.*there are test_white\.csv"):
        fetch_ptceo2(contrast="black", data_home=tmp_path)
    with pytest.raises(FileNotFoundError, match="pass that as data_home"):
        write(tmp_path / "home" / "dataset", content())
        fetch_ptceo2(data_home=tmp_path / "home")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Cannot read the list"),
        (HEADER, "0 rows"),
        ("image,particle\na.tif,PtNp1-D0", "2 columns; expected .* 10 defocus"),
        (ROWS[0] + "\n" + ROWS[1], "first line must name"),
        (HEADER + ",index\n" + "7," + ROWS[0], "column 'path'.*got 7"),
        (HEADER + "\n" + ROWS[0].replace(",PtNp1-D0,", ",PtNp1,"), "column 'particle'.*'PtNp1'"),
        (HEADER + "\n" + ROWS[0].replace("white", "grey"), "column 'contrast'.*'grey'"),
        (HEADER + "\n" + ROWS[0].replace(",40,", ",thick,"), "column 'thickness'.*'thick'"),
        (HEADER + "\n" + ROWS[0] + "\n" + ROWS[1].replace(",9,", ",,"), "row 1, column 'defocus'"),
    ],
)
def test_lists_of_another_layout_are_refused(tmp_path, text, message):
    (tmp_path / "train_white.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path)


def test_list_of_other_contrasts_is_pointed_out(tmp_path):
    files = content()
    files["train_white.csv"] = files["train_white.csv"].replace(b"9,white", b"9,black")
    write(tmp_path, files)
    with pytest.warns(UserWarning, match="other contrasts too: black"):
        train = fetch_ptceo2(data_home=tmp_path)
    assert train.frame["contrast"].tolist() == ["white", "black"]


def test_images_of_different_size_need_a_common_one(tmp_path):
    write(tmp_path, content())
    larger = image(9, (SHAPE[0] + 6, SHAPE[1] + 10))
    tifffile.imwrite(next(tmp_path.glob("images/PtNp3*")), larger)
    with pytest.raises(ValueError, match="differ in size.*shape="):
        fetch_ptceo2(data_home=tmp_path, load_images=True)
    train = fetch_ptceo2(data_home=tmp_path, load_images=True, shape=SHAPE)
    assert np.array_equal(train.data[1], larger[3:-3, 5:-5])
    with pytest.raises(ValueError, match="fewer than shape"):
        fetch_ptceo2(data_home=tmp_path, load_images=True, shape=(181, 10))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"II*\0 and then nothing", "Delete a damaged file"),
        (b"", "is empty .*Delete a damaged file"),
        (tiff(image(0))[:-1], "1 bytes are missing"),
        (tiff(image(0), rowsperstrip=8)[:-5000], "bytes are missing"),
        (np.ones((4, 4), np.uint8), "dtype uint8; expected .* floating-point"),
        (np.ones((2, 4, 4), np.float32), r"shape \(2, 4, 4\)"),
        (np.full((4, 4), np.nan, np.float32), "NaN, inf or negative"),
        (-np.ones((4, 4), np.float32), "NaN, inf or negative"),
    ],
)
def test_damaged_images_are_refused(tmp_path, stored, message):
    write(tmp_path, content())
    path = next(tmp_path.glob("images/PtNp1*"))
    if isinstance(stored, bytes):
        path.write_bytes(stored)
    else:
        tifffile.imwrite(path, stored, photometric="minisblack")
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path, load_images=True)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"subset": "training"}, "subset"),
        ({"contrast": "grey"}, "contrast"),
        ({"contrast": []}, "contrast"),
        ({"contrast": "white-white"}, "contrast"),
        ({"contrast": 3}, "contrast"),
        ({"n_images": 0}, "n_images"),
        ({"n_images": 1.5}, "n_images"),
        ({"on_missing": "ignore"}, "on_missing"),
        ({"shape": (5, 5)}, "load_images=True"),
        ({"shape": 5, "load_images": True}, "shape"),
        ({"shape": (5, 0), "load_images": True}, "shape"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "/a/folder"}, "base_url"),
    ],
)
def test_bad_requests_are_refused(tmp_path, keywords, message):
    with pytest.raises(ValueError, match=message):
        fetch_ptceo2(data_home=tmp_path, **keywords)
    assert listing(tmp_path) == set()


def test_data_home_must_be_a_path():
    with pytest.raises(TypeError, match="data_home.*3"):
        fetch_ptceo2(data_home=3)


def test_default_folder_is_the_cache_of_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("TEMDENOISE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = os.path.join(pooch.os_cache("temdenoise"), "ptceo2")
    with pytest.raises(FileNotFoundError, match=re.escape(repr(expected))):
        fetch_ptceo2(subset="test", download_if_missing=False)
