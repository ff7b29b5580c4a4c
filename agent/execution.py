"""The tool calls of one plan: each waits for what it refers to, and then runs. Failures are data."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.func import task as durable

from agent.context import Context
from agent.events import Progress, shown
from agent.invoke import explain, invoke
from agent.messages import observation
from agent.plan import Task, is_text
from agent.references import Reference, UnresolvedReferenceError, substitute, to_text
from agent.retries import delay_before_retry, tries_of
from agent.saving import savable

SKIPPED = "Not run: it needs task {number}, which failed: {reason}"
NO_SUCH_TASK = "{reference} refers to task {number}, and there is no such task."


_execution: ContextVar["Execution"] = ContextVar("execution")


async def call_tool(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A task of the plan, as a LangGraph task. What it returns is saved, with the call that it belongs to."""
    message = await _execution.get().run(number)
    return {"tool": tool, "arguments": arguments, "message": message}


# A function of a module is prepared by LangGraph once, and a closure or a method at every call.
_call_durably = durable(call_tool)


class Execution:
    """Runs the tasks of one plan."""

    def __init__(
        self,
        tools: Mapping[str, BaseTool],
        context: Context,
        model: BaseChatModel,
        progress: Progress,
        earlier: Mapping[int, ToolMessage],
        saved: bool = False,
    ) -> None:
        """
        Args:
            tools: The tools by name.
            context: The limits.
            model: The run's model, for tools that want one.
            progress: Where to tell what happens.
            earlier: The observations of the thread's earlier tasks, which tasks may refer to.
            saved: Whether results are saved by a checkpointer.
        """
        self._tools = tools
        self._context = context
        self._model = model
        self._progress = progress
        self._earlier = earlier
        self._saved = saved
        self._slots = asyncio.Semaphore(context.max_concurrency)
        self._threads = CapacityLimiter(context.max_concurrency)
        self._tasks: dict[int, Task] = {}
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._outcomes: dict[int, asyncio.Future[ToolMessage | None]] = {}
        self._last: int | None = None
        _execution.set(self)

    def start(self, task: Task) -> None:
        """Start the next task of the plan; it runs as soon as the tasks that it refers to are done."""
        self._tasks[task.number] = task
        self._progress.task_planned(task)
        self._call(task)

    async def finish(self, last: int) -> list[ToolMessage]:
        """Wait until all is done; no further task will be started.

        Args:
            last: The highest number of the plan.

        Returns:
            An observation for each task, in the order of the plan.

        Raises:
            GraphBubbleUp: A tool interrupted the run; everything that doesn't wait for it is done.
        """
        self._last = last
        for number, outcome in self._outcomes.items():
            if number not in self._tasks and not outcome.done():
                outcome.set_result(None)
        while running := [call for call in self._calls.values() if not call.done()]:
            await asyncio.wait(running)
        return [_require(await self._outcome(number)) for number in self._tasks]

    async def run(self, number: int) -> ToolMessage:
        """Run a task that has been started, as soon as it can be."""
        task = self._tasks[number]
        message = await self._observe(task)
        self._set_outcome(task, message)
        return message

    def _call(self, task: Task) -> None:
        """Call the task's tool durably. LangGraph finds saved results by the order of these calls, and nothing else."""
        call = asyncio.wrap_future(_call_durably(task.number, task.tool, task.arguments))
        self._calls[task.number] = call
        call.add_done_callback(partial(self._settle, task))

    def _settle(self, task: Task, call: "asyncio.Future[dict[str, Any]]") -> None:
        if call.cancelled():
            self._outcome(task.number).cancel()
        elif error := call.exception():
            outcome = self._outcome(task.number)
            outcome.set_exception(error)
            outcome.exception()  # taken note of, even if nothing depends on it
        elif (saved := call.result()) and (saved["tool"], saved["arguments"]) != (task.tool, task.arguments):
            self._call(task)  # a result from before a crash, of another plan
        else:
            self._set_outcome(task, saved["message"])

    def _outcome(self, number: int) -> "asyncio.Future[ToolMessage | None]":
        """What comes of a task, perhaps one that is not planned yet; None if it never is."""
        outcome = self._outcomes.get(number)
        if outcome is None:
            outcome = self._outcomes[number] = asyncio.get_running_loop().create_future()
            if number not in self._tasks and (number in self._earlier or self._last is not None):
                outcome.set_result(self._earlier.get(number))
        return outcome

    def _set_outcome(self, task: Task, message: ToolMessage) -> None:
        outcome = self._outcome(task.number)
        if not outcome.done():
            outcome.set_result(message)
            self._progress.task_done(task, message)

    async def _observe(self, task: Task) -> ToolMessage:
        most = self._context.max_observation_chars
        if task.error:
            return observation(task, task.error, failed=True, most=most)
        results: dict[int, ToolMessage | None] = {}
        for number in task.dependencies:
            try:
                result = results[number] = await self._outcome(number)
            except GraphBubbleUp:
                raise GraphInterrupt(()) from None  # waits for an interrupted task, and so for the resumed run
            if result and result.status == "error":
                skipped = result.response_metadata.get("skipped")
                reason = result.text if skipped else SKIPPED.format(number=number, reason=result.text)
                return observation(task, reason, failed=True, most=most, skipped=True)
        try:
            arguments = substitute(task.arguments, partial(self._look_up, results))
        except UnresolvedReferenceError as error:
            return observation(task, str(error), failed=True, most=most)
        async with self._slots:
            return await self._run(task, arguments)

    async def _run(self, task: Task, arguments: dict[str, Any]) -> ToolMessage:
        context = self._context
        record: dict[str, Any] = {
            "arguments": {name: shown(value, context.max_observation_chars) for name, value in arguments.items()},
            "started": time.time(),
        }
        self._progress.task_started(task, arguments)
        failed = False
        value = None
        try:
            value = await self._invoke(task, arguments)
            value = savable(value) if self._saved else value
            text = to_text(value)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 — whatever a tool raises is an observation
            failed, value, text = True, None, explain(error)
        record["finished"] = time.time()
        return observation(task, text, value, failed=failed, most=context.max_observation_chars, **record)

    async def _invoke(self, task: Task, arguments: dict[str, Any]) -> Any:
        """The tool's result, at the first try or a later one."""
        tool = self._tools[task.tool]
        seconds = float((tool.metadata or {}).get("timeout", self._context.tool_timeout))
        most = tries_of(tool, self._context.tool_retries)
        for tries in itertools.count(1):
            try:
                return await invoke(tool, arguments, model=self._model, seconds=seconds, threads=self._threads)
            except GraphBubbleUp:
                raise
            except Exception as error:
                delay = delay_before_retry(error, tries)
                if tries == most or delay is None:
                    raise
                self._progress.task_retried(task, arguments, explain(error), delay)
                await asyncio.sleep(delay)
        raise AssertionError("the last try returns or raises")

    def _look_up(self, results: Mapping[int, ToolMessage | None], reference: Reference) -> Any:
        result = results[reference.task]
        if result is not None:
            return result.artifact
        if is_text(reference, self._last or 0):
            raise LookupError(reference.text)
        raise UnresolvedReferenceError(NO_SUCH_TASK.format(reference=reference.text, number=reference.task))


def _require(outcome: ToolMessage | None) -> ToolMessage:
    assert outcome is not None, "a task that was started has an outcome"
    return outcome
