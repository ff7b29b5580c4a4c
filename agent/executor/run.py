"""The tasks of one plan: each waits for what it refers to, and is then called. Failures are data.

Every task is a LangGraph task, so that what comes of it is saved. LangGraph finds what was saved by the order of the
calls and nothing else; it therefore carries the call that it belongs to, and is checked.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.errors import GraphInterrupt
from langgraph.func import task as durable

from agent.conversation.provenance import is_trusted
from agent.executor.call import GONE, Calls
from agent.executor.checkpoint import SavedOutcome, Settled
from agent.executor.dependencies import DependencyFailedError, Inputs, Resolver
from agent.executor.outcomes import BlockedError, Outcome, Paused, fail, settle
from agent.language.plan import MapError
from agent.language.references import UnresolvedReferenceError, find_references
from agent.language.tasks import Key, Signature, Task, name_of

TOO_MANY_ELEMENTS = (
    "The list has {length} elements, and with a call for each the plan has more than {most} tasks (max_tasks)."
)


_run: ContextVar["PlanRun"] = ContextVar("run")


async def call_tool(task: str, tool: str, arguments: dict[str, Any]) -> Settled:
    """A task of the plan, as a LangGraph task. What it returns is saved."""
    inputs, outcomes = await _run.get().run(task)
    return Settled(task=task, tool=tool, arguments=arguments, inputs=inputs, outcomes=outcomes)


# A function of a module is prepared by LangGraph once, and a closure or a method at every call.
_call_durably = durable(call_tool)


@dataclass
class Finished:
    """What came of a plan."""

    tasks: list[Task] = field(default_factory=list)
    """Those that there is something to tell of, with each call of a map whose length was not known before; in the order
    of the plan."""

    observations: list[ToolMessage] = field(default_factory=list)
    """An observation for each of them; for a call that waits, one that says so."""

    waiting: list[Paused] = field(default_factory=list)
    """The calls that wait for approval."""


@dataclass
class PlanRun:
    """Runs the tasks of one plan."""

    calls: Calls
    signatures: Mapping[str, Signature]

    def __post_init__(self) -> None:
        self._outcomes = self.calls.outcomes
        self._resolver = Resolver(self._outcomes, self.signatures)
        self._tasks: dict[str, Task] = {}
        self._digests: dict[Key, str] = {}
        """Of what the tasks' references stand for."""

        self._following: set[asyncio.Task[None]] = set()
        self._ended = False
        self._made_by: set[asyncio.Task[Any]] = set()
        _run.set(self)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """No call goes on after this block. A run that is cancelled cancels its calls, but LangGraph misses one that it
        was about to start at this very moment."""
        try:
            yield
        finally:
            self._ended = True
            for task in (*self._made_by, *self._following):
                task.cancel()
            self._following.clear()  # they hold this run, which only the garbage collector would free

    def start(self, task: Task) -> None:
        """Start the next task of the plan; it runs as soon as the tasks that it refers to are done."""
        if task.tool not in self.calls.tools and not task.error:
            task = replace(task, error=GONE.format(tool=task.tool))
        self._plan(task)
        if not task.is_call:
            settle(self._outcomes[task.key], task.size)
        elif self._outcomes[task.key].done():
            pass  # from before a pause
        elif task.error:
            self._take(task, self.calls.fail(task, task.error))
        elif task.size is not None:  # an empty map
            self._take(task, self.calls.no_calls(task))
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
        self.calls.order.complete()
        while following := [one for one in self._following if not one.done()]:
            await asyncio.wait(following)
        tasks = sorted(self._tasks.values(), key=_place(self._tasks))
        outcomes = [self._outcomes[task.key] for task in tasks]
        _raise_interrupts(outcomes)
        finished = Finished()
        for task, future in zip(tasks, outcomes, strict=True):
            outcome = await future
            if isinstance(outcome, int):
                finished.tasks.append(task)
                finished.observations += [] if outcome else [self.calls.no_calls(task)]
            elif isinstance(outcome, ToolMessage):
                finished.tasks.append(task)
                finished.observations.append(outcome)
            elif outcome:
                if outcome.arguments is not None:
                    finished.waiting.append(outcome)
                if not task.is_map:  # its calls are not known yet
                    finished.tasks.append(task)
                    finished.observations.append(self.calls.waits(outcome))
        return finished

    def _call(self, task: Task) -> None:
        """Have a task made durably: from here, since LangGraph goes by the order of the calls."""
        call = asyncio.wrap_future(_call_durably(name_of(task.key), task.tool, task.arguments))
        self._following.add(asyncio.ensure_future(self._follow(task, call)))

    async def _follow(self, task: Task, call: "asyncio.Future[Settled]") -> None:
        """Take what comes of a task, or came of it before a crash: that, if it is this one's, and not another plan's;
        else the task is made afresh."""
        try:
            settled = await call
            made = settled["task"], settled["tool"], settled["arguments"]
            is_its_own = made == (name_of(task.key), task.tool, task.arguments)
            is_its_own = is_its_own and settled["inputs"] == await self._digest(task)
        except BaseException as error:  # noqa: BLE001 — it is what comes of the task
            fail(self._outcomes[task.key], error)
            return
        if not is_its_own:
            self._call(task)
            return
        outcomes = settled["outcomes"]
        if outcomes[0]["element"] == task.element:
            self._take(task, _from_saved(task, outcomes[0]))
            return
        elements = [replace(task, arguments=one["arguments"], element=one["element"], over=None) for one in outcomes]
        self._write_out(task, elements)
        for element, outcome in zip(elements, outcomes, strict=True):
            self._take(element, _from_saved(element, outcome))

    async def run(self, name: str) -> tuple[str, list[SavedOutcome]]:
        """Run a task that has been started, as soon as it can be.

        Returns:
            A digest of the results that it refers to, and what came of it.
        """
        if self._ended:
            raise asyncio.CancelledError
        making = asyncio.current_task()
        assert making, "LangGraph runs its tasks as tasks"
        self._made_by.add(making)
        try:
            task = self._tasks[name]
            outcomes = await self._make(task) if task.over is None else await self._make_each(task, task.over)
            return await self._digest(task), outcomes
        finally:
            self._made_by.discard(making)

    async def _make(self, task: Task) -> list[SavedOutcome]:
        """Make a call when all that it refers to is there."""
        inputs = await self._resolver.inputs(task)
        await self._digest(task, inputs)
        if inputs.error:
            return [self._as_saved(task, self.calls.not_made(task, inputs.error))]
        return [self._as_saved(task, await self.calls.make(task, inputs.arguments))]

    async def _make_each(self, task: Task, over: str) -> list[SavedOutcome]:
        """Make the calls of a map whose length is known only now. Each is saved when done, as a task of this one."""
        try:
            elements = await self._resolver.written_out(task, over)
        except (BlockedError, DependencyFailedError, UnresolvedReferenceError, MapError) as error:
            return [self._as_saved(task, self.calls.not_made(task, error))]
        most = self.calls.context.max_tasks
        others = sum(other.is_call for other in self._tasks.values() if other is not task)
        if len(elements) + others > most:
            too_many = TOO_MANY_ELEMENTS.format(length=len(elements), most=most)
            return [self._as_saved(task, self.calls.fail(task, too_many))]
        if not elements:
            return [self._as_saved(task, self.calls.no_calls(task))]
        self._write_out(task, elements)
        futures = [self._outcomes[element.key] for element in elements]
        for element, future in zip(elements, futures, strict=True):
            if not future.done():  # from before a pause
                self._call(element)
        await asyncio.wait(futures)
        _raise_interrupts(futures)
        return [self._as_saved(element, future.result()) for element, future in zip(elements, futures, strict=True)]

    async def _digest(self, task: Task, inputs: Inputs | None = None) -> str:
        """Of what the task's references stand for, if that is saved."""
        if not self.calls.superstep or not any(True for _ in find_references(task.arguments)):
            return ""
        if task.key not in self._digests:
            self._digests[task.key] = (inputs or await self._resolver.inputs(task)).digest()
        return self._digests[task.key]

    def _plan(self, task: Task) -> None:
        self._tasks[name_of(task.key)] = task
        self._outcomes.plan(task.key)
        self.calls.order.add(task)
        if task.is_call and task.over is None and not self._outcomes[task.key].done():
            self.calls.progress.tell_of(task, "task_planned", task.arguments)

    def _write_out(self, task: Task, elements: list[Task]) -> None:
        """The map's elements take its place among the tasks."""
        if self._outcomes[task.key].done():
            return
        for element in elements:
            self._plan(element)
        self._plan(Task(task.number, task.tool, {}, size=len(elements)))
        settle(self._outcomes[task.key], len(elements))

    def _as_saved(self, task: Task, outcome: Outcome) -> SavedOutcome:
        message = outcome if isinstance(outcome, ToolMessage) else None
        paused, why = (outcome.arguments, outcome.why) if isinstance(outcome, Paused) else (None, "")
        trusted = message is not None and is_trusted(message, self.calls.trusted)
        return SavedOutcome(
            element=task.element, arguments=task.arguments, message=message, paused=paused, why=why, trusted=trusted
        )

    def _take(self, task: Task, outcome: ToolMessage | Paused) -> None:
        """Take note of what came of a task."""
        future = self._outcomes[task.key]
        if future.done():
            return
        is_empty = task.is_map and isinstance(outcome, ToolMessage) and outcome.status == "success"
        future.set_result(0 if is_empty else outcome)
        if isinstance(outcome, ToolMessage):
            self.calls.remember(outcome)
            self.calls.progress.messages.show(outcome)
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


def _from_saved(task: Task, saved: SavedOutcome) -> ToolMessage | Paused:
    return saved["message"] or Paused(task, saved["paused"], saved["why"])
