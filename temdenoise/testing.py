"""Checks whether a denoiser keeps the contract of ``temdenoise.base``."""

import inspect
import pickle
import warnings
from functools import cached_property, partial

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

from temdenoise._calls import takes
from temdenoise._frames import FramesWarning
from temdenoise.base import BaseDenoiser, WorseThanConstantWarning
from temdenoise.images import ImageStack, PixelSizeWarning
from temdenoise.noise import CountsWarning

_PIXEL_SIZE = 6.22  # pm
_DOSE, _PERIOD = 0.45, 16.0  # counts/px, px


def check_denoiser(estimator, *, verbose=False):
    """Check that a denoiser keeps the contract.

    All denoisers of this package pass these checks. They test the arguments and results of ``fit``,
    ``transform`` and ``score``, masks with NaN under them, images that know their pixel size,
    errors for bad input, parameters, identical refits, pickling, and cross-validation.
    For methods that use the neighbours of a movie's frames (``_context``), frames further away must
    have no influence.

    Parameters
    ----------
    estimator : denoiser
        An object of the class to check, with parameters for which it is fast. It is not changed;
        clones of it are checked.
    verbose : bool, default=False
        Print the name of each check.

    Raises
    ------
    AssertionError
        If a rule is broken; the message names the rule.

    Examples
    --------
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.testing import check_denoiser
    >>> check_denoiser(LowPassDenoiser(cutoff=0.06))
    """
    for name, check in denoiser_checks(estimator):
        if verbose:
            print(name)
        check()


def denoiser_checks(estimator):
    """Yield the checks of `check_denoiser` one by one.

    Parameters
    ----------
    estimator : denoiser
        As for `check_denoiser`.

    Yields
    ------
    name : str
    check : callable
        Called without arguments; raises AssertionError if the rule is broken.

    Examples
    --------
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.testing import denoiser_checks
    >>> names = [name for name, _ in denoiser_checks(LowPassDenoiser())]
    >>> names[0]
    'parameters are keywords, kept as they are set'
    """
    case = _Case(estimator)
    for name, rule in _RULES.items():
        yield name, partial(_run, name, rule, case)


def _run(name, rule, case):
    name = f"{type(case.estimator).__name__} breaks the rule: {name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PixelSizeWarning)
            warnings.simplefilter("ignore", FramesWarning)  # the images are no movie
            warnings.simplefilter("ignore", CountsWarning)  # nor are they all counts
            # a network that was trained for a step or two
            warnings.simplefilter("ignore", WorseThanConstantWarning)
            rule(case)
    except AssertionError as error:
        raise AssertionError(f"{name}. {error}") from error
    except Exception as error:
        raise AssertionError(f"{name}. It raised {type(error).__name__}: {error}") from error


class _Case:
    """A denoiser, images, and values that follow from both."""

    def __init__(self, estimator):
        self.estimator = estimator
        # six, so that a method of three frames can learn from half of them; three do for the rest,
        # and two where the number of images is of no account
        least = estimator._min_size
        self.all_clean = ImageStack(_lattices(6, max(36, least), max(30, least)), _PIXEL_SIZE)
        counts = np.random.default_rng(0).poisson(self.all_clean).astype(np.float32)
        self.all_noisy = ImageStack(counts, _PIXEL_SIZE)
        self.clean, self.noisy = self.all_clean[:3], self.all_noisy[:3]
        self.pair = self.noisy[:2]
        self.mask = np.zeros(self.noisy.shape[1:], dtype=bool)
        self.mask[:12, :15] = True
        # the images from which `fit` learns
        self.fit_on = self.clean if estimator._fits_on == "clean" else self.noisy

    @cached_property
    def fitted(self):
        """A fitted clone. The checks share it and do not change it."""
        return clone(self.estimator).fit(self.fit_on)


def _lattices(n_images, height, width):
    """Square lattices of blobs, each shifted and turned: mean counts per pixel."""
    rows, columns = np.mgrid[:height, :width]
    images = []
    for i in range(n_images):
        u = np.cos(0.3 * i) * columns + np.sin(0.3 * i) * rows + i
        v = -np.sin(0.3 * i) * columns + np.cos(0.3 * i) * rows
        wave = (np.cos(2 * np.pi * u / _PERIOD) + np.cos(2 * np.pi * v / _PERIOD)) / 2
        images.append(_DOSE * (1 + 0.5 * wave))
    return np.array(images, dtype=np.float32)


def _same(a, b, what):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=what)


def _close(a, b, what):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5, err_msg=what)


def _refuses(call, kinds, what, mentions=""):
    try:
        call()
    except kinds as error:
        assert mentions in str(error), f"The message does not say {mentions!r}: {error}"
    else:
        raise AssertionError(f"{what} must raise {kinds}.")


