"""The support of the paper's images: a perfect CeO2 crystal, fitted to its part of the image."""

import numpy as np
from scipy.optimize import least_squares

from temdenoise.simulation import Microscope, exit_wave, sample_image
from temdenoise.simulation._atoms import fill_box, read_atoms

CERIA_LATTICE = 5.411  # Angstrom
AXES = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6], [3], [2]])  # x, up, beam
CERIA = (
    [58] * 4 + [8] * 8,
    [[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]]
    + [[x, y, z] for x in (1, 3) for y in (1, 3) for z in (1, 3)],  # in quarters of the cell
)
PERIOD = np.array([CERIA_LATTICE * np.sqrt(1.5), CERIA_LATTICE * np.sqrt(3)])  # x, y; Angstrom
PLANE, ROW = CERIA_LATTICE / np.sqrt(8), CERIA_LATTICE / np.sqrt(3)  # along the beam, along y
THICKNESSES, TILTS, DEFOCI = (30, 40, 50, 60), range(5), np.arange(21.0)
VACUUM = 0.45  # counts per pixel
BORDER = 40  # pixels not compared

# name: (start, unit of the fit). Debye-Waller factors in Angstrom^2, the rest as in Microscope.
FREE = {
    "x": (0.0, 0.1),
    "y": (0.0, 0.1),
    "pixel_size": (4.892, 0.004),
    "defocus": (6.0, 1.0),
    "tilt_x": (0.0, 0.5),
    "tilt_y": (0.0, 0.5),
    "focal_spread": (4.0, 1.0),
    "vibration": (50.0, 10.0),
    "ce": (0.5, 0.2),
    "o": (0.2, 0.2),
}


def ceria_atoms(lower, upper, mirror):
    """Atoms of CeO2 in a box (x, y down, z), with a Ce atom of a surface plane at the origin."""
    turn = CERIA_LATTICE * AXES.T * [mirror, -1, 1]
    crystal = read_atoms((CERIA[0], np.array(CERIA[1]) / 4 @ turn, turn))
    return fill_box(crystal, lower, upper)


def ceria_cell(planes, mirror):
    """Atoms of one period of the projected crystal."""
    return ceria_atoms((0, 0, 0), (*PERIOD, planes * PLANE - 0.5), mirror)


def spectrum(atoms, extent, thickness, fitted, spacing=0.1, defocus=None):
    """Spectra of the images (vacuum 1) of atoms in a periodic cell, with fitted parameters."""
    shape = [2 * int(np.ceil(length / spacing / 2)) for length in extent]
    vibration = {58: fitted["ce"], 8: fitted["o"], 78: fitted.get("pt", fitted["ce"])}
    tilt = fitted["tilt_x"], fitted["tilt_y"]
    keywords = {"thickness": thickness, "tilt": tilt, "absorption": "thermal"}
    wave = exit_wave(*atoms, extent, shape, debye_waller=vibration, **keywords)
    microscope = Microscope(focal_spread=fitted["focal_spread"], vibration=fitted["vibration"])
    return microscope.image_spectra(
        wave, extent, fitted["defocus"] if defocus is None else defocus
    )[0]


def sample(spectrum, extent, fitted, shape, origin):
    """Image at the reference's pixels; `origin` is the (y, x) of the first in the cell."""
    return sample_image(spectrum, extent, fitted["pixel_size"], shape, origin).double().numpy()


