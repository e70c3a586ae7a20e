"""What README and user guide say is what the library does."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from temdenoise import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = sorted((ROOT / "docs" / "user_guide").glob("*.rst"))


def test_readme_python_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    # The same lines, but a training of seconds.
    for long, short in [
        ("make_ptceo2(2000,", "make_ptceo2(2,"),
        ("n_jobs=-1", "n_jobs=1"),
        ("max_epochs=10_000, max_minutes=10, verbose=True", "max_epochs=1, steps_per_epoch=1"),
        ("SBDDenoiser(dose", "SBDDenoiser(base_channels=4, n_scales=2, dose"),
    ]:
        assert code.count(long) == 1, long
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["rates"].shape == names["movie"].data.shape
    assert sorted(p.name for p in Path("weights").iterdir()) == ["config.json", "model.safetensors"]
    psnr = float(re.match(r"([\d.]+) dB", capsys.readouterr().out).group(1))
    assert psnr > 30  # the tuned filters reach 29 dB


@pytest.mark.parametrize("page", ["README.md", "install.rst", "workflow.rst", "sbd.rst"])
def test_commands_are_understood(page):
    (path,) = [p for p in (ROOT / "README.md", *ROOT.glob("docs/**/*.rst")) if p.name == page]
    text = path.read_text(encoding="utf-8")
    commands = re.findall(
        r"^[^`\n]*?\btemdenoise ((?:demo|denoise|simulate|train) .*)$", text, re.M
    )
    commands = [c for c in commands if "`" not in c]  # in running text
    assert commands
    for command in commands:
        assert callable(cli._parser().parse_args(shlex.split(command)).run)


def test_files_that_the_readme_links_to_exist():
    links = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert "docs/_static/demo.png" in links
    assert [t for t in links if not (ROOT / t).exists()] == []


@pytest.mark.parametrize("page", GUIDE, ids=lambda path: path.name)
def test_user_guide_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testfile(
        str(page),
        module_relative=False,
        encoding="utf-8",
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert results.failed == 0


def test_user_guide_has_examples():
    assert sum(">>> " in page.read_text(encoding="utf-8") for page in GUIDE) >= 4
