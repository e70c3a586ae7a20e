"""What a denoiser keeps, loses and invents, by spatial frequency, from raw counts alone."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import fft
from sklearn.utils import check_random_state

from temdenoise._calls import image_function, only_taken
from temdenoise._lengths import check_length
from temdenoise._validation import check_images, check_mask
from temdenoise.images import settle_pixel_size
from temdenoise.inspection._regions import check_counts
from temdenoise.inspection._rings import Rings, Window, make_window
from temdenoise.metrics._held_out import check_draws, hold_out
from temdenoise.metrics._scoring import with_pixel_size, without_hidden

# Smallest side of a frame, and smallest number of pixels that mask and window leave.
_SIDE, _PIXELS = 32, 256
# A ring has signal if its power is so many standard errors above that of shot noise.
_SIGNAL = 3.0
# Correlation of raw halves down to which they are usually said to resolve.
_RESOLVED = 0.143
# Poisson draws of the low-passed estimate: with two, what they share can be told.
_SUBSTITUTIONS = 2
# An estimate has power in a ring from this share of the power of shot noise on. What is below is
# invisible, and mostly what the window spreads from other rings.
_LEAST_POWER = 1e-4
# With a larger standard error the supported share says nothing.
_VAGUE = 0.5
# The low-pass filter falls from this share of the cut-off to zero at the cut-off.
_EDGE = 0.85


@dataclass(frozen=True)
class FrequencyReport:
    """Result of `frequency_report`: one value for each ring of spatial frequencies.

    Each array has the shape (n_rings,) and the dtype float64. Those whose names end in ``_se`` are
    standard errors. NaN stands where nothing can be said.

    Attributes
    ----------
    frequency : ndarray
        Mean spatial frequency, in `unit`.
    raw, raw_se : ndarray
        Correlation of two halves of the electrons of each frame (Fourier ring correlation), not
        denoised.
    estimate, estimate_se : ndarray
        Correlation of the estimate with the truth. NaN in rings where no signal is found.
    gain, gain_se : ndarray
        Power of the estimate over the power of the truth. NaN in rings where no signal is found.
    supported, supported_se : ndarray
        Share of the power of the estimate that electrons held out support: 1 if all of it is in the
        truth, 0 if nothing is; above 1 if the estimate is weaker than the truth. NaN where the
        estimate has no power (less than 1e-4 of that of shot noise), or the standard error is above
        0.5.
    invented, invented_se : ndarray
        Power that comes back in rings beyond `cutoff` if there is no signal in them, over the power
        of the estimate. NaN in other rings, and where the estimate has no power.
    repeated : ndarray
        The part of `invented` that is the same with other noise: structure that is drawn. The rest
        is noise that is let through.
    signal_power, signal_power_se, estimate_power : ndarray
        Power of the truth, and that of the estimate, in units of the power of shot noise.
    n_modes : ndarray
        Independent Fourier coefficients in each ring, about, of all frames together.
    unit : {"1/angstrom", "1/px"}
        Unit of the frequencies.
    cutoff : float
        Frequency of the noise substitution, in `unit`.
    share : float
        Share of the electrons that each estimate did not see.
    """

    frequency: np.ndarray
    raw: np.ndarray
    raw_se: np.ndarray
    estimate: np.ndarray
    estimate_se: np.ndarray
    gain: np.ndarray
    gain_se: np.ndarray
    supported: np.ndarray
    supported_se: np.ndarray
    invented: np.ndarray
    invented_se: np.ndarray
    repeated: np.ndarray
    signal_power: np.ndarray
    signal_power_se: np.ndarray
    estimate_power: np.ndarray
    n_modes: np.ndarray
    unit: str
    cutoff: float
    share: float

    def to_frame(self):
        """Return the arrays as a table, one row per ring.

        Returns
        -------
        table : pandas.DataFrame
        """
        return pd.DataFrame({k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)})


def frequency_report(
    denoiser,
    counts,
    *,
    mask=None,
    pixel_size=None,
    share=0.1,
    n_draws=10,
    n_rings="auto",
    cutoff="auto",
    unit=None,
    random_state=0,
):
    r"""Measure what a denoiser keeps, loses and invents at each spatial frequency.

    Some of the electrons are held out, the others are denoised, and the Fourier transform of the
    estimate is compared with that of the electrons held out. Their noise is independent of the
    estimate and its power is known. So the correlation with the truth follows, without a clean
    image. Two denoised halves are never compared: both show what the denoiser expects, and agree on
    it whether it is there or not.

    Parameters
    ----------
    denoiser : fitted denoiser or callable
        A callable maps counts (n_images, height, width) to estimates of the same shape. ``mask``
        and ``pixel_size`` are passed on if it takes them. A method that learns from the very frames
        must not see the electrons held out: give a function that trains it anew, ``lambda X:
        clone(method).fit_transform(X)``.
    counts : array-like of shape (n_images, height, width)
        Electron counts: whole numbers, of any real dtype, with sides of 32 px or more. They should
        be Poisson distributed and independent of each other (`temdenoise.analyze_noise` tells). The
        rings are summed over the frames, which may show different scenes.
    mask : None or bool array-like of shape (height, width) or (n_images, height, width)
        True marks pixels that do not count. They may hold anything.
    pixel_size : float, optional
        Side of a pixel in pm. By default that of `counts`, if they know it.
    share : float, default=0.1
        Share of the electrons that is held out in a draw. The report is about the estimate from the
        others.
    n_draws : int, default=10
        Number of draws. The denoiser denoises the frames three times, and once more for each draw.
        No electron is held out twice, so ``n_draws * share`` is at most 1. There the errors are
        smallest: what noise does to the electrons held out and to the power of the signal cancels.
    n_rings : int or "auto", default="auto"
        Number of rings from zero to 0.5 cycles per pixel. "auto": a quarter of the smaller side.
    cutoff : float or "auto", default="auto"
        Frequency, in the unit of `unit`, beyond which the signal is taken away to see what comes
        back. "auto": the highest at which `raw` is above 0.143 (0.143 is the usual threshold of
        resolution), or the end of the first ring if it is nowhere.
    unit : {"1/angstrom", "1/px"}, optional
        Unit of all frequencies; "1/angstrom" needs the pixel size. By default 1/Angstrom if the
        pixel size is known, otherwise cycles per pixel. Say the unit if you give a `cutoff`.
    random_state : None, int or RandomState, default=0
        Determines which electrons are held out, and the noise that is substituted.

    Returns
    -------
    report : FrequencyReport
        Frequencies, correlations, gain, what was invented, and the standard errors.

    Raises
    ------
    TypeError
        If `denoiser` is neither a callable nor has a ``transform``, or a length is not a number.
    ValueError
        If the counts are not whole or hold no electron, the frames are too small, the mask leaves
        too little, the denoiser returns another shape or values that are not finite, or a parameter
        is out of range.

    See Also
    --------
    temdenoise.plotting.FrequencyDisplay : draws the report.
    temdenoise.metrics.paired_risk : which of several methods is best on the same counts.

    Notes
    -----
    *Spectra.* The weighted mean is subtracted from an image, and the rest is multiplied by a window
    that falls to zero at the borders and about masked pixels. Without it, borders and masks would
    have power of their own, a cross in the spectrum. Let N, X and E be such spectra of the counts,
    of the true mean counts and of the estimate, B that of the electrons held out divided by the
    share s, and w the window. Sums run over the coefficients of a ring and over the frames.

    *Power of the signal.* The shot noise is white, with the power :math:`W = \sum_i w_i^2 n_i` in
    each coefficient (the subtraction of the mean lowers it next to zero, which is allowed for). So
    :math:`S = \sum |N|^2 - \sum W` estimates :math:`\sum |X|^2` without bias. A ring has signal
    if S is above three standard errors of pure noise.

    *Raw halves.* With :math:`P = \sum |N|^2`, two halves of a frame by binomial thinning (B. Rieger
    et al., "Single image Fourier ring correlation", Optics Express 32, 21767 (2024),
    doi:10.1364/OE.524683) have the mean cross-spectrum :math:`(P - W)/4` and the mean power
    :math:`(P + W)/4` each, where the mean is over all ways to split. Their correlation is
    :math:`(P - W)/(P + W)`, W summed over the ring; no split has to be drawn.

    *Estimate.* E does not depend on the electrons held out, therefore the noise of B averages out
    of :math:`C = \mathrm{Re} \sum E B^*`, whatever the denoiser: its expectation is
    :math:`\mathrm{Re} \sum E X^*`. With :math:`T = \sum |E|^2`, C and T as means of all draws,

    .. math:: \mathrm{estimate} = \frac{C}{\sqrt{T S}}, \qquad \mathrm{gain} = \frac{T}{S}, \qquad
        \mathrm{supported} = \frac{C}{T} .

    This is the correlation of the estimate with the raw electrons held out, divided by the square
    root of the share of signal in the power of these electrons. It is not clipped to 1.
    `supported` does not need the power of the signal, and is known where that is lost in noise. It
    is 1 at all frequencies for the mean of all images that fit the counts, weighted by their
    probability: the best estimate that there is.

    *Dose.* All this is about estimates from the share 1 - s of the electrons. At all electrons the
    correlation is a little higher, by 0.002 to 0.03 at 0.45 electrons per pixel (see the user
    guide). With a smaller share and more draws it comes closer. It is not extrapolated.

    *Standard errors* are upper bounds for the shot noise alone. With the share
    :math:`\varphi` of the electrons held out in all draws and :math:`\rho` the correlation, the
    variance of `estimate` is
    :math:`\kappa \, [(1/\varphi - \rho^2) \, W_1/S + \rho^2 \sum W^2 / (2 S^2)]`, where
    :math:`W_1` is the power in one coefficient and :math:`\kappa` the correlation of neighbouring
    coefficients by the window, about 1.3.

    *Noise substitution* (S. Chen et al., "High-resolution noise substitution to measure overfitting
    and validate resolution in 3D structure determination by single particle electron
    cryomicroscopy", Ultramicroscopy 135, 24 (2013)). The estimate from all counts is low-passed at
    `cutoff` (values below zero become zero), and Poisson counts are drawn of it, twice. They hold
    no signal beyond the cut-off. What the estimates of these counts hold there is `invented`, and
    what two of them share is `repeated`.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.inspection import frequency_report
    >>> x = np.arange(96)
    >>> clean = np.broadcast_to(2 + np.cos(2 * np.pi * x / 12), (2, 96, 96))
    >>> counts = np.random.default_rng(0).poisson(clean)
    >>> report = frequency_report(LowPassDenoiser(cutoff=0.1).fit(counts), counts)
    >>> ring = np.argmin(abs(report.frequency - 1 / 12))
    >>> bool(report.estimate[ring] > 0.95), bool(abs(report.gain[ring] - 0.5) < 0.03)
    (True, True)
    """
    function = image_function(denoiser, "denoiser")
    pixel_size = settle_pixel_size(counts, pixel_size)
    X = check_images(
        without_hidden(counts, mask),
        estimator_name="frequency_report",
        name="counts",
        min_size=_SIDE,
        mask=mask,
    )
    mask = check_mask(mask, X.shape)
    check_counts(X, "counts")
    if not X.any(axis=(1, 2)).all():
        raise ValueError(
            f"Image {int(np.argmin(X.any(axis=(1, 2))))} of counts holds no electron outside the "
            "mask: leave it out."
        )
    check_draws(share, n_draws)
    n_rings = _check_rings(n_rings, min(X.shape[1:]))
    unit, per_pixel = _check_unit(unit, pixel_size, cutoff)
    rng = check_random_state(random_state)
    windows = _windows(X.shape, mask)
    rings = Rings(X.shape[1:], n_rings)
    taken = only_taken(function, mask=mask, pixel_size=pixel_size)

    def denoise(images):
        """Estimates of a stack, checked; anything may stand under the mask."""
        denoised = np.asarray(function(with_pixel_size(images, pixel_size), **taken))
        return _check_estimate(denoised, X.shape, mask)

    def over_frames(function_of_frame):
        """Sum over rings and frames of what a function of the frame's number returns."""
        return sum(rings.sum(function_of_frame(k)) for k in range(len(X)))

    # Raw counts. Each frame's spectrum is calculated anew where it is needed: this saves memory.
    power = over_frames(lambda k: np.abs(windows[k].spectrum(X[k])) ** 2)
    noise = over_frames(lambda k: windows[k].noise_power(X[k]))
    noise_squared = over_frames(
        lambda k: windows[k].correlation * windows[k].noise_power(X[k]) ** 2
    )
    n_modes = over_frames(lambda k: np.full(rings.of_mode.shape, 0.5 / windows[k].correlation))
    raw = _Raw(power, noise, noise_squared)

    # Estimates, and the electrons that they did not see.
    cross, estimated = 0.0, 0.0
    for part in hold_out(X, share, n_draws, rng):
        rates = denoise(X - part) / (1 - share)
        for window, rate, seen_not in zip(windows, rates, part, strict=True):
            spectrum = window.spectrum(rate)
            held_out = window.spectrum(seen_not) / share
            cross += rings.sum(np.real(spectrum * held_out.conj())) / n_draws
            estimated += rings.sum(np.abs(spectrum) ** 2) / n_draws

    # Noise substitution.
    if isinstance(cutoff, str):
        limit = raw.resolved(n_rings)
    else:
        limit = check_length("cutoff", cutoff) * per_pixel
        if limit > 0.5:
            raise ValueError(
                f"cutoff={cutoff:g} {unit} is beyond the highest frequency of the images, "
                f"{0.5 / per_pixel:.3g} {unit}."
            )
    rates = denoise(X)
    low = np.stack([_low_pass(image, limit) for image in _filled(rates, mask, X)])
    full = _Powers(rings, windows)
    full.add(rates)
    drawn, first = _Powers(rings, windows), None
    shared = 0.0
    for _ in range(_SUBSTITUTIONS):
        rates = denoise(rng.poisson(low).astype(np.float32))
        drawn.add(rates)
        if first is not None:
            shared = over_frames(
                lambda k, a=first, b=rates: np.real(
                    windows[k].spectrum(a[k]) * windows[k].spectrum(b[k]).conj()
                )
            )
        first = rates
    beyond = np.arange(n_rings) / (2 * n_rings) >= limit * (1 - 1e-9)

    return FrequencyReport(
        frequency=rings.frequency / per_pixel,
        **raw.correlation(),
        **_against_truth(cross, estimated, raw, share * n_draws),
        **_invented(full, drawn, shared, beyond & (full.total > _LEAST_POWER * noise)),
        signal_power=raw.signal / noise,
        signal_power_se=raw.signal_se / noise,
        estimate_power=estimated / noise,
        n_modes=n_modes,
        unit=unit,
        cutoff=limit / per_pixel,
        share=share,
    )


class _Raw:
    """Power of signal and noise in the rings of the raw counts."""

    def __init__(self, power, noise, noise_squared):
        self.noise, self.noise_squared = noise, noise_squared
        self.level = noise_squared / noise  # of one coefficient, with the window's correlation
        self.power, self.signal = power, power - noise
        self.signal_se = np.sqrt(2 * noise_squared + 4 * self.level * np.maximum(self.signal, 0))
        self.has_signal = self.signal > _SIGNAL * np.sqrt(2 * noise_squared)

    def correlation(self):
        """Correlation of two halves, and its standard error."""
        total = self.power + self.noise
        return {
            "raw": self.signal / total,
            "raw_se": 2 * self.noise / total**2 * self.signal_se,
        }

    def resolved(self, n_rings):
        """Highest frequency at which the halves agree, in cycles per pixel."""
        agree = self.has_signal & (self.signal / (self.power + self.noise) > _RESOLVED)
        return (1 + int(np.max(np.flatnonzero(agree), initial=0))) / (2 * n_rings)


class _Powers:
    """Sums over rings of the power of estimates, and of its square."""

    def __init__(self, rings, windows):
        self.rings, self.windows = rings, windows
        self.total, self.variance, self.n = 0.0, 0.0, 0

    def add(self, images):
        self.n += 1
        for window, image in zip(self.windows, images, strict=True):
            power = np.abs(window.spectrum(image)) ** 2
            self.total = self.total + self.rings.sum(power)
            self.variance = self.variance + 2 * window.correlation * self.rings.sum(power**2)


def _against_truth(cross, estimated, raw, held_out):
    """Correlation with the truth, gain, and supported share, with their standard errors."""
    signal = np.where(raw.has_signal, raw.signal, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(estimated > 0, cross / np.sqrt(estimated * signal), np.nan)
        supported_se = np.sqrt(raw.level / (held_out * estimated))
        told = (estimated > _LEAST_POWER * raw.noise) & (supported_se < _VAGUE)
        supported = np.where(told, cross / estimated, np.nan)
        supported_se = np.where(told, supported_se, np.nan)
    linear = raw.level / signal * np.maximum(1 / held_out - correlation**2, 0)
    quadratic = correlation**2 * raw.noise_squared / (2 * signal**2)
    return {
        "estimate": correlation,
        "estimate_se": np.sqrt(linear + quadratic),
        "gain": estimated / signal,
        "gain_se": estimated * raw.signal_se / signal**2,
        "supported": supported,
        "supported_se": supported_se,
    }


def _invented(full, drawn, shared, known):
    """Power that came back beyond the cut-off, over the power of the estimate."""
    names = ("invented", "invented_se", "repeated")
    result = {name: np.full(len(known), np.nan) for name in names}
    before, after = full.total[known], drawn.total[known] / drawn.n
    result["invented"][known] = after / before
    result["repeated"][known] = shared[known] / before
    errors = full.variance[known] * (after / before) ** 2 + drawn.variance[known] / drawn.n
    result["invented_se"][known] = np.sqrt(errors) / before
    return result


def _low_pass(image, limit):
    """Image without frequencies beyond a limit in cycles per pixel, mirrored at its borders."""
    rows, columns = (np.arange(n) / (2 * n) for n in image.shape)
    ratio = np.hypot(rows[:, np.newaxis], columns) / limit
    response = np.cos(np.pi / 2 * np.clip((ratio - _EDGE) / (1 - _EDGE), 0, 1)) ** 2
    return np.maximum(fft.idctn(fft.dctn(image, type=2) * response, type=2), 0)


def _filled(rates, mask, counts):
    """Estimates with the mean count of the frame under the mask, where anything may stand."""
    if mask is None:
        return rates.astype(np.float64)
    means = counts.mean(axis=(1, 2), where=~mask, keepdims=True)
    return np.where(mask, means, rates).astype(np.float64)


def _windows(shape, mask):
    """Window of each frame; one for all frames with the same mask."""
    masks = [None] * shape[0] if mask is None else list(mask)
    if mask is not None and (mask == mask[0]).all():
        masks = [mask[0]]
    elif mask is None:
        masks = [None]
    windows = [Window(make_window(shape[1:], hidden)) for hidden in masks]
    for k, window in enumerate(windows):
        if window.n_effective < _PIXELS:
            raise ValueError(
                f"mask leaves too little of image {k}: about {window.n_effective:.0f} pixels after "
                f"the window that smooths its borders, but {_PIXELS} are needed. Mask less, or "
                "leave the image out."
            )
    return windows * shape[0] if len(windows) == 1 else windows


def _check_rings(n_rings, side):
    largest = side // 2
    if isinstance(n_rings, str) and n_rings == "auto":
        return side // 4
    whole = isinstance(n_rings, Integral) and not isinstance(n_rings, bool)
    if not whole or not 2 <= n_rings <= largest:
        raise ValueError(
            f'n_rings must be "auto" or a whole number from 2 to {largest}, half the side of the '
            f"images; got {n_rings!r}."
        )
    return int(n_rings)


def _check_unit(unit, pixel_size, cutoff):
    """Return the unit of the frequencies, and the cycles per pixel of one unit."""
    if isinstance(cutoff, str) and cutoff != "auto":
        raise ValueError(f'cutoff must be a number or "auto", got {cutoff!r}.')
    if unit not in (None, "1/angstrom", "1/px"):
        raise ValueError(f'unit must be "1/angstrom" or "1/px", got {unit!r}.')
    if unit is None:
        if not isinstance(cutoff, str):
            raise ValueError(f'Say the unit of cutoff={cutoff!r}: unit="1/angstrom" or "1/px".')
        unit = "1/px" if pixel_size is None else "1/angstrom"
    if unit == "1/px":
        return unit, 1.0
    if pixel_size is None:
        raise ValueError(
            'unit="1/angstrom" needs the pixel size: give pixel_size in pm, or images that know it '
            "(temdenoise.ImageStack)."
        )
    return unit, pixel_size / 100  # 100 pm = 1 Angstrom


def _check_estimate(denoised, shape, mask):
    if denoised.dtype.kind not in "biuf" or denoised.shape != shape:
        raise ValueError(
            f"denoiser must return real images of shape {shape}; it returned {denoised.dtype} of "
            f"shape {denoised.shape}."
        )
    if mask is not None:
        denoised = np.where(mask, 0, denoised)  # no weight, but NaN times zero is NaN
    if not np.isfinite(denoised).all():
        raise ValueError("denoiser returned NaN or infinity.")
    return denoised
