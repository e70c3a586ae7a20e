"""Options of a training besides its network, batches and loss."""

from dataclasses import dataclass

from skorch.callbacks import Callback

from temdenoise.training.muon import Muon
from temdenoise.training.report import check_log


@dataclass(kw_only=True)
class TrainingOptions:
    """The parameters of a trained denoiser that concern its training.

    `temdenoise.denoisers.TrainedDenoiser` documents their names and meanings.
    """

    max_epochs: int = 30
    steps_per_epoch: int = 50
    max_minutes: float | None = None
    optimizer: str = "muon"
    learning_rate: float = 1.2e-3
    schedule: str = "cosine"
    averaging: float = 0.998  # decay of the average of the weights that is validated and kept
    early_stopping: int | None = None
    precision: str = "auto"
    device: str = "auto"
    accelerate: bool = False
    checkpoint_file: object = None
    log_file: object = None
    callbacks: object = None
    verbose: bool = False

    @property
    def n_steps(self):
        """Total number of steps."""
        return self.max_epochs * self.steps_per_epoch

    @property
    def max_seconds(self):
        """Total time in s, None if it is not limited."""
        return None if self.max_minutes is None else self.max_minutes * 60

    @property
    def optimizer_class(self):
        """Class of the optimizer."""
        import torch

        return {"muon": Muon, "adam": torch.optim.AdamW}[self.optimizer]

    def checked_log(self):
        """Path of the log, checked; None without a log."""
        return None if self.log_file is None else check_log(self.log_file)

    def named_callbacks(self):
        """Callbacks of the user. Their names differ from those of the library's callbacks.

        Raises
        ------
        TypeError
            If one of them is not a callback.
        ValueError
            If two have the same name.
        """
        named = []
        for k, item in enumerate(self.callbacks or ()):
            name, callback = item if isinstance(item, tuple) and len(item) == 2 else (None, item)
            if isinstance(callback, type) and issubclass(callback, Callback):
                callback = callback()
            if not isinstance(callback, Callback) or not (name is None or isinstance(name, str)):
                raise TypeError(
                    "callbacks must hold skorch callbacks, or pairs (name, callback), got "
                    f"{item!r}."
                )
            name = f"{type(callback).__name__}_{k}" if name is None else name
            named.append((f"user_{name}", callback))
        if len({name for name, _ in named}) < len(named):
            raise ValueError("Two of the callbacks have the same name.")
        return named
