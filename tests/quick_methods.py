"""Methods that learn from noisy frames, as small as they train: for tests of several files."""

from temdenoise import BlindSpotDenoiser, Self2SelfDenoiser, ThinnedDenoiser, UDVDDenoiser

# One epoch of two small steps.
QUICK = {
    "max_epochs": 1, "steps_per_epoch": 2, "batch_size": 1, "patch_size": 40,
    "precision": "float32", "device": "cpu", "random_state": 0,
}  # fmt: skip
METHODS = {
    "blind-spot": BlindSpotDenoiser(base_channels=2, orientations=2, **QUICK),
    "udvd": UDVDDenoiser(base_channels=2, orientations=1, **QUICK),
    "thinned": ThinnedDenoiser(base_channels=4, n_draws=2, orientations=1, **QUICK),
    "self2self": Self2SelfDenoiser(n_predictions=2, **QUICK),
}
