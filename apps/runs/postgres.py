"""LangGraph's checkpointer on PostgreSQL, for a database that is restarted under a run."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import OperationalError

from apps.runs.checkpoints import CheckpointError

AWAY = "The database of the threads can't be reached: {why}"

T = TypeVar("T")


class PostgresSaver(AsyncPostgresSaver):
    """Does once more what the database broke off. All of this may be repeated: rows are read, replaced, or deleted.
    What is broken off again raises `CheckpointError`."""

    async def aget_tuple(self, *args: Any) -> Any:
        return await self._again(super().aget_tuple, *args)

    async def aget_delta_channel_history(self, **kwargs: Any) -> Any:
        return await self._again(super().aget_delta_channel_history, **kwargs)

    async def aput(self, *args: Any) -> Any:
        return await self._again(super().aput, *args)

    async def aput_writes(self, *args: Any) -> None:
        await self._again(super().aput_writes, *args)

    async def adelete_thread(self, *args: Any) -> None:
        await self._again(super().adelete_thread, *args)

    async def _again(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        try:
            return await method(*args, **kwargs)
        except OperationalError:
            pool: Any = self.conn
            await pool.check()  # the others in it may have ended, too; it makes new ones
        try:
            return await method(*args, **kwargs)
        except OperationalError as error:
            raise CheckpointError(AWAY.format(why=error)) from error
