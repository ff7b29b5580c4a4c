"""Runs an async generator in a task of its own, so that it can end in order when its consumer is cancelled."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import anyio

AHEAD = 100
"""How many items the generator may be ahead of its consumer."""

T = TypeVar("T")


async def in_a_task(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The same items.

    Responses of Starlette and FastAPI are cancelled by anyio, which cancels again at every `await` until the task has
    ended. LangGraph, interrupted so while it cleans up, leaves the run's tasks behind: tools and model calls would go
    on for a client who has gone. The task here is cancelled once, and waited for.

    Raises:
        Exception: What the generator raises.
    """
    send, receive = anyio.create_memory_object_stream[T](AHEAD)

    async def run() -> None:
        async with send, aclosing(items):
            async for item in items:
                await send.send(item)

    running = asyncio.create_task(run())
    running.add_done_callback(_take_note)
    try:
        async for item in receive:
            yield item
        await running
    finally:
        running.cancel()
        send.close()
        receive.close()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running])


def _take_note(running: "asyncio.Task[None]") -> None:
    """Of what was raised, when nobody is left to be told."""
    if not running.cancelled():
        running.exception()
