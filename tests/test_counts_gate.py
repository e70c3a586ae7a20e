"""Values that are no counts are noticed, and counts are left in peace."""

import warnings

import numpy as np
import pytest
from conftest import lattice_images
from temdenoise.noise._gain_hint import gain_hint

from temdenoise import (
    PURELETDenoiser,
    VSTDenoiser,
    WienerDenoiser,
    WindowedFourierDenoiser,
    to_counts,
)


def counts(level, shape=(2, 120, 130), seed=0, **keywords):
    clean = lattice_images(*shape, level=level, **keywords).astype(float)
    return np.random.default_rng(seed).poisson(clean)


@pytest.mark.parametrize("level", [0.02, 0.45, 5.0, 300.0])
@pytest.mark.parametrize("seed", range(3))
def test_counts_are_left_in_peace(level, seed):
    electrons = counts(level, seed=seed)
    for X in (electrons, electrons + 0.25, electrons + 0.05 * (-1) ** electrons, electrons * 0.0):
        assert gain_hint(X.astype(np.float32)) is None
    # as do clean images, single pixels, and images of one or two values
    clean = lattice_images(1, 90, 80, level=level, period=4.7)
    for X in (clean, clean[:, :1, :1], electrons[:, :1], 7.0 * (electrons > 0)):
        assert gain_hint(X.astype(np.float32)) is None


@pytest.mark.parametrize("level", [0.1, 0.45, 5.0])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 2 * x, "all 2 apart"),
        (lambda x: 17 * x + 100, "all 17 apart"),
        (lambda x: 12.5 * x, "all 12.5 apart"),
        (lambda x: x / 4, "all 0.25 apart"),
        (
            lambda x: 12.5 * x + 0.3 * np.random.default_rng(1).normal(size=x.shape) + 2,
            "not whole numbers, and scatter",
        ),
    ],
)
def test_a_gain_is_noticed(level, change, message):
    X = change(counts(level)).astype(np.float32)
    assert message in gain_hint(X)
    assert gain_hint(counts(level).astype(np.float32)) is None


def test_methods_that_count_warn_with_the_mend():
    electrons = counts(2.0)
    stored = 40 * electrons + 1000
    for denoiser in (WienerDenoiser(), WindowedFourierDenoiser(device="cpu"), PURELETDenoiser()):
        name = type(denoiser).__name__
        with pytest.warns(UserWarning, match=f"{name}: .* all 40 apart.*temdenoise.to_counts") as w:
            denoiser.fit(stored).transform(stored)
        assert w[0].filename == __file__
        denoiser.transform(to_counts(stored))
    # methods that are told of the gain, or need none, are not spoken to
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PURELETDenoiser(gain=40.0, offset=1000.0).fit(stored).transform(stored)
        PURELETDenoiser(gain=40.0).fit(40 * electrons).transform(40 * electrons)
        WienerDenoiser(noise=3200.0).fit(stored).transform(stored)
    vst = VSTDenoiser(denoiser=WienerDenoiser(noise=1.0), gain=4.0, binning=2)
    with pytest.warns(UserWarning, match="VSTDenoiser: the values are all 10 apart"):
        vst.fit(40 * electrons).transform(40 * electrons)
