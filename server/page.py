"""The routes of the built demo page. Knows files and headers, and nothing of documents."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

__all__ = ["page_routes"]

PAGE = Path(__file__).parent / "page"
"""Where ``make page`` puts what it builds from frontend-demo/."""

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

NOT_BUILT = """Cowrite is running, and the demo page is not built.

Run `make page` (it needs Node.js) and reload. Editors connect to /ws/DOCUMENT without it.
"""


def page_routes() -> list[BaseRoute]:
    """Return the routes of the page: ``/`` and ``/assets``.

    The page may be built, or built again, while they are served. Until it was, ``/`` answers 503
    and says how to build it.
    """
    return [Route("/", _index), Route("/assets/{name}", _asset)]


async def _index(_request: Request) -> Response:
    index = PAGE / "index.html"
    if not index.is_file():
        return PlainTextResponse(NOT_BUILT, status_code=503, headers=INDEX_HEADERS)
    return FileResponse(index, headers=INDEX_HEADERS)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    asset = PAGE / "assets" / name
    # A backslash parts a path on some systems, and nothing outside of the folder is an asset.
    if Path(name).name != name or not asset.is_file():
        raise HTTPException(404)
    return FileResponse(asset, headers=ASSET_HEADERS)
