"""Simulate images of any atoms in one call."""

import math

import numpy as np
import pandas as pd

from temdenoise._lengths import check_pixel_size
from temdenoise.images import ImageStack
from temdenoise.simulation._atoms import (
    check_positive,
    check_slices,
    fill_box,
    read_atoms,
    turn_to_zone_axis,
)
from temdenoise.simulation.detector import Detector, sample_image
from temdenoise.simulation.multislice import exit_wave
from temdenoise.simulation.optics import Microscope
from temdenoise.simulation.scattering import element_symbol
from temdenoise.simulation.structures import Structure

# Largest grid, in samples per side: 16384^2 complex numbers are 2 GB.
_MAX_GRID = 16384


def simulate(
    atoms,
    *,
    pixel_size=6.0,
    shape=None,
    field_of_view=None,
    defocus=6.0,
    microscope=None,
    tilt=(0.0, 0.0),
    zone_axis=None,
    thickness=None,
    padding=None,
    dose=0.45,
    detector=None,
    sampling=0.1,
    slice_thickness=1 / 6,
    absorption=None,
    debye_waller=None,
    return_columns=False,
    device="cpu",
):
    """Simulate clean TEM images of any atoms (the method of Appendix A.1 of the paper).

    In the image, x of the atoms points to the right, y *down*, and z along the beam. A crystal with
    a rectangular cell along these axes is repeated and imaged without borders. Other crystals, and
    those turned by `zone_axis`, fill the field and a margin around it that is simulated but not
    shown. Atoms without a cell are in the middle of vacuum.

    Parameters
    ----------
    atoms : ase.Atoms, str, path, or tuple (numbers, positions, cell)
        The specimen: an ASE object, the path of a structure file that ASE reads (.cif, .xyz; needs
        ``temdenoise[simulation]``), or atomic numbers (n,), positions (n, 3) in Angstrom and a
        cell. The cell is three lengths or three vectors (rows) in Angstrom, periodic in all
        directions, or None for atoms in vacuum.
    pixel_size : float, default=6
        Pixel size in pm.
    shape : int or tuple of int, optional
        (height, width) in pixels. By default it follows from `field_of_view`; without that, it is
        the whole cell (rounded to pixels), or the atoms with 5 Angstrom around them.
    field_of_view : float or tuple of float, optional
        (height, width) in Angstrom. Give either this or `shape`.
    defocus : float or array-like of shape (n_defocus,), default=6
        C1 in nm, overfocus positive. A series is calculated from one exit wave.
    microscope : Microscope, optional
        The optics. By default those of the paper.
    tilt : tuple of float, default=(0, 0)
        Specimen tilt towards x and y in degrees, up to 6.
    zone_axis : tuple of int, optional
        Lattice direction [u, v, w] of a crystal that is turned along the beam.
    thickness : float, optional
        Thickness in Angstrom along the beam. Crystals are repeated or cut to it. By default one
        cell (of a crystal), or the extent of the atoms.
    padding : float, optional
        Margin in Angstrom around the field, for specimens that do not repeat without borders. By
        default the delocalisation by the lens plus 5 Angstrom. A margin below the delocalisation
        is refused.
    dose : float, default=0.45
        Electrons per pixel in vacuum. Counts are the dose times the detector's DQE.
    detector : Detector, optional
        Blur and losses of the detector. By default there are none.
    sampling : float, default=0.1
        Lateral sampling of the wave in Angstrom.
    slice_thickness : float, default=1/6
        Slice thickness in Angstrom.
    absorption, debye_waller
        As in `exit_wave`.
    return_columns : bool, default=False
        Also return the positions of the atom columns.
    device : str or torch.device, default="cpu"
        Where to compute, such as "cuda".

    Returns
    -------
    images : ImageStack, float32, shape (n_defocus, height, width)
        Mean counts per pixel, without noise (`PoissonNoise` draws it). It knows its pixel size.
    columns : pandas.DataFrame
        Only with `return_columns`: x, y (px), element and occupancy (atoms) of the columns inside
        the field. Positions in tilted specimens are those at half depth.

    Raises
    ------
    TypeError, ValueError
        If atoms are not valid (outside the cell, too close, unknown, partly occupied), or numbers
        are out of range. The message names the value and the remedy.
    FileNotFoundError, ImportError
        If the file does not exist, or ASE is not installed to read it.

    Examples
    --------
    >>> from temdenoise.simulation import simulate
    >>> copper = [29] * 4, [[0, 0, 0], [0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], [3.6] * 3
    >>> images = simulate(copper, shape=(96, 128), thickness=36, defocus=[4, 8])
    >>> images.shape, images.dtype, images.pixel_size
    ((2, 96, 128), dtype('float32'), 6.0)
    """
    pixel_size = check_pixel_size(pixel_size)
    check_positive("dose", dose, "electrons per pixel")
    check_positive("sampling", sampling)
    check_slices(1.0 if thickness is None else thickness, slice_thickness)
    defocus = np.atleast_1d(np.asarray(defocus, dtype=np.float64))
    if defocus.ndim != 1 or defocus.size == 0 or not np.isfinite(defocus).all():
        raise ValueError(f"defocus must be finite and not empty (nm), got {defocus.tolist()}.")
    microscope = Microscope() if microscope is None else microscope
    detector = Detector() if detector is None else detector
    _check_pixels(pixel_size, microscope, detector, defocus)

    specimen = read_atoms(atoms)
    if zone_axis is not None:
        specimen = turn_to_zone_axis(specimen, zone_axis)
    shape = _field_in_pixels(specimen, pixel_size, shape, field_of_view)
    field = np.array(shape) * (pixel_size / 100)
    padding = _check_padding(padding, microscope, defocus)
    _grid(field, sampling)  # refuses a field that is too large before it is filled with atoms
    model, origin = _lay_out(specimen, field, padding, thickness, zone_axis is not None)
    check_slices(model.thickness, slice_thickness)

    wave = exit_wave(
        model.numbers,
        model.positions,
        model.extent,
        _grid(model.extent, sampling),
        thickness=model.thickness,
        slice_thickness=slice_thickness,
        voltage=microscope.voltage,
        tilt=tilt,
        absorption=absorption,
        debye_waller=debye_waller,
        device=device,
    )
    spectra, _ = microscope.image_spectra(wave, model.extent, defocus)
    spectra = detector.blur(spectra, model.extent, pixel_size)
    images = sample_image(spectra, model.extent, pixel_size, shape, origin).cpu().numpy()
    images *= dose * detector.dqe
    images = ImageStack(images, pixel_size)
    if not return_columns:
        return images
    return images, _columns_in_field(model, tilt, origin, pixel_size, shape)


