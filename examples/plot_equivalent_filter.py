"""
What did the network look at?
=============================

Close to one noisy image, a denoiser is a linear filter: each denoised pixel is a weighted sum of
the counts. The weights are its gradient. We look at those of a filter that is linear anyway, and of
a network, at a column and in the vacuum.
"""

# %%
# A blur has the same weights everywhere
# --------------------------------------
#
# They are found by moving each pixel a little up and down, within a radius.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from temdenoise import LowPassDenoiser, SBDDenoiser, load_sample_movie
from temdenoise.inspection import equivalent_filter
from temdenoise.plotting import EquivalentFilterDisplay

movie = load_sample_movie()
counts, clean, pixel_size = movie.data[:1], movie.clean[:1], movie.pixel_size

blur = LowPassDenoiser(cutoff=0.025).fit(counts)
small = counts[:, 200:264, 200:264]
figure, ax = plt.subplots(layout="constrained")
display = EquivalentFilterDisplay.from_estimator(
    blur, small, (32, 32), radius=20, pixel_size=pixel_size, ax=ax
)
plt.show()

# %%
# Half the weight of a Gaussian blur lies within 1.18 of its standard deviations:

sigma = 1 / (2 * np.pi * blur.cutoff)
print(
    f"radius of half the weight: {display.result.radius(0.5):.1f} px, {1.18 * sigma:.1f} expected"
)

# %%
# A network looks for repetitions
# -------------------------------
#
# The gradient of a network is exact, from one pass forth and back through all that ``transform``
# does. At a column of platinum and in the vacuum:

network = SBDDenoiser.from_pretrained()
columns = movie.columns[0]
platinum = columns.loc[columns["element"] == "Pt", ["x", "y"]].to_numpy()
x, y = platinum[np.hypot(*(platinum - np.median(platinum, axis=0)).T).argmin()]
pixels = {"column": (round(y), round(x)), "vacuum": (60, 60)}
filters = {
    name: equivalent_filter(network, counts, pixel, transform_params={"pixel_size": pixel_size})
    for name, pixel in pixels.items()
}

figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
axes[0].imshow(clean[0], cmap="gray")
for name, (row, column) in pixels.items():
    axes[0].plot(column, row, "o", mfc="none", ms=9, label=name)
axes[0].legend()
axes[0].set_title("truth")
for ax, (name, result) in zip(axes[1:], filters.items(), strict=True):
    EquivalentFilterDisplay(result).plot(ax=ax)
    ax.set_title(name)
plt.show()

# %%
# In the crystal the network averages over the same place of other unit cells: the weights repeat
# with the lattice. In the vacuum there is nothing to repeat, and the weights are wide and flat.

pd.DataFrame(
    {
        name: {
            "denoised (counts/px)": result.value,
            "sum of weights": result.weights.sum(),
            "constant (counts/px)": result.constant,
            "half the weight within (px)": result.radius(0.5),
            "90 % within (px)": result.radius(0.9),
        }
        for name, result in filters.items()
    }
).round(3)

# %%
# The gradient holds for small changes. This network's first layer drops Fourier coefficients below
# a threshold: how the estimate would jump if one more came through is not in these weights.
