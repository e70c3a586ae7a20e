"""
Is it shot noise?
=================

Denoising of counts rests on one assumption: a pixel's value is a number of electrons, and scatters
about its mean as the Poisson law says. Before anything else we ask whether a movie keeps to it, and
what to do where it does not.
"""

# %%
# A counted movie
# ---------------
#
# The movie in the package is counted. The analysis needs nothing but the frames.

import matplotlib.pyplot as plt
import numpy as np

from temdenoise import PoissonGaussianNoise, analyze_noise, load_sample_movie, to_counts
from temdenoise.plotting import NoiseAnalysisDisplay

movie = load_sample_movie()
found = analyze_noise(movie.data)
print(found.summary())

# %%
# On the left, the variance of the noise over its mean: each point stands for pixels of one
# brightness. Counts lie on the line through the origin with slope one. On the right, the values in
# the flattest part of the image, the vacuum, beside a Poisson law of the same mean.

figure = plt.figure(figsize=(9, 3.8), layout="constrained")
NoiseAnalysisDisplay(found).plot(figure)
plt.show()

# %%
# The vacuum was found as the flattest rectangle:

rows, columns = np.nonzero(found.vacuum)
figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.imshow(movie.data.mean(axis=0), cmap="gray")
corner = columns.min(), rows.min()
size = np.ptp(columns), np.ptp(rows)
ax.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor="tab:red", linewidth=2))
ax.set_axis_off()
plt.show()

# %%
# The same scene with an ordinary camera
# --------------------------------------
#
# Now ten times the electrons, on a camera that stores 7.3 units for each, adds 200 of its own,
# and read noise of 15. Its values are whole numbers too, so a look at the file tells nothing.

camera = PoissonGaussianNoise(gain=7.3, offset=200.0, read_noise=15.0, random_state=0)
stored = np.rint(camera.sample(10 * movie.clean)).astype(np.int16)
analysis = analyze_noise(stored)
print(analysis.summary())

# %%
# The slope is the gain. The points do not point to the origin, but to the offset:

figure = plt.figure(figsize=(9, 3.8), layout="constrained")
NoiseAnalysisDisplay(analysis).plot(figure)
plt.show()

# %%
# Back to electrons
# -----------------
#
# With gain and offset the values become electrons, whose noise a method for counts understands.
# The true number is known here:

electrons, noise = to_counts(stored, return_noise=True)
print(f"measured: gain {noise.gain_:.2f}, offset {noise.offset_:.0f}, read {noise.read_noise_:.0f}")
print(f"electrons per pixel: {electrons.mean():.2f}, in truth {10 * movie.clean.mean():.2f}")

# %%
# When it cannot be done
# ----------------------
#
# One even brightness makes a point, not a line. Then the gain is refused rather than guessed:

empty = camera.sample(np.full((4, 128, 128), 4.5), random_state=1)
try:
    to_counts(empty)
except ValueError as error:
    print(error)

# %%
# A known offset and read noise, say from a frame taken without beam, make up for it: they are
# the second point of the line.

counts, noise = to_counts(empty, offset=200.0, read_noise=15.0, return_noise=True)
print(f"gain {noise.gain_:.2f}, {counts.mean():.2f} electrons per pixel")
