"""The command line: ``temdenoise demo | denoise | simulate | train``.

Everything heavy is imported by the command that needs it, so that ``temdenoise --help`` is quick.
"""

import argparse
import re
import sys
import time
import warnings
from pathlib import Path

# About this many pixels are denoised at a time: enough to keep a device busy, and little memory.
_CHUNK_PIXELS = 2**23


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    code : int
        0 if all went well, 2 for wrong arguments or input (one line on stderr says what), 130 if
        interrupted.

    Examples
    --------
    >>> from temdenoise.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    temdenoise ...
    0
    """
    try:
        arguments = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            arguments.run(arguments)
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
        # One line, whatever the library had to say.
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"temdenoise: error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("temdenoise: interrupted; nothing unfinished was kept", file=sys.stderr)
        return 130
    except SystemExit as stop:  # --help
        return stop.code or 0
    return 0


def _print_warning(message, category, filename, lineno, file=None, line=None):
    print(f"temdenoise: warning: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(
        prog="temdenoise", description="Denoise atomic-resolution electron micrographs."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(run=lambda arguments: _version(parser, arguments))
    commands = parser.add_subparsers(title="commands", metavar="")
    _add_demo(commands)
    _add_denoise(commands)
    _add_simulate(commands)
    _add_train(commands)
    return parser


def _version(parser, arguments):
    import temdenoise

    if not arguments.version:
        raise ValueError(f"a command is missing (see {parser.prog} --help)")
    print(f"temdenoise {temdenoise.__version__}")


# --- demo --------------------------------------------------------------------------------------


def _add_demo(commands):
    parser = commands.add_parser(
        "demo",
        help="denoise a small counted movie that comes with the package",
        description="Denoise a small simulated electron-counted movie and find its atoms.",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="DIR",
        default=Path("temdenoise-demo"),
        help="folder for the results, made if needed (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace older results")
    parser.set_defaults(run=_demo)


def _demo(arguments):
    import numpy as np

    start = time.perf_counter()
    folder = arguments.output
    files = {
        "picture": folder / "demo.png",
        "movie": folder / "demo_denoised.tif",
        "table": folder / "demo_atoms.csv",
    }
    _check_new(files.values(), arguments.overwrite)

    from temdenoise import SBDDenoiser, find_atoms, load_sample_movie, psnr, write_stack
    from temdenoise.plotting import plot_denoising

    movie = load_sample_movie()
    noisy, pixel_size = movie.data, float(movie.pixel_size)
    clean = np.broadcast_to(movie.clean, noisy.shape)
    print(
        f"movie      {len(noisy)} frames of {noisy.shape[1]} x {noisy.shape[2]} pixels, "
        f"{pixel_size:.2f} pm/px, {noisy.mean():.2f} electrons/px"
    )
    denoised = SBDDenoiser.from_pretrained().transform(noisy, pixel_size=pixel_size)
    before, after = (float(np.mean(psnr(clean, x))) for x in (noisy, denoised))
    print(f"denoised   PSNR {before:.1f} dB -> {after:.1f} dB (against the known truth)")

    tables = [find_atoms(image, pixel_size=pixel_size) for image in denoised]
    # What can be found at best is what shows in the clean image.
    references = [find_atoms(image, pixel_size=pixel_size) for image in clean]
    matched = sum(_n_matched(a, b, pixel_size) for a, b in zip(tables, references, strict=True))
    n_found, n_true = sum(map(len, tables)), sum(map(len, references))
    print(
        f"atoms      {n_found / len(tables):.0f} columns per frame; precision "
        f"{matched / max(n_found, 1):.3f}, recall {matched / max(n_true, 1):.3f} against those of "
        "the clean image"
    )

    folder.mkdir(parents=True, exist_ok=True)
    title = f"{noisy[0].mean():.2f} electrons/px: PSNR {before:.1f} dB to {after:.1f} dB"
    figure = plot_denoising(noisy[0], denoised[0], tables[0], pixel_size=pixel_size, title=title)
    _write_figure(files["picture"], figure)
    write_stack(files["movie"], denoised, pixel_size=pixel_size, overwrite=arguments.overwrite)
    _write_table(files["table"], _frames_table(tables, pixel_size))
    print("written    " + "\n           ".join(str(f) for f in files.values()))
    print(f"done       in {time.perf_counter() - start:.1f} s")


def _n_matched(found, true, pixel_size):
    """Pairs of columns, each used once, closer than 62 pm (the paper's 10 pixels of 6.22 pm)."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    reach = 62.2 / pixel_size
    distance = cdist(found[["x", "y"]], true[["x", "y"]])
    rows, columns = linear_sum_assignment(np.minimum(distance, 2 * reach))
    return int((distance[rows, columns] <= reach).sum())


# --- denoise -----------------------------------------------------------------------------------


def _add_denoise(commands):
    parser = commands.add_parser(
        "denoise",
        help="denoise images or movies from files",
        description="Denoise stacks of electron counts. The result is float32 counts per pixel.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".tif, .npy or .npz")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="output file (.tif, .npy), or an existing folder for NAME_denoised files",
    )
    parser.add_argument(
        "--method",
        choices=("sbd", "lowpass", "wiener"),
        default="sbd",
        help="network trained on simulations (default), low-pass or adaptive Wiener filter",
    )
    parser.add_argument(
        "--weights", metavar="NAME_OR_DIR", help="weights for --method sbd (default: the package's)"
    )
    parser.add_argument(
        "--pixel-size",
        type=_pixel_size_or_auto,
        metavar="PM",
        help="in pm, or 'auto' to find the scale that fits the network (sbd only). Default: what "
        "the file says, else auto",
    )
    parser.add_argument(
        "--mask",
        action="append",
        metavar="X0:X1,Y0:Y1",
        help="pixels not to trust: columns X0 to X1 and rows Y0 to Y1 (ends excluded), or a file "
        "of the image's size, not zero there; may be given several times",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--atoms", action="store_true", help="also write NAME_atoms.csv")
    parser.add_argument("--figure", action="store_true", help="also write NAME.png of frame 0")
    parser.set_defaults(run=_denoise)


def _denoise(arguments):
    if arguments.weights is not None and arguments.method != "sbd":
        raise ValueError(f"--weights goes with --method sbd, not with {arguments.method}")
    if arguments.pixel_size == "auto" and arguments.method != "sbd":
        raise ValueError(f"--pixel-size auto goes with --method sbd, not with {arguments.method}")
    # All that can be wrong with names is said before any work is done.
    for path in arguments.files:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    plans = _plan_outputs(arguments)
    denoiser = None
    for path, files in plans:
        stack, metadata = _read(path)
        if denoiser is None:
            denoiser = _build_denoiser(arguments)
        try:
            _denoise_file(denoiser, stack, metadata, files, arguments)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{str(path)!r}: {error}") from error


def _read(path):
    from temdenoise import read_stack

    return read_stack(path, mmap=True)


def _plan_outputs(arguments):
    from temdenoise.io import check_output

    single = arguments.output.suffix.lower() in (".tif", ".tiff", ".npy")
    single = single and not arguments.output.is_dir()
    if single and len(arguments.files) > 1:
        raise ValueError(
            f"{len(arguments.files)} files cannot go into one file {str(arguments.output)!r}; give "
            "a folder with -o"
        )
    if not single and not arguments.output.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(arguments.output)!r}; make it first, or give a file name "
            "that ends in .tif or .npy"
        )
    plans, taken = [], {}
    for path in arguments.files:
        if single:
            output, stem = arguments.output, arguments.output.with_suffix("")
        else:
            suffix = ".npy" if path.suffix.lower() in (".npy", ".npz") else ".tif"
            stem = arguments.output / f"{path.stem}_denoised"
            output = stem.with_name(stem.name + suffix)
        files = {"movie": output}
        if arguments.atoms:
            files["atoms"] = stem.with_name(f"{stem.name}_atoms.csv")
        if arguments.figure:
            files["figure"] = stem.with_name(f"{stem.name}.png")
        check_output(output, overwrite=arguments.overwrite)
        _check_new(files.values(), arguments.overwrite)
        for file in files.values():
            if file.resolve() in {p.resolve() for p in arguments.files}:
                raise ValueError(f"the output {str(file)!r} is an input; choose another name")
            if file in taken:
                raise ValueError(
                    f"{str(taken[file])!r} and {str(path)!r} would both be written to "
                    f"{str(file)!r}; denoise them into different folders"
                )
            taken[file] = path
        plans.append((path, files))
    return plans


