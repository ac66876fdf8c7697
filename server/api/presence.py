"""``GET /api/v1/documents/{name}/presence``: who is on a document, asked of any node."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdt.awareness import Awareness
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
        updates = await node.presence_of(name)
    except BadName:
        return JSONResponse({"title": "impossible document name"}, status_code=400)
    except BusUnavailable:
        return JSONResponse({"title": "presence is unknown while the bus is away"}, status_code=503)
    everybody = Awareness()
    for peer, update in enumerate(updates, 1):
        everybody.receive_relayed(update, peer, 0.0)
    clients = [
        {"client": client, "clock": clock, "state": json.loads(state)}
        for client, clock, state in everybody.entries()
    ]
    return JSONResponse({"document": name, "clients": clients})
