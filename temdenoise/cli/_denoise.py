"""``temdenoise denoise``: files in, denoised files out."""

import re
import time
from pathlib import Path

from temdenoise.cli._defaults import DefaultsHelpFormatter
from temdenoise.cli._masks import Masks
from temdenoise.cli._methods import add_arguments, build, check_method
from temdenoise.cli._parts import movie_parts
from temdenoise.cli._prepare import prepare
from temdenoise.cli._shared import (
    add_reading,
    check_new,
    finite_float,
    frames_table,
    positive_or_auto,
    read,
    write_figure,
    write_table,
)

# About this many pixels are denoised at a time: enough to keep a device busy, and little memory.
_CHUNK_PIXELS = 2**23


def add_parser(commands):
    parser = commands.add_parser(
        "denoise",
        help="denoise images or movies from files",
        description="Denoise stacks of electron counts. The result is float32 counts per pixel.",
        formatter_class=DefaultsHelpFormatter,
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
        "--pixel-size",
        type=positive_or_auto,
        metavar="PM",
        help="in pm, or 'auto' to find the scale that fits the network (auto and sbd only). "
        "Default: what the file says, else auto",
    )
    parser.add_argument(
        "--gain",
        type=positive_or_auto,
        metavar="G",
        help="stored units per electron, or 'auto' to measure it. Without it, values that are no "
        "counts of electrons are refused; 1 takes them as they are",
    )
    parser.add_argument(
        "--offset",
        type=finite_float,
        metavar="V",
        help="stored value of a pixel without electrons (with --gain; default: measured)",
    )
    parser.add_argument(
        "--mask",
        action="append",
        metavar="X0:X1,Y0:Y1",
        help="pixels not to trust: columns X0 to X1 and rows Y0 to Y1 (ends excluded), or a file "
        "of the image's size, not zero there; may be given several times. Pixels under it may hold "
        "anything, NaN too",
    )
    parser.add_argument(
        "--bad-pixels",
        choices=("mask", "keep"),
        default="mask",
        help="pixels that no count of electrons explains, such as hot pixels, empty borders and "
        "labels: mask them, or keep them as they are (default: mask)",
    )
    add_reading(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--atoms", action="store_true", help="also write NAME_atoms.csv")
    parser.add_argument("--figure", action="store_true", help="also write NAME.png of frame 0")
    add_arguments(parser, frames=True)
    parser.set_defaults(run=run)


def run(arguments):
    check_method(arguments)
    if arguments.pixel_size == "auto" and arguments.method not in ("auto", "sbd"):
        raise ValueError(
            f"--pixel-size auto goes with --method auto or sbd, not with {arguments.method}"
        )
    if arguments.offset is not None and arguments.gain is None:
        raise ValueError("--offset goes with --gain")
    _check_kept(arguments)
    # All that can be wrong with names is said before any work is done.
    for path in arguments.files:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    for path, files in _plan_outputs(arguments):
        try:
            stack = read(path, series=arguments.series, max_bytes=arguments.max_bytes)
            _denoise_file(stack, path, files, arguments)
        except (ValueError, TypeError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(_with_name(error, path)) from error


def _with_name(error, path):
    """Message that names the file, once."""
    return f"{error}" if repr(str(path)) in f"{error}" else f"{str(path)!r}: {error}"


def _check_kept(arguments):
    """Refuse files to keep a training in that cannot be right."""
    for name, path in (
        ("--checkpoint", arguments.checkpoint),
        ("--save-weights", arguments.save_weights),
    ):
        if path is not None and len(arguments.files) > 1:
            raise ValueError(f"{name} is for one training: give one file to denoise, not several")
    folder = arguments.save_weights
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file; give a folder with --save-weights")
    if folder.is_dir() and any(folder.iterdir()) and not arguments.overwrite:
        raise FileExistsError(f"{str(folder)!r} is not empty; give another folder or --overwrite")


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
        check_new(files.values(), arguments.overwrite)
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


def _denoise_file(stack, path, files, arguments):
    import numpy as np
    from tqdm import tqdm

    from temdenoise import find_atoms, write_stack
    from temdenoise._calls import only_taken
    from temdenoise._validation import check_mask
    from temdenoise.cli._counts import find_conversion

    start = time.perf_counter()
    # The pixel size is a keyword from here on: that of the command line goes before the file's.
    in_file, stack = stack.pixel_size, np.asarray(stack)
    mask = check_mask(_read_mask(arguments.mask, stack.shape[1:]), stack.shape)
    n_images, height, width = stack.shape
    print(f"{path}: {n_images} x {height} x {width}", flush=True)
    denoiser = build(arguments)
    to_electrons = find_conversion(stack, mask, arguments, denoiser)
    keep = arguments.bad_pixels == "keep"
    work = prepare(denoiser, stack, Masks(mask, keep), to_electrons, in_file, arguments)
    masks = Masks(mask, keep)
    print(f"  method {work.method}{work.why}; {work.scale}", flush=True)

    tables, first, shown = [], [], {}

    def denoised_images():
        parts = movie_parts(
            n_images,
            max(1, _CHUNK_PIXELS // (height * width)),
            context=getattr(work.denoiser, "_context", 0),
            step=getattr(work.denoiser, "_time_step", 1),
        )
        with tqdm(total=n_images, unit="image", disable=None if n_images > 1 else True) as bar:
            for part, kept in parts:
                counts = to_electrons(stack[part])
                hidden = masks(counts, part)
                known = {"mask": hidden, "bad_pixels": "keep"}  # they are in the mask
                keywords = only_taken(work.denoiser.transform, **known)
                images = work.denoiser.transform(counts, **keywords, **work.params)
                inside = slice(kept.start - part.start, kept.stop - part.start)
                images = images[inside]
                hidden = None if hidden is None else hidden[inside]
                if not first:
                    first.extend([counts[0].copy(), images[0].copy()])
                    shown["mask"] = None if hidden is None else hidden[0]
                if arguments.atoms or (arguments.figure and not tables):
                    wanted = images if arguments.atoms else images[:1]
                    for k, image in enumerate(wanted):
                        table = find_atoms(image, pixel_size=work.pixel_size)
                        tables.append(table if hidden is None else _trusted(table, hidden[k]))
                yield from images
                bar.update(len(images))

    write_stack(
        files["movie"],
        denoised_images(),
        shape=stack.shape,
        pixel_size=work.calibration,
        overwrite=arguments.overwrite,
        metadata={
            "source": path.name,
            "method": work.method,
            **work.metadata,
            **to_electrons.metadata,
        },
    )
    if "atoms" in files:
        write_table(files["atoms"], frames_table(tables, work.calibration))
    if "figure" in files:
        from temdenoise.plotting import plot_denoising

        figure = plot_denoising(*first, tables[0], pixel_size=work.calibration, **shown)
        write_figure(files["figure"], figure)
    masks.say(stack.size)
    if to_electrons.n_raised:
        share = to_electrons.n_raised / to_electrons.n_converted
        print(f"  {share:.2%} of the pixels were below zero, by read noise, and set to zero")
    names = ", ".join(str(f) for f in files.values())
    print(f"  -> {names} ({time.perf_counter() - start:.1f} s)", flush=True)


def _trusted(table, mask):
    """Drop the columns under the mask: the estimate there says nothing."""
    rows, columns = (table[axis].round().astype(int) for axis in ("y", "x"))
    rows, columns = rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)
    return table[~mask[rows, columns]].reset_index(drop=True)


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
        values = read(text)
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
