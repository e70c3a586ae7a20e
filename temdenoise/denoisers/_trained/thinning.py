"""Checks for thinning: whole counts, and the range of shares."""

from numbers import Real

import numpy as np


def check_counts(X, name):
    """Refuse values that are not whole counts, because they have no single electrons to split."""
    if not (X == np.rint(X)).all():
        raise ValueError(
            f"{name} needs whole counts of electrons, which it splits one by one: convert the "
            "values with temdenoise.to_counts first, or take a method that does without."
        )


def check_share(share):
    """Return a range of shares as (low, high); raise ValueError if it is none."""
    numbers = len(share) == 2 and all(isinstance(s, Real) for s in share)
    if not numbers or not 0 < share[0] <= share[1] < 1:
        raise ValueError(f"share must be (low, high) with 0 < low <= high < 1, got {share!r}.")
    return float(share[0]), float(share[1])
