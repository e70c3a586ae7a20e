"""`simulate` against the steps it is made of, crystallography and its own invariants."""

import numpy as np
import pytest

from temdenoise import ImageStack, find_atoms
from temdenoise.simulation import Detector, Microscope, exit_wave, sample_image, simulate

COPPER = (
    [29] * 4,
    [[0, 0, 0], [0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]],
    [3.6, 3.6, 3.6],
)
DIMER = [78, 79], [[0.0, 0.0, 0.0], [4.0, 0.0, 3.0]], None
FAST = {"sampling": 0.2, "slice_thickness": 0.5}


def test_equals_its_steps():
    images = simulate(COPPER, shape=(60, 80), pixel_size=9.0, defocus=[3.0, 6.0], thickness=7.2,
                      tilt=(1.0, 0.0), dose=2.0, sampling=0.15)  # fmt: skip
    cells = np.array([[i, j, k] for i in range(6) for j in range(6) for k in range(2)]) * 3.6
    positions = (cells[:, None] + np.array(COPPER[1])).reshape(-1, 3)
    wave = exit_wave([29] * len(positions), positions, (21.6, 21.6), (144, 144), thickness=7.2,
                     tilt=(1.0, 0.0))  # fmt: skip
    spectra, _ = Microscope().image_spectra(wave, (21.6, 21.6), [3.0, 6.0])
    expected = 2 * sample_image(spectra, (21.6, 21.6), 9.0, (60, 80))
    assert images.shape == (2, 60, 80)
    assert images.dtype == np.float32
    assert type(images) is ImageStack
    assert images.pixel_size == 9
    assert np.allclose(images, expected, atol=1e-4)


def test_a_crystal_repeats_without_seam():
    image = simulate(COPPER, shape=(72, 200), pixel_size=10.0, thickness=18, **FAST)[0]
    assert np.allclose(image[:36], image[36:], atol=1e-5)  # 36 pixels are a cell
    assert np.allclose(image[:, :164], image[:, 36:], atol=1e-5)
    assert image.std() > 0.02


def test_whole_cell_is_the_default_field():
    assert simulate(COPPER, pixel_size=10.0, **FAST).shape == (1, 36, 36)
    assert simulate(COPPER, pixel_size=10.0, field_of_view=(5, 7), **FAST).shape == (1, 50, 70)
    assert simulate(COPPER, pixel_size=10.0, shape=25, **FAST).shape == (1, 25, 25)


def test_vacuum_holds_the_dose_and_the_detector_loses_some():
    keywords = {"field_of_view": 40.0, "pixel_size": 20.0, "dose": 3.0} | FAST
    full = simulate(DIMER, **keywords)[0]
    assert full[:20, :20] == pytest.approx(3.0, rel=2e-3)
    lossy = simulate(DIMER, detector=Detector(dqe=0.6), **keywords)[0]
    assert np.allclose(lossy, 0.6 * full, rtol=1e-5)
    blurred = simulate(DIMER, detector=Detector(mtf=0.1), **keywords)[0]
    # pixels of 20 pm hold all there is, so they can be filtered instead
    u = np.fft.fftfreq(len(full))
    transfer = 0.1 ** ((u[:, None] ** 2 + u**2) / 0.5**2)
    expected = np.fft.ifft2(np.fft.fft2(full) * transfer).real
    assert np.abs(blurred - expected).max() < 0.01 * np.abs(full - 3).max()
    assert np.abs(blurred - full).max() > 0.05 * np.abs(full - 3).max()


def test_atoms_in_vacuum_stand_in_the_middle():
    image, columns = simulate(DIMER, field_of_view=(12, 16), pixel_size=5.0, return_columns=True,
                              defocus=6.0)  # fmt: skip
    assert image.shape == (1, 240, 320)
    assert columns["element"].tolist() == ["Pt", "Au"]
    assert columns["x"].tolist() == pytest.approx([120, 200])
    assert columns["y"].tolist() == pytest.approx([120, 120])
    found = find_atoms(image[0], pixel_size=5.0, threshold=0.01, polarity="bright").sort_values("x")
    near = found[(found["y"] - 120).abs() < 3]
    for x in columns["x"]:
        assert (near["x"] - x).abs().min() < 2


def test_a_larger_margin_changes_nothing():
    keywords = {"field_of_view": 12.0, "pixel_size": 20.0, "defocus": [6.0, 10.0]} | FAST
    small = simulate(DIMER, **keywords)
    large = simulate(DIMER, padding=25.0, **keywords)
    assert np.abs(small - large).max() < 2e-3


def test_columns_of_a_crystal():
    _, columns = simulate(COPPER, shape=(80, 100), pixel_size=9.0, thickness=10.8,
                          return_columns=True, **FAST)  # fmt: skip
    # columns every 1.8 Angstrom (20 px) along x and y, of 3 atoms each
    expected = {(20 * i, 20 * j) for i in range(5) for j in range(4)}
    assert set(zip(columns["x"].round(3), columns["y"].round(3), strict=True)) == expected
    assert (columns["occupancy"] == 3).all()
    assert (columns["element"] == "Cu").all()


