import ast
import importlib
import json
import pkgutil
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path

import pytest

import temdenoise

ROOT = Path(temdenoise.__file__).parent
# Packages whose names are loaded at their first use.
PACKAGES = sorted(".".join(p.parent.relative_to(ROOT.parent).parts) for p in ROOT.rglob("*.pyi"))


# What one fresh interpreter runs, one after the other: each step is looked at after those before.
STEPS = {
    "the package": "import temdenoise",
    "low pass": "from temdenoise import LowPassDenoiser, WienerDenoiser",
    "other methods": "from temdenoise import NLMDenoiser, VSTDenoiser, WindowedFourierDenoiser",
    "noise and metrics": "from temdenoise import PoissonNoise, thin_counts, psnr, ssim",
    "scorers": "from temdenoise.metrics import psnr_scorer",
    "denoising": """
import numpy as np, temdenoise as t
x = np.ones((1, 9, 9))
t.WienerDenoiser().fit(t.PoissonNoise(random_state=0).sample(x)).score(x)
""",
    "atoms and files": "from temdenoise import find_atoms, read_stack",
    "inspection": "from temdenoise.inspection import equivalent_filter, likelihood_map",
    "plotting": "from temdenoise.plotting import LikelihoodMapDisplay, plot_denoising",
    "network": "t.SBDDenoiser; t.denoisers.SBDDenoiser",
    "command line": "import temdenoise.cli",
    # the first that needs torch
    "methods without training": """
x = np.ones((1, 16, 16))
for method in (t.BM3DDenoiser(sigma=1.0), t.VSTDenoiser(), t.WindowedFourierDenoiser()):
    method.fit(x).transform(x)
""",
}

RUN = """
import json, sys
steps, names = json.loads(sys.argv[1]), {}
loaded = {}
for step, code in steps.items():
    exec(code, names)
    loaded[step] = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded():
    """Step -> names of the top-level modules that are loaded after it."""
    command = [sys.executable, "-c", RUN, json.dumps(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {step: set(names) for step, names in json.loads(done.stdout).items()}


def test_import_loads_nothing_heavy(loaded):
    names = loaded["the package"]
    assert "temdenoise" in names
    assert not names & {"torch", "sklearn", "skimage", "scipy", "matplotlib", "pandas", "numpy"}


def test_import_is_quick():
    # the best of a few: the machine may be busy
    code = "from time import perf_counter as t; a = t(); import temdenoise; print(t() - a)"
    command = [sys.executable, "-c", code]
    seconds = []
    deadline = time.monotonic() + 30
    while not seconds or (min(seconds) > 0.3 and time.monotonic() < deadline):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.3


def test_torch_stays_out_until_a_network_is_needed(loaded):
    early = {step: "torch" in names for step, names in loaded.items()}
    assert early.pop("methods without training")
    assert not any(early.values()), early


def test_methods_without_training_do_not_load_skorch(loaded):
    assert "skorch" not in loaded["methods without training"]


def test_names_of_the_stubs_are_those_that_can_be_imported():
    assert {"temdenoise", "temdenoise.denoisers", "temdenoise.plotting"} <= set(PACKAGES)
    for package in map(importlib.import_module, PACKAGES):
        stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
        declared = next(ast.literal_eval(n.value) for n in stub.body if isinstance(n, ast.Assign))
        imported = [
            alias.asname or alias.name
            for node in stub.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        assert sorted(declared) == sorted(imported) == sorted(package.__all__), package.__name__
        assert set(package.__all__) <= set(dir(package))
        for name in package.__all__:
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = package.no_such_name


@pytest.mark.parametrize("name", [*PACKAGES, "temdenoise.training"])
def test_every_package_stays_lazy_or_empty(name):
    """A name written into an __init__ would be missing in the stub."""
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text(encoding="utf-8"))
    assert not [n for n in tree.body if isinstance(n, ast.ImportFrom | ast.FunctionDef)]


def test_submodules_are_named_at_the_top():
    found = {m.name for m in pkgutil.iter_modules([str(ROOT)]) if not m.name.startswith("_")}
    assert found <= set(temdenoise.__all__)


def test_stubs_are_installed():
    source = Path(__file__).parents[1] / "setup.cfg"
    settings = ConfigParser()
    settings.read(source, encoding="utf-8")
    assert settings["options.package_data"]["*"].split() == ["*.pyi"]
    assert (ROOT / "denoisers" / "__init__.pyi").is_file()


def test_public_names_are_documented():
    for name in temdenoise.__all__:
        doc = getattr(temdenoise, name).__doc__
        assert doc is not None
        assert len(doc.split("\n")[0]) > 10, name


def test_version_is_that_of_the_citation():
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {temdenoise.__version__}\n" in citation


def test_every_module_imports():
    names = [m.name for m in pkgutil.walk_packages(temdenoise.__path__, "temdenoise.")]
    assert "temdenoise.denoisers.wiener" in names
    for name in names:
        importlib.import_module(name)
