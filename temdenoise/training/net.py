"""A skorch net for denoising, with ready-made batches and averaged weights."""

import torch
from skorch import NeuralNet

from temdenoise.training.losses import check_loss


def compared(prediction, y):
    """Return prediction and target of a batch as a loss compares them.

    Parameters
    ----------
    prediction : torch.Tensor of shape (n, 1, rows, columns)
    y : dict
        ``"target"``; optionally ``"gain"`` (n, 1, 1, 1), by which the prediction is multiplied to
        be on the scale of the target, and ``"trusted"``, bool of the shape of the target: elsewhere
        the prediction is replaced by the target, so that it neither learns nor counts.
    """
    target = y["target"]
    if "gain" in y:
        prediction = prediction * y["gain"]
    if "trusted" in y:
        prediction = torch.where(y["trusted"], prediction, target.to(prediction.dtype))
    return prediction, target


class DenoisingNet(NeuralNet):
    """A skorch net for denoising: ready-made batches, mixed precision, averaged weights.

    Parameters
    ----------
    loss : callable
        ``loss(prediction, target)`` returns a scalar tensor.
    budget : Budget
        The epoch ends when the budget is used up.
    autocast : bool, default=False
        Convolve in bfloat16.
    averaging : float, default=0.998
        Decay of the exponential moving average of the weights. This average is validated and kept.
    """

    def __init__(self, *args, loss, budget, autocast=False, averaging=0.998, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss = loss
        self.budget = budget
        self.autocast = autocast
        self.averaging = averaging

    def initialize_module(self):
        """Build the module and its average (which gets no gradient, and so no steps)."""
        super().initialize_module()
        self.module_.to(memory_format=torch.channels_last)
        self.averaged_ = torch.optim.swa_utils.AveragedModel(
            self.module_, multi_avg_fn=self._average, use_buffers=True
        )
        return self

    @torch.no_grad()
    def _average(self, averages, weights, n_averaged):
        n = float(n_averaged)
        decay = min(self.averaging, (1 + n) / (10 + n))  # short memory at the start
        if averages[0].is_floating_point():  # each call gets averages of one dtype
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:
            torch._foreach_copy_(averages, weights)

    @property
    def bare_module(self):
        """The network in training."""
        return self.module_

    def get_iterator(self, dataset, training=False):
        """Return the batches unchanged."""
        return _FreshBatches(dataset, self.budget) if training else dataset.batches

    def infer(self, x, **fit_params):
        """Apply the network in training, or its average during validation."""
        module = self.module_ if self.module_.training else self.averaged_.module
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            return module(x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch."""
        loss = self.loss(*compared(y_pred, y_true))
        check_loss(loss)
        return loss

    def train_step(self, batch, **fit_params):
        """Make one step and average the weights."""
        step = super().train_step(batch, **fit_params)
        self.averaged_.update_parameters(self.module_)
        return step

    def evaluation_step(self, batch, training=False):
        """Predict in evaluation mode."""
        self.averaged_.eval()
        return super().evaluation_step(batch, training=training)


class _FreshBatches:
    """Iterates over an epoch's batches, new ones each time, until the budget is used up."""

    def __init__(self, dataset, budget):
        self.dataset = dataset
        self.budget = budget

    def __iter__(self):
        self.dataset.first = self.budget.steps
        for k in range(len(self.dataset)):
            if self.budget.used >= 1:
                return
            yield self.dataset[k]