def test_zone_axis():
    # fcc along [1 1 0]: a centred rectangle of a / sqrt(2) x a, atoms every a / sqrt(2) in depth
    image, columns = simulate(COPPER, field_of_view=14.0, pixel_size=10.0, thickness=30,
                              zone_axis=(1, 1, 0), return_columns=True, **FAST)  # fmt: skip
    xy = columns[["x", "y"]].to_numpy() / 10  # Angstrom
    middle = xy[np.argmin(np.linalg.norm(xy - 7, axis=1))]
    distances = np.sort(np.linalg.norm(xy - middle, axis=1))[1:7]
    side, diagonal = 3.6 / np.sqrt(2), 3.6 * np.sqrt(6) / 4
    assert distances == pytest.approx([diagonal] * 4 + [side] * 2, abs=1e-3)
    assert set(columns["occupancy"]) == {12}  # 30 / (3.6 / sqrt(2)) = 11.8
    found = find_atoms(image[0], pixel_size=10.0)
    inner = columns[columns["x"].between(20, 120) & columns["y"].between(20, 120)]
    for x, y in inner[["x", "y"]].to_numpy():
        assert np.hypot(found["x"] - x, found["y"] - y).min() < 2


def test_a_turned_crystal_is_the_crystal():
    # [0 0 1] of a cubic crystal is its own z axis: the same columns, whichever way it is laid out
    straight = simulate(COPPER, shape=60, pixel_size=10.0, thickness=18, **FAST)[0]
    turned = simulate(COPPER, shape=60, pixel_size=10.0, thickness=18, zone_axis=(0, 0, 1), **FAST)
    assert np.abs(turned[0] - straight).max() < 0.02 * straight.std() + 0.002


def test_skew_cells_give_the_same_crystal_as_rectangular_ones():
    primitive = [29], [[0, 0, 0]], np.array([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]])
    keywords = {"shape": 60, "pixel_size": 10.0, "thickness": 18} | FAST
    skew, straight = (simulate(atoms, **keywords)[0] for atoms in (primitive, COPPER))
    assert np.abs(skew - straight).max() < 0.02 * straight.std() + 0.002


def test_an_exact_thermal_specimen_is_weaker():
    keywords = {"shape": 36, "pixel_size": 10.0, "thickness": 36} | FAST
    still = simulate(COPPER, absorption=0.0, **keywords)
    warm = simulate(COPPER, absorption="thermal", debye_waller={29: 0.55}, **keywords)
    assert warm.mean() < still.mean()
    assert still.mean() == pytest.approx(0.45, rel=0.05)


# --- ASE ------------------------------------------------------------------------------------------


@pytest.fixture
def ase_build():
    return pytest.importorskip("ase.build")


def test_ase_atoms_and_files_equal_plain_arrays(ase_build, tmp_path):
    crystal = ase_build.bulk("Cu", "fcc", a=3.6, cubic=True)
    keywords = {"shape": (40, 50), "pixel_size": 12.0, "thickness": 10.8} | FAST
    expected = simulate(COPPER, **keywords)
    assert np.allclose(simulate(crystal, **keywords), expected, atol=1e-6)
    for name in ("copper.cif", "copper.xyz"):
        crystal.write(tmp_path / name)
        assert np.allclose(simulate(tmp_path / name, **keywords), expected, atol=1e-5)
        assert np.allclose(simulate(str(tmp_path / name), **keywords), expected, atol=1e-5)


def test_molecule_without_cell(ase_build, tmp_path):
    molecule = ase_build.molecule("C6H6")
    _, columns = simulate(molecule, pixel_size=10.0, return_columns=True, **FAST)
    assert sorted(columns["element"]) == ["C"] * 6 + ["H"] * 6
    carbon = columns.loc[columns["element"] == "C", ["x", "y"]].to_numpy()
    centre = columns[["x", "y"]].mean().to_numpy()
    assert np.linalg.norm(carbon - centre, axis=1) == pytest.approx(139.5 / 10, abs=0.05)


def test_oblique_slabs(ase_build):
    """Cells of 60 degrees whose atoms ASE lists outside: the slab of a rectangular cell."""
    keywords = {"shape": (30, 50), "pixel_size": 10.0} | FAST
    images = [
        simulate(
            ase_build.fcc111("Pt", (2, 2, 3), a=3.92, vacuum=2.0, orthogonal=orthogonal),
            **keywords,
        )
        for orthogonal in (True, False)
    ]
    assert images[0].std() > 0.005
    # laid out in another box, with another grid
    assert np.abs(images[1] - images[0]).max() < 0.02 * np.ptp(images[0])
    flat = ase_build.fcc111("Pt", (2, 2, 3))
    with pytest.raises(ValueError, match=r"no volume. .* atoms.center\(vacuum=2, axis=2\)"):
        simulate(flat, **keywords)
    with pytest.raises(ValueError, match="is not periodic along it"):
        simulate(ase_build.fcc111("Pt", (2, 2, 3), vacuum=2.0), thickness=90.0, **keywords)


