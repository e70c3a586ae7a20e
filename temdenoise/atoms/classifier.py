"""Probability that a detected column is real, learnt from simulated images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from temdenoise._calls import transform_keywords
from temdenoise._files import replacing
from temdenoise._lengths import check_length, check_pixel_size
from temdenoise._one_image import check_one_image
from temdenoise._validation import check_images
from temdenoise.atoms._evidence import column_tests, principal_curvatures
from temdenoise.atoms._lattice import Lattice
from temdenoise.atoms.confirm_halves import MIN_SHARE, PIXEL_SIZE, Lengths, regions_of
from temdenoise.atoms.find import THRESHOLD, column_polarity, find_atoms
from temdenoise.atoms.match import match_atoms
from temdenoise.images import settle_pixel_size
from temdenoise.noise import PoissonNoise
from temdenoise.noise._gate import refuse_unless_counts

FEATURES = ("z", "log_response", "log_height", "neighbours", "nearest", "roundness", "surface")
"""Features of a column, in the order of the model's."""

FORMAT = 2

# Columns are neighbours up to this distance: the first shell of Pt and that of CeO2.
_SHELL_PM = 400.0
# A column is real if the clean image has a maximum at its position, and no mere remainder of a
# missing column. The threshold for this maximum is this share of the usual one.
_REAL = 0.25
# The model is of second order in the features, which are clipped at this many standard deviations.
_OUTLIER = 4.0


