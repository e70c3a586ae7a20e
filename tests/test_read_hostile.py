"""Files that are damaged on purpose: one clear ValueError, no memory, no other file."""

import bz2
import io
import os
import struct
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import tifffile

from temdenoise import read_stack
from temdenoise.cli import main

COUNTS = np.random.default_rng(0).poisson(2.0, (3, 40, 30)).astype(np.uint8)


@pytest.fixture
def memory():
    """Peak of memory in bytes since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def change_tag(path, tag, **new):
    """Write another count or other values into a tag of the first page of a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags[tag]
        offset = entry.offset
        big = tiff.is_bigtiff
        at, form = entry.valueoffset, {3: "H", 4: "I", 16: "Q"}[int(entry.dtype)]
    if "count" in new:
        struct.pack_into("<Q" if big else "<I", data, offset + 4, new["count"])
    if "values" in new:
        struct.pack_into(f"<{len(new['values'])}{form}", data, at, *new["values"])
    path.write_bytes(data)


def plain(path, array=COUNTS[0], **options):
    tifffile.imwrite(path, array, photometric="minisblack", metadata=None, **options)


# --- TIFF -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "lzma", "zstd", None])
@pytest.mark.parametrize("tiled", [False, True])
def test_lossless_compressions(tmp_path, compression, tiled):
    layout = {"tile": (16, 16)} if tiled else {"rowsperstrip": 7}
    for predictor in (False, True):
        options = {"compression": compression, "predictor": predictor and compression is not None}
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            for image in COUNTS:
                tiff.write(image, contiguous=False, metadata=None, **options, **layout)
        np.testing.assert_array_equal(read_stack(tmp_path / "a.tif"), COUNTS)


def test_a_compression_that_is_not_read(tmp_path):
    plain(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(ValueError, match="compressed with JPEG, which is not read.*LZW") as info:
        read_stack(tmp_path / "a.tif")
    assert "damaged" not in str(info.value)


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    plain(tmp_path / "a.tif", compression="lzw")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImportError, match="with LZW, and imagecodecs.*pip install imagecodecs"):
        read_stack(tmp_path / "a.tif")
    assert main(["denoise", str(tmp_path / "a.tif"), "-o", str(tmp_path / "b.tif")]) == 2
    assert "pip install imagecodecs" in capsys.readouterr().err


@pytest.mark.parametrize("compression", ["zlib", "lzw", None])
@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
def test_missing_strips_are_no_zeros(tmp_path, compression, tag):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for image in COUNTS:
            tiff.write(
                image, rowsperstrip=8, compression=compression, contiguous=False, metadata=None
            )
    with tifffile.TiffFile(path) as tiff:
        values = list(tiff.pages[0].tags[tag].value)
    for wrong in (0, 2**16 - 1):
        changed = [*values]
        changed[2] = wrong
        change_tag(path, tag, values=changed)
        with pytest.raises(ValueError, match="data of page 0 is missing|is too short|damaged"):
            read_stack(path)
    change_tag(path, tag, values=values)
    np.testing.assert_array_equal(read_stack(path), COUNTS)


def test_a_strip_without_its_rows(tmp_path):
    path = tmp_path / "a.tif"
    plain(path, compression="zlib", rowsperstrip=40)
    short = zlib.compress(COUNTS[0, :20].tobytes())
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[at : at + len(short)] = short
    path.write_bytes(data)
    change_tag(path, "StripByteCounts", values=[len(short)])
    with pytest.raises(ValueError, match="damaged, truncated"):
        read_stack(path)


def test_impossible_counts_of_tags(tmp_path):
    path = tmp_path / "a.tif"
    plain(path, bigtiff=True)
    good = path.read_bytes()
    first = struct.unpack_from("<Q", good, 8)[0]
    for count in (2**58, 2**64 - 1, 10**4):
        data = bytearray(good)
        struct.pack_into("<Q", data, first, count)
        path.write_bytes(data)
        with pytest.raises(ValueError, match="damaged, truncated"):
            read_stack(path)
    for count in (2**58, 2**63):
        path.write_bytes(good)
        change_tag(path, "StripOffsets", count=count)
        with pytest.raises(ValueError, match="damaged, truncated"):
            read_stack(path)


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_sizes_that_the_data_cannot_fill(tmp_path, memory, compression):
    path = tmp_path / "a.tif"
    plain(path, compression=compression)
    change_tag(path, "ImageWidth", values=[50_000])
    change_tag(path, "ImageLength", values=[50_000])
    change_tag(path, "RowsPerStrip", values=[50_000])
    with pytest.raises(ValueError, match="2500 MB of memory.*pass max_bytes=2500000000"):
        read_stack(path)
    # even when allowed: the data end before their rows
    change_tag(path, "ImageWidth", values=[3000])
    change_tag(path, "ImageLength", values=[3000])
    with pytest.raises(ValueError, match="damaged, truncated"):
        read_stack(path, max_bytes=1e9)
    assert memory() < 4e7


