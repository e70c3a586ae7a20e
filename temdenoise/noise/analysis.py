"""Measure the noise of a movie: gain, offset, read noise, and whether it is Poisson noise."""

from numbers import Real

import numpy as np

from temdenoise._validation import check_images, check_mask
from temdenoise.noise._differences import collect, count_neighbourhoods, leftover
from temdenoise.noise._levels import missing_above, rounded_grid, unround
from temdenoise.noise._line import fit_line, split_intercept
from temdenoise.noise._result import CORRELATED, TOLERANCE, NoiseAnalysis
from temdenoise.noise._vacuum import (
    check_vacuum,
    dispersion_test,
    histogram,
    separable_correlation,
    vacuum_correlation,
    value_step,
)

# Largest share of the image in the differences. Above the first, differences of pixels replace
# those of frames. Above the second, differences of pixels cannot be used either.
_MOVES, _STRUCTURED = 0.02, 0.1

# A region is uneven if its variance, over that of the noise, is larger than this.
_UNEVEN = 1.3

_N_BINS = 24
MIN_SIZE = 8
"""Smallest side in px of the images of `analyze_noise`."""

_MIN_PIXELS, _MIN_NEIGHBOURHOODS = 256, 64


def analyze_noise(
    movie,
    *,
    mask=None,
    vacuum="auto",
    method="auto",
    gain=None,
    offset=None,
    read_noise=None,
):
    """Measure the noise of a movie, and test whether it is the noise of counted electrons.

    A linear detector stores ``gain * electrons + offset`` plus read noise. The variance of the
    noise is therefore a straight line over the mean, ``gain * (mean - offset) + read_noise**2``.
    The line is fitted to differences in which the image cancels. They are taken between frames, or
    between neighbouring pixels if there is only one frame or the specimen moves. This is the
    analysis of Figure 4.1 of "Deep denoising for scientific discovery: a case study in electron
    microscopy" (Mohan et al., arXiv:2010.12970), with numbers.

    Parameters
    ----------
    movie : array-like of shape (n_images, height, width)
        Frames as stored, of any real dtype, not filtered and not drift-corrected by interpolation.
        One frame is enough; more frames give smaller errors.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels not to use, such as those of a label. Neighbouring pixels are compared
        only in neighbourhoods of 3 x 3 pixels without a masked one.
    vacuum : "auto", None, bool array-like of shape (height, width) or slices, default="auto"
        Where the image is flat (True). The dispersion test, the correlation of neighbours and the
        histogram are taken there. "auto": the flattest rectangle of a quarter of the image's sides.
        None: the test takes all pixels, and there is no histogram.
    method : "auto", "temporal" or "spatial", default="auto"
        "temporal": differences between frames. "spatial": differences between neighbouring pixels.
        "auto": differences between frames, unless they show the image.
    gain, offset, read_noise : None or float, default=None
        Known values of the detector, in stored units (per electron). The others are fitted.

    Returns
    -------
    analysis : NoiseAnalysis
        Gain, offset and read noise with standard errors, tests, and a summary in words. Its `check`
        raises an error if the gain cannot be trusted.

    Raises
    ------
    ValueError
        If the movie is not a stack of finite images of at least 8 x 8 pixels, if it is constant or
        its frames are copies of each other, if too few pixels can be used, or if a parameter is out
        of range.
    TypeError
        If gain, offset or read noise is not a number.

    Notes
    -----
    The line alone does not separate offset and read noise. The third cumulant of the noise,
    ``gain**2 * (mean - offset)``, separates them if its scatter is small: below about a hundred
    electrons per pixel and with many pixels. Otherwise one of the two is assumed to be zero, and
    `split` says which. `variance` does not depend on that.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import analyze_noise
    >>> rng = np.random.default_rng(0)
    >>> rate = np.broadcast_to(np.linspace(2, 20, 128), (8, 128, 128))
    >>> analyze_noise(rng.poisson(rate)).is_poisson()
    True
    >>> stored = 12 * rng.poisson(rate) + 500 + rng.normal(0, 10, rate.shape)
    >>> found = analyze_noise(stored)
    >>> print(f"{found.gain:.0f} per electron")
    12 per electron
    """
    movie, mask, known = _check_input(movie, mask, method, gain, offset, read_noise)
    region = check_vacuum(vacuum, movie, mask)
    distinct = _distinct(movie, mask)
    step, levels = value_step(distinct[0]), _clip_levels(*distinct)
    is_integer = bool((np.rint(distinct[0]) == distinct[0]).all())
    grid = _grid(*distinct) if step == 1 and known["gain"] is None else None
    if grid is not None:
        # Rounding adds noise of its own, and the levels are no longer evenly spaced.
        movie, step = unround(movie, grid), grid.gain
        levels = tuple(unround(np.float32(levels), grid)) if np.isfinite(levels[1]) else levels
    trusted = movie if mask is None else movie[~mask]
    saturated = float(np.mean(trusted >= levels[1]))

    temporal, structure, along = _choose_method(movie, mask, method)
    everywhere = np.ones(movie.shape[1:], bool) if mask is None else ~mask.any(axis=0)
    if temporal:
        flat = everywhere if region is None else region
        (correlation, error), factor = vacuum_correlation(movie, flat), 1.0
    else:
        correlation, error, factor = separable_correlation(along, trusted.size)
    sums = collect(movie, mask, temporal=temporal, levels=levels, n_bins=_N_BINS)
    if abs(factor - 1) > CORRELATED:  # the third cumulant of correlated noise is not known
        sums = sums._replace(third=None)
    line = fit_line(sums, factor=max(factor, 0.1), step=step or 1.0, **known)
    if line is None:
        raise ValueError(
            "The pixels are clipped at every brightness: all parts of the images hold values at or "
            f"beyond {levels}. The noise cannot be measured."
        )
    if line.variance == 0:
        raise ValueError(
            "The frames are copies of each other, or the image was smoothed: differences of "
            f"{'frames' if temporal else 'neighbouring pixels'} show no noise. Pass the raw frames."
        )

    tested = everywhere if region is None else region
    counts = _recognise_counts(movie, trusted, tested, line, step, known)
    if counts["counted"]:
        values = {"read_noise": 0.0, "read_noise_se": 0.0, "split": "counted", **counts}
        values |= {"intercept": -counts["gain"] * counts["offset"], "intercept_se": 0.0}
    else:
        values = counts | {"gain": line.gain, "gain_se": line.gain_se}
        values |= {"intercept": line.intercept, "intercept_se": line.intercept_se}
        names = ("offset", "offset_se", "read_noise", "read_noise_se", "split")
        if line.gain > 0:
            darkest = line.means[line.used].min()
            parts = split_intercept(line, darkest=darkest, **_without(known, "gain"))
        else:
            parts = (np.nan, np.nan, np.nan, np.nan, "no offset")
        values |= dict(zip(names, parts, strict=True))
    level = spread = np.nan
    if region is not None:
        flat_values = movie[:, region].astype(np.float64)
        level, spread = float(flat_values.mean()), float(flat_values.var())
    noise_there = values["gain"] * level + values["intercept"]
    return NoiseAnalysis(
        **values,
        slope=line.gain,
        slope_se=line.gain_se,
        method="temporal" if temporal else "spatial",
        means=line.means,
        variances=line.variances,
        variances_se=line.variances_se,
        used=line.used,
        misfit=line.misfit,
        structure=structure,
        is_integer=is_integer,
        step=step,
        correlation=correlation,
        correlation_se=error,
        vacuum=region,
        histogram=None if region is None else histogram(movie, region, step),
        vacuum_mean=level,
        vacuum_variance=spread,
        saturated=saturated,
        problems=tuple(_problems(line, structure, counts["counted"], known)),
        caveats=tuple(_caveats(correlation, error, saturated)),
        notes=tuple(
            _notes(movie, temporal, method, values["split"], line, spread / max(noise_there, 1e-12))
        ),
    )


