"""What is installed from a clone or an sdist: a server with its page, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.packaging.conftest import LIMIT_S, PIP, ROOT, files, run
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(2 * LIMIT_S)

SENTENCE = "`npm ci` failed, see above. Cowrite is not built without its page: install Node.js"
ASSET = re.compile(r'(?:src|href)="/(assets/[^"]+)"')


def page_of(package: zipfile.ZipFile) -> set[str]:
    """Return the files of the page that its index asks for, the index included."""
    index = package.read("server/page/index.html").decode()
    return {"server/page/index.html"} | {f"server/page/{name}" for name in ASSET.findall(index)}


def test_the_wheel_has_the_page_and_nothing_that_does_not_belong(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as package:
        names, page = set(package.namelist()), page_of(package)
    assert {Path(name).suffix for name in page} == {".html", ".js", ".css", ".svg"}
    sources = [*(ROOT / "crdt").rglob("*.py"), *(ROOT / "server").rglob("*.py")]
    modules = {path.relative_to(ROOT).as_posix() for path in sources}
    described = {name for name in names if name.startswith("cowrite-")}
    assert names - described == modules | page | {"server/page/licenses.md"}


def test_building_leaves_the_clone_as_it_was(wheel: Path, clone: Path) -> None:
    """No packages of npm and no page: whoever looks into a clone finds what git brought."""
    assert wheel.exists()
    assert {name for name in files(clone) if not (ROOT / name).exists()} == set()
    assert not (clone / "frontend-demo" / "node_modules").exists()
    assert not (clone / "server" / "page").exists()


def test_an_installed_server_serves_its_page_from_anywhere(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python, elsewhere = tmp_path / "venv" / "bin" / "python", tmp_path / "elsewhere"
    install = (*PIP, "--python", str(python), "install", "--constraint", str(ROOT / "constraints.txt"))
    installed = run(*install, str(wheel), cwd=tmp_path)
    assert installed.returncode == 0, installed.stdout
    cowrite = python.with_name("cowrite")
    elsewhere.mkdir()
    assert run(cowrite, "--version", cwd=elsewhere).stdout == f"{version('cowrite')}\n"

    monkeypatch.chdir(elsewhere)
    with ServerProcess(tmp_path / "data", command=(str(cowrite),)) as server:
        status, index = server.get("/")
        assert (status, b"<title>Cowrite</title>" in index) == (200, True)
        for name in ASSET.findall(index.decode()):
            status, asset = server.get(f"/{name}")
            assert (status, bool(asset)) == (200, True)


def test_a_build_whose_npm_fails_ends_with_a_sentence(
    clone: Path, tmp_path: Path, broken_npm: dict[str, str]
) -> None:
    before = files(clone)
    # With the hatchling of this environment: whatever pip would fetch has nothing to do with it.
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", ".")
    failed = run(*build, cwd=clone, environment={**broken_npm, "TMPDIR": str(tmp_path)})
    assert failed.returncode == 1
    assert "npm is broken" in failed.stdout
    assert SENTENCE in failed.stdout
    assert "Traceback" not in failed.stdout
    assert files(clone) == before
    assert not list(tmp_path.glob("cowrite-page-*"))


def test_a_wheel_from_an_sdist_takes_the_page_that_is_in_it(
    wheel: Path, clone: Path, tmp_path: Path, broken_npm: dict[str, str]
) -> None:
    """Who has an sdist needs no Node.js, and what lies about in a checkout is not in it."""
    checkout = tmp_path / "checkout"
    shutil.copytree(clone, checkout)
    for name in ("server/page/index.html", "server/page/old.js", "frontend-demo/node_modules/left/over.js"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("stale")
    made = run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=checkout)
    assert made.returncode == 0, made.stdout
    (sdist,) = tmp_path.glob("*.tar.gz")
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, sdist)
    built = run(*build, cwd=tmp_path, environment=broken_npm)
    assert built.returncode == 0, built.stdout
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert not any("node_modules" in name or name.startswith("tests/") for name in files(unpacked))
    with zipfile.ZipFile(wheel) as from_clone, zipfile.ZipFile(tmp_path / wheel.name) as from_sdist:
        assert set(from_sdist.namelist()) == set(from_clone.namelist())
        assert {name: from_sdist.read(name) for name in page_of(from_sdist)} == {
            name: from_clone.read(name) for name in page_of(from_clone)
        }


@pytest.mark.parametrize(("kind", "needs_node"), [("wheel", True), ("sdist", True), ("editable", False)])
def test_where_there_is_no_node_the_build_asks_for_one(clone: Path, kind: str, needs_node: bool) -> None:
    """An editable install never does: it has no page of its own."""
    program = f"import build_backend, json; print(json.dumps(build_backend.get_requires_for_build_{kind}()))"
    asked = subprocess.run(
        [sys.executable, "-c", program],
        cwd=clone,
        env={**os.environ, "PATH": os.devnull, "PYTHONPATH": "frontend-demo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert any("nodejs" in name for name in json.loads(asked.stdout)) == needs_node
