"""What the command line says of itself."""

import subprocess
import sys

from temdenoise import NLMDenoiser, SBDDenoiser, WienerDenoiser
from temdenoise.cli import main
from temdenoise.cli._methods import METHODS


def test_help_shows_the_defaults_of_the_classes(capsys):
    shown = {}
    for command in ("denoise", "train"):
        assert main([command, "--help"]) == 0
        shown[command] = " ".join(capsys.readouterr().out.split())
    params = SBDDenoiser().get_params()
    assert f"--network NAME the network (default: {params['network']})" in shown["train"]
    assert f"epochs to train (default: {params['max_epochs']})" in shown["train"]
    assert f"highest (default: {params['training_pixel_size']:g})" in shown["train"]
    size = WienerDenoiser().window_size
    assert f"(default: {size} for wiener, auto for windowed-fourier)" in shown["denoise"]
    assert f"larger is smoother (default: {NLMDenoiser().h})" in shown["denoise"]
    for method in METHODS:
        assert f"{method}:" in shown["denoise"]


def test_help_needs_nothing_heavy():
    code = (
        "import sys; from temdenoise.cli import main; code = main(['--help']); "
        "print(code, sorted({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    for command in ("demo", "denoise", "simulate", "train"):
        assert command in done.stdout
