"""``temdenoise info``: what a file holds, whether it is counts, and the method for it."""

import json
from pathlib import Path

from temdenoise.cli._masks import with_bad_pixels
from temdenoise.cli._shared import add_reading, positive_float, read

# Frames that are looked at: all of shorter movies. A few of them tell the method.
_FRAMES, _FEW = 64, 4


def add_parser(commands):
    parser = commands.add_parser(
        "info",
        help="say what files hold, and whether it is counts of electrons",
        description="Say what files hold: size, pixel size, dose, whether the values are counts of "
        "electrons and what to do if not, bad pixels and copies of frames, and the method that "
        "'temdenoise denoise' would take.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".tif, .npy or .npz")
    parser.add_argument(
        "--pixel-size", type=positive_float, metavar="PM", help="in pm; default: what the file says"
    )
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments):
    for path in arguments.files:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    for path in arguments.files:
        try:
            stack = read(path, series=arguments.series, max_bytes=arguments.max_bytes)
            print(path)
            for line in describe(stack, arguments.pixel_size):
                print(f"  {line}", flush=True)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{str(path)!r}: {error}") from error


def describe(stack, pixel_size=None):
    """Describe a stack, line by line.

    Parameters
    ----------
    stack : ImageStack of shape (n_images, height, width)
        As `temdenoise.read_stack` gives it.
    pixel_size : float, optional
        In pm; by default that of the stack.

    Yields
    ------
    line : str
    """
    import numpy as np

    from temdenoise.noise import check_counts

    in_file, metadata = stack.pixel_size, stack.metadata or {}
    stack = np.asarray(stack)
    yield _size(stack, in_file, pixel_size)
    if axes := metadata.get("axes"):
        yield f"axes {axes}"
    if info := metadata.get("info"):
        yield f"says of itself: {json.dumps(info, default=str)}"

    picked = np.arange(min(len(stack), _FRAMES))
    if len(stack) > _FRAMES:
        yield f"the first {_FRAMES} frames are looked at"
    frames = np.stack([stack[k] for k in picked]).astype(np.float32)
    hidden = ~np.isfinite(frames)
    if hidden.any():
        yield f"NaN or infinity: {hidden.sum()} pixels, which are left out; mask them"
        if hidden.reshape(len(frames), -1).all(axis=1).any():
            yield "a frame holds nothing else"
            return
        frames = np.where(hidden, np.float32(0), frames)
    mask = hidden if hidden.any() else None
    shown = frames if mask is None else frames[~mask]
    yield f"values {shown.min():.6g} to {shown.max():.6g}, mean {shown.mean(dtype=float):.4g}"

    mask, bad = with_bad_pixels(mask, frames)
    if bad:
        yield f"bad pixels, which are masked: {bad}"
    check = check_counts(frames, mask=mask)
    yield from _verdict(check, frames, mask)
    electrons = _electrons(check, frames, mask)
    if electrons is None:
        yield "method: none, as the values are no counts"
        return
    yield _method(electrons, mask, in_file if pixel_size is None else pixel_size)


def _size(stack, in_file, given):
    n, height, width = stack.shape
    if given is not None:
        scale = f"{given:.4g} pm/px as given"
    else:
        scale = "pixel size not known" if in_file is None else f"{in_file:.4g} pm/px"
    return f"{n} x {height} x {width} pixels, {stack.dtype}, {scale}"


def _verdict(check, frames, mask):
    """Say whether the values are counts, and if not what they are."""
    from temdenoise.noise.counts import FRAMES

    wrong = [finding for finding in check.findings if finding.kind not in FRAMES]
    if not wrong:
        yield f"counts of electrons: nothing speaks against it; {_dose(frames, mask)}"
    for finding in wrong:
        yield f"no counts ({finding.kind}): {finding}"
    if wrong and check.gain is not None:
        offset = "not known" if check.offset is None else f"{check.offset:.4g}"
        yield f"gain {check.gain:.4g} per electron, offset {offset}: convert with --gain auto"
    elif wrong:
        yield "no gain was found"
    for finding in check.findings:
        if finding.kind in FRAMES:
            yield f"{finding.kind}: {finding}"


def _dose(counts, mask):
    where = True if mask is None else ~mask
    doses = counts.mean(axis=(1, 2), where=where, dtype=float)
    if len(doses) == 1:
        return f"{doses[0]:.4g} electrons/px"
    return f"{doses.mean():.4g} electrons/px ({doses.min():.4g} to {doses.max():.4g} in a frame)"


def _electrons(check, frames, mask):
    """Return counts of the frames; None if they cannot be had."""
    import warnings

    import numpy as np

    from temdenoise import to_counts
    from temdenoise.noise.counts import FRAMES

    if all(finding.kind in FRAMES for finding in check.findings):
        return frames
    if check.gain is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the verdict says as much
            return np.maximum(to_counts(frames, mask=mask), 0)
    except ValueError:
        return None


def _method(counts, mask, pixel_size):
    """Say which method fits, and why."""
    import warnings

    import numpy as np

    from temdenoise import AutoDenoiser

    few = np.unique(np.linspace(0, len(counts) - 1, min(len(counts), _FEW)).astype(int))
    counts, mask = counts[few], None if mask is None else mask[few]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            denoiser = AutoDenoiser().fit(counts, mask=mask)
            wanted = "auto" if pixel_size is None else pixel_size
            choice = denoiser.choose(counts, mask=mask, pixel_size=wanted)
    except ValueError as error:
        return f"method: none: {error}"
    return f"method: {choice.method}, for {choice.reason}"
