"""``temdenoise denoise``: files in, denoised files out."""

import re
import time
from pathlib import Path

from temdenoise.cli._methods import add_arguments, build, check_method
from temdenoise.cli._shared import (
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
        help="stored units per electron, or 'auto' to measure it; without it the values are taken "
        "for electrons",
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
        "of the image's size, not zero there; may be given several times",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--atoms", action="store_true", help="also write NAME_atoms.csv")
    parser.add_argument("--figure", action="store_true", help="also write NAME.png of frame 0")
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments):
    check_method(arguments)
    if arguments.pixel_size == "auto" and arguments.method not in ("auto", "sbd"):
        raise ValueError(
            f"--pixel-size auto goes with --method auto or sbd, not with {arguments.method}"
        )
    if arguments.offset is not None and arguments.gain is None:
        raise ValueError("--offset goes with --gain")
    # All that can be wrong with names is said before any work is done.
    for path in arguments.files:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    for path, files in _plan_outputs(arguments):
        try:
            _denoise_file(read(path), path, files, arguments)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{str(path)!r}: {error}") from error


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
    from temdenoise._validation import check_mask
    from temdenoise.cli._counts import find_conversion

    start = time.perf_counter()
    # Without its pixel size: the lengths of the command line are in pixels, whatever the file says.
    in_file, stack = stack.pixel_size, np.asarray(stack)
    mask = check_mask(_read_mask(arguments.mask, stack.shape[1:]), stack.shape)
    n_images, height, width = stack.shape
    print(f"{path}: {n_images} x {height} x {width}", flush=True)
    to_electrons = find_conversion(stack, mask, arguments)
    work = _prepare(stack, mask, to_electrons, in_file, arguments)
    print(f"  method {work.method}{work.why}; {work.scale}", flush=True)

    tables, first = [], []

    def denoised_images():
        chunk = max(1, _CHUNK_PIXELS // (height * width))
        with tqdm(total=n_images, unit="image", disable=None if n_images > 1 else True) as bar:
            for begin in range(0, n_images, chunk):
                part = slice(begin, begin + chunk)
                hidden = None if mask is None else mask[part]
                counts = to_electrons(stack[part])
                images = work.denoiser.transform(counts, mask=hidden, **work.params)
                if not first:
                    first.extend([counts[0].copy(), images[0].copy()])
                if arguments.atoms or (arguments.figure and not tables):
                    wanted = images if arguments.atoms else images[:1]
                    for k, image in enumerate(wanted, start=begin):
                        table = find_atoms(image, pixel_size=work.pixel_size)
                        tables.append(table if mask is None else _trusted(table, mask[k]))
                yield from images
                bar.update(len(images))

    write_stack(
        files["movie"],
        denoised_images(),
        shape=stack.shape,
        pixel_size=work.calibration,
        overwrite=arguments.overwrite,
        metadata={"source": path.name, "method": work.method, **to_electrons.metadata},
    )
    if "atoms" in files:
        write_table(files["atoms"], frames_table(tables, work.calibration))
    if "figure" in files:
        from temdenoise.plotting import plot_denoising

        figure = plot_denoising(*first, tables[0], pixel_size=work.calibration)
        write_figure(files["figure"], figure)
    if to_electrons.n_raised:
        share = to_electrons.n_raised / (n_images * height * width)
        print(f"  {share:.2%} of the pixels were below zero, by read noise, and set to zero")
    names = ", ".join(str(f) for f in files.values())
    print(f"  -> {names} ({time.perf_counter() - start:.1f} s)", flush=True)


def _prepare(stack, mask, to_electrons, in_file, arguments):
    """Choose and fit the denoiser of one file, and say which and why."""
    import numpy as np
    from sklearn.utils import Bunch

    pixel_size, origin = arguments.pixel_size, "as given"
    if pixel_size is None:
        pixel_size, origin = in_file, "from the file"
    calibration = None if pixel_size == "auto" else pixel_size
    # One method and scale for the whole movie, from a few frames spread over it.
    picked = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), 4)).round().astype(int))
    frames = to_electrons(np.stack([stack[k] for k in picked]))
    hidden = None if mask is None else mask[picked]

    denoiser = build(arguments, to_electrons.read_noise)
    method, why, params = arguments.method, "", {}
    if method == "sbd":
        pixel_size = calibration
        if calibration is None:
            pixel_size = float(denoiser.estimate_pixel_size(frames, mask=hidden))
        params = {"pixel_size": pixel_size}
    else:
        denoiser.fit(frames)
        pixel_size = calibration
    if method == "auto":
        wanted = "auto" if calibration is None else calibration
        choice = denoiser.choose(frames, mask=hidden, pixel_size=wanted)
        method, why = choice.method, f", for {choice.reason}"
        denoiser, params = choice.denoiser, choice.params
        pixel_size = params["pixel_size"] if calibration is None else calibration
    elif method == "windowed-fourier" and arguments.binning is arguments.window_size is None:
        params = {"pixel_size": calibration}  # bins and windows would be in nm with it
    if pixel_size is None:
        scale = "pixel size unknown"
    elif calibration is None:
        # The scale that suits the network is no calibration: it enters no length in nm.
        scale = f"{pixel_size:.3g} pm/px suits the network best (no lengths in nm)"
    else:
        scale = f"{pixel_size:.3g} pm/px {origin}"
    return Bunch(
        denoiser=denoiser,
        method=method,
        why=why,
        params=params,
        pixel_size=pixel_size,
        calibration=calibration,
        scale=scale,
    )


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
