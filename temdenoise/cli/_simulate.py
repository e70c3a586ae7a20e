"""``temdenoise simulate``: clean images from physics."""

import sys
from pathlib import Path

from temdenoise.cli._shared import add_optics, check_new, positive_int, write_table

# Headers of the tables in CSV files, with units.
_HEADERS = {
    "thickness": "thickness_angstrom",
    "tilt_x": "tilt_x_deg",
    "tilt_y": "tilt_y_deg",
    "defocus": "defocus_nm",
    "c3": "c3_um",
    "vibration": "vibration_pm",
    "c12": "c12_nm",
    "phi12": "phi12_deg",
    "c21": "c21_nm",
    "phi21": "phi21_deg",
    "c23": "c23_nm",
    "phi23": "phi23_deg",
    "x": "x_px",
    "y": "y_px",
    "occupancy": "occupancy_atoms",
}


def add_parser(commands):
    parser = commands.add_parser(
        "simulate",
        help="simulate clean Pt/CeO2 images from physics",
        description="Simulate clean images of Pt nanoparticles on CeO2 by multislice. The models "
        "are drawn at random. The four structures and their defects alternate, so that a few "
        "images show all structures. OUT.npz holds 'data' (the images), 'pixel_size' (pm), "
        "'groups' (the structure of each image), and the tables as 'frame_...' and 'columns_...'.",
    )
    parser.add_argument(
        "-n",
        "--n-images",
        type=positive_int,
        required=True,
        metavar="N",
        help="number of images, spread over 12 models, or over N / 10 models if N is at least 120",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="OUT.npz, or a folder (made if needed) for images.tif, images.csv and columns.csv",
    )
    add_optics(parser)
    parser.add_argument("--preset", default="quick", help="quick (default), default or paper")
    parser.add_argument("--random-state", type=int, metavar="SEED")
    parser.add_argument("--n-jobs", type=int, metavar="N", help="processes; -1: one per CPU")
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="cpu (default), cuda ..., auto",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.set_defaults(run=run)


def run(arguments):
    output = arguments.output
    if output.suffix.lower() == ".npz":
        files = [output]
        if not output.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(output.parent)!r}; make it first")
    elif output.suffix and not output.is_dir():
        raise ValueError(f"the output must be a folder or end in .npz, got {str(output)!r}")
    else:
        files = [output / name for name in ("images.tif", "images.csv", "columns.csv")]
    check_new(files, arguments.overwrite)

    import numpy as np
    import pandas as pd

    from temdenoise import make_ptceo2, write_stack
    from temdenoise._files import replacing

    simulated = make_ptceo2(
        arguments.n_images,
        models="varied",
        optics=arguments.optics,
        preset=arguments.preset,
        random_state=arguments.random_state,
        n_jobs=arguments.n_jobs,
        device=arguments.device,
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
            np.savez(
                file,
                data=simulated.data,
                pixel_size=simulated.pixel_size,
                groups=simulated.groups,
                **arrays,
            )
    else:
        output.mkdir(parents=True, exist_ok=True)
        write_stack(files[0], simulated.data, overwrite=arguments.overwrite)
        write_table(files[1], simulated.frame.rename(columns=_HEADERS))
        write_table(files[2], columns.rename(columns=_HEADERS))
    print(
        f"{len(simulated.data)} images of {simulated.data.shape[1]} x {simulated.data.shape[2]} "
        f"pixels, {simulated.pixel_size:.2f} pm/px -> " + ", ".join(map(str, files))
    )


def _plain_array(series):
    """Values without Python objects: np.load refuses pickles."""
    values = series.to_numpy()
    return values if values.dtype.kind in "biuf" else values.astype(str)
