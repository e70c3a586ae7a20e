"""``temdenoise denoise``: files in, denoised files out."""

import re
import time
from pathlib import Path

from ._shared import (
    ATOM_THRESHOLD,
    check_new,
    frames_table,
    pixel_size_or_auto,
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
        type=pixel_size_or_auto,
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
    parser.set_defaults(run=run)


def run(arguments):
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
        stack, metadata = read(path)
        if denoiser is None:
            denoiser = _build_denoiser(arguments)
        try:
            _denoise_file(denoiser, stack, metadata, files, arguments)
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
    calibration = None if pixel_size == "auto" else pixel_size
    per_call = {}
    if arguments.method == "sbd":
        if calibration is None:
            # The scale that suits the network is no calibration: it enters no length in nm.
            pixel_size = _find_pixel_size(denoiser, stack, mask)
            origin = "suits the network best (pixel size unknown: no lengths in nm)"
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
                        table = find_atoms(image, pixel_size=pixel_size, threshold=ATOM_THRESHOLD)
                        tables.append(table if mask is None else _trusted(table, mask[k]))
                yield from images
                bar.update(len(images))

    write_stack(
        files["movie"],
        denoised_images(),
        shape=stack.shape,
        pixel_size=calibration,
        overwrite=arguments.overwrite,
        metadata={"source": metadata.path.name, "method": arguments.method},
    )
    if "atoms" in files:
        write_table(files["atoms"], frames_table(tables, calibration))
    if "figure" in files:
        figure = plot_denoising(stack[0], first[0], tables[0], pixel_size=calibration)
        write_figure(files["figure"], figure)
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
        values, _ = read(text)
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
