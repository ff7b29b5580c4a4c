"""For tests that wait for what tells nobody, and for those of limits, which may not depend on the machine's speed."""

import asyncio
import inspect
from asyncio.subprocess import Process
from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from tests.support import PATIENCE


async def until(fact: Callable[[], Any]) -> None:
    """Waits where nothing signals: until a foreign process listens or has gone, until something has been saved.

    Args:
        fact: Says whether it is so; it may be a coroutine function.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            said = fact()
            if await said if inspect.isawaitable(said) else said:
                return
            await asyncio.sleep(0.01)


async def until_plan_is_saved(saver: InMemorySaver) -> None:
    """Waits for the plan to be saved, at both its ends: a run that is cancelled then need not plan again."""

    def is_saved() -> bool:
        channels = [channel for writes in saver.writes.values() for _, channel, *_ in writes.values()]
        return channels.count("__return__") >= 2

    await until(is_saved)


async def until_said(process: Process, *words: str) -> str:
    """Reads lines until all of these words have come, in any order; gives what it has read."""
    assert process.stdout
    read, missing = "", set(words)
    while missing:
        line = (await process.stdout.readline()).decode()
        read += line
        assert line, f"it ended without saying {missing}: {read}"
        missing -= {word for word in missing if word in line}
    return read


def let_pass(seconds: float) -> None:
    """Has the running event loop's clock be so much later: a limit of that length is over now, and no sooner."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + seconds  # type: ignore[method-assign]
