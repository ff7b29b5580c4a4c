"""Where threads are kept: an SQLite file or a PostgreSQL database, named by a URL.

| URL | database |
|---|---|
| `sqlite:///threads.db` | a file in the current folder; folders are made |
| `sqlite:////var/lib/threads.db` | a file by its absolute path |
| `postgresql://user:password@host/name` | PostgreSQL; needs the extra `postgres` |

LangGraph takes the checkpoint with the latest time for a thread's last one: after a machine's clock has been set back,
what is saved before it has caught up is not found again. Keep the clocks of all that share a database in step.

`apps.runs.locks` keeps processes that share a database from running the same thread at the same time.
"""

import asyncio
import os
import sqlite3
import zlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

VARIABLE = "CHECKPOINT_DB"
BUSY_SECONDS = 30.0
"""How long one process waits while another one writes to the same file."""

PACKED_BYTES = 16_384
"""What takes more is packed."""

_PACKED = "+zlib"

CONNECTIONS = 10
CONNECT_SECONDS = 10
WRONG_URL = (
    "{url!r} names no database for threads. Use sqlite:///file.db, sqlite:////absolute/path/file.db or "
    "postgresql://user:password@host/name."
)
NO_POSTGRES = "PostgreSQL needs its driver: pip install -e '.[postgres]'."
CANT_OPEN = "The threads in {where} can't be opened: {why}"

_SETUP_LOCK = 2312_04511
"""Any number that nobody else takes for a lock in the same database."""


class CheckpointError(RuntimeError):
    """The database of the threads can't be had."""


def default_url() -> str:
    """`CHECKPOINT_DB`, or else a file in the user's own folder for state."""
    if url := os.environ.get(VARIABLE):
        return url
    state = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/state"
    return f"sqlite:///{Path(state).expanduser() / 'llm-compiler' / 'threads.db'}"


def open_checkpointer(url: str | None = None) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
    """A LangGraph checkpointer, open inside `async with`.

    It revives only messages, LangGraph's own types and plain values (LangGraph's strict mode, whatever
    `LANGGRAPH_STRICT_MSGPACK` says): who can write to the database can't have code run by whoever reads it.

    Args:
        url: The database; see above. Without one, `default_url()`.

    Raises:
        CheckpointError: The URL names no database, or it can't be opened.
    """
    url = url or default_url()
    path = file_of(url)
    return _open_sqlite(path) if path else _open_postgres(url)


def file_of(url: str) -> Path | None:
    """The SQLite file that a URL names; None if it names a PostgreSQL database.

    Raises:
        CheckpointError: It names no database.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:]).expanduser()
    if scheme in ("postgresql", "postgres") and separator:
        return None
    raise CheckpointError(WRONG_URL.format(url=_without_password(url)))


class Serializer(JsonPlusSerializer):
    """LangGraph's own, which revives nothing but messages, LangGraph's types and plain values, and packs what is large:
    a result is saved with its call, with the conversation, and again with each later step."""

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The value as bytes, and how they are to be read."""
        kind, data = super().dumps_typed(obj)
        return (kind + _PACKED, zlib.compress(data, 1)) if len(data) > PACKED_BYTES else (kind, data)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value again."""
        kind, packed = data
        if kind.endswith(_PACKED):
            data = kind.removesuffix(_PACKED), zlib.decompress(packed)
        return super().loads_typed(data)


@asynccontextmanager
async def _open_sqlite(path: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    import aiosqlite

    from apps.runs.sqlite import SqliteSaver

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = await aiosqlite.connect(path, timeout=BUSY_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise CheckpointError(CANT_OPEN.format(where=path, why=error)) from error
    saver = SqliteSaver(connection, serde=Serializer())
    try:
        try:
            await _set_up(saver)
        except sqlite3.Error as error:
            raise CheckpointError(CANT_OPEN.format(where=path, why=error)) from error
        yield saver
    finally:
        await saver.close()


async def _set_up(saver: Any) -> None:
    """Make the tables. SQLite waits for others that write, but not for one that is turning a new file into one with a
    write-ahead log, so it is asked again."""
    give_up = asyncio.get_running_loop().time() + BUSY_SECONDS
    while True:
        try:
            await saver.setup()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or asyncio.get_running_loop().time() > give_up:
                raise
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _open_postgres(url: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        import psycopg
        from psycopg_pool import AsyncConnectionPool

        from apps.runs.postgres import PostgresSaver
    except ImportError as error:
        raise CheckpointError(NO_POSTGRES) from error

    try:
        # Not through the pool, which tries again and again and doesn't tell why.
        async with await connect(url) as connection, setting_up(connection):
            await PostgresSaver(connection).setup()
    except psycopg.Error as error:
        raise cant_open(url, error) from error
    pool: Any = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=CONNECTIONS,
        open=False,
        timeout=CONNECT_SECONDS,  # not longer than the locks are waited for, without which there is no run
        reconnect_timeout=CONNECT_SECONDS,
        kwargs=_options(),
    )
    async with pool:
        yield PostgresSaver(pool, serde=Serializer())


async def connect(url: str) -> Any:
    """A connection to PostgreSQL.

    Raises:
        psycopg.Error: The database can't be had.
    """
    import psycopg

    return await psycopg.AsyncConnection.connect(url, **_options())


def _options() -> dict[str, Any]:
    from psycopg.rows import dict_row

    return {
        "autocommit": True,
        "prepare_threshold": 0,
        "row_factory": dict_row,
        "connect_timeout": CONNECT_SECONDS,
    }


@asynccontextmanager
async def setting_up(connection: Any) -> AsyncIterator[None]:
    """Let one process at a time make the tables. One that waited inside PostgreSQL would hold up the indexes that
    another one makes, so it asks again and again."""
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS locked", (_SETUP_LOCK,))
        if (await cursor.fetchone())["locked"]:
            break
        await asyncio.sleep(0.05)
    yield
    await connection.execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))


def cant_open(url: str, error: Exception) -> CheckpointError:
    """That a database can't be had, and why, without the password."""
    return CheckpointError(CANT_OPEN.format(where=_without_password(url), why=error))


def _without_password(url: str) -> str:
    before, at, host = url.partition("?")[0].rpartition("@")
    scheme, separator, user = before.partition("://")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}" if at else url.partition("?")[0]
