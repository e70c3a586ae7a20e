"""Several processes that share one training: one for each GPU, or for each processor."""

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
    """The processes that ``accelerate launch`` (or ``torchrun``) started, seen from one of them.

    What decides how a training goes on (time, validation PSNR, a loss that is no number) must be
    the same in all, or one would wait for ever for what another does not do.

    Parameters
    ----------
    device : {"auto", "cpu"}

    Raises
    ------
    ValueError
        If one device is given for all.
    ImportError
        If accelerate is not installed.
    """

    def __init__(self, device):
        if device not in ("auto", "cpu"):
            raise ValueError(
                f"device={device!r} cannot be given with accelerate=True, where each process has a "
                "device of its own: use 'auto' or 'cpu'."
            )
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ImportError(
                "accelerate=True needs accelerate: pip install 'temdenoise[accelerate]'."
            ) from error
        # skorch puts everything onto the device itself
        self.accelerator = Accelerator(cpu=device == "cpu", device_placement=False)
        device = self.accelerator.device
        self.device = torch.device("cpu") if device.type == "cpu" else device  # not "cpu:0"
        self.rank = self.accelerator.process_index
        self.count = self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process

    def from_main(self, value):
        """Return the main process's value, anything that pickles."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def mean(self, value):
        """Return the mean of a tensor over all processes."""
        return self.accelerator.reduce(value, reduction="mean")


class SharedNet(AccelerateMixin, DenoisingNet):
    """A net whose gradients are averaged over all processes."""

    def _initialize_accelerator(self):
        # neither the average of the weights nor the loss has gradients to share
        modules, criteria = self._modules, self._criteria
        self._modules, self._criteria = ["module"], []
        try:
            return super()._initialize_accelerator()
        finally:
            self._modules, self._criteria = modules, criteria

    @property
    def bare_module(self):
        """The network without what exchanges its gradients."""
        return self.accelerator.unwrap_model(self.module_)

    def forget_processes(self):
        """Let go of the processes, which cannot be pickled, once the training is over."""
        self.accelerator = None


def silent(text):
    """Print nothing: a sink for skorch's own table of the epochs."""
