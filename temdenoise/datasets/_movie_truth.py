"""Tables of what a simulated movie shows: atom columns of each frame, events, frames."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from temdenoise.datasets._movie_events import EVENT_COLUMNS, altered

_SAME = 0.05  # Angstrom: columns of different states nearer than this are one


class ColumnTruth:
    """Atom columns, each with a number that it keeps through the movie.

    Those of the model without events come first, in the order of `Structure.columns`; columns that
    events bring follow.
    """

    def __init__(self, scene, events, states):
        self._scene = scene
        table = scene.structure.columns(scene.tilt)
        self._known = table[["x", "y"]].to_numpy()
        self._states = []
        for state in states:
            structure = altered(scene.structure, [events[i] for i in state])
            table = structure.columns(scene.tilt)
            xy = table[["x", "y"]].to_numpy()
            table.insert(0, "column", self._numbers(xy))
            self._states.append((table, scene.of_xy(xy)))

    def _numbers(self, xy):
        """Numbers of columns at these places (x, y); places not yet known get new ones."""
        distance, number = cKDTree(self._known).query(xy)
        new = distance > _SAME
        number[new] = len(self._known) + np.arange(new.sum())
        self._known = np.concatenate([self._known, xy[new]])
        return number

    def of_frame(self, k, state):
        """Table of the columns inside frame k, which shows a state."""
        table, scene = self._states[state]
        path = self._scene.path
        pixels = path.to_frame(k, scene)
        table = table.assign(x=pixels[:, 1], y=pixels[:, 0])
        return table[path.shows(k, scene, 0)].reset_index(drop=True)

    def of_events(self, events):
        """Table of the events, positions in the first frame of each."""
        rows = []
        for event in events:
            row = {"kind": event.kind, "element": "Pt"}
            row |= {"first_frame": event.first, "last_frame": event.last}
            first, second = (event.come, None) if event.gone is None else (event.gone, event.come)
            for prefix, atoms in (("", first), ("to_", second)):
                row |= self._describe(prefix, atoms, event.first)
            rows.append(row)
        table = pd.DataFrame(rows, columns=EVENT_COLUMNS)
        whole = ["first_frame", "last_frame", "occupancy", "column", "to_occupancy", "to_column"]
        places = ["x", "y", "to_x", "to_y"]
        return table.astype(dict.fromkeys(whole, int) | dict.fromkeys(places, float))

    def _describe(self, prefix, atoms, k):
        names = [prefix + name for name in ("x", "y", "occupancy", "column")]
        if atoms is None:
            return dict(zip(names, (np.nan, np.nan, 0, -1), strict=True))
        scene = self._scene.of_atoms(atoms)
        y, x = self._scene.path.to_frame(k, scene)
        place = scene[::-1] * self._scene.step + self._scene.origin[::-1]
        number = int(self._numbers(place[None])[0])
        return dict(zip(names, (x, y, len(atoms), number), strict=True))
