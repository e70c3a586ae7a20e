"""PURE-LET: thresholds of Haar coefficients whose combination minimises an unbiased risk estimate.

The image z has Poisson counts, possibly with additional Gaussian noise of standard deviation sigma.
Its estimate is F(z) = low(z) + sum_k a_k F_k(z). low(z) has the coarsest scaling coefficients,
unchanged. F_k is a function theta_k(d, s) of the details d and the sums s, transformed back to
pixels. The mean squared error about the rate x is E[|F|^2] - 2 E[x . F], up to a constant, and

    E[x . F(z)] = E[sum_n z_n F_n(z - e_n) - sigma^2 sum_n (dF_n / dz_n)(z - e_n)].

e_n is one count in pixel n. If a pixel of a window loses a count, the scaling coefficient of the
window changes by -1 and its detail by -1 or +1. No other argument of theta changes, because
neighbouring windows share no pixel with the window. So both sums are exact expressions in
theta(d - 1, s - 1) and theta(d + 1, s - 1), and the best a_k solve a linear system.

The right-hand side of that system is an estimate from the same noisy image. To suppress its noise,
the solution is shrunk where it is not much larger than that noise.
"""

import numpy as np

from temdenoise.denoisers._classical.haar import Haar

# Functions of PURE-LET use exp(-d^2 / (12 variance)). It decreases to zero for d above sqrt(6)
# standard deviations, the threshold of Luisier's papers.
_SPREAD = 12.0

# The variance of a window without counts, in place of zero.
_LEAST_VARIANCE = 1e-12

# Combinations of functions (of unit norm) with a squared norm below this are left out. Functions
# that are nearly equal on this image may differ on others.
_RCOND = 1e-2

# A function smaller than this, relative to the largest, is left out: it can only do harm.
_LEAST_NORM = 1e-6

# Sets of functions, and their number of functions for a band of an image (not of a line).
_N_FUNCTIONS = {"pointwise": 2, "interscale": 5, "neighbours": 7}

# Windows side by side that a scale must have for each function of a band. With fewer, the
# coefficients follow the noise.
_WINDOWS_EACH = 20

# A scale of a masked image is only estimated with at least this number of windows of trusted
# pixels. A few pixels do not determine the functions for the others.
_LEAST_WINDOWS = 4

# Largest energy of the estimated details, relative to that of the noisy ones. For counts the ratio
# is at most 1.0. It is only larger by chance, in images of less than 32 x 32 pixels.
_MOST_ENERGY = 1.5

# Step, in counts, of the difference quotients along a direction.
_STEP = 1e-3

# Usual side of the blocks, in pixels, over which the linear system of a large image is summed up.
_BLOCK = 256


def purelet(image, *, n_scales, thresholding, read_noise=0.0, decimated=False, trusted=None):
    """Denoise one image.

    The risk is a sum over pixels, so it can be limited to some pixels. Filled-in values have no
    noise, and with them the estimate of the risk would be far off.

    Parameters
    ----------
    image : ndarray of shape (height, width), dtype float64
        Counts.
    n_scales : int
        Largest number of scales.
    thresholding : {"pointwise", "interscale", "neighbours"}
        Functions that are combined.
    read_noise : float, default=0.0
        Standard deviation of the Gaussian noise, in counts.
    decimated : bool, default=False
        Kind of the transform; see `Haar`.
    trusted : None or bool ndarray of shape (height, width), default=None
        The pixels whose risk is minimised; None is all of them. Scales with too few of them are
        left out.

    Returns
    -------
    denoised : ndarray of shape (height, width), dtype float64
        Estimated rate, in counts per pixel.
    believable : bool
        False if the image has less noise than counts, so that subtracting the noise gives nonsense
        at every scale. All details are dropped then. It is always True for images of few pixels.
    """
    haar = Haar(image.shape, n_scales, decimated)
    n_trusted = image.size if trusted is None else np.count_nonzero(trusted)
    sets = choose_sets(haar, n_trusted, thresholding, may_leave_out=trusted is not None)
    coefficients, believable = np.empty(0), True
    while any(sets):
        options = {"sets": sets, "read_noise": read_noise}
        systems = [
            let_system(block, Haar(block.shape, n_scales, decimated), trusted=known, **options)
            for block, known in _blocks(image, trusted, decimated, n_scales)
        ]
        gram, target, noise, energy = (sum(parts) for parts in zip(*systems, strict=True))
        coefficients = solve(gram, target, noise)
        # The details of the rate have less energy than those of the counts. Their estimate cannot
        # have more (Cauchy-Schwarz inequality).
        believable = bool(coefficients @ gram @ coefficients <= _MOST_ENERGY * energy)
        if believable:
            break
        # With few pixels this can be chance at the coarsest scale, which has the fewest windows.
        coarsest = max(scale for scale, name in enumerate(sets) if name)
        sets = sets[:coarsest] + [None] * (len(sets) - coarsest)
    # With few pixels the finest scale may fail by chance, too. This says nothing about the noise.
    few = haar.support(0) * _WINDOWS_EACH * _N_FUNCTIONS["pointwise"]
    believable = believable or n_trusted < few
    return apply_let(image, haar, coefficients, sets=sets, read_noise=read_noise), believable


