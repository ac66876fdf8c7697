"""People: stock clients that are present under their names, and whom they see."""

from tests.support.clients import NodeClients, StockClient
from tests.support.polling import PATIENCE_S, poll
from tests.support.server_process import ServerProcess

__all__ = ["enter", "names_seen", "wait_seen"]


async def enter(clients: NodeClients, node: ServerProcess, document: str, name: str) -> StockClient:
    """Open a client that is synced and present under its name."""
    client = await clients.open(name, node.ws_root, document)
    await client.wait_synced()
    await client.set_awareness({"user": name})
    return client


async def names_seen(observer: StockClient) -> set[object]:
    """Return the names of everybody whom a client sees."""
    return {state.get("user") for state in (await observer.awareness()).values()}


async def wait_seen(observer: StockClient, names: set[str]) -> None:
    """Wait until a client sees exactly these names, because a server told it."""

    async def sees() -> bool:
        return await names_seen(observer) == names

    try:
        await poll(sees, PATIENCE_S, f"{observer.name} sees {names}")
    except AssertionError:
        assert await names_seen(observer) == names
        raise
    # Stock clients forget whoever they have not heard of for 30 s.
    assert await observer.history("helped itself") == []
