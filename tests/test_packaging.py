"""The wheel: built from the sources, installed into a clean environment, run from elsewhere."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from cmdop import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ["setup.cfg", "pyproject.toml", "README.md", "LICENSE"]

pytestmark = pytest.mark.timeout(900)  # the dependencies may have to be downloaded


def run(*arguments: str | Path, cwd: Path) -> str:
    """What a program prints; it knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "cmdop", copy / "cmdop", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--outdir", copy / "dist", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a clean environment with nothing but the wheel."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_every_source_file_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cmdop").rglob("*.py")} | {"cmdop/py.typed"}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == sources


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
        assert any(name.endswith("/LICENSE") for name in archive.namelist())
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(
        line.startswith("pywinpty") and "sys_platform" in line for line in metadata.get_all("Requires-Dist") or []
    )


def test_the_installed_command_runs_outside_the_checkout(programs: Path, tmp_path: Path) -> None:
    assert run(programs / "cmdop", "--version", cwd=tmp_path) == f"cmdop {__version__}\n"
    assert run(programs / "python", "-m", "cmdop", "--version", cwd=tmp_path) == f"cmdop {__version__}\n"
    assert "serve" in run(programs / "cmdop", "relay", "--help", cwd=tmp_path)


def test_nothing_is_said_twice() -> None:
    """What cmdop is stands in setup.cfg, how we work on it in pyproject.toml."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "project" not in project
    assert all(name == "metadata" or name.startswith("options") for name in setup.sections())
