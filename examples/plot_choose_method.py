"""
Choose a method without a clean image
=====================================

Nobody has the clean image of an experiment. Which filter, and how strong, is still a question that
the counts can answer: a part of the electrons is held out, the rest is denoised, and what was held
out tests the result. Here all of this is done on a movie whose truth is known, and the truth is
looked at only at the end.
"""

# %%
# The counts
# ----------
#
# Four frames of the movie that comes with the package, cut to the particle.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from temdenoise import LowPassDenoiser, SBDDenoiser, WindowedFourierDenoiser, load_sample_movie
from temdenoise.metrics import paired_risk, upsnr_scorer

movie = load_sample_movie()
cut = np.s_[:4, 60:316, 128:384]
counts, clean = movie.data[cut], movie.clean[cut]
print(f"{counts.shape}, {counts.mean():.2f} electrons per pixel, {counts.pixel_size} pm per pixel")

# %%
# Parameters of a filter
# ----------------------
#
# How much should a low-pass filter pass? ``upsnr_scorer`` holds out a tenth of the electrons, four
# times others, and returns the PSNR that it estimates from them. The search gets the counts alone.

cutoffs = [0.01, 0.014, 0.02, 0.028, 0.04]
search = GridSearchCV(LowPassDenoiser(), {"cutoff": cutoffs}, scoring=upsnr_scorer, cv=2)
search.fit(counts)
print(search.best_params_)

# %%
# Three methods
# -------------
#
# Now the best low-pass filter is compared with two methods that know more: one that looks for
# periods, and a network that has been trained on simulated particles. They are fitted, and
# `paired_risk` leaves them so.

methods = {
    "low-pass": search.best_estimator_,
    "windowed Fourier": WindowedFourierDenoiser().fit(counts),
    "SBD": SBDDenoiser.from_pretrained().set_params(orientations=1),
}
table = paired_risk(methods, counts, n_draws=3)
table.round(5)

# %%
# The first two columns are the squared error of each method and its standard error, in (counts per
# pixel)**2. Four frames hold too few electrons to know it: the standard error is as large as the
# error itself. Were this all, nobody could tell the methods apart.
#
# But the shot noise of the electrons held out is the same for all methods. It is gone from the
# difference to the first method, whose own standard error is the fourth column. ``z`` is the ratio
# of the two: beyond 2 or 3 the difference is no accident.

figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for ax, column, rows in zip(axes, ["risk", "difference"], [table, table[1:]], strict=True):
    bars = 1.96 * 1000 * rows[f"{column}_se"]
    ax.errorbar(1000 * rows[column], rows.index, xerr=bars, fmt="o", capsize=4)
    ax.axvline(0, color="gray", lw=1)
    ax.margins(y=0.3)
axes[0].set(xlabel="squared error / 0.001", title="errors")
axes[1].set(xlabel="difference to the low-pass / 0.001", title="differences")
plt.show()

# %%
# The bars are intervals of 95 %. Note the scales: the differences are known far better.
#
# The truth
# ---------
#
# This movie is simulated, so the true errors are known. They are for all the electrons, the
# estimates for nine tenths of them; this is why they are not quite the same.

errors = {
    name: np.mean((np.asarray(method.transform(counts)) - clean) ** 2)
    for name, method in methods.items()
}
truth = pd.DataFrame({"estimated difference": table["difference"], "true error": errors})
truth["true difference"] = truth["true error"] - truth["true error"]["low-pass"]
truth.round(5)

# %%
# And the cutoffs, by the errors that the search could not know:

pd.DataFrame(
    {
        "estimated PSNR (dB)": search.cv_results_["mean_test_score"],
        "true PSNR (dB)": [
            -10 * np.log10(np.mean((LowPassDenoiser(cutoff=c).fit_transform(counts) - clean) ** 2))
            for c in cutoffs
        ],
    },
    index=pd.Index(cutoffs, name="cutoff"),
).round(2)

# %%
# A smaller error is a better image on average, and no promise about a single column of atoms: that
# is another question (:ref:`sphx_glr_auto_examples_plot_confirm_atoms.py`).
