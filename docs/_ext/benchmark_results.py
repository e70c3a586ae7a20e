"""Directive ``benchmark-results``: the tables of a file that a benchmark wrote.

    .. benchmark-results:: figure-3.1-cpu
       :draw: curves

With ``:draw: curves`` or ``:draw: matrices`` a picture of the tables stands before them. Where
there is no such file yet, the page says so.
"""

import io
import json
from pathlib import Path

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from matplotlib.figure import Figure

from temdenoise.plotting import GeneralizationMatrixDisplay

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class BenchmarkResults(Directive):
    """Tables of one results file."""

    required_arguments = 1
    option_spec = {"draw": lambda name: directives.choice(name, tuple(_DRAWINGS))}

    def run(self):
        path = RESULTS / f"{self.arguments[0]}.json"
        self.state.document.settings.env.note_dependency(str(path))
        if not path.exists():
            text = f"Not measured yet: benchmarks/results/{path.name} does not exist."
            return [nodes.paragraph(text, text)]
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = content["settings"]
        text = (
            f"{content['title']}. {_budget(settings)}{content['machine']}; temdenoise "
            f"{content['version']}."
        )
        if not content["complete"]:
            text += " Not all of it has been measured yet."
        drawn = []
        if "draw" in self.options:
            drawn = [_picture(_DRAWINGS[self.options["draw"]](content["tables"]))]
        return [nodes.paragraph(text, text), *drawn, *map(_table, content["tables"])]


def _budget(settings):
    """Minutes of the trainings, or nothing where none was trained."""
    if "budget" not in settings:
        return "On "
    budget = f"{settings['budget']:g} minutes a training"
    if settings.get("paper_budget", settings["budget"]) != settings["budget"]:
        budget += f" ({settings['paper_budget']:g} of the paper's networks)"
    return f"{budget} on "


def _curves(tables):
    """PSNR over the first column, a panel for each table."""
    figure = Figure(figsize=(4.2 * len(tables), 3.2), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    for axes, table in zip(panels, tables, strict=True):
        frame = pd.DataFrame(table["rows"], columns=table["columns"]).astype(float)
        what = frame.columns[0]
        for column in frame.columns[frame.columns.str.contains("PSNR")]:
            axes.plot(frame[what], frame[column], "o-", label=column.split(":")[0])
        axes.set(xscale="log", xlabel=what)
        axes.set_xticks(frame[what], [f"{x:g}" for x in frame[what]], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_title(table["caption"].split(",")[0])
    panels[0].set_ylabel("PSNR (dB)")
    panels[0].legend()
    return figure


def _matrices(tables):
    """Matrices of the tables, two in a row: ours and the authors'."""
    n_rows = -(-len(tables) // 2)
    figure = Figure(figsize=(9, 3.8 * n_rows), layout="constrained")
    for axes, table in zip(figure.subplots(n_rows, 2, squeeze=False).flat, tables, strict=True):
        frame = pd.DataFrame(table["rows"], columns=table["columns"])
        GeneralizationMatrixDisplay.from_matrix(frame.set_index("trained on"), ax=axes)
        axes.set_title(table["caption"].split(":")[0].rstrip("."), fontsize="small", loc="left")
    return figure


_DRAWINGS = {"curves": _curves, "matrices": _matrices}


def _picture(figure):
    """Return the figure as part of the page itself."""
    file = io.StringIO()
    figure.savefig(file, format="svg", facecolor="white")
    svg = file.getvalue()
    return nodes.raw("", svg[svg.index("<svg") :], format="html")


def _table(content):
    table = nodes.table(classes=["benchmark-results"])
    table += nodes.title(content["caption"], content["caption"])
    group = nodes.tgroup(cols=len(content["columns"]))
    group += [nodes.colspec(colwidth=1) for _ in content["columns"]]
    group += nodes.thead("", _row(content["columns"]))
    group += nodes.tbody("", *map(_row, content["rows"]))
    table += group
    return table


def _row(cells):
    texts = ["" if cell is None else str(cell) for cell in cells]
    return nodes.row("", *[nodes.entry("", nodes.paragraph(t, t)) for t in texts])


def setup(app):
    """Register the directive."""
    app.add_directive("benchmark-results", BenchmarkResults)
    return {"parallel_read_safe": True}
