"""Align the frames of a movie by whole pixels and sum them where the scene stays the same."""

import numpy as np
from scipy import fft, ndimage, stats

from temdenoise.binning import bin_counts

# Share of an image's side by which the scene may move between the first and last frame compared.
_FARTHEST = 0.25
# Standard deviations of the noise by which a peak of the correlation must stand out to be one.
_CLEAR = 6.0
# Peaks closer than this to the highest one, in standard deviations, are as good: of a lattice, they
# are a period apart, and the smallest movement is the likely one.
_AS_GOOD = 2.0
# A bin of more counts than these standard deviations above the mean is a hot pixel's.
_HOT = 6.0
# Pixels by which the shifts between frames may contradict each other.
_AGREE = 2.0
# Bins along the side of a window in which counts are compared.
_PARTS = 4
# Windows along the side of a region whose agreement is judged as a whole.
_REGION = 8
# Regions are of two scenes if their mean squared difference is this many standard deviations of the
# noise, and more than this share of what it is where they have nothing in common: a rest of
# misalignment is less.
_CLEAR_DIFFERENCE = 5.0
_DIFFERENT = 0.3


def estimate_drift(movie, *, mask=None, reference=0, reach=4):
    """Measure by how much the scene moves from frame to frame.

    Frames are correlated with those up to `reach` frames away. Of each pair the shift is measured
    to a fraction of a pixel, and the shifts of all pairs are brought into agreement.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
        Counts per pixel.
    mask : bool ndarray of the same shape, optional
        True marks pixels not to trust.
    reference : int, default=0
        Frame in which the scene is not shifted.
    reach : int, default=4
        Frames between the two of a pair, at most.

    Returns
    -------
    drift : ndarray of shape (n_frames, 2)
        Rows and columns, in pixels, by which the scene in each frame is shifted against that in the
        reference. NaN where the counts do not tell: too few electrons, nothing to see, or a shift
        of more than a quarter of the frame.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._align import estimate_drift
    >>> rng = np.random.default_rng(0)
    >>> scene = np.kron(rng.uniform(0.2, 1.0, size=(20, 20)), np.ones((6, 6)))
    >>> movie = rng.poisson([scene[2:102, 5:105], scene[:100, 8:108]])
    >>> estimate_drift(movie).round().tolist()
    [[0.0, 0.0], [2.0, -3.0]]
    """
    movie = np.asarray(movie)
    return Drift(movie, mask, reach).around(reference, 0, len(movie))