def _build_denoiser(arguments):
    import numpy as np

    import temdenoise

    if arguments.method == "sbd":
        named = [] if arguments.weights is None else [arguments.weights]
        return temdenoise.SBDDenoiser.from_pretrained(*named)
    classes = {"lowpass": "LowPassDenoiser", "wiener": "WienerDenoiser"}
    # The filters learn nothing from what they are fitted to.
    return getattr(temdenoise, classes[arguments.method])().fit(np.ones((1, 8, 8)))


def _denoise_file(denoiser, stack, metadata, files, arguments):
    import numpy as np
    from tqdm import tqdm

    from temdenoise import find_atoms, write_stack
    from temdenoise._validation import check_mask
    from temdenoise.plotting import plot_denoising

    start = time.perf_counter()
    mask = check_mask(_read_mask(arguments.mask, stack.shape[1:]), stack.shape)
    pixel_size, origin = arguments.pixel_size, "as given"
    if pixel_size is None:
        pixel_size, origin = metadata.pixel_size, "from the file"
    per_call = {}
    if arguments.method == "sbd":
        if pixel_size in (None, "auto"):
            pixel_size, origin = _find_pixel_size(denoiser, stack, mask), "found by itself"
        per_call["pixel_size"] = pixel_size
    known = "pixel size unknown" if pixel_size is None else f"{pixel_size:.3g} pm/px {origin}"
    n_images, height, width = stack.shape
    print(f"{metadata.path}: {n_images} x {height} x {width}, {known}", flush=True)

    tables, first = [], []

    def denoised_images():
        chunk = max(1, _CHUNK_PIXELS // (height * width))
        with tqdm(total=n_images, unit="image", disable=None if n_images > 1 else True) as bar:
            for begin in range(0, n_images, chunk):
                part = slice(begin, begin + chunk)
                if mask is not None:
                    per_call["mask"] = mask[part]
                images = denoiser.transform(np.asarray(stack[part]), **per_call)
                if not first:
                    first.append(images[0].copy())
                if arguments.atoms or (arguments.figure and not tables):
                    wanted = images if arguments.atoms else images[:1]
                    for k, image in enumerate(wanted, start=begin):
                        table = find_atoms(image, pixel_size=pixel_size)
                        tables.append(table if mask is None else _trusted(table, mask[k]))
                yield from images
                bar.update(len(images))

    write_stack(
        files["movie"],
        denoised_images(),
        shape=stack.shape,
        pixel_size=pixel_size,
        overwrite=arguments.overwrite,
        metadata={"source": metadata.path.name, "method": arguments.method},
    )
    if "atoms" in files:
        _write_table(files["atoms"], _frames_table(tables, pixel_size))
    if "figure" in files:
        figure = plot_denoising(stack[0], first[0], tables[0], pixel_size=pixel_size)
        _write_figure(files["figure"], figure)
    names = ", ".join(str(f) for f in files.values())
    print(f"  -> {names} ({time.perf_counter() - start:.1f} s)", flush=True)


def _trusted(table, mask):
    """Drop the columns under the mask: the estimate there says nothing."""
    rows, columns = (table[axis].round().astype(int) for axis in ("y", "x"))
    rows, columns = rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)
    return table[~mask[rows, columns]].reset_index(drop=True)


