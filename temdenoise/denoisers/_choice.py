"""Methods compared on a part of the images, by electrons held out."""

import copy
import warnings

import numpy as np

from temdenoise._calls import only_taken
from temdenoise.metrics._held_out import (
    difference_of_image,
    find_limit,
    hold_out,
    mean_of_images,
    mean_risk,
)
from temdenoise.metrics._scoring import with_pixel_size
from temdenoise.metrics.paired import risk_table
from temdenoise.noise._gate import passed

# Share of the electrons held out in a draw. A larger one favours methods for low doses.
_SHARE = 0.1
# What is compared: the middle of so many frames, in so many draws. If these do not tell whether
# anything is better than a constant, further draws as far as so many pixels allow.
_FRAMES, _SIDE, _LEAST_SIDE = 3, 512, 128
_PIXELS = 6 * _SIDE**2
_LEAST_DRAWS, _MOST_DRAWS = 2, 10
# Standard errors that make a difference: 95 % confidence.
_CLEAR = 1.96


class Comparison:
    """Estimates of several methods of the same frames, held against the same electrons.

    Parameters
    ----------
    candidates : dict of str to (denoiser, dict)
        Fitted denoisers, and the keywords of their ``transform`` besides the mask.
    X : ndarray of shape (n_images, height, width)
        Whole counts per pixel.
    mask : None or bool ndarray of the same shape
    pixel_size : float or None
        In pm.
    random_state : None, int or RandomState
    """

    def __init__(self, candidates, X, mask, pixel_size, random_state):
        context = max(getattr(denoiser, "_context", 0) for denoiser, _ in candidates.values())
        part = _part(X.shape, context)
        if mask is not None and mask[part].all():
            part = (part[0], slice(None), slice(None))
        counts = X[part]
        hidden = None if mask is None else mask[part]
        if hidden is not None:
            counts = np.where(hidden, 0, counts)
        draws = int(np.clip(_PIXELS // counts.size, _LEAST_DRAWS, _MOST_DRAWS))
        self._counts, self._hidden = counts, hidden
        self._held_out = hold_out(counts, _SHARE, draws, random_state)
        self._trusted = None if hidden is None else ~hidden
        self._limit = find_limit("auto", counts, pixel_size)
        self._candidates = candidates
        self._rates = {name: [] for name in candidates}
        self.look(_LEAST_DRAWS)

    def look(self, n_draws=None):
        """Denoise what is left by the first draws, or by all of them."""
        self._known = {}
        for name, (denoiser, params) in self._candidates.items():
            transform = _quiet(denoiser).transform
            keywords = only_taken(transform, mask=self._hidden) | params
            for held_out in self._held_out[len(self._rates[name]) : n_draws]:
                left = with_pixel_size(self._counts - held_out, params.get("pixel_size"))
                with passed(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # said of the method chosen, for all images
                    rate = np.asarray(transform(left, **keywords)) / np.float32(1 - _SHARE)
                self._rates[name].append(rate)

    def _tested(self, name):
        """Estimates of a method, and what is held out of each: (n_draws, n_images, ...)."""
        rates = np.stack(self._rates[name])
        return rates, self._held_out[: len(rates)]

    def difference(self, first, other):
        """Risk of `other` less that of `first`, and its standard error."""
        if first == other:
            return 0.0, 0.0
        if (other, first) in self._known:
            difference, error = self._known[other, first]
            return -difference, error
        if (first, other) not in self._known:
            self._known[first, other] = self._difference(first, other)
        return self._known[first, other]

    def _difference(self, first, other):
        (before, held_out), (after, _) = self._tested(first), self._tested(other)
        images = []
        for k in range(held_out.shape[1]):
            trusted = None if self._trusted is None else self._trusted[k]
            images.append(
                difference_of_image(before[:, k], after[:, k], held_out[:, k], _SHARE, trusted)
            )
        return mean_of_images(images)

    def is_better(self, one, other):
        """Whether a method has a significantly smaller risk than another one."""
        difference, error = self.difference(one, other)
        return difference > _CLEAR * error

    def best(self):
        """Name of the method of smallest risk."""
        first = next(iter(self._rates))
        return min(self._rates, key=lambda name: self.difference(first, name)[0])

    def table(self, first):
        """Table of all methods, as `temdenoise.metrics.paired_risk` returns it."""
        names = [first, *(name for name in self._rates if name != first)]
        rows = {name: self.difference(first, name) for name in names}
        tested = self._tested(min(rows, key=lambda name: rows[name][0]))
        return risk_table(rows, mean_risk(*tested, _SHARE, self._limit, self._trusted))


def choose(comparison, names, constant):
    """Choose a method by a comparison; where it cannot tell, the one named first.

    Parameters
    ----------
    comparison : Comparison
    names : sequence of str
        Methods that show structure, in the order of preference.
    constant : str
        The method that shows none. It is taken unless another one is significantly better.

    Returns
    -------
    chosen : str
    best : str
        The one of smallest risk, which need not be significantly better.
    """
    best = comparison.best()
    if best == constant or not comparison.is_better(best, constant):
        comparison.look()
        best = comparison.best()
    if best == constant or not comparison.is_better(best, constant):
        return constant, best
    return next(name for name in names if not comparison.is_better(best, name)), best


def _part(shape, context):
    """Return indices of some frames and their middle; of neighbours, for methods that use them."""
    n_images, *size = shape
    if context:
        n = min(n_images, context + 1)
        first = (n_images - n) // 2
        frames = np.arange(first, first + n)
    else:
        n = min(n_images, _FRAMES)
        frames = np.unique(np.linspace(0, n_images - 1, n + 2)[1:-1].round().astype(int))
    side = int(np.clip(np.sqrt(_PIXELS / (_LEAST_DRAWS * len(frames))), _LEAST_SIDE, _SIDE))
    middle = (slice(max(0, (m - side) // 2), max(0, (m - side) // 2) + side) for m in size)
    return (frames, *middle)


def _quiet(denoiser):
    """Return the denoiser without its own comparison with a constant."""
    if not getattr(denoiser, "_against_constant", False):
        return denoiser
    denoiser = copy.copy(denoiser)
    denoiser._against_constant = False
    return denoiser
