"""
Denoise a counted movie
=======================

A nanoparticle of platinum on ceria is filmed with less than one electron per pixel and frame.
Between the fourth frame and the fifth it loses a column of atoms. We bring the movie from counts to
atoms, once with each method, and look at how far the results can be trusted.
"""

# %%
# The counts
# ----------
#
# The movie comes with the package. It is simulated, so the rate behind the counts is known.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.model_selection import GridSearchCV

from temdenoise import (
    LowPassDenoiser,
    SBDDenoiser,
    WienerDenoiser,
    find_atoms,
    load_sample_movie,
    psnr,
    ssim,
)

movie = load_sample_movie()
counts, clean, pixel_size = movie.data, movie.clean, movie.pixel_size
print(f"{counts.shape} of {counts.dtype}, {pixel_size} pm per pixel")
print(
    f"{counts.mean():.2f} electrons per pixel; {(counts == 0).mean():.0%} of the pixels are empty"
)

# %%
# Three estimates
# ---------------
#
# A low-pass and an adaptive Wiener filter have one number to choose. We choose it as no experiment
# can, by the error against the truth of this very movie, so that they stand here at their best.

lowpass = GridSearchCV(LowPassDenoiser(), {"cutoff": [0.01, 0.014, 0.02, 0.028, 0.04]}, cv=2)
wiener = GridSearchCV(WienerDenoiser(), {"window_size": [9, 13, 19, 27, 39]}, cv=2)
for search in (lowpass, wiener):
    search.fit(counts, clean)
    print(type(search.estimator).__name__, search.best_params_)

# %%
# The network was trained on other simulated particles. All it knows of this movie is the pixel
# size.

network = SBDDenoiser.from_pretrained()
rates = {
    "low-pass": lowpass.best_estimator_.transform(counts),
    "Wiener": wiener.best_estimator_.transform(counts),
    "SBD": network.transform(counts, pixel_size=pixel_size),
}

# %%
# PSNR and SSIM against the truth, averaged over the frames:

noisy = counts.astype(np.float32)
table = pd.DataFrame(
    {
        name: {"PSNR (dB)": psnr(clean, rate).mean(), "SSIM": ssim(clean, rate).mean()}
        for name, rate in {"counts": noisy, **rates}.items()
    }
).transpose()
table.round(3)

# %%
# The particle in the first frame, all on one scale of grey:

figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
panels = {"counts": noisy, **rates, "truth": clean}
particle = np.s_[0, 60:316, 128:384]
low, high = np.percentile(clean[particle], [0.5, 99.5])
for ax, (name, images) in zip(axes.flat, panels.items(), strict=False):
    ax.imshow(images[particle], cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
for ax in axes.flat:
    ax.set_axis_off()
plt.show()

# %%
# What was left behind?
# ---------------------
#
# An experiment has no truth, but it has the counts. Where an estimate is right, the residual is
# shot noise and nothing else: its square over the estimate is 1 on average. Below 1, the estimate
# follows the noise. Above 1, it misses something; but next to shot noise all that can be missed is
# small, so the average is a weak test of that. It is better to look whether the residual has
# structure: here it is, in units of its standard deviation, averaged over the first four frames and
# a little blurred, so that what is the same in all of them stands out.


def residual(rate):
    """Residual over the standard deviation of the shot noise."""
    rate = np.maximum(rate, 0.01)  # an estimate may touch zero
    return (noisy - rate) / np.sqrt(rate)


figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, (name, rate) in zip(axes, rates.items(), strict=True):
    left = residual(rate)
    average = gaussian_filter(left[:4].mean(axis=0), 3)
    image = ax.imshow(average, cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    ax.set_title(f"{name}: mean square {np.mean(left**2):.3f}")
    ax.set_axis_off()
figure.colorbar(image, ax=axes, label="residual / noise", shrink=0.8)
plt.show()

# %%
# A lattice in the residual is a lattice that the estimate has lost.
#
# Atoms
# -----
#
# On the estimate, the columns of atoms are found as blobs. The true positions are known too: we
# take those of the platinum and ask how many of them have been found, within 62 pm.

tables = [find_atoms(rate, pixel_size=pixel_size) for rate in rates["SBD"]]


def distance_to_found(columns, found):
    """Distance in pixels from each true column to the nearest one found."""
    offsets = columns[["x", "y"]].to_numpy()[:, None] - found[["x", "y"]].to_numpy()
    return np.hypot(*np.moveaxis(offsets, -1, 0)).min(axis=1)


platinum = [columns[columns["element"] == "Pt"] for columns in movie.columns]
reach = 62 / pixel_size
pd.DataFrame(
    {
        "platinum columns": [len(columns) for columns in platinum],
        "of them found": [
            int((distance_to_found(columns, found) < reach).sum())
            for columns, found in zip(platinum, tables, strict=True)
        ],
    },
    index=pd.Index(range(len(tables)), name="frame"),
).transpose()

# %%
# The column that goes
# --------------------
#
# The true columns tell which one is lost. Before and after, with every column found in a circle,
# and the place in question in a square:

before, after = platinum[0], platinum[-1]
lost = before[distance_to_found(before, after) > reach]

figure, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
for ax, frame in zip(axes, (3, 4), strict=True):
    ax.imshow(rates["SBD"][frame], cmap="gray", vmin=low, vmax=high)
    found = tables[frame]
    ax.plot(found["x"], found["y"], "o", mfc="none", mec="tab:orange", ms=9)
    ax.plot(lost["x"], lost["y"], "s", mfc="none", mec="tab:cyan", ms=22, mew=2)
    ax.set(title=f"frame {frame}", xlim=(128, 384), ylim=(316, 60))
    ax.set_axis_off()
plt.show()

# %%
# A network that knows lattices may draw a column where one would fit. The counts owe nothing to any
# training: here they are averaged over a disk of half an Angstrom about that place, beside the
# estimate and the truth. One frame's counts hardly tell before from after; four frames together do
# better.

x, y = lost[["x", "y"]].to_numpy()[0]
rows, columns = np.indices(counts.shape[1:])
disk = np.hypot(columns - x, rows - y) < 50 / pixel_size
pd.DataFrame(
    {
        "estimate": [rate[disk].mean() for rate in rates["SBD"]],
        "counts": [frame[disk].mean() for frame in counts],
        "standard error of the counts": [
            np.sqrt(frame[disk].sum()) / disk.sum() for frame in counts
        ],
        "truth": [frame[disk].mean() for frame in clean],
    },
    index=pd.Index(range(len(counts)), name="frame"),
).transpose().round(2)
