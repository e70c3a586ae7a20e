"""
How many frames does a network need?
====================================

A blind-spot network learns from noisy frames alone. Here it is trained on few frames and on many,
as in Figure 5.8 of the paper. We also look at what happens when it trains too long on two frames.
"""

# %%
# The movie
# ---------

import matplotlib.pyplot as plt
import pandas as pd

from temdenoise import BlindSpotDenoiser, SBDDenoiser, psnr
from temdenoise.datasets import make_movie

movie = make_movie(
    n_frames=40, shape=192, structure="PtNp1", contrast="white", events=0, random_state=3
)
counts = movie.data

# %%
# Training
# --------
#
# All networks train for the same number of steps. They are small, the frames too, and the steps are
# few, so that the page is built quickly. A full training takes a few minutes and gains several dB,
# above all with many frames. Each network is judged on the first two frames, which were part of
# every training.


def small_network(**options):
    """Make a blind-spot network that trains in seconds."""
    return BlindSpotDenoiser(
        base_channels=12,
        max_epochs=15,
        steps_per_epoch=8,
        batch_size=2,
        patch_size=160,
        learning_rate=4e-3,
        random_state=0,
        **options,
    )


def score(denoiser):
    """Mean PSNR (dB) of the first two frames."""
    return psnr(movie.clean[:2], denoiser.transform(counts[:2])).mean()


networks = {n: small_network().fit(counts[:n]) for n in (2, 5, 12, 40)}
scores = pd.Series({n: score(network) for n, network in networks.items()}, name="PSNR (dB)")
scores.rename_axis("frames").to_frame().round(2)

# %%
# The network of simulation-based denoising (SBD) needs no frame of the movie. It is the dashed
# line.

sbd = score(SBDDenoiser.from_pretrained())

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.plot(scores.index, scores, "o-", label="blind-spot, trained on the frames")
ax.axhline(sbd, color="black", ls="--", label="SBD, trained on simulations")
ax.set(xscale="log", xlabel="frames in training", ylabel="PSNR of two frames (dB)")
ax.set_xticks(list(scores.index), [str(n) for n in scores.index])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# More frames hold more electrons, and a network that must explain them all cannot remember the
# noise of each. The curve flattens where the small network and its few steps are what limits it,
# not the frames. Frames are cheap in most experiments: give the network all that show the same
# kind of scene.
#
# What the frames were good for, in the first of them:

panels = {f"{n} frames": network.transform(counts[:1])[0] for n, network in networks.items()}
panels = {"counts": counts[0], **panels, "truth": movie.clean[0]}
low, high = movie.clean[0].min(), movie.clean[0].max()

figure, axes = plt.subplots(2, 3, figsize=(8, 5.8), layout="constrained")
for ax, (name, image) in zip(axes.flat, panels.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
    ax.set_axis_off()
plt.show()

# %%
# Too long on few frames
# ----------------------
#
# Two frames are soon learnt by heart. A blind-spot network does not see the electrons of the bin
# that it estimates, but it can recognise the noise around it. So a tenth of the electrons takes no
# part in the training (of ten frames and more: some whole frames), and the loss on them tells when
# to stop. The weights with the lowest loss are kept.

few, many = networks[2].history_, networks[40].history_

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
for ax, history, title in zip(axes, (few, many), ("2 frames", "40 frames"), strict=True):
    loss = [row["held_out_loss"] for row in history]
    best = min(range(len(loss)), key=loss.__getitem__)
    ax.plot(range(1, len(loss) + 1), loss, ".-")
    ax.plot(best + 1, loss[best], "o", mfc="none", mec="tab:red", ms=12, label="kept")
    ax.set(title=f"trained on {title}", xlabel="epoch", ylabel="loss on what is held out")
    ax.legend()
plt.show()

# %%
# With ``held_out=None`` nothing is held out, and the last weights are kept, whatever they remember:

forgetful = pd.Series(
    {
        "best weights on held-out electrons": scores[2],
        "last weights (held_out=None)": score(small_network(held_out=None).fit(counts[:2])),
    },
    name="PSNR (dB), trained on 2 frames",
)
forgetful.to_frame().round(2)

# %%
# On very few frames weights that were trained before are the better start:
# :ref:`sphx_glr_auto_examples_plot_adapt.py`.
