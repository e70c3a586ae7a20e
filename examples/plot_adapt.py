"""
Adapt trained weights to a movie
================================

Trained weights know the microscopes and specimens of their simulations. Where yours differ, the
frames themselves can teach the network the rest: `SBDDenoiser.adapt` trains it further, on the
electrons of the movie, without any clean image. It keeps what it learned only if electrons that it
has not seen agree.
"""

# %%
# A movie that the weights do not fit
# -----------------------------------
#
# We simulate a microscope with residual aberrations that nobody has measured. The weights "general"
# have seen others like it, but not this one.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from temdenoise import SBDDenoiser, psnr
from temdenoise.datasets import make_movie

movie = make_movie(
    n_frames=8, shape=256, structure="PtNp1", optics="varied", events=0, random_state=0
)
counts, clean = movie.data, movie.clean
general = SBDDenoiser.from_pretrained()
before = general.transform(counts)

# %%
# Adaptation
# ----------
#
# At every step the electrons are split anew at random. The network predicts the one part from the
# other, so that it cannot gain by remembering noise. A tenth of the electrons takes no part. The
# default is 70 steps; half of them are enough to see the effect.

adapted = general.adapt(counts, n_steps=35, max_minutes=5, random_state=0)
after = adapted.transform(counts)
print(f"PSNR before: {psnr(clean, before).mean():.2f} dB")
print(f"PSNR after:  {psnr(clean, after).mean():.2f} dB")

# %%
# One frame, on one scale of grey, and the differences to the truth, on one scale of colour:

low, high = np.percentile(clean[0], [0.1, 99.9])
limit = (high - low) / 3
panels = {"counts": counts[0], "before": before[0], "after": after[0], "truth": clean[0]}

figure, axes = plt.subplots(2, 4, figsize=(10.4, 5.4), layout="constrained")
for ax, (name, image) in zip(axes[0], panels.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
for ax, name in zip(axes[1, 1:3], ("before", "after"), strict=True):
    colour = ax.imshow(panels[name] - clean[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(f"{name}, less truth")
for ax in axes.flat:
    ax.set_axis_off()
bar = axes[1, 3].inset_axes([0.05, 0.1, 0.08, 0.8])
figure.colorbar(colour, cax=bar, label="counts/px")
plt.show()

# %%
# Adapted weights are saved and loaded like others:

with tempfile.TemporaryDirectory() as folder:
    adapted.save_pretrained(Path(folder, "my-movie"))
    again = SBDDenoiser.from_pretrained(Path(folder, "my-movie"))
print("same estimate:", np.array_equal(again.transform(counts[:1]), after[:1]))

# %%
# When there is nothing to gain
# -----------------------------
#
# The weights "white" were trained for particles of white contrast, in the paper's microscope. On
# just such a movie they are at home, and a few frames can hardly teach them more. The warning
# says so, and the original weights are kept.

usual = make_movie(
    n_frames=4, shape=256, structure="PtNp1", contrast="white", events=0, random_state=1
)
white = SBDDenoiser.from_pretrained("white")
kept = white.adapt(usual.data, n_steps=7, max_minutes=5, random_state=0)
same = np.array_equal(kept.transform(usual.data), white.transform(usual.data))
print("accepted:", kept.adaptation_.accepted, "- the estimate is the same as before:", same)

# %%
# ``adaptation_`` says how it was decided. The squared error after the adaptation, less that before,
# is measured on the held-out electrons, and must lie below zero by 1.645 standard errors. That is
# what chance reaches once in twenty times where nothing was gained.

adaptations = {"other microscope": adapted.adaptation_, "at home": kept.adaptation_}
pd.DataFrame.from_dict(
    {
        name: {
            "difference (1e-4 counts²/px²)": 1e4 * one.difference,
            "standard error": 1e4 * one.standard_error,
            "in standard errors": one.difference / one.standard_error,
            "accepted": one.accepted,
        }
        for name, one in adaptations.items()
    },
    orient="index",
).round(2)

# %%
# The bars are the 1.645 standard errors. The cross is the true difference, which an experiment
# does not know.

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for row, (name, one) in enumerate(adaptations.items()):
    colour = "tab:green" if one.accepted else "tab:gray"
    label = f"{name}: " + ("accepted" if one.accepted else "not accepted")
    middle, bar = 1e4 * one.difference, 1.645e4 * one.standard_error
    ax.errorbar(middle, row, xerr=bar, fmt="o", color=colour, capsize=4)
    ax.annotate(label, (middle, row), (0, 10), textcoords="offset points", ha="center")
true = np.mean((after - clean) ** 2) - np.mean((before - clean) ** 2)
ax.plot(1e4 * true, 0, "x", color="black", ms=9)
ax.axvline(0, color="black", lw=0.8)
ax.set(xlabel="squared error, after less before (1e-4 counts²/px²)", yticks=[], ylim=(-0.5, 1.7))
plt.show()

# %%
# Why not keep whatever comes out? A short training on few electrons moves the weights a little at
# random. Without the test nobody would know whether that was a gain or a loss. With more frames, or
# more steps, a smaller gain can be told from chance: try again then.
