"""A denoiser made ready for one file: its scale, its training, its choice of a method."""

import warnings

from temdenoise._calls import only_taken
from temdenoise.cli._methods import METHODS, summed

# A training gets at most this many pixels: it holds all its frames in memory.
_TRAINING_PIXELS = 2**28
# Frames that tell the scale and the method.
_FEW = 4
# How a training is stopped, and what is kept then.
_HOW_TO_STOP = "Ctrl-C ends it and keeps the best since its first epoch"


def prepare(denoiser, stack, masks, to_electrons, in_file, arguments):
    """Fit the denoiser to one file, or let it choose its method; say which and why.

    Parameters
    ----------
    denoiser : object
        From `temdenoise.cli._methods.build`.
    stack : ndarray of shape (n_images, height, width)
        Values as stored.
    masks : Masks
        Pixels not to trust.
    to_electrons : Conversion
    in_file : float or None
        Pixel size in pm that the file says.
    arguments : argparse.Namespace
        Of ``temdenoise denoise``.

    Returns
    -------
    work : sklearn.utils.Bunch
        ``denoiser``, ready to transform with the keywords ``params``; ``method``, ``why`` and
        ``scale``, in words; ``pixel_size`` and ``calibration`` in pm, or None; ``metadata`` of the
        result.
    """
    import numpy as np
    from sklearn.utils import Bunch

    pixel_size, origin = arguments.pixel_size, "as given"
    if pixel_size is None:
        pixel_size, origin = in_file, "from the file"
    calibration = None if pixel_size == "auto" else pixel_size
    # One method and scale for the whole movie, from a few frames spread over it.
    picked = np.linspace(0, len(stack) - 1, min(len(stack), _FEW)).round().astype(int)
    frames, hidden = _frames(stack, masks, to_electrons, np.unique(picked))

    method, why, pixel_size = arguments.method, "", calibration
    n_frames = arguments.n_frames or 1
    if to_electrons.read_noise:
        denoiser.set_params(read_noise=to_electrons.read_noise)
    if METHODS[method].trains:
        _train(denoiser, stack, masks, to_electrons, calibration, arguments)
    elif method != "sbd":  # which is trained already
        denoiser.fit(frames, **_masked(denoiser.fit, hidden))
    if method == "auto":
        choice = _choose(denoiser, frames, hidden, calibration)
        known = choice.params.get("pixel_size") if calibration is None else calibration
        if n_frames > 1 and known is not None:
            # the weights must fit the dose of the sums
            sums = _sums(stack, masks, to_electrons, n_frames)
            choice = _choose(denoiser, *sums, known)
        if arguments.adapt and choice.table is not None and "sbd" in choice.table.index:
            # It is to become better than it is: what the others do now is of no account.
            choice.update(method="sbd", denoiser=denoiser.sbd_, params={"pixel_size": known})
        method, why = choice.method, f", for {choice.reason}"
        denoiser, params = choice.denoiser, choice.params
        if calibration is None:
            pixel_size = params.get("pixel_size")
    else:
        if method == "sbd" and calibration is None:
            pixel_size = float(denoiser.estimate_pixel_size(frames, mask=hidden))
        params = only_taken(denoiser.transform, pixel_size=pixel_size)
    metadata = {} if arguments.n_frames is None else {"n_frames": n_frames}
    if arguments.adapt:
        if method == "sbd":
            denoiser = _adapt(denoiser, stack, masks, to_electrons, pixel_size, arguments)
            metadata["adapted"] = denoiser.adaptation_.accepted
        else:
            print(f"  nothing to adapt: {method} has no weights", flush=True)
    if n_frames > 1 and arguments.method in ("auto", "sbd"):
        with_neighbours = _with_neighbours(denoiser, method, n_frames, arguments.aligned)
        denoiser = with_neighbours.fit(frames, mask=hidden)
    if n_frames > 1:
        how = "summed" if arguments.aligned else "aligned and summed"
        alone = method in ("windowed-fourier", "udvd")
        why = f" on {n_frames} frames{'' if alone else f', {how}'}{why}"
    return Bunch(
        denoiser=denoiser,
        method=method,
        why=why,
        params=params,
        pixel_size=pixel_size,
        calibration=calibration,
        scale=_scale_in_words(pixel_size, calibration, origin),
        metadata=metadata,
    )


def _scale_in_words(pixel_size, calibration, origin):
    if pixel_size is None:
        return "pixel size unknown"
    if calibration is None:
        # The scale that suits the network is no calibration: it enters no length in nm.
        return f"{pixel_size:.3g} pm/px suits the network best (no lengths in nm)"
    return f"{pixel_size:.3g} pm/px {origin}"


