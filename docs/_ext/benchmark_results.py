"""Directive ``benchmark-results``: the tables of a file that benchmarks/paper_tables.py wrote.

    .. benchmark-results:: table-5.1-cpu

Where there is no such file yet, the page says so.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class BenchmarkResults(Directive):
    """Tables of one results file."""

    required_arguments = 1

    def run(self):
        path = RESULTS / f"{self.arguments[0]}.json"
        self.state.document.settings.env.note_dependency(str(path))
        if not path.exists():
            text = f"Not measured yet: benchmarks/results/{path.name} does not exist."
            return [nodes.paragraph(text, text)]
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = content["settings"]
        text = (
            f"{content['title']}. {settings['budget']:g} minutes a training on "
            f"{content['machine']}; temdenoise {content['version']}."
        )
        if not content["complete"]:
            text += " Not all of it has been measured yet."
        return [nodes.paragraph(text, text), *map(_table, content["tables"])]


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