def _check_pixels(pixel_size, microscope, detector, defocus):
    """Refuse a point sampling that is too coarse for the detail in the image: it would alias."""
    if detector.pixel_integration or detector.mtf is not None:
        return
    limit = max(microscope.information_limit(d) for d in (defocus.min(), defocus.max()))
    if limit < math.inf and pixel_size > 50 / limit:
        raise ValueError(
            f"pixel_size {pixel_size:g} pm is too coarse: the microscope transfers up to "
            f"{limit:.2f} 1/Angstrom, which needs {50 / limit:.1f} pm or less. Or let the "
            "detector average over its pixels: Detector(pixel_integration=True)."
        )


def _field_in_pixels(specimen, pixel_size, shape, field_of_view):
    if shape is not None and field_of_view is not None:
        raise ValueError("Give shape or field_of_view, not both.")
    if shape is not None:
        sizes = np.ravel(shape)
        if sizes.dtype.kind not in "iuf":
            raise TypeError(f"shape must hold whole numbers, got {shape!r}.")
        if sizes.size not in (1, 2) or (sizes < 1).any() or (sizes != np.round(sizes)).any():
            raise ValueError(f"shape must be one or two positive whole numbers, got {shape!r}.")
        return tuple(int(n) for n in np.broadcast_to(sizes, 2))
    if field_of_view is None:
        if specimen.is_rectangular:
            field_of_view = specimen.cell[1, 1], specimen.cell[0, 0]
        elif specimen.cell is not None:
            raise ValueError("Give shape or field_of_view, because the cell is not rectangular.")
        else:
            field_of_view = np.ptp(specimen.positions[:, 1::-1], axis=0) + 10
    lengths = np.ravel(np.asarray(field_of_view, dtype=float))
    if lengths.size not in (1, 2) or not ((lengths > 0) & (lengths < math.inf)).all():
        raise ValueError(
            f"field_of_view must be one or two positive lengths in Angstrom, got {field_of_view!r}."
        )
    sizes = np.round(np.broadcast_to(lengths, 2) * 100 / pixel_size).astype(int)
    if min(sizes) < 1:
        raise ValueError(
            f"field_of_view {field_of_view!r} Angstrom is less than a pixel of {pixel_size:g} pm."
        )
    return tuple(int(n) for n in sizes)


def _check_padding(padding, microscope, defocus):
    needed = microscope.delocalisation(defocus)
    if padding is None:
        return needed + 5.0
    check_positive("padding", padding)
    if not needed <= padding < math.inf:
        raise ValueError(
            f"padding is {padding!r} Angstrom, but at these defoci the lens displaces details by "
            f"up to {needed:.1f} Angstrom, so the image would wrap around. Give at least this "
            "padding, or leave padding out."
        )
    return float(padding)