def _frames(stack, masks, to_electrons, chosen):
    """Return counts of the chosen frames, and their mask."""
    import numpy as np

    counts = to_electrons(np.asarray(stack[chosen]))
    return counts, masks(counts, chosen)


def _frames_to_learn_from(stack, masks, to_electrons):
    """Return counts and mask of all frames; of a long movie, of those around its middle."""
    n = min(len(stack), max(1, _TRAINING_PIXELS // stack[0].size))
    first = (len(stack) - n) // 2
    return _frames(stack, masks, to_electrons, slice(first, first + n))


def _masked(function, hidden, **keywords):
    """Keywords of a method, for frames whose bad pixels are masked already."""
    return only_taken(function, mask=hidden, bad_pixels="keep", **keywords)


def _how_many(frames, stack):
    if len(stack) == 1:
        return "the image"
    return (
        f"all {len(stack)} frames"
        if len(frames) == len(stack)
        else (f"{len(frames)} of {len(stack)} frames")
    )


def _train(denoiser, stack, masks, to_electrons, pixel_size, arguments):
    """Train a method on the frames that it is to denoise."""
    frames, hidden = _frames_to_learn_from(stack, masks, to_electrons)
    kept = arguments.checkpoint
    how = "" if kept is None else f"; with {kept} the same command goes on where it stopped"
    print(f"  training on {_how_many(frames, stack)}. {_HOW_TO_STOP}{how}", flush=True)
    denoiser.set_params(verbose=True)
    denoiser.fit(frames, **_masked(denoiser.fit, hidden, pixel_size=pixel_size))
    denoiser.set_params(verbose=False)  # the command shows the images itself


def _choose(denoiser, frames, mask, calibration):
    """Choice of `AutoDenoiser` for frames, or for sums of frames."""
    wanted = "auto" if calibration is None else calibration
    return denoiser.choose(frames, mask=mask, pixel_size=wanted)


def _sums(stack, masks, to_electrons, n_frames):
    """Sum some pieces of a movie that share no frame; return counts and mask."""
    import numpy as np

    n = max(1, min(_FEW, len(stack) // n_frames))
    sums, hidden = [], []
    for first in np.linspace(0, max(0, len(stack) - n_frames), n).round().astype(int):
        frames = slice(first, first + n_frames)
        counts, of_frames = _frames(stack, masks, to_electrons, frames)
        sums.append(counts.sum(axis=0))
        nothing = np.zeros(counts.shape[1:], dtype=bool)
        hidden.append(nothing if of_frames is None else of_frames.any(axis=0))
    return np.stack(sums), np.stack(hidden) if np.any(hidden) else None


def _with_neighbours(denoiser, method, n_frames, aligned):
    """Make a fitted denoiser of single frames one that uses neighbours too."""
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator

    if method == "windowed-fourier":
        return clone(denoiser).set_params(n_frames=n_frames)
    return summed(FrozenEstimator(denoiser), n_frames, aligned)


def _adapt(denoiser, stack, masks, to_electrons, pixel_size, arguments):
    """Adapt trained weights to the frames, say what came of it, and keep them if asked."""
    frames, hidden = _frames_to_learn_from(stack, masks, to_electrons)
    print(f"  adapting the weights to {_how_many(frames, stack)}. {_HOW_TO_STOP}", flush=True)
    options = {"max_minutes": arguments.max_minutes, "random_state": arguments.random_state}
    with warnings.catch_warnings():
        # The line below says the same.
        warnings.filterwarnings("ignore", "The adapted weights do not predict")
        adapted = denoiser.adapt(
            frames,
            mask=hidden,
            pixel_size=pixel_size,
            verbose=True,
            **{name: value for name, value in options.items() if value is not None},
        )
    result = adapted.adaptation_
    verdict = "accepted" if result.accepted else "not accepted, the original ones are used"
    print(
        f"  adapted weights {verdict}: they change the squared error by {result.difference:.2g} +- "
        f"{result.standard_error:.1g} (electrons/px)^2",
        flush=True,
    )
    if arguments.save_weights is not None:
        _save(adapted, arguments)
    return adapted


def _save(adapted, arguments):
    result = adapted.adaptation_
    if not result.accepted:
        print(f"  nothing is written to {arguments.save_weights}", flush=True)
        return
    info = {
        "adapted_from": arguments.weights or "general",
        "adapted_to": arguments.files[0].name,
        "difference": result.difference,
        "standard_error": result.standard_error,
    }
    adapted.save_pretrained(arguments.save_weights, overwrite=arguments.overwrite, info=info)
    print(f"  weights -> {arguments.save_weights}", flush=True)