def choose_sets(haar, n_pixels, thresholding, may_leave_out=False):
    """Choose the largest set of functions for which each scale has enough windows.

    Parameters
    ----------
    haar : Haar
        Transform.
    n_pixels : int
        Number of pixels, of the image or of its trusted part.
    thresholding : {"pointwise", "interscale", "neighbours"}
        Largest set of functions.
    may_leave_out : bool, default=False
        Whether a scale with very few windows gets no functions at all.

    Returns
    -------
    sets : list of (str or None)
        One for each scale, from the finest.
    """
    names = list(_N_FUNCTIONS)
    names = names[: names.index(thresholding) + 1]
    sets = []
    for scale in range(haar.n_scales):
        windows = n_pixels / haar.support(scale)
        if may_leave_out and windows < _LEAST_WINDOWS:
            sets.append(None)
            continue
        # Otherwise "pointwise", the first, is always affordable.
        extra = [name for name in names[1:] if windows >= _WINDOWS_EACH * _N_FUNCTIONS[name]]
        sets.append([names[0], *extra][-1])
    return sets


def let_system(image, haar, *, sets, read_noise, trusted=None):
    """Set up the linear system of the coefficients that minimise the risk estimate.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Counts.
    haar : Haar
        Transform of images of this shape.
    sets : list of (str or None)
        Set of functions of each scale.
    read_noise : float
        As for `purelet`.
    trusted : None or bool ndarray of shape (height, width), default=None
        The pixels over which all products below are summed; None is all of them.

    Returns
    -------
    gram : ndarray of shape (n_functions, n_functions)
        Inner products F_k . F_l.
    target : ndarray of shape (n_functions,)
        Unbiased estimates of F_k . (x - low), x being the rate.
    noise : ndarray of shape (n_functions, n_functions)
        Covariance of the noise of `target` that comes from the counts, for given functions.
    energy : float
        Sum of squares of all details of the image, of image - low.
    """
    functions = [np.empty((0, image.size))]
    missing, slopes = list(functions), list(functions)  # the slopes only with read noise
    low = image
    for scale in range(haar.n_scales):
        low, details = haar.analyse(low, scale)
        if sets[scale] is None:
            continue
        for key, detail in details.items():
            theta = _Theta(haar, scale, key, detail, low, sets[scale], read_noise)
            functions.append(_to_pixels(theta(0, 0), 0.0, haar, scale, key))
            # The value of pixel n if it has one count less. Half of a window's pixels have the sign
            # plus in the detail, the others minus.
            plus, minus = theta(-1, -1), theta(1, -1)
            missing.append(_halves_to_pixels(plus, minus, haar, scale, key))
            if read_noise > 0:
                plus, minus = theta.slope(-1, -1, along=(1, 1)), theta.slope(1, -1, along=(-1, 1))
                slopes.append(_halves_to_pixels(plus, minus, haar, scale, key))
    for scale in reversed(range(haar.n_scales)):
        low = haar.synthesise(low, {}, scale)
    functions, missing = np.concatenate(functions), np.concatenate(missing)
    slopes, image, low = np.concatenate(slopes), image.ravel(), low.ravel()
    if trusted is not None:
        functions, missing, slopes = (a[:, trusted.ravel()] for a in (functions, missing, slopes))
        image, low = image[trusted.ravel()], low[trusted.ravel()]
    target = missing @ image - functions @ low
    if read_noise > 0:
        target -= read_noise**2 * slopes.sum(axis=1)
    noise = (missing * (image + read_noise**2)) @ missing.T
    return functions @ functions.T, target, noise, ((image - low) ** 2).sum()


def solve(gram, target, noise):
    """Solve the linear system, and shrink coefficients that are not much larger than their noise.

    In coordinates in which `gram` is the unit matrix and `noise` is diagonal, each coefficient c
    with noise variance v is multiplied by max(0, 1 - v / c^2), the positive-part James-Stein
    factor.

    Parameters
    ----------
    gram : ndarray of shape (n_functions, n_functions)
        Symmetric, not negative.
    target : ndarray of shape (n_functions,)
        Right-hand side.
    noise : ndarray of shape (n_functions, n_functions)
        Covariance of its noise; zeros for the plain solution.

    Returns
    -------
    coefficients : ndarray of shape (n_functions,)
        Zero for functions that vanish.
    """
    norm = np.sqrt(np.diag(gram))
    present = norm > _LEAST_NORM * norm.max(initial=0)
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=present)
    values, vectors = np.linalg.eigh(gram * scale * scale[:, np.newaxis])
    kept = values > _RCOND
    basis = scale[:, np.newaxis] * vectors[:, kept] / np.sqrt(values[kept])
    variances, rotation = np.linalg.eigh(basis.T @ noise @ basis)
    basis = basis @ rotation
    values = basis.T @ target
    excess = np.maximum(values**2 - np.maximum(variances, 0), 0)
    return basis @ np.divide(excess, values, out=np.zeros_like(values), where=values != 0)


