"""What may not be left half done, though the task that does it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def to_its_end(doing: Coroutine[Any, Any, T]) -> T:
    """The same; if this is cancelled, it ends when all has been done."""
    task = asyncio.create_task(doing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise
