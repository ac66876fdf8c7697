"""Who may connect to which document: the origin of the page, the number of connections, the name.

Says no with ``Refused``. Knows the request, and neither sockets nor rooms.
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from crdt.errors import CloseCode
from server.callers import Caller, TrustedProxies
from server.names import BadName, document_name
from server.origins import AllowedOrigins, Origin
from server.refusals import Refused
from server.settings import Settings

__all__ = ["Admission"]

ORIGIN_SHOWN = 100
"""Characters that are logged of an origin."""

FOREIGN = f"{CloseCode.FORBIDDEN}: Pages of this origin are not let in; see --allow-origin."
STOPPING = f"{CloseCode.RESTART}: The server restarts."
FULL = f"{CloseCode.OVERLOADED}: The server has no room for more connections now."
NO_NAME = f"{CloseCode.MALFORMED}: No document can have this name."


class Admission:
    """Decides on requests, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._max_connections = settings.max_connections
        self._allowed = AllowedOrigins(settings.allow_origin)
        self._proxies = TrustedProxies(settings.trusted_proxies)

    def caller_of(self, scope: Scope) -> Caller:
        """Tell who asks."""
        return self._proxies.caller_of(scope)

    def admit(self, scope: Scope, caller: Caller, connections: int, *, is_draining: bool) -> str:
        """Return the name of the document that is asked for; raises ``Refused``."""
        origin = Headers(scope=scope).get("origin")
        # L2: any page in a browser can reach a server on 127.0.0.1; programs send no origin.
        if origin is not None and not caller.is_at(origin) and not self._allowed.lets_in(origin):
            raise Refused(CloseCode.FORBIDDEN, FOREIGN, _reason(origin))
        if is_draining:
            raise Refused(CloseCode.RESTART, STOPPING, "stopping")
        if connections >= self._max_connections:
            raise Refused(CloseCode.OVERLOADED, FULL, "too many connections; see --max-connections")
        try:
            return document_name(scope["path_params"]["document"])
        except BadName as error:
            raise Refused(CloseCode.MALFORMED, NO_NAME, str(error)) from error


def _reason(text: str) -> str:
    origin = Origin.read(text)
    if origin is None:
        return f"foreign origin {text[:ORIGIN_SHOWN]!r}, which only --allow-origin '*' lets in"
    shown = str(origin)[:ORIGIN_SHOWN]
    return f"foreign origin {shown}; to let its pages in: --allow-origin {shown}"
