"""One socket to one Redis server: requests answered in order, pushes as they come. Knows no documents."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias, cast

import hiredis

from server.bus import BusUnavailable
from server.bus.redis_url import Address, RedisUrl

__all__ = ["Command", "Push", "RedisConnection", "RedisRefusal", "Reply"]

Command: TypeAlias = tuple[bytes | str | int, ...]
Reply: TypeAlias = "None | bool | int | float | bytes | BusUnavailable | list[Reply] | dict[Reply, Reply]"
Push: TypeAlias = Sequence[Reply]

SLOWEST_BYTES_PER_S = 1_000_000
"""A request gets a second more for each of these that it sends: meanwhile the server has nothing to say."""

CONFIRMED_BY_PUSH: Mapping[bytes | str | int, bytes] = {
    "SSUBSCRIBE": b"ssubscribe",
    "SUNSUBSCRIBE": b"sunsubscribe",
}
"""Commands that are answered by a push with the channel, and in line only by an error."""

# Its stub knows only tuples of one.
_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)


class RedisRefusal(BusUnavailable):
    """An error reply. It stands among the replies; the connection goes on."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]
        """The first word, which the server's protocol fixes: MOVED, NOSCRIPT, OOM, READONLY …"""


@dataclass(slots=True)
class _Request:
    commands: Sequence[Command]
    done: asyncio.Future[list[Reply]]
    replies: list[Reply] = field(default_factory=list)

    @property
    def awaited(self) -> Command:
        return self.commands[len(self.replies)]


class RedisConnection(asyncio.Protocol):
    """Speaks RESP3. A request that its caller gave up on is still answered, to nobody; the order holds.

    Requests wait in no bounded queue here: each caller waits for its own, and bounds what it sends.
    """

    def __init__(
        self, on_push: Callable[[Push], None], on_lost: Callable[[], None], timeout_s: float
    ) -> None:
        self.server: dict[Reply, Reply] = {}
        """What the server said of itself in its greeting."""
        self._on_push = on_push
        self._on_lost = on_lost
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=RedisRefusal, notEnoughData=self)
        self._waiting: deque[_Request] = deque()
        self._heard_at = 0.0
        """When the server said something last, by the clock of the loop."""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls,
        address: Address,
        url: RedisUrl,
        *,
        timeout_s: float,
        on_push: Callable[[Push], None],
        on_lost: Callable[[], None],
    ) -> Self:
        """Connect to ``address`` and enter as ``url`` says; raises ``BusUnavailable``.

        ``on_push`` gets every push that confirms no command; ``on_lost`` is called once when an open
        connection has ended, for whatever reason. While a request waits the server may be silent for
        ``timeout_s``, longer only while a large request is sent.
        """
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if url.is_tls else None
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: cls(on_push, on_lost, timeout_s), address.host, address.port, ssl=tls
                )
        except OSError as error:
            raise BusUnavailable(f"cannot connect to Redis at {address}: {error}") from error
        try:
            await connection._enter(url)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, commands: Sequence[Command]) -> list[Reply]:
        """Send all commands at once and return a reply for each, error replies as ``RedisRefusal`` values.

        Raises ``BusUnavailable`` when the connection is lost, or silent for too long; the commands may then
        have been carried out. It is closed after that: what it still has to say belongs to nobody.
        """
        assert commands, "a request asks for something"
        if self._transport is None or self._transport.is_closing():
            raise BusUnavailable("the connection to Redis is closed")
        packed = b"".join(map(_pack, commands))
        request = _Request(commands, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._transport.write(packed)
        try:
            await self._answered(request, self._timeout_s + len(packed) / SLOWEST_BYTES_PER_S)
        finally:
            request.done.cancel()
        return request.done.result()

    async def _answered(self, request: _Request, silence_limit_s: float) -> None:
        """Wait as long as the server talks: a large reply over a slow link takes its time (B14)."""
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        while not request.done.done():
            left_s = max(sent_at, self._heard_at) + silence_limit_s - loop.time()
            if left_s <= 0:
                self.close()
                raise BusUnavailable("Redis does not answer in time")
            await asyncio.wait([request.done], timeout=left_s)

    def close(self) -> None:
        """End the connection now; idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start; see ``asyncio.Protocol``."""
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out what has arrived whole; see ``asyncio.Protocol``."""
        self._heard_at = asyncio.get_running_loop().time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not self:
                if isinstance(reply, hiredis.PushNotification) and not self._is_awaited(reply):
                    self._on_push(reply)
                else:
                    self._answer(reply)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what waits; see ``asyncio.Protocol``."""
        for request in self._waiting:
            if not request.done.done():
                request.done.set_exception(BusUnavailable("the connection to Redis was lost"))
        self._waiting.clear()
        self._on_lost()

    async def _enter(self, url: RedisUrl) -> None:
        entrance: Command = ("AUTH", url.user, url.password) if url.password else ()
        greeting: list[Command] = [("HELLO", 3, *entrance, "SETNAME", "cowrite")]
        if url.database:
            greeting.append(("SELECT", url.database))
        replies = await self.request(greeting)
        for reply in replies:
            if isinstance(reply, BusUnavailable):
                raise reply
        assert isinstance(replies[0], dict)
        self.server = replies[0]

    def _is_awaited(self, push: Push) -> bool:
        if not self._waiting:
            return False
        awaited = self._waiting[0].awaited
        return CONFIRMED_BY_PUSH.get(awaited[0]) == push[0] and awaited[1] == push[1]

    def _answer(self, reply: Reply) -> None:
        if not self._waiting:
            # Before it closes, a server may say why, to nobody in particular.
            self.close()
            return
        request = self._waiting[0]
        request.replies.append(reply)
        if len(request.replies) == len(request.commands):
            self._waiting.popleft()
            if not request.done.done():
                request.done.set_result(request.replies)
