"""
What was invented, by spatial frequency
=======================================

A denoised image looks sharp. How much of its fine detail is in the specimen, and how much is what
the method expects? The electrons tell, frequency by frequency. We ask them about three methods, on
frames of a platinum particle on ceria with less than one electron per pixel.
"""

# %%
# Three methods
# -------------
#
# The movie comes with the package. The network was trained on simulated particles. The windowed
# Fourier filter keeps what repeats, the low-pass filter keeps what is coarse.

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal.windows import tukey

from temdenoise import (
    LowPassDenoiser,
    SBDDenoiser,
    WindowedFourierDenoiser,
    load_sample_movie,
)
from temdenoise.inspection import frequency_report
from temdenoise.plotting import FrequencyDisplay

movie = load_sample_movie()
counts, clean = movie.data, movie.clean
methods = {
    "low-pass": LowPassDenoiser().fit(counts),
    "windowed Fourier": WindowedFourierDenoiser().fit(counts),
    "SBD": SBDDenoiser.from_pretrained(),
}

# %%
# Ask the electrons
# -----------------
#
# A tenth of the electrons is held out, ten times, each time others. The rest is denoised and
# compared with what was held out. No clean image is used.

reports = {name: frequency_report(method, counts) for name, method in methods.items()}

figure = plt.figure(figsize=(13, 6.4), layout="constrained")
for part, (name, report) in zip(figure.subfigures(1, 3), reports.items(), strict=True):
    FrequencyDisplay(report).plot(part, max_frequency=1.28)
    part.suptitle(name)
plt.show()

# %%
# Upper panels: two halves of the raw electrons hardly agree (grey). What the methods make of them
# correlates with the truth far better (blue). Where no power of a signal is found in the counts,
# nothing is said about the correlation.
#
# The green curve needs no power of the signal. It is the share of the power drawn that is in the
# electrons held out. At 1, all that is drawn is there. Above 1, there is more than is drawn. Near
# 0, what is drawn is not there.
#
# Lower panels: the gain (violet) is 1 where the estimate has the power of the truth. Beyond the
# dotted line the signal was taken away: the estimate was low-passed, and new electrons were drawn
# from it. What comes back beyond the line (red) is the method's own. With the low-pass filter all
# of it comes back, other each time: noise that is let through. With the network a fifth of it
# comes back, and most of that is drawn alike twice (orange): it knows which harmonics a lattice
# has, and draws them although only the coarse ones are left.
#
# Was it right?
# -------------
#
# The truth of this movie is known. Lines are the true correlations of the estimates, points with
# standard errors are what the reports say.


def spectrum(image):
    """Fourier transform under a window, without the mean."""
    edge = tukey(len(image), 0.25)
    window = np.outer(edge, edge)
    return np.fft.fft2(window * (image - np.average(image, weights=window)))


n = counts.shape[1]
cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
n_rings = len(reports["SBD"].frequency)
ring = np.minimum((2 * n_rings * cycles).astype(int), n_rings).ravel()
truth = [spectrum(image) for image in clean]

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for color, (name, method) in zip(("C1", "C2", "C0"), methods.items(), strict=True):
    denoised = [spectrum(image) for image in method.transform(counts)]
    pairs = [(denoised, truth), (denoised, denoised), (truth, truth)]
    cross, power, signal = (
        sum(np.bincount(ring, np.real(a * b.conj()).ravel()) for a, b in zip(*pair, strict=True))
        for pair in pairs
    )
    report = reports[name]
    true = (cross / np.sqrt(power * signal))[:n_rings]
    ax.plot(report.frequency, true, color=color, label=name)
    ax.errorbar(report.frequency, report.estimate, report.estimate_se, fmt="o", color=color)
ax.set(xlim=(0, 1), ylim=(0, 1.1), ylabel="correlation of estimate and truth")
ax.set_xlabel("spatial frequency (1/Å)")
ax.legend()
plt.show()

# %%
# Where the signal is lost in the noise of eight frames, there is no point. More frames say more:
# errors fall with the square root of their number. :doc:`/user_guide/inspection` says how many
# frames it takes to know the correlation at which frequency.
