"""Processes that tests may kill: forked, as a fresh one takes seconds to load its packages."""

import multiprocessing
import os
import sys

import pytest


def start(function, *arguments, environment=None, stderr=None):
    """Run a function in another process; `stderr` is a path to write its messages to."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs processes that can be forked")
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_run, args=(function, arguments, environment or {}, stderr))
    process.start()
    return process


def _run(function, arguments, environment, stderr):
    os.environ.update(environment)
    if stderr is not None:
        sys.stderr = open(stderr, "w", buffering=1)
    function(*arguments)
