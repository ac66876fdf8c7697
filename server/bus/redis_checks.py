"""Says at the start what in the settings of Redis can lose what it was given."""

import logging

from server.bus import BusUnavailable
from server.bus.redis_connection import RedisRefusal, Reply
from server.bus.redis_servers import Lane, RedisServers
from server.bus.redis_url import Address

__all__ = ["warn_of_settings"]

logger = logging.getLogger("cowrite.bus")


async def warn_of_settings(servers: RedisServers) -> None:
    """Look at every server and log a warning for each bad setting; never raises for a server's answer."""
    for address in servers.addresses:
        [reply] = await servers.ask_server(
            address, Lane.ASK, [("CONFIG", "GET", "maxmemory-policy", "appendonly")]
        )
        if isinstance(reply, RedisRefusal):
            logger.info("Redis at %s does not show its settings: %s", address, reply.code)
        elif isinstance(reply, BusUnavailable):
            raise reply
        else:
            _warn(address, reply)


def _warn(address: Address, settings: Reply) -> None:
    assert isinstance(settings, dict)
    policy = settings.get(b"maxmemory-policy")
    if isinstance(policy, bytes) and policy != b"noeviction":
        logger.warning(
            "Redis at %s has maxmemory-policy %s: under memory pressure it deletes edits that are not yet "
            "stored; set it to noeviction",
            address,
            policy.decode(),
        )
    if settings.get(b"appendonly") == b"no":
        logger.warning(
            "Redis at %s has no append-only file: a restart of it loses what is not yet stored; set "
            "appendonly to yes",
            address,
        )