class AtomClassifier(BaseEstimator):
    """Probability that a column is real, learnt from simulated images.

    Clean simulated images get noise and are denoised. For each column found in them it is known
    whether it is real. (The faint maximum that is left where a column is missing is not, as for
    `temdenoise.atoms.confirm_atoms`.) A logistic regression on a few features of each column
    learns the difference. Its probabilities use all electrons, so they separate weak columns and
    phantoms better than `temdenoise.atoms.confirm_atoms`. But they are valid only for this
    denoiser, and only if specimen, microscope and dose are those of the simulation. There is no
    warning if these differ.

    Parameters
    ----------
    denoiser : fitted denoiser
        An object with a ``transform``. To `clone` the classifier, wrap the denoiser in
        `sklearn.frozen.FrozenEstimator`.
    pixel_size : float, optional
        Pixel size in pm of all images. By default that of the images of `fit`, if they are a
        `temdenoise.images.ImageStack` that knows it, otherwise 6.22 pm. It is passed on to
        ``denoiser.transform`` if that has a parameter of this name.
    sigma : float, optional
        Standard deviation of the columns in px, as for `temdenoise.atoms.confirm_atoms`. By default
        60 pm.
    threshold : float, default=0.045
        As for `temdenoise.atoms.find_atoms`. It is half of the default there, because the
        probability sorts out the weak columns.
    dose : None, float or (float, float), default=None
        Mean counts/px of the noisy images, as for `temdenoise.PoissonNoise`. None: clean images are
        in counts/px.
    C : float, default=1.0
        Inverse strength of the regularisation.
    random_state : None, int or RandomState, default=None
        Source of the noise.

    Attributes
    ----------
    classes_ : ndarray of shape (2,), bool
        False and True.
    coef_ : ndarray of shape (n_terms,)
        Coefficients of the terms of first and second order of the features, standardised.
    intercept_ : float
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and standard deviation of the features in training.
    n_columns_ : ndarray of shape (2,), int
        Numbers of false and of real columns in training.
    pixel_size_ : float or None
        Pixel size in pm of the training images; None if it is not known.

    Examples
    --------
    >>> from temdenoise import PoissonNoise, WindowedFourierDenoiser, make_ptceo2
    >>> from temdenoise.atoms import AtomClassifier
    >>> sim = make_ptceo2(2, structure="PtNp3", contrast="white", pixel_size=12.44)
    >>> clean = sim.data[:, 200:, 60:340] / 2
    >>> denoiser = WindowedFourierDenoiser().fit(clean)
    >>> classifier = AtomClassifier(denoiser, pixel_size=12.44, random_state=0).fit(clean)
    >>> atoms = classifier.find_atoms(PoissonNoise(random_state=1).sample(clean[0]))
    >>> bool(atoms["probability"].between(0, 1).all())
    True
    """

    def __init__(
        self,
        denoiser,
        *,
        pixel_size=None,
        sigma=None,
        threshold=THRESHOLD / 2,
        dose=None,
        C=1.0,
        random_state=None,
    ):
        self.denoiser = denoiser
        self.pixel_size = pixel_size
        self.sigma = sigma
        self.threshold = threshold
        self.dose = dose
        self.C = C
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn from clean simulated images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width)
            Clean images in counts/px, or proportional to them if `dose` is set. About twenty images
            of different specimens and defoci are enough. Repeat images for several draws of noise.
        y : None
            Not used.

        Returns
        -------
        self : AtomClassifier

        Raises
        ------
        ValueError
            If the images are not valid, a parameter is out of range, or fewer than five real or
            fewer than five false columns are found.
        """
        # This import is slow, and `find_atoms` does not need it.
        from sklearn.linear_model import LogisticRegression

        pixel_size = settle_pixel_size(X, self.pixel_size)
        X = np.asarray(check_images(X, estimator_name=type(self).__name__, counts=True))
        check_length("C", self.C)
        lengths = Lengths(pixel_size, self.sigma)
        rng = check_random_state(self.random_state)
        noise = PoissonNoise(dose=self.dose, random_state=rng)
        tables = []
        for clean in X:
            noisy, clean = noise.sample(clean, return_clean=True)
            polarity = column_polarity(clean, sigma=lengths.blob)
            atoms = self._measure(noisy, polarity, lengths)
            real = _real_columns(clean, polarity, _REAL * self.threshold, lengths)
            atoms["real"] = False
            atoms.loc[match_atoms(atoms, real, max_distance=lengths.same)["a"], "real"] = True
            tables.append(atoms)
        atoms = pd.concat(tables, ignore_index=True)
        real = atoms["real"].to_numpy(dtype=bool)
        n_columns = np.array([(~real).sum(), real.sum()])
        if n_columns.min() < 5:
            raise ValueError(
                f"Of the columns found, {n_columns[1]} are real and {n_columns[0]} false: too few "
                "to learn from. Give more images or noisier images, or lower the threshold."
            )
        features = _features(atoms)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1
        terms = _terms(features, mean, scale)
        model = LogisticRegression(C=self.C, max_iter=1000).fit(terms, real)
        # All attributes are set at the end: after an error the classifier is not fitted.
        self.mean_, self.scale_, self.n_columns_ = mean, scale, n_columns
        self.pixel_size_ = pixel_size
        self.classes_ = np.array([False, True])
        self.coef_, self.intercept_ = model.coef_[0], float(model.intercept_[0])
        return self

    def find_atoms(self, noisy, *, polarity="auto"):
        """Denoise an image, find its columns, and give each its probability.

        Parameters
        ----------
        noisy : array-like of shape (height, width)
            Electron counts, at the pixel size of the training images.
        polarity : {"auto", "bright", "dark"}, default="auto"
            As for `temdenoise.atoms.find_atoms`.

        Returns
        -------
        atoms : pandas.DataFrame
            The table of `temdenoise.atoms.find_atoms`, with the features and ``probability``
            (float64), the probability that the column is real.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If the image is not valid.

        Warns
        -----
        PixelSizeWarning
            If the pixel size of the image differs from that of the training, which is used.
        """
        check_is_fitted(self)
        settle_pixel_size(noisy, self.pixel_size_ or PIXEL_SIZE)
        noisy = check_one_image(noisy, "noisy")
        noisy = check_images(
            noisy[np.newaxis], estimator_name=type(self).__name__, counts=True, name="noisy"
        )[0]
        refuse_unless_counts("noisy", noisy[np.newaxis], None)
        atoms = self._measure(noisy, polarity, Lengths(self.pixel_size_, self.sigma))
        probability = self.predict_proba(atoms)[:, 1] if len(atoms) else []
        return atoms.assign(probability=np.asarray(probability, dtype=np.float64))

    def predict_proba(self, X):
        """Probabilities of columns whose features are known.

        Parameters
        ----------
        X : pandas.DataFrame
            With the columns `FEATURES`, as from `find_atoms`.

        Returns
        -------
        probabilities : ndarray of shape (n_atoms, 2)
            Probability that the column is false, and that it is real.
        """
        check_is_fitted(self)
        terms = _terms(_features(X), self.mean_, self.scale_)
        p = expit(terms @ self.coef_ + self.intercept_)
        return np.column_stack([1 - p, p])

    def predict(self, X):
        """Whether columns whose features are known are more likely real than false.

        Parameters
        ----------
        X : pandas.DataFrame
            As for `predict_proba`.

        Returns
        -------
        real : ndarray of shape (n_atoms,), bool
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def save(self, path):
        """Write the fitted model as JSON, without the denoiser.

        Parameters
        ----------
        path : str or path-like
            File to write.
        """
        check_is_fitted(self)
        state = {"format": FORMAT, "features": FEATURES, "pixel_size": self.pixel_size_}
        state |= {"sigma": self.sigma, "threshold": self.threshold, "dose": self.dose}
        state |= {"intercept": self.intercept_}
        for name in ("coef", "mean", "scale", "n_columns"):
            state[name] = getattr(self, f"{name}_").tolist()
        # NumPy scalars must be converted to Python numbers.
        text = json.dumps(state, indent=1, default=float)
        with replacing(Path(path)) as file:
            file.write(f"{text}\n".encode())

    @classmethod
    def load(cls, path, denoiser):
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read.
        denoiser : fitted denoiser
            The denoiser with which the classifier was fitted.

        Returns
        -------
        classifier : AtomClassifier
            Fitted.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If the file holds no such model.
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            if state["format"] != FORMAT or tuple(state["features"]) != FEATURES:
                raise KeyError("features")
            dose = tuple(state["dose"]) if isinstance(state["dose"], list) else state["dose"]
            parameters = {name: state[name] for name in ("pixel_size", "sigma", "threshold")}
            classifier = cls(denoiser, dose=dose, **parameters)
            check_length("threshold", classifier.threshold)
            if classifier.sigma is not None:
                check_length("sigma", classifier.sigma)
            if classifier.pixel_size is not None:
                check_pixel_size(classifier.pixel_size)
            vars(classifier).update(_stored(state), pixel_size_=classifier.pixel_size)
        # The errors for a file that is not text, or not JSON, are ValueErrors as well.
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} holds no model of AtomClassifier: {error!r}.") from error
        return classifier

    def _measure(self, noisy, polarity, lengths):
        """Table of the columns of a noisy image with their features."""
        keywords = transform_keywords(self.denoiser, pixel_size=lengths.pixel_size)
        denoised = np.asarray(self.denoiser.transform(noisy[np.newaxis], **keywords)[0])
        atoms = find_atoms(
            denoised, sigma=lengths.blob, threshold=self.threshold, polarity=polarity
        )
        scale = 1 / (lengths.pixel_size or PIXEL_SIZE)
        xy = atoms[["x", "y"]].to_numpy()
        tests = column_tests(noisy, denoised, xy, lengths.window, lengths.column)
        # Without a test the counts are no evidence for or against a column.
        tests = tests.fillna({"z": 0.0, "height_drawn": 0.0})
        atoms["z"] = tests["z"]
        atoms["log_response"] = np.log(atoms["response"])
        level = denoised.mean(dtype=np.float64)
        atoms["log_height"] = np.log(np.maximum(np.abs(tests["height_drawn"]) / level, 1e-3))
        distances = np.full((len(atoms), 2), np.inf)
        if len(atoms):
            tree = cKDTree(xy)
            distances = tree.query(xy, k=2)[0]
            shell = tree.query_ball_point(xy, _SHELL_PM * scale, return_length=True)
            atoms["neighbours"] = shell - 1.0
        else:
            atoms["neighbours"] = np.empty(0)
        atoms["nearest"] = np.minimum(distances[:, 1] / scale, 2 * _SHELL_PM)  # pm
        atoms["roundness"] = principal_curvatures(denoised, xy, lengths.column)[0]
        surface = regions_of(atoms, denoised.shape, lengths.pixel_size) == "surface"
        return atoms.assign(surface=surface.astype(np.float64))


