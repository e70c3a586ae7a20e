"""The paper's set with surface defects (Section 5.3.2)."""

from dataclasses import replace
from numbers import Integral

import numpy as np
import pandas as pd

from temdenoise.datasets._catalogue import FIELD_OF_VIEW, ModelImages, lean, model_arguments
from temdenoise.datasets._contrast import condition_contrast
from temdenoise.datasets._ptceo2 import _names, _seed, generate
from temdenoise.simulation.structures import pt_ceo2
from temdenoise.simulation.surface_defects import SURFACE_CHANGES, surface_sites

SITES = 11  # of each change: 44 models
# The paper has 6 to 10 nm, and 308 images of 44 models: seven defoci.
DEFOCI = tuple(float(value) for value in np.linspace(6, 10, 7))
THICKNESS, TILT = 40.0, (3.0, -1.0)


def make_ptceo2_surface(
    n_images=None,
    *,
    change=None,
    preset="quick",
    pixel_size=None,
    out=None,
    n_jobs=None,
    client=None,
    device="cpu",
    random_state=0,
    verbose=False,
):
    """Simulate clean images of a Pt nanoparticle with missing or added surface atoms.

    Section 5.3.2 of the paper measures the detection of surface atoms on this set: 44 models of the
    particle PtNp2 on 40 Angstrom of CeO2, tilted by 3 degrees about x and -1 about y, each at seven
    defoci from 6 to 10 nm, 308 images. Each model differs from the perfect one in one place: one
    atom of a surface column is removed, two are removed, all but one are removed, or an atom is
    added on a new site. There are eleven models of each change, at the sites with fewest (or, for
    added atoms, most) neighbours.

    Parameters
    ----------
    n_images : int, optional
        Number of images to take from the start of the selection. By default all.
    change : str or sequence of str, optional
        Select from "removed-1", "removed-2", "single", "added".
    preset, pixel_size, out, n_jobs, client, device, verbose
        As in `make_ptceo2`.
    random_state : int, RandomState instance or None, default=0
        Determines the place of the particle in the field.

    Returns
    -------
    sklearn.utils.Bunch
        As from `make_ptceo2`. But instead of defect and support, ``frame`` has the columns change,
        site (its number), and site_x, site_y: the position of the change in pixels of the image.
        ``contrast`` is that of the nearest condition of `make_ptceo2`. ``groups`` is the change.

    Raises
    ------
    ValueError, FileExistsError, OSError
        As `make_ptceo2`.

    Notes
    -----
    The paper gives the kinds of change, the 44 models, the imaging conditions and 308 images, but
    neither the single models nor the steps of the defocus. Sites and steps are chosen here.

    Examples
    --------
    >>> from temdenoise.datasets import make_ptceo2_surface
    >>> sim = make_ptceo2_surface(7, change="single")
    >>> sim.data.shape, sim.frame["defocus"].round(2).tolist()
    ((7, 256, 256), [6.0, 6.67, 7.33, 8.0, 8.67, 9.33, 10.0])
    """
    changes = _names("change", change, SURFACE_CHANGES) or list(SURFACE_CHANGES)
    seed = _seed(random_state, out)
    jobs, frame = surface_models(changes, seed)
    if n_images is not None:
        if not isinstance(n_images, Integral) or not 1 <= n_images <= len(frame):
            raise ValueError(f"n_images must be from 1 to {len(frame)}, got {n_images!r}.")
        n_models = -(-n_images // len(DEFOCI))
        jobs, frame = jobs[:n_models], frame.iloc[:n_images].copy()
        kept = n_images - jobs[-1].start
        jobs[-1] = replace(jobs[-1], chosen=jobs[-1].chosen[:kept])
    selection = {
        "models": "surface",
        "n_images": len(frame),
        "change": changes,
        "random_state": seed,
    }
    sim = generate(
        jobs,
        frame,
        "ptceo2_surface.rst",
        selection,
        preset=preset,
        pixel_size=pixel_size,
        out=out,
        n_jobs=n_jobs,
        client=client,
        device=device,
        verbose=verbose,
    )
    to_pixels = 100 / sim.pixel_size
    sim.frame[["site_x", "site_y"]] *= to_pixels
    sim.groups = sim.frame["change"].to_numpy(dtype=str)
    return sim


def surface_models(changes, seed):
    """Jobs and frame (sites in Angstrom in the field) of the set."""
    arguments = model_arguments("PtNp2", "D0", "flat", THICKNESS, seed)
    tilt = lean(*TILT)
    perfect = pt_ceo2(field_of_view=FIELD_OF_VIEW, **arguments)
    origin = np.array(perfect.info["origin"][::-1])
    columns, new = surface_sites(perfect)
    atoms = perfect.positions[perfect.numbers == 78]
    # columns need at least four atoms, so that each change leaves a different number
    tall = [
        k for k, xy in enumerate(columns) if (np.hypot(*(atoms[:, :2] - xy).T) < 0.3).sum() >= 4
    ]
    jobs, rows = [], []
    for i, change in enumerate(SURFACE_CHANGES):
        for k in range(SITES):
            index = k if change == "added" else tall[k]
            if change not in changes:
                continue
            site = new[index] if change == "added" else columns[index]
            # a column appears at its position at half depth, a single atom at that of its own depth
            depth = site[2] - perfect.thickness / 2 if change == "added" else 0.0
            x, y = site[:2] - origin + np.tan(np.radians(tilt)) * depth
            jobs.append(
                ModelImages(
                    arguments,
                    tilt,
                    DEFOCI,
                    tuple(range(len(DEFOCI))),
                    len(rows),
                    (change, index),
                )
            )
            head = (i * SITES + k, "PtNp2", change, index, x, y, THICKNESS, *TILT)
            rows += [(*head, defocus) for defocus in DEFOCI]
    names = ["model", "structure", "change", "site", "site_x", "site_y"]
    names += ["thickness", "tilt_x", "tilt_y", "defocus"]
    frame = pd.DataFrame(rows, columns=names)
    # the nearest condition of the catalogue: tilted about x alone, whole nm
    nearest = frame.assign(tilt_y=0.0, defocus=frame["defocus"].round())
    frame["contrast"] = condition_contrast(nearest)
    return jobs, frame