class Support:
    """The perfect crystal under the particle: everything that does not depend on the particle."""

    def __init__(self, reference):
        self.reference = reference
        self.region = (slice(int(0.64 * len(reference)), -BORDER), slice(BORDER, -BORDER))
        self.fitted = {name: start for name, (start, _) in FREE.items()}
        self.thickness, self.mirror = self._search()
        # the models' thickness is nominal: the planes they hold are decided by the fit
        whole = int(self.thickness / PLANE)
        trials = [(self._fit(planes), planes) for planes in (whole - 1, whole, whole + 1)]
        (self.residual, self.fitted), self.planes = min(trials, key=lambda trial: trial[0][0])

    def _folded(self, grid):
        """Mean of the reference over all unit cells of the region, on a grid (y, x)."""
        scale, index = self.fitted["pixel_size"] / 100, []
        for axis, n in enumerate(grid):
            pixels = np.arange(self.reference.shape[axis])[self.region[axis]]
            index.append(np.floor(pixels * (scale * n / PERIOD[1 - axis])).astype(int) % n)
        index = np.ravel_multi_index(np.ix_(*index), grid).ravel()
        total = np.bincount(index, self.reference[self.region].ravel(), grid[0] * grid[1])
        return (total / np.bincount(index, minlength=grid[0] * grid[1])).reshape(grid)

    def _search(self):
        """Coarse values of the data set that correlate best with the mean unit cell."""
        extent, folded, best = tuple(PERIOD[::-1]), None, (-1.0,)
        steps = [s * t for t in TILTS for s in (1, -1)]
        tilts = sorted({(t, 0) for t in steps} | {(0, t) for t in steps})
        for mirror in (1, -1):
            for thickness in THICKNESSES:
                atoms = ceria_cell(int(thickness / PLANE), mirror)
                for tilt in tilts:
                    fitted = self.fitted | {"tilt_x": tilt[0], "tilt_y": tilt[1]}
                    spectra = spectrum(atoms, extent, thickness, fitted, 0.145, DEFOCI)
                    spectra[:, 0, 0] = 0
                    grid = tuple(spectra.shape[1:])
                    if folded is None:
                        folded = np.fft.fft2(self._folded(grid))
                    match = np.fft.ifft2(folded * spectra.numpy().conj()).real
                    score = match.max((1, 2)) / np.linalg.norm(spectra.numpy(), axis=(1, 2))
                    k = int(score.argmax())
                    if score[k] > best[0]:
                        row, column = np.unravel_index(match[k].argmax(), grid)
                        x, y = -column * extent[1] / grid[1], -row * extent[0] / grid[0]
                        best = score[k], (x, y, DEFOCI[k], *tilt), thickness, mirror
        names = ("x", "y", "defocus", "tilt_x", "tilt_y")
        self.fitted |= dict(zip(names, map(float, best[1]), strict=True))
        return best[2:]

    def image(self, fitted, planes, rows, columns):
        """Perfect crystal at some rows and columns (slices, with steps) of the reference."""
        extent = tuple(PERIOD[::-1])
        spectra = spectrum(
            ceria_cell(planes, self.mirror), extent, self.thickness, fitted, PERIOD[0] / 64
        )
        step = fitted["pixel_size"] / 100
        origin = fitted["y"] + rows.start * step, fitted["x"] + columns.start * step
        shape = [len(range(s.start, s.stop, s.step)) for s in (rows, columns)]
        coarse = fitted | {"pixel_size": fitted["pixel_size"] * rows.step}
        return sample(spectra[0], extent, coarse, shape, origin) * VACUUM

    def _fit(self, planes, names=tuple(FREE)):
        """Least squares over the free parameters; (rms in counts, parameters)."""
        rows, columns = (slice(r.start, n + r.stop, 3) for r, n in
                         zip(self.region, self.reference.shape, strict=True))  # fmt: skip
        start = np.array([self.fitted[name] for name in names])
        unit = np.array([FREE[name][1] for name in names])

        def unpack(values):
            return self.fitted | dict(zip(names, start + (values - 1) * unit, strict=True))

        def residual(values):
            return (self.image(unpack(values), planes, rows, columns)
                    - self.reference[rows, columns]).ravel()  # fmt: skip

        lowest = np.array([0 if name in ("ce", "o", "focal_spread", "vibration") else -np.inf
                           for name in names])  # fmt: skip
        bounds = 1 + (lowest - start) / unit, np.inf
        fit = least_squares(
            residual, np.ones(len(names)), diff_step=3e-3, bounds=bounds, max_nfev=8, x_scale=1.0
        )
        return np.sqrt((fit.fun**2).mean()), unpack(fit.x)
