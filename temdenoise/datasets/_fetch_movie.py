"""A real movie by the group that made the paper's data set."""

import os
from importlib.resources import files

from sklearn.utils import Bunch

from temdenoise.datasets._data_home import archive_folder, fill, get_data_home, recorded_files, tidy
from temdenoise.datasets._download import DownloadError, load_registry
from temdenoise.datasets._unpack import safe_parts
from temdenoise.io import read_stack

BASE_URL = "https://zenodo.org/records/14618961/files"

_TIFF = (".tif", ".tiff")


def fetch_ptceo2_movie(
    filename="Figure 4.zip",
    *,
    member=None,
    mmap=True,
    data_home=None,
    base_url=None,
    registry=None,
    download_if_missing=True,
    n_retries=3,
    delay=1.0,
    max_unpacked_size=200 * 10**9,
    verbose=False,
):
    """Load a movie of a Pt nanoparticle on CeO2, recorded by the group behind the paper.

    The movie is from the data of P. A. Crozier et al., Science 387 (2025),
    doi:10.1126/science.ads2688, in Zenodo's record 14618961. It shows the kind of sample of Section
    4.1 of "Deep denoising for scientific discovery: a case study in electron microscopy" (Mohan et
    al., arXiv:2010.12970). It is downloaded once.

    Parameters
    ----------
    filename : str, default="Figure 4.zip"
        File of the record to download: an archive (zip, tar) or a TIFF file.
    member : str, optional
        TIFF file of an archive to read, by its name or path. Needed if there are several; the error
        message lists them. Names that contain ``udvd`` are movies that the group has denoised
        already. Their values are grey levels, not counts.
    mmap : bool, default=True
        Map the file into memory, read-only, if it is stored without compression. Only the frames in
        use are then read. Otherwise the whole file is read.
    data_home : path-like, optional
        The movies are in its subfolder ``ptceo2_movie``. Each archive has a folder there, named
        like the archive without the suffix. By default the environment variable
        ``TEMDENOISE_DATA``, or without it the cache folder of the operating system.
    base_url : str, optional
        Address of the folder that holds the files. By default the environment variable
        ``TEMDENOISE_PTCEO2_MOVIE_URL``, or without it the record on Zenodo.
    registry : dict or path-like, optional
        ``{name: hash}`` or a file of pooch's registry format. By default the list of files with MD5
        sums of the record, or the ``registry.txt`` of another mirror.
    download_if_missing : bool, default=True
        If False, never use the network.
    n_retries : int, default=3
        Largest number of consecutive retries without any progress, if the network fails. An
        interrupted download is resumed, also by a later call, if the server supports it.
    delay : float, default=1.0
        Pause before the first retry in s. It doubles with each retry.
    max_unpacked_size : int, default=200_000_000_000
        Refuse an archive that unpacks to more bytes than this.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ImageStack, (n_frames, height, width), in the dtype of the file; its pixel size is
          None, its ``metadata`` is as from `temdenoise.io.read_stack`
        - pixel_size : None; the record does not state it reliably
        - filename : str; path of the TIFF file
        - DESCR : str

    Raises
    ------
    FileNotFoundError
        If the file is not on this machine and ``download_if_missing`` is False.
    OSError
        If all tries to download fail, the folder cannot be written, or the disk is full.
    ValueError
        If the record does not have the file, if the archive does not have the member or has several
        movies, if a hash is wrong, or if the archive or the movie is damaged, unsafe or not a
        grey-scale movie.

    Examples
    --------
    Read from a folder like the one after the first call:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import tifffile
    >>> from temdenoise.datasets import fetch_ptceo2_movie
    >>> home = tempfile.TemporaryDirectory()
    >>> folder = Path(home.name, "ptceo2_movie", "Figure 4")
    >>> folder.mkdir(parents=True)
    >>> tifffile.imwrite(folder / "movie.tif", np.ones((5, 32, 48), np.uint8))
    >>> movie = fetch_ptceo2_movie(data_home=home.name, mmap=False)
    >>> movie.data.shape, movie.pixel_size
    ((5, 32, 48), None)
    >>> home.cleanup()
    """
    if not isinstance(filename, str):
        raise TypeError(f"filename must be the name of a file of the record, got {filename!r}.")
    safe_parts(filename, "filename")
    root = get_data_home(data_home) / "ptceo2_movie"
    base_url = base_url or os.environ.get("TEMDENOISE_PTCEO2_MOVIE_URL") or BASE_URL

    tidy(root)
    movies = _movies(root, filename)
    if movies is None:
        if not download_if_missing:
            raise FileNotFoundError(
                f"{filename!r} is not in {str(root)!r}, and download_if_missing=False."
            )
        try:
            remotes = load_registry(base_url, registry)
            if filename not in remotes:
                raise ValueError(
                    f"{base_url} has no file {filename!r}, only {', '.join(map(repr, remotes))}."
                )
            fill(
                root,
                {filename: remotes[filename]},
                own_folders=True,
                n_retries=n_retries,
                delay=delay,
                max_unpacked_size=max_unpacked_size,
                verbose=verbose,
            )
        except DownloadError as error:
            raise DownloadError(
                f"{error}\n\nIf you have the file, unpack it into "
                f"{str(root.joinpath(*_place_of(filename)))!r}. If another host has it, pass "
                "base_url=... and registry={name: hash}, or set TEMDENOISE_PTCEO2_MOVIE_URL. A "
                "small counted movie is in the package: temdenoise.datasets.load_sample_movie()."
            ) from error
        movies = _movies(root, filename) or []
    path = _choose(movies, member, filename)
    return Bunch(
        data=_read_movie(path, mmap),
        pixel_size=None,
        filename=str(path),
        DESCR=files(__package__).joinpath("descr", "ptceo2_movie.rst").read_text(encoding="utf-8"),
    )


def _place_of(filename):
    """Path of a file of the record, or of its unpacked contents, in the data set's folder."""
    return archive_folder(filename) or safe_parts(filename, "filename")


def _movies(root, filename):
    """TIFF files of a file of the record; None if the file must be downloaded first."""
    place = root.joinpath(*_place_of(filename))
    paths = recorded_files(root, filename)
    if paths is None:
        # The user may have put the files there. Files of an interrupted call are not complete.
        if recorded_files(root, filename, complete=False) is not None:
            return None
        paths = [place] if place.is_file() else sorted(place.rglob("*"))
        if not paths:
            return None
    return {
        path.relative_to(place).as_posix() if path != place else path.name: path
        for path in paths
        if path.suffix.lower() in _TIFF and not path.name.startswith("._")
    }


def _choose(movies, member, filename):
    if not movies:
        raise ValueError(f"{filename!r} holds no TIFF file, so no movie. Choose another filename.")
    names = ", ".join(repr(name) for name in sorted(movies))
    if member is None:
        fitting = list(movies)
        problem = f"{filename!r} holds several TIFF files"
    else:
        fitting = [name for name in movies if member in (name, name.rsplit("/", 1)[-1])]
        problem = f"{filename!r} holds {'several' if fitting else 'no'} files {member!r}"
    if len(fitting) != 1:
        raise ValueError(f"{problem}; pass one of these as member: {names}.")
    return movies[fitting[0]]


def _read_movie(path, mmap):
    try:
        movie = read_stack(path, mmap=mmap)
    except ValueError as error:
        raise ValueError(
            f"{error} Choose another member, or delete a damaged file: the next call unpacks or "
            "downloads it again."
        ) from error
    movie.pixel_size = None  # the pixel size in these files is not reliable
    return movie