def apply_let(image, haar, coefficients, *, sets, read_noise):
    """Combine the functions with given coefficients.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Counts.
    haar : Haar
        Transform of images of this shape.
    coefficients : ndarray of shape (n_functions,)
        One coefficient per function, from the finest scale.
    sets : list of (str or None)
        Set of functions of each scale. None: its details are dropped.
    read_noise : float
        As for `purelet`.

    Returns
    -------
    denoised : ndarray of shape (height, width)
        Estimated rate.
    """
    low, estimates, first = image, [], 0
    for scale in range(haar.n_scales):
        low, details = haar.analyse(low, scale)
        if sets[scale] is None:
            details = {}
        for key, detail in details.items():
            values = _Theta(haar, scale, key, detail, low, sets[scale], read_noise)(0, 0)
            last = first + len(values)
            details[key] = np.tensordot(coefficients[first:last], values, axes=1)
            first = last
        estimates.append(details)
    for scale in reversed(range(haar.n_scales)):
        low = haar.synthesise(low, estimates[scale], scale)
    return low


class _Theta:
    """The functions of one band of details. They can be evaluated with one count less, too.

    "pointwise" is the pair d and d exp(-d^2 / 12 v), with v = s + (pixels) sigma^2, the variance of
    the detail d. The difference of the two is a soft threshold. "interscale" predicts d from
    the scaling coefficients beside it. The pair has other coefficients where the prediction p is
    small than where it is large, and p is one more function. "neighbours" also uses the details of
    the neighbouring windows to distinguish small from large, and they are further functions.
    """

    def __init__(self, haar, scale, key, detail, low, thresholding, read_noise):
        self.detail, self.low = detail, low
        self.thresholding = thresholding
        self.read_variance = haar.support(scale) * read_noise**2
        if thresholding == "pointwise":
            return
        self.linear = [_prediction(low, haar, scale, key)]
        self.energy = self.linear[0] ** 2
        if thresholding == "neighbours":
            for axis in haar.axes[scale]:
                before, after = haar.neighbours(detail, scale, axis)
                self.linear.append(before + after)
                self.energy = self.energy + (before**2 + after**2) / 2
        self.energy /= len(self.linear)

    def __call__(self, detail_shift, low_shift):
        """Values of shape (n_functions, h, w), with all coefficients changed by these shifts."""
        detail = self.detail + detail_shift
        variance = np.maximum(self.low + low_shift, 0) + self.read_variance
        variance = _SPREAD * np.maximum(variance, _LEAST_VARIANCE)
        shrunk = detail * np.exp(-(detail**2) / variance)
        if self.thresholding == "pointwise":
            return np.stack([detail, shrunk])
        small = np.exp(-self.energy / variance)
        pairs = [small * detail, small * shrunk, (1 - small) * detail, (1 - small) * shrunk]
        return np.stack(pairs + self.linear)

    def slope(self, detail_shift, low_shift, along):
        """Return the derivative along a direction of (detail, low), for shifted values."""
        ahead, behind = (
            self(detail_shift + step * along[0], low_shift + step * along[1])
            for step in (_STEP, -_STEP)
        )
        return (ahead - behind) / (2 * _STEP)


def _prediction(low, haar, scale, key):
    """Predict details from the scaling coefficients on either side; zero where one is missing."""
    for axis in key:
        before, after = haar.neighbours(low, scale, axis)
        has_before, has_after = haar.neighbours(np.ones_like(low), scale, axis)
        low = (before - after) * has_before * has_after
    return low


def _to_pixels(details, low, haar, scale, key):
    """Transform functions of one band of details (and its sums) to pixels, one image per row."""
    low = np.broadcast_to(low, details.shape)
    image = haar.synthesise(low, {key: details}, scale)
    for finer in reversed(range(scale)):
        image = haar.synthesise(image, {}, finer)
    return image.reshape(len(image), -1)


def _halves_to_pixels(plus, minus, haar, scale, key):
    """As `_to_pixels`, with one value for the pixels of each half of a window."""
    return _to_pixels((plus + minus) / 2, (plus - minus) / 2, haar, scale, key)


def _blocks(image, trusted, decimated, n_scales):
    """Cut a large image into blocks of similar size. The sum of their systems is that of the image.

    Yields each block of the image and of `trusted` (or None). Blocks without a trusted pixel are
    left out.

    Blocks limit the memory of the functions, each of which is an image. The risk estimate of a
    block is exact for the block, so only windows across the cuts are left out.
    """
    # All scales of the image must fit the blocks.
    side = max(_BLOCK, 2 ** (n_scales + 1))
    unit = 2**n_scales if decimated else 1
    cuts = []
    for size in image.shape:
        n_blocks = max(1, round(size / side))
        inner = (np.arange(1, n_blocks) * size / n_blocks / unit).round().astype(int) * unit
        cuts.append([0, *inner.tolist(), size])
    for top, bottom in zip(cuts[0][:-1], cuts[0][1:], strict=True):
        for left, right in zip(cuts[1][:-1], cuts[1][1:], strict=True):
            block = (slice(top, bottom), slice(left, right))
            if trusted is None:
                yield image[block], None
            elif trusted[block].any():
                yield image[block], trusted[block]
