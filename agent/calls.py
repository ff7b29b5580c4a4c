"""Makes one tool call of a plan: after a person's approval where it needs one, once for identical calls, and again
after failures that may pass."""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from anyio import CapacityLimiter
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import ToolMessage
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from agent.approval import Verdict, needs_approval
from agent.context import Context
from agent.events import Progress, shown
from agent.injection import Surroundings, injections
from agent.invoke import explain, invoke
from agent.literals import without_surrogates
from agent.messages import call_id, key_of, observation
from agent.outcomes import Paused
from agent.references import to_text
from agent.results import ContentAndArtifact
from agent.retries import delay_before_retry, tries_of
from agent.saving import savable
from agent.tasks import Key, Task, name_of

NO_CHECKPOINTER = "Not run: {tool} needs a person's approval, and a run without a checkpointer can't pause for one."
REJECTED = "Not run: a person rejected this call. {message}"


class Calls:
    """Makes the calls of one plan."""

    def __init__(
        self,
        tools: Mapping[str, BaseTool],
        context: Context,
        model: BaseChatModel,
        progress: Progress,
        *,
        saved: bool,
        has_seen_results: bool,
        verdicts: Mapping[Key, Verdict],
        surroundings: Surroundings,
    ) -> None:
        """
        Args:
            tools: The tools by name.
            context: The limits.
            model: The run's model, for tools that want one.
            progress: Where to tell what happens.
            saved: Whether results are saved by a checkpointer, and the run can pause.
            has_seen_results: Whether the plan was written with earlier results in view.
            verdicts: What people have decided about calls.
            surroundings: What tools can have injected.
        """
        self._tools = tools
        self._context = context
        self._model = model
        self._progress = progress
        self.saved = saved
        """Whether results are saved by a checkpointer, and the run can pause."""

        self._has_seen_results = has_seen_results
        self._verdicts = verdicts
        self._surroundings = surroundings
        self._slots = asyncio.Semaphore(context.max_concurrency)
        self._threads = CapacityLimiter(context.max_concurrency)
        self._made: dict[str, asyncio.Future[ToolMessage]] = {}

    def remember(self, messages: Iterable[ToolMessage]) -> None:
        """Take note of calls made before, so that they need not be made again."""
        for message in messages:
            if (identity := message.response_metadata.get("call")) and message.status == "success":
                made = self._made.setdefault(identity, asyncio.get_running_loop().create_future())
                if not made.done():
                    made.set_result(message)

    async def make(self, task: Task, arguments: dict[str, Any]) -> ToolMessage | Paused:
        """What comes of a call with these resolved arguments.

        Raises:
            GraphBubbleUp: The tool interrupted the run.
        """
        if needs_approval(self._tools[task.tool], self._context, has_seen_results=self._has_seen_results):
            verdict = self._verdicts.get(task.key)
            if verdict is None or verdict.arguments != shown_in_full(arguments):
                if not self.saved:
                    return self.fail(task, NO_CHECKPOINTER.format(tool=task.tool))
                self._progress.task_paused(task, arguments)
                return Paused(task, arguments)
            match verdict.type:
                case "reject":
                    return self.fail(task, REJECTED.format(message=verdict.message).strip())
                case "respond":
                    most = self._context.max_observation_chars
                    return observation(task, verdict.message, verdict.message, most=most)
                case "edit":
                    task, arguments = replace(task, tool=verdict.tool), verdict.edited
        identity = self._identity(task, arguments)
        if identity is None:
            return await self._run(task, arguments, {})
        if made := self._made.get(identity):
            return self._reuse(task, await asyncio.shield(made))
        return await self._make_once(task, arguments, identity)

    def fail(self, task: Task, why: str, **metadata: Any) -> ToolMessage:
        """The observation of a task that has no result."""
        return observation(task, why, failed=True, most=self._context.max_observation_chars, **metadata)

    def no_calls(self, task: Task) -> ToolMessage:
        """The observation of a map over an empty list."""
        return observation(task, "[]", [], most=self._context.max_observation_chars)

    def _identity(self, task: Task, arguments: dict[str, Any]) -> str | None:
        """What two calls have in common whose results are interchangeable; None for a call that stands alone."""
        tool = self._tools[task.tool]
        metadata = tool.metadata or {}
        if injections(tool):
            return None  # its result may depend on more than its arguments
        if metadata.get("side_effects") or metadata.get("requires_approval") or not metadata.get("cache", True):
            return None
        try:
            text = json.dumps([task.tool, arguments], sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            return None
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()

    async def _make_once(self, task: Task, arguments: dict[str, Any], identity: str) -> ToolMessage:
        made = self._made[identity] = asyncio.get_running_loop().create_future()
        try:
            message = await self._run(task, arguments, {"call": identity})
        except GraphBubbleUp:
            made.set_exception(GraphInterrupt(()))
            made.exception()  # taken note of, even if no other call waits for it
            raise
        except BaseException:
            made.cancel()
            raise
        if not made.done():
            made.set_result(message)
        return message

    def _reuse(self, task: Task, made: ToolMessage) -> ToolMessage:
        key = key_of(made.tool_call_id)
        metadata = {**made.response_metadata, "reused": name_of(key) if key else ""}
        return made.model_copy(update={"tool_call_id": call_id(task.key), "id": None, "response_metadata": metadata})

    async def _run(self, task: Task, arguments: dict[str, Any], metadata: dict[str, Any]) -> ToolMessage:
        async with self._slots:
            most = self._context.max_observation_chars
            record: dict[str, Any] = {
                **metadata,
                "arguments": {name: shown(value, most) for name, value in arguments.items()},
                "started": time.time(),
            }
            self._progress.task_started(task, arguments, _namespace())
            try:
                value = await self._try(task, arguments)
                if isinstance(value, ContentAndArtifact):
                    record["content"], value = savable(value.content), value.artifact
                text = to_text(record.get("content", value))
                carried = without_surrogates(text)
                if self.saved or carried != text:
                    value = savable(value)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 — whatever a tool raises is an observation
                return self.fail(task, without_surrogates(explain(error)), **record, finished=time.time())
            if self._tools[task.tool].return_direct and task.element is None:
                record["return_direct"] = True
            return observation(task, carried, value, most=most, **record, finished=time.time())

    async def _try(self, task: Task, arguments: dict[str, Any]) -> Any:
        """The tool's result, at the first try or a later one."""
        tool = self._tools[task.tool]
        seconds = float((tool.metadata or {}).get("timeout", self._context.tool_timeout))
        most = tries_of(tool, self._context.tool_retries)
        for tries in itertools.count(1):
            try:
                return await invoke(
                    tool,
                    arguments,
                    model=self._model,
                    seconds=seconds,
                    threads=self._threads,
                    call_id=call_id(task.key),
                    task=name_of(task.key),
                    surroundings=self._surroundings,
                )
            except GraphBubbleUp:
                raise
            except Exception as error:
                delay = delay_before_retry(error, tries)
                if tries == most or delay is None:
                    raise
                self._progress.task_retried(task, arguments, explain(error), delay)
                await asyncio.sleep(delay)
        raise AssertionError


def shown_in_full(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a person who decides about them: JSON, nothing cut."""
    return {name: shown(value, _ALL) for name, value in arguments.items()}


_ALL = 10**9


def _namespace() -> list[str]:
    """Of the LangGraph task that this runs in."""
    name: str = ensure_config().get("configurable", {}).get("checkpoint_ns", "")
    return name.split("|") if name else []
