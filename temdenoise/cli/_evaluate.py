"""``temdenoise evaluate``: scores of a method on clean images with fresh noise."""

import sys
from functools import partial
from pathlib import Path

from temdenoise.cli._defaults import DefaultsHelpFormatter
from temdenoise.cli._methods import add_arguments, build, check_method
from temdenoise.cli._shared import (
    add_optics,
    add_reading,
    check_new,
    positive_float,
    positive_int,
    read,
    write_table,
)

# Pixel size of simulated frames in pm: that of the paper.
_PIXEL_SIZE = 6.22
# So many images are simulated before other processes would have started.
_N_ALONE = 10
# Number of images for the fit of a method that is not pretrained.
_N_FIT = 4


def add_parser(commands):
    parser = commands.add_parser(
        "evaluate",
        help="measure a method on clean images",
        description="Draw Poisson noise on clean images, denoise it, and compare: a table of means "
        "and standard errors.",
        formatter_class=DefaultsHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--images", type=Path, metavar="FILE", help="clean images, in counts/px: .tif, .npy, .npz"
    )
    source.add_argument(
        "--n-images", type=positive_int, default=10, metavar="N", help="simulate N (default: 10)"
    )
    add_optics(parser)
    add_reading(parser)
    parser.add_argument(
        "--pixel-size",
        type=positive_float,
        metavar="PM",
        help=f"in pm. Default: that of the file; {_PIXEL_SIZE} for simulated images",
    )
    parser.add_argument(
        "--dose",
        type=positive_float,
        metavar="D",
        help="mean electrons/px (default: that of the images)",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=["psnr", "ssim"],
        metavar="NAME",
        help="psnr, ssim, atom_precision, atom_recall, atom_f1, atom_jaccard (default: psnr ssim)",
    )
    parser.add_argument(
        "--groups",
        metavar="NAME",
        help="also a row for each value of structure, defect, support, thickness, defocus, "
        "contrast ..., for simulated images or a .npz file of 'temdenoise simulate'",
    )
    parser.add_argument(
        "--n-realizations",
        type=positive_int,
        default=1,
        metavar="N",
        help="draws of noise for each image (default: 1)",
    )
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="default: 0")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT.csv", help="also write the scores of each image"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments):
    check_method(arguments)
    if arguments.images is not None and arguments.optics != "paper":
        raise ValueError("--optics is for simulated images: leave out --images or --optics")
    if arguments.output is not None:
        if arguments.output.suffix.lower() != ".csv":
            raise ValueError(f"the output must end in .csv, got {str(arguments.output)!r}")
        if not arguments.output.parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(arguments.output.parent)!r}; make it first"
            )
        check_new([arguments.output], arguments.overwrite)
    metrics = _metrics(arguments.metrics)
    clean, pixel_size, table = _clean_images(arguments)
    groups = _groups(table, arguments.groups)

    from temdenoise import PoissonNoise
    from temdenoise.model_selection import evaluate

    noise = PoissonNoise(dose=arguments.dose)
    denoiser, params = _ready(arguments, clean, noise, pixel_size)
    if pixel_size is not None:
        metrics = {
            name: partial(metric, pixel_size=pixel_size) if name.startswith("atom_") else metric
            for name, metric in metrics.items()
        }
    result = evaluate(
        denoiser,
        clean,
        scoring=metrics,
        groups=groups,
        noise=noise,
        n_realizations=arguments.n_realizations,
        random_state=arguments.random_state,
        transform_params=params,
        batch_size=1,
        verbose=sys.stderr.isatty(),
    )
    scale = "pixel size unknown" if pixel_size is None else f"{pixel_size:.4g} pm/px"
    n, height, width = clean.shape
    print(f"{arguments.method} on {n} images of {height} x {width} pixels, {scale}")
    print(result)
    if arguments.output is not None:
        write_table(arguments.output, result.images.reset_index())
        print(f"-> {arguments.output}")


def _metrics(names):
    import temdenoise.metrics

    known = ("psnr", "ssim", "atom_precision", "atom_recall", "atom_f1", "atom_jaccard")
    for name in names:
        if name not in known:
            raise ValueError(f"--metrics: {name!r} is none of {', '.join(known)}")
    return {name: getattr(temdenoise.metrics, name) for name in names}


def _clean_images(arguments):
    """Return clean images, their pixel size in pm or None, and their table or its file."""
    import numpy as np

    if arguments.images is not None:
        if not arguments.images.exists():
            raise FileNotFoundError(f"there is no file {str(arguments.images)!r}")
        images = read(arguments.images, series=arguments.series, max_bytes=arguments.max_bytes)
        pixel_size = arguments.pixel_size or images.pixel_size
        if pixel_size is None and (arguments.method in ("auto", "sbd")):
            raise ValueError(
                f"{str(arguments.images)!r} has no pixel size, which --method "
                f"{arguments.method} needs: give it with --pixel-size"
            )
        # The pixel size is a keyword from here on: --pixel-size goes before the file's.
        return np.asarray(images), pixel_size, arguments.images

    from temdenoise import make_ptceo2

    pixel_size = arguments.pixel_size or _PIXEL_SIZE
    simulated = make_ptceo2(
        arguments.n_images,
        models="varied",
        images_per_model=1,
        optics=arguments.optics,
        pixel_size=pixel_size,
        random_state=arguments.random_state,
        n_jobs=-1 if arguments.n_images > _N_ALONE else None,
        verbose=sys.stderr.isatty(),
    )
    return np.asarray(simulated.data), pixel_size, simulated.frame


def _groups(table, name):
    """Return the groups of the images: a column of their table, or of their .npz file."""
    from temdenoise.io._npz import read_array

    if name is None:
        return None
    if not isinstance(table, Path):
        if name not in table:
            raise ValueError(f"--groups: {name!r} is none of {', '.join(table.columns)}")
        return table[name].to_numpy()
    if table.suffix.lower() == ".npz":
        values = read_array(table, f"frame_{name}")
        if values is not None:
            return values
    raise ValueError(
        f"--groups: {str(table)!r} holds no column {name!r} of images; files of 'temdenoise "
        "simulate' that end in .npz do"
    )


def _ready(arguments, clean, noise, pixel_size):
    """Return the denoiser, fitted, and the keywords of its `transform`."""
    from temdenoise._calls import only_taken

    denoiser = build(arguments)
    if arguments.method != "sbd":
        # The noise differs from that of the test, so nothing is fitted to the test.
        seed = (arguments.random_state + 1) % 2**32
        denoiser.fit(noise.sample(clean[:_N_FIT], random_state=seed))
    return denoiser, only_taken(denoiser.transform, pixel_size=pixel_size)
