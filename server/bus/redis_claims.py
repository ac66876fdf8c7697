"""Who does what only one node needs to do."""

from server.bus.redis_keys import RedisKeys
from server.bus.redis_scripts import CLAIM, RELEASE
from server.bus.redis_servers import Lane, RedisServers

__all__ = ["RedisClaims"]


class RedisClaims:
    """The claims of one node: a key for each task, which ends by itself."""

    def __init__(self, servers: RedisServers, keys: RedisKeys, *, node: str) -> None:
        self._servers = servers
        self._keys = keys
        self._node = node

    async def claim(self, task: str, hold_s: float) -> bool:
        """Hold a task, anew or still; see ``Bus.claim``."""
        slot, key = self._keys.claim(task)
        call = CLAIM.call_whole(key, self._node, round(hold_s * 1000))
        [is_ours] = await self._servers.ask(Lane.ASK, slot, call)
        return bool(is_ours)

    async def release(self, task: str) -> None:
        """Give up a task; see ``Bus.release``."""
        slot, key = self._keys.claim(task)
        await self._servers.ask(Lane.ASK, slot, RELEASE.call_whole(key, self._node))
