"""Stock Yjs clients in Node, driven from Python (tests/node/client.mjs)."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, cast

from tests.support.node import start_program
from tests.support.polling import PATIENCE_S, poll

__all__ = ["OLD_VERSION", "VERSIONS", "AwarenessState", "NodeClients", "Patch", "StockClient"]

VERSIONS = ("3.1.0", "3.0.0", "2.1.0")
"""The y-websocket providers that stand side by side in tests/node."""

OLD_VERSION = "1.5.4"
"""One more of them, still in use: for what depends on how old clients behave."""

Patch = tuple[int, int, str]
"""Position, how much is deleted, what is inserted."""
AwarenessState = Mapping[str, object]

ANSWER_LIMIT_S = 2 * PATIENCE_S
"""The program waits for a condition itself, and no longer than it is told."""


class NodeClients:
    """One Node process that holds any number of stock clients; all are gone when the context ends."""

    async def __aenter__(self) -> Self:
        self._process = await start_program("client.mjs")
        self._answers: dict[int, asyncio.Future[object]] = {}
        self._asked = 0
        self._reader = asyncio.create_task(self._read_answers())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reader

    async def open(
        self,
        name: str,
        url: str,
        document: str,
        *,
        version: str = VERSIONS[0],
        client_id: int | None = None,
        origin: str | None = None,
        connect: bool = True,
    ) -> "StockClient":
        """Open a client with a provider of ``version`` on a document of its own; ``name`` is unique here.

        With ``origin`` it connects as a page from there.
        """
        client = StockClient(self, name)
        await self.ask(
            name,
            "open",
            version=version,
            url=url,
            document=document,
            connect=connect,
            **_given(clientId=client_id, origin=origin),
        )
        return client

    async def ask(self, client: str, command: str, **arguments: object) -> object:
        """Send one command and return its answer; fail when Node reports an error."""
        self._asked += 1
        request = {"id": self._asked, "client": client, "do": command, **arguments}
        answer = self._answers[self._asked] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return await answer

    async def _read_answers(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._answers.pop(answer["id"])
            if waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(AssertionError(answer["error"]))
            else:
                waiting.set_result(answer["value"])
        for waiting in self._answers.values():
            waiting.cancel("the Node process ended")


class StockClient:
    """One document with its provider; the methods are those of Y.Text, Awareness and the provider."""

    def __init__(self, node: NodeClients, name: str) -> None:
        self._node = node
        self.name = name

    async def connect(self) -> None:
        """Let the provider connect, and keep connecting."""
        await self._ask("connect")

    async def disconnect(self) -> None:
        """Close with a close frame and stay away."""
        await self._ask("disconnect")

    async def cut(self) -> None:
        """End the TCP connection without a close frame; the provider comes back by itself."""
        await self._ask("cut")

    async def move(self, url: str) -> None:
        """Have the provider connect to another server from its next connection on."""
        await self._ask("move", url=url)

    async def abandon(self) -> None:
        """Be gone for good without a word to anybody."""
        await self.cut()
        await self.destroy()

    async def destroy(self) -> None:
        """Leave for good: the provider withdraws its awareness and closes."""
        await self._ask("destroy")

    async def insert(self, index: int, text: str) -> None:
        """Insert into the text in one transaction; positions count UTF-16 units."""
        await self._ask("insert", index=index, text=text)

    async def delete(self, index: int, length: int) -> None:
        """Delete from the text in one transaction; positions count UTF-16 units."""
        await self._ask("delete", index=index, length=length)

    async def type(self, patches: Sequence[Patch], *, acknowledge_every: int | None = None) -> None:
        """Type patches, a transaction each; return when the socket has taken most of it.

        With ``acknowledge_every`` the client asks for an acknowledgement after that many edits each,
        as long as it is synced.
        """
        await self._ask("type", patches=patches, **_given(acknowledgeEvery=acknowledge_every))

    async def insert_token(self, token: str, place: float) -> None:
        """Insert ``<...>`` between two others; ``place``, from 0 to 1, says where."""
        await self._ask("insertToken", token=token, place=place)

    async def erase_token(self, token: str) -> None:
        """Delete a token that this client has inserted."""
        await self._ask("eraseToken", token=token)

    async def apply(self, update: bytes) -> None:
        """Apply an update to the client's document by hand, as a local edit."""
        await self._ask("apply", update=b64encode(update).decode())

    async def write_objects(self, number: int) -> None:
        """Write objects of several keys, each kind in a transaction of its own."""
        await self._ask("writeObjects", number=number)

    async def read_objects(self) -> str:
        """Return all that ``write_objects`` writes, in one form."""
        return cast(str, await self._ask("readObjects"))

    async def paste(self, index: int, length: int) -> None:
        """Insert a long text, of one letter."""
        await self._ask("paste", index=index, length=length)

    async def paste_image(self, key: str, size: int) -> None:
        """Put many bytes into the map of images."""
        await self._ask("pasteImage", key=key, size=size)

    async def wait_sizes(self, *sizes: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the text, and then the images, are as long as this."""

        async def are_right() -> bool:
            return await self._ask("sizes") == list(sizes)

        await poll(are_right, timeout_s, f"{self.name} has a text and images of {sizes}")

    async def text(self) -> str:
        """Return the text that the client shows."""
        return cast(str, await self._ask("text"))

    async def client_id(self) -> int:
        """Return the id under which the client edits and is present."""
        return cast(int, await self._ask("clientId"))

    async def clocks(self) -> dict[int, int]:
        """Return the client's state vector."""
        answer = cast(dict[str, int], await self._ask("clocks"))
        return {int(client): clock for client, clock in answer.items()}

    async def set_awareness(self, state: AwarenessState | None) -> None:
        """Replace the client's own awareness state."""
        await self._ask("setAwareness", state=state)

    async def set_odd_awareness(self, kind: str) -> None:
        """Replace the client's own state by one of no use (tests/node/odd_states.mjs)."""
        await self._ask("setOddAwareness", kind=kind)

    async def bring_odd_company(self, kind: str) -> None:
        """Have the client tell of others what is of no use (tests/node/odd_states.mjs)."""
        await self._ask("bringOddCompany", kind=kind)

    async def stop_renewing(self) -> None:
        """Stop the timer by which the client renews its own presence and forgets that of others."""
        await self._ask("stopRenewing")

    async def awareness_clock(self, client_id: int) -> int:
        """Return the clock at which the client saw the presence of another, or itself, last."""
        return cast(int, await self._ask("awarenessClock", of=client_id))

    async def awareness(self) -> dict[int, AwarenessState]:
        """Return everybody whom the client sees, itself too."""
        answer = cast(dict[str, AwarenessState], await self._ask("awareness"))
        return {int(client): state for client, state in answer.items()}

    async def history(self, kind: str) -> list[object]:
        """Return the values of one kind of event so far, in order.

        Kinds: ``status``, ``sync``, ``close`` and ``closed`` (the code), ``present`` (who was seen
        after each change of awareness), ``sync step 1`` (one for each that came in), ``helped itself``
        (what the client did because it had heard nothing for 30 s).
        """
        return [value for event, value, _ in await self._events() if event == kind]

    async def absence_s(self) -> float:
        """Return how long the client was away when it lost its connection last, as it saw that itself."""
        lost = synced = 0.0
        for kind, value, at_ms in await self._events():
            if (kind, value) == ("status", "disconnected"):
                lost = at_ms
            if (kind, value) == ("sync", True):
                synced = at_ms
        assert 0 < lost < synced, f"{self.name} has not returned"
        return (synced - lost) / 1000

    async def warnings(self) -> list[str]:
        """Return what the provider has printed as warnings."""
        return cast(list[str], await self._ask("warnings"))

    async def met_first(self) -> set[object]:
        """Return whom the client saw when it first saw anybody; itself too, unless it had no state."""
        seen = [present for present in await self.history("present") if present]
        assert seen and isinstance(seen[0], list), f"{self.name} has seen nobody"
        return set(seen[0])

    async def acknowledged(self) -> int:
        """Return the own clock up to which the server has confirmed the client's edits."""
        return cast(int, await self._ask("acknowledged"))

    async def acknowledge(self, timeout_s: float = PATIENCE_S) -> None:
        """Ask the server to confirm all edits until now (message 102), and wait for the answer."""
        assert await self.is_acknowledged(timeout_s), f"{self.name}: not acknowledged"

    async def is_acknowledged(self, timeout_s: float) -> bool:
        """Ask for the same, and tell whether the answer came in time."""
        return bool(await self._ask("acknowledge", timeoutMs=1000 * timeout_s))

    async def wait_text(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the client shows exactly ``text``."""
        if not await self._ask("waitText", text=text, timeoutMs=1000 * timeout_s):
            assert await self.text() == text, f"{self.name} does not show the text"

    async def wait_synced(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the provider calls itself synced."""
        assert await self._ask("waitSynced", timeoutMs=1000 * timeout_s), f"{self.name}: not synced"

    async def returns(self) -> int:
        """Return how many times the client has synced anew so far."""
        return max(0, (await self.history("sync")).count(True) - 1)

    async def wait_returned(self, times: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the provider, once synced, has lost its connection and synced anew so many times."""

        async def has_returned() -> bool:
            synced = await self.history("sync")
            return synced[-1:] == [True] and synced.count(True) > times

        await poll(has_returned, timeout_s, f"{self.name} has returned {times} times")

    async def _events(self) -> list[tuple[str, object, float]]:
        return cast(list[tuple[str, object, float]], await self._ask("history"))

    async def _ask(self, command: str, **arguments: object) -> object:
        return await self._node.ask(self.name, command, **arguments)


def _given(**arguments: object) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}