class Drift:
    """Shifts between the frames of a movie, measured when they are asked for.

    Parameters
    ----------
    movie, mask, reach
        As for `estimate_drift`.
    """

    def __init__(self, movie, mask=None, reach=4):
        self.movie, self.mask, self.reach = movie, mask, reach
        self._spectra, self._pairs = {}, {}
        height, width = movie.shape[1:]
        self._binning = 2 if min(height, width) >= 64 else 1
        self._bins = [-(-n // self._binning) for n in (height, width)]
        self._farthest = [int(_FARTHEST * n) for n in self._bins]
        self._padded = [
            fft.next_fast_len(n + far, real=True)
            for n, far in zip(self._bins, self._farthest, strict=True)
        ]
        self._rings = _Rings(self._padded)

    def around(self, reference, first, last):
        """Shifts of the frames `first` to `last` - 1, told by these frames alone.

        Returns
        -------
        drift : ndarray of shape (last - first, 2)
            As `estimate_drift`.
        """
        for kept in (self._spectra, self._pairs):  # what the frames to come do not need
            for key in [k for k in kept if np.min(k) < first]:
                del kept[key]
        pairs = [
            (i, j, *self._pair(i, j))
            for i in range(first, last)
            for j in range(i + 1, min(i + self.reach, last - 1) + 1)
        ]
        pairs = [(i - first, j - first, s, w) for i, j, s, w in pairs if s is not None]
        return _agree(pairs, last - first, reference - first)

    def _pair(self, i, j):
        """Shift of the scene from frame `i` to `j` and its weight, or None and 0."""
        if (i, j) not in self._pairs:
            self._pairs[i, j] = self._measure(self._spectrum(i), self._spectrum(j))
        return self._pairs[i, j]

    def _spectrum(self, k):
        """Spectrum of a frame over the root of its noise power, and the mean over rings of that."""
        if k not in self._spectra:
            self._spectra[k] = self._transformed(k)
        return self._spectra[k]

    def _transformed(self, k):
        frame = self.movie[k]
        trusted = np.ones(self._bins, dtype=np.float32)
        if self.mask is not None and self.mask[k].any():
            hidden = bin_counts(self.mask[k][None], self._binning)[0] > 0
            trusted[hidden] = 0
        bins = bin_counts(frame[None], self._binning)[0]
        weight = trusted * _taper(self._bins[0])[:, None] * _taper(self._bins[1])
        total = weight.sum(dtype=np.float64)
        mean = (weight * bins).sum(dtype=np.float64) / max(total, 1e-30)
        if mean <= 0:
            return None
        bins = np.minimum(bins, mean + _HOT * np.sqrt(mean) + 1) - mean
        bins -= (weight * bins).sum(dtype=np.float64) / total
        noise = mean * np.square(weight, dtype=np.float64).sum()
        spectrum = fft.rfft2(np.float32(bins * weight / np.sqrt(noise)), s=self._padded)
        return spectrum, spectrum.real**2 + spectrum.imag**2

    def _measure(self, a, b):
        if a is None or b is None:
            return None, 0.0
        (a, power_a), (b, power_b) = a, b
        # Of noise alone the power is 1: more than that is the scene's.
        scene = self._rings.excess((power_a + power_b) / 2)
        weight = scene / (1 + 2 * scene)
        correlation = fft.irfft2(a.conj() * b * weight, s=self._padded)
        # Variance of the noise in it: that of each frame's noise with the other frame.
        variance = self._rings.sum(weight**2 * np.maximum(power_a + power_b - 1, 1))
        sd = np.sqrt(variance) / np.prod(self._padded)
        peak, height = _peak(correlation, self._farthest, _AS_GOOD * sd)
        if peak is None or not height > _CLEAR * sd:
            return None, 0.0
        return peak * self._binning, float((height / sd) ** 2)


class _Rings:
    """Rings of equal spatial frequency in the half plane of `scipy.fft.rfft2`."""

    def __init__(self, shape):
        rows, columns = (np.fft.fftfreq(n) for n in shape)
        columns = np.abs(columns[: shape[1] // 2 + 1])
        radius = np.hypot(rows[:, None], columns)
        self.index = np.minimum(np.rint(radius * min(shape)).astype(int), min(shape) // 2 + 1)
        # All but the first and, of even widths, the last column stand for two.
        self.twice = np.full(len(columns), 2.0)
        self.twice[0] = 1
        if shape[1] % 2 == 0:
            self.twice[-1] = 1
        self.count = np.bincount(
            self.index.ravel(), np.broadcast_to(self.twice, radius.shape).ravel()
        )

    def excess(self, power):
        """Mean power over rings, less that of the noise; 0 where it may be chance."""
        total = np.bincount(self.index.ravel(), (power * self.twice).ravel())
        mean = total / np.maximum(self.count, 1)
        # Neighbouring frequencies of tapered and padded frames are not independent: twice the
        # scatter that they would have.
        chance = 1 + 4 / np.sqrt(np.maximum(self.count, 1))
        return np.where(mean > chance, mean - 1, 0).astype(np.float32)[self.index]

    def sum(self, values):
        return float((values * self.twice).sum(dtype=np.float64))


def _taper(n):
    """Weights along one side that fall to zero over its outer eighths."""
    edge = np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / max(n / 8, 1)
    return np.sin(np.pi / 2 * np.minimum(edge, 1)).astype(np.float32) ** 2


def _peak(correlation, farthest, as_good):
    """Find the peak of a correlation: its place, to a fraction of a bin, and height."""
    far_y, far_x = farthest
    near = np.roll(correlation, (far_y + 1, far_x + 1), axis=(0, 1))
    near = near[: 2 * far_y + 3, : 2 * far_x + 3]
    tops = near == ndimage.maximum_filter(near, 3)
    tops[[0, -1]] = False
    tops[:, [0, -1]] = False
    if not tops.any():
        return None, 0.0
    rows, columns = np.nonzero(tops & (near >= near[tops].max() - as_good))
    k = np.argmin((rows - far_y - 1) ** 2 + (columns - far_x - 1) ** 2)
    y, x = rows[k], columns[k]
    around = near[y - 1 : y + 2, x - 1 : x + 2].astype(np.float64)
    shift = np.array([y - far_y - 1 + _top(around[:, 1]), x - far_x - 1 + _top(around[1])])
    return shift, float(near[y, x])


def _top(values):
    """Place of the top of a parabola through three values, from the middle one."""
    bend = values[0] - 2 * values[1] + values[2]
    return 0.0 if bend >= 0 else 0.5 * (values[0] - values[2]) / bend


def _agree(pairs, n, reference):
    """Positions of `n` frames from shifts between pairs of them; NaN where they say nothing.

    The pair that contradicts the others most is dropped until all agree.
    """
    while True:
        known = _connected(pairs, n, reference)
        used = [pair for pair in pairs if known[pair[0]]]
        positions = np.full((n, 2), np.nan)
        positions[reference] = 0
        if not used:
            return positions
        free = np.flatnonzero(known & (np.arange(n) != reference))
        column = np.full(n, -1)
        column[free] = np.arange(len(free))
        design = np.zeros((len(used), len(free)))
        for row, (i, j, _, _) in enumerate(used):
            if column[i] >= 0:
                design[row, column[i]] = -1
            if column[j] >= 0:
                design[row, column[j]] = 1
        shifts = np.array([shift for _, _, shift, _ in used])
        root = np.sqrt([weight for *_, weight in used])[:, None]
        solution = np.linalg.lstsq(root * design, root * shifts, rcond=None)[0]
        off = np.abs(design @ solution - shifts).max(axis=1)
        worst = int(off.argmax())
        if off[worst] <= _AGREE:
            positions[free] = solution
            return positions
        pairs = [pair for pair in used if pair is not used[worst]]


def _connected(pairs, n, reference):
    """Which frames a chain of pairs leads to from the reference."""
    known = np.zeros(n, dtype=bool)
    known[reference] = True
    for _ in range(n):
        for i, j, _, _ in pairs:
            known[i] = known[j] = known[i] or known[j]
    return known


def aligned_sum(movie, k, n_frames, drift, *, mask=None, level=0.01, window=20):
    """Sum the counts of the frames around one, shifted by whole pixels.

    Electrons move from pixel to pixel, none is shared or interpolated, so that the sums are Poisson
    counts as the frames are. Where a frame differs from frame `k` by more than its noise, it is
    left out.

    Parameters
    ----------
    movie : ndarray of shape (n_frames, height, width)
        Counts per pixel.
    k : int
        The frame whose neighbours are summed.
    n_frames : int
        Frames to sum, an odd number: as many before as after frame `k`. Fewer at the ends.
    drift : ndarray of shape (n_frames of the movie, 2)
        Shift of the scene in each frame in pixels, as `estimate_drift` tells it. Frames of which it
        is NaN, or further away than a side of the frame, are left out.
    mask : bool ndarray of shape (n_frames, height, width), optional
        True marks pixels that do not count.
    level : float, default=0.01
        Share of the pixels, at most, at which something may be left out of the sum although nothing
        has changed. 0: nothing is left out.
    window : float, default=20
        Side, in pixels, of the windows in which counts are compared: about an atom column.

    Returns
    -------
    counts : ndarray of shape (height, width), dtype float32
        Sum of the counts.
    frames : ndarray of shape (height, width), dtype float32
        Number of frames in it, pixel by pixel. A frame of half the dose of frame `k` counts half.
        Their quotient is the rate in frame `k`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise._align import aligned_sum
    >>> movie = np.random.default_rng(0).poisson(0.45, size=(5, 64, 64))
    >>> counts, frames = aligned_sum(movie, 2, 3, np.zeros((5, 2)), level=0)
    >>> bool((counts == movie[1:4].sum(axis=0)).all())
    True
    """
    half = n_frames // 2
    first, last = max(0, k - half), min(len(movie), k + half + 1)
    shifts = np.asarray(drift[first:last], dtype=np.float64) - drift[k]
    aligned = _Aligned(movie, mask, k, first, shifts)
    shares = aligned.shares()
    if level > 0 and len(aligned.frames) > 1:
        shares = _where_same(aligned, shares, level, window)
    counts = np.zeros(movie.shape[1:], dtype=np.float32)
    frames = np.zeros(movie.shape[1:], dtype=np.float32)
    for counted, share in zip(aligned.frames, shares, strict=True):
        counts += np.where(share > 0, counted, 0)
        frames += share
    return counts, frames


class _Aligned:
    """Frames around one, shifted to where the scene is in that one.

    Attributes
    ----------
    frames : list of ndarray (height, width)
        Counts; 0 where a frame has none. The first is the middle frame.
    order : list of int
        Place of each in time, from that of the middle one.
    """

    def __init__(self, movie, mask, k, first, shifts):
        self.frames, self._valid, self.order = [], [], []
        places = np.arange(len(shifts)) + first
        for place in places[np.argsort(np.abs(places - k), kind="stable")]:
            shift = shifts[place - first]
            if not np.isfinite(shift).all():
                continue
            original = movie[place]
            # Copies of a frame bring its noise again, and nothing new.
            if any(np.array_equal(original, movie[k + seen]) for seen in self.order):
                continue
            hidden = None if mask is None else mask[place]
            frame, valid = _shifted(original, hidden, np.rint(shift).astype(int))
            self.frames.append(frame)
            self._valid.append(valid)
            self.order.append(int(place) - k)

    def shares(self):
        """Dose of each frame, in doses of the middle one, where it has pixels: (height, width)."""
        shares = []
        for frame, valid in zip(self.frames, self._valid, strict=True):
            both = valid & self._valid[0]
            own, middle = (float(f[both].sum(dtype=np.float64)) for f in (frame, self.frames[0]))
            share = own / middle if middle > 0 else 0.0
            shares.append(valid * np.float32(share))
        shares[0] = self._valid[0].astype(np.float32)
        return shares


def _shifted(frame, hidden, shift):
    """Frame with the scene moved back by `shift`, and where it has trusted pixels."""
    counts = np.zeros(frame.shape, dtype=np.float32)
    valid = np.zeros(frame.shape, dtype=bool)
    if (np.abs(shift) >= frame.shape).any():
        return counts, valid
    to, of = zip(
        *(
            (slice(max(0, -s), min(n, n - s)), slice(max(0, s), min(n, n + s)))
            for s, n in zip(shift, frame.shape, strict=True)
        ),
        strict=True,
    )
    valid[to] = True if hidden is None else ~hidden[of]
    counts[to] = frame[of]
    counts[~valid] = 0
    return counts, valid


def _where_same(aligned, shares, level, window):
    """Shares of the frames, 0 where they are not of the scene of the middle frame."""
    bins = _Bins(aligned.frames, shares, window)
    bins.leave_out_events(aligned.order, level)
    bins.leave_out_other_scenes()
    return [
        share if same.all() else share * bins.to_pixels(same)
        for share, same in zip(shares, bins.same, strict=True)
    ]


class _Bins:
    """Counts and exposures of frames in bins, a few to a window.

    Attributes
    ----------
    same : bool ndarray of shape (n_frames, rows, columns)
        Where a frame is of the scene of the middle one, the first.
    """

    def __init__(self, frames, shares, window):
        self.factor = max(1, round(window / _PARTS))
        self.shape = frames[0].shape
        self.counts = _block_sums(frames, self.factor)
        self.exposure = _block_sums(shares, self.factor)
        self.same = np.ones(self.counts.shape, dtype=bool)
        # A bin of which a frame has only a part is another piece of the scene: not compared.
        most = np.array([share.max() for share in shares])[:, None, None] * self.factor**2
        part = self.exposure < (1 - 1e-4) * most
        self.counts[part] = self.exposure[part] = 0

    def leave_out_other_scenes(self):
        """Leave a frame out in regions where it and the middle one have little in common."""
        for j in range(1, len(self.counts)):
            self.same[j] &= ~self._other_scene(j)

    def _other_scene(self, j):
        """Where frame `j` is of another scene: a lattice that moved or turned, say.

        Single bins cannot tell, but the mean over a region can: of the squared difference of two
        counts, less their sum, noise leaves nothing.
        """
        seen = (self.exposure[0] > 0) & (self.exposure[j] > 0) & self.same[j]
        exposure = np.where(seen, self.exposure[[0, j]], 1)
        a, b = np.where(seen, self.counts[[0, j]] / exposure, 0)
        noise_a, noise_b = np.where(seen, self.counts[[0, j]] / exposure**2, 0)

        def over_region(values):
            return ndimage.uniform_filter(values, _PARTS * _REGION, mode="constant") / share

        share = np.maximum(
            ndimage.uniform_filter(seen.astype(float), _PARTS * _REGION, mode="constant"), 1e-9
        )
        difference = over_region((a - b) ** 2 - noise_a - noise_b)
        # What it is of two scenes that have nothing in common.
        unlike = over_region(a**2 - noise_a) - over_region(a) ** 2
        unlike += over_region(b**2 - noise_b) - over_region(b) ** 2
        n = np.maximum(share * (_PARTS * _REGION) ** 2, 1)
        noise = np.sqrt(2 / n) * over_region(noise_a + noise_b)
        other = (difference > _CLEAR_DIFFERENCE * noise) & (difference > _DIFFERENT * unlike)
        # Near the border the verdict is that of the nearest whole region.
        half = _PARTS * _REGION // 2
        rows, columns = (
            np.clip(np.arange(n), min(half, n // 2), max(n - half, n // 2)) for n in other.shape
        )
        return other[np.ix_(rows, columns)]

    def leave_out_events(self, order, level):
        """Leave frames out, window by window, whose counts differ from those of the others."""
        exposure, counts = self.exposure, self.counts
        total, whole = counts.sum(axis=0), exposure.sum(axis=0)
        candidates = _candidates(order)
        # Windows that a bin is in, times what is tried in each: none passes by chance but rarely.
        least = stats.norm.isf(level / 2 / (len(candidates) * _PARTS**2))
        best = np.full(total.shape, least)
        chosen = np.full(total.shape, -1)
        # Part of a window is too few counts for this evidence; its bins are in whole ones too.
        most = whole.max() * _PARTS**2 / 2
        n_total = _window_sums(total)
        enough = _window_sums(whole) > most
        for number, inside in enumerate(candidates):
            share = exposure[inside].sum(axis=0) / np.maximum(whole, 1e-9)
            found = _window_sums(counts[inside].sum(axis=0))
            expected = _window_sums(total * share)
            evidence = np.where(enough, _root_of_deviance(found, expected, n_total), 0)
            # A window's verdict is that of all its bins.
            evidence = ndimage.maximum_filter(evidence, _PARTS, mode="constant", origin=_OPPOSITE)
            better = evidence > best
            best[better], chosen[better] = evidence[better], number
        for number, inside in enumerate(candidates):
            self.same[:, chosen == number] = inside[:, None]

    def to_pixels(self, bins):
        pixels = bins.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        return pixels[: self.shape[0], : self.shape[1]]


# `scipy.ndimage` centres even windows half a bin off, to opposite sides for sum and maximum.
_OPPOSITE = -1 if _PARTS % 2 == 0 else 0


def _block_sums(images, factor):
    """Sum images over blocks; those cut by the border hold what there is, not counts twice."""
    height, width = (-(-n // factor) * factor for n in images[0].shape)
    padded = np.zeros((len(images), height, width))
    for out, image in zip(padded, images, strict=True):
        out[: image.shape[0], : image.shape[1]] = image
    shape = (len(images), height // factor, factor, width // factor, factor)
    return padded.reshape(shape).sum(axis=(2, 4))


def _window_sums(values):
    """Sum over the windows around each bin, without what lies outside the image."""
    sizes = (1,) * (values.ndim - 2) + (_PARTS, _PARTS)
    sums = ndimage.uniform_filter(values, sizes, mode="constant") * _PARTS**2
    return np.where(sums > 1e-9, sums, 0)  # a running sum leaves rests


def _candidates(order):
    """List sets of frames, with the middle one, that may be of one scene while the others are not.

    Runs of frames, and all but one. Each as a bool array over the frames.
    """
    order = np.asarray(order)
    sets = [
        (order >= first) & (order <= last)
        for first in sorted({o for o in order if o <= 0})
        for last in sorted({o for o in order if o >= 0})
    ]
    sets += [order != o for o in order if o != 0]
    unique = {tuple(s): s for s in sets if not s.all()}
    return list(unique.values())


def _root_of_deviance(found, expected, total):
    """Tell by how many standard deviations binomial counts are off: the root of their deviance."""

    def term(a, b):
        safe = (a > 0) & (b > 0)
        return np.where(safe, a * np.log(np.where(safe, a, 1) / np.where(safe, b, 1)), 0)

    rest, expected_rest = np.maximum(total - found, 0), np.maximum(total - expected, 0)
    deviance = 2 * (term(found, expected) + term(rest, expected_rest))
    # where one side has no pixels nothing is compared
    compared = (expected > 1e-6) & (expected_rest > 1e-6)
    return np.where(compared, np.sqrt(np.maximum(deviance, 0)), 0)