def _find_pixel_size(denoiser, stack, mask):
    import numpy as np

    # One scale for the whole movie, from a few frames spread over it.
    picked = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), 4)).round().astype(int))
    images = np.stack([stack[k] for k in picked])
    return float(denoiser.estimate_pixel_size(images, mask=None if mask is None else mask[picked]))


def _read_mask(given, shape):
    """Union of regions and mask files: bool (height, width) or (n_images, height, width)."""
    import numpy as np

    if not given:
        return None
    mask = np.zeros(shape, dtype=bool)
    for text in given:
        region = re.fullmatch(r"\s*(\d*):(\d*)\s*,\s*(\d*):(\d*)\s*", text)
        if region:
            mask = mask | _region(text, region.groups(), shape)
            continue
        if not Path(text).exists():
            raise ValueError(
                f"--mask {text!r} is neither a region X0:X1,Y0:Y1 nor an existing file"
            )
        values, _ = _read(text)
        if values.shape[1:] != shape:
            raise ValueError(
                f"the mask {text!r} has images of shape {values.shape[1:]}, but those to denoise "
                f"have shape {tuple(shape)}"
            )
        mask = mask | (values[0] if len(values) == 1 else values).astype(bool)
    return mask


def _region(text, numbers, shape):
    import numpy as np

    height, width = shape
    x0, x1, y0, y1 = (
        int(number) if number else default
        for number, default in zip(numbers, (0, width, 0, height), strict=True)
    )
    if not (x0 < x1 <= width and y0 < y1 <= height):
        raise ValueError(
            f"--mask {text!r} is empty or not within the image of {width} columns and {height} rows"
        )
    region = np.zeros(shape, dtype=bool)
    region[y0:y1, x0:x1] = True
    return region


