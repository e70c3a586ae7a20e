"""Results: tables printed, and written as the JSON that the documentation shows."""

import os
import platform
from pathlib import Path

from .work import write_json


class Report:
    """Tables of one experiment; the file is written anew with every row.

    Parameters
    ----------
    args : argparse.Namespace
        `output`, `device`, `budget` (minutes a training) and the other `settings`.
    experiment, title : str
    settings : sequence of str
        What of `args` decides on the numbers.
    """

    def __init__(self, args, experiment, title, settings):
        import temdenoise

        self.path = Path(args.output)
        self.content = {
            "experiment": experiment,
            "title": title,
            "complete": False,
            "version": temdenoise.__version__,
            "machine": _machine(args.device),
            "settings": {name: getattr(args, name) for name in settings},
            "tables": [],
        }

    def table(self, caption, columns):
        """Begin a table; returns what `row` takes."""
        self.content["tables"].append({"caption": caption, "columns": list(columns), "rows": []})
        return self.content["tables"][-1]

    def row(self, table, cells):
        """Add a row (None: no number) and write the file."""
        cells = list(cells)
        if len(cells) != len(table["columns"]):
            raise ValueError(f"{len(cells)} cells for the columns {table['columns']}")
        table["rows"].append(cells)
        write_json(self.path, self.content)

    def finish(self):
        """Mark the results as complete, and print them."""
        self.content["complete"] = True
        write_json(self.path, self.content)
        self.print()

    def print(self):
        """Print the tables, as far as they go."""
        for table in self.content["tables"]:
            print(f"\n{table['caption']}")
            lines = [table["columns"], *table["rows"]]
            lines = [["" if cell is None else str(cell) for cell in line] for line in lines]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for line in lines:
                cells = [line[0].ljust(widths[0])]
                cells += [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
                print("  ".join(cells).rstrip())


def _machine(device):
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} core(s), {platform.machine()}"
