"""``temdenoise train``: weights from clean images."""

import contextlib
import sys
from pathlib import Path

from temdenoise.cli._shared import add_optics, positive_float, positive_int, read


def add_parser(commands):
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
        type=positive_int,
        default=2000,
        metavar="N",
        help="simulate N (default 2000)",
    )
    add_optics(parser)
    parser.add_argument("--architecture", metavar="NAME", help="default: fourier_unet")
    parser.add_argument("--scales", type=positive_int, metavar="N", help="scales of the network")
    parser.add_argument("--base-channels", type=positive_int, metavar="N", help="its width")
    parser.add_argument("--max-epochs", type=positive_int, metavar="N")
    parser.add_argument(
        "--max-time",
        type=positive_float,
        metavar="MIN",
        help="minutes to train; unless --max-epochs is given too, they are used up",
    )
    parser.add_argument(
        "--dose",
        type=positive_float,
        nargs=2,
        metavar=("LO", "HI"),
        help="range of mean electrons/px (default: that of the images)",
    )
    parser.add_argument(
        "--pixel-size",
        type=positive_float,
        nargs="+",
        metavar="PM",
        help="pixel size in pm of the images to denoise, or their lowest and highest",
    )
    parser.add_argument(
        "--stretch",
        type=positive_float,
        metavar="S",
        help="train on images distorted by up to this fraction (default: 0)",
    )
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="default: 0")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the training that DIR/checkpoint.pt holds"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what DIR holds")
    parser.set_defaults(run=run)


def run(arguments):
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
    if arguments.images is not None and arguments.optics != "paper":
        raise ValueError("--optics is for images that are simulated: leave out --images or it")
    parameters = _training_parameters(arguments)

    from temdenoise import SBDDenoiser
    from temdenoise.training.loop import check_settings

    denoiser = SBDDenoiser(**parameters, checkpoint=checkpoint, verbose=True)
    check_settings(denoiser, resume=arguments.resume)  # before minutes go into images
    images, pixel_size = _training_images(arguments)
    with _folder(output):
        if not arguments.resume:
            checkpoint.unlink(missing_ok=True)  # or the fit would go on from it
        denoiser.fit(images, pixel_size=pixel_size)
        denoiser.save_pretrained(output, overwrite=True)
    print(f"weights -> {output} (checkpoint.pt in it is only needed for --resume)")


@contextlib.contextmanager
def _folder(path):
    """Make a folder, and leave no empty one if what follows fails."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:  # also KeyboardInterrupt
        with contextlib.suppress(OSError):  # at the first that holds something
            for folder in new:
                folder.rmdir()
        raise


def _training_parameters(arguments):
    names = (
        "architecture", "scales", "base_channels", "max_epochs", "max_time", "stretch",
        "random_state",
    )  # fmt: skip
    parameters = {name: getattr(arguments, name) for name in names}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    if arguments.max_time and not arguments.max_epochs:
        parameters["max_epochs"] = 100_000
    if arguments.dose:
        parameters["dose"] = tuple(sorted(arguments.dose))
    if arguments.pixel_size:
        if len(arguments.pixel_size) > 2:
            raise ValueError("--pixel-size takes one or two numbers")
        low, high = min(arguments.pixel_size), max(arguments.pixel_size)
        parameters["pixel_size"] = (low, high) if low < high else low
    return parameters


def _training_images(arguments):
    if arguments.images is not None:
        images = read(arguments.images)
        if images.pixel_size is None:
            raise ValueError(
                f"{str(arguments.images)!r} does not say its pixel size; store it with "
                "temdenoise.write_stack, or as 'pixel_size' (pm) beside 'data' in a .npz file"
            )
        return images, images.pixel_size

    from temdenoise import make_ptceo2

    simulated = make_ptceo2(
        arguments.n_images,
        models="varied",
        optics=arguments.optics,
        random_state=arguments.random_state,
        n_jobs=-1,
        verbose=sys.stderr.isatty(),
    )
    return simulated.data, simulated.pixel_size
