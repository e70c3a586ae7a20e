"""What is written is read back; what cannot be read is refused with words."""

import json

import numpy as np
import pytest
import tifffile

import temdenoise.io._write
from temdenoise.images import ImageStack
from temdenoise.io import read_stack, write_stack


@pytest.fixture
def stack():
    return np.random.default_rng(0).poisson(2.0, (5, 23, 31)).astype(np.uint8)


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF", ".npy"])
def test_round_trip(tmp_path, stack, suffix, mmap):
    path = tmp_path / f"movie{suffix}"
    assert write_stack(path, stack, pixel_size=6.22, metadata={"dose": 0.45}) is None
    assert contents(tmp_path) == [path.name]
    back = read_stack(path, mmap=mmap)
    np.testing.assert_array_equal(back, stack)
    assert back.dtype == np.float32
    assert back.metadata["axes"] == "TYX"
    if suffix != ".npy":
        assert back.pixel_size == pytest.approx(6.22, rel=1e-6)
        assert back.metadata["info"] == {"dose": 0.45}
    assert type(back) is ImageStack
    assert isinstance(back.base, np.memmap) == mmap
    assert type(back[1:].metadata["path"]) is str
    assert back.metadata["path"] == str(path)


def test_a_stack_is_written_with_its_own_pixel_size(tmp_path, stack):
    images = ImageStack(stack, pixel_size=5.5)
    write_stack(tmp_path / "own.tif", images)
    write_stack(tmp_path / "given.tif", images, pixel_size=6.22)  # what is given wins
    write_stack(tmp_path / "none.tif", images[:, ::2])
    sizes = [read_stack(tmp_path / f"{name}.tif").pixel_size for name in ("own", "given", "none")]
    assert sizes == [pytest.approx(5.5), pytest.approx(6.22), None]
    # as it came from a file
    write_stack(tmp_path / "again.tif", read_stack(tmp_path / "own.tif", mmap=True)[1:3])
    again = read_stack(tmp_path / "again.tif")
    np.testing.assert_array_equal(again, stack[1:3])
    assert again.pixel_size == pytest.approx(5.5)


def test_one_image_round_trip(tmp_path, stack):
    write_stack(tmp_path / "a.tif", stack[:1], pixel_size=4.89)
    back = read_stack(tmp_path / "a.tif")
    np.testing.assert_array_equal(back, stack[:1])
    assert back.pixel_size == pytest.approx(4.89, rel=1e-6)


def test_another_reader_sees_what_imagej_needs(tmp_path, stack):
    write_stack(tmp_path / "a.tif", stack, pixel_size=6.22)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["images"] == 5
        assert tiff.imagej_metadata["unit"] == "nm"
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
        assert denominator / numerator == pytest.approx(6.22e-3, rel=1e-6)
        assert tiff.asarray().dtype == np.float32


def test_large_stacks_become_ome_bigtiff(tmp_path, stack, monkeypatch):
    monkeypatch.setattr(temdenoise.io._write, "_MAX_CLASSIC_TIFF", 1000)
    path = tmp_path / "a.tif"
    write_stack(path, iter(stack), shape=stack.shape, pixel_size=6.22, metadata={"a": [1, "<é>"]})
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff and tiff.is_ome
    back = read_stack(path)
    np.testing.assert_array_equal(back, stack)
    assert back.pixel_size == pytest.approx(6.22)
    assert back.metadata["info"] == {"a": [1, "<é>"]}


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_iterator_of_images(tmp_path, stack, suffix):
    path = tmp_path / f"a{suffix}"
    write_stack(path, (image for image in stack), shape=stack.shape)
    np.testing.assert_array_equal(read_stack(path), stack)


@pytest.mark.parametrize("n_images", [0, 4, 6])
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_iterator_of_another_length(tmp_path, stack, suffix, n_images):
    images = np.concatenate([stack, stack])[:n_images]
    with pytest.raises(ValueError, match="Expected 5 images|does not fit"):
        write_stack(tmp_path / f"a{suffix}", iter(images), shape=stack.shape)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "u4", "f2", "f4", "f8", ">u2", ">f4", bool])
