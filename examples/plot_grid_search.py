"""
Choose parameters with GridSearchCV
===================================

Which parameters suit images that are not here yet? scikit-learn's answer is cross-validation, and
every denoiser takes part in it. What matters is what is held out: here whole structures, so that
each score is that of a particle of a size the method was not tuned on.
"""

# %%
# Clean images of three particles
# -------------------------------
#
# We simulate four images of each: 1 nm, 2 nm and 3 nm of platinum on ceria, at the pixel size of
# the frames to denoise. (Many more would be made at the coarser grid that `make_ptceo2` uses by
# default.)

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from temdenoise import LowPassDenoiser, PoissonNoise, SBDDenoiser, WienerDenoiser, make_ptceo2

PIXEL_SIZE = 6.22  # pm
names = ["PtNp3", "PtNp1", "PtNp4"]
parts = [
    make_ptceo2(4, images_per_model=2, structure=name, pixel_size=PIXEL_SIZE, random_state=seed)
    for seed, name in enumerate(names)
]
clean = np.concatenate([part.data for part in parts])
groups = np.concatenate([part.groups for part in parts])
print(clean.shape, clean.dtype)

# %%

noisy = PoissonNoise(random_state=0).sample(clean)
figure, axes = plt.subplots(2, 3, figsize=(8, 5.6), layout="constrained")
for column, name in zip(axes.T, names, strict=True):
    first = np.flatnonzero(groups == name)[0]
    for ax, image in zip(column, (clean[first], noisy[first]), strict=True):
        ax.imshow(image, cmap="gray", vmin=0.1, vmax=1.1)
        ax.set_axis_off()
    column[0].set_title(name)
plt.show()

# %%
# Filters
# -------
#
# Clean images are all a search needs: the score of every denoiser draws the noise by itself, with a
# fixed seed, so that all candidates meet the same noise. The structures are the groups.

searches = {
    "low-pass": GridSearchCV(
        LowPassDenoiser(), {"cutoff": [0.01, 0.015, 0.02, 0.03, 0.04]}, cv=LeaveOneGroupOut()
    ),
    "Wiener": GridSearchCV(
        WienerDenoiser(), {"window_size": [9, 13, 19, 27, 39]}, cv=LeaveOneGroupOut()
    ),
}

# %%
# A network
# ---------
#
# Networks are tuned alike. This one is far smaller than the default, and trained for seconds: what
# is asked is whether more training pays, and training it here must not take an afternoon. With
# ``random_state`` it comes out the same every time.

tiny = SBDDenoiser(
    base_channels=8,
    scales=3,
    pixel_size=PIXEL_SIZE,
    patch_size=400,
    batch_size=4,
    steps_per_epoch=10,
    device="cpu",
    random_state=0,
)
searches["small SBD"] = GridSearchCV(tiny, {"max_epochs": [1, 5]}, cv=LeaveOneGroupOut())

for search in searches.values():
    search.fit(clean, groups=groups)

# %%
# The scores
# ----------
#
# Mean PSNR over the held-out structures, for each candidate:

rows = []
for name, search in searches.items():
    results = search.cv_results_
    for params, mean in zip(results["params"], results["mean_test_score"], strict=True):
        ((parameter, value),) = params.items()
        rows.append((name, parameter, value, mean))
scores = pd.DataFrame(rows, columns=["method", "parameter", "value", "PSNR (dB)"])
scores.round({"PSNR (dB)": 2})

# %%
# Left, the tuning curves of the filters; right, each method's best candidate on each structure
# while it was held out.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained", sharey=True)
for ax, name in zip(axes[:2], ["low-pass", "Wiener"], strict=True):
    curve = scores[scores["method"] == name]
    ax.plot(curve["value"], curve["PSNR (dB)"], "o-")
    ax.set(title=name, xlabel=curve["parameter"].iloc[0])
axes[0].set_ylabel("PSNR (dB)")

# LeaveOneGroupOut holds the groups out in sorted order.
held_out = sorted(names)
for name, search in searches.items():
    results = [search.cv_results_[f"split{k}_test_score"] for k in range(len(held_out))]
    axes[2].plot(held_out, [split[search.best_index_] for split in results], "o-", label=name)
axes[2].set(title="best candidates", xlabel="held-out structure")
axes[2].legend()
plt.show()

# %%
# A search ends with the best candidate fitted to all images: ``search.best_estimator_`` is ready
# for those to come.

print(searches["small SBD"].best_estimator_.transform(noisy[:1]).shape)
