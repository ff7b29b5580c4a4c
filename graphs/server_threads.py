"""Where the server keeps its threads, and that two runs never change one at the same time."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver

from graphs.server_errors import RefusedError

BUSY = "The thread {thread!r} is answering another request. Wait for it, or use another thread."


class RecentThreads(InMemorySaver):
    """The threads used last, as they stand now. Their history, and threads not used for long, would fill the memory."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: How many threads are kept.
        """
        super().__init__()
        self._most = most
        self._used: OrderedDict[str, None] = OrderedDict()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint in place of the thread's last one."""
        saved = super().put(config, checkpoint, metadata, new_versions)
        thread, namespace = config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"]
        kept = checkpoint["channel_versions"].items()
        for earlier in self.storage[thread][namespace].keys() - {checkpoint["id"]}:
            kind_and_bytes, *_ = self.storage[thread][namespace].pop(earlier)
            for channel, version in self.serde.loads_typed(kind_and_bytes)["channel_versions"].items() - kept:
                self.blobs.pop((thread, namespace, channel, version), None)
            self.writes.pop((thread, namespace, earlier), None)
        self._used[thread] = None
        self._used.move_to_end(thread)
        while len(self._used) > self._most:
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
    """The checkpointer of a database; without one, of this process.

    Args:
        url: The database, see `graphs.checkpoint`.
        most: How many threads are kept in the process.

    Raises:
        graphs.checkpoint.CheckpointError: The database can't be had.
    """
    if not url:
        yield RecentThreads(most)
        return
    from graphs.checkpoint import open_checkpointer

    async with open_checkpointer(url) as saver:
        yield saver


def durability(saver: object) -> Literal["exit", "async"]:
    """When a run's state is saved: what is gone with the process need not outlive a crash."""
    return "exit" if isinstance(saver, InMemorySaver) else "async"