def test_read_tiff_of_any_dtype(tmp_path, stack, dtype):
    data = stack.astype(dtype)
    order = ">" if np.dtype(dtype).byteorder == ">" else "<"
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=order, photometric="minisblack")
    back = read_stack(tmp_path / "a.tif")
    np.testing.assert_array_equal(back, data)
    assert back.dtype.kind == np.dtype(dtype).kind
    assert back.pixel_size is None


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_read_pages_compressed_or_not(tmp_path, stack, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image in stack:
            tiff.write(image, compression=compression, contiguous=False)
    for mmap in (False, True):
        np.testing.assert_array_equal(read_stack(tmp_path / "a.tif", mmap=mmap), stack)


def test_two_dimensional_files_are_stacks_of_one(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack[0])
    np.save(tmp_path / "a.npy", stack[0])
    for name in ("a.tif", "a.npy"):
        back = read_stack(tmp_path / name)
        np.testing.assert_array_equal(back, stack[:1])
        assert back.metadata["axes"] == "YX"


def test_singleton_axes_are_dropped(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.tif", stack[:, None, None], imagej=True, metadata={"axes": "TZCYX"}
    )
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif"), stack)
    np.save(tmp_path / "a.npy", stack[None])
    np.testing.assert_array_equal(read_stack(tmp_path / "a.npy"), stack)


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("nm", 1000 / 6.22, 6.22),
        ("pm", 1 / 6.22, 6.22),
        ("Å", 100 / 6.22, 6.22),
        ("A", 100 / 6.22, 6.22),
        ("angstrom", 100 / 6.22, 6.22),
        ("um", 1e6 / 62.2, 62.2),
        ("micron", 1e6 / 62.2, 62.2),
        ("\\u00B5m", 1e6 / 62.2, 62.2),
        ("pixel", 1.0, None),
    ],
)
def test_imagej_units(tmp_path, stack, unit, per_unit, expected):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"axes": "TYX", "unit": unit if unit.isascii() else "\\u00C5"},
    )
    pixel_size = read_stack(tmp_path / "a.tif").pixel_size
    assert pixel_size == (expected and pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize(
    ("unit", "size", "pm"),
    [("nm", 0.00622, 6.22), ("Å", 0.0622, 6.22), ("pm", 6.22, 6.22), ("µm", 6.22e-6, 6.22)],
)
def test_ome_units(tmp_path, stack, unit, size, pm):
    details = {"axes": "TYX", "PhysicalSizeX": size, "PhysicalSizeY": size}
    details |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata=details)
    back = read_stack(tmp_path / "a.ome.tif")
    assert back.pixel_size == pytest.approx(pm)
    np.testing.assert_array_equal(back, stack)


def test_resolution_in_centimetres_is_believed_only_where_no_printer_reaches(tmp_path, stack):
    for per_cm, expected in ((1e10 / 6.22, 6.22), (118.11, None)):  # 118.11 / cm = 300 dpi
        tifffile.imwrite(
            tmp_path / "a.tif", stack, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
        )
        pixel_size = read_stack(tmp_path / "a.tif").pixel_size
        assert pixel_size == (expected and pytest.approx(expected, rel=1e-5))


def test_pixels_that_are_not_square(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, resolution=(160, 120), metadata={"unit": "nm"}
    )
    with pytest.warns(UserWarning, match=r"not square \(6.25 x 8.333 pm\)"):
        assert read_stack(tmp_path / "a.tif").pixel_size is None


