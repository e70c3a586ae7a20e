"""The movie: from a record with the programming interface of Zenodo, and as cameras store it."""

import hashlib
import io
import json

import numpy as np
import pytest
import tifffile
from mirror_site import sha256, tiff, write, zipped

from temdenoise import ImageStack, read_stack
from temdenoise.datasets import fetch_ptceo2_movie

MOVIE = np.random.default_rng(3).poisson(1.6, (5, 40, 50)).astype(np.uint8)


def pages(stack):
    """A TIFF file written page by page, as cameras do."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, metadata=None)
    return buffer.getvalue()


@pytest.fixture
def record(site):
    """A record with the programming interface and checksums of Zenodo."""
    files = {
        "Figure 4.zip": zipped(
            {
                "Figure 4/raw.tif": tiff(MOVIE),
                "Figure 4/notes.txt": b"",
                "__MACOSX/Figure 4/._raw.tif": b"not an image",
            }
        ),
        "Figure 5.zip": zipped({"a/raw.tif": tiff(MOVIE[:3]), "udvd.tif": tiff(MOVIE[0])}),
        "packed.tif": tiff(MOVIE, compression="zlib"),
        "colour.tif": tiff(np.zeros((4, 8, 8, 3), np.uint8), photometric="rgb"),
        "readme.zip": zipped({"readme.txt": b"hello"}),
    }
    site.files = {f"/records/14618961/files/{name}": data for name, data in files.items()}
    listed = [
        {"key": name, "checksum": f"md5:{hashlib.md5(data).hexdigest()}", "size": len(data)}
        for name, data in files.items()
    ]
    site.files["/api/records/14618961"] = json.dumps({"id": 14618961, "files": listed}).encode()
    site.url = f"{site.host}/records/14618961/files"
    return site


def fetch_movie(site, home, *args, **keywords):
    return fetch_ptceo2_movie(*args, data_home=home, base_url=site.url, delay=0.01, **keywords)


def test_what_a_file_says_of_its_pixels_is_not_believed(tmp_path):
    folder = tmp_path / "ptceo2_movie" / "Figure 4"
    folder.mkdir(parents=True)
    options = {"imagej": True, "resolution": (160, 160), "metadata": {"unit": "nm", "axes": "TYX"}}
    tifffile.imwrite(folder / "movie.tif", MOVIE, **options)
    assert read_stack(folder / "movie.tif").pixel_size == 6.25
    assert fetch_ptceo2_movie(data_home=tmp_path).data.pixel_size is None


def test_movie_is_fetched_from_its_record_once(tmp_path, record):
    movie = fetch_movie(record, tmp_path)
    assert type(movie.data) is ImageStack
    assert isinstance(movie.data.base, np.memmap)
    assert np.array_equal(movie.data, MOVIE)
    assert movie.data.dtype == np.uint8
    assert movie.pixel_size is movie.data.pixel_size is None
    assert movie.data.metadata["path"] == movie.filename
    assert "14618961" in movie.DESCR
    assert len(record.requests) == 2
    record.stop()
    again = fetch_movie(record, tmp_path, mmap=False)
    assert not isinstance(again.data.base, np.memmap)
    assert np.array_equal(again.data, MOVIE)
    assert again.filename == movie.filename


def test_movie_of_several_is_chosen_by_name(tmp_path, record):
    with pytest.raises(ValueError, match=r"several TIFF files.*'a/raw\.tif', 'udvd\.tif'"):
        fetch_movie(record, tmp_path, "Figure 5.zip")
    for member in ("raw.tif", "a/raw.tif"):
        movie = fetch_movie(record, tmp_path, "Figure 5.zip", member=member)
        assert np.array_equal(movie.data, MOVIE[:3])
    assert fetch_movie(record, tmp_path, "Figure 5.zip", member="udvd.tif").data.shape[0] == 1
    with pytest.raises(ValueError, match="no files 'x.tif'"):
        fetch_movie(record, tmp_path, "Figure 5.zip", member="x.tif")
    # another file of the record does not get in the way
    assert len(fetch_movie(record, tmp_path).data) == 5


def test_bare_movie_and_compressed_one(tmp_path, record):
    movie = fetch_movie(record, tmp_path, "packed.tif")
    assert np.array_equal(movie.data, MOVIE)
    assert movie.filename == str(tmp_path / "ptceo2_movie" / "packed.tif")


def test_movie_from_a_mirror_with_a_registry(tmp_path, site, monkeypatch):
    site.files["/mirror/m.tif"] = tiff(MOVIE)
    monkeypatch.setenv("TEMDENOISE_PTCEO2_MOVIE_URL", site.url)
    registry = {"m.tif": sha256(tiff(MOVIE))}
    movie = fetch_ptceo2_movie("m.tif", data_home=tmp_path, registry=registry)
    assert np.array_equal(movie.data, MOVIE)


@pytest.mark.parametrize(
    ("filename", "error", "message"),
    [
        ("Figure 6.zip", ValueError, "no file 'Figure 6.zip', only 'Figure 4.zip'"),
        ("readme.zip", ValueError, "no TIFF file"),
        ("colour.tif", ValueError, "colour images.*Choose another member"),
        ("../x.tif", ValueError, "unsafe path"),
        (4, TypeError, "filename"),
    ],
)
def test_wrong_movies_are_refused(tmp_path, record, filename, error, message):
    with pytest.raises(error, match=message):
        fetch_movie(record, tmp_path, filename)


def test_movie_that_cannot_be_had(tmp_path, record):
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_movie(record, tmp_path, download_if_missing=False)
    assert record.requests == []
    del record.files["/records/14618961/files/Figure 4.zip"]
    with pytest.raises(OSError, match=r"(?s)404.*load_sample_movie"):
        fetch_movie(record, tmp_path)
    record.files["/api/records/14618961"] = b"<html>"
    with pytest.raises(ValueError, match="does not list files with checksums"):
        fetch_movie(record, tmp_path)


def test_half_unpacked_movie_is_not_taken_for_whole(tmp_path, record):
    with pytest.raises(ValueError, match="several"):
        fetch_movie(record, tmp_path, "Figure 5.zip")
    (tmp_path / "ptceo2_movie" / "Figure 5" / "udvd.tif").unlink()
    with pytest.raises(FileNotFoundError):
        fetch_movie(record, tmp_path, "Figure 5.zip", download_if_missing=False)
    movie = fetch_movie(record, tmp_path, "Figure 5.zip", member="udvd.tif")
    assert np.array_equal(movie.data[0], MOVIE[0])


STORED = {
    "plain": tiff(MOVIE),
    "imagej": tiff(MOVIE, imagej=True),
    "bigtiff": tiff(MOVIE, bigtiff=True),
    "big-endian": tiff(MOVIE, byteorder=">"),
    "tiles": tiff(MOVIE, tile=(16, 16)),
    "compressed": tiff(MOVIE, compression="zlib"),
    "pages": pages(MOVIE),
}


@pytest.mark.parametrize("kind", STORED)
def test_movie_is_read_however_it_is_stored(tmp_path, kind):
    write(tmp_path / "ptceo2_movie" / "Figure 4", {"raw.tif": STORED[kind]})
    for mmap in (True, False):
        data = fetch_ptceo2_movie(data_home=tmp_path, mmap=mmap).data
        mapped = mmap and kind not in ("tiles", "compressed", "pages")
        assert isinstance(data.base, np.memmap) == mapped
        assert np.array_equal(data, MOVIE)


@pytest.mark.parametrize("kind", STORED)
def test_truncated_movie_is_refused(tmp_path, kind):
    for lost in (50, MOVIE[0].nbytes, 2 * MOVIE[0].nbytes + 300):
        write(tmp_path / "ptceo2_movie" / "Figure 4", {"raw.tif": STORED[kind][:-lost]})
        for mmap in (True, False):
            with pytest.raises(ValueError, match="damaged"):
                fetch_ptceo2_movie(data_home=tmp_path, mmap=mmap)
