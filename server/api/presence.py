"""``GET /api/v1/documents/{name}/presence``: who is on a document, asked of any node."""

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.bus import BusUnavailable
from server.names import BadName, document_name
from server.node import Node

__all__ = ["presence_routes"]


def presence_routes() -> list[Route]:
    """The route of the presence list."""
    return [Route("/api/v1/documents/{name:path}/presence", _presence)]


async def _presence(request: Request) -> Response:
    node: Node = request.app.state.node
    try:
        name = document_name(request.path_params["name"])
        present = await node.presence_of(name)
    except BadName:
        return JSONResponse({"title": "impossible document name"}, status_code=400)
    except BusUnavailable:
        return JSONResponse({"title": "presence is unknown while the bus is away"}, status_code=503)
    return Response(_written(name, present), media_type="application/json")


def _written(name: str, present: Mapping[int, tuple[int, bytes]]) -> bytes:
    """States go out as they came in (A4): what clients can parse, Python cannot always write."""
    clients = b",".join(
        b'{"client":%d,"clock":%d,"state":%b}' % (client, clock, state)
        for client, (clock, state) in present.items()
    )
    return b'{"document":%b,"clients":[%b]}' % (json.dumps(name).encode(), clients)
