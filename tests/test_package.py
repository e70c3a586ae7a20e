import importlib
import pkgutil
import subprocess
import sys
from importlib import metadata

import pytest

import temdenoise
import temdenoise.denoisers
import temdenoise.metrics


def modules_after(code):
    """Names of the top-level modules a fresh interpreter has loaded after `code`."""
    code = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    loaded = modules_after("import temdenoise")
    assert "temdenoise" in loaded
    assert not loaded & {"torch", "sklearn", "skimage", "scipy", "matplotlib", "pandas", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "from temdenoise import LowPassDenoiser, WienerDenoiser",
        "from temdenoise import NLMDenoiser, VSTDenoiser, WindowedFourierDenoiser",
        "from temdenoise import PoissonNoise, thin_counts, psnr, ssim",
        "from temdenoise.metrics import psnr_scorer",
        "import numpy as np, temdenoise as t\n"
        "x = np.ones((1, 9, 9))\n"
        "t.WienerDenoiser().fit(t.PoissonNoise(random_state=0).sample(x)).score(x)",
        "from temdenoise import find_atoms, read_stack",
        "from temdenoise.inspection import equivalent_filter, likelihood_map",
        "import temdenoise.cli",
    ],
)
def test_torch_stays_out_until_a_network_is_needed(code):
    loaded = modules_after(code)
    assert "temdenoise" in loaded
    assert "torch" not in loaded


def test_methods_without_training_do_not_load_skorch():
    code = "import numpy as np, temdenoise as t\nx = np.ones((1, 16, 16))\n"
    for method in ("BM3DDenoiser(sigma=1.0)", "VSTDenoiser()", "WindowedFourierDenoiser()"):
        code += f"t.{method}.fit(x).transform(x)\n"
    loaded = modules_after(code)
    assert "torch" in loaded
    assert "skorch" not in loaded


@pytest.mark.parametrize("package", [temdenoise, temdenoise.denoisers, temdenoise.metrics])
def test_public_names_resolve(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_public_names_are_documented():
    for name in temdenoise.__all__:
        doc = getattr(temdenoise, name).__doc__
        assert doc is not None
        assert len(doc.split("\n")[0]) > 10, name


def test_version_is_that_of_the_metadata():
    try:
        expected = metadata.version("temdenoise")
    except metadata.PackageNotFoundError:
        expected = "0+unknown"  # a source tree that was never installed
    assert temdenoise.__version__ == expected


def test_every_module_imports():
    names = [m.name for m in pkgutil.walk_packages(temdenoise.__path__, "temdenoise.")]
    assert "temdenoise.denoisers.wiener" in names
    for name in names:
        importlib.import_module(name)
