"""
Classical methods, tuned
========================

What can be had without training? Here are low-pass and Wiener filter, non-local means and block
matching (BM3D) on stabilised counts, wavelet thresholds of least estimated risk (PURE-LET), and the
windowed Fourier filter, each tuned on simulated images of other structures than the one it is then
shown.
"""

# %%
# Clean images of three particles
# -------------------------------
#
# At the pixel size and dose of the frames to denoise: 6.22 pm, 0.45 electrons per pixel in vacuum.
# The last structure is kept for the end.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from temdenoise import (
    BM3DDenoiser,
    LowPassDenoiser,
    NLMDenoiser,
    PoissonNoise,
    PURELETDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    make_ptceo2,
    psnr,
    ssim,
)

names = ["PtNp3", "PtNp1", "PtNp4"]
parts = [
    make_ptceo2(2, images_per_model=1, structure=name, pixel_size=6.22, random_state=seed)
    for seed, name in enumerate(names)
]
clean = np.concatenate([part.data[:, 200:600, 200:600] for part in parts[:2]])
groups = np.concatenate([part.groups for part in parts[:2]])
unseen = parts[2].data[:1, 200:600, 200:600]
noisy = PoissonNoise(random_state=0).sample(unseen)

# %%
# One search each
# ---------------
#
# Clean images are all a search needs: the score draws the noise. The parameters of the denoiser
# within `VSTDenoiser` are reached by ``denoiser__``.

candidates = {
    "low-pass": (LowPassDenoiser(), {"cutoff": [0.015, 0.02, 0.025, 0.03]}),
    "Wiener": (WienerDenoiser(), {"window_size": [13, 21, 31]}),
    "VST + NLM": (
        VSTDenoiser(denoiser=NLMDenoiser(), iterations=1),
        {"binning": [4, 6], "denoiser__h": [0.25, 0.4]},
    ),
    "VST + BM3D": (
        VSTDenoiser(denoiser=BM3DDenoiser(sigma=1.0, profile="crystal")),
        {"binning": [4, 6]},
    ),
    "PURE-LET": (PURELETDenoiser(), {"n_scales": [3, 4]}),
    "windowed Fourier": (WindowedFourierDenoiser(binning=4), {"mode": ["hard", "wiener"]}),
}
denoised = {}
for name, (denoiser, grid) in candidates.items():
    search = GridSearchCV(denoiser, grid, cv=LeaveOneGroupOut()).fit(clean, groups=groups)
    denoised[name] = search.transform(noisy)
    print(f"{name}: {search.best_score_:.1f} dB with {search.best_params_}")

# %%
# The structure that was kept
# ---------------------------

figure, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
images = {"noisy": noisy, **denoised, "clean": unseen}
for ax, (name, image) in zip(axes.flat, images.items(), strict=True):
    limits = {"vmin": 0, "vmax": 2} if name == "noisy" else {"vmin": 0.2, "vmax": 0.9}
    ax.imshow(image[0], cmap="gray", **limits)
    ax.set_axis_off()
    ax.set_title(
        name
        if name == "clean"
        else f"{name}\n{psnr(unseen, image)[0]:.1f} dB, SSIM {ssim(unseen, image)[0]:.2f}"
    )
plt.show()

# %%
# The windowed Fourier filter knows that crystals repeat, BM3D finds out that they do, and both are
# ahead of the others here. Look at the particle's surface to see the price: fringes that run a
# little too far.
#
# Why the way back matters
# ------------------------
#
# The Anscombe transform makes the noise of counts even, but it bends the scale. Squaring an average
# of transformed counts gives too low a rate; the exact unbiased inverse gives the right one.

from scipy import stats

from temdenoise.variance_stabilization import anscombe, inverse_anscombe

rates = np.geomspace(0.05, 20, 60)
k = np.arange(100)
mean = stats.poisson.pmf(k, rates[:, None]) @ anscombe(k)
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for method in ("exact_unbiased", "asymptotic", "algebraic"):
    bias = inverse_anscombe(mean, method=method) - rates
    ax.semilogx(rates, bias, label=method.replace("_", " "))
ax.set(xlabel="rate (counts per pixel)", ylabel="bias (counts per pixel)")
ax.legend()
plt.show()
