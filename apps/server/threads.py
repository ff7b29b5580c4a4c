"""Where the server keeps its threads, and that two runs never change one at the same time."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.sqlite import SqliteSaver

from apps.runs.checkpoints import Serializer, open_checkpointer
from apps.server.errors import RefusedError

BUSY = "The thread {thread!r} is answering another request. Wait for it, or use another thread."
FORGET = """
CREATE TABLE used (thread_id TEXT PRIMARY KEY);
CREATE TRIGGER forget_history AFTER INSERT ON checkpoints BEGIN
    DELETE FROM checkpoints WHERE thread_id = NEW.thread_id AND checkpoint_ns = NEW.checkpoint_ns
        AND checkpoint_id <> NEW.checkpoint_id;
    INSERT OR REPLACE INTO used VALUES (NEW.thread_id);
    DELETE FROM used WHERE rowid = (SELECT min(rowid) FROM used) AND (SELECT count(*) FROM used) > {most};
END;
CREATE TRIGGER forget_thread AFTER DELETE ON used BEGIN
    DELETE FROM checkpoints WHERE thread_id = OLD.thread_id;
END;
CREATE TRIGGER forget_writes AFTER DELETE ON checkpoints BEGIN
    DELETE FROM writes WHERE thread_id = OLD.thread_id AND checkpoint_ns = OLD.checkpoint_ns
        AND checkpoint_id = OLD.checkpoint_id;
END;
"""
"""Keeps a thread as it stands now, without its history, and only those that were used last."""


class TemporaryThreads(SqliteSaver):
    """The threads used last, as they stand now, for as long as the server runs.

    As objects of Python's they would be strewn over the memory of a busy moment, of which then nothing could be
    returned. SQLite has most in its cache: asking it takes less time than handing the question to a worker would.
    """

    def __init__(self, connection: sqlite3.Connection, most: int) -> None:
        """
        Args:
            connection: To an empty database.
            most: How many threads are kept.
        """
        super().__init__(connection, serde=Serializer())
        self.setup()
        connection.executescript(FORGET.format(most=most))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return self.get_tuple(config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, *arguments: Any, **named: Any) -> None:
        """As `put_writes`."""
        self.put_writes(*arguments, **named)


class Busy:
    """The threads that are answering a request in this process."""

    def __init__(self) -> None:
        self._threads: set[str] = set()

    @contextmanager
    def entered(self, thread: str) -> Iterator[None]:
        """Have the thread for oneself.

        Raises:
            RefusedError: It is answering another request.
        """
        if thread in self._threads:
            raise RefusedError(409, BUSY.format(thread=thread))
        self._threads.add(thread)
        try:
            yield
        finally:
            self._threads.discard(thread)


@asynccontextmanager
async def open_threads(url: str | None, most: int) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The checkpointer of a database; without one, of a file that is gone with the process.

    Args:
        url: The database, see `apps.runs.checkpoints`.
        most: How many threads are kept without one.

    Raises:
        graphs.checkpoint.CheckpointError: The database can't be had.
    """
    if url:
        async with open_checkpointer(url) as saver:
            yield saver
        return
    with closing(sqlite3.connect(_temporary(), check_same_thread=False)) as connection:
        yield TemporaryThreads(connection, most)


def _temporary() -> str:
    """SQLite's name for a file that nobody else can open, and that is gone with the process; or for memory, where no
    folder can be written to."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return ":memory:"
    return ""
