"""
Methods without ground truth, side by side
==========================================

Of a real specimen there is no clean image. Some methods learn from simulated images, others from
the noisy frames themselves, others do not learn at all. This page shows them on one frame of one
movie, as Figure 5.7 of the paper does.
"""

# %%
# The movie
# ---------
#
# Twenty frames of a platinum particle on ceria, with less than one electron per pixel. It drifts,
# the dose fluctuates, and for nine frames a column of the surface is missing. We look at the frame
# in the middle of that event.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from temdenoise import (
    AlignedSumDenoiser,
    BlindSpotDenoiser,
    LowPassDenoiser,
    SBDDenoiser,
    Self2SelfDenoiser,
    UDVDDenoiser,
    psnr,
)
from temdenoise.datasets import make_movie

movie = make_movie(
    n_frames=20,
    shape=320,
    structure="PtNp1",
    contrast="white",
    dose_fluctuation=0.05,
    events=[{"kind": "vanish", "first_frame": 6, "last_frame": 14, "x": 170, "y": 85}],
    random_state=3,
)
counts, frame = movie.data, 10
one = counts[frame : frame + 1]
print(f"{counts.shape}, {one.mean():.2f} electrons per pixel in frame {frame}")

# %%
# One frame and nothing else
# --------------------------
#
# A low-pass filter keeps what is coarse. Self2Self trains a network on the one frame: it leaves
# parts of the frame out and learns to fill them in.
#
# The networks of this page train for seconds, so that the page is built quickly. They are smaller
# than the defaults, and far from what they can do: each of them gains several dB with its default
# settings, which take minutes.

estimates = {"low-pass": LowPassDenoiser().fit(one).transform(one)[0]}

self2self = Self2SelfDenoiser(
    max_epochs=4,
    steps_per_epoch=55,
    batch_size=1,
    patch_size=160,
    optimizer="muon",
    learning_rate=3e-4,
    schedule="linear",
    n_predictions=20,
    random_state=0,
)
estimates["Self2Self"] = self2self.fit_transform(one)[0]

# %%
# All frames of the movie
# -----------------------
#
# The blind-spot network learns from all frames, and denoises each by itself. UDVD sees the frame
# before and the one after as well.

short = {
    "base_channels": 16,
    "max_epochs": 7,
    "steps_per_epoch": 10,
    "batch_size": 2,
    "random_state": 0,
}
blind_spot = BlindSpotDenoiser(**short).fit(counts)
estimates["blind-spot"] = blind_spot.transform(one)[0]

udvd = UDVDDenoiser(**short).fit(counts)
estimates["UDVD"] = udvd.transform(counts[frame - 1 : frame + 2])[1]

# %%
# Simulations
# -----------
#
# The network of simulation-based denoising (SBD) comes trained. It saw particles like this one, in
# simulated images, but no frame of this movie. It can also denoise the sum of neighbouring frames.

estimates["SBD"] = SBDDenoiser.from_pretrained().transform(one)[0]

near = counts[frame - 2 : frame + 3]
estimates["sum of 5, SBD"] = AlignedSumDenoiser(n_frames=5).fit(near).transform(near)[2]

# %%
# Side by side
# ------------
#
# All on one scale of grey, with the PSNR against the truth of this frame. Below each image is the
# place in the square, where the column is missing.

truth = movie.clean[frame]
panels = {"counts": one[0], **estimates, "truth": truth}
titles = {name: f"{name}\n{psnr(truth, image):.1f} dB" for name, image in panels.items()}
titles["truth"] = "truth\n"

event = movie.events.iloc[0]
moved = movie.drift[frame] - movie.drift[int(event["first_frame"])]
x, y = event["x"] + moved[1], event["y"] + moved[0]
half = 62
low, high = truth.min(), truth.max()

figure, axes = plt.subplots(4, 4, figsize=(9.6, 10.6), layout="constrained")
whole, zoom = axes[::2].ravel(), axes[1::2].ravel()
for (name, image), top, bottom in zip(panels.items(), whole, zoom, strict=True):
    for ax in (top, bottom):
        ax.imshow(image, cmap="gray", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])
    top.set_title(titles[name])
    top.add_patch(
        Rectangle((x - half, y - half), 2 * half, 2 * half, fill=False, ec="tab:cyan", lw=1.5)
    )
    bottom.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
    for spine in bottom.spines.values():
        spine.set(color="tab:cyan", linewidth=1.5)
length = 0.5e3 / movie.pixel_size  # half a nanometre
whole[-1].plot([20, 20 + length], [302, 302], color="white", lw=5)
box = {"fc": "white", "ec": "none", "pad": 1.5}
whole[-1].text(20 + length / 2, 284, "0.5 nm", ha="center", fontsize="small", bbox=box)
plt.show()

# %%
# What each of them used, and how much of the missing column it drew: 0 % is the truth, 100 % is as
# bright there as in the frames where the column stands. Below 0 % it is darker than the truth.

learned = {
    "low-pass": "nothing",
    "Self2Self": "this frame",
    "blind-spot": "all frames",
    "UDVD": "all frames",
    "SBD": "simulations",
    "sum of 5, SBD": "simulations",
}
seen = {"UDVD": 3, "sum of 5, SBD": 5}


def brightness(image, x, y):
    """Mean of a disk of half an Angstrom in counts per pixel."""
    rows, columns = np.indices(image.shape)
    return image[np.hypot(columns - x, rows - y) < 50 / movie.pixel_size].mean()


before = int(event["first_frame"]) - 1
moved = movie.drift[before] - movie.drift[frame]
stands = brightness(movie.clean[before] / movie.dose[before], x + moved[1], y + moved[0])
stands *= movie.dose[frame]
gone = brightness(truth, x, y)
drawn = {name: (brightness(estimates[name], x, y) - gone) / (stands - gone) for name in learned}

pd.DataFrame(
    {
        "learned from": learned,
        "frames seen for one estimate": {name: seen.get(name, 1) for name in learned},
        "PSNR (dB)": {name: round(float(psnr(truth, estimates[name])), 2) for name in learned},
        "missing column drawn": {name: f"{share:.0%}" for name, share in drawn.items()},
    }
)

# %%
# PSNR and the last column tell different stories. By PSNR, methods that know more do better here,
# as the simulations fit: the weights have seen such particles under such a microscope. But what one
# frame does not show, they fill in with what is likely, and a whole surface is likely. PSNR hardly
# notices a single column.
#
# More frames hold more electrons, which speak against what is merely likely
# (:ref:`sphx_glr_auto_examples_plot_movie_events.py`). Where the simulations do not fit, knowledge
# is a danger (:ref:`sphx_glr_auto_examples_plot_streaks.py`), and the frames themselves teach
# better, alone or by adaptation of trained weights
# (:ref:`sphx_glr_auto_examples_plot_adapt.py`). Whether a column is there is a question of its own
# (:ref:`sphx_glr_auto_examples_plot_confirm_atoms.py`).
