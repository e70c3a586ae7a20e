"""What a simulated movie shows: its model, its microscope, and how both are laid into the field."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd

from temdenoise.datasets._catalogue import (
    DEFECTS_OF,
    DEFOCI,
    FIELD_OF_VIEW,
    SUPPORTS,
    THICKNESSES,
    TILTS,
    draw_model,
    draw_optics,
    model_arguments,
)
from temdenoise.datasets._contrast import CONTRASTS, condition_contrast
from temdenoise.simulation import Microscope, pt_ceo2
from temdenoise.simulation.structures import PARTICLES

# Widest model that is built, Angstrom: its wave takes gigabytes and hours beyond.
_MAX_FIELD = 400.0
_MAX_TILT, _THICKNESS_RANGE, _MAX_DEFOCUS = 6.0, (5.0, 500.0), 100.0
# Room that the cell of `pt_ceo2` leaves around its field, Angstrom.
_ROOM = 5.0


@dataclass(frozen=True)
class MovieModel:
    """A model of atoms in a condition, and the microscope that sees it."""

    arguments: dict  # of `pt_ceo2`
    description: dict  # what the Bunch says of it
    microscope: Microscope

    @property
    def tilt(self):
        """Rotations about x and y in degrees."""
        return self.description["tilt_x"], self.description["tilt_y"]


def choose_model(
    seed, *, models, structure, defect, support, contrast, thickness, tilt, defocus, optics
):
    """Draw what is not given of a model, its condition and the microscope; check what is."""
    _check_choice("models", models, ("catalogue", "varied"))
    for name, value, allowed in (
        ("structure", structure, PARTICLES),
        ("support", support, SUPPORTS),
        ("contrast", contrast, CONTRASTS),
    ):
        if value is not None:
            _check_choice(name, value, allowed)
    if models == "varied" and support is not None:
        raise ValueError(
            'Models that are "varied" draw their support: leave support out, or take '
            'models="catalogue".'
        )
    rng = np.random.RandomState([seed, 400])
    structure = str(rng.choice(list(PARTICLES))) if structure is None else structure
    defect = str(rng.choice(DEFECTS_OF[structure])) if defect is None else defect
    _check_choice(f"defect of {structure}", defect, DEFECTS_OF[structure])
    support = "flat" if support is None else support
    condition = _draw_condition(rng, contrast, thickness, tilt, defocus)
    description = {"structure": structure, "defect": defect, "support": support, **condition}
    if models == "varied":
        draw = np.random.RandomState([seed, 401])
        arguments, _, _ = draw_model(draw, [structure], [defect], (0, 0), 1)
        arguments["thickness"] = condition["thickness"]
        description["support"] = "facet" if arguments["facets"] else "flat"
    else:
        arguments = model_arguments(structure, defect, support, condition["thickness"], seed)
    if isinstance(optics, Microscope):
        microscope = optics
    else:
        _check_choice("optics", optics, ("paper", "varied"))
        drawn = draw_optics(seed, 402) if optics == "varied" else {}
        microscope = Microscope(**drawn)
        description |= drawn
    return MovieModel(arguments, description, microscope)


def _check_choice(name, value, allowed):
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}.")


def _check_number(name, value, low, high, unit):
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number ({unit}), got {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g} {unit}, got {value!r}.")
    return float(value)


def _draw_condition(rng, contrast, thickness, tilt, defocus):
    """Thickness, tilt and defocus: those given, else one of the paper's."""
    thicknesses, tilts, defoci = THICKNESSES, TILTS, DEFOCI
    if thickness is not None:
        thicknesses = [_check_number("thickness", thickness, *_THICKNESS_RANGE, "Angstrom")]
    if tilt is not None:
        if np.shape(tilt) != (2,):
            raise ValueError(f"tilt must be rotations about x and y in degrees, got {tilt!r}.")
        tilts = [[_check_number("tilt", t, -_MAX_TILT, _MAX_TILT, "degrees") for t in tilt]]
    if defocus is not None:
        defoci = [_check_number("defocus", defocus, -_MAX_DEFOCUS, _MAX_DEFOCUS, "nm")]
    rows = [(t, *lean, d) for t in thicknesses for lean in tilts for d in defoci]
    table = pd.DataFrame(rows, columns=["thickness", "tilt_x", "tilt_y", "defocus"], dtype=float)
    table["contrast"] = condition_contrast(table)
    if contrast is not None:
        table = table[table["contrast"] == contrast]
        if not len(table):
            raise ValueError(
                f"None of the paper's conditions of {contrast} contrast has thickness={thickness}, "
                f"tilt={tilt}, defocus={defocus}: give fewer of them, or leave contrast out."
            )
    return table.iloc[rng.randint(len(table))].to_dict()


def lay_out(model, path, pixel_size, rng):
    """Build the atoms, wide enough for all frames.

    Returns the structure and the (y, x) in its cell, Angstrom, of the first pixel of a frame
    without drift and rotation. The particle is near the middle of the frames, or, of a frame too
    small for it, its top.
    """
    arguments = dict(model.arguments)
    shift = arguments.pop("shift")[0]
    trial = pt_ceo2(field_of_view=FIELD_OF_VIEW, **arguments)
    platinum = trial.positions[trial.numbers == 78]
    surface = trial.info["origin"][0] + FIELD_OF_VIEW - arguments["support"]
    tall = surface - platinum[:, 1].min()
    wide = np.abs(platinum[:, 0] - trial.extent[1] / 2).max()

    # In Angstrom from the point of the support's surface below the middle of the particle.
    step = pixel_size / 100
    size = (np.array(path.shape) - 1) * step
    vacuum = max(0.45 * (size[0] - tall), 0.25 * size[0])  # above the particle
    centre = np.array([size[0] / 2 - vacuum - tall, 0.0]) + rng.uniform(-0.06, 0.06, 2) * size
    origin = centre - path.mean_centre() * step
    low, high = (origin + edge * step for edge in path.bounds())
    # what the lens lays further than the cell has room for must not come around its border
    room = max(0.0, model.microscope.delocalisation(model.description["defocus"]) - _ROOM)

    support = max(high[0] + room, 6.0)
    field = max(
        support + max(room - low[0], tall + 3.0),
        2 * (max(-low[1], high[1]) + room),
        2 * wide + 8.0,
    )
    if field > _MAX_FIELD:
        raise ValueError(
            f"The frames show {field:.0f} Angstrom of the model together, more than "
            f"{_MAX_FIELD:g}: take a smaller shape or pixel_size, or less drift."
        )
    for name in ("facets", "steps"):  # they stay where they are beside the particle
        moved = field / 2 - FIELD_OF_VIEW / 2 - shift
        arguments[name] = [(x + moved, value) for x, value in arguments.get(name, ())]
    structure = pt_ceo2(field_of_view=field, **arguments | {"support": support})
    corner = np.array(structure.info["origin"]) + [field - support, field / 2]
    return structure, corner + origin
