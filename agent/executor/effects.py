"""The order of effects: a plan is a program, and what a call sees must be what the calls written before it have done.

Calls with side effects keep the order in which they are written, and what is written after one waits for it, unless
both tools say what they touch, and it differs. What is written before one doesn't wait, and isn't waited for, unless
both tools say that they touch the same.

A change that failed, or that a person has rejected, is like a statement that raises: what changes something and is
written after it, of another tool, isn't made. Nobody is told of a meeting that could not be moved. Calls of the same
tool do the same for others, and go on.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from agent.conversation.messages import provider_name
from agent.executor.dependencies import DependencyFailedError, was_rejected
from agent.executor.outcomes import Outcomes, settle
from agent.language.tasks import Key, Task, name_of
from agent.tooling.metadata import metadata_of

CHANGE_FAILED = "Not run: it comes after task {name}, which was to change something and failed: {reason}"

Place = tuple[int, int, int, int]
"""Where a task stands: where it is written, or, if it refers to a later task, just behind that one. All that a task
waits for stands before it, so that no two can wait for each other."""


@dataclass(frozen=True)
class Touch:
    """What a tool reads or changes."""

    changes: bool
    names: frozenset[str] | None
    """What it says of that; None if it doesn't say."""

    @classmethod
    def of(cls, tool: BaseTool) -> Self:
        """From `metadata={"side_effects": "mail"}` or `{"reads": "weather"}`, a name or several; or from
        `side_effects: True` for a tool that doesn't say what it changes."""
        metadata = metadata_of(tool)
        changed = metadata.side_effects
        if changed is True or not (changed or metadata.reads is not None):
            return cls(bool(changed), None)
        said = [[names] if isinstance(names, str) else names for names in (changed or (), metadata.reads or ())]
        return cls(bool(changed), frozenset(name for names in said for name in names))

    def waits_for(self, earlier: "Touch") -> bool:
        """Whether a call of a tool that touches this waits for one of a tool that touches that."""
        if not earlier.changes and not self.changes:
            return False
        if self.names is None or earlier.names is None:
            return earlier.changes
        return not self.names.isdisjoint(earlier.names)


@dataclass
class _Calls:
    """The calls that touch the same, by their places."""

    places: list[tuple[Place, Key]] = field(default_factory=list)
    passed: int = 0
    """How many of them are known to be done, from the first on."""

    failed: dict[tuple[str, bool], tuple[Place, Key, ToolMessage]] = field(default_factory=dict)
    """The first of this plan's that failed, of each tool; those that a person has rejected apart."""


@dataclass
class _Pending:
    """A task whose place isn't known yet."""

    task: Task
    needs: list[Key]
    """What it refers to, as far as that has no place yet."""

    place: tuple[int, int]


