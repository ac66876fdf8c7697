"""Subscriptions that were lost heal, and nobody misses anything."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from server.bus import BusEntry, BusUnavailable
from server.bus import redis_bell as bell
from server.bus.redis import RedisBus
from server.bus.redis_connection import Reply
from server.bus.redis_servers import Lane, Request
from tests.server.redis_bus.support import TIMEOUT_S, append, everything
from tests.support.bus_ear import Ear
from tests.support.polling import PATIENCE_S, poll
from tests.support.tcp_proxy import TcpProxy


async def test_a_subscription_heals_after_every_cut(proxy: TcpProxy, bus: RedisBus) -> None:
    ears = {f"document {index}": Ear() for index in range(30)}
    async with RedisBus.open(proxy.url, node="two") as listening:
        for document, ear in ears.items():
            await listening.listen(document, ear)
        for round_number in range(3):
            before = {document: ear.doubts for document, ear in ears.items()}
            proxy.cut()
            for document, ear in ears.items():
                await ear.doubts_again(before[document])
            update = str(round_number).encode()
            await bus.append([(document, update) for document in ears])
            for ear in ears.values():
                await ear.hears(update)


async def test_every_subscription_survives_cuts_at_random(proxy: TcpProxy, bus: RedisBus, seed: int) -> None:
    chosen = random.Random(seed)
    ears = {f"document {index}": Ear() for index in range(200)}
    async with RedisBus.open(proxy.url, node="two") as listening:
        for document, ear in ears.items():
            await listening.listen(document, ear)
        for _ in range(60):
            await asyncio.sleep(chosen.uniform(0, 0.03))
            proxy.cut()
        attempt = 0

        async def is_whole() -> bool:
            nonlocal attempt
            attempt += 1
            await bus.append([(document, str(attempt).encode()) for document in ears])
            return all(ear.entries and int(ear.updates[-1]) >= attempt - 3 for ear in ears.values())

        await poll(is_whole, PATIENCE_S, "every document is heard again")


async def test_a_connection_lost_right_after_it_was_confirmed_is_not_trusted(
    proxy: TcpProxy, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two") as listening:
        await listening.listen("a", ear)
        ask_all, cuts = listening._servers.ask_all, [None]

        async def ask_and_lose(lane: Lane, requests: Sequence[Request]) -> list[Reply]:
            replies = await ask_all(lane, requests)
            before = listening._bell._losses

            async def is_lost() -> bool:
                return listening._bell._losses > before

            if cuts and not isinstance(replies[0], BusUnavailable):
                cuts.pop()
                proxy.cut()
                await poll(is_lost, PATIENCE_S, "the connection is lost")
            return replies

        monkeypatch.setattr(listening._servers, "ask_all", ask_and_lose)
        proxy.cut()
        await ear.doubts_again(0)
        await append(bus, b"one")
        await ear.hears(b"one")


async def test_a_subscription_waits_for_a_redis_that_refuses(proxy: TcpProxy, bus: RedisBus) -> None:
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two") as listening:
        await listening.listen("a", ear)
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(BusUnavailable):
            await listening.listen("b", Ear())
        assert ear.doubts == 0
        proxy.refuses = False
        await ear.doubts_again(0)
        await append(bus, b"one")
        await ear.hears(b"one")
        await listening.listen("b", Ear())


async def test_a_subscription_that_died_without_a_word_is_noticed(
    proxy: TcpProxy, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "PING_S", 0.1)
    ear = Ear()
    async with RedisBus.open(proxy.url, node="two", timeout_s=TIMEOUT_S) as listening:
        await listening.listen("a", ear)
        proxy.drops_replies = True
        await append(bus, b"unheard")
        before = proxy.accepted

        async def connects_again() -> bool:
            return proxy.accepted > before

        # Nobody cuts the connection: only the unanswered ping tells.
        await poll(connects_again, PATIENCE_S, "the silence is noticed")
        assert (ear.updates, ear.doubts) == ([], 0)
        proxy.drops_replies = False
        await ear.doubts_again(0)
        assert await everything(listening) == [b"unheard"]


async def test_F19_a_listener_that_fails_harms_no_other(
    bus: RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Ear):
        def entry_arrived(self, entry: BusEntry) -> None:
            raise RuntimeError("broken room")

    ear = Ear()
    await bus.listen("a", Broken())
    await bus.listen("b", ear)
    for index in range(3):
        await bus.append([("a", b"x"), ("b", str(index).encode())])
    await ear.hears(b"2")
    assert (ear.updates, ear.doubts) == ([b"0", b"1", b"2"], 0)
    assert "a listener failed" in caplog.text
