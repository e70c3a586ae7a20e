"""
One doubtful atom, from noisy frame to verdict
==============================================

Has the corner column of this particle gone, or is it still there? We follow it from the counts of
one frame to a verdict with a known rate of errors.
"""

# %%
# A frame, and what the network makes of it
# -----------------------------------------
#
# The movie comes with the package: Pt on CeO2 at less than one electron per pixel. From the fifth
# frame on, a corner column is gone. That is known, as the movie is simulated: it is the column of
# the first frame that the last one lacks. Each frame is denoised by itself.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from temdenoise import SBDDenoiser, find_atoms, load_sample_movie, thin_counts
from temdenoise.atoms import column_polarity, confirm_atoms
from temdenoise.plotting import AtomVerdictDisplay, LikelihoodMapDisplay

movie = load_sample_movie()
pixel_size = movie.pixel_size
first, last = movie.columns[0], movie.columns[-1]
distance, _ = cKDTree(last[["x", "y"]]).query(first[["x", "y"]])
corner = first.loc[distance.argmax(), ["x", "y"]].to_numpy(dtype=float)

denoiser = SBDDenoiser.from_pretrained()
denoised = denoiser.transform(movie.data, pixel_size=pixel_size)

# %%
# Before and after. The red ring is where the column is or was.


def show(ax, image, title, atoms=None):
    """Draw the surroundings of the corner."""
    x, y = corner
    ax.imshow(image, cmap="gray", vmax=3 if image.dtype == np.uint8 else None)
    ax.plot(x, y, "o", mfc="none", mec="tab:red", ms=26)
    if atoms is not None:
        ax.plot(atoms["x"], atoms["y"], "+", color="yellow")
    ax.set(xlim=(x - 80, x + 80), ylim=(y + 80, y - 80), xticks=[], yticks=[], title=title)


before, after = 3, 4
figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for row, frame in zip(axes, (before, after), strict=True):
    atoms = find_atoms(denoised[frame], pixel_size=pixel_size)
    show(row[0], movie.data[frame], f"counts, frame {frame + 1}")
    show(row[1], denoised[frame], "denoised, columns found", atoms)
    show(row[2], movie.clean[frame], "truth")
plt.show()

# %%
# The counts do not show it to the eye, and the denoised image draws what is likely on such a
# particle. So whether there is a spot in the ring says little, and no spot says little more.
#
# Two halves
# ----------
#
# The likelihood map of the paper asks, in a disk about each column: are the counts more likely with
# the mean of the denoised image, or with the level of the vacuum? But the network drew its columns
# from these very counts. Had it taken a chance gathering of electrons for a column, the gathering
# would then speak for that column.
#
# So split the electrons at random into two halves. If they are Poisson distributed the halves are
# independent of each other: one to draw columns from, the other to test them. Both are half as
# bright, and each shows what the other may not.

counts = movie.data[after]
halves = thin_counts(counts, random_state=0)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
for k, half in enumerate(halves):
    drawn = denoiser.transform(half[np.newaxis], pixel_size=pixel_size)[0]
    show(axes[2 * k], half, f"half {k + 1} of frame {after + 1}")
    atoms = find_atoms(drawn, pixel_size=pixel_size)
    show(axes[2 * k + 1], drawn, "denoised, columns found", atoms)
plt.show()

# %%
# The likelihood map, without the split and with it. The second is the honest one: where there is
# nothing, its ratio is above ``log(20)`` in less than one of twenty places.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
options = {"pixel_size": pixel_size, "transform_params": {"pixel_size": pixel_size}}
for ax, split in zip(axes, ({}, {"split": "thinning", "random_state": 0}), strict=True):
    display = LikelihoodMapDisplay.from_estimator(
        denoiser, counts[np.newaxis], ax=ax, **options, **split
    )
    ax.plot(*corner * pixel_size / 1000, "o", mfc="none", mec="black", ms=22)
    ax.set_title("tested on the other half" if split else "tested on the same counts")
plt.show()

# %%
# The verdict
# -----------
#
# `confirm_atoms` draws from each half and tests on the other, with weights that see a column on
# any slope of the background, where the disk of the map is blind to columns in dark surroundings.
# Then it keeps as many columns as it can while a share of at most ``fdr`` of them is false, on
# average over frames.

verdicts = confirm_atoms(denoiser, counts, fdr=0.05, pixel_size=pixel_size, random_state=0)
verdicts["verdict"].value_counts()

# %%

figure = plt.figure(figsize=(11, 5.2), layout="constrained")
AtomVerdictDisplay.from_predictions(
    counts, denoised[after], verdicts, pixel_size=pixel_size, figure=figure
)
plt.show()

# %%
# And the corner? What the table says of columns within 100 pm of it, in every frame. A frame
# without a row is one where no column was drawn there. The heights are in counts per pixel: as
# drawn, and as measured on counts that had no part in the drawing.


def at_corner(table):
    """Rows of the table that are the corner column."""
    near = np.hypot(table["x"] - corner[0], table["y"] - corner[1]) < 100 / pixel_size
    columns = ["frame", "in_frame", "n_halves", "height_drawn", "height_counted", "p_value"]
    return table.loc[near, [*columns, "q_value", "verdict"]].round(3)


frames = confirm_atoms(denoiser, movie.data, pixel_size=pixel_size, random_state=0)
at_corner(frames)

# %%
# Three atoms in a row are too little for the electrons of a single frame: they neither confirm the
# column where it is, nor refute it for certain where it is not. The test says so, instead of
# guessing.
#
# More electrons
# --------------
#
# Sums of Poisson counts are Poisson counts. Of four frames each, before and after:

sums = np.stack([movie.data[:4].sum(axis=0), movie.data[4:].sum(axis=0)])
together = confirm_atoms(denoiser, sums, pixel_size=pixel_size, random_state=0)
at_corner(together)

# %%

rows = plt.figure(figsize=(8, 10), layout="constrained").subfigures(2)
for k, title in enumerate(("frames 1 to 4", "frames 5 to 8")):
    estimate = denoiser.transform(sums[k : k + 1], pixel_size=pixel_size)[0]
    table = together[together["frame"] == k]
    display = AtomVerdictDisplay(sums[k], estimate, table).plot(rows[k])
    for ax in display.axes_:
        ax.plot(*corner, "o", mfc="none", mec="tab:red", ms=36)
        ax.set(xlim=(corner[0] - 80, corner[0] + 80), ylim=(corner[1] + 80, corner[1] - 80))
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    display.axes_[0].set_title(f"counts, sum of {title}")
plt.show()

# %%
# Were the verdicts right?
# ------------------------
#
# The truth is known here. Of all columns of the eight frames, those are false where the clean image
# has no maximum within 62 pm:

for frame, clean in enumerate(movie.clean):
    polarity = column_polarity(clean, pixel_size=pixel_size)
    maxima = find_atoms(
        clean, pixel_size=pixel_size, polarity=polarity, threshold=0.02, exclude_border=False
    )
    mine = frames["frame"] == frame
    distance, _ = cKDTree(maxima[["x", "y"]]).query(frames.loc[mine, ["x", "y"]])
    frames.loc[mine, "false"] = distance > 62 / pixel_size

frames.groupby("verdict", observed=False)["false"].agg(["size", "sum"])
