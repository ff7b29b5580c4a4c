"""Where the server keeps its threads, and that two runs never change one at the same time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver

from apps.runs.checkpoints import Serializer, open_checkpointer
from apps.server.errors import RefusedError

BUSY = "The thread {thread!r} is answering another request. Wait for it, or use another thread."


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
    """The checkpointer of a database; without one, of this process's memory.

    Args:
        url: The database, see `apps.runs.checkpoints`.
        most: How many threads are kept without one.

    Raises:
        apps.runs.checkpoints.CheckpointError: The database can't be had.
    """
    if not url:
        yield LatestThreads(most)
        return
    async with open_checkpointer(url) as saver:
        yield saver
