"""The routes of the built demo page. Knows files and headers, and nothing of documents."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

__all__ = ["page_routes"]

PAGE = Path(__file__).parent / "page"
"""The built page: in a checkout ``make page`` puts it here, in an installed package it comes along."""
SOURCES = PAGE.parents[1] / "frontend-demo" / "package.json"
"""Only a checkout has what the page is built from."""

SECURITY_HEADERS = {
    # CodeMirror adds its style sheet as an element; everything else is a file of ours. 'self' covers
    # the WebSocket to the same host.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Names of documents stay here.
    "Referrer-Policy": "no-referrer",
}
INDEX_HEADERS = {**SECURITY_HEADERS, "Cache-Control": "no-cache"}
# Their names carry a hash of what is in them.
ASSET_HEADERS = {**SECURITY_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}

NO_PAGE = """Cowrite is running, and its demo page is missing. Editors connect to /ws/DOCUMENT without it.

{advice}
"""
BUILD = "Run `make page` in the folder of the repository, and reload."
REINSTALL = "Run `pip install --force-reinstall --no-deps .` in the folder of the repository, and reload."


def page_routes() -> list[BaseRoute]:
    """Return the routes of the page: ``/`` and ``/assets``.

    The page may be built, or built again, while they are served. Where it is missing, ``/`` answers 503
    and says how to get it.
    """
    return [Route("/", _index), Route("/assets/{name}", _asset)]


async def _index(_request: Request) -> Response:
    index = PAGE / "index.html"
    if not index.is_file():
        text = NO_PAGE.format(advice=BUILD if SOURCES.is_file() else REINSTALL)
        return PlainTextResponse(text, status_code=503, headers=INDEX_HEADERS)
    return FileResponse(index, headers=INDEX_HEADERS)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    asset = PAGE / "assets" / name
    # A backslash parts a path on some systems, and nothing outside of the folder is an asset.
    if Path(name).name != name or not asset.is_file():
        raise HTTPException(404)
    return FileResponse(asset, headers=ASSET_HEADERS)
