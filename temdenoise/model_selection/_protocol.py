"""The experiment of the paper's Table 5.1: images, held-out images, noise, scores.

``benchmarks/paper_tables.py`` trains and tunes on the images that are not held out. `benchmark`
uses a denoiser as it is.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.model_selection import ShuffleSplit, StratifiedGroupKFold

from temdenoise.images import ImageStack
from temdenoise.metrics._scoring import denoise, image_scores
from temdenoise.metrics.image_quality import psnr, ssim
from temdenoise.noise import PoissonNoise

PIXEL_SIZE = 6.22  # pm, of the paper's frames
LEVEL = 0.45  # counts/px in vacuum of the paper's frames
# Side of the test square, in Angstrom: the 50 of the images minus a margin for the splines.
TEST_FIELD = 47.8
# Images of the set on which the shipped general weights are trained. They are not test images.
N_SHIPPED = 4800


@dataclass
class ImageSet:
    """Clean images, 0.45 counts/px in vacuum on any grid."""

    data: np.ndarray  # (n, 256, 256), may be memory-mapped
    frame: pd.DataFrame
    pixel_size: float  # pm

    @property
    def models(self):
        """Number of the atoms in each image; tilts of the same atoms have the same number."""
        atoms = ["structure", "defect", "support", "thickness"]
        return self.frame.groupby(atoms, sort=True).ngroup().to_numpy()

    def rows(self, query):
        """Positions of the rows that a query of `pandas.DataFrame.query` selects."""
        return np.flatnonzero(self.frame.eval(query))


class Resampled:
    """The middle of the images on another grid, by splines, computed when it is used.

    The splines lose nothing: the images agree to 100 dB with images simulated on that grid.

    Parameters
    ----------
    images : ImageSet
    pixel_size : float
        pm.
    level : float
        Counts per (new) pixel in vacuum.
    """

    def __init__(self, images, pixel_size=PIXEL_SIZE, level=LEVEL):
        self.images = images
        self.pixel_size = pixel_size
        self.level = level
        self.side = int(100 * TEST_FIELD / pixel_size)

    def __len__(self):
        return len(self.images.data)

    def __getitem__(self, indices):
        return np.stack([self._one(self.images.data[i]) for i in indices])

    def _one(self, image):
        # The first pixel of all grids is at the same place.
        step = self.pixel_size / self.images.pixel_size
        whole = round(len(image) / step)
        first = step * ((whole - self.side) // 2)
        fine = ndimage.affine_transform(
            np.asarray(image, dtype=np.float64),
            [step] * 2,
            [first] * 2,
            (self.side,) * 2,
            mode="mirror",
        )
        return (np.maximum(fine, 0) * (self.level / LEVEL)).astype(np.float32)


def shipped_rows(n_images):
    """Sorted positions of the images on which the shipped general weights are trained."""
    return np.sort(np.random.RandomState(0).permutation(n_images)[:N_SHIPPED])


def split_white(images, *, split, seed, max_train, n_test):
    """Positions of the white-contrast images for training and for test (Section 5.2).

    "images" holds out a tenth of the images at random, as the paper does. "models" holds out a
    tenth of the atomic models, equally from each structure. The shipped general weights were not
    trained on any test image, but on other images of the held-out models.
    """
    white = images.rows("contrast == 'white'")
    models = images.models[white]
    n_images = len(images.frame)
    rng = np.random.RandomState(seed)
    if split == "models":
        structures = images.frame["structure"].to_numpy()[white]
        splitter = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
        train, test = next(splitter.split(white, structures, models))
    else:
        train, test = next(ShuffleSplit(1, test_size=0.1, random_state=seed).split(white))
    if n_images > N_SHIPPED:
        test = test[~np.isin(white[test], shipped_rows(n_images))]
    train, test = rng.permutation(train)[:max_train], np.sort(rng.permutation(test)[:n_test])
    # Images are sorted by model, so that the last images, for validation, show other atoms.
    order = rng.permutation(models.max() + 1)[models[train]]
    return white[train[np.argsort(order, kind="stable")]], white[test]


def score_rows(
    denoiser, test, numbers, seed, *, transform_params=None, tell_pixel_size=False, progress=None
):
    """PSNR and SSIM, scaled to a vacuum of 0.45 for any dose; the noise is always the same.

    Parameters
    ----------
    denoiser : fitted denoiser or None
        None: the raw counts.
    test : Resampled
    numbers : dict of int to int
        Position of an image in `test` -> its number in the whole set, the seed of its noise.
    seed : int
    transform_params : dict, optional
        Keywords of ``transform``.
    tell_pixel_size : bool, default=False
        Give the denoiser images that know their pixel size.
    progress : callable, optional
        Called after each image.

    Returns
    -------
    scores : pandas.DataFrame
        One row per image: psnr (dB), ssim, seconds (of ``transform``).
    """
    peak = {"data_range": test.level / LEVEL}
    metrics = {"psnr": partial(psnr, **peak), "ssim": partial(ssim, **peak)}
    rows = []
    for position, number in numbers.items():
        clean = test[[position]]
        noisy = PoissonNoise().sample(clean, random_state=(seed + int(number)) % 2**32)
        seen = ImageStack(noisy, test.pixel_size) if tell_pixel_size else noisy
        start = time.perf_counter()
        denoised = noisy if denoiser is None else denoise(denoiser, seen, transform_params or {})
        seconds = time.perf_counter() - start
        scores = {
            name: float(image_scores(metric, clean, denoised)[0])
            for name, metric in metrics.items()
        }
        rows.append(scores | {"seconds": seconds})
        if progress is not None:
            progress()
    return pd.DataFrame(rows)
