"""LangGraph's checkpointer on SQLite, for a run that is cancelled while it saves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

T = TypeVar("T")


class SqliteSaver(AsyncSqliteSaver):
    """Ends what it has begun to write: a transaction that is left open locks the file for all others."""

    async def aput(self, *args: Any) -> Any:
        return await _to_its_end(super().aput(*args))

    async def aput_writes(self, *args: Any) -> None:
        await _to_its_end(super().aput_writes(*args))

    async def adelete_thread(self, *args: Any) -> None:
        await _to_its_end(super().adelete_thread(*args))

    async def close(self) -> None:
        """Close the connection, when it writes nothing: of a run that was cancelled, LangGraph may still be writing.
        Python keeps a connection, its transaction and the lock, as long as there is a cursor."""
        await _to_its_end(self._close())

    async def _close(self) -> None:
        async with self.lock:
            await self.conn.close()


async def _to_its_end(writing: Coroutine[Any, Any, T]) -> T:
    """The same; if this is cancelled, it ends when all has been written."""
    task = asyncio.create_task(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise
