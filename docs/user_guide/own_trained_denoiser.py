from numbers import Integral

from sklearn.utils._param_validation import Interval
from torch import nn
from torch.nn import functional as F

from temdenoise.denoisers import TrainedDenoiser
from temdenoise.noise import PoissonNoise, draw_noise
from temdenoise.training.batches import PairBatches


class TwoLayers(nn.Module):
    """Correct the mean over 9 x 9 bins."""

    halo, grid = 4, 1  # a bin sees 4 bins each way; tiles may start at any bin

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 5, padding=2, padding_mode="replicate")
        self.second = nn.Conv2d(channels, 1, 5, padding=2, padding_mode="replicate")

    def forward(self, counts):
        mean = F.avg_pool2d(counts, 9, stride=1, padding=4, count_include_pad=False)
        return mean + self.second(F.relu(self.first(counts)))


class TwoLayerDenoiser(TrainedDenoiser):
    """Two convolutions, trained on clean images with Poisson noise or on pairs."""

    _parameter_constraints = {"channels": [Interval(Integral, 1, None, closed="left")]}
    _stored = ("channels",)  # what the weights need to be loaded again
    _fits_on = "clean"  # what fit(X) learns from; the default is "noisy"

    def __init__(self, *, channels=8, **training):
        super().__init__(**training)
        self.channels = channels

    def _make_network(self):
        return TwoLayers(self.channels)

    def _make_batches(self, X, y, part):
        if y is None:
            X, y = draw_noise(PoissonNoise(), X, part.seed)
        return PairBatches(noisy=X, target=y, device=part.device, **part.common)

    def _loss(self, prediction, target):
        return F.huber_loss(prediction, target)
