"""Arrays that are no images: every public function refuses them, and says why."""

import numpy as np
import pytest
import torch

from temdenoise import (
    LowPassDenoiser,
    PoissonGaussianNoise,
    PoissonNoise,
    analyze_noise,
    confirm_atoms,
    find_atoms,
    psnr,
    ssim,
    thin_counts,
    to_counts,
)
from temdenoise.atoms import alpha_shape, column_polarity, match_atoms, split_surface_bulk
from temdenoise.base import BaseDenoiser
from temdenoise.binning import bin_counts, unbin
from temdenoise.images import ImageStack
from temdenoise.inspection import (
    column_intensities,
    equivalent_filter,
    likelihood_map,
    profile_along,
)
from temdenoise.metrics import atom_scores, paired_risk, pure_risk, unbiased_mse, upsnr
from temdenoise.noise import GaussianNoise, draw_noise
from temdenoise.tiling import apply_tiled
from temdenoise.variance_stabilization import (
    anscombe,
    generalized_anscombe,
    inverse_anscombe,
    inverse_generalized_anscombe,
)

COUNTS = np.random.default_rng(0).poisson(3.0, size=(2, 40, 40))
MEANS = np.full(COUNTS.shape, 3.0)
ATOMS = [(10.0, 10.0), (30.0, 30.0), (25.0, 10.0)]
ENDS = (5, 5), (30, 30)
LOW_PASS = LowPassDenoiser().fit(COUNTS)


def one(x):
    """The first image of a stack, or all of what is none."""
    return x[0] if np.ndim(x) == 3 and len(x) else x


# Name -> function of a stack of images.
FUNCTIONS = {
    "thin_counts": thin_counts,
    "PoissonNoise": PoissonNoise().sample,
    "GaussianNoise": GaussianNoise().sample,
    "PoissonGaussianNoise": PoissonGaussianNoise(2.0, 1.0, 0.1).sample,
    "to_electrons": PoissonGaussianNoise(2.0, 1.0, 0.1).to_electrons,
    "from_electrons": PoissonGaussianNoise(2.0, 1.0, 0.1).from_electrons,
    "draw_noise": lambda x: draw_noise(PoissonNoise(), x),
    "analyze_noise": analyze_noise,
    "to_counts": lambda x: to_counts(x, 2, offset=0),
    "psnr": lambda x: psnr(MEANS, x),
    "ssim": lambda x: ssim(MEANS, x),
    "unbiased_mse": lambda x: unbiased_mse(MEANS, x),
    "upsnr": lambda x: upsnr(x, COUNTS),
    "pure_risk": lambda x: pure_risk(lambda z: z, x),
    "paired_risk": lambda x: paired_risk([LOW_PASS, LOW_PASS], x),
    "atom_scores": lambda x: atom_scores(x, x),
    "find_atoms": lambda x: find_atoms(one(x)),
    "column_polarity": lambda x: column_polarity(one(x)),
    "confirm_atoms": lambda x: confirm_atoms(LOW_PASS, one(x)),
    "match_atoms": lambda x: match_atoms(one(x)[:, :2], ATOMS),
    "alpha_shape": lambda x: alpha_shape(one(x)[:, :2], 40),
    "split_surface_bulk": lambda x: split_surface_bulk(one(x)[:, :2], 40),
    "likelihood_map": lambda x: likelihood_map(one(x), MEANS[0], ATOMS),
    "profile_along": lambda x: profile_along(x, MEANS, *ENDS),
    "column_intensities": lambda x: column_intensities(x, MEANS, ATOMS),
    "equivalent_filter": lambda x: equivalent_filter(LOW_PASS, x, (20, 20)),
    "bin_counts": lambda x: bin_counts(x, 2),
    "unbin": lambda x: unbin(x, 2, (80, 80)),
    "apply_tiled": lambda x: apply_tiled(lambda t: t, one(x), tile=32, halo=4),
    "anscombe": anscombe,
    "generalized_anscombe": generalized_anscombe,
    "inverse_anscombe": inverse_anscombe,
    "inverse_generalized_anscombe": inverse_generalized_anscombe,
    "fit": LowPassDenoiser().fit,
    "transform": LOW_PASS.transform,
    "score": lambda x: LOW_PASS.score(COUNTS, x),
}
MASKED = np.ma.masked_array(COUNTS, mask=COUNTS == 3)
MASKED[0, :3, :2] = np.ma.masked
HOSTILE = {
    "masked": MASKED,
    "complex": COUNTS + 1j,
    "text": COUNTS.astype(str),
    "dates": COUNTS.astype("datetime64[s]"),
    "structured": np.zeros(COUNTS.shape, dtype=[("a", "f4")]),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_dropped_without_a_word(name, kind):
    with pytest.raises((ValueError, TypeError)):
        FUNCTIONS[name](HOSTILE[kind])


@pytest.mark.parametrize("noise", [PoissonNoise(), GaussianNoise()])
def test_tensors_of_complex_numbers(noise):
    with pytest.raises(ValueError, match="real numbers"):
        noise.sample(torch.ones(1, 4, 4, dtype=torch.complex64))


def test_masked_arrays_with_nothing_masked_are_arrays():
    whole = np.ma.masked_array(COUNTS, mask=False)
    a, b = thin_counts(whole, random_state=0)
    np.testing.assert_array_equal(a + b, COUNTS)
    np.testing.assert_array_equal(LOW_PASS.transform(whole), LOW_PASS.transform(COUNTS))


def test_counts_that_are_none_are_too_many_to_draw():
    with pytest.raises(ValueError, match=r"below 9\.0072e\+15"):
        thin_counts(np.array([[2**60]], dtype=np.uint64))
    a, b = thin_counts(np.int64(7), random_state=0)  # a single number is an array too
    assert (a.shape, a + b) == ((), 7)


def test_values_too_large_for_single_precision():
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\): 1e\+300"):
        PoissonNoise().sample(np.full((4, 4), 1e300))


def test_an_estimate_that_is_not_finite_is_named():
    class Divides(BaseDenoiser):
        def _transform(self, X, mask):
            with np.errstate(divide="ignore", invalid="ignore"):
                return X / (X - 1)

    X = np.ones((2, 4, 4))
    X[0] = 2
    with pytest.warns(UserWarning, match="of Divides is not finite, first that of image 1"):
        result = Divides().fit(X).transform(X)
    np.testing.assert_array_equal(result[0], 2)
    assert type(Divides().fit(X).transform(X + 1)) is ImageStack
