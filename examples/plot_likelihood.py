"""
Is this atom in the counts?
===========================

A network that knows lattices may draw a column where one would fit. The likelihood map asks the
counts: is an atom there more likely than vacuum? We draw it for a frame of less than one electron
per pixel, check it against the truth, which is known here, and look at its limits.
"""

# %%
# From counts to a map
# --------------------
#
# The movie comes with the package. The network is told the pixel size, and so is the search for
# atoms.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from temdenoise import SBDDenoiser, find_atoms, load_sample_movie
from temdenoise.inspection import column_intensities, likelihood_map
from temdenoise.plotting import LikelihoodMapDisplay, ProfileDisplay

movie = load_sample_movie()
counts, pixel_size = movie.data[:4], movie.pixel_size
denoised = SBDDenoiser.from_pretrained().transform(counts, pixel_size=pixel_size)

# %%
# In each disk the image is taken to be one constant: the mean of the denoised image, or the level
# of the vacuum, which is measured on the counts far from all atoms. Red disks are more likely
# atoms, blue ones more likely vacuum; so is the vacuum itself.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
scale = pixel_size / 1000
axes[0].imshow(counts[0], cmap="gray", vmax=3, extent=np.array([-0.5, 511.5, 511.5, -0.5]) * scale)
axes[0].set(xlabel="x (nm)", ylabel="y (nm)", title="counts")
display = LikelihoodMapDisplay.from_predictions(
    counts[0], denoised[0], pixel_size=pixel_size, ax=axes[1]
)
axes[1].set_title("denoised, likelihood map")
plt.show()

# %%
# The numbers behind it, the most doubtful atoms first:

result = display.result
print(f"vacuum: {result.vacuum_level:.3f} counts/px")
columns = ["x", "y", "n_pixels", "counts", "rate", "log_ratio", "log_ratio_per_pixel"]
result.atoms.sort_values("log_ratio")[columns].head(8).round(3)

# %%
# True and false
# --------------
#
# The true columns are known. We look for weaker blobs than `find_atoms` does by itself, so that the
# doubtful ones are among them. Of all that is found in four frames, what has no true column within
# 62 pm is a phantom, or a maximum of a fringe.

ratios = {True: [], False: []}
for frame, rate, truth in zip(counts, denoised, movie.columns, strict=False):
    atoms = find_atoms(rate, pixel_size=pixel_size, threshold=0.03)
    atoms = likelihood_map(frame, rate, atoms=atoms, pixel_size=pixel_size).atoms
    distance, _ = cKDTree(truth[["x", "y"]]).query(atoms[["x", "y"]])
    for known in ratios:
        ratios[known].extend(atoms["log_ratio"][(distance < 62 / pixel_size) == known])

figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.boxplot([ratios[False], ratios[True]], whis=(0, 100), widths=0.6)
ax.set_xticks([1, 2], [f"no column\n({len(ratios[False])})", f"column\n({len(ratios[True])})"])
ax.set_ylabel("log-likelihood ratio of atom over vacuum (nats)")
ax.axhline(0, color="0.7", linewidth=1, zorder=0)
plt.show()

# %%
# A value is no verdict: the disks were chosen on the very counts they are tested on, which favours
# "atom", and a column whose dark surroundings lower the mean of its disk can hardly be told from
# vacuum. Compare values within an image.
#
# The mean of the movie
# ---------------------
#
# While nothing moves, the mean of many frames of counts is an estimate that owes nothing to any
# network. Here is a row of the particle's columns, in four frames:

platinum = movie.columns[0].query("element == 'Pt'")
row = platinum[np.abs(platinum["y"] - platinum["y"].median()) < 8].sort_values("x")
start = (row["x"].iloc[0] - 30, row["y"].mean())
end = (row["x"].iloc[-1] + 30, row["y"].mean())
figure, ax = plt.subplots(layout="constrained")
ProfileDisplay.from_predictions(counts, denoised, start, end, step=4, pixel_size=pixel_size, ax=ax)
plt.show()

# %%
# And each of its columns, in a disk of half an Angstrom: the mean of the counts with its standard
# error, and the mean of the denoised frames with their scatter, all in counts per pixel.

table = column_intensities(counts, denoised, row, radius=50 / pixel_size)
table[["x", "y", "movie", "movie_error", "denoised", "denoised_spread"]].round(3)
