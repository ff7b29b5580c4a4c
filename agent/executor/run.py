"""The tasks of one plan: each waits for what it refers to, and is then called. Failures are data.

Every call is a LangGraph task, so that its result is saved when it has one. LangGraph finds saved results by the order
of the calls and nothing else; each therefore carries the call that it belongs to, and is checked.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from langchain_core.messages import ToolMessage
from langgraph.errors import GraphInterrupt
from langgraph.func import task as durable

from agent.executor.call import Calls
from agent.executor.outcomes import Outcome, Outcomes, Paused, fail, settle
from agent.executor.resolve import BlockedError, NeedFailedError, Resolver
from agent.language.plan import MapError
from agent.language.references import UnresolvedReferenceError
from agent.language.tasks import Key, Signature, Task, name_of

TOO_MANY_ELEMENTS = (
    "The list has {length} elements, and with a call for each the plan has more than {most} tasks (max_tasks)."
)


class SavedOutcome(TypedDict):
    """What came of a call, as it is saved."""

    element: int | None
    arguments: dict[str, Any]
    """As planned."""

    message: ToolMessage | None
    paused: dict[str, Any] | None
    """The resolved arguments of a call that waits for approval."""


_execution: ContextVar["Execution"] = ContextVar("execution")


async def call_tool(task: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A task of the plan, as a LangGraph task. What it returns is saved, with the call that it belongs to."""
    outcomes, inputs = await _execution.get().run(task)
    return {"task": task, "tool": tool, "arguments": arguments, "inputs": inputs, "outcomes": outcomes}


# A function of a module is prepared by LangGraph once, and a closure or a method at every call.
_call_durably = durable(call_tool)


@dataclass
class Finished:
    """What came of a plan."""

    tasks: list[Task] = field(default_factory=list)
    """Those that have a result, with each call of a map whose length was not known before; in the order of the plan."""

    results: list[ToolMessage] = field(default_factory=list)
    """An observation for each of them."""

    waiting: list[Paused] = field(default_factory=list)
    """The calls that wait for approval."""