def _real_columns(clean, polarity, threshold, lengths):
    """Maxima of a clean image, without those that neighbours leave where a column is missing."""
    maxima = find_atoms(
        clean, sigma=lengths.blob, polarity=polarity, threshold=threshold, exclude_border=False
    )
    xy = maxima[["x", "y"]].to_numpy()
    heights = column_tests(clean, clean, xy, lengths.window, lengths.column)["height_drawn"]
    heights = np.abs(heights.to_numpy())
    return maxima[~(heights <= MIN_SHARE * Lattice(xy).kind_heights(heights, xy))]


def _terms(features, mean, scale):
    """Standardised and clipped features, and the products of two of them."""
    standard = np.clip((features - mean) / scale, -_OUTLIER, _OUTLIER)
    i, j = np.triu_indices(len(FEATURES))
    return np.hstack([standard, standard[:, i] * standard[:, j]])


def _stored(state):
    """Fitted attributes of a model as `AtomClassifier.save` writes it, checked."""
    n = len(FEATURES)
    shapes = {"coef": (n + n * (n + 1) // 2,), "mean": (n,), "scale": (n,), "n_columns": (2,)}
    fitted = {"classes_": np.array([False, True])}
    for name, shape in (shapes | {"intercept": ()}).items():
        values = np.array(state[name], dtype=object)  # any content, also rows of unequal length
        if values.shape != shape or not all(map(_is_number, values.flat)):
            raise ValueError(f"{name} must be finite numbers of shape {shape}")
        fitted[f"{name}_"] = values.astype(np.int64 if name == "n_columns" else np.float64)
    if not (fitted["scale_"] > 0).all():
        raise ValueError("scale must be positive")
    return fitted | {"intercept_": float(fitted["intercept_"])}


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < np.inf


def _features(atoms):
    missing = [name for name in FEATURES if name not in atoms]
    if missing:
        raise ValueError(
            f"The table has no column {missing[0]!r}. Use the table of AtomClassifier.find_atoms."
        )
    return atoms[list(FEATURES)].to_numpy(dtype=np.float64)
