"""Code shared by the commands: types of arguments, tables and pictures on disk."""

import argparse

# Headers of tables of atoms, with units.
_HEADERS = {
    "x": "x_px",
    "y": "y_px",
    "radius": "radius_px",
    "intensity": "intensity_counts_per_px",
}


def add_optics(parser):
    parser.add_argument(
        "--optics",
        choices=["paper", "varied"],
        default="paper",
        help="microscope of simulated images: that of the paper (default), or one per model",
    )


def check_new(files, overwrite):
    for file in files:
        if file.is_dir():
            raise FileExistsError(f"{str(file)!r} is a folder; choose another name")
        if file.exists() and not overwrite:
            raise FileExistsError(
                f"{str(file)!r} exists already; choose another output or pass --overwrite"
            )


def frames_table(tables, pixel_size):
    """One table of the columns of all frames, with units in the headers.

    Positions are in px, and also in nm if the pixel size (pm) is known.
    """
    import pandas as pd

    table = pd.concat([t.assign(frame=k) for k, t in enumerate(tables)], ignore_index=True)
    if pixel_size is not None:
        table["x_nm"] = table["x"] * pixel_size / 1000
        table["y_nm"] = table["y"] * pixel_size / 1000
    table = table.rename(columns=_HEADERS)
    first = ["frame", "x_px", "y_px", *(["x_nm", "y_nm"] if pixel_size is not None else [])]
    return table[first + [name for name in table if name not in first]]


def write_table(path, table):
    from temdenoise._files import replacing

    with replacing(path) as file:
        file.write(table.to_csv(index=False, float_format="%.6g").encode())


def write_figure(path, figure):
    from temdenoise._files import replacing

    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=150)


def positive_float(text):
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive finite number")
    return value


def positive_int(text):
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return value


def positive_or_auto(text):
    if text == "auto":
        return text
    try:
        float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'auto'") from None
    return positive_float(text)


def finite_float(text):
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def series(text):
    """Place or name of a series."""
    return int(text) if text.isdecimal() else text


def add_reading(parser):
    """Add the options of `read`."""
    parser.add_argument(
        "--series",
        type=series,
        metavar="S",
        help="place (from 0) or name of the images to read, in files that hold several series",
    )
    parser.add_argument(
        "--max-bytes",
        type=positive_float,
        metavar="N",
        help="largest size in memory of compressed images (default: 128 MiB, or 100 times the "
        "file's size)",
    )


def read(path, **options):
    """Open a stack without loading it."""
    from temdenoise import read_stack

    return read_stack(path, mmap=True, **options)
