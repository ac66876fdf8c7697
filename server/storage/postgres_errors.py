"""Tells what Postgres says of the world from our own bugs."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from server.storage import StoreUnavailable

__all__ = ["explained"]

_OUR_BUGS = {"21", "22", "23", "2F", "34", "38", "39", "3B"}
"""Classes of SQLSTATE that fixed statements on our own tables cannot meet, whatever happens to the server.

Not 26, a prepared statement that is not there: behind a pool it may have been another connection's."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn what is the world's fault into ``StoreUnavailable``; let our own bugs through.

    No text of the URL gets into the error: what the driver says of a URL may quote the password.
    """
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise StoreUnavailable("the URL of the Postgres store cannot be understood") from None
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "")[:2] in _OUR_BUGS:
            raise
        raise StoreUnavailable(f"Postgres: {error} ({error.sqlstate})") from error
    except TimeoutError as error:
        raise StoreUnavailable("Postgres does not answer in time") from error
    # The last one is what the driver says when a connection ends between two steps of its protocol.
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StoreUnavailable(f"no connection to Postgres: {error}") from error