def _parameters(case):
    kinds = inspect.Parameter
    for name, parameter in inspect.signature(type(case.estimator)).parameters.items():
        assert parameter.kind is kinds.KEYWORD_ONLY, f"{name} is not keyword-only."
    assert isinstance(case.estimator, BaseDenoiser), "It must inherit from BaseDenoiser."
    assert type(case.estimator).__name__.endswith("Denoiser"), "Its name must end in Denoiser."
    denoiser = clone(case.estimator)
    before = denoiser.get_params()
    denoiser.fit(case.fit_on)
    after = denoiser.get_params()
    assert after.keys() == before.keys()
    changed = [name for name in after if after[name] is not before[name]]
    nested = [name for name in changed if hasattr(before[name], "get_params")]
    assert changed == nested, f"fit changed {changed}."


def _returns(case):
    denoiser = clone(case.estimator)
    assert denoiser.fit(case.fit_on) is denoiser, "fit must return the denoiser."
    X = case.noisy.copy()
    X.setflags(write=False)
    denoised = denoiser.transform(X)
    assert denoised.shape == X.shape
    assert denoised.dtype == np.float32
    assert np.isfinite(denoised).all()
    assert denoised.flags.writeable and not np.shares_memory(denoised, X)
    _same(X, case.noisy, "transform changed its input.")


