"""The checkpointer on SQLite, whose run is cancelled, or whose server stops, while it waits for others that write."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint

from apps.runs.checkpoints import open_checkpointer

Saver = BaseCheckpointSaver[Any]

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, which waits for nobody."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        yield connection


async def begun(saver: Any, writing: Awaitable[Any]) -> "asyncio.Future[Any]":
    """The same, when SQLite has begun with it."""
    loop, begins = asyncio.get_running_loop(), asyncio.Event()
    await saver.conn.set_trace_callback(lambda _: loop.call_soon_threadsafe(begins.set))
    task = asyncio.ensure_future(writing)
    await begins.wait()
    return task


@pytest.mark.parametrize(
    ("work", "left"),
    [
        (lambda saver, _: saver.aput(THREAD, empty_checkpoint(), {}, {}), []),
        (lambda saver, saved: saver.aput_writes(saved, [("messages", "hello")], "task"), ["hello"]),
        (lambda saver, _: saver.adelete_thread("t"), None),
    ],
    ids=["saved", "written", "deleted"],
)
async def test_who_is_cancelled_while_it_writes_leaves_the_file_to_others(
    file: Path, other: sqlite3.Connection, work: Callable[[Saver, Any], Awaitable[Any]], left: list[str] | None
) -> None:
    async with open_checkpointer(f"sqlite:///{file}") as saver:
        saved = await saver.aput(THREAD, empty_checkpoint(), {}, {})
        other.execute("BEGIN IMMEDIATE")
        writing = await begun(saver, work(saver, saved))
        writing.cancel()
        await asyncio.sleep(0)
        other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await writing
        found = await saver.aget_tuple(THREAD)
        assert (found and [value for *_, value in found.pending_writes or []]) == left
        other.execute("BEGIN IMMEDIATE")


async def test_what_is_still_being_written_at_the_end_leaves_the_file_to_others(
    file: Path, other: sqlite3.Connection
) -> None:
    opened = open_checkpointer(f"sqlite:///{file}")
    saver = await opened.__aenter__()
    saved = await saver.aput(THREAD, empty_checkpoint(), {}, {})
    other.execute("BEGIN IMMEDIATE")
    writing = await begun(saver, saver.aput_writes(saved, [("messages", "hello")], "task"))
    ending = asyncio.create_task(opened.__aexit__(None, None, None))
    await asyncio.sleep(0)
    other.execute("COMMIT")
    await asyncio.wait([writing, ending])
    other.execute("BEGIN IMMEDIATE")
    assert not writing.exception()
    assert not ending.exception()
