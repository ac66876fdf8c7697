"""A copy of the repository as a fresh clone has it, and what pip builds from it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.require import require

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
LIMIT_S = 400.0


def run(
    *command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with its output as one text."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )


def files(folder: Path) -> set[str]:
    """Return every file below a folder, caches of Python aside."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what git would: no built page, no installed packages."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True)
    require(
        listed.returncode == 0, "This is no git repository: the package cannot be built from a clone of it."
    )
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel as ``pip install .`` does: in an environment that pip makes for it."""
    folder = tmp_path_factory.mktemp("wheel")
    require(_reaches_packages(folder), "The package index is out of reach: the package cannot be built.")
    built = run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ".", cwd=clone)
    assert built.returncode == 0, built.stdout
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture
def broken_npm(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose npm says that it is there and then cannot do anything."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo 11.0.0\necho npm is broken\nexit 1\n')
    npm.chmod(0o755)
    return {"PATH": f"{npm.parent}{os.pathsep}{os.environ['PATH']}"}


def _reaches_packages(folder: Path) -> bool:
    """Tell whether pip can fetch what builds, and npm, where there is one, what the page is made of."""
    fetch = (
        *PIP,
        "download",
        "--retries",
        "1",
        "--no-deps",
        "--no-cache-dir",
        "--dest",
        "probe",
        "hatchling",
    )
    asked = [run(*fetch, cwd=folder)]
    if shutil.which("npm"):
        asked.append(run("npm", "view", "--fetch-retries", "1", "yjs", "version", cwd=folder))
    return all(ended.returncode == 0 for ended in asked)
