"""Writers that are killed."""

import asyncio
import random
from pathlib import Path

from server.storage import Entry
from server.storage.sqlite import SqliteStore
from tests.server.sqlite_store.support import python

APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from server.storage import Entry
from server.storage.sqlite import SqliteStore

async def main():
    async with SqliteStore.open(Path(sys.argv[1])) as store:
        position = (await store.load("a")).last_position
        while True:
            batch = [Entry("a", position + number, b"%d" % (position + number)) for number in range(1, 8)]
            await store.append(batch)
            position += len(batch)
            print(position, flush=True)

asyncio.run(main())
"""


async def test_every_append_that_returned_survives_fifty_kills(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    acknowledged = 0
    for _ in range(50):
        with python(APPEND_FOR_EVER, tmp_path) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            await asyncio.sleep(chosen.uniform(0, 0.03))
            process.kill()
            lines += process.stdout.readlines()
        whole = [int(line) for line in lines if line.endswith(b"\n")]
        assert whole[0] > acknowledged
        acknowledged = whole[-1]
        async with SqliteStore.open(tmp_path) as store:
            stored = await store.load("a")
        assert stored.last_position in (acknowledged, acknowledged + 7)
        everything = [Entry("a", number, b"%d" % number) for number in range(1, stored.last_position + 1)]
        assert list(stored.entries) == everything
        acknowledged = stored.last_position
