"""``temdenoise demo``: denoise the movie in the package and find its atoms."""

import time
from pathlib import Path

from temdenoise.cli._shared import (
    check_new,
    frames_table,
    write_figure,
    write_table,
)


def add_parser(commands):
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
    parser.set_defaults(run=run)


def run(arguments):
    start = time.perf_counter()
    folder = arguments.output
    files = {
        "picture": folder / "demo.png",
        "movie": folder / "demo_denoised.tif",
        "table": folder / "demo_atoms.csv",
    }
    check_new(files.values(), arguments.overwrite)

    from temdenoise import SBDDenoiser, find_atoms, load_sample_movie, psnr, write_stack
    from temdenoise.atoms import match_atoms
    from temdenoise.plotting import plot_denoising

    movie = load_sample_movie()
    noisy, clean, pixel_size = movie.data, movie.clean, movie.pixel_size
    print(
        f"movie      {len(noisy)} frames of {noisy.shape[1]} x {noisy.shape[2]} pixels, "
        f"{pixel_size:.2f} pm/px, {noisy.mean():.2f} electrons/px"
    )
    denoised = SBDDenoiser.from_pretrained().transform(noisy, pixel_size=pixel_size)
    before, after = (float(psnr(clean, x).mean()) for x in (noisy, denoised))
    print(f"denoised   PSNR {before:.1f} dB -> {after:.1f} dB (against the known truth)")

    tables = [find_atoms(image, pixel_size=pixel_size) for image in denoised]
    # The best possible result is the atoms of the clean image.
    references = [find_atoms(image, pixel_size=pixel_size) for image in clean]
    reach = 62.2 / pixel_size  # the paper's 10 pixels of 6.22 pm
    pairs = zip(tables, references, strict=True)
    matched = sum(len(match_atoms(a, b, max_distance=reach)) for a, b in pairs)
    n_found, n_true = sum(map(len, tables)), sum(map(len, references))
    print(
        f"atoms      {n_found / len(tables):.0f} columns per frame; precision "
        f"{matched / max(n_found, 1):.3f}, recall {matched / max(n_true, 1):.3f} against those of "
        "the clean image"
    )

    folder.mkdir(parents=True, exist_ok=True)
    title = f"{noisy[0].mean():.2f} electrons/px: PSNR {before:.1f} dB to {after:.1f} dB"
    figure = plot_denoising(noisy[0], denoised[0], tables[0], pixel_size=pixel_size, title=title)
    write_figure(files["picture"], figure)
    write_stack(files["movie"], denoised, pixel_size=pixel_size, overwrite=arguments.overwrite)
    write_table(files["table"], frames_table(tables, pixel_size))
    print("written    " + "\n           ".join(str(f) for f in files.values()))
    print(f"done       in {time.perf_counter() - start:.1f} s")