def test_npz(tmp_path, stack):
    np.savez(tmp_path / "one.npz", images=stack)
    np.savez(tmp_path / "named.npz", data=stack, other=[1, 2], pixel_size=19.53)
    np.savez(tmp_path / "two.npz", a=stack, b=stack)
    np.testing.assert_array_equal(read_stack(tmp_path / "one.npz"), stack)
    back = read_stack(tmp_path / "named.npz", mmap=True)
    np.testing.assert_array_equal(back, stack)
    assert back.pixel_size == 19.53
    with pytest.raises(ValueError, match=r"2 arrays \(a, b\). Name the images 'data'"):
        read_stack(tmp_path / "two.npz")


@pytest.mark.parametrize("said", [0, -6.22, np.nan, 1e300, 6e-12, "6.22", [6.22, 6.22], True, None])
def test_npz_with_a_bad_pixel_size(tmp_path, stack, said):
    np.savez(tmp_path / "a.npz", data=stack, pixel_size=said)
    with pytest.raises(ValueError, match="a.npz' .*(one positive number, in pm|Python objects)"):
        read_stack(tmp_path / "a.npz")


# --- what cannot be read ---------------------------------------------------------------------


def test_missing_empty_unknown_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file .*nowhere.tif"):
        read_stack(tmp_path / "nowhere.tif")
    with pytest.raises(ValueError, match="is a folder"):
        read_stack(tmp_path)
    for name in ("a.tif", "a.npy", "a.npz"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=r"is empty \(0 bytes\)"):
            read_stack(tmp_path / name)
    (tmp_path / "a.dm3").write_bytes(b"something")
    with pytest.raises(ValueError, match="unknown format '.dm3'.*export"):
        read_stack(tmp_path / "a.dm3")


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_garbage(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for junk in (
        b"x",
        b"not an image at all" * 40,
        b"II*\x00" + b"\xff" * 400,
        b"\x93NUMPY\x01\x00",
    ):
        path.write_bytes(junk)
        with pytest.raises(ValueError, match=r"Cannot read .*damaged, truncated") as info:
            read_stack(path)
        assert "pickle" not in str(info.value)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", ["imagej", "pages", "zlib", "big", "npy", "npz"])
def test_truncated_anywhere(tmp_path, stack, kind, mmap):
    path = tmp_path / ("a." + (kind if kind.startswith("np") else "tif"))
    if kind == "npy":
        np.save(path, stack)
    elif kind == "npz":
        np.savez(path, data=stack)
    elif kind == "imagej":
        write_stack(path, stack, pixel_size=6.22)
    else:
        compression = "zlib" if kind == "zlib" else None
        with tifffile.TiffWriter(path, bigtiff=kind == "big") as tiff:
            for image in stack:
                tiff.write(image, compression=compression, contiguous=False, metadata=None)
    whole = path.read_bytes()
    read_stack(path, mmap=mmap)
    for fraction in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        path.write_bytes(whole[: int(len(whole) * fraction)])
        with pytest.raises(ValueError, match="damaged, truncated"):
            read_stack(path, mmap=mmap)


def test_pages_in_a_loop(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack[0], metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages[0].offset
    n_tags = int.from_bytes(data[first : first + 2], "little")
    data[first + 2 + 12 * n_tags :][:4] = b""
    data[first + 2 + 12 * n_tags : first + 6 + 12 * n_tags] = first.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="loop"):
        read_stack(path)


@pytest.mark.parametrize("photometric", ["rgb", None])
def test_colour(tmp_path, photometric):
    image = np.zeros((20, 30, 3), np.uint8)
    path = tmp_path / "a.tif"
    if photometric:
        tifffile.imwrite(path, image, photometric=photometric)
    else:
        tifffile.imwrite(path, np.zeros((4, 20, 30, 4), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="colour images"):
        read_stack(path)


def test_three_frames_stored_as_colours_and_the_mend(tmp_path):
    frames = np.random.default_rng(0).poisson(2, (3, 20, 30)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, frames, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="these are 3 frames, .*photometric='minisblack'"):
        read_stack(path)
    tifffile.imwrite(path, frames, photometric="minisblack")
    np.testing.assert_array_equal(read_stack(path), frames)
    tifffile.imwrite(path, np.moveaxis(frames, 0, -1), photometric="rgb")
    with pytest.raises(ValueError, match="3 colours are frames, move them to the front"):
        read_stack(path)


def test_too_many_axes_series_and_wrong_dtypes(tmp_path, stack):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 4, 4)))
    with pytest.raises(ValueError, match=r"shape \(2, 2, 4, 4\)"):
        read_stack(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros(4))
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        read_stack(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((4, 4), complex))
    with pytest.raises(ValueError, match="complex128, but images must be real"):
        read_stack(tmp_path / "c.npy")
    np.save(tmp_path / "d.npy", np.array([[None, {}]]), allow_pickle=True)
    np.savez(tmp_path / "d.npz", data=np.array([[None, {}]]))
    for name in ("d.npy", "d.npz"):
        with pytest.raises(ValueError, match="holds Python objects.* one array of numbers"):
            read_stack(tmp_path / name)
    np.save(tmp_path / "e.npy", np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="holds no image"):
        read_stack(tmp_path / "e.npy")
    with tifffile.TiffWriter(tmp_path / "f.tif") as tiff:
        tiff.write(stack, metadata=None)
        tiff.write(stack[0, :10, :10], metadata=None)
    with pytest.raises(ValueError, match="2 image series"):
        read_stack(tmp_path / "f.tif")


