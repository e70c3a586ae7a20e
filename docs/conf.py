"""Configuration of the documentation.

    python -m sphinx -W --keep-going -b html docs docs/_build/html

runs the gallery too (a few minutes); ``-D plot_gallery=0`` leaves it out. Nothing is fetched from
the network.
"""

import sys
from pathlib import Path

import temdenoise

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "temdenoise"
author = "The temdenoise developers"
copyright = f"2026, {author}"
release = temdenoise.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "benchmark_results",  # in _ext
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates"]
# Single backticks are names: linked where they can be, literal where they cannot.
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"
# The page of a class lists its members by itself (_templates/autosummary/class.rst).
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "doc_module": ("temdenoise",),
    "backreferences_dir": None,
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "remove_config_comments": True,
    # What a figure or a table shows, not the repr of the last line's plotting call.
    "capture_repr": ("_repr_html_",),
    "matplotlib_animations": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"temdenoise {version}"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