# --- simulate ----------------------------------------------------------------------------------


def _add_simulate(commands):
    parser = commands.add_parser(
        "simulate",
        help="simulate clean Pt/CeO2 images from physics",
        description="Simulate clean images of Pt nanoparticles on CeO2 by multislice.",
    )
    parser.add_argument("-n", "--n-images", type=_positive_int, required=True, metavar="N")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="OUT.npz, or a folder (made if needed) for images.tif, images.csv and columns.csv",
    )
    parser.add_argument("--preset", default="quick", help="quick (default), default or paper")
    parser.add_argument("--random-state", type=int, metavar="SEED")
    parser.add_argument("--n-jobs", type=int, metavar="N", help="processes; -1: one per core")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.set_defaults(run=_simulate)


def _simulate(arguments):
    output = arguments.output
    if output.suffix.lower() == ".npz":
        files = [output]
        if not output.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(output.parent)!r}; make it first")
    elif output.suffix and not output.is_dir():
        raise ValueError(f"the output must be a folder or end in .npz, got {str(output)!r}")
    else:
        files = [output / name for name in ("images.tif", "images.csv", "columns.csv")]
    _check_new(files, arguments.overwrite)

    import numpy as np
    import pandas as pd

    from temdenoise import make_ptceo2, write_stack
    from temdenoise.io import replacing

    simulated = make_ptceo2(
        arguments.n_images,
        preset=arguments.preset,
        random_state=arguments.random_state,
        n_jobs=arguments.n_jobs,
        verbose=sys.stderr.isatty(),
    )
    columns = pd.concat(simulated.columns, keys=range(len(simulated.columns)), names=["image", ""])
    columns = columns.reset_index("image").reset_index(drop=True)
    if len(files) == 1:
        tables = {"frame": simulated.frame, "columns": columns}
        arrays = {
            f"{prefix}_{name}": _plain_array(table[name])
            for prefix, table in tables.items()
            for name in table
        }
        with replacing(output) as file:
            np.savez(file, data=simulated.data, pixel_size=simulated.pixel_size, **arrays)
    else:
        output.mkdir(parents=True, exist_ok=True)
        write_stack(
            files[0],
            simulated.data,
            pixel_size=simulated.pixel_size,
            overwrite=arguments.overwrite,
        )
        _write_table(files[1], simulated.frame)
        _write_table(files[2], columns)
    print(
        f"{len(simulated.data)} images of {simulated.data.shape[1]} x {simulated.data.shape[2]} "
        f"pixels, {simulated.pixel_size:.2f} pm/px -> " + ", ".join(map(str, files))
    )


def _plain_array(series):
    """Values without Python objects: np.load refuses pickles."""
    values = series.to_numpy()
    return values if values.dtype.kind in "biuf" else values.astype(str)


# --- train -------------------------------------------------------------------------------------


def _add_train(commands):
    parser = commands.add_parser(
        "train",
        help="train a network on simulated images",
        description="Train a denoising network on clean images; noise is drawn anew at every step.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the weights"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--images", type=Path, metavar="FILE", help="clean images that know their pixel size"
    )
    source.add_argument(
        "--n-images",
        type=_positive_int,
        default=2000,
        metavar="N",
        help="simulate N (default 2000)",
    )
    parser.add_argument("--architecture", metavar="NAME", help="default: fourier_unet")
    parser.add_argument("--scales", type=_positive_int, metavar="N", help="scales of the network")
    parser.add_argument("--base-channels", type=_positive_int, metavar="N", help="its width")
    parser.add_argument("--max-epochs", type=_positive_int, metavar="N")
    parser.add_argument(
        "--max-time",
        type=_positive_float,
        metavar="MIN",
        help="minutes to train; unless --max-epochs is given too, they are used up",
    )
    parser.add_argument(
        "--dose",
        type=_positive_float,
        nargs=2,
        metavar=("LO", "HI"),
        help="range of mean electrons/px (default: that of the images)",
    )
    parser.add_argument(
        "--pixel-size",
        type=_positive_float,
        nargs="+",
        metavar="PM",
        help="pixel size in pm of the images to denoise, or their lowest and highest",
    )
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="default: 0")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the training that DIR/checkpoint.pt holds"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what DIR holds")
    parser.set_defaults(run=_train)


