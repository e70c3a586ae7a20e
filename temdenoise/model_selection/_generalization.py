"""Generalisation of a denoiser to images that differ from the training images."""

import hashlib
import json
import os
import re
import time
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from tqdm.auto import tqdm

from temdenoise._files import replacing
from temdenoise._validation import check_images
from temdenoise.images import pixel_size_of
from temdenoise.metrics._scoring import with_pixel_size
from temdenoise.metrics.scorers import make_denoising_scorer, psnr_scorer
from temdenoise.noise import PoissonNoise, draw_noise

# Parameters of estimators that do not change the result of training.
_IRRELEVANT = ("checkpoint_file", "device", "n_jobs", "verbose")


@validate_params(
    {
        "estimator": [HasMethods(["fit", "transform"])],
        "n_per_group": [
            StrOptions({"equal"}), None, Interval(Integral, 1, None, closed="left")
        ],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "n_test_per_group": [None, Interval(Integral, 1, None, closed="left")],
        "noise": [None, HasMethods("sample")],
        "scoring": [None, StrOptions({"psnr", "ssim"}), callable],
        "fit_params": [None, dict],
        "transform_params": [None, dict],
        "random_state": ["random_state"],
        "out": [None, str, os.PathLike],
        "return_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)  # fmt: skip
def generalization_matrix(
    estimator,
    images,
    groups,
    *,
    models=None,
    n_per_group="equal",
    test_size=0.1,
    n_test_per_group=None,
    test_images=None,
    noise=None,
    scoring=None,
    fit_params=None,
    transform_params=None,
    random_state=0,
    out=None,
    return_estimators=False,
    n_jobs=None,
    verbose=False,
):
    """Train on each group of images and test on each, to see whether a denoiser generalises.

    This is the experiment of Section 5.1 and Figure 5.1 of "Deep denoising for scientific
    discovery: a case study in electron microscopy" (Mohan et al., arXiv:2010.12970), where the
    groups are contrast, structure or defect. All rows are trained on the same number of images. No
    image (and no model, if `models` is given) is used both for training and for test. All rows are
    tested on the same noise.

    Parameters
    ----------
    estimator : denoiser
        Its ``fit`` takes clean images, like that of `SBDDenoiser`. A clone is fitted per group.
    images : array of shape (n_images, height, width)
        Clean images in counts per pixel; may be memory-mapped. If they know their pixel size
        (`temdenoise.ImageStack`), the images for `fit` and `transform` know it too.
    groups : array-like of shape (n_images,)
        Group of each image.
    models : array-like of shape (n_images,), optional
        Model of each image, such as its atomic structure. All images of a model are either for
        training or held out, also if they belong to several groups. By default each image is its
        own model.
    n_per_group : "equal", int or None, default="equal"
        Number of training images, drawn at random from those of the group that are not held out.
        "equal": the number that the smallest group has. None: all.
    test_size : float, default=0.1
        Share of the models held out, at least one of each kind with two or more models. Models are
        of one kind if their images belong to the same groups.
    n_test_per_group : int, optional
        Largest number of held-out images of a group to test on, drawn at random. By default all.
    test_images : sequence of n_images images, optional
        The same images on another grid for the test. Indexed with an integer array.
    noise : object with a method ``sample``, optional
        Noise of the test images, as for `temdenoise.metrics.make_denoising_scorer`. By default
        `PoissonNoise`, in counts per pixel.
    scoring : {"psnr", "ssim"} or callable, optional
        ``scoring(estimator, noisy, clean, **transform_params)`` returns a float, or a dict of
        floats. The first one is in the matrix. By default PSNR in dB.
    fit_params, transform_params : dict, optional
        Keywords of ``fit`` and ``transform``, such as ``{"pixel_size": 19.53}`` (pm).
    random_state : int, RandomState instance or None, default=0
        Determines the held-out models, the drawn images, and the noise.
    out : str or path-like, optional
        Folder for each finished row, and for the checkpoint of the row in training if the estimator
        has a parameter ``checkpoint_file``. After any interruption the same call continues. Needs
        an integer `random_state`.
    return_estimators : bool, default=False
        Return the fitted estimators too. With `out`, rows that were finished before are fitted
        again, from their checkpoint if there is one.
    n_jobs : int, optional
        Number of groups trained at the same time, in processes, as in joblib.
    verbose : bool, default=False
        Show a progress bar over the groups.

    Returns
    -------
    sklearn.utils.Bunch
        - matrix : pandas.DataFrame; rows: training groups, columns: test groups; means over images
        - matrices : dict of str to DataFrame; one per metric if there are several
        - fit_seconds : pandas.Series; duration of each training
        - n_train, n_test : pandas.Series; numbers of training and test images of each group
        - train_indices, test_indices : dict of label to array; their indices
        - estimators : dict of label to fitted estimator; only with `return_estimators`

    Raises
    ------
    ValueError
        If lengths differ, a label is missing, there are fewer than two groups, a group has no image
        for training or test, or fewer images than `n_per_group`; or if `out` was begun with other
        arguments.
    FileExistsError
        If `out` exists and was not made by this function.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise import LowPassDenoiser
    >>> from temdenoise.model_selection import generalization_matrix
    >>> clean = np.random.default_rng(0).uniform(0.4, 0.5, (8, 32, 32))
    >>> result = generalization_matrix(LowPassDenoiser(), clean, list("aaaabbbb"))
    >>> result.matrix.shape, result.n_train.tolist()
    ((2, 2), [3, 3])
    """
    images = as_stack(images)
    groups = as_labels("groups", groups, len(images))
    models = np.arange(len(images)) if models is None else as_labels("models", models, len(images))
    if test_images is None:
        test_images = images
    elif len(test_images) != len(images):
        raise ValueError(
            f"test_images must be the images on another grid: {len(images)} are needed, got "
            f"{len(test_images)}."
        )
    labels = np.unique(groups).tolist()
    if len(labels) < 2:
        raise ValueError(f"groups holds only {labels}, but two groups or more are needed.")
    rng = check_random_state(random_state)
    held_out = _hold_out(groups, models, test_size, rng)
    train = _draw_training(groups, labels, held_out, n_per_group, rng)
    test = _draw_test(groups, labels, held_out, n_test_per_group, rng)
    seeds = [int(s) for s in rng.randint(2**31 - 1, size=len(labels))]
    if not callable(scoring):
        scoring = psnr_scorer if scoring is None else make_denoising_scorer(scoring)
    noise = PoissonNoise() if noise is None else noise
    plan = _Plan(estimator, scoring, noise, fit_params or {}, transform_params or {}, test, seeds)

    folder = None
    if out is not None:
        if not isinstance(random_state, Integral):
            raise ValueError(f"out needs an integer random_state, got {random_state!r}.")
        folder = _open_folder(out, plan.settings(images, labels, train))
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    rows = parallel(
        delayed(_run_row)(plan, images, test_images, k, train[k], folder, return_estimators)
        for k in range(len(labels))
    )
    bar = tqdm(rows, desc="groups trained", total=len(labels), disable=not verbose)
    results = {k: (row, fitted) for k, row, fitted in bar}
    return _collect(results, labels, train, test, return_estimators)


def as_stack(images):
    """Images with few checks: they may be too many to read, and `fit` and metrics check them."""
    if not hasattr(images, "ndim"):
        images = np.asarray(images)
    if images.ndim != 3 or not len(images):
        check_images(images, name="images")  # raises the error
    return images


def as_labels(name, labels, n):
    labels = pd.Series(np.asarray(labels).ravel() if np.ndim(labels) == 1 else [])
    if len(labels) != n:
        raise ValueError(f"{name} must hold one label for each of the {n} images.")
    if labels.isna().any():
        where = int(labels.isna().to_numpy().argmax())
        raise ValueError(f"{name}[{where}] is missing. Leave out images without a label.")
    return labels.to_numpy()


def _hold_out(groups, models, test_size, rng):
    """Mark the images whose model is held out, a share of each kind of model."""
    table = pd.DataFrame({"group": groups, "model": models})
    kinds = table.groupby("model", sort=True)["group"].agg(lambda g: str(sorted(set(g))))
    chosen = []
    for _, members in kinds.groupby(kinds, sort=True):
        if len(members) > 1:  # the only model of a kind is for training
            n = min(max(1, round(test_size * len(members))), len(members) - 1)
            chosen.extend(rng.permutation(members.index.to_numpy())[:n])
    return np.isin(models, chosen)


def _draw_training(groups, labels, held_out, n_per_group, rng):
    available = [np.flatnonzero((groups == label) & ~held_out) for label in labels]
    for label, indices in zip(labels, available, strict=True):
        wanted = n_per_group if isinstance(n_per_group, Integral) else 1
        if len(indices) < wanted:
            raise ValueError(
                f"Group {label!r} has {len(indices)} images that are not held out, but {wanted} "
                "are needed. Lower test_size or n_per_group, or leave the group out."
            )
    if n_per_group is None:
        return available
    n = min(map(len, available)) if n_per_group == "equal" else int(n_per_group)
    # images keep their order, so that neighbours of a defocus series stay together for validation
    return [np.sort(rng.permutation(indices)[:n]) for indices in available]


def _draw_test(groups, labels, held_out, limit, rng):
    drawn = []
    for label in labels:
        indices = np.flatnonzero((groups == label) & held_out)
        if not len(indices):
            raise ValueError(
                f"No image of group {label!r} is held out, because its models are the only ones of "
                "their kind. The group needs two or more."
            )
        drawn.append(np.sort(rng.permutation(indices)[:limit]))
    return drawn


class _Plan:
    """Data and settings of all rows."""

    def __init__(self, estimator, scorer, noise, fit_params, transform_params, test, seeds):
        self.estimator = estimator
        self.scorer = scorer
        self.noise = noise
        self.fit_params = fit_params
        self.transform_params = transform_params
        self.test = test
        self.seeds = seeds

    def score(self, fitted, test_images):
        """Scores on each group, a dict of metric to list."""
        scores = {}
        for indices, seed in zip(self.test, self.seeds, strict=True):
            clean = check_images(test_images[indices], name="test_images")
            noisy, clean = draw_noise(self.noise, clean, seed)
            noisy = with_pixel_size(noisy, pixel_size_of(test_images))
            values = self.scorer(fitted, noisy, clean, **self.transform_params)
            for name, value in values.items() if isinstance(values, dict) else [("score", values)]:
                scores.setdefault(name, []).append(float(value))
        return scores

    def settings(self, images, labels, train):
        """Collect the settings that must be the same to continue a folder."""
        parameters = self.estimator.get_params(deep=True)
        digest = hashlib.sha256(repr(images.shape).encode())
        for indices in [*train, *self.test]:
            digest.update(np.ascontiguousarray(indices, dtype=np.int64))
        for k in np.linspace(0, len(images) - 1, min(len(images), 64)).astype(int):
            digest.update(np.ascontiguousarray(images[k]))
        return {
            "estimator": type(self.estimator).__name__,
            "parameters": {k: _plain(v) for k, v in parameters.items() if k not in _IRRELEVANT},
            "groups": [str(label) for label in labels],
            "images": digest.hexdigest(),
            "pixel_size": pixel_size_of(images),
            "noise": _plain(self.noise),
            "scoring": _plain(self.scorer),
            "fit_params": _plain(self.fit_params),
            "transform_params": _plain(self.transform_params),
            "seeds": self.seeds,
        }


def _plain(value):
    """Representation of a value without addresses in memory, the same in every process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _open_folder(out, settings):
    folder = Path(out)
    note = folder / "settings.json"
    if not note.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} exists, but holds no results: give another path.")
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(note, settings)
        return folder
    known = json.loads(note.read_text(encoding="utf-8"))
    changed = [name for name, value in settings.items() if known.get(name) != value]
    if changed:
        raise ValueError(
            f"{folder} was begun with other {', '.join(changed)}: give another path, or remove it "
            "to start anew."
        )
    return folder


def _write_json(path, value):
    with replacing(path) as file:
        file.write(json.dumps(value, indent=1).encode())


def _run_row(plan, images, test_images, k, indices, folder, keep):
    """Train on one group and test on all groups, or read the result from the folder."""
    path = None if folder is None else folder / f"row_{k}.json"
    done = path is not None and path.exists()
    row = json.loads(path.read_text(encoding="utf-8")) if done else None
    if done and not keep:
        return k, row, None
    fitted = clone(plan.estimator)
    checkpoint = None
    if folder is not None and "checkpoint_file" in fitted.get_params(deep=False):
        checkpoint = folder / f"row_{k}.checkpoint"
        fitted.set_params(checkpoint_file=str(checkpoint))
    start = time.perf_counter()
    clean = with_pixel_size(np.asarray(images[indices]), pixel_size_of(images))
    _fit_whole(fitted, clean, plan.fit_params)
    seconds = time.perf_counter() - start
    if not done:
        row = {"scores": plan.score(fitted, test_images), "fit_seconds": seconds}
        if path is not None:
            _write_json(path, row)
    if checkpoint is not None and not keep:
        checkpoint.unlink(missing_ok=True)
    return k, row, fitted if keep else None


def _fit_whole(estimator, clean, fit_params):
    """Fit, and let Ctrl-C end the experiment; a network alone would return its weights so far."""
    message = "Training was interrupted"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=message)
        try:
            estimator.fit(clean, **fit_params)
        except UserWarning as warning:
            if message not in str(warning):
                raise
            raise KeyboardInterrupt from warning


def _collect(results, labels, train, test, return_estimators):
    index = pd.Index(labels, name="trained on")
    columns = pd.Index(labels, name="tested on")
    rows = [results[k][0] for k in range(len(labels))]
    matrices = {
        name: pd.DataFrame([row["scores"][name] for row in rows], index=index, columns=columns)
        for name in rows[0]["scores"]
    }
    bunch = Bunch(
        matrix=next(iter(matrices.values())),
        matrices=matrices,
        fit_seconds=pd.Series([row["fit_seconds"] for row in rows], index=index),
        n_train=pd.Series([len(indices) for indices in train], index=index),
        n_test=pd.Series([len(indices) for indices in test], index=columns),
        train_indices=dict(zip(labels, train, strict=True)),
        test_indices=dict(zip(labels, test, strict=True)),
    )
    if return_estimators:
        bunch.estimators = {label: results[k][1] for k, label in enumerate(labels)}
    return bunch
