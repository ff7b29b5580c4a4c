"""What comes of the tasks of a plan, for other tasks to wait for, perhaps before they are planned."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage

from agent.messages import map_sizes
from agent.tasks import Key, Task


@dataclass(frozen=True)
class Paused:
    """A call that waits for an approval, or for the result of one that does."""

    task: Task
    arguments: dict[str, Any] | None
    """As resolved; None where they wait for another call's result."""


Outcome = ToolMessage | Paused | None
"""An observation, a pause, or None for a task that isn't there."""


class Numbered:
    """What comes of one number of a plan: a call, or a map's calls."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.is_map: asyncio.Future[bool | None] = loop.create_future()
        """Known when the task is planned; None when it never will be."""

        self.size: asyncio.Future[int | ToolMessage | Paused] = loop.create_future()
        """How many calls the map has; or why it has none."""

        self._outcomes: dict[int | None, asyncio.Future[Outcome]] = {}
        self._planned: set[int | None] = set()
        self._complete = False

    def of(self, element: int | None) -> asyncio.Future[Outcome]:
        """What comes of the call, or of one of the map's; None when there is no such element."""
        outcome = self._outcomes.get(element)
        if outcome is None:
            outcome = self._outcomes[element] = asyncio.get_running_loop().create_future()
            if self._complete and element not in self._planned:
                outcome.set_result(None)
        return outcome

    def plan(self, task: Task) -> None:
        """Take note of a task with this number."""
        self._planned.add(task.element)
        settle(self.is_map, task.element is not None or task.over is not None or task.size is not None)

    def complete(self, size: int | ToolMessage | Paused | None = None) -> None:
        """There will be no further calls with this number."""
        self._complete = True
        settle(self.is_map, None)
        settle(self.size, len(self._planned - {None}) if size is None else size)
        for element, outcome in self._outcomes.items():
            if element not in self._planned:
                settle(outcome, None)


class Outcomes:
    """What comes of every task that a plan may refer to."""

    def __init__(self, earlier: Mapping[Key, ToolMessage]) -> None:
        """
        Args:
            earlier: The observations of the thread's earlier tasks.
        """
        self._numbers: dict[int, Numbered] = {}
        self._earlier = earlier
        self._earlier_sizes = map_sizes(earlier)
        self._complete = False

    def __getitem__(self, number: int) -> Numbered:
        found = self._numbers.get(number)
        if found is None:
            found = self._numbers[number] = Numbered()
            if number in self._earlier_sizes or (number, None) in self._earlier:
                self._recall(number, found)
            elif self._complete:
                found.complete()
        return found

    def _recall(self, number: int, found: Numbered) -> None:
        size = self._earlier_sizes.get(number)
        settle(found.is_map, size is not None)
        for element in [None, *range(size or 0)]:
            if message := self._earlier.get((number, element)):
                settle(found.of(element), message)
        failed = self._earlier.get((number, None))
        found.complete(failed if failed and size is not None else size)

    def complete(self) -> None:
        """The plan has ended: what is not planned now never will be."""
        self._complete = True
        for found in self._numbers.values():
            if not found.is_map.done():
                found.complete()


def settle(future: "asyncio.Future[Any]", value: Any) -> None:
    """Set the result of a future that may have one."""
    if not future.done():
        future.set_result(value)


def fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    """Set the exception of a future that may be done; it is taken note of, even if nothing depends on it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