def _train(arguments):
    output, checkpoint = arguments.output, arguments.output / "checkpoint.pt"
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{str(output)!r} is a file; give a folder")
    if arguments.resume and not checkpoint.exists():
        raise FileNotFoundError(f"--resume: there is no {str(checkpoint)!r} to go on from")
    occupied = output.is_dir() and any(output.iterdir())
    if occupied and not (arguments.resume or arguments.overwrite):
        raise FileExistsError(
            f"{str(output)!r} is not empty; give another folder, --resume or --overwrite"
        )
    parameters = _training_parameters(arguments)

    from temdenoise import SBDDenoiser

    images, pixel_size = _training_images(arguments)
    output.mkdir(parents=True, exist_ok=True)
    if not arguments.resume:
        checkpoint.unlink(missing_ok=True)  # or the fit would go on from it
    denoiser = SBDDenoiser(**parameters, checkpoint=checkpoint, verbose=True)
    denoiser.fit(images, pixel_size=pixel_size)
    denoiser.save_pretrained(output, overwrite=True)
    print(f"weights -> {output} (checkpoint.pt in it is only needed for --resume)")


def _training_parameters(arguments):
    names = ("architecture", "scales", "base_channels", "max_epochs", "max_time", "random_state")
    parameters = {name: getattr(arguments, name) for name in names}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    if arguments.max_time and not arguments.max_epochs:
        parameters["max_epochs"] = 100_000
    if arguments.dose:
        parameters["dose"] = tuple(sorted(arguments.dose))
    if arguments.pixel_size:
        low, high = min(arguments.pixel_size), max(arguments.pixel_size)
        if len(arguments.pixel_size) > 2:
            raise ValueError("--pixel-size takes one or two numbers")
        parameters["pixel_size"] = (low * high) ** 0.5
        if high > low:
            ratio = (high / low) ** 0.5
            parameters["scale"] = (1 / ratio, ratio)
    return parameters


def _training_images(arguments):
    if arguments.images is not None:
        images, metadata = _read(arguments.images)
        if metadata.pixel_size is None:
            raise ValueError(
                f"{str(arguments.images)!r} does not say its pixel size; store it with "
                "temdenoise.write_stack, or as 'pixel_size' (pm) beside 'data' in a .npz file"
            )
        return images, metadata.pixel_size

    from temdenoise import make_ptceo2

    simulated = make_ptceo2(
        arguments.n_images,
        random_state=arguments.random_state,
        n_jobs=-1,
        verbose=sys.stderr.isatty(),
    )
    return simulated.data, simulated.pixel_size


# --- shared ------------------------------------------------------------------------------------


def _check_new(files, overwrite):
    for file in files:
        if file.is_dir():
            raise FileExistsError(f"{str(file)!r} is a folder; choose another name")
        if file.exists() and not overwrite:
            raise FileExistsError(
                f"{str(file)!r} exists already; choose another output or pass --overwrite"
            )


def _frames_table(tables, pixel_size):
    """One table of the columns of all frames, positions also in nm where the scale is known."""
    import pandas as pd

    table = pd.concat([t.assign(frame=k) for k, t in enumerate(tables)], ignore_index=True)
    if pixel_size is not None:
        table["x_nm"] = table["x"] * pixel_size / 1000
        table["y_nm"] = table["y"] * pixel_size / 1000
    first = ["frame", "x", "y", *(["x_nm", "y_nm"] if pixel_size is not None else [])]
    return table[first + [name for name in table if name not in first]]


def _write_table(path, table):
    from temdenoise.io import replacing

    with replacing(path) as file:
        file.write(table.to_csv(index=False, float_format="%.6g").encode())


def _write_figure(path, figure):
    from temdenoise.io import replacing

    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _positive_float(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive finite number")
    return value


def _positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return value


def _pixel_size_or_auto(text):
    if text == "auto":
        return text
    try:
        return _positive_float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number (pm) nor 'auto'") from None


if __name__ == "__main__":
    sys.exit(main())
