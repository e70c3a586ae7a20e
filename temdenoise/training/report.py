"""Reports of a running training: a line on the screen, a table on disk."""

import csv
import io
import math
from numbers import Real
from pathlib import Path

from skorch.callbacks import Callback

from temdenoise._files import replacing
from temdenoise.training.callbacks import finished_rows

# First columns of the table, in this order. Columns with the score and the records of the user's
# callbacks follow.
_COLUMNS = ("epoch", "seconds", "learning_rate", "train_loss", "valid_loss")
# Columns that skorch uses internally.
_NO_COLUMNS = ("dur", "train_batch_count", "valid_batch_count")


class ProgressBar(Callback):
    """One line: epoch, share of the budget, validation score, time left."""

    def __init__(self, budget, score):
        self.budget = budget
        self.score = score

    def on_train_begin(self, net, **kwargs):  # noqa: D102
        from tqdm.auto import tqdm

        layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
        self.bar_ = tqdm(
            total=1.0, desc="train", bar_format=layout, postfix=clock(math.inf),
            # with an initial value, tqdm would not update until the same amount is done again
            initial=self.budget.used, miniters=0,
        )  # fmt: skip
        self.value_ = "no score yet"
        if len(net.history):
            self._read_score(net)

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: D102
        if training:
            self._show(net)

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        self._read_score(net)
        self._show(net)

    def _read_score(self, net):
        values = [row[self.score.name] for row in net.history]
        best = max(values) if self.score.greater_is_better else min(values)
        unit = f" {self.score.unit}" if self.score.unit else ""
        self.value_ = f"{values[-1]:.4g}{unit} (best {best:.4g})"

    def _show(self, net):
        left = clock(self.budget.seconds_left)
        self.bar_.set_postfix_str(f"epoch {len(net.history)}, {self.value_}, {left}", False)
        self.bar_.update(self.budget.used - self.bar_.n)

    def on_train_end(self, net, **kwargs):  # noqa: D102
        self.bar_.close()


def clock(seconds):
    """Remaining time in words, as h:mm:ss if it is known."""
    if not math.isfinite(seconds):
        return "estimating time left"
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"


class CSVLog(Callback):
    """Keep a table of the epochs on disk, complete after each epoch.

    The whole file is written each time. Therefore it never holds half a row, and no epoch twice
    after a training was resumed.

    Parameters
    ----------
    path : pathlib.Path
        The file, from `check_log`.
    budget : Budget
        Budget with the elapsed seconds.
    score : Score
    """

    def __init__(self, path, budget, score):
        self.path = path
        self.budget = budget
        self.score = score

    def on_epoch_end(self, net, **kwargs):  # noqa: D102
        net.history.record("seconds", self.budget.seconds)
        net.history.record("learning_rate", net.optimizer_.param_groups[0]["lr"])
        rows = finished_rows(net.history, self.score)
        further = dict.fromkeys(
            name
            for row in rows
            for name, value in row.items()
            if isinstance(value, Real)
            and name not in (*_COLUMNS, *_NO_COLUMNS)
            and not name.endswith("_best")
        )
        text = io.StringIO()
        table = csv.DictWriter(text, [*_COLUMNS, *further], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())


def check_log(path):
    """Refuse a log that cannot be written, or would replace another file; return its path.

    Raises
    ------
    FileNotFoundError
        If the folder of the log does not exist.
    FileExistsError
        If there is a file that is not such a log.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of log_file='{path}' does not exist: make it.")
    if path.is_dir():
        raise FileExistsError(f"log_file='{path}' is a folder: give the name of a file.")
    if path.exists():
        with open(path, "rb") as file:
            if not file.readline().startswith(",".join(_COLUMNS).encode()):
                raise FileExistsError(
                    f"log_file='{path}' exists and is not the log of a training: give another name."
                )
    return path