def test_bad_structure_files(ase_build, tmp_path):
    empty = tmp_path / "empty.cif"
    empty.write_text("")
    broken = tmp_path / "broken.cif"
    broken.write_text("data_x\n_cell_length_a 3.6\nloop_\n_atom_site_label\n")
    nothing = tmp_path / "nothing.xyz"
    nothing.write_text("0\n\n")
    for path in (empty, broken, nothing):
        with pytest.raises(ValueError, match=path.name):
            simulate(path)
    with pytest.raises(FileNotFoundError, match="missing.cif"):
        simulate(tmp_path / "missing.cif")


def test_partial_occupancy_is_refused(ase_build):
    crystal = ase_build.bulk("Cu", "fcc", a=3.6, cubic=True)
    crystal.info["occupancy"] = {"0": {"Cu": 0.5, "Au": 0.5}}
    with pytest.raises(ValueError, match="partial occupancy"):
        simulate(crystal)


def test_ase_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ase", None)
    (tmp_path / "a.cif").write_text("data_a\n")
    with pytest.raises(ImportError, match=r"temdenoise\[simulation\]"):
        simulate(tmp_path / "a.cif")


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (([29], [[5.0, 1, 1]], [3.6] * 3), "outside the cell.*atom 0 at.*wrap"),
        (([29], [[1.0, 1, 4.1]], [3.6] * 3), "outside the cell"),
        (([29, 29], [[0, 0, 0], [0.2, 0, 0]], [3.6] * 3), "0.200 Angstrom apart"),
        (([29, 29], [[0, 0, 0], [0.2, 0, 0]], None), "0.200 Angstrom apart"),
        (([0], [[0, 0, 0]], [3.6] * 3), "atomic number 0"),
        (([119], [[0, 0, 0]], None), "atomic number 119"),
        (([29], [[0, 0, np.nan]], None), "NaN"),
        (([29], [[0, 0]], None), "positions must be"),
        (([], np.empty((0, 3)), None), "at least one atom"),
        (([29], [[0, 0, 0]], [3.6, 3.6]), "cell must be"),
        (([29], [[0, 0, 0]], [3.6, 3.6, 0]), "cell must be"),
    ],
)
def test_bad_atoms_are_refused(atoms, message):
    with pytest.raises(ValueError, match=message):
        simulate(atoms, shape=32, pixel_size=10.0)


def test_other_things_than_atoms_are_refused():
    with pytest.raises(TypeError, match="ndarray"):
        simulate(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dose": -1}, "dose must be positive"),
        ({"dose": np.nan}, "dose must be positive"),
        ({"defocus": []}, "defocus must be finite"),
        ({"defocus": [1, np.nan]}, "defocus must be finite"),
        ({"thickness": 0}, "thickness must be positive"),
        ({"thickness": np.inf}, "thickness must be positive"),
        ({"thickness": 1e9}, "thickness 1e.09 Angstrom is more than a micrometre"),
        ({"slice_thickness": 0}, "slice_thickness must be positive"),
        ({"pixel_size": -4.0}, "pixel_size must be positive"),
        ({"pixel_size": 80.0}, "pixel_size 80 pm is too coarse.*pixel_integration"),
        ({"sampling": 0.5}, "too coarse"),
        ({"sampling": 0}, "sampling must be positive"),
        ({"shape": 0}, "shape must be"),
        ({"shape": 20.5}, "shape must be"),
        ({"shape": 20, "field_of_view": 30.0}, "not both"),
        ({"field_of_view": -3.0}, "field_of_view must be"),
        ({"field_of_view": 1e6}, "Use a smaller field"),
        ({"tilt": (30, 0)}, "at most 6 degrees"),
        ({"zone_axis": (0, 0, 0)}, "zone_axis must be"),
        ({"zone_axis": (1, 1, 0)}, "Give shape or field_of_view"),
        ({"zone_axis": (1, 1, 0), "shape": 20}, "Give the thickness"),
        ({"padding": 1.0}, "padding is 1.0 Angstrom"),
    ],
)
def test_bad_arguments_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        simulate(COPPER, **{"pixel_size": 10.0} | keywords)


@pytest.mark.parametrize(
    "name", ["shape", "thickness", "padding", "dose", "sampling", "slice_thickness"]
)
def test_text_is_no_number(name):
    with pytest.raises(TypeError, match=f"{name} must"):
        simulate(COPPER, **{"pixel_size": 10.0, name: "5"})


def test_a_molecule_has_no_zone_axis_and_must_fit():
    with pytest.raises(ValueError, match="needs a crystal"):
        simulate(DIMER, zone_axis=(1, 0, 0))
    with pytest.raises(ValueError, match=r"3.00 Angstrom deep"):
        simulate(DIMER, thickness=2.0)


def test_half_periodic_specimens_are_refused(ase_build):
    wire = ase_build.bulk("Cu", "fcc", a=3.6, cubic=True)
    wire.pbc = (True, False, False)
    with pytest.raises(ValueError, match="one side of the image only"):
        simulate(wire, shape=32, pixel_size=10.0)
    wire.pbc = (True, True, False)
    with pytest.raises(ValueError, match="not periodic"):
        simulate(wire, shape=32, pixel_size=10.0, thickness=20.0)
