"""`hedged`: a tool whose slow calls are made a second time, for services that answer at once, but not always.

    TOOLS = [hedged(search, after=0.6)]

A plan waits for its slowest call. Of eight searches one in three plans meets a delay that hits one call in twenty.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import wraps
from statistics import median, quantiles
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import tool as as_tool

CHANGES_THINGS = "hedged: {tool} has side effects, and a second call would have them again."
NOT_STRUCTURED = "hedged: {tool} is {kind}; it takes a function, or a tool made of one."

ENOUGH = 10
"""How many calls must have been made before their durations say what is slow."""

LEAST, MOST = 1.5, 3.0
"""What is slow lies between these multiples of the median. Without the lower one, one in twenty calls of a service that
always takes about as long would be made twice for nothing; without the upper one, no call of a service that is slow
once in twenty: its 95th percentile is a slow call."""


def hedged(tool: BaseTool | Callable[..., Any], *, after: float | None = None) -> BaseTool:
    """The same tool; a call that takes too long is made a second time, the first result counts, and the other call is
    cancelled. A sync tool runs in a thread, which can't be stopped: its result is ignored.

    The idea is that of hedged requests (Dean and Barroso, "The Tail at Scale", 2013).

    Args:
        tool: A tool made of a function, or the function itself. It may not have side effects.
        after: Seconds after which a call is made again. If none, the time within which 95% of the last 200 calls were
            done, but from 1.5 to 3 times their median; until there have been 10, no call is made again.

    Raises:
        ValueError: The tool has `metadata["side_effects"]`.
        TypeError: It is not made of a function.
    """
    tool = tool if isinstance(tool, BaseTool) else as_tool(tool)
    if not isinstance(tool, StructuredTool):
        raise TypeError(NOT_STRUCTURED.format(tool=tool.name, kind=type(tool).__name__))
    if (tool.metadata or {}).get("side_effects"):
        raise ValueError(CHANGES_THINGS.format(tool=tool.name))
    function = tool.coroutine or _in_thread(tool.func)
    seconds: deque[float] = deque(maxlen=200)

    @wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        loop = asyncio.get_running_loop()

        async def call() -> Any:
            started = loop.time()
            result = await function(*arguments, **named)
            seconds.append(loop.time() - started)
            return result

        calls = {asyncio.ensure_future(call())}
        try:
            done, _ = await asyncio.wait(calls, timeout=_slow(seconds) if after is None else after)
            if not done:
                calls.add(asyncio.ensure_future(call()))
            while True:
                done, running = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                ended = next((one for one in done if not one.exception()), None)
                if ended or not running:
                    return (ended or done.pop()).result()
                calls = running
        finally:
            for one in calls:
                one.cancel()
                one.add_done_callback(lambda call: call.cancelled() or call.exception())  # taken note of

    return tool.model_copy(update={"func": None, "coroutine": run})


def _slow(seconds: deque[float]) -> float | None:
    """What is slow, by the durations of calls; None if they are too few."""
    if len(seconds) < ENOUGH:
        return None
    usual = median(seconds)
    return max(LEAST * usual, min(quantiles(seconds, n=20)[-1], MOST * usual))


def _in_thread(function: Callable[..., Any] | None) -> Callable[..., Coroutine[Any, Any, Any]]:
    assert function, "a tool has a function, sync or async"

    @wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(function, *arguments, **named)

    return run