def _pixel_sizes(case):
    denoiser = case.fitted
    denoised = denoiser.transform(case.pair)
    assert isinstance(denoised, ImageStack), "transform must return an ImageStack."
    assert denoised.pixel_size == _PIXEL_SIZE
    if not takes(denoiser.transform, "pixel_size"):
        return
    plain = np.asarray(case.pair)
    said = denoiser.transform(plain, pixel_size=_PIXEL_SIZE)
    _same(said, denoised, "The keyword and the images' own pixel size differ.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoiser.transform(case.pair, pixel_size=0.9 * _PIXEL_SIZE)
    assert any(issubclass(w.category, PixelSizeWarning) for w in caught), (
        "A pixel size that is not that of the images must be said."
    )
    for wrong in (0.0, -1.0, np.nan, np.inf, _PIXEL_SIZE / 1000):
        _refuses(lambda w=wrong: denoiser.transform(plain, pixel_size=w), ValueError, f"{wrong} pm")
    _refuses(lambda: denoiser.transform(plain, pixel_size="6 pm"), TypeError, "Text")


def _kinds_of_arrays(case):
    denoiser = case.fitted
    expected = denoiser.transform(case.pair)
    plain = np.asarray(case.pair)
    padded = np.zeros((len(plain), 2 * plain.shape[1], 2 * plain.shape[2]))
    padded[:, ::2, ::2] = plain
    bare = denoiser.transform(plain)
    for other in (
        plain.astype(np.uint8), plain.astype(np.int64), plain.astype(np.float64),
        plain.astype(object), np.asfortranarray(plain), padded[:, ::2, ::2], plain.tolist(),
    ):  # fmt: skip
        _same(denoiser.transform(other), bare, "The kind of array changed the result.")
    ones = plain > 0
    _same(denoiser.transform(ones), denoiser.transform(ones.astype(float)), "bool images differ.")
    _same(denoiser.transform(case.pair.astype(np.uint16)), expected, "The dtype matters.")


def _one_by_one(case):
    if case.estimator._context:  # a movie's do
        return
    if case.estimator._decides_by_call:
        return
    denoiser = case.fitted
    denoised = denoiser.transform(case.noisy)
    for i in range(len(denoised)):
        _close(denoiser.transform(case.noisy[i : i + 1])[0], denoised[i], f"Image {i} differs.")


def _far_frames(case):
    reach = case.estimator._context
    if not reach:  # those are checked one by one
        return
    denoiser = case.fitted
    movie = _movie(2 * reach + 4)
    denoised = denoiser.transform(movie)
    for k in (0, reach + 1, len(movie) - 1):
        other = movie.copy()
        far = np.abs(np.arange(len(movie)) - k) > reach
        other[far] = np.random.default_rng(1).poisson(3 * _DOSE, size=other[far].shape)
        again = denoiser.transform(other)[k]
        _close(again, denoised[k], f"Frames more than {reach} away (_context) changed frame {k}.")


def _movie(n_frames):
    """Return a lattice that drifts by a pixel a frame, with shot noise."""
    scene = _lattices(1, 48, 40 + n_frames)[0]
    rates = np.stack([scene[:, k : k + 40] for k in range(n_frames)])
    return ImageStack(np.random.default_rng(0).poisson(rates).astype(np.float32), _PIXEL_SIZE)


def _sizes(case):
    denoiser, least = case.fitted, case.estimator._min_size
    fewest = 2 if case.estimator._context else 1  # a movie's frames may need neighbours
    for size in ((1, 1), (1, 30), (30, 1), (101, 67)):
        if min(size) < least:
            continue
        shape = (fewest, *size)
        X = ImageStack(np.random.default_rng(0).poisson(_DOSE, size=shape), _PIXEL_SIZE)
        denoised = denoiser.transform(X)
        assert denoised.shape == shape
        assert np.isfinite(denoised).all(), f"Images of shape {shape} come back with NaN."


def _bad_images(case):
    denoiser = case.fitted
    X = np.asarray(case.noisy)
    nan = X.copy()
    nan[1, 2, 3] = np.nan
    bad = {
        "[np.newaxis]": X[0],
        "3D": X[np.newaxis],
        "NaN": nan,
        "0 sample": X[:0],
        "Complex": X.astype(complex),
        "dtype": np.full(X.shape, "a"),
    }
    for mentions, images in bad.items():
        for method in (denoiser.fit, denoiser.transform, denoiser.score):
            _refuses(lambda m=method, i=images: m(i), ValueError, "Bad images", mentions)
    if get_tags(denoiser).input_tags.positive_only:
        _refuses(lambda: denoiser.transform(X - 1), ValueError, "Negative counts", "egative")
    _refuses(lambda: denoiser.fit(X, X[:1]), ValueError, "A target of another shape", "y")


def _masks(case):
    denoiser = case.fitted
    expected = denoiser.transform(case.pair, mask=case.mask)
    bare = denoiser.transform(case.pair)
    for what in (1000, -3, np.nan, np.inf):
        spoiled = case.pair.copy()
        spoiled[:, case.mask] = what
        denoised = denoiser.transform(spoiled, mask=case.mask)
        _same(denoised, expected, f"{what} under the mask changed the estimate.")
    assert np.isfinite(expected).all()
    if not case.estimator._context:
        of_one = np.zeros(case.pair.shape, dtype=bool)
        of_one[0] = case.mask
        denoised = denoiser.transform(case.pair, mask=of_one)
        _close(denoised[0], expected[0], "A mask of one image differs from that of all.")
        _close(denoised[1], bare[1], "A mask spoils another image.")
    nothing = denoiser.transform(case.pair, mask=np.zeros_like(case.mask))
    _same(nothing, bare, "A mask of nothing changed the estimate.")
    spoiled = case.fit_on.copy()
    spoiled[:, case.mask] = np.nan
    clone(denoiser).fit(spoiled, mask=case.mask)
    score = denoiser.score(spoiled, case.clean, mask=case.mask)
    assert np.isfinite(score), "score with NaN under the mask is not finite."
    _refuses(lambda: denoiser.transform(case.noisy, mask=case.mask.T), ValueError, "A mask's shape")
    _refuses(
        lambda: denoiser.transform(case.noisy, mask=case.mask * 1.0), ValueError, "A float mask"
    )


def _not_fitted(case):
    denoiser = clone(case.estimator)
    _refuses(lambda: denoiser.transform(case.noisy), NotFittedError, "transform before fit")
    _refuses(lambda: denoiser.score(case.noisy), NotFittedError, "score before fit")


def _validation(case):
    class Wrong:
        pass

    for name in case.estimator.get_params():
        wrong = clone(case.estimator).set_params(**{name: Wrong()})  # no check before fit
        kinds = (ValueError, TypeError)
        _refuses(lambda w=wrong: w.fit(case.fit_on), kinds, f"A wrong {name}", name)


def _identical(case):
    denoiser = clone(case.estimator).fit(case.fit_on)
    expected = denoiser.transform(case.noisy)
    _same(denoiser.fit(case.fit_on).transform(case.noisy), expected, "A refit differs.")
    again = clone(case.estimator).fit(case.fit_on)
    _same(again.transform(case.noisy), expected, "A clone differs.")
    again = pickle.loads(pickle.dumps(denoiser))
    _same(again.transform(case.noisy), expected, "A pickle differs.")


def _scores(case):
    denoiser = case.fitted
    assert isinstance(denoiser.score(case.noisy, case.clean), float)
    assert denoiser.score(case.clean) == denoiser.score(case.clean)
    data = [(case.all_noisy, case.all_clean)]
    if case.estimator._fits_on == "clean":
        data.append((case.all_clean,))
    for images in data:
        scores = cross_val_score(clone(case.estimator), *images, cv=2, error_score="raise")
        assert np.isfinite(scores).all()


# Rule -> what checks it.
_RULES = {
    "parameters are keywords, kept as they are set": _parameters,
    "transform returns float32 of the images' shape and leaves the images alone": _returns,
    "images that know their pixel size come back as such": _pixel_sizes,
    "all real dtypes, layouts and lists are taken, and give the same": _kinds_of_arrays,
    "images do not depend on the others of their stack": _one_by_one,
    "frames further away than the context have no influence": _far_frames,
    "images of any size are denoised": _sizes,
    "images that cannot be right raise ValueError that says what is wrong": _bad_images,
    "what is masked may hold anything, NaN too, and has no influence": _masks,
    "without fit, NotFittedError is raised": _not_fitted,
    "parameters are validated in fit, and the error names them": _validation,
    "a refit, a clone and a pickle give the same": _identical,
    "score is a repeatable float, and cross-validation works": _scores,
}
