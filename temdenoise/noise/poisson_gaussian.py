"""Noise of detectors with a gain, an offset and read noise."""

import sys
import warnings
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from temdenoise._validation import as_real_array, check_images
from temdenoise.images import stack_like
from temdenoise.noise.analysis import analyze_noise
from temdenoise.noise.poisson import PoissonNoise

_NAMES = ("gain", "offset", "read_noise")


class PoissonGaussianNoise(BaseEstimator):
    """Shot noise as a linear detector stores it.

    A stored value is ``gain * electrons + offset`` plus Gaussian read noise. The electrons are
    Poisson distributed about the clean image. The variance of a value is
    ``gain * (mean - offset) + read_noise**2``. The model, and the fit of its line, are those of
    A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", IEEE Trans. Image Process. 17 (2008) 1737.

    Parameters
    ----------
    gain : "auto" or float, default="auto"
        Stored units per electron. "auto": found by `fit`.
    offset : "auto" or float, default="auto"
        Stored value of a pixel without electrons.
    read_noise : "auto" or float, default="auto"
        Standard deviation of the read noise, in stored units.
    dose : None, float or (float, float), default=None
        Mean electrons per pixel, as in `PoissonNoise`.
    random_state : None, int or RandomState, default=None
        As in `PoissonNoise`.

    Attributes
    ----------
    gain_, offset_, read_noise_ : float
        Values in use: those that were given, and those that `fit` found.
    analysis_ : NoiseAnalysis or None
        The analysis of the movie by `fit`; None if no value was "auto".

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import PoissonGaussianNoise
    >>> clean = np.broadcast_to(np.linspace(2, 20, 128), (8, 128, 128))
    >>> camera = PoissonGaussianNoise(gain=12.0, offset=500.0, read_noise=10.0, random_state=0)
    >>> movie = camera.sample(clean)
    >>> float(camera.variance(500 + 12 * 3))
    532.0
    >>> found = PoissonGaussianNoise().fit(movie)
    >>> round(found.gain_)
    12
    """

    _parameter_constraints = {
        "gain": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "offset": [StrOptions({"auto"}), Interval(Real, None, None, closed="neither")],
        "read_noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "dose": PoissonNoise._parameter_constraints["dose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self, gain="auto", offset="auto", read_noise="auto", *, dose=None, random_state=None
    ):
        self.gain = gain
        self.offset = offset
        self.read_noise = read_noise
        self.dose = dose
        self.random_state = random_state

    def fit(self, movie, y=None, *, mask=None, vacuum="auto"):
        """Find the values that are "auto".

        Parameters
        ----------
        movie : array-like of shape (n_images, height, width)
            Frames as stored.
        y : ignored
            For scikit-learn.
        mask, vacuum
            As for `analyze_noise`.

        Returns
        -------
        self : PoissonGaussianNoise
            With `gain_`, `offset_`, `read_noise_` and `analysis_`.

        Raises
        ------
        ValueError
            If the gain cannot be found (the message says why), or the movie is not valid.
        """
        self._validate_params()
        values = {name: getattr(self, name) for name in _NAMES}
        known = {name: float(value) for name, value in values.items() if value != "auto"}
        analysis = None
        if len(known) < len(_NAMES):
            analysis = analyze_noise(movie, mask=mask, vacuum=vacuum, **known).check()
        for name in _NAMES:
            value = known[name] if name in known else getattr(analysis, name)
            setattr(self, name + "_", value)
        self.analysis_ = analysis
        return self

    def variance(self, mean):
        """Variance of a pixel's noise.

        Parameters
        ----------
        mean : array-like
            Mean values, in stored units.

        Returns
        -------
        variance : ndarray or float
            In stored units squared. A mean below the offset counts as the offset.

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        """
        gain, offset, read_noise = self._values()
        electrons = np.maximum(np.asarray(mean, dtype=np.float64) - offset, 0.0)
        return (gain * electrons + read_noise**2)[()]

    def sample(self, clean, *, return_clean=False, random_state=None):
        """Draw noisy images as the detector stores them.

        Parameters
        ----------
        clean : array-like or torch.Tensor of shape (height, width) or (n_images, height, width)
            Mean electrons per pixel, or proportional to them if `dose` is set, as for
            `PoissonNoise.sample`.
        return_clean : bool, default=False
            Whether to return the clean images on the scale of the noisy ones too.
        random_state : None, int, RandomState or torch.Generator, default=None
            Overrides the constructor's for this call.

        Returns
        -------
        noisy : ndarray or torch.Tensor, of the shape of `clean`
            Stored units, not rounded; float32 for arrays.
        clean : ndarray or torch.Tensor
            ``gain * clean + offset``. Only if `return_clean` is True.

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        ValueError
            If `clean` is not valid, see `PoissonNoise.sample`.
        """
        self._validate_params()
        gain, offset, read_noise = self._values()
        if random_state is None:
            random_state = self.random_state
        torch = sys.modules.get("torch")  # a tensor can only come from a torch already imported
        is_tensor = torch is not None and isinstance(clean, torch.Tensor)
        if is_tensor and not isinstance(random_state, torch.Generator):
            seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
            random_state = torch.Generator(device=clean.device).manual_seed(seed)
        elif not is_tensor:
            random_state = check_random_state(random_state)
        poisson = PoissonNoise(dose=self.dose)
        noisy, clean = poisson.sample(clean, return_clean=True, random_state=random_state)
        noisy, clean = gain * noisy + offset, gain * clean + offset
        if read_noise > 0 and is_tensor:
            noisy += read_noise * torch.randn(
                noisy.shape, generator=random_state, device=noisy.device, dtype=noisy.dtype
            )
        elif read_noise > 0:
            for image in np.asarray(noisy).reshape((-1,) + noisy.shape[-2:]):  # draws are float64
                image += read_noise * random_state.standard_normal(image.shape)
        return (noisy, clean) if return_clean else noisy

    def on_bins(self, area):
        """Noise of sums over `area` pixels.

        Parameters
        ----------
        area : float
            Number of pixels in a bin.

        Returns
        -------
        noise : PoissonGaussianNoise
            With the gain of the pixels, `area` times their offset, and ``sqrt(area)`` times their
            read noise.

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        """
        gain, offset, read_noise = self._values()
        dose = PoissonNoise(dose=self.dose).on_bins(area).dose
        return PoissonGaussianNoise(gain, offset * area, read_noise * area**0.5, dose=dose)

    def in_electrons(self):
        """Noise of the values after gain and offset are undone.

        Returns
        -------
        noise : PoissonGaussianNoise
            With gain 1, offset 0, and the read noise in electrons.

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        """
        gain, _, read_noise = self._values()
        return PoissonGaussianNoise(1.0, 0.0, read_noise / gain, dose=self.dose)

    def to_electrons(self, values):
        """Undo gain and offset.

        Parameters
        ----------
        values : ndarray
            In stored units.

        Returns
        -------
        electrons : ndarray of the same shape and dtype

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        """
        gain, offset, _ = self._values()
        numbers = as_real_array(values, "values", "PoissonGaussianNoise")
        return stack_like((numbers - np.float32(offset)) / np.float32(gain), values)

    def from_electrons(self, electrons):
        """Apply gain and offset to electrons.

        Parameters
        ----------
        electrons : ndarray

        Returns
        -------
        values : ndarray of the same shape and dtype
            In stored units.

        Raises
        ------
        NotFittedError
            If a value is "auto" and `fit` was not called.
        """
        gain, offset, _ = self._values()
        numbers = as_real_array(electrons, "electrons", "PoissonGaussianNoise")
        return stack_like(np.float32(gain) * numbers + np.float32(offset), electrons)

    def _values(self):
        values = []
        for name in _NAMES:
            value = getattr(self, name + "_", getattr(self, name))
            if isinstance(value, str):
                raise NotFittedError(
                    f"{name} is 'auto': call fit with a movie first, or give a number."
                )
            values.append(float(value))
        return values


