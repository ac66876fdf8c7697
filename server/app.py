"""The ASGI application: the WebSocket endpoint, health, and the page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from server.api.presence import presence_routes
from server.endpoint import DocumentEndpoint
from server.node import Node
from server.page import page_routes
from server.refusals import Refusals
from server.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, refusals: Refusals | None = None) -> Starlette:
    """Build the application; its lifespan starts and stops the node."""
    chosen = Settings() if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Node.run(chosen, refusals) as node:
            app.state.node = node
            app.state.endpoint = DocumentEndpoint(node)
            yield

    routes = [
        WebSocketRoute("/ws/{document:any}", _Documents()),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        *presence_routes(),
        *page_routes(),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class _AnyConvertor(Convertor[str]):
    """Line breaks too: a name with one is to be refused by the endpoint, with a code that says why."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", _AnyConvertor())


class _Documents:
    """Passes a WebSocket to the endpoint of the running node."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: DocumentEndpoint = scope["app"].state.endpoint
        await endpoint(scope, receive, send)


async def _healthz(_request: Request) -> Response:
    """Say that the loop runs."""
    return PlainTextResponse("ok")


async def _readyz(request: Request) -> Response:
    """Say whether new clients are welcome, and why not."""
    node: Node = request.app.state.node
    troubles = node.troubles
    status = "degraded" if troubles else "ready"
    return JSONResponse({"status": status, "reasons": troubles}, status_code=503 if troubles else 200)
