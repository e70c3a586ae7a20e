"""What files say of themselves: values, scale, and which of several images is meant."""

import numpy as np
import pytest
import tifffile

from temdenoise import read_stack
from temdenoise.cli import main

COUNTS = np.random.default_rng(0).poisson(2.0, (3, 12, 10)).astype(np.uint8)


# --- ImageJ's calibration function ----------------------------------------------------------------


def imagej(path, array, **said):
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "TYX", **said})


@pytest.mark.parametrize("mmap", [False, True])
def test_signed_images_of_imagej(tmp_path, mmap):
    signed = np.array([[[-32768, -1, 0], [1, 7, 32767]]], np.int16)
    stored = (signed.astype(np.int32) + 32768).astype(np.uint16)
    imagej(tmp_path / "a.tif", stored, cf=0, c0=-32768.0, c1=1.0, vunit="Gray Value")
    back = read_stack(tmp_path / "a.tif", mmap=mmap)
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, signed)
    line = {"offset": -32768.0, "slope": 1.0, "unit": "Gray Value"}
    assert back.metadata["calibration"] == line


@pytest.mark.parametrize(
    ("dtype", "c0", "c1", "expected"),
    [(np.uint8, -5, 1, np.int32), (np.uint16, 10, 0.5, np.float32), (np.uint8, 0, 1, np.uint8)],
)
def test_straight_lines(tmp_path, dtype, c0, c1, expected):
    imagej(tmp_path / "a.tif", COUNTS.astype(dtype), cf=0, c0=c0, c1=c1, vunit="e-")
    back = read_stack(tmp_path / "a.tif")
    assert back.dtype == expected
    np.testing.assert_array_equal(back, c0 + c1 * COUNTS.astype(float))
    assert ("calibration" in back.metadata) == (c1 != 1 or c0 != 0)


def test_functions_that_are_not_applied(tmp_path):
    path = tmp_path / "a.tif"
    imagej(path, COUNTS, cf=7, c0=1.0, c1=2.0)
    with pytest.warns(UserWarning, match="no straight line .*number 7") as caught:
        np.testing.assert_array_equal(read_stack(path), COUNTS)
    assert caught[0].filename == __file__
    imagej(path, COUNTS, cf=20, c0=5.0, c1=1.0)  # "none"
    np.testing.assert_array_equal(read_stack(path), COUNTS)
    imagej(path, COUNTS.astype(np.float32), cf=0, c0=5.0, c1=1.0)  # not for floats, as in ImageJ
    np.testing.assert_array_equal(read_stack(path), COUNTS)
    for c0, c1 in ((5.0, 0.0), ("nan", 1.0), ("many", 1.0)):
        imagej(path, COUNTS, cf=0, c0=c0, c1=c1)
        with pytest.raises(ValueError, match="function that is not valid.*Correct or remove it"):
            read_stack(path)


# --- scale ----------------------------------------------------------------------------------------


def micrograph(path, size, unit, *, type_="s", **options):
    """Write the private tags that DigitalMicrograph exports."""
    x, y = size
    text = unit if type_ == "s" else unit.encode("utf-16-le")
    count = 0 if type_ == "s" else len(text)
    tags = [(code, type_, count, text, True) for code in (65003, 65004)]
    tags += [(65006, "d", 1, 0.0, True), (65007, "d", 1, 0.0, True)]
    tags += [(65009, "d", 1, x, True), (65010, "d", 1, y, True)]
    options = {"photometric": "minisblack", "metadata": None, "extratags": tags, **options}
    tifffile.imwrite(path, COUNTS[0], **options)


@pytest.mark.parametrize("type_", ["s", "B"])
@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [("nm", 0.00622, 6.22), ("µm", 6.22e-6, 6.22), ("um", 6.22e-6, 6.22), ("Å", 0.0622, 6.22)],
)
def test_scale_of_digital_micrograph(tmp_path, type_, unit, size, expected):
    if type_ == "s" and not unit.isascii():
        unit = unit.encode("latin-1")
    micrograph(tmp_path / "a.tif", (size, size), unit, type_=type_)
    assert read_stack(tmp_path / "a.tif").pixel_size == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["1/nm", "mrad", "nm^-1", "s"])
def test_units_that_are_no_length(tmp_path, unit):
    micrograph(tmp_path / "a.tif", (0.1, 0.1), unit)
    imagej(tmp_path / "b.tif", COUNTS, unit=unit)
    tifffile.imwrite(tmp_path / "b.tif", COUNTS, imagej=True, resolution=(9, 9), metadata={
        "axes": "TYX", "unit": unit
    })  # fmt: skip
    for name in ("a.tif", "b.tif"):
        with pytest.warns(UserWarning, match=f"is in '.*{unit[-2:]}', which is no length"):
            assert read_stack(tmp_path / name).pixel_size is None


