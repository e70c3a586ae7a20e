"""
A word of caution: streaks that nobody sees
===========================================

A network that learned from simulations knows what it was shown. Given something else, it draws what
it knows. The result looks as clean as ever, and can be wrong. This page shows such a case, as
Figure 5.9 of the paper does, and how it is found out without a clean image.
"""

# %%
# Frames unlike the training
# --------------------------
#
# The package has two sets of weights. Those named "white" learned from images of one kind alone,
# with white columns of atoms; "general" learned from all kinds of contrast and many microscopes:

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from temdenoise import SBDDenoiser, psnr, thin_counts
from temdenoise.datasets import make_movie
from temdenoise.metrics import unbiased_mse
from temdenoise.plotting import ProfileDisplay

SBDDenoiser.list_pretrained()[["description", "dose"]]

# %%
# We record a particle on a thicker support, on the other side of focus. Its columns are dark.

movie = make_movie(
    n_frames=8,
    shape=320,
    structure="PtNp1",
    thickness=80.0,
    defocus=-10.0,
    drift=0.0,
    events=0,
    random_state=1,
)
counts, clean = movie.data, movie.clean
denoisers = {name: SBDDenoiser.from_pretrained(name) for name in ("white", "general")}
rates = {name: denoiser.transform(counts) for name, denoiser in denoisers.items()}

# %%
# One frame, on one scale of grey, and below it the difference to the truth:

low, high = clean[0].min(), clean[0].max()
limit = (high - low) / 2

figure, axes = plt.subplots(2, 4, figsize=(11, 5.4), layout="constrained")
panels = {"counts": counts[0], '"white"': rates["white"][0], '"general"': rates["general"][0]}
for ax, (name, image) in zip(axes[0], (panels | {"truth": clean[0]}).items(), strict=True):
    grey = ax.imshow(image, cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
for ax, (name, rate) in zip(axes[1, 1:3], rates.items(), strict=True):
    colour = ax.imshow(rate[0] - clean[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(f'"{name}" less truth')
for ax in axes.flat:
    ax.set_axis_off()
for image, place in ((grey, axes[1, 0]), (colour, axes[1, 3])):
    figure.colorbar(image, cax=place.inset_axes([0.4, 0.1, 0.08, 0.8]), label="counts/px")
plt.show()

# %%
# The lattice of columns has become streaks. Whoever has not seen the truth sees smooth stripes with
# a clear direction, and might write about them.
#
# In Fourier space
# ----------------
#
# A lattice of columns needs reflections in two directions. These are the amplitudes within the
# particle, averaged over the frames:

bulk = np.s_[:, 60:220, 30:230]
rows, columns = np.ogrid[-1:1:160j, -1:1:200j]
window = np.cos(rows * np.pi / 2) ** 2 * np.cos(columns * np.pi / 2) ** 2


def amplitude(images):
    """Mean amplitude of the Fourier transform of the bulk, low frequencies only."""
    part = np.asarray(images)[bulk]
    part = (part - part.mean(axis=(1, 2), keepdims=True)) * window
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(part, (512, 512)), axes=(1, 2))).mean(axis=0)
    return spectrum[212:300, 212:300]


spectra = {f'"{name}"': amplitude(rate) for name, rate in rates.items()}
spectra["truth"] = amplitude(clean)
reach = 100 * 44 / 512 / movie.pixel_size  # 1/Angstrom

figure, axes = plt.subplots(1, 3, figsize=(9, 3.9), layout="constrained")
for ax, (name, spectrum) in zip(axes, spectra.items(), strict=True):
    ax.imshow(
        spectrum, cmap="magma", vmax=spectra["truth"].max(), extent=(-reach, reach, reach, -reach)
    )
    ax.set(title=name, xlabel="1/Å", yticks=[])
plt.show()

# %%
# No sign of it
# -------------
#
# Can the error be seen in the estimate? The contrast of the estimate says little, and neither does
# the residual: its mean square over that of shot noise is close to 1 for both, as all that was
# missed is small beside the shot noise.

frames = np.asarray(counts, dtype=np.float32)
pd.DataFrame(
    {
        name: {
            "contrast (standard deviation over mean)": rate.std() / rate.mean(),
            "mean square of residual / noise": np.mean((frames - rate) ** 2 / rate),
            "PSNR (dB), which no experiment knows": psnr(clean, rate).mean(),
        }
        for name, rate in rates.items()
    }
).round(3)

# %%
# What the held-out electrons say
# -------------------------------
#
# A tenth of the electrons is split off at random. They are independent of the rest, which is
# denoised. `unbiased_mse` estimates the squared error from them, in (counts per pixel)\ :sup:`2`:

seen, held_out = thin_counts(counts, 0.9, random_state=0)
predicted = {name: denoiser.transform(seen) / 9 for name, denoiser in denoisers.items()}


def shot_noise(rate, held_out):
    """Standard error of the squared error that comes from the held-out electrons."""
    other = np.asarray(held_out, dtype=np.float64)
    squares = (rate - other) ** 2 - other
    return squares.std() / np.sqrt(squares.size) / 0.1**2


errors = pd.DataFrame(
    {
        name: {
            "from held-out electrons": unbiased_mse(rate, held_out).mean() / 0.1**2,
            "standard error": shot_noise(rate, held_out),
            "true": np.mean((rate / 0.1 - clean) ** 2),
        }
        for name, rate in predicted.items()
    }
)
errors.round(5)

# %%
# By itself each number scatters far more than what it is to tell. Their difference scatters less,
# since most of the noise is the same for both. With its standard error it is a test:

other = np.asarray(held_out, dtype=np.float64)
squares = [(predicted[name] - other) ** 2 for name in ("white", "general")]
difference = np.asarray(squares[0] - squares[1]) / 0.1**2
mean, error = difference.mean(), difference.std() / np.sqrt(difference.size)
print(f'error of "white" less that of "general": {mean:.5f} +- {error:.5f}')
print(f"that is {mean / error:.1f} standard errors")
print(f"true difference: {errors.loc['true', 'white'] - errors.loc['true', 'general']:.5f}")

# %%
# Far above two standard errors: these frames are not what "white" is for. The test compares two
# denoisers; it does not say that the better one is right.
#
# Frames together
# ---------------
#
# Where the scene keeps still, the mean of the frames is another witness. Along a row of columns,
# the mean counts are held against the denoised frames:

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (name, rate) in zip(axes, rates.items(), strict=True):
    ProfileDisplay.from_predictions(counts, rate, (15, 145), (245, 145), ax=ax)
    ax.set(title=f'"{name}"', ylim=(0.1, 1.0))
plt.show()

# %%
# So: take weights whose training holds the like of your frames ("general" is the default), test
# them on electrons that they have not seen, and adapt them to the movie where they do not fit
# (:ref:`sphx_glr_auto_examples_plot_adapt.py`).