def _lay_out(specimen, field, padding, thickness, cut):
    """Put the atoms into a periodic box; return the box and (y, x) of the first pixel in it."""
    if specimen.cell is None:
        return _in_vacuum(specimen, field, padding, thickness)
    if thickness is None:
        if cut or not specimen.is_upright:
            raise ValueError("Give the thickness in Angstrom: the cell is not along the beam.")
        thickness = specimen.cell[2, 2]
    depth = specimen.cell[2, 2]
    if specimen.is_upright and not cut and thickness > depth + 1e-6 and not specimen.periodic[2]:
        raise ValueError(
            f"thickness {thickness:g} is more than the cell's {depth:g} Angstrom along the beam, "
            "and the cell is not periodic along it. Leave thickness out, or set pbc."
        )
    if specimen.is_rectangular and not cut:
        lengths = np.diag(specimen.cell)
        if (lengths <= 0).any():
            raise ValueError(f"The cell's lengths must be positive, got {lengths.tolist()}.")
        if all(specimen.periodic[:2]):
            extent = lengths[1::-1]
            # several cells: a scattered beam must not cross a small cell more than once
            extent = extent * np.ceil(np.maximum(field, 20.0) / extent - 1e-9)
            numbers, positions = fill_box(specimen, (0, 0, 0), (*extent[::-1], thickness))
            return _model(numbers, positions, extent, thickness), (0.0, 0.0)
    if not any(specimen.periodic[:2]):
        return _in_vacuum(specimen, field, padding, thickness)
    if not all(specimen.periodic[:2]):
        raise ValueError(
            f"The specimen is periodic along one side of the image only (pbc {specimen.periodic}). "
            "Make it periodic along both with vacuum in its cell, or along none."
        )
    extent = field + 2 * padding
    numbers, positions = fill_box(
        specimen, (-padding, -padding, 0), (*(field[::-1] + padding), thickness)
    )
    positions = positions + [padding, padding, 0]
    # opposite sides of the crystal meet where the box repeats: leave a gap as wide as a bond
    inside = (positions[:, :2] < extent[::-1] - 2.0).all(axis=1)
    return _model(numbers[inside], positions[inside], extent, thickness), (padding, padding)


def _in_vacuum(specimen, field, padding, thickness):
    """Put atoms that are not periodic in the middle of a box of vacuum."""
    low, high = specimen.positions.min(axis=0), specimen.positions.max(axis=0)
    depth = high[2] - low[2]
    if thickness is None:
        thickness = depth + 1.0
    elif thickness < depth:
        raise ValueError(
            f"The atoms are {depth:.2f} Angstrom deep and do not fit thickness {thickness:g}. "
            "Raise the thickness or remove atoms."
        )
    extent = np.maximum(field, (high - low)[1::-1]) + 2 * padding
    middle = np.array([extent[1], extent[0], thickness]) / 2
    positions = specimen.positions - (low + high) / 2 + middle
    return _model(specimen.numbers, positions, extent, thickness), tuple((extent - field) / 2)


def _model(numbers, positions, extent, thickness):
    if len(numbers) == 0:
        raise ValueError(
            f"No atom lies in the first {thickness:g} Angstrom of the cell: raise the thickness."
        )
    positions = positions.copy()
    positions[:, 2] = positions[:, 2].clip(0, thickness)  # rounding
    extent = tuple(float(length) for length in extent)
    return Structure(numbers, positions, extent, float(thickness))


def _grid(extent, sampling):
    """Grid at least as fine as `sampling`, with sizes for which the FFT is fast."""
    shape = tuple(_fast_size(math.ceil(length / sampling - 1e-9)) for length in extent)
    if max(shape) > _MAX_GRID:
        raise ValueError(
            f"{extent[0]:.0f} x {extent[1]:.0f} Angstrom sampled every {sampling:g} Angstrom needs "
            f"a grid of {shape}, more than {_MAX_GRID}. Use a smaller field or a coarser sampling."
        )
    return shape


def _fast_size(n):
    from scipy.fft import next_fast_len

    n = next_fast_len(max(n, 2))
    while n % 2:  # the highest frequency is the same on both sides
        n = next_fast_len(n + 1)
    return n


def _columns_in_field(model, tilt, origin, pixel_size, shape):
    columns = model.columns(tilt)
    symbols = {str(z): element_symbol(z) for z in np.unique(model.numbers)}
    columns["element"] = columns["element"].replace(symbols)
    if model.extent[0] > 0 and origin == (0.0, 0.0):  # no border: columns on the left edge show
        columns = _repeat_border(columns, model.extent)
    columns[["x", "y"]] = (columns[["x", "y"]] - np.array(origin[::-1])) * (100 / pixel_size)
    inside = columns["x"].between(-0.5, shape[1] - 0.5) & columns["y"].between(-0.5, shape[0] - 0.5)
    return columns[inside].reset_index(drop=True)


def _repeat_border(columns, extent):
    """Columns of a crystal without borders, also those in the neighbouring cells."""
    copies = [
        columns.assign(x=columns["x"] + i * extent[1], y=columns["y"] + j * extent[0])
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    return pd.concat(copies, ignore_index=True)