def to_counts(
    movie,
    gain="auto",
    *,
    offset="auto",
    read_noise="auto",
    mask=None,
    vacuum="auto",
    return_noise=False,
):
    """Convert stored values to electrons per pixel.

    Parameters
    ----------
    movie : array-like of shape (n_images, height, width)
        Frames as stored, of any real dtype.
    gain, offset, read_noise : "auto" or float, default="auto"
        Values of the detector, in stored units. "auto": measured on the movie by `analyze_noise`.
        The counts do not need the read noise; only the noise model does.
    mask, vacuum
        As for `analyze_noise`.
    return_noise : bool, default=False
        Whether to return the noise model too.

    Returns
    -------
    counts : ndarray of shape (n_images, height, width), dtype float32
        ``(movie - offset) / gain``, in electrons per pixel. They are whole numbers if the analysis
        recognised electrons. Otherwise read noise can make values negative; they are not clipped.
    noise : PoissonGaussianNoise
        Fitted noise model, in stored units. ``noise.gain_ * counts + noise.offset_`` gives the
        movie. Only if `return_noise` is True.

    Raises
    ------
    ValueError
        If the gain cannot be found (the message says why), or the movie is not valid.

    Warns
    -----
    UserWarning
        If the gain was measured and the noise of neighbouring pixels is correlated, or pixels are
        saturated.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.noise import to_counts
    >>> rate = np.broadcast_to(np.linspace(1, 8, 128), (6, 128, 128))
    >>> electrons = np.random.default_rng(0).poisson(rate)
    >>> counts = to_counts(40 * electrons + 1000)
    >>> bool((counts == electrons).all())
    True
    """
    images, movie = movie, check_images(movie, estimator_name="to_counts", name="movie")
    if "auto" not in (gain, offset) and not return_noise and read_noise == "auto":
        read_noise = 0.0  # it is not used, so it need not be measured
    noise = PoissonGaussianNoise(gain, offset, read_noise).fit(movie, mask=mask, vacuum=vacuum)
    counts = noise.to_electrons(movie)
    if noise.analysis_ is not None:
        for caveat in noise.analysis_.caveats:
            warnings.warn(f"Counts of a measured gain: {caveat}.", UserWarning, stacklevel=2)
        if noise.analysis_.counted:
            counts = np.rint(counts)
    counts = stack_like(counts, images)
    return (counts, noise) if return_noise else counts
