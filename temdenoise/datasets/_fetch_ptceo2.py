"""The data set of the paper, from a copy on this machine or from a mirror."""

import os
import warnings
from importlib.resources import files
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from temdenoise.datasets._authors_layout import SUBSETS, list_names, locate_images, read_list
from temdenoise.datasets._data_home import fill, get_data_home, tidy
from temdenoise.datasets._download import DownloadError, load_registry
from temdenoise.images import ImageStack
from temdenoise.io import read_stack

PIXEL_SIZE = 4.89  # pm

_HELP = """\
The original host holds no complete copy any more (users found 964 of about 18,000 images), and
no public mirror is known. What you can do:
- regenerate the set from physics, in minutes: temdenoise.datasets.make_ptceo2();
- if you have a copy, pass its folder, the one with the .csv lists, as data_home, or set
  TEMDENOISE_DATA to it;
- if someone hosts a copy, pass its address as base_url, or set TEMDENOISE_PTCEO2_URL to it."""


def fetch_ptceo2(
    *,
    subset="train",
    contrast="white",
    n_images=None,
    load_images=False,
    shape=None,
    data_home=None,
    base_url=None,
    registry=None,
    download_if_missing=True,
    on_missing="raise",
    n_retries=3,
    delay=1.0,
    max_unpacked_size=200 * 10**9,
    verbose=False,
):
    """Load the paper's simulated images of Pt nanoparticles on CeO2.

    The set is described in Section 4.2 and Appendix A of "Deep denoising for scientific discovery:
    a case study in electron microscopy" (Mohan et al., arXiv:2010.12970). It is read from a copy in
    the authors' layout, which may be downloaded from a mirror first. The original host holds only a
    small part of it. To make such images, use :func:`~temdenoise.datasets.make_ptceo2`.

    Parameters
    ----------
    subset : {"train", "valid", "test", "all"}, default="train"
        The authors' list to read. "all": the three lists, one after the other.
    contrast : str or sequence of str, default="white"
        One or more of "black", "intermediate", "white"; also joined by dashes ("black-white"). Each
        combination has its own lists, named ``{subset}_{contrasts sorted, joined by _}.csv``.
    n_images : int, optional
        Number of images to take from the start of the list. By default all.
    load_images : bool, default=False
        True: read the images into ``data``. One image takes about 3 MB, all 17,955 about 60 GB.
        False: read only the lists, and return only the names of the files.
    shape : tuple (height, width), optional
        With ``load_images``: cut this shape, in px, out of the centre of each image. Needed if the
        selected images differ in size, because one array must hold them.
    data_home : path-like, optional
        A folder with the lists in it is read as it is. In any other folder, the data set is in the
        subfolder ``ptceo2``. By default the environment variable ``TEMDENOISE_DATA``, or without it
        the cache folder of the operating system.
    base_url : str, optional
        Address of a mirror: the folder that holds the archives (zip, tar) or the unpacked files. By
        default the environment variable ``TEMDENOISE_PTCEO2_URL``. It is used only if files are
        missing.
    registry : dict or path-like, optional
        The mirror's files and their hashes: ``{"1.zip": "sha256:...", ...}`` or a file of pooch's
        registry format. By default the ``registry.txt`` of the mirror, or the list of files of a
        Zenodo record. Hashes from the mirror protect against damage during the download, not
        against a dishonest mirror.
    download_if_missing : bool, default=True
        If False, never use the network.
    on_missing : {"raise", "drop"}, default="raise"
        What to do if images of the list are neither on this machine nor on the mirror: raise an
        error, or leave them out with a warning.
    n_retries : int, default=3
        Largest number of consecutive retries without any progress, if the network fails. An
        interrupted download is resumed, also by a later call, if the server supports it.
    delay : float, default=1.0
        Pause before the first retry in s. It doubles with each retry.
    max_unpacked_size : int, default=200_000_000_000
        Refuse an archive that unpacks to more bytes than this.
    verbose : bool, default=False
        Show progress bars.

    Returns
    -------
    sklearn.utils.Bunch
        - data : ImageStack, float32, (n_images, height, width), counts per pixel, 0.45 in vacuum,
          without noise; it knows its pixel size; None without ``load_images``
        - filenames : ndarray of str, (n_images,); paths of the TIFF files
        - frame : pandas.DataFrame; subset, structure, defect, thickness (Angstrom), tilt_x, tilt_y
          (deg), defocus (nm), contrast of each image
        - groups : ndarray of str, (n_images,); the structure of each image, for scikit-learn's
          ``groups`` (`~sklearn.model_selection.LeaveOneGroupOut`)
        - pixel_size : float; 4.89 pm
        - DESCR : str

    Raises
    ------
    FileNotFoundError
        If the lists or images are not on this machine and cannot be downloaded.
    OSError
        If all tries to download fail, the folder cannot be written, or the disk is full.
    ValueError
        If an argument is out of range, a list is not in the authors' layout, a hash is wrong, an
        archive is damaged or unsafe, an image is damaged, or images to load differ in size.

    Warns
    -----
    UserWarning
        If images are left out (``on_missing="drop"``), or a list names other contrasts than those
        in its file name.

    Examples
    --------
    A copy in the authors' layout, here with a single image:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import tifffile
    >>> from temdenoise.datasets import fetch_ptceo2
    >>> folder = tempfile.TemporaryDirectory()
    >>> name = "PtNp1-D0_240slc_1024x1024_7nmDefocus.tif"
    >>> tifffile.imwrite(Path(folder.name) / name, np.full((64, 48), 0.45, np.float32))
    >>> lines = ["path,particle,a,b,thickness,tilt_x,tilt_y,c,d,e,defocus,contrast",
    ...          f"{name},PtNp1-D0,0,0,40,0,2,0,0,0,7,white"]
    >>> _ = Path(folder.name, "test_white.csv").write_text(chr(10).join(lines))

    >>> test = fetch_ptceo2(subset="test", load_images=True, data_home=folder.name)
    >>> test.data.shape, test.data.pixel_size, float(test.frame.loc[0, "defocus"])
    ((1, 64, 48), 4.89, 7.0)
    >>> folder.cleanup()
    """
    subsets = _check_subset(subset)
    names = list_names(subsets, contrast)
    if n_images is not None and (not isinstance(n_images, Integral) or n_images < 1):
        raise ValueError(f"n_images must be a positive integer or None, got {n_images!r}.")
    if on_missing not in ("raise", "drop"):
        raise ValueError(f"on_missing must be 'raise' or 'drop', got {on_missing!r}.")
    shape = _check_shape(shape, load_images)
    root = _find_root(get_data_home(data_home))
    base_url = base_url or os.environ.get("TEMDENOISE_PTCEO2_URL")

    tidy(root)
    frame, paths, gaps = _look(root, names, n_images, on_missing)
    if gaps and download_if_missing and base_url:
        try:
            fill(
                root,
                load_registry(base_url, registry),
                n_retries=n_retries,
                delay=delay,
                max_unpacked_size=max_unpacked_size,
                verbose=verbose,
            )
        except DownloadError as error:
            raise DownloadError(f"{error}\n\n{_HELP}") from error
        frame, paths, gaps = _look(root, names, n_images, on_missing)
    if gaps and (on_missing == "raise" or not paths):
        if not download_if_missing:
            state = "download_if_missing=False, so nothing is downloaded."
        elif base_url:
            state = f"The mirror {base_url} does not have the files either."
        else:
            state = "No mirror is given, so nothing can be downloaded."
        partial = "\nTo use the images that exist, pass on_missing='drop'." if paths else ""
        raise FileNotFoundError(f"{gaps} {state}{partial}\n\n{_HELP}")
    if gaps:
        warnings.warn(f"{gaps} They are left out.", UserWarning, stacklevel=2)

    return Bunch(
        data=ImageStack(_load(paths, shape, verbose), PIXEL_SIZE) if load_images else None,
        filenames=np.array([str(path) for path in paths]),
        frame=frame,
        groups=frame["structure"].to_numpy(dtype=str),
        pixel_size=PIXEL_SIZE,
        DESCR=files(__package__)
        .joinpath("descr", "ptceo2_original.rst")
        .read_text(encoding="utf-8"),
    )