def test_images_that_inflate(tmp_path, memory):
    path = tmp_path / "a.tif"
    plain(path, np.zeros((12_000, 12_000), np.uint8), compression="zlib", rowsperstrip=4000)
    assert path.stat().st_size < 1e6
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="would take 144 MB of memory, but at most 134.2"):
        read_stack(path)
    assert memory() < 1e6 + 2e6
    assert read_stack(path, max_bytes=144_000_000).shape == (1, 12_000, 12_000)
    for limit in (0, -1, np.nan, True, "1 GB"):
        with pytest.raises(ValueError, match="max_bytes must be a positive number"):
            read_stack(path, max_bytes=limit)


def test_a_small_image_in_data_that_inflate(tmp_path, memory):
    """A strip that unpacks to more than its image is cut or refused, not unpacked."""
    path = tmp_path / "a.tif"
    bomb = zlib.compress(bytes(10**8), 9)
    plain(path, compression="zlib")
    start = path.stat().st_size
    with open(path, "ab") as file:
        file.write(bomb)
    change_tag(path, "StripOffsets", values=[start])
    change_tag(path, "StripByteCounts", values=[len(bomb)])
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="damaged, truncated"):
        read_stack(path)
    assert memory() < 3e6
    # a tile that is much larger than its image
    plain(path, compression="zlib", tile=(16, 16))
    change_tag(path, "TileWidth", values=[32_768])
    change_tag(path, "TileLength", values=[32_768])
    with pytest.raises(ValueError, match="damaged|of memory"):
        read_stack(path)
    assert memory() < 3e6


def test_strips_on_top_of_each_other(tmp_path):
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (40, 300), np.uint8)
    plain(path, noise, compression="zlib", rowsperstrip=1)
    with tifffile.TiffFile(path) as tiff:
        offsets, size = tiff.pages[0].dataoffsets, path.stat().st_size
    change_tag(path, "StripByteCounts", values=[size - o for o in offsets])
    with pytest.raises(ValueError, match="lie on top of each other"):
        read_stack(path)


def test_a_movie_is_decoded_frame_by_frame(tmp_path, memory):
    movie = np.broadcast_to(np.arange(256, dtype=np.float32), (40, 256, 256))
    tifffile.imwrite(tmp_path / "a.tif", movie, compression="zlib", photometric="minisblack")
    tracemalloc.reset_peak()
    back = read_stack(tmp_path / "a.tif")
    assert memory() < 1.25 * back.nbytes
    np.testing.assert_array_equal(back, movie)


def test_imagej_files_that_were_cut_off(tmp_path):
    """ImageJ stores all images behind one page, so that no chain of pages is broken."""
    path = tmp_path / "a.tif"
    header = b"ImageJ=1.54f\nimages=3\nframes=3\n"
    tifffile.imwrite(path, COUNTS[0], description=header, metadata=None)
    with open(path, "ab") as file:
        file.write(COUNTS[1].tobytes())
    with pytest.raises(ValueError, match="header says 3 images, and not all are there"):
        read_stack(path)
    with open(path, "ab") as file:
        file.write(COUNTS[2].tobytes())
    np.testing.assert_array_equal(read_stack(path), COUNTS)


# --- OME-TIFF and other files ---------------------------------------------------------------------


def ome_set(folder, name, uuid="urn:uuid:2"):
    """One file of an OME set of two; the other is said to have the given name."""
    path = folder / "first.ome.tif"
    text = f"""<?xml version="1.0"?><OME
    xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">
    <Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="30" SizeY="40" SizeC="1"
    SizeZ="1" SizeT="2"><TiffData IFD="0" FirstT="0" PlaneCount="1"><UUID
    FileName="first.ome.tif">urn:uuid:1</UUID></TiffData><TiffData IFD="0" FirstT="1"
    PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData></Pixels></Image></OME>"""
    tifffile.imwrite(path, COUNTS[0], description=text, metadata=None, photometric="minisblack")
    return path


@pytest.mark.parametrize("name", ["../secret.tif", "{}/secret.tif", "..\\secret.tif", "..", ""])
def test_ome_files_read_no_file_elsewhere(tmp_path, name):
    tifffile.imwrite(tmp_path / "secret.tif", COUNTS[1], metadata=None)
    (tmp_path / "data").mkdir()
    path = ome_set(tmp_path / "data", name.format(tmp_path))
    with pytest.raises(ValueError, match="as a part of it. Only files in the same folder"):
        read_stack(path)