class Order:
    """The order of the calls of a plan."""

    def __init__(self, touches: Mapping[str, Touch], outcomes: Outcomes, earlier: Iterable[Task]) -> None:
        """
        Args:
            touches: What each tool touches, by its name.
            outcomes: What comes of the tasks.
            earlier: The tasks of the turn's earlier plans, all done.
        """
        self._touches = touches
        self._outcomes = outcomes
        self._complete = False
        self._written: dict[Key, int] = {}
        self._places: dict[Key, Place] = {}
        self._unplaced: dict[Key, asyncio.Future[None]] = {}
        self._pending: dict[Key, list[_Pending]] = {}
        """Those that wait for the place of this task."""

        self._calls: dict[Touch, _Calls] = {}
        for task in earlier:
            self._insert(task, (0, 0, task.number, _within(task)))

    def add(self, task: Task) -> None:
        """The next task of the plan, or the next element of a map that is written out."""
        if task.key in self._written:
            return
        self._written[task.key] = written = len(self._written) + 1
        if task.element is not None and (whole := self._places.get((task.number, None))):
            self._places[task.key] = place = (*whole[:3], _within(task))
            self._insert(task, place)
            return
        needs: list[Key] = [(number, None) for number in task.dependencies]
        if task.size:
            needs = [(task.number, element) for element in range(task.size)]
        self._place(_Pending(task, [] if task.error else needs, (written, 0)))

    def complete(self) -> None:
        """The plan has ended: what isn't written now never will be, but for the elements of maps."""
        self._complete = True
        for waiting in [one for need in list(self._pending) for one in self._pending.pop(need)]:
            self._place(waiting)
        for waiting in [one for need in list(self._pending) for one in self._pending.pop(need)]:
            self._place(_Pending(waiting.task, [], waiting.place))

    async def turn(self, task: Task, *, decided: bool = False) -> list[str]:
        """Wait until what has to be done before this call is done. All that it refers to is.

        Args:
            task: The task.
            decided: Whether a person wants it made, who has decided about those before it, too.

        Returns:
            After which calls it comes: two calls of the same words see the same only if they come after the same ones.

        Raises:
            BlockedError: One of them waits for an approval.
            DependencyFailedError: Both change something, and the one before has failed.
            GraphInterrupt: One of them interrupted the run.
        """
        touch = self._touches[task.tool]
        if task.key in self._unplaced:
            await asyncio.shield(self._unplaced[task.key])
        place = self._places[task.key]
        for key, placed in list(self._unplaced.items()):
            if self._written[key] <= place[0]:
                await asyncio.shield(placed)
        after = []
        for earlier, calls in [one for one in self._calls.items() if touch.waits_for(one[0])]:
            await self._pass(calls, place)
            if before := bisect_left(calls.places, (place,)):
                after.append(name_of(calls.places[before - 1][1]))
            both_change = touch.changes and earlier.changes
            for (tool, rejected), (its_place, key, failure) in calls.failed.items() if both_change else ():
                if its_place < place and tool != provider_name(task.tool) and not (rejected and decided):
                    raise DependencyFailedError(key, failure, CHANGE_FAILED)
        return after

    async def _pass(self, calls: _Calls, place: Place) -> None:
        """Wait for those of the calls that stand before this place; for the last one first, since a call that waits
        for each in turn wakes up for each."""
        if calls.passed < (before := bisect_left(calls.places, (place,))):
            await self._outcomes.of(calls.places[before - 1][1])
        while calls.passed < bisect_left(calls.places, (place,)):
            passed = calls.passed
            its_place, key = calls.places[passed]
            outcome = await self._outcomes.of(key)
            if calls.passed > passed:
                continue
            calls.passed += 1
            if isinstance(outcome, ToolMessage) and outcome.status == "error" and its_place[0]:
                calls.failed.setdefault((str(outcome.name), was_rejected(outcome)), (its_place, key, outcome))

    def _place(self, pending: _Pending) -> None:
        """Give a task its place, and those that have waited for it, if what they refer to has one."""
        to_place = [pending]
        while to_place:
            pending = to_place.pop()
            task = pending.task
            if (need := self._next_need(pending)) is not None:
                self._pending.setdefault(need, []).append(pending)
                self._unplaced.setdefault(task.key, asyncio.get_running_loop().create_future())
                continue
            self._places[task.key] = place = (*pending.place, self._written[task.key], 0)
            self._insert(task, place)
            if placed := self._unplaced.pop(task.key, None):
                settle(placed, None)
            to_place += self._pending.pop(task.key, [])

    def _next_need(self, pending: _Pending) -> Key | None:
        """The next task that must have a place before this one has."""
        while pending.needs:
            need = pending.needs[-1]
            if place := self._places.get(need):
                pending.place = max(pending.place, (place[0], place[1] + 1))
            elif need in self._written or not (self._complete or self._outcomes[need].done()):
                return need
            pending.needs.pop()
        return None

    def _insert(self, task: Task, place: Place) -> None:
        touch = self._touches.get(task.tool)
        if touch and task.is_call and (touch.changes or touch.names):
            insort(self._calls.setdefault(touch, _Calls()).places, (place, task.key))


def _within(task: Task) -> int:
    return 0 if task.element is None else task.element + 1
