"""
Which events of a movie survive denoising?
==========================================

Methods that use time take electrons from neighbouring frames. What lasts for a frame or two may be
averaged away. A column of the surface is missing here for one frame, for three, and for nine: which
of these events are left in the denoised movie?
"""

# %%
# A movie with three events
# -------------------------
#
# The movie is simulated, so that the rate behind the counts is known. The same column vanishes
# three times.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from temdenoise import AlignedSumDenoiser, SBDDenoiser, WindowedFourierDenoiser
from temdenoise.datasets import make_movie

durations = {1: (6, 6), 3: (14, 16), 9: (24, 32)}  # frames of each event, first and last
place = {"kind": "vanish", "x": 120, "y": 55}
movie = make_movie(
    n_frames=39,
    shape=224,
    structure="PtNp1",
    contrast="white",
    drift=0.3,
    events=[place | {"first_frame": a, "last_frame": b} for a, b in durations.values()],
    random_state=3,
)
counts, clean, pixel_size = movie.data, movie.clean, movie.pixel_size
movie.events[["kind", "first_frame", "last_frame", "x", "y", "occupancy"]].round(1)

# %%
# The rule of thumb
# -----------------
#
# An event changes the *c* counts of a window by a share *s*, in *m* of *n* frames that are summed.
# It stands out by ``s * sqrt(c * m * (n - m) / n)`` standard deviations. From about 4 on, the sum
# of frames keeps it (:doc:`/user_guide/time`). Here the window is as wide as an atom column,
# 125 pm, and the truth tells *c* and *s*.

event = movie.events.iloc[0]
start = movie.drift[int(event["first_frame"])]
x, y = (event[["x", "y"]].to_numpy(float)[:, None] + (movie.drift - start).T[::-1]).tolist()


def at_column(images, k):
    """Counts per pixel of frame k in a window about the column."""
    half = 62.5 / pixel_size
    rows, columns = np.indices(images[k].shape)
    window = (np.abs(columns - x[k]) < half) & (np.abs(rows - y[k]) < half)
    return images[k][window].mean()


def trace(images):
    """Counts per pixel at the column, frame by frame."""
    return np.array([at_column(images, k) for k in range(len(images))])


truth = trace(clean)
missing = np.zeros(len(counts), dtype=bool)
for first, last in durations.values():
    missing[first : last + 1] = True
there, gone = truth[~missing].mean(), truth[missing].mean()
c, s = there * (125 / pixel_size) ** 2, 1 - gone / there
print(f"c = {c:.0f} counts in a frame, s = {s:.0%}")


def stands_out(m, n):
    """Standard deviations by which an event of m frames stands out of the n frames about it."""
    m = min(m, n)
    return s * np.sqrt(c * m * (n - m) / n)


rule = pd.DataFrame(
    {f"sum of {n}": {f"{m} of n frames": stands_out(m, n) for m in durations} for n in (5, 9)}
)
rule.round(1)

# %%
# Where an event fills all frames of a sum there is nothing to tell apart, and nothing to lose: all
# frames that are summed agree. Zero stands there, and the event stays, but for its first and last
# frames.
#
# Four estimates
# --------------

single = SBDDenoiser.from_pretrained().transform(counts)
estimates = {"SBD, single frames": single}
for n in (5, 9):
    estimates[f"sum of {n}, SBD"] = AlignedSumDenoiser(n_frames=n).fit(counts).transform(counts)
fourier = WindowedFourierDenoiser(n_frames=9).fit(counts)
estimates["windowed Fourier, 9 frames"] = fourier.transform(counts)

# %%
# The column against time. Grey are the frames in which it is missing. Dots are the counts
# themselves, which owe nothing to any method; their bars are the standard errors.

measured = trace(counts)
error = np.sqrt(measured / (125 / pixel_size) ** 2)

figure, axes = plt.subplots(4, 1, figsize=(8.5, 9), sharex=True, sharey=True, layout="constrained")
for ax, (name, images) in zip(axes, estimates.items(), strict=True):
    for first, last in durations.values():
        ax.axvspan(first - 0.5, last + 0.5, color="0.88", lw=0)
    bars = {"fmt": ".", "color": "0.55", "elinewidth": 0.8}
    ax.errorbar(range(len(counts)), measured, error, label="counts", **bars)
    ax.step(range(len(truth)), truth, where="mid", color="black", label="truth")
    ax.plot(trace(images), "-", color="tab:red", lw=2, label="estimate")
    ax.set(title=name, ylabel="counts/px", xlim=(-0.5, len(counts) - 0.5))
axes[0].set_ylim(top=1.25 * there)
axes[0].legend(ncols=3, loc="upper right", fontsize="small")
axes[-1].set_xlabel("frame")
plt.show()

# %%
# The share of each event that is left, as a mean over its frames. The brightness of the column in
# the quiet frames is taken from the same estimate, so that a general error does not count. 100 % is
# the truth, 0 % shows no event. The last column is how much the column's brightness scatters from
# frame to frame where nothing happens: an event of that size may be noise.

quiet = ~missing
rows = {}
for name, images in {"counts": counts, **estimates}.items():
    brightness = trace(images)
    level = brightness[quiet].mean()
    rows[name] = {
        f"{m} of 39 frames": level - brightness[first : last + 1].mean()
        for m, (first, last) in durations.items()
    }
    rows[name]["scatter"] = brightness[quiet].std()
table = pd.DataFrame(rows).transpose() / (there - gone)
table.map("{:.0%}".format)

# %%
# The frames around the event of three frames, and what the methods make of them. The cyan frames
# are those without the column.

first, last = durations[3]
shown = range(first - 2, last + 3)
half = 40
panels = {"counts": counts, **estimates, "truth": clean}
low, high = np.percentile(clean[first], [0.5, 99.5])

figure, axes = plt.subplots(
    len(panels), len(shown), figsize=(9.6, 8.4), layout="constrained", squeeze=False
)
for row, (name, images) in zip(axes, panels.items(), strict=True):
    row[0].set_ylabel(name.replace(", ", ",\n"), fontsize=9)
    for ax, k in zip(row, shown, strict=True):
        ax.imshow(images[k], cmap="gray", vmin=low, vmax=high)
        ax.set(xlim=(x[k] - half, x[k] + half), ylim=(y[k] + half, y[k] - half))
        ax.set(xticks=[], yticks=[])
        if missing[k]:
            plt.setp(ax.spines.values(), color="tab:cyan", linewidth=2)
for ax, k in zip(axes[0], shown, strict=True):
    ax.set_title(f"frame {k}", fontsize=10)
plt.show()

# %%
# What to take from it
# --------------------
#
# - An event of one frame is about two standard deviations here. Sums of frames average it away. A
#   single frame may show it, but then it shows chance just as readily: the scatter says how
#   readily.
# - An event as long as the sum is kept in its middle. Near its beginning and its end some of the
#   frames that are summed are of the other kind: there it is as with short events.
# - In between, it depends on the electrons of these very frames. The rule gives what is found on
#   average, and chance adds or takes about one standard deviation.
# - The network looks at every single frame anew. In a long event it may draw the column in some
#   frames and leave it out in others.
# - Where neighbours are left out of a sum, its noise is higher, and the network may draw a spot
#   that the truth does not have.
# - The filter in time has no test: it smears what is shorter than its blocks.
#
# So look at the single frames too, and ask the counts whether a column is there
# (:ref:`sphx_glr_auto_examples_plot_confirm_atoms.py`).