def _check_input(movie, mask, method, gain, offset, read_noise):
    movie = check_images(movie, estimator_name="analyze_noise", min_size=MIN_SIZE, name="movie")
    mask = check_mask(mask, movie.shape)
    if method not in ("auto", "temporal", "spatial"):
        raise ValueError(f"method must be 'auto', 'temporal' or 'spatial', got {method!r}.")
    if method == "temporal" and len(movie) < 2:
        raise ValueError(
            "method='temporal' needs at least two frames, and movie has one. Use "
            "method='spatial' or 'auto'."
        )
    known = {"gain": gain, "offset": offset, "read_noise": read_noise}
    for name, value in known.items():
        if value is None:
            continue
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be a number or None, got {value!r}.")
        too_low = (name == "gain" and not value > 0) or (name == "read_noise" and value < 0)
        if not np.isfinite(value) or too_low:
            allowed = {"gain": "positive", "read_noise": "not negative"}.get(name, "finite")
            raise ValueError(f"{name} must be {allowed}, in stored units; got {value!r}.")
    n_trusted = movie[0].size if mask is None else int((~mask.any(axis=0)).sum())
    if n_trusted < _MIN_PIXELS:
        raise ValueError(
            f"analyze_noise needs at least {_MIN_PIXELS} pixels trusted in all frames, got "
            f"{n_trusted}."
        )
    trusted = movie if mask is None else movie[~mask]
    if trusted.min() == trusted.max():
        raise ValueError(
            f"movie is constant: every pixel is {float(trusted.min())!r}. There is no noise to "
            "measure."
        )
    return movie, mask, known


def _without(known, name):
    return {key: value for key, value in known.items() if key != name}


def _distinct(movie, mask):
    """Sorted distinct values of up to eight frames, and how often each occurs."""
    some = np.unique(np.linspace(0, len(movie) - 1, 8).astype(int))
    return np.unique(movie[some] if mask is None else movie[some][~mask[some]], return_counts=True)


def _grid(values, numbers):
    """Grid of values that are counts times a gain, rounded to whole numbers; else None."""
    gaps, _ = missing_above(values, numbers)
    return rounded_grid(values, numbers) if len(gaps) else None