def test_ome_sets_in_one_folder(tmp_path):
    path = ome_set(tmp_path, "second.ome.tif")
    with pytest.raises(ValueError, match="'second.ome.tif' is not beside it"):
        read_stack(path)
    tifffile.imwrite(tmp_path / "second.ome.tif", COUNTS[1], metadata=None)
    np.testing.assert_array_equal(read_stack(path), COUNTS[:2])
    np.testing.assert_array_equal(read_stack(path, mmap=True), COUNTS[:2])
    data = (tmp_path / "second.ome.tif").read_bytes()
    (tmp_path / "second.ome.tif").write_bytes(data[:-900])
    with pytest.raises(ValueError, match="Cannot read|missing"):
        read_stack(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('SizeT="2"', 'SizeT="1000000000"'),
        ('FirstT="1"\n    PlaneCount="1"', 'FirstT="1" PlaneCount="1000000000"'),
        ("</OME>", '<A><ModuloAlongT Start="0" End="1e12"/></A></OME>'),
        ("</OME>", '<A><ModuloAlongT Start="0" End="nan" Step="0.1"/></A></OME>'),
        ("</Image>", "</Imag>"),
    ],
)
def test_ome_xml_that_promises_too_much(tmp_path, memory, old, new):
    path = ome_set(tmp_path, "first.ome.tif", "urn:uuid:1")
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata
    assert old in text
    tifffile.imwrite(path, COUNTS[0], description=text.replace(old, new), metadata=None)
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="damaged, truncated"):
        read_stack(path)
    assert memory() < 3e6


# --- NumPy files ----------------------------------------------------------------------------------


def npy(text, data=b"", version=(1, 0)):
    text = text.encode("latin-1") + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(shape, descr="<f4"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape},), }}"


HEADERS = {
    "no dict": "1 +",
    "no end": header("2, 2")[:-6],
    "a bad token": "{'descr': '<f4\\",
    "deep": "(" * 5000,
    "code": "__import__('os').system('false')",
    "a dtype that is none": header("2, 2", "<q9"),
    "a huge shape": header("100000, 100000"),
    "an endless shape": header("1" + "0" * 400),
    "a shape below zero": header("-2, 2"),
    "zero times huge": header("0, 1" + "0" * 30),
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_damaged_headers(tmp_path, memory, name, mmap):
    data = npy(HEADERS[name], bytes(16))
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", data)
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.raises(ValueError, match=f"'{path}'.*damaged, truncated"):
            read_stack(path, mmap=mmap)
    assert memory() < 3e6
    assert main(["denoise", str(path), "-o", str(tmp_path / "b.npy")]) == 2


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">f8", "?"])
def test_valid_headers(tmp_path, version, order, dtype):
    array = np.asarray(COUNTS.astype(dtype), order=order)
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    for mmap in (False, True):
        back = read_stack(tmp_path / "a.npy", mmap=mmap)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


def test_an_unknown_version(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy("{}", version=(9, 0)))
    with pytest.raises(ValueError, match=r"damaged.*version \(9, 0\)"):
        read_stack(tmp_path / "a.npy")


def test_archives_that_inflate(tmp_path, memory):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("data.npy", "w") as file:
            file.write(npy(header("300, 1000, 1000", "|u1")))
            for _ in range(300):
                file.write(bytes(10**6))
    assert path.stat().st_size < 350_000
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="would take 300 MB of memory.*max_bytes=300000000"):
        read_stack(path)
    assert memory() < 3e6
    # what is shorter than its header says is not made room for, whatever is allowed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", npy(header(2**30, "|u1"), bytes(100)))
    with pytest.raises(ValueError, match="shorter than its header says"):
        read_stack(path, max_bytes=np.inf)
    assert memory() < 3e6


def test_damaged_archives(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, data=COUNTS)
    good = path.read_bytes()
    start = good.index(b"data.npy") + 60
    for changed in (
        good[:start] + bytes(40) + good[start + 40 :],  # zlib.error
        good.replace(b"\x08\x00", b"\x63\x00"),  # a compression that is not known
        good[:-30],
    ):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="damaged, truncated"):
            read_stack(path)
    file = io.BytesIO()
    np.save(file, COUNTS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("data.npy", file.getvalue())
    assert bz2.decompress(bz2.compress(b"a")) == b"a"
    with pytest.raises(ValueError, match="compressed as NumPy does not do it"):
        read_stack(path)
    with zipfile.ZipFile(path, "w") as archive:  # stored: only the checksum notices a flipped bit
        archive.writestr("data.npy", file.getvalue())
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged.*CRC"):
        read_stack(path)


# --- the system -----------------------------------------------------------------------------------


def test_links_are_followed_and_pipes_are_not(tmp_path):
    np.save(tmp_path / "a.npy", COUNTS)
    (tmp_path / "link.npy").symlink_to(tmp_path / "a.npy")
    np.testing.assert_array_equal(read_stack(tmp_path / "link.npy"), COUNTS)
    (tmp_path / "broken.npy").symlink_to(tmp_path / "nowhere.npy")
    with pytest.raises(FileNotFoundError, match="There is no file .*broken.npy"):
        read_stack(tmp_path / "broken.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match="pipe.npy' is a pipe or a device"):
        read_stack(tmp_path / "pipe.npy")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("suffix", ["tif", "npy", "npz"])
def test_files_that_may_not_be_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"something")
    path.chmod(0)
    with pytest.raises(PermissionError, match=f"a.{suffix}"):
        read_stack(path)
