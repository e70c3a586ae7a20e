"""``temdenoise info``, and files that ``temdenoise denoise`` refuses."""

import re

import numpy as np
import pytest
from conftest import lattice_images

from temdenoise import write_stack
from temdenoise.cli import main


@pytest.fixture
def counts():
    clean = lattice_images(3, 96, 96, level=2.0).astype(float)
    return np.random.default_rng(0).poisson(clean)


def told(capsys, *argv):
    assert main(["info", *map(str, argv)]) == 0
    return capsys.readouterr().out


def test_counts_and_their_method(tmp_path, capsys, counts):
    counts[:, 20, 30] = 900
    write_stack(tmp_path / "a.tif", counts, pixel_size=6.22, metadata={"kV": 300})
    out = told(capsys, tmp_path / "a.tif")
    assert "3 x 96 x 96 pixels, float32, 6.22 pm/px" in out
    assert "axes TYX" in out and 'says of itself: {"kV": 300}' in out
    assert re.search(r"counts of electrons: nothing speaks against it; 1\.99\d electrons/px", out)
    assert "bad pixels, which are masked: 1 hot pixel: (row, column) (20, 30)" in out
    assert "method: windowed-fourier, for the weights 'general' fit" in out
    out = told(capsys, tmp_path / "a.tif", "--pixel-size", "90")
    assert "90 pm/px as given" in out
    assert "do not fit 90 pm/px" in out


def test_what_is_no_counts(tmp_path, capsys, counts):
    np.save(tmp_path / "a.npy", np.rint(36.43 * counts[0]).astype(np.uint16))
    np.save(tmp_path / "b.npy", np.log1p(counts))
    odd = counts[[0, 1, 1]].astype(float)
    odd[0, 5, 5] = np.nan
    np.save(tmp_path / "c.npy", odd)
    np.save(tmp_path / "d.npy", np.full((2, 40, 40), np.inf))
    files = (tmp_path / f"{name}.npy" for name in "abcd")
    out = told(capsys, *files, "--pixel-size", 20)
    a, b, c, d = re.split(r"^\S.*npy$\n", out, flags=re.MULTILINE)[1:]
    assert "1 x 96 x 96 pixels, uint16, 20 pm/px as given" in a
    assert "no counts (rounded): the values are counts times a gain of 36.4" in a
    assert re.search(r"gain 36.4\d* per electron, offset -?0", a)
    assert "method: sbd" in a and "convert with --gain auto" in a
    assert "no counts (uneven levels)" in b and "no gain was found" in b and "method: none" in b
    assert "NaN or infinity: 1 pixels" in c and "nothing speaks against it" in c
    assert "copies: 1 of 3 frames are copies of others (frame 2 of frame 1)" in c
    assert "a frame holds nothing else" in d
    assert main(["info", str(tmp_path / "e.npy")]) == 2
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "saw"),
    [
        (lambda x: np.rint(200 * x + 500).astype(np.uint16), "all 200 apart.*offset of 500"),
        (lambda x: (x / x.max()).astype(np.float32), "apart, and whole electrons are one apart"),
        (lambda x: x + 100, "of the variance of counts, at a mean of 102"),
        (lambda x: np.rint(25.7 * x).astype(np.uint8), "gain of 25.7, rounded"),
        (lambda x: x - 3.0, "below zero, down to -3"),
    ],
)
def test_files_that_hold_no_counts_are_refused(tmp_path, capsys, counts, change, saw):
    np.save(tmp_path / "a.npy", change(np.minimum(counts, 9)))
    argv = ["denoise", str(tmp_path / "a.npy"), "-o", str(tmp_path / "b.npy")]
    assert main([*argv, "--method", "wiener"]) == 2
    message = capsys.readouterr().err
    assert re.search(f"a.npy': the values are no counts of electrons: .*{saw}", message)
    assert "--gain auto converts them" in message and "--gain 1 takes them" in message
    assert not (tmp_path / "b.npy").exists()
    assert main([*argv, "--method", "lowpass"]) == 0  # which does not count