def _check_subset(subset):
    if subset == "all":
        return SUBSETS
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {[*SUBSETS, 'all']}, got {subset!r}.")
    return (subset,)


def _check_shape(shape, load_images):
    if shape is None:
        return None
    if not load_images:
        raise ValueError("shape is for the images in data: pass load_images=True too.")
    shape = tuple(np.atleast_1d(shape).tolist())
    if len(shape) != 2 or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError(f"shape must be (height, width) in pixels, got {shape!r}.")
    return shape


def _find_root(home):
    has_lists = any(True for subset in SUBSETS for _ in home.glob(f"{subset}_*.csv"))
    return home if has_lists else home / "ptceo2"


def _look(root, names, n_images, on_missing):
    """Return frame and paths of the images on this machine, and a text on missing files or ""."""
    absent = [name for name in names.values() if not (root / name).is_file()]
    if absent:
        return None, [], f"There is no {absent[0]} in {str(root)!r}{_hint(root)}."
    frames = [read_list(root / name).assign(subset=subset) for subset, name in names.items()]
    frame = pd.concat(frames, ignore_index=True)
    if n_images is not None and on_missing == "raise":
        frame = frame[:n_images]
    found = locate_images(root, frame["path"])
    here = [path is not None for path in found]
    listed = frame["path"].tolist()
    lost = [path for path, there in zip(listed, here, strict=True) if not there]
    paths = [path for path in found if path is not None]
    frame = frame[here].drop(columns="path").reset_index(drop=True)
    if n_images is not None:
        frame, paths = frame[:n_images], paths[:n_images]
        if len(paths) == n_images:
            lost = []
    columns = ["subset", *(column for column in frame.columns if column != "subset")]
    gaps = ""
    if lost:
        gaps = (
            f"{len(lost)} of {len(listed)} images that {' and '.join(names.values())} list are "
            f"missing in {str(root)!r}, for instance {lost[0]!r}."
        )
    return frame[columns], paths, gaps


