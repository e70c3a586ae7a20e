"""Black, intermediate or white: the contrast of an image's atom columns.

The rule compares the Ce and Pt columns in the bulk with their surroundings.

- white: both kinds stand out by at least 0.30 of the vacuum level, from the *brightest* direction
  around them: columns are separate white dots;
- black: neither kind is brighter than the *mean* around it by 0.05 of the vacuum level;
- intermediate: all other images. One kind is black and the other white, or columns are hardly
  separated, because their contrast is weak or a tilt elongates them.

The paper's classes (Appendix A.2) are a judgement by eye that depends only on thickness, tilt and
defocus: two models of one condition never have different labels in the published lists. Here a
condition has the class of one reference image, PtNp1-D0 on a flat support. The two levels were
chosen so that the shares of the classes agree with the lists.
"""

from importlib.resources import files

import numpy as np
from scipy.ndimage import map_coordinates

CONTRASTS = ("black", "intermediate", "white")
WHITE_LEVEL, BLACK_LEVEL = 0.30, 0.05  # of the vacuum level
_CORE, _RING = 0.25, 1.1  # Angstrom: less than half the distance of two Pt columns
_TABLE = files(__package__).joinpath("data", "ptceo2_contrast.csv")


def column_contrast(image, columns, pixel_size, element):
    """Contrast of the bulk columns of an element with their surroundings.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Clean image, vacuum 1.
    columns : pandas.DataFrame
        True columns of the image, x and y in pixels, with element and surface label.
    pixel_size : float
        pm.
    element : str
        "Ce" or "Pt".

    Returns
    -------
    mean, least : float
        Mean of all columns within 0.25 Angstrom of their centre, minus the mean on a ring of 1.1
        Angstrom, and minus the brightest direction on this ring. NaN if the image holds no such
        column.
    """
    table = columns[(columns["element"] == element) & ~columns["surface"]]
    to_pixels = 100 / pixel_size
    reach = 1.5 * to_pixels
    inside = table["x"].between(reach, image.shape[1] - 1 - reach)
    inside &= table["y"].between(reach, image.shape[0] - 1 - reach)
    xy = table.loc[inside, ["x", "y"]].to_numpy()
    if not len(xy):
        return np.nan, np.nan
    angle = 2 * np.pi * np.arange(24) / 24
    directions = np.stack([np.cos(angle), np.sin(angle)], 1) * to_pixels
    offsets = np.concatenate([[[0, 0]], _CORE * directions, _RING * directions])
    points = (xy[:, None] + offsets).reshape(-1, 2)
    levels = map_coordinates(image, points.T[::-1], order=3, mode="nearest")
    levels = levels.reshape(len(xy), -1).mean(axis=0)
    core, ring = (levels[0] + levels[1:25].mean()) / 2, levels[25:]
    return float(core - ring.mean()), float(core - ring.max())


def image_contrast(image, columns, pixel_size):
    """Class of one clean image (vacuum 1) by the rule above: one of `CONTRASTS`."""
    measured = [column_contrast(image, columns, pixel_size, e) for e in ("Ce", "Pt")]
    mean, least = np.array([m for m in measured if not np.isnan(m[0])]).reshape(-1, 2).T
    if not len(mean):
        raise ValueError("The image shows no Ce or Pt column in the bulk: it has no contrast.")
    if (mean < BLACK_LEVEL).all():
        return "black"
    return "white" if (least >= WHITE_LEVEL).all() else "intermediate"


def condition_contrast(frame):
    """Class of the condition of each row: thickness, tilt_x, tilt_y, defocus.

    The sign of a tilt does not matter: a rotation by 180 degrees about the beam leaves the bulk of
    either crystal unchanged and reverses the tilt. None if the table does not hold the condition.
    """
    table = {}
    for line in _TABLE.read_text(encoding="utf-8").split()[1:]:
        thickness, tilt_x, tilt_y, letters = line.split(",")
        for defocus, letter in enumerate(letters):
            name = next(c for c in CONTRASTS if c[0] == letter)
            table[float(thickness), float(tilt_x), float(tilt_y), float(defocus)] = name
    tilts = frame["tilt_x"].abs(), frame["tilt_y"].abs()
    keys = zip(frame["thickness"], *tilts, frame["defocus"], strict=True)
    return np.array([table.get(key) for key in keys], dtype=object)
