"""Several processes that share one training: one for each GPU, or for each CPU."""

import torch
from skorch.hf import AccelerateMixin

from temdenoise.training.net import DenoisingNet


class Alone:
    """The only process of an ordinary training."""

    rank, count, is_main = 0, 1, True
    accelerator = None

    def from_main(self, value):
        """Return the main process's value."""
        return value

    def mean(self, value):
        """Return the mean of a tensor over all processes."""
        return value


class Several:
    """One of the processes that ``accelerate launch`` (or ``torchrun``) started.

    All processes must take the same decisions on the training (from time, validation PSNR, or a NaN
    loss). Otherwise one would wait forever for another.

    Parameters
    ----------
    device : {"auto", "cpu"}

    Raises
    ------
    ValueError
        If a single device is given for all processes.
    ImportError
        If accelerate is not installed.
    """

    def __init__(self, device):
        if device not in ("auto", "cpu"):
            raise ValueError(
                f"device={device!r} cannot be given with accelerate=True, where each process has "
                "its own device. Use 'auto' or 'cpu'."
            )
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ImportError(
                "accelerate=True needs accelerate: pip install 'temdenoise[accelerate]'."
            ) from error
        # skorch moves everything to the device itself
        self.accelerator = Accelerator(cpu=device == "cpu", device_placement=False)
        device = self.accelerator.device
        self.device = torch.device("cpu") if device.type == "cpu" else device  # not "cpu:0"
        self.rank = self.accelerator.process_index
        self.count = self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process

    def from_main(self, value):
        """Return the main process's value, which can be any object that pickles."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def mean(self, value):
        """Return the mean of a tensor over all processes."""
        return self.accelerator.reduce(value, reduction="mean")


class SharedNet(AccelerateMixin, DenoisingNet):
    """A net whose gradients are averaged over all processes."""

    def _initialize_accelerator(self):
        # the average of the weights and the loss have no gradients to share
        modules, criteria = self._modules, self._criteria
        self._modules, self._criteria = ["module"], []
        try:
            return super()._initialize_accelerator()
        finally:
            self._modules, self._criteria = modules, criteria

    @property
    def bare_module(self):
        """The network without the wrapper that exchanges its gradients."""
        return self.accelerator.unwrap_model(self.module_)

    def forget_processes(self):
        """Drop the processes, which cannot be pickled, after the training."""
        self.accelerator = None


def silent(text):
    """Print nothing; this replaces skorch's own table of the epochs."""
