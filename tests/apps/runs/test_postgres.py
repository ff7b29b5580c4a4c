"""The checkpointer on PostgreSQL, whose connection the database ends in the middle of a statement."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint

from apps.runs.checkpoints import CheckpointError, open_checkpointer
from tests.support.waiting import until

Saver = BaseCheckpointSaver[Any]

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def break_off(connection: psycopg.AsyncConnection[Any]) -> None:
    """End the connection that waits for the locks of this one."""

    async def waits() -> bool:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        cursor = await connection.execute(f"SELECT count(*) {WAITING}")
        return await cursor.fetchone() == (1,)

    await until(waits)
    await connection.execute(f"SELECT pg_terminate_backend(pid, 60000) {WAITING}")


@asynccontextmanager
async def away(connection: psycopg.AsyncConnection[Any], database: Any) -> AsyncIterator[None]:
    """A database to which nobody is connected, nor can be."""
    await connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", (database,)
        )
        yield
    finally:
        await connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize(
    ("work", "left"),
    [
        (lambda saver, saved: saver.aget_tuple(saved), []),
        (lambda saver, _: saver.aput(THREAD, empty_checkpoint(), {}, {}), []),
        (lambda saver, saved: saver.aput_writes(saved, [("messages", "hello")], "task"), ["hello"]),
        (lambda saver, _: saver.adelete_thread("t"), None),
    ],
    ids=["read", "saved", "written", "deleted"],
)
async def test_what_the_database_broke_off_is_done_again(
    postgres_url: str, work: Callable[[Saver, Any], Awaitable[Any]], left: list[str] | None
) -> None:
    async with (
        open_checkpointer(postgres_url) as saver,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        saved = await saver.aput(THREAD, empty_checkpoint(), {}, {})
        await other.execute("LOCK TABLE checkpoints, checkpoint_writes")
        working = asyncio.ensure_future(work(saver, saved))
        await break_off(other)
        await other.commit()
        await working
        found = await saver.aget_tuple(THREAD)
        assert (found and [value for *_, value in found.pending_writes or []]) == left


async def test_what_is_broken_off_again_is_told(postgres_url: str) -> None:
    async with (
        open_checkpointer(postgres_url) as saver,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        await other.execute("LOCK TABLE checkpoints")
        reading = asyncio.ensure_future(saver.aget_tuple(THREAD))
        await break_off(other)
        await break_off(other)
        with pytest.raises(CheckpointError, match=r"The database of the threads can't be reached: .*terminating"):
            await reading


async def test_of_connections_that_the_database_has_ended_none_is_tried_after_the_first(postgres_url: str) -> None:
    """Each would be waited for longer than the one before."""
    async with (
        open_checkpointer(postgres_url) as saver,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other,
    ):
        pool: Any = saver.conn  # type: ignore[attr-defined]
        await pool.wait()  # for its first connection, which would be a ninth
        for connection in [await pool.getconn() for _ in range(8)]:
            await pool.putconn(connection)
        await other.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await saver.aget_tuple(THREAD) is None
        stats = pool.get_stats()
        assert (stats["returns_bad"], stats["connections_lost"]) == (1, 7)


async def test_a_database_that_is_away_is_not_waited_for_longer_than_its_locks_are(
    postgres_server: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once it is back, nobody waits for the pool's next attempt, which comes the later the longer it was away."""
    monkeypatch.setattr("apps.runs.checkpoints.CONNECT_SECONDS", 0.5)
    elsewhere = postgres_server.format(database="postgres")
    async with (
        open_checkpointer(postgres_url) as saver,
        await psycopg.AsyncConnection.connect(elsewhere, autocommit=True) as other,
    ):
        pool: Any = saver.conn  # type: ignore[attr-defined]
        await pool.wait()  # a connection that is being made would escape
        async with away(other, psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]):
            with pytest.raises(CheckpointError, match=r"couldn't get a connection after 0\.50 sec"):
                await saver.aget_tuple(THREAD)

        async def is_back() -> bool:
            with suppress(CheckpointError):  # half a second may be too little here
                return await saver.aget_tuple(THREAD) is None
            return False

        await until(is_back)
