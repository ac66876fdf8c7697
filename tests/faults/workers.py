"""Workers that fold, and how they are killed and watched."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.redis_server import RedisServer
from tests.support.server_process import COWRITE
from tests.support.tcp_proxy import TcpProxy

__all__ = [
    "Worker",
    "busy_worker",
    "expire_claims",
    "victim_killed_at",
    "wait_folded",
    "waits",
]

SWEEP_S = 0.3
BUSY_SWEEP_S = 0.02
"""A sweep folds what was left alone since the latest one."""
STATEMENTS = (b"BEGIN;", b"INSERT INTO cowrite.snapshots", b"DELETE FROM cowrite.entries", b"COMMIT;")
"""What is a request to Postgres here: all that ``replace`` does, and none of what only reads."""


class Worker:
    """A ``cowrite worker`` that looks for work all the time."""

    def __init__(self, redis_url: str, store: str, log: Path, *, sweep_s: float = SWEEP_S) -> None:
        self._command = [*COWRITE, "worker", "--redis", redis_url, "--store", store]
        self._command += ["--sweep-s", str(sweep_s)]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Worker":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self.kill()
        self._process.wait()
        print(f"--- log of the worker {self._log.name} ---")
        print(self._log.read_text(errors="replace"))

    def kill(self) -> None:
        """End it as ``kill -9`` does; idempotent."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        assert self._process is not None
        return self._process.poll() is not None


def waits(redis: RedisServer) -> bool:
    """Tell whether any stream holds entries."""
    return any(redis.execute("XLEN", key) for key in redis.execute("KEYS", "*:stream"))


def expire_claims(redis: RedisServer) -> None:
    """Let the time pass that a claim outlives the one who held it."""
    for key in redis.execute("KEYS", "*:claim"):
        redis.execute("DEL", key)


async def wait_folded(redis: RedisServer) -> None:
    """Wait until nothing is left in any stream."""
    await asyncio.to_thread(poll_blocking, lambda: not waits(redis), PATIENCE_S, "all is folded")


@asynccontextmanager
async def before_store(store: str) -> AsyncIterator[tuple[list[TcpProxy], str]]:
    """Give a way of its own to the store, where that is not Redis, and the URL to go it with."""
    if store == "redis":
        yield [], store
        return
    port = urlsplit(store).port
    assert port is not None
    async with TcpProxy.open(port) as proxy:
        yield [proxy], store.replace(f":{port}/", f":{proxy.port}/")


@asynccontextmanager
async def victim_killed_at(step: int, redis: RedisServer, store: str, log: Path) -> AsyncIterator[Worker]:
    """Run a worker that is killed before its request number ``step``, counted from the claim on, arrives."""
    async with TcpProxy.open(redis.port) as to_redis, before_store(store) as (to_postgres, url):
        with Worker(to_redis.url, url, log) as victim:
            requests = 0
            claims: set[bytes] = set()

            def count() -> None:
                nonlocal requests
                requests += 1
                if requests == step:
                    victim.kill()
                    for proxy in (to_redis, *to_postgres):
                        proxy.cut()

            def asks_redis(piece: bytes) -> None:
                if piece in claims:
                    return  # renewed: the fold takes long
                if b":fold:claim" in piece and not claims:
                    claims.add(piece)
                if claims:
                    count()

            def asks_postgres(piece: bytes) -> None:
                if claims and any(statement in piece for statement in STATEMENTS):
                    count()

            to_redis.on_request = asks_redis
            for proxy in to_postgres:
                proxy.on_request = asks_postgres
            yield victim


@asynccontextmanager
async def busy_worker(redis: RedisServer, store: str, log: Path) -> AsyncIterator[list[bytes]]:
    """Run a worker that folds what is being written; give its requests to trim, each the end of a fold."""
    trims: list[bytes] = []
    async with TcpProxy.open(redis.port) as proxy:
        proxy.on_request = lambda piece: trims.append(piece) if b"XTRIM" in piece else None
        with Worker(proxy.url, store, log, sweep_s=BUSY_SWEEP_S):
            yield trims