def test_pixels_that_do_not_fit_or_are_impossible(tmp_path):
    path = tmp_path / "a.tif"
    micrograph(path, (0.1, 0.2), "nm")
    with pytest.warns(UserWarning, match=r"not square \(100 x 200 pm\)"):
        assert read_stack(path).pixel_size is None
    for size in (1e-9, -0.1, np.nan, np.inf, 1e9):
        micrograph(path, (size, size), "nm")
        with pytest.warns(UserWarning, match="which is impossible.*give the pixel size in pm"):
            assert read_stack(path).pixel_size is None
    micrograph(path, (0.0, 0.0), "nm")
    assert read_stack(path).pixel_size is None


def test_the_scale_of_the_microscope_goes_before_that_of_a_printer(tmp_path):
    path = tmp_path / "a.tif"
    micrograph(path, (0.00622, 0.00622), "nm", resolution=(72, 72), resolutionunit="INCH")
    assert read_stack(path).pixel_size == pytest.approx(6.22)
    # 72 dpi, as ImageJ saves a picture from elsewhere
    said = {"axes": "TYX", "unit": "inch"}
    tifffile.imwrite(path, COUNTS, imagej=True, resolution=(72, 72), metadata=said)
    assert read_stack(path).pixel_size is None


# --- several series -------------------------------------------------------------------------------


def test_a_preview_beside_the_data(tmp_path):
    path = tmp_path / "a.tif"
    micrograph_tags = [(65003, "s", 0, "nm", True), (65004, "s", 0, "nm", True)]
    micrograph_tags += [(65009, "d", 1, 0.01, True), (65010, "d", 1, 0.01, True)]
    preview = np.zeros((12, 10, 3), np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(preview, photometric="rgb", metadata=None, resolution=(72, 72))
        tiff.write(COUNTS[0, :6, :5], metadata=None, subfiletype=1)  # a reduced copy
        tiff.write(COUNTS[0].astype(np.uint16), metadata=None, extratags=micrograph_tags)
    back = read_stack(path)
    np.testing.assert_array_equal(back, COUNTS[:1])
    assert back.dtype == np.uint16
    assert back.pixel_size == pytest.approx(10)  # of the page that is read
    assert back.metadata["series"] == 2
    np.testing.assert_array_equal(read_stack(path, series=1), COUNTS[:1, :6, :5])
    with pytest.raises(ValueError, match="colour images"):
        read_stack(path, series=0)
    for series in (3, -1, "data"):
        with pytest.raises(ValueError, match=r"no series .*0: YXS \(12, 10, 3\) uint8 colour; 1: "):
            read_stack(path, series=series)
    for series in (1.0, True, [0]):
        with pytest.raises(TypeError, match="series must be a number or a name"):
            read_stack(path, series=series)


def test_several_images_must_be_chosen_from(tmp_path, capsys):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name, size in (("search", 80.0), ("exposure", 6.22)):
            said = {"axes": "TYX", "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size}
            said |= {"PhysicalSizeXUnit": "pm", "PhysicalSizeYUnit": "pm"}
            tiff.write(COUNTS + (name == "exposure"), metadata=said)
    with pytest.raises(ValueError, match=r"2 image series.*series=0 .*0: 'search' TYX \(3, 12, 10"):
        read_stack(path)
    for series in (1, "exposure", np.int64(1)):
        back = read_stack(path, series=series)
        np.testing.assert_array_equal(back, COUNTS + 1)
        assert back.pixel_size == pytest.approx(6.22)
    line = ["denoise", str(path), "-o", str(tmp_path / "b.tif"), "--method", "lowpass"]
    assert main(line) == 2
    assert "(--series)" in capsys.readouterr().err
    assert main([*line, "--series", "exposure"]) == 0
    assert read_stack(tmp_path / "b.tif").pixel_size == pytest.approx(6.22)
    assert main([*line, "--series", "0", "--overwrite"]) == 0
    assert read_stack(tmp_path / "b.tif").pixel_size == pytest.approx(80)


def test_arrays_of_an_npz_are_series(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=COUNTS, b=COUNTS + 1, data=COUNTS + 2, pixel_size=5.0)
    for series, expected in ((None, COUNTS + 2), ("b", COUNTS + 1), (0, COUNTS)):
        back = read_stack(path, series=series)
        np.testing.assert_array_equal(back, expected)
        assert back.pixel_size == 5.0
    with pytest.raises(ValueError, match="no series 'c'.*0: 'a'; 1: 'b'; 2: 'data'; 3: 'pixel"):
        read_stack(path, series="c")
