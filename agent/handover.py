"""Where the planner and the executor of one superstep meet.

Both nodes run at once. The planner sends each task through the `Handover` as soon as it has been parsed, and the
executor starts it. It is in memory and only a fast path: the finished plan is also in the state, and each
node can do without the other.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from agent.conversation.messages import last_number, plan_id, tasks_of
from agent.language.tasks import Task

ARRIVAL_TIMEOUT = 1.0
"""Seconds that a node waits for the other one to start. They start together, unless LangGraph runs them in different
processes, or one had finished before a crash."""

_open: WeakValueDictionary[object, "Handover"] = WeakValueDictionary()


class Handover:
    """Tasks on their way from the planner to the executor of one superstep."""

    def __init__(self, plan_id: str = "") -> None:
        self.plan_id = plan_id
        """The id of the plan's message."""

        self._tasks: asyncio.Queue[Task | Exception | None] = asyncio.Queue()
        self._sent = 0
        self._ended = False
        self.anew = False
        """Whether the plan that was sent was only thought of; the right one is in the state when the planner ends."""

        self.last = 0
        """The highest number of the plan, when its tasks have ended."""

        self._answer = ""
        self._said = asyncio.Event()
        self._plan: asyncio.Future[AIMessage] = asyncio.get_running_loop().create_future()
        self._planner = asyncio.Event()
        self._executor = asyncio.Event()
        self._done = asyncio.Event()
        self._drained = asyncio.Event()

    @classmethod
    def of(cls, runtime: Runtime[Any]) -> Self:
        """That of this superstep of this run. It lives as long as a node holds it."""
        info = runtime.execution_info
        # Two runs may resume from one checkpoint at the same time; the control object is each run's own.
        superstep = (info.checkpoint_id if info else "", id(runtime.control))
        handover = _open.get(superstep)
        if handover is None:
            handover = _open[superstep] = cls(plan_id(superstep[0]))
        assert isinstance(handover, cls)
        return handover

    # --- the planner's end

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Say that the planner is here; if it fails, the executor fails with it."""
        self._planner.set()
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise

    def send(self, task: Task) -> None:
        """Hand a task over; it may start at once."""
        if self.anew:
            return
        self._sent += 1
        self._tasks.put_nowait(task)

    def begin_anew(self) -> None:
        """What was sent is not to be carried out, and nothing more will be sent: the plan has begun anew."""
        if self._sent or self._ended:
            self.anew = True
            self.end(self.last)
            self._said.set()

    def end(self, last: int = 0) -> None:
        """No more tasks will come, though the plan's message may; `last` is the highest number of the plan."""
        if not self._ended:
            self._ended = True
            self.last = last
            self._tasks.put_nowait(None)

    def say(self, answer: str) -> None:
        """The plan's answer as far as it has been written. All tasks have been sent."""
        self._answer = answer
        self._said.set()

    def finish(self, plan: AIMessage) -> None:
        """The whole plan; tasks that were not sent yet (a plan that comes back after a crash) are sent now."""
        if self._plan.done():
            return
        for task in tasks_of(plan)[self._sent :]:
            self.send(task)
        self.end(last_number(plan))
        self._plan.set_result(plan)
        self._said.set()

    async def done(self) -> None:
        """Wait until every task is done, or the executor has gone or isn't there."""
        if await _arrives(self._executor):
            await self._done.wait()

    async def drained(self) -> None:
        """Wait until the executor has gone, or isn't there. Before it goes it has the plan, and the plan is saved for
        it: a planner that ended earlier would leave it without one after a crash."""
        if await _arrives(self._executor):
            await self._drained.wait()

    # --- the executor's end

    @contextmanager
    def executing(self) -> Iterator[None]:
        """Say that the executor is here, and, whatever way it ends, that it has gone."""
        self._executor.set()
        try:
            yield
        finally:
            self._done.set()
            self._drained.set()

    async def tasks(self) -> AsyncIterator[Task]:
        """The tasks in plan order, each as soon as it has been sent.

        Raises:
            Exception: The planner failed; what it raised.
        """
        while (task := await self._tasks.get()) is not None:
            if isinstance(task, Exception):
                raise task
            yield task

    def drain(self) -> None:
        """Say that every task is done."""
        self._done.set()

    async def answer(self) -> AsyncIterator[str]:
        """The plan's answer as far as it has been written, whenever there is more of it, until the plan is there."""
        while self._planner.is_set() and not self._plan.done() and not self.anew:
            await self._said.wait()
            self._said.clear()
            yield self._answer

    async def plan(self) -> AIMessage | None:
        """The whole plan when it is finished; None if there is no planner beside this executor."""
        if self._plan.done() or await _arrives(self._planner):
            return await asyncio.shield(self._plan)
        return None

    def fail(self, error: BaseException) -> None:
        """There will be no plan: its tasks must not be taken for complete."""
        if not self._plan.done():
            failure = error if isinstance(error, Exception) else RuntimeError("The planner was cancelled.")
            self._plan.set_exception(failure)
            self._plan.exception()  # taken note of, even if no executor is left to ask
            self._said.set()
            self._tasks.put_nowait(failure)


async def _arrives(node: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(ARRIVAL_TIMEOUT):
            await node.wait()
    except TimeoutError:
        return node.is_set()  # a process that stood still may find both at once
    return True
