"""What comes of the tasks of a plan, for other tasks to wait for, perhaps before they are planned."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from agent.conversation.messages import map_sizes
from agent.language.tasks import Key, Task


@dataclass(frozen=True)
class Paused:
    """A call that waits for an approval, or for the result of one that does."""

    task: Task
    arguments: dict[str, Any] | None
    """As resolved; None where they wait for another call's result."""

    why: str = ""
    """Why a person is asked."""


Outcome = ToolMessage | Paused | int | None
"""An observation or a pause; of a map as a whole, how many calls it has, if nothing is wrong with it. None for a task
that isn't there."""


class BlockedError(Exception):
    """What is waited for waits for an approval."""


class Outcomes:
    """What comes of every task that a plan may refer to."""

    def __init__(self, earlier: Mapping[Key, ToolMessage], done: Mapping[Key, ToolMessage]) -> None:
        """
        Args:
            earlier: The observations of the thread's earlier tasks.
            done: Those of this plan, from before a pause.
        """
        self._planned: set[Key] = set()
        self._complete = False
        self._futures: dict[Key, asyncio.Future[Outcome]] = {}
        for key, message in (*earlier.items(), *done.items()):
            settle(self[key], message)
        for number, size in map_sizes(earlier).items():
            settle(self[number, None], size)

    def __getitem__(self, key: Key) -> "asyncio.Future[Outcome]":
        future = self._futures.get(key)
        if future is None:
            future = self._futures[key] = asyncio.get_running_loop().create_future()
            if self._complete and key not in self._planned:
                future.set_result(None)
        return future

    async def of(self, key: Key) -> ToolMessage | int | None:
        """Wait for what comes of a task.

        Raises:
            BlockedError: The task waits for an approval.
            GraphInterrupt: The task interrupted the run: what waits for it, waits for the resumed run.
        """
        try:
            outcome = await asyncio.shield(self[key])
        except GraphBubbleUp:
            raise GraphInterrupt(()) from None
        if isinstance(outcome, Paused):
            raise BlockedError
        return outcome

    def messages_of(self, number: int) -> list[ToolMessage]:
        """The observations of a task and of its elements, as far as they are there."""
        whole = self._futures.get((number, None))
        size = whole.result() if _has_result(whole) else None
        keys: list[Key] = [(number, element) for element in range(size)] if isinstance(size, int) else [(number, None)]
        outcomes = [future.result() for future in map(self._futures.get, keys) if _has_result(future)]
        return [outcome for outcome in outcomes if isinstance(outcome, ToolMessage)]

    def plan(self, key: Key) -> None:
        """There is a task of this name, and something will come of it."""
        self._planned.add(key)

    def complete(self) -> None:
        """The plan has ended: what is not planned now never will be, but for the elements of maps."""
        self._complete = True
        for number, size in map_sizes(self._planned).items():
            if (number, None) not in self._planned:  # a map that was cut off
                settle(self[number, None], size)
        for key, future in self._futures.items():
            if key not in self._planned:
                settle(future, None)


def _has_result(future: "asyncio.Future[Any] | None") -> "TypeGuard[asyncio.Future[Any]]":
    return future is not None and future.done() and not future.cancelled() and future.exception() is None


def settle(future: "asyncio.Future[Any]", value: Any) -> None:
    """Set the result of a future that may have one."""
    if not future.done():
        future.set_result(value)


def fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    """Set the exception of a future that may be done; it is taken note of, even if nothing depends on it."""
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
        future.exception()
