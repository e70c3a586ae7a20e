"""The squared error of an estimate, from counts that it has not seen and the band of the signal.

Counts n of the mean c are held against an estimate f. The best known unbiased estimate of the sum
of ``(f - c)**2`` is the sum of ``(f - n)**2 - n``. Most of its scatter is that of ``n**2``, from
frequencies at which a microscope transfers nothing. Let P be a low-pass filter that leaves c as it
is, and w what a pixel of ``P n`` takes from the pixel itself. The sum of

``(f - n) (f - P n) - w n``

has the expectation of the sum of ``(f - c) (f - P c)``, which is the same. At the frequencies of P
this is ``|f - n|**2`` less the power of the noise, beyond them the power of the estimate itself.
Without P (``P n = n``, w = 1) it is the first formula.

For n with shot noise the result is a sum of polynomials of degree one and two in the counts that
are independent of each other in the mean (Poisson-Charlier polynomials). With the error e = f - c
and the elements P_pq, its variance is

``2 sum_pq P_pq**2 c_p c_q + sum_p c_p (e + P e)_p**2``.

It is estimated from the same counts.
"""

from functools import lru_cache

import numpy as np
from scipy import fft

# Detail of images of an aberration-corrected microscope ends here, in 1/Angstrom.
BAND_LIMIT = 1.28
# The filter falls from 1 to 0 between the limit and this many times the limit. A sharp edge would
# spread every pixel over the whole image.
_ROLL_OFF = 1.2
# Beside masked pixels the filter takes the mean of the others. Where less than this share of its
# weight is left, counts stay as they are.
_LEAST_WEIGHT = 0.5


def limit_in_cycles(pixel_size, band_limit=BAND_LIMIT):
    """Highest frequency of the signal in cycles per pixel, or None if it is not known.

    Parameters
    ----------
    pixel_size : float or None
        In pm.
    band_limit : float or None, default=1.28
        In 1/Angstrom.
    """
    known = pixel_size is not None and band_limit is not None
    return band_limit * pixel_size / 100 if known else None  # 100 pm = 1 Angstrom


class Band:
    """The low-pass filter P for images of one shape.

    Parameters
    ----------
    shape : (int, int)
        Of the images.
    limit : float or None
        Highest frequency of the signal, in cycles per pixel. None: there is no filter.
    trusted : None or bool ndarray of that shape
        False for pixels that do not count.
    """

    def __init__(self, shape, limit, trusted=None):
        self.trusted = np.ones(shape, dtype=bool) if trusted is None else trusted
        self._response = None
        # weight of a pixel on itself, of P and of P P
        self.weight = self.squared = np.ones(shape)
        if limit is None or limit >= 0.5:
            return
        self._response, self.weight, self.squared = _filter(tuple(shape), float(limit))
        self._scale = None
        if trusted is not None and not trusted.all():
            left = self._apply(trusted.astype(np.float64))
            self._enough = left > _LEAST_WEIGHT
            self._scale = 1 / np.where(self._enough, left, 1)
            self.weight = np.where(self._enough, self.weight * self._scale, 1.0)
            self.squared = np.where(self._enough, self.squared * self._scale**2, 1.0)

    def __call__(self, image):
        """Filter an image; what it holds on masked pixels does not matter."""
        if self._response is None:
            return image
        if self._scale is None:
            return self._apply(image)
        filtered = self._apply(np.where(self.trusted, image, 0)) * self._scale
        return np.where(self._enough, filtered, image)

    def _apply(self, image):
        # The cosine transform mirrors the image at its borders.
        coefficients = fft.dctn(image, norm="ortho")
        rows, columns = self._response.shape
        coefficients[:rows, :columns] *= self._response
        coefficients[rows:] = 0
        coefficients[:, columns:] = 0
        return fft.idctn(coefficients, norm="ortho", overwrite_x=True)


@lru_cache(maxsize=2)
def _filter(shape, limit):
    """Response of the filter where it is not 0, and the diagonals of P and of P P."""
    n_kept = [min(n, int(np.ceil(2 * n * limit * _ROLL_OFF))) for n in shape]
    rows, columns = (np.arange(k) / (2 * n) for k, n in zip(n_kept, shape, strict=True))
    beyond = (np.hypot(rows[:, None], columns) / limit - 1) / (_ROLL_OFF - 1)
    response = (1 + np.cos(np.pi * np.clip(beyond, 0, 1))) / 2
    modes = [_squared_modes(n, k) for n, k in zip(shape, n_kept, strict=True)]
    diagonals = [modes[0] @ part @ modes[1].T for part in (response, response**2)]
    for array in (response, *diagonals):
        array.flags.writeable = False
    return response, *diagonals


def _squared_modes(n, n_kept):
    """Squares of the first basis functions of the cosine transform, (n, n_kept)."""
    phase = np.pi / n * (np.arange(n)[:, None] + 0.5) * np.arange(n_kept)
    return np.where(np.arange(n_kept) == 0, 1.0, 2.0) / n * np.cos(phase) ** 2


def risk_of_image(rates, held_out, share, band):
    """Squared error of an estimate of one image, from counts that it has not seen.

    Parameters
    ----------
    rates : array-like of shape (n_draws, height, width)
        Estimates of the mean counts, each from the electrons that are not held out in this draw.
    held_out : array-like of the same shape
        Counts held out, no electron twice.
    share : float
        Share of the electrons held out in one draw; 1 for a frame of its own.
    band : Band

    Returns
    -------
    risk : float
        Sum of ``(rate - clean)**2`` over the pixels, mean of the draws.
    variance : float
        Its variance from the shot noise of what is held out.
    n_pixels : int
    """
    where, n_draws = band.trusted, len(held_out)
    weight, squared = band.weight[where], band.squared[where]
    risk = variance = 0.0
    seen = []
    for rate, part in zip(rates, held_out, strict=True):
        f = np.where(where, rate, 0).astype(np.float64)
        n = np.where(where, part, 0) / np.float64(share)
        smooth = band(n)
        twice = f + band(f)
        slope = (twice - smooth - band(smooth))[where]
        f, n, smooth = f[where], n[where], smooth[where]
        risk += np.sum((f - n) * (f - smooth) - weight * n / share)
        # For Poisson counts b of the mean l, b g(b - 1) has the expectation of l g(b), whatever g
        # is: where a pixel's counts multiply something, they are seen there with one less.
        others = smooth - weight / share
        even = 2 / share**2 * np.sum(squared * n * others)
        noise = 4 * squared * others / share  # in the square of the slope
        uneven = np.sum(n * ((slope + (weight + squared) / share) ** 2 - noise)) / share
        variance += max(even, 0.0) + max(uneven, 0.0)
        seen.append(twice[where])
    if n_draws > 1:
        # The electrons of one draw are part of what the other draws denoise, see
        # `temdenoise.metrics._held_out.difference_of_image`.
        rate = np.mean(held_out, axis=0, dtype=np.float64)[where] / share
        variance += n_draws / share * np.sum((seen - np.mean(seen, axis=0)) ** 2 * rate)
    return float(risk / n_draws), float(variance / n_draws**2), int(np.count_nonzero(where))