def _clip_levels(values, numbers):
    """Values at which the detector clips: extreme values that very many pixels have."""
    levels = [-np.inf, np.inf]
    if len(values) > 1 and numbers[-1] >= max(20, 5 * numbers[-2]):
        levels[1] = values[-1]
    # Counts of few electrons have many zeros. Zeros show clipping only in a wide histogram.
    if len(values) >= 50 and numbers[0] >= max(20, 5 * numbers[1]):
        levels[0] = values[0]
    return tuple(levels)


def _choose_method(movie, mask, method):
    if method != "spatial" and len(movie) > 1:
        structure, along = leftover(movie, mask, temporal=True)
        if method == "temporal" or structure <= _MOVES:
            return True, structure, along
    n_whole = count_neighbourhoods(movie, mask)
    if n_whole < _MIN_NEIGHBOURHOODS:
        raise ValueError(
            f"Neighbouring pixels are compared, and the mask leaves {n_whole} 3 x 3 neighbourhoods "
            f"without a masked pixel; at least {_MIN_NEIGHBOURHOODS} are needed. Mask regions "
            "instead of single pixels, rows or columns all over the image."
        )
    return False, *leftover(movie, mask, temporal=False)


def _recognise_counts(movie, trusted, region, line, step, known):
    """Test whether the values are whole electrons times their spacing, plus an offset."""
    lowest = float(trusted.min())
    nothing = {"dispersion": np.nan, "dispersion_se": np.nan, "p_value": np.nan}
    result = {"counted": False, **nothing}
    if lowest >= 0:
        test = dispersion_test(movie, region)
        result |= dict(zip(nothing, test, strict=True))
    if step is None or known["gain"] not in (None, step) or known["read_noise"]:
        return result
    undetermined = not line.gain_se < 0.3 * step
    if not undetermined and abs(line.gain / step - 1) > TOLERANCE + 3 * line.gain_se / step:
        return result
    offset = known["offset"]
    if offset is None:
        # Without read noise, mean - offset is variance / gain.
        offset = line.mean - line.variance / step
        offset_se = line.scatter_se / step
        on_grid = abs(lowest / step - round(lowest / step)) < 0.01
        if lowest >= 0 and on_grid and abs(offset) <= TOLERANCE * line.mean + 3 * offset_se:
            offset = 0.0
        elif offset_se < step / 4 and not undetermined:  # otherwise some offset always fits
            offset = lowest - step * max(round((lowest - offset) / step), 0)
        else:
            return result
    elif abs((lowest - offset) / step - round((lowest - offset) / step)) > 0.01 or offset > lowest:
        return result
    # The variance of Poisson counts equals their mean, over all pixels too.
    expected = step * (line.mean - offset)
    ratio, error = line.variance / expected, line.scatter_se / expected
    if not (error < 0.2 and abs(ratio - 1) <= TOLERANCE + 3 * error):
        return result
    index, error, p_value = dispersion_test((movie - offset) / step, region)
    return {
        "counted": True,
        "gain": step,
        "gain_se": 0.0,
        "offset": float(offset),
        "offset_se": 0.0,
        "dispersion": index,
        "dispersion_se": error,
        "p_value": p_value,
    }


def _problems(line, structure, counted, known):
    if counted:
        return
    if not np.isfinite(line.gain) or line.gain <= 0:
        yield (
            f"the variance does not rise with the brightness (slope {line.gain:.3g} +- "
            f"{line.gain_se:.2g})"
        )
    elif known["gain"] is None and not line.gain_se < 0.2 * line.gain:
        yield (
            f"the images are too few, too small or too even in brightness (gain {line.gain:.3g} "
            f"+- {line.gain_se:.2g})"
        )
    if line.misfit > 0.25:
        yield f"the variance is not a straight line over the mean ({line.misfit:.0%} off)"
    if structure > _STRUCTURED:
        yield (
            f"the differences hold {structure:.0%} of image or scan noise, not only noise of the "
            "pixels"
        )


def _caveats(correlation, error, saturated):
    middle = correlation.shape[0] // 2
    strongest = max(abs(correlation[middle + 1, middle]), abs(correlation[middle, middle + 1]))
    if strongest > CORRELATED + 3 * error:
        yield (
            f"the noise of neighbouring pixels is correlated, by {strongest:.2f} (binning by "
            "interpolation, drift correction, or a detector that spreads its signal): methods for "
            "independent pixels take such noise for image"
        )
    if saturated > 0:
        yield f"{saturated:.2%} of the pixels are saturated; bins with such pixels are left out"


def _notes(movie, temporal, method, split, line, unevenness):
    if not temporal and method == "auto" and len(movie) > 1:
        yield (
            "the frames differ by more than noise (drift, a changing specimen, scan lines), so "
            "neighbouring pixels were compared"
        )
    if line.gain > 0 and split in ("no read noise", "no offset"):
        yield "offset and read noise cannot be told apart; give one of them if you know it"
    if line.gain > 0 and unevenness > _UNEVEN:
        yield (
            f"the vacuum is not even, its values vary {unevenness:.1f} times as much as the noise: "
            "the histogram shows the image too"
        )
    if line.gain < -3 * line.gain_se:
        yield "the variance falls with the brightness, as in an image of inverted contrast"
