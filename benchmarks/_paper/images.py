"""The regenerated set, what of it is trained and tested on, and its images on finer grids."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.model_selection import ShuffleSplit, StratifiedGroupKFold

from temdenoise.datasets import make_ptceo2

PIXEL_SIZE = 6.22  # pm, of the paper's frames
LEVEL = 0.45  # counts/px in vacuum of the paper's frames
# Side of the square tested on, in Angstrom: the images' 50 less a margin for the splines.
TEST_FIELD = 47.8
# Images of the set that the shipped general weights are trained on, so that none is tested on.
N_SHIPPED = 4800


@dataclass
class ImageSet:
    """Clean images, 0.45 counts/px in vacuum, whatever their grid."""

    data: np.ndarray  # (n, 256, 256), memory-mapped
    frame: pd.DataFrame
    pixel_size: float  # pm

    @property
    def models(self):
        """Which atoms an image shows; the set's own numbers tell tilts of the same atoms apart."""
        atoms = ["structure", "defect", "support", "thickness"]
        return self.frame.groupby(atoms, sort=True).ngroup().to_numpy()

    def rows(self, query):
        """Positions of the rows that a query of `pandas.DataFrame.query` selects."""
        return np.flatnonzero(self.frame.eval(query))


def load(args):
    """Open the set, or make it first."""
    sim = make_ptceo2(
        args.n_images, images_per_model=args.images_per_model or 21, preset=args.preset,
        out=args.images, n_jobs=args.n_jobs, device=args.device, verbose=True,
    )  # fmt: skip
    return ImageSet(np.asarray(sim.data), sim.frame, sim.pixel_size)


class Resampled:
    """The middle of the images on another grid, by splines, made when asked for.

    The splines lose nothing: to 100 dB the images are those simulated on that grid.

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
        self.factor = level / LEVEL
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
            image.astype(np.float64), [step] * 2, [first] * 2, (self.side,) * 2, mode="mirror"
        )
        return (np.maximum(fine, 0) * self.factor).astype(np.float32)


def shipped_rows(n_images):
    """Positions of the images that the shipped general weights are trained on, sorted."""
    return np.sort(np.random.RandomState(0).permutation(n_images)[:N_SHIPPED])


def split_white(images, *, split, seed, max_train, n_test):
    """Positions of the white-contrast images to train and to test on (Section 5.2).

    "images" holds out a tenth of the images whatever they show, as the paper does; "models" a tenth
    of the atomic models, of each structure alike. No image is tested on that the shipped general
    weights have been trained on; of the models held out they have seen other images.
    """
    white = images.rows("contrast == 'white'")
    models = images.models[white]
    rng = np.random.RandomState(seed)
    if split == "models":
        structures = images.frame["structure"].to_numpy()[white]
        splitter = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
        train, test = next(splitter.split(white, structures, models))
    else:
        train, test = next(ShuffleSplit(1, test_size=0.1, random_state=seed).split(white))
    if len(images.data) > N_SHIPPED:
        test = test[~np.isin(white[test], shipped_rows(len(images.data)))]
    train, test = rng.permutation(train)[:max_train], np.sort(rng.permutation(test)[:n_test])
    # Model by model, so that the last images, which validate, show atoms of their own.
    order = rng.permutation(models.max() + 1)[models[train]]
    return white[train[np.argsort(order, kind="stable")]], white[test]