# --- what cannot be written ------------------------------------------------------------------


def test_existing_output_is_untouched_unless_asked(tmp_path, stack):
    path = tmp_path / "a.tif"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already.*overwrite"):
        write_stack(path, stack)
    assert path.read_bytes() == b"precious"
    write_stack(path, stack, overwrite=True)
    np.testing.assert_array_equal(read_stack(path), stack)


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_nothing_is_left_of_a_failure(tmp_path, stack, suffix, error):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"precious")

    def images():
        yield from stack[:3]
        raise error

    with pytest.raises(type(error)):
        write_stack(path, images(), shape=stack.shape, overwrite=True)
    assert contents(tmp_path) == [path.name]
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "data", "options", "error", "message"),
    [
        ("a.png", np.ones((1, 4, 4)), {}, ValueError, "ends in .tif"),
        ("no/a.tif", np.ones((1, 4, 4)), {}, FileNotFoundError, "There is no folder.*make it"),
        ("a.tif", np.ones((4, 4)), {}, ValueError, r"image\[np.newaxis\]"),
        ("a.tif", np.ones((0, 4, 4)), {}, ValueError, "non-empty"),
        ("a.tif", np.ones((2, 4, 4), complex), {}, ValueError, "complex"),
        ("a.npy", np.full((2, 4, 4), 1e39), {}, ValueError, "too large for float32"),
        ("a.tif", iter([np.ones((4, 4))]), {}, ValueError, "Pass shape="),
        ("a.tif", np.ones((1, 4, 4)), {"pixel_size": -1}, ValueError, "pixel_size"),
        ("a.tif", np.ones((1, 4, 4)), {"pixel_size": "6.22 pm"}, TypeError, "a number, in pm"),
        ("a.tif", np.ones((1, 4, 4)), {"metadata": {"a": object()}}, TypeError, "JSON"),
    ],
)
def test_refused_output(tmp_path, name, data, options, error, message):
    with pytest.raises(error, match=message):
        write_stack(tmp_path / name, data, **options)
    assert contents(tmp_path) == []


def test_nan_and_inf_are_kept(tmp_path):
    data = np.array([[[np.nan, np.inf, -np.inf, 1.0]]])
    write_stack(tmp_path / "a.tif", data)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif"), data.astype(np.float32))


def test_lists_are_arrays(tmp_path):
    write_stack(tmp_path / "a.npy", [[[1, 2], [3, 4]]])
    assert json.loads(json.dumps(read_stack(tmp_path / "a.npy").tolist())) == [[[1, 2], [3, 4]]]
