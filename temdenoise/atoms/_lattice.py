"""Local lattice of columns: which columns are of one kind, and which sites have no column."""

import numpy as np
from scipy.spatial import cKDTree

# Vectors to this many nearest columns may be lattice vectors: two shells of a metal along [110],
# and beyond the dumbbell along [110] of silicon.
_N_NEAREST = 12
# Positions that a lattice vector relates agree up to this fraction of the nearest distance.
_TOLERANCE = 0.2
# A lattice vector relates at least this many pairs of the neighbourhood. Most of them, this share,
# go on to a third column. (A dumbbell's vector never goes on.)
_LEAST_PAIRS = 3
_GOES_ON = 0.6
# A site has no column if the nearest one is farther than this fraction of the nearest distance.
_VACANT = 0.5
# A site is inside if the directions to the columns that predict it leave no gap wider than this,
# in degrees: half a turn, as at a flat surface, and some tolerance.
_WIDEST_GAP = 195.0
# Fewer columns than these predict no site.
_LEAST_VOTES = 3
# Lattice vectors relate columns of one kind if heights differ along them hardly more than along the
# vector where they differ least: by this factor, and this fraction of the height.
_ALIKE = (1.5, 0.1)


class Lattice:
    """Lattice vectors about each column, and the sites that they predict.

    A vector between two columns is a lattice vector of its neighbourhood if most pairs of columns
    that it relates continue to a third one. Each column then votes for the sites that are a lattice
    vector away from it. Nothing is assumed of the crystal, and each neighbourhood has its own
    lattice: there may be several grains, or a particle on a support.

    Parameters
    ----------
    xy : ndarray of shape (n_columns, 2)
        Positions in px.

    Examples
    --------
    >>> import numpy as np
    >>> from temdenoise.atoms._lattice import Lattice
    >>> x, y = np.meshgrid(np.arange(5) * 40.0, np.arange(5) * 40.0)
    >>> xy = np.column_stack([x.ravel(), y.ravel()])
    >>> Lattice(np.delete(xy, 12, axis=0)).vacant_sites().tolist()
    [[80.0, 80.0]]
    """

    def __init__(self, xy):
        self.xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        n = len(self.xy)
        self._sites, self._voters = np.empty((0, 2)), np.empty(0, dtype=int)
        self._related = np.empty((0, 2, 0), dtype=int)
        self._tree = self._vote_tree = None
        if n < _LEAST_VOTES:
            return
        self._tree = cKDTree(self.xy)
        distance, near = self._tree.query(self.xy, k=min(_N_NEAREST + 1, n))
        self._nearest = distance[:, 1]
        reach = _TOLERANCE * self._nearest
        # The neighbourhood of a column is the column and its nearest ones. Axes of the arrays:
        # column, vector, column of the neighbourhood.
        vectors = self.xy[near[:, 1:]] - self.xy[:, np.newaxis]
        start, step = self.xy[near][:, np.newaxis], vectors[:, :, np.newaxis]
        following = self._at(start + step, reach)
        goes_on = (self._at(start - step, reach) < n) | (self._at(start + 2 * step, reach) < n)
        paired = following < n
        n_pairs = paired.sum(axis=2)
        good = (n_pairs >= _LEAST_PAIRS) & ((paired & goes_on).sum(axis=2) >= _GOES_ON * n_pairs)
        voter, which = np.nonzero(good)
        # Where a vector leads to no column, it relates the column to itself: no difference.
        origin = np.broadcast_to(near[:, np.newaxis], following.shape)
        related = np.stack([origin, np.where(paired, following, origin)], axis=2)[voter, which]
        there = vectors[voter, which]
        self._sites = np.concatenate([self.xy[voter] + there, self.xy[voter] - there])
        self._voters = np.concatenate([voter, voter])
        self._related = np.concatenate([related, related])
        if len(self._sites):
            self._vote_tree = cKDTree(self._sites)

    def _at(self, points, reach):
        """Numbers of the columns at points; the number of columns where there is none."""
        distance, number = self._tree.query(points)
        return np.where(distance <= reach[:, np.newaxis, np.newaxis], number, len(self.xy))

    def _votes_for(self, point):
        """Numbers of the votes for a site, each from another column than the one at the site."""
        if self._vote_tree is None:
            return np.empty(0, dtype=int)
        longest = _TOLERANCE * self._nearest.max()
        votes = np.array(self._vote_tree.query_ball_point(point, longest), dtype=int)
        reach = _TOLERANCE * self._nearest[self._voters[votes]]
        away = np.hypot(*(self._sites[votes] - point).T)
        return votes[away <= reach]

    def kind_heights(self, heights, points):
        """Height of columns of the kind of each point: the median of those that predict it.

        Where several kinds of columns alternate (Sr and Ti along [001] of the perovskite), only
        lattice vectors between columns of about the same height count.

        Parameters
        ----------
        heights : ndarray of shape (n_columns,)
            Heights of the columns; NaN where they are not known.
        points : ndarray of shape (n_points, 2)
            Positions in px: columns, or sites without a column.

        Returns
        -------
        kind : ndarray of shape (n_points,)
            NaN if fewer than two columns predict the point.
        """
        kind = np.full(len(points), np.nan)
        if self._vote_tree is None:
            return kind
        first, second = (heights[self._related[:, k]] for k in (0, 1))
        differs = np.where(
            self._related[:, 0] == self._related[:, 1], np.nan, np.abs(first - second)
        )
        known = np.isfinite(differs)
        # np.nanmedian warns where nothing is known.
        spread = np.full(len(differs), np.inf)
        some = known.any(axis=1)
        spread[some] = np.nanmedian(differs[some], axis=1)
        for k, point in enumerate(points):
            votes = self._votes_for(point)
            votes = votes[np.isfinite(heights[self._voters[votes]])]
            if len(votes) < 2:
                continue
            values = heights[self._voters[votes]]
            factor, fraction = _ALIKE
            limit = factor * spread[votes].min() + fraction * np.abs(np.median(values))
            alike = np.unique(self._voters[votes[spread[votes] <= limit]])
            if len(alike) >= 2:
                kind[k] = np.median(heights[alike])
        return kind

    def vacant_sites(self):
        """Sites inside the crystal, or in a flat surface of it, that have no column.

        Returns
        -------
        sites : ndarray of shape (n_sites, 2)
            Positions in px, the mean over the columns that predict them; first those that most
            columns predict.
        """
        if self._vote_tree is None:
            return np.empty((0, 2))
        nearest = self._nearest[self._voters]
        distance, _ = self._tree.query(self._sites)
        candidates = np.flatnonzero(distance > _VACANT * nearest)
        found = []
        for k in candidates:
            votes = self._votes_for(self._sites[k])
            site = self._sites[votes].mean(axis=0)
            voters = np.unique(self._voters[votes])
            if len(voters) >= _LEAST_VOTES and self._surrounds(site, voters):
                found.append((len(voters), *site, nearest[votes].min()))
        found.sort(key=lambda entry: -entry[0])
        sites = []
        for _, x, y, apart in found:
            if all(np.hypot(x - u, y - v) > _VACANT * apart for u, v in sites):
                sites.append((x, y))
        return np.array(sites).reshape(-1, 2)

    def is_inside(self, points):
        """Whether columns predict each point from all sides, or from one side and along it."""
        inside = np.zeros(len(points), dtype=bool)
        for k, point in enumerate(points):
            voters = np.unique(self._voters[self._votes_for(point)])
            inside[k] = len(voters) >= _LEAST_VOTES and self._surrounds(point, voters)
        return inside

    def _surrounds(self, site, columns):
        x, y = (self.xy[columns] - site).T
        angle = np.sort(np.degrees(np.arctan2(y, x)))
        return np.diff(angle, append=angle[0] + 360).max() <= _WIDEST_GAP
