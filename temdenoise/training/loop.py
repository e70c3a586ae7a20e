"""The training: from batches to a network with its best weights."""

import warnings
from contextlib import contextmanager

import torch
from sklearn.utils import check_random_state
from skorch.helper import predefined_split

from temdenoise._calls import level_outside
from temdenoise._device import choose_device, use_bfloat16
from temdenoise.training import callbacks as cb
from temdenoise.training.batches import DrawnBatches
from temdenoise.training.checkpoint import Checkpoint, read_checkpoint
from temdenoise.training.net import DenoisingNet
from temdenoise.training.processes import Alone, Several, SharedNet, silent
from temdenoise.training.report import CSVLog, ProgressBar


class Training:
    """One training: its processes, device and seeds, and its checkpoint.

    Parameters
    ----------
    options : TrainingOptions
    random_state : None, int or RandomState
        Determines weights, patches and noise.
    settings : callable
        Returns a dict of str: settings that must be the same to continue a training from its
        checkpoint. It is called only for a training with a checkpoint.

    Attributes
    ----------
    device : torch.device
    seeds : (int, int, int)
        Seeds of the weights, of the training batches (in this process) and of the validation
        batches.

    Raises
    ------
    ValueError, FileNotFoundError
        If the checkpoint is damaged or belongs to another training, or its folder does not exist.
    """

    def __init__(self, options, *, random_state, settings):
        self.options = options
        self.processes = Several(options.device) if options.accelerate else Alone()
        self.device = self.processes.device if options.accelerate else choose_device(options.device)
        self._callbacks = options.named_callbacks()
        self._log = options.checked_log()
        rng = check_random_state(random_state)
        drawn = [int(s) for s in rng.randint(2**31 - 1, size=3)]
        self._drawn = self.processes.from_main(drawn)
        self._settings, self._state = {}, None
        if options.checkpoint_file is not None:
            self._settings = {**settings(), "number of processes": repr(self.processes.count)}
            self._state = read_checkpoint(options.checkpoint_file, self._settings, self.device)
            if self._state is not None:
                self._drawn = self._state["seeds"]

    @property
    def seeds(self):
        """Seeds of weights, training and validation batches."""
        weights, train, valid = self._drawn
        return weights, train + self.processes.rank, valid  # each process draws its own patches

    def run(self, make_network, batches, validation, *, loss, score):
        """Train a network.

        Parameters
        ----------
        make_network : callable
            Returns the network to train, a torch.nn.Module. It is called after torch's seed is set.
        batches, validation : Batches
            Batches for training and for validation.
        loss : callable
            ``loss(prediction, target)`` returns a scalar tensor.
        score : Score
            Score that decides which weights are kept.

        Returns
        -------
        net : DenoisingNet
            The net. Its module has the best weights. It no longer holds the data, the optimizer and
            the callbacks of the training.
        history : list of dict
            A row for each epoch.

        Raises
        ------
        ValueError
            If the loss or the score becomes NaN in the first epoch.
        KeyboardInterrupt
            If Ctrl-C is pressed before the first epoch ended.
        """
        options, processes = self.options, self.processes
        budget = cb.Budget(options.n_steps, options.max_seconds, processes)
        best = cb.KeepBestWeights(score)
        patience = options.early_stopping
        patience = None if patience is None else cb.EarlyStopping(patience, score)
        checkpoint = None
        if options.checkpoint_file is not None:
            checkpoint = Checkpoint(
                options.checkpoint_file, budget, best, self._settings, self._drawn
            )
        named = self._all_callbacks(budget, best, patience, checkpoint, score)
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.seeds[0])
            module = make_network()
            net = self._net(module, validation, loss, budget, named)
            if self._state is not None:
                checkpoint.resume(net, self._state)

            def is_finished():
                due = patience is not None and patience.is_due(net.history)
                return budget.used >= 1 or due

            diverged = None
            if not is_finished():
                try:
                    with _fastest_algorithms():
                        net.partial_fit(batches, epochs=options.max_epochs - len(net.history))
                except cb.TrainingDiverged as error:
                    net.notify("on_train_end", X=batches, y=None)
                    diverged = error
        with warnings.catch_warnings():
            if not processes.is_main:
                warnings.simplefilter("ignore")  # only one of the processes warns
            self._explain_early_end(best, diverged, budget, is_finished())
        return self._finished(net, module, best, score)

    def _all_callbacks(self, budget, best, patience, checkpoint, score):
        """Callbacks in the order of their dependence; the last two end the training."""
        options, processes = self.options, self.processes
        if options.schedule == "plateau":
            rate = cb.PlateauSchedule(options.learning_rate, score)
        else:
            rate = cb.BudgetSchedule(budget, options.learning_rate, options.schedule)
        log = self._log is not None and processes.is_main
        show = options.verbose and processes.is_main
        named = [
            ("score", cb.ValidationScore(score, processes)),
            ("best", best),
            ("finite", cb.StopWhenNotFinite(processes)),
            ("rate", rate),
            *self._callbacks,
            ("log", CSVLog(self._log, budget, score) if log else None),
            ("checkpoint", checkpoint if processes.is_main else None),
            ("progress", ProgressBar(budget, score) if show else None),
            ("patience", patience),
            ("budget", budget),
        ]
        return [(name, callback) for name, callback in named if callback is not None]

    def _net(self, module, validation, loss, budget, named):
        options = self.options
        if self.processes.count == 1:
            net_class, further = DenoisingNet, {"callbacks__print_log": None}
        else:
            net_class = SharedNet
            further = {
                "accelerator": self.processes.accelerator,
                "callbacks__print_log__sink": silent,
            }
        return net_class(
            module,
            criterion=torch.nn.MSELoss,  # replaced by get_loss
            loss=loss,
            optimizer=options.optimizer_class,
            optimizer__weight_decay=1e-4,
            lr=options.learning_rate,
            max_epochs=options.max_epochs,
            train_split=predefined_split(DrawnBatches(validation)),
            callbacks=named,
            autocast=use_bfloat16(options.precision, self.device),
            averaging=options.averaging,
            budget=budget,
            device=self.device,
            verbose=0,
            **further,
        ).initialize()

    def _finished(self, net, module, best, score):
        """Put the best weights into the network; drop everything that only the training needs."""
        weights = {k: v.cpu() for k, v in best.weights_.items()}
        module.load_state_dict(self.processes.from_main(weights))
        module.eval()
        history = self.processes.from_main(cb.finished_rows(net.history, score))
        net.set_params(callbacks=None, budget=None, train_split=None, loss=None)
        net.callbacks_ = []
        net.optimizer_.state.clear()
        del net.averaged_  # its best state is now in the network
        if self.processes.count > 1:
            net.forget_processes()
        return net, history

    def _explain_early_end(self, best, diverged, budget, finished):
        """Warn if the training ended early; raise an error if there are no weights to keep."""
        kept = hasattr(best, "weights_")
        if diverged is not None:
            rate = self.options.learning_rate
            advice = f"lower learning_rate ({rate:g}) or use precision='float32'"
            if not kept:
                message = f"{diverged} before the first epoch ended: {advice}."
                raise ValueError(message) from diverged
            message = f"{diverged}: training stopped, the best weights are kept; {advice}."
        elif not kept:
            raise KeyboardInterrupt("Training was interrupted before its first epoch ended.")
        elif not finished:
            message = (
                f"Training was interrupted after {budget.used:.0%} of its budget; the best weights "
                "so far are kept. With a checkpoint, the same call continues it."
            )
        else:
            return
        warnings.warn(message, stacklevel=level_outside())


@contextmanager
def _fastest_algorithms():
    """Let a GPU find the fastest algorithms, once for all batches, which have one shape."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = not cudnn.deterministic
    try:
        yield
    finally:
        cudnn.benchmark = before
