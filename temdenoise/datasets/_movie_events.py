"""Events of a simulated movie: surface columns that vanish, appear or hop for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd

from temdenoise.simulation.surface_defects import (
    PLATINUM,
    new_columns,
    surface_sites,
    with_platinum,
    without_column,
)

KINDS = ("vanish", "appear", "hop")
EVENT_COLUMNS = [
    "kind", "element", "first_frame", "last_frame", "x", "y", "occupancy", "column",
    "to_x", "to_y", "to_occupancy", "to_column",
]  # fmt: skip
_GIVEN = ("x", "y", "to_x", "to_y", "first_frame", "last_frame")
# Places that change in the same frames are this far apart in projection (Angstrom): atoms of one
# neither bond to those of the other nor lack them.
_APART = 4.0
# A place that is asked for may be this far from the nearest that there is (Angstrom).
_REACH = 1.5
# An event drawn at random is this far inside the frame (Angstrom), and changes so many atoms, if
# the particle has such columns.
_MARGIN, _FEW_ATOMS = 2.0, 3
_N_TRIES = 50


@dataclass(frozen=True)
class Event:
    """What changes, and in which frames: atoms (n, 3) in Angstrom that go, and that come."""

    kind: str
    first: int
    last: int
    gone: np.ndarray | None = None
    come: np.ndarray | None = None

    def overlaps(self, first, last):
        """Whether it lasts in one of these frames."""
        return self.first <= last and first <= self.last

    @property
    def places(self):
        """Positions (n, 2) of its columns in projection, upright."""
        return np.array([a[:, :2].mean(axis=0) for a in (self.gone, self.come) if a is not None])


def altered(structure, events):
    """Apply what these events change to a structure."""
    for event in events:
        if event.gone is not None:
            structure = without_column(structure, event.gone[:, :2].mean(axis=0))
    for event in events:
        if event.come is not None:
            structure = with_platinum(structure, event.come)
    return structure


class Scene:
    """A model and where its atoms are in the frames."""

    def __init__(self, structure, tilt, origin, pixel_size, path):
        self.structure, self.tilt, self.path = structure, tilt, path
        self.origin, self.step = np.asarray(origin), pixel_size / 100

    def of_atoms(self, atoms):
        """(y, x) of a column in px of the scene: at half depth, or where its atoms put it."""
        lean = np.tan(np.radians(self.tilt)) * (atoms[:, 2:] - self.structure.thickness / 2)
        return self.of_xy((atoms[:, :2] + lean).mean(axis=0))

    def of_xy(self, xy):
        """(y, x) in px of the scene of positions (x, y) in Angstrom."""
        return (np.asarray(xy)[..., ::-1] - self.origin) / self.step


def choose_events(scene, events, event_frames, rng):
    """Find a place and frames for each event that is asked for, a number or a list of dicts."""
    n_frames = len(scene.path.drift)
    requests = _requests(events, n_frames, rng)
    free = any(not {"first_frame", "last_frame"} & request.keys() for request in requests)
    shortest, longest = _check_durations(event_frames, n_frames, free)
    columns, empty = _surface(scene.structure)
    chosen = []
    for number, request in enumerate(requests):
        name = f"Event {number} ({request['kind']})"
        for _ in range(_N_TRIES):
            first, last = _draw_frames(request, n_frames, shortest, longest, rng)
            event = _place(scene, request, first, last, columns, empty, chosen, name, rng)
            if event is not None:
                chosen.append(event)
                break
        else:
            raise ValueError(
                f"{name} finds no place: each needs one inside the frame and {_APART:g} Angstrom "
                "from all that changes in the same frames. Ask for fewer or shorter events, a "
                "larger shape, or a larger particle."
            )
    return chosen


# --- what is asked for --------------------------------------------------------------------------


def _requests(events, n_frames, rng):
    if isinstance(events, pd.DataFrame):
        events = events.to_dict("records")
    if isinstance(events, Integral) and not isinstance(events, bool):
        if events < 0:
            raise ValueError(f"events must not be negative, got {events}.")
        first = rng.randint(len(KINDS))
        return [{"kind": KINDS[(first + i) % len(KINDS)]} for i in range(events)]
    if not isinstance(events, list | tuple) or not all(isinstance(e, Mapping) for e in events):
        raise TypeError(
            f"events must be a number, a list of dicts or a pandas.DataFrame, got {events!r}."
        )
    return [_check_request(i, dict(event), n_frames) for i, event in enumerate(events)]


def _check_request(number, event, n_frames):
    unknown = sorted(set(map(str, event)) - set(EVENT_COLUMNS))
    if unknown:
        raise ValueError(
            f"Event {number} names {unknown}; what can be said of it is kind and {list(_GIVEN)}."
        )
    if event.get("kind") not in KINDS:
        raise ValueError(
            f"Event {number} must have a kind, one of {list(KINDS)}; got {event.get('kind')!r}."
        )
    # of a frame of events that a movie came with, what does not apply is NaN
    request = {k: event[k] for k in _GIVEN if k in event and not pd.isna(event[k])}
    for key, value in request.items():
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            raise TypeError(f"Event {number}: {key} must be a number, got {value!r}.")
    for key in ("first_frame", "last_frame"):
        value = request.get(key, 0)
        if value != int(value) or not 0 <= value < n_frames:
            raise ValueError(
                f"Event {number}: {key} must be a frame of the movie, 0 to {n_frames - 1}, got "
                f"{value!r}."
            )
    first, last = request.get("first_frame", 0), request.get("last_frame", n_frames - 1)
    if first > last:
        raise ValueError(f"Event {number} ends (frame {last}) before it begins ({first}).")
    for x, y in (("x", "y"), ("to_x", "to_y")):
        if (x in request) != (y in request):
            raise ValueError(f"Event {number}: give both {x} and {y}, or neither.")
    if "x" in request and "first_frame" not in request:
        raise ValueError(
            f"Event {number}: x and y are those in its first frame: give first_frame too."
        )
    if "to_x" in request and event["kind"] != "hop":
        raise ValueError(f"Event {number}: only a hop has to_x and to_y.")
    if "to_x" in request and "first_frame" not in request:
        raise ValueError(f"Event {number}: to_x and to_y need first_frame too.")
    return {"kind": event["kind"], **request}


def _check_durations(event_frames, n_frames, free):
    """Return the shortest and longest duration; `free` says whether an event has no frames yet."""
    pair = (event_frames, event_frames) if isinstance(event_frames, Integral) else event_frames
    whole = np.shape(pair) == (2,) and all(isinstance(n, Integral) for n in pair)
    if not whole or isinstance(event_frames, bool) or not 1 <= pair[0] <= pair[1]:
        raise ValueError(
            "event_frames must be the shortest and longest duration of an event in frames (or one "
            f"number), from 1 on; got {event_frames!r}."
        )
    if free and pair[0] > n_frames - 1:
        raise ValueError(
            f"An event of {pair[0]} frames, with a frame before it, needs a movie of at least "
            f"{pair[0] + 1} frames; it has {n_frames}. Give more n_frames, shorter event_frames or "
            "events=0."
        )
    return pair[0], max(pair[0], min(pair[1], n_frames - 1))


def _draw_frames(request, n_frames, shortest, longest, rng):
    """First and last frame: a frame before the event shows it, and mostly one after it."""
    duration = rng.randint(shortest, longest + 1)
    first, last = request.get("first_frame"), request.get("last_frame")
    if first is None and last is None:
        first = rng.randint(1, max(2, n_frames - duration))
    elif first is None:
        first = max(0, last - duration + 1)
    if last is None:
        last = min(n_frames - 1, first + duration - 1)
    return int(first), int(last)


# --- where it can happen --------------------------------------------------------------------------


def _surface(structure):
    """Columns at the surface, and columns it could gain: lists of positions of atoms (n, 3)."""
    platinum = structure.positions[structure.numbers == PLATINUM]
    columns = []
    for xy in surface_sites(structure)[0]:
        atoms = platinum[np.hypot(*(platinum[:, :2] - xy).T) < 0.3]
        columns.append(atoms[np.argsort(atoms[:, 2])])
    return columns, new_columns(structure)


def _place(scene, request, first, last, columns, empty, others, name, rng):
    """Choose the columns of an event in these frames; None if there are none at random."""
    beside = [e.places for e in others if e.overlaps(first, last)]
    beside = np.concatenate(beside) if beside else np.empty((0, 2))

    def select(candidates, x, y):
        place = (request[y], request[x]) if x in request else None
        return _select(scene, candidates, place, first, last, beside, name, rng)

    kind = request["kind"]
    if kind == "appear":
        come = select(empty, "x", "y")
        return None if come is None else Event(kind, first, last, None, come)
    gone = select(columns, "x", "y")
    if gone is None or kind == "vanish":
        return None if gone is None else Event(kind, first, last, gone)
    # It goes to a place that holds without it, and that is not its own.
    left = gone[:, :2].mean(axis=0)
    targets = [
        _middle_of(column, len(gone))
        for column in new_columns(without_column(scene.structure, left))
        if np.hypot(*(column[:, :2].mean(axis=0) - left)) > 0.5
    ]
    come = select(targets, "to_x", "to_y")
    return None if come is None else Event(kind, first, last, gone, come)


def _middle_of(column, n):
    """Return at most n neighbouring atoms of a column, from its middle."""
    start = max(0, (len(column) - n) // 2)
    return column[start : start + n]


def _select(scene, candidates, place, first, last, beside, name, rng):
    seen = np.array([scene.of_atoms(atoms) for atoms in candidates]).reshape(-1, 2)
    upright = np.array([atoms[:, :2].mean(axis=0) for atoms in candidates]).reshape(-1, 2)
    gaps = np.linalg.norm(upright[:, None] - beside[None], axis=2)
    free = (gaps > _APART).all(axis=1)
    if place is not None:
        pixels = scene.path.to_frame(first, seen)
        distance = np.hypot(*(pixels - place).T) * scene.step
        if not len(distance) or distance.min() > _REACH:
            nearest = pixels[distance.argmin()] if len(distance) else (np.nan, np.nan)
            raise ValueError(
                f"{name}: there is no place for it at x = {place[1]:g}, y = {place[0]:g} px in "
                f"frame {first}; the nearest is x = {nearest[1]:.1f}, y = {nearest[0]:.1f}."
            )
        index = int(distance.argmin())
        if not free[index]:
            raise ValueError(
                f"{name} is within {_APART:g} Angstrom of another event in the same frames: move "
                "one of them, in place or time."
            )
        return candidates[index]
    near = range(max(0, first - 1), min(len(scene.path.drift), last + 2))
    for k in near:
        free &= scene.path.shows(k, seen, _MARGIN / scene.step)
    n_atoms = np.array([len(atoms) for atoms in candidates], dtype=int)
    if (free & (n_atoms >= _FEW_ATOMS)).any():
        free &= n_atoms >= _FEW_ATOMS
    return candidates[rng.choice(np.flatnonzero(free))] if free.any() else None
