"""Trainings so small that tests can afford them."""

import os
import signal

import numpy as np
from conftest import lattice_images

from temdenoise import SBDDenoiser
from temdenoise.images import ImageStack
from temdenoise.training.net import DenoisingNet

# A bin of the default network is one pixel of this size.
PIXEL_SIZE = 24.9

TINY = {
    "training_pixel_size": PIXEL_SIZE,
    "n_scales": 2,
    "base_channels": 4,
    "patch_size": 24 * 25,
    "batch_size": 2,
    "steps_per_epoch": 2,
    "max_epochs": 4,
    "orientations": 1,
    "precision": "float32",
    "device": "cpu",
    "random_state": 0,
}


def tiny(**options):
    return SBDDenoiser(**{**TINY, **options})


def lattices(n_images, height, width, *, pixel_size=PIXEL_SIZE, **options):
    """Clean images that know their pixel size."""
    return ImageStack(lattice_images(n_images, height, width, **options), pixel_size)


def noisy_of(clean, seed=0):
    """Counts of clean images, of the same pixel size."""
    counts = np.random.default_rng(seed).poisson(clean).astype(np.float32)
    return ImageStack(counts, clean.pixel_size)


def weights(denoiser):
    return {k: v.numpy() for k, v in denoiser.network_.state_dict().items()}


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def interrupt_after(n, monkeypatch, name="train_step"):
    """Press Ctrl-C after n steps of training or validation."""
    step = getattr(DenoisingNet, name)
    count = iter(range(10**6))

    def interrupted(self, *args, **kwargs):
        if next(count) == n:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(DenoisingNet, name, interrupted)
