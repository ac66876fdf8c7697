"""The tables of the Postgres store, and how they are created and checked."""

import logging

from asyncpg.pool import PoolConnectionProxy

from server.storage import SchemaTooNew, StoreUnavailable

__all__ = ["prepare"]

_VERSION = 1
_LOCK = int.from_bytes(b"cowrite")

# Entries carry the name of their document: a number in its place would have to be remembered by every
# node, and would lead into another document once the database was restored from a backup under it.
# Names compare byte by byte: other collations change with the system's libraries, which breaks indexes.
_TABLES = (
    "CREATE TABLE cowrite.schema_version (version integer NOT NULL)",
    """CREATE TABLE cowrite.entries (
        document text COLLATE "C" NOT NULL, position bigint NOT NULL, checksum bigint NOT NULL,
        payload bytea NOT NULL, PRIMARY KEY (document, position))""",
    """CREATE TABLE cowrite.snapshots (
        document text COLLATE "C" PRIMARY KEY, generation bigint NOT NULL, position bigint NOT NULL,
        depth integer NOT NULL, checksum bigint NOT NULL, payload bytea NOT NULL)""",
    """CREATE TABLE cowrite.quarantine (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, document text COLLATE "C" NOT NULL,
        position bigint NOT NULL, checksum bigint NOT NULL, payload bytea NOT NULL, reason text NOT NULL,
        at timestamptz NOT NULL DEFAULT now())""",
    "CREATE INDEX quarantine_by_position ON cowrite.quarantine (document, position)",
)

_log = logging.getLogger(__name__)


async def prepare(connection: PoolConnectionProxy) -> None:
    """Create the tables where there are none, and check them where there are.

    Any number of nodes may do this at once. Raises ``SchemaTooNew`` and ``StoreUnavailable``; what was
    there is unchanged then. Warns of settings with which a commit can be lost.
    """
    await _check_settings(connection)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        version = await _version(connection)
        if version > _VERSION:
            raise SchemaTooNew(
                f"the Postgres store has schema {version}, this version knows schemas up to {_VERSION}"
            )
        if version == 0:
            await _create(connection)


async def _version(connection: PoolConnectionProxy) -> int:
    if await connection.fetchval("SELECT to_regclass('cowrite.schema_version')") is None:
        return 0
    return int(await connection.fetchval("SELECT version FROM cowrite.schema_version"))


async def _create(connection: PoolConnectionProxy) -> None:
    # An administrator may have made the schema for a user who may not make one.
    if await connection.fetchval("SELECT to_regnamespace('cowrite')") is None:
        await connection.execute("CREATE SCHEMA cowrite")
    for table in _TABLES:
        await connection.execute(table)
    await connection.execute("INSERT INTO cowrite.schema_version VALUES ($1)", _VERSION)


async def _check_settings(connection: PoolConnectionProxy) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailable(f"the Postgres database is encoded in {encoding}: names need UTF8")
    for name in ("fsync", "synchronous_commit"):
        if await connection.fetchval(f"SHOW {name}") == "off":
            _log.warning("Postgres has %s off: a crash of it can lose edits that were acknowledged", name)
