"""LangGraph's checkpointer on SQLite, for a run that is cancelled while it saves."""

from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from apps.runs.cancelled import to_its_end


class SqliteSaver(AsyncSqliteSaver):
    """Ends what it has begun to write: a transaction that is left open locks the file for all others."""

    async def aput(self, *args: Any) -> Any:
        return await to_its_end(super().aput(*args))

    async def aput_writes(self, *args: Any) -> None:
        await to_its_end(super().aput_writes(*args))

    async def adelete_thread(self, *args: Any) -> None:
        await to_its_end(super().adelete_thread(*args))

    async def close(self) -> None:
        """Close the connection, when it writes nothing: of a run that was cancelled, LangGraph may still be writing.
        Python keeps a connection, its transaction and the lock, as long as there is a cursor."""
        await to_its_end(self._close())

    async def _close(self) -> None:
        async with self.lock:
            await self.conn.close()
