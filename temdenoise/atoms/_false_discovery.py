"""False discovery rate: q-values by Benjamini and Hochberg, with Storey's share of nulls."""

import numpy as np

# Storey's lambda: p-values above it are assumed to be those of false columns.
_LARGE_P = 0.5

# A test with a larger p-value is never a discovery. If nearly all columns of a family are certain,
# the procedure alone would also accept columns for which the counts are no evidence.
_LARGEST_P = 0.1


def q_values(p_values, families):
    """Return q-values, family by family.

    The q-value of a test is the lowest false discovery rate at which it is significant, by the
    procedure of Benjamini and Hochberg (J. R. Stat. Soc. B 57, 289, 1995). The share of true null
    hypotheses is estimated as by Storey, Taylor and Siegmund (J. R. Stat. Soc. B 66, 187, 2004).
    The q-value is 1 if the p-value is above 0.1.

    Parameters
    ----------
    p_values : ndarray of shape (n_tests,)
        NaN where nothing was tested.
    families : ndarray of shape (n_tests,)
        Label of the family of each test.

    Returns
    -------
    q : ndarray of shape (n_tests,)
        From 0 to 1, NaN where nothing was tested.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms._false_discovery import q_values
    >>> q_values(np.array([0.01, 0.02, 0.9]), np.array(["bulk", "bulk", "surface"])).tolist()
    [0.02, 0.02, 1.0]
    """
    p_values, families = np.asarray(p_values, dtype=np.float64), np.asarray(families)
    q = np.full(p_values.shape, np.nan)
    tested = np.isfinite(p_values)
    for family in np.unique(families[tested]):
        members = tested & (families == family)
        q[members] = _one_family(p_values[members])
    return q


def _one_family(p):
    n_tests = len(p)
    # One is added so that the estimate is valid for few tests, too.
    share = min(1.0, (1 + np.count_nonzero(p > _LARGE_P)) / (n_tests * (1 - _LARGE_P)))
    order = np.argsort(p)
    ranked = share * n_tests * p[order] / np.arange(1, n_tests + 1)
    q = np.empty(n_tests)
    q[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    return np.where(p > _LARGEST_P, 1.0, np.minimum(q, 1.0))