def _hint(root):
    """Name the lists that exist instead, if any."""
    lists = sorted(path.name for path in root.glob("*_*.csv"))
    if lists:
        return f" (there are {', '.join(lists[:8])}: choose subset and contrast accordingly)"
    below = sorted({p.parent for s in SUBSETS for p in root.parent.glob(f"*/{s}_*.csv")})
    if below:
        return f" (there are lists in {str(below[0])!r}: pass that as data_home)"
    return " or the folder above it"


def _load(paths, shape, verbose):
    data = None
    for i, path in enumerate(tqdm(paths, desc="read", unit="image", disable=not verbose)):
        image = _read_image(path)
        if shape is not None:
            offsets = [(have - want) // 2 for have, want in zip(image.shape, shape, strict=True)]
            if min(offsets) < 0:
                raise ValueError(
                    f"The image {str(path)!r} has {image.shape} pixels, fewer than shape={shape}."
                )
            image = image[tuple(slice(o, o + n) for o, n in zip(offsets, shape, strict=True))]
        if data is None:
            data = np.empty((len(paths), *image.shape), dtype=np.float32)
        if image.shape != data.shape[1:]:
            raise ValueError(
                f"The images differ in size: {str(path)!r} has {image.shape} pixels, the images "
                f"before it {data.shape[1:]}. Pass shape=(height, width) to cut them to one size."
            )
        data[i] = image
    return data


def _read_image(path):
    try:
        stack = read_stack(path)
    except ValueError as error:
        raise ValueError(
            f"{error} Delete a damaged file. The next call downloads it again if possible."
        ) from error
    image = stack[0]
    if len(stack) != 1 or image.dtype.kind != "f":
        raise ValueError(
            f"The file {str(path)!r} has shape {stack.shape} and dtype {stack.dtype}; expected one "
            "grey-scale image of floating-point counts, as the authors store them."
        )
    if not np.isfinite(image).all() or image.min() < 0:
        raise ValueError(f"The image {str(path)!r} holds NaN, inf or negative counts.")
    return image