@dataclass
class Execution:
    """Runs the tasks of one plan."""

    calls: Calls
    signatures: Mapping[str, Signature]
    earlier: Mapping[Key, ToolMessage]
    """The observations of the thread's earlier tasks, which tasks may refer to."""

    done: Mapping[Key, ToolMessage]
    """Those of this plan, from before a pause."""

    def __post_init__(self) -> None:
        self._outcomes = Outcomes(self.earlier)
        self._resolver = Resolver(self._outcomes, self.signatures)
        self._tasks: dict[str, Task] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._ended = False
        self._made_by: set[asyncio.Task[Any]] = set()
        _execution.set(self)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """No call goes on after this block. A run that is cancelled cancels its calls, but LangGraph misses one that it
        was about to start at this very moment."""
        try:
            yield
        finally:
            self._ended = True
            for task in (*self._made_by, *self._running):
                task.cancel()

    def start(self, task: Task) -> None:
        """Start the next task of the plan; it runs as soon as the tasks that it refers to are done."""
        self._plan(task)
        if not task.is_call:
            settle(self._outcomes[task.key], task.size)
        elif done := self.done.get(task.key):
            self._set(task, done)
        elif task.size is not None:  # an empty map, or a wrong one
            self._set(task, self.calls.fail(task, task.error) if task.error else self.calls.no_calls(task))
        else:
            self._call(task)

    async def finish(self, last: int) -> Finished:
        """Wait until all is done; no further task will be started.

        Args:
            last: The highest number of the plan.

        Raises:
            GraphBubbleUp: A tool interrupted the run; everything that doesn't wait for it is done.
        """
        self._resolver.last = last
        self._outcomes.complete()
        while running := [call for call in self._running if not call.done()]:
            await asyncio.wait(running)
        tasks = sorted(self._tasks.values(), key=_place(self._tasks))
        outcomes = [self._outcomes[task.key] for task in tasks]
        _raise_interrupts(outcomes)
        finished = Finished()
        for task, future in zip(tasks, outcomes, strict=True):
            outcome = await future
            if isinstance(outcome, int):
                finished.tasks.append(task)
                finished.results += [] if outcome else [self.calls.no_calls(task)]
            elif isinstance(outcome, ToolMessage):
                finished.tasks.append(task)
                finished.results.append(outcome)
            elif outcome and outcome.arguments is not None:
                finished.waiting.append(outcome)
        return finished

    async def run(self, name: str) -> tuple[list[SavedOutcome], str]:
        """Run a task that has been started, as soon as it can be.

        Returns:
            What came of it, and a digest of the results that it refers to.
        """
        if self._ended:
            raise asyncio.CancelledError
        making = asyncio.current_task()
        assert making, "LangGraph runs its tasks as tasks"
        self._made_by.add(making)
        try:
            task = self._tasks[name]
            outcome = await self._observe(task)
            if isinstance(outcome, list):
                outcomes = await self._run_elements(task, outcome)
            else:
                self._set(task, outcome)
                outcomes = [_as_saved(task, outcome)]
            return outcomes, await self._resolver.digest(task) if self.calls.saved else ""
        finally:
            self._made_by.discard(making)

    async def _observe(self, task: Task) -> ToolMessage | Paused | list[Task]:
        """What comes of a task when all that it refers to is there; of a map whose length is known only then, its
        calls."""
        if task.error:
            return self.calls.fail(task, task.error)
        try:
            if task.over is not None:
                elements = await self._resolver.written_out(task, task.over)
                most = self.calls.context.max_tasks
                others = sum(other.is_call for other in self._tasks.values() if other is not task)
                if len(elements) + others > most:
                    return self.calls.fail(task, TOO_MANY_ELEMENTS.format(length=len(elements), most=most))
                return elements or self.calls.no_calls(task)
            arguments = await self._resolver.arguments(task)
        except BlockedError:
            return Paused(task, None)
        except NeedFailedError as error:
            return self.calls.fail(task, str(error), skipped=True)
        except (MapError, UnresolvedReferenceError) as error:
            return self.calls.fail(task, str(error))
        return await self.calls.make(task, arguments)

    async def _run_elements(self, task: Task, elements: list[Task]) -> list[SavedOutcome]:
        """Make the calls of a map. Each is saved when it is done, as a task of this one."""
        self._plan_elements(task, elements)
        for element in elements:
            if done := self.done.get(element.key):
                self._set(element, done)
            else:
                self._call(element)
        futures = [self._outcomes[element.key] for element in elements]
        await asyncio.wait(futures)
        _raise_interrupts(futures)
        return [_as_saved(element, future.result()) for element, future in zip(elements, futures, strict=True)]

    def _call(self, task: Task) -> None:
        """Call the task's tool durably: from here, since LangGraph goes by the order of the calls."""
        call = asyncio.wrap_future(_call_durably(name_of(task.key), task.tool, task.arguments))
        self._running.add(asyncio.ensure_future(self._follow(task, call)))

    async def _follow(self, task: Task, call: "asyncio.Future[dict[str, Any]]") -> None:
        """See what comes of a call. A result from before a crash is taken if it is this call's, and not one of another
        plan; else the call is made afresh."""
        try:
            saved = await call
            if self._outcomes[task.key].done():
                return  # it was made just now
            call_saved = saved["task"], saved["tool"], saved["arguments"]
            is_its_own = call_saved == (name_of(task.key), task.tool, task.arguments)
            is_its_own = is_its_own and saved["inputs"] == await self._resolver.digest(task)
        except BaseException as error:  # noqa: BLE001 — it is what comes of the task
            fail(self._outcomes[task.key], error)
        else:
            if is_its_own:
                self._restore(task, saved["outcomes"])
            else:
                self._call(task)

    def _restore(self, task: Task, outcomes: list[SavedOutcome]) -> None:
        """Take what was saved before a crash."""
        if outcomes[0]["element"] == task.element:
            self._set(task, _from_saved(task, outcomes[0]))
            return
        elements = [replace(task, arguments=one["arguments"], element=one["element"], over=None) for one in outcomes]
        self._plan_elements(task, elements)
        for element, saved in zip(elements, outcomes, strict=True):
            self._set(element, _from_saved(element, saved))

    def _plan(self, task: Task) -> None:
        self._tasks[name_of(task.key)] = task
        self._outcomes.plan(task.key)
        if task.is_call and task.over is None and task.key not in self.done:
            self.calls.progress.tell_of(task, "task_planned", task.arguments)

    def _plan_elements(self, task: Task, elements: list[Task]) -> None:
        """The map's elements take its place among the tasks."""
        for element in elements:
            self._plan(element)
        self._plan(Task(task.number, task.tool, {}, size=len(elements)))
        settle(self._outcomes[task.key], len(elements))

    def _set(self, task: Task, outcome: ToolMessage | Paused) -> None:
        """Take note of what came of a task."""
        future = self._outcomes[task.key]
        if future.done():
            return
        is_map = task.over is not None or task.size is not None
        is_empty = is_map and isinstance(outcome, ToolMessage) and outcome.status == "success"
        future.set_result(0 if is_empty else outcome)
        if isinstance(outcome, ToolMessage):
            self.calls.remember([outcome])
            if task.key not in self.done:
                self.calls.progress.tell_outcome(task, outcome)


def _raise_interrupts(futures: Iterable["asyncio.Future[Any]"]) -> None:
    """Raise the interrupts of all of these as one, so that people are asked everything at once."""
    errors = (future.exception() for future in futures if not future.cancelled())
    interrupts = [one for error in errors if isinstance(error, GraphInterrupt) for one in error.args[0]]
    if interrupts:
        raise GraphInterrupt(tuple({one.id: one for one in interrupts}.values()))


def _place(tasks: Mapping[str, Task]) -> Callable[[Task], tuple[int, int]]:
    """Where a task stands in the plan: elements that were planned when it ran stand before their map."""
    places: dict[int, int] = {}
    for place, task in enumerate(tasks.values()):
        places.setdefault(task.number, place)
    return lambda task: (places[task.number], sys.maxsize if task.element is None else task.element)


def _as_saved(task: Task, outcome: Outcome) -> SavedOutcome:
    message = outcome if isinstance(outcome, ToolMessage) else None
    paused = outcome.arguments if isinstance(outcome, Paused) else None
    return SavedOutcome(element=task.element, arguments=task.arguments, message=message, paused=paused)


def _from_saved(task: Task, saved: SavedOutcome) -> ToolMessage | Paused:
    return saved["message"] or Paused(task, saved["paused"])
