"""Where the server keeps its threads."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver

from apps.runs.checkpoints import Serializer, open_checkpointer
from apps.runs.graphs import Graph
from apps.runs.locks import BusyError, Locks, open_locks
from apps.runs.threads import Session, thread_of
from apps.runs.wording import in_short

DIED = (
    "%d of the runs in this database died with their process: %s. Each goes on with "
    '{"input": {"resume": true, "thread_id": "…"}}, or with llm-compiler --thread NAME.'
)
NAMED = 10
"""How many of them are named."""

_log = logging.getLogger(__name__)


class LatestThreads(InMemorySaver):
    """The threads used last, for as long as the server runs."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: How many threads are kept.
        """
        super().__init__(serde=Serializer())
        self._most = most
        self._used: dict[str, None] = {}

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, and forget the thread that has not been used for longest, if there are too many."""
        saved = super().put(config, checkpoint, metadata, new_versions)
        thread = config["configurable"]["thread_id"]
        self._used.pop(thread, None)
        self._used[thread] = None
        if len(self._used) > self._most:
            self.delete_thread(next(iter(self._used)))
        return saved

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        self._used.pop(thread_id, None)
        super().delete_thread(thread_id)


@asynccontextmanager
async def open_threads(url: str | None, most: int) -> AsyncIterator[tuple[BaseCheckpointSaver[Any], Locks]]:
    """The checkpointer of a database, and the locks of its threads; without a database, of this process's memory.

    Args:
        url: The database, see `apps.runs.checkpoints`.
        most: How many threads are kept without one.

    Raises:
        apps.runs.checkpoints.CheckpointError: The database can't be had.
    """
    if not url:
        yield LatestThreads(most), Locks()
        return
    async with open_checkpointer(url) as saver, open_locks(url) as locks:
        yield saver, locks


async def tell_died(graph: Graph, locks: Locks) -> None:
    """Log which runs died with their process, and wait to go on.

    Args:
        graph: The agent, with the checkpointer.
        locks: Of the same database.
    """
    died = []
    for name in await locks.left():
        if (await thread_of(Session(graph, name))).state == "broken":
            died.append(name)
        else:  # it ended, and its process just before it could say so
            with suppress(BusyError):
                async with locks.held(name):
                    pass
    if died:
        names = ", ".join(in_short(name, 40) for name in died[:NAMED])
        _log.warning(DIED, len(died), names if len(died) <= NAMED else f"{names}, …")
