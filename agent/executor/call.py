"""Makes one tool call of a plan: approved where that takes a person, in order, once for identical calls, within limits,
and again after failures that may pass. Each of these is a step around the next one."""

import asyncio
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from agent.context import Context
from agent.conversation.messages import call_id, key_of, observation, observation_id
from agent.conversation.provenance import asked_with, is_trusted
from agent.conversation.savable import savable
from agent.events import SHOWN_CHARS, Progress
from agent.executor.approval import can_be_vouched_for, to_decide_about, why_approval
from agent.executor.checkpoint import IN_FLIGHT, Superstep
from agent.executor.dependencies import DependencyFailedError, ResolveError
from agent.executor.effects import Order
from agent.executor.outcomes import BlockedError, Outcomes, Paused
from agent.executor.retries import delay_before_retry, tries_of
from agent.language.excerpt import excerpt
from agent.language.tasks import Key, Task, name_of
from agent.language.values import as_json, digest, is_longer, to_text, without_surrogates
from agent.state import Decision, Waiting
from agent.tooling.inject import Surroundings, injections
from agent.tooling.invoke import ContentAndArtifact, ToolError, Wrapper, explain, invoke
from agent.tooling.metadata import changes_something, metadata_of

MAX_RESULT = 20_000_000
"""How long the text of a result may be: it is saved, shown and sent, and the event loop stands still meanwhile."""

TOO_LARGE = "{tool} returned too much: more than {most:,} characters (each element counts for ten). Ask it for a part."
NO_CHECKPOINTER = "Not run: {tool} needs a person's approval, and a run without a checkpointer can't pause for one."
TO_SET = (
    " Whoever runs this agent can give it a checkpointer, or vouch for the tool: with `requires_approval: False` in "
    "its metadata, or with `alwaysAllow` in mcp.json."
)
GONE = "Not run: the tool {tool} is not there any more."
WAITS = "Not made yet: it waits for a person's approval."
WAITS_FOR_OTHER = "Not made yet: it waits for a call that waits for a person's approval."
REJECTED = "Not run: a person rejected this call. {message}"


@dataclass
class Calls:
    """Makes the calls of one plan."""

    tools: Mapping[str, BaseTool]
    context: Context
    """The limits."""

    model: BaseChatModel
    """The run's model, for tools that want one."""

    progress: Progress
    superstep: Superstep | None
    """Where calls that change something are noted before they are made; None if nothing is saved, and the run can't
    pause."""

    of_others: Sequence[BaseMessage]
    """What the plan was made from that may be someone else's words."""

    trusted: Collection[str]
    """The tools whose results aren't."""

    decided: Mapping[Key, Waiting]
    """The calls that people have decided about."""

    surroundings: Surroundings
    """What tools can have injected."""

    plan: str
    """The id of the plan's message."""

    outcomes: Outcomes
    """What comes of the tasks; it has what came of earlier ones already."""

    order: Order
    """In which order they take effect."""

    wrapper: Wrapper | None
    """Called around each try of each call."""

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.context.max_concurrency)
        self._first: dict[str, Key] = {}
        """The task that makes a call first, for each call that need not be made twice."""

        self._changes: dict[tuple[int, str], dict[Key, None]] = {}
        """The turn's calls that change something, in order, by the number that they are written with and the call."""

        self._repeated: set[Key] = set()
        """Those of them that are written again."""

        latest_first = reversed(self.surroundings.messages)
        self._question = next((str(message.text) for message in latest_first if isinstance(message, HumanMessage)), "")

        self._edited: dict[Key, Task] = {}
        """The tasks for which a person has another call made, as planned."""

    def remember(self, message: ToolMessage) -> None:
        """Take note of a call made before, so that it need not be made again."""
        key, notes = key_of(message.tool_call_id), message.response_metadata
        if not key or message.status != "success":
            return
        if call := notes.get("call"):
            self._first.setdefault(call, key)
        if change := notes.get("change"):
            numbers = {notes.get("written", key[0])}
            if message.id != observation_id(self.plan, key):  # a further plan may also write the number that it has
                numbers.add(key[0])
            for number in numbers:
                self._changes.setdefault((number, change), {})[key] = None

    async def make(self, task: Task, arguments: dict[str, Any]) -> ToolMessage | Paused:
        """What comes of a call with these resolved arguments. A change is made once, also if the plan, or a further one
        of the turn, writes it again with its number.

        Raises:
            GraphBubbleUp: The tool interrupted the run.
        """
        change = self._change(task, arguments)
        if change:
            written = task.number if task.again is None else task.again
            same = self._changes.setdefault((written, change), {})
            same[task.key] = None
            first = next((key for key in same if key[0] != task.number and key not in self._repeated), None)
            if first and task.key not in self.decided:
                self._repeated.add(first)
                return await self._same(task, first)
        outcome = await self._approved(task, arguments)
        if change and isinstance(outcome, ToolMessage):
            outcome.response_metadata |= {"change": change, "written": written}
        return outcome

    async def _approved(self, task: Task, arguments: dict[str, Any]) -> ToolMessage | Paused:
        """What comes of the call, with a person's decision about it where that is needed."""
        observations = [message for number in task.dependencies for message in self.outcomes.messages_of(number)]
        given = [one for one in observations if not is_trusted(one, self.trusted)]
        why = why_approval(self.tools[task.tool], self.context, of_others=self.of_others, given=given)
        decision = self._decision_about(task, arguments) if why else None
        if why and decision is None:
            return await self._pause(task, arguments, why)
        if decision and decision["type"] == "reject":
            reason = REJECTED.format(message=decision.get("message", "")).strip()
            return self.fail(task, reason, decision="reject", **self._record(arguments))
        if decision and decision["type"] == "respond":
            said = decision["message"]
            return self._observe(task, said, said, decision="respond", **self._record(arguments))
        is_vouched_for = decision or metadata_of(self.tools[task.tool]).requires_approval is False
        asked_with.set(() if is_vouched_for or not self.context.approve_side_effects else [*self.of_others, *given])
        planned = self._record(arguments)["arguments"]
        if decision and decision["type"] == "edit":
            action = decision["edited_action"]
            self._edited[task.key] = task
            task, arguments = replace(task, tool=action["name"], positional=0), action["args"]
            if task.tool not in self.tools:
                return self.fail(task, GONE.format(tool=task.tool), decision="edit", **self._record(arguments))
        outcome = await self._in_order(task, arguments, decided=decision is not None)
        if isinstance(outcome, ToolMessage):
            tool, notes = self.tools[task.tool], outcome.response_metadata
            if decision:
                notes["decision"] = decision["type"]
            if decision and decision["type"] == "edit":
                notes["planned"] = planned
            if given and not metadata_of(tool).trusted:
                notes["repeats"] = True
            if tool.return_direct:
                notes["return_direct"] = task.element is None
        return outcome

    def _decision_about(self, task: Task, arguments: dict[str, Any]) -> Decision | None:
        """What a person decided about the call, if they were asked about these arguments."""
        waiting = self.decided.get(task.key)
        return waiting["decision"] if waiting and waiting["arguments"] == to_decide_about(arguments) else None

    async def _pause(self, task: Task, arguments: dict[str, Any], why: str) -> ToolMessage | Paused:
        """The pause of a call that waits for a person; its failure, if it won't be made or the run can't pause."""
        if not self.superstep:
            to_set = TO_SET if can_be_vouched_for(self.tools[task.tool], self.context) else ""
            return self.fail(task, NO_CHECKPOINTER.format(tool=task.tool) + to_set, **self._record(arguments))
        with suppress(BlockedError, GraphInterrupt):
            try:
                await self.order.turn(task)
            except DependencyFailedError as error:
                return self.not_made(task, error, **self._record(arguments))
        self.progress.tell_of(task, "task_paused", arguments)
        return Paused(task, arguments, why)

    def fail(self, task: Task, why: str, **metadata: Any) -> ToolMessage:
        """The observation of a task that has no result."""
        return self._observe(task, why, failed=True, **metadata)

    def not_made(self, task: Task, error: ResolveError, **metadata: Any) -> ToolMessage | Paused:
        """What comes of a call that isn't made because of others, or of what it refers to."""
        if isinstance(error, BlockedError):
            return Paused(task, None)
        skipped = error.skipped if isinstance(error, DependencyFailedError) else {}
        return self.fail(task, str(error), **skipped, **metadata)

    def waits(self, paused: Paused) -> ToolMessage:
        """What stands for the observation of a call until a person has decided."""
        if paused.arguments is None:
            return self.fail(paused.task, WAITS_FOR_OTHER, waiting=True)
        return self.fail(paused.task, WAITS, waiting=True, **self._record(paused.arguments))

    def no_calls(self, task: Task) -> ToolMessage:
        """The observation of a map over an empty list."""
        return self._observe(task, "[]", [])

    def _record(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that a call was made with, for its observation."""
        most = self.context.max_observation_chars
        return {"arguments": {name: as_json(value, most) for name, value in arguments.items()}}

    def _observe(self, task: Task, text: str, value: Any = None, **metadata: Any) -> ToolMessage:
        id_ = observation_id(self.plan, task.key)
        most = self.context.max_observation_chars
        return observation(task, text, value, most=most, about=self._question, id=id_, **metadata)

    async def _in_order(self, task: Task, arguments: dict[str, Any], *, decided: bool) -> ToolMessage | Paused:
        """What comes of the call when it is its turn."""
        try:
            after = await self.order.turn(task, decided=decided)
        except (BlockedError, DependencyFailedError) as error:
            return self.not_made(task, error, **self._record(arguments))
        return await self._once(task, arguments, after)

    def _change(self, task: Task, arguments: dict[str, Any]) -> str | None:
        """What two calls have in common that change the same; None for a call that changes nothing."""
        return _digest([task.tool, arguments]) if self._changes_something(task) else None

    def _changes_something(self, task: Task) -> bool:
        return changes_something(self.tools[task.tool], self.context.requires_approval)

    def _identity(self, task: Task, arguments: dict[str, Any], after: list[str]) -> str | None:
        """What two calls have in common whose results are interchangeable; None for a call that stands alone."""
        tool = self.tools[task.tool]
        if injections(tool):
            return None  # its result may depend on more than its arguments
        if self._changes_something(task) or not metadata_of(tool).cache:
            return None
        return _digest([task.tool, arguments, after])

    async def _once(self, task: Task, arguments: dict[str, Any], after: list[str]) -> ToolMessage | Paused:
        """The call's observation, or that of the same call of another task."""
        identity = self._identity(task, arguments, after)
        if identity is None:
            return await self._within_limits(task, arguments, {})
        first = self._first.setdefault(identity, task.key)
        if first == task.key:
            return await self._within_limits(task, arguments, {"call": identity})
        return await self._same(task, first)

    async def _same(self, task: Task, first: Key) -> ToolMessage | Paused:
        """What comes of a call that another task makes."""
        try:
            made = await self.outcomes.of(first)
        except BlockedError as error:
            return self.not_made(task, error)
        assert isinstance(made, ToolMessage), "a call that is made has an observation"
        # What a person decided about the other one was not about this one.
        metadata = {name: note for name, note in made.response_metadata.items() if name not in ("decision", "planned")}
        metadata["reused"] = name_of(first)
        own = {"tool_call_id": call_id(task.key), "id": observation_id(self.plan, task.key)}
        return made.model_copy(update={**own, "response_metadata": metadata})

    async def _within_limits(self, task: Task, arguments: dict[str, Any], metadata: dict[str, Any]) -> ToolMessage:
        """The call's observation, when there is a slot for it: what the tool gives, or why it failed."""
        async with self._slots:
            record = {**metadata, **self._record(arguments), "started": time.time()}
            await self._note(task, record)
            self.progress.tell_of(task, "task_started", arguments, namespace=_namespace())
            try:
                value = await self._again(task, arguments)
                if is_longer(value, MAX_RESULT):
                    raise ToolError(TOO_LARGE.format(tool=task.tool, most=MAX_RESULT))
                if isinstance(value, ContentAndArtifact):
                    record["content"], value = savable(value.content), value.artifact
                if self.superstep:
                    value = savable(value) if isinstance(value, str) else await asyncio.to_thread(savable, value)
                text = to_text(record.get("content", value))
                if (carried := without_surrogates(text)) != text:
                    value = savable(value)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 — whatever a tool raises is an observation
                return self.fail(task, without_surrogates(explain(error)), **record, finished=time.time())
            return self._observe(task, carried, value, **record, finished=time.time())

    async def _note(self, task: Task, record: dict[str, Any]) -> None:
        """Have it saved that a call is about to be made, if that matters: it changes something, or may."""
        if self.superstep and self._changes_something(task):
            planned = self._edited.get(task.key)
            edited = {"decision": "edit"} if planned else {}
            await self.superstep.note_call(planned or task, self.fail(task, IN_FLIGHT, **record, **edited))

    async def _again(self, task: Task, arguments: dict[str, Any]) -> Any:
        """The tool's result, at the first try or a later one."""
        tool = self.tools[task.tool]
        seconds = metadata_of(tool).timeout or self.context.tool_timeout
        most = tries_of(tool, self.context.tool_retries)
        tries = 0
        while True:
            tries += 1
            try:
                return await invoke(
                    tool,
                    arguments,
                    model=self.model,
                    seconds=seconds,
                    call_id=call_id(task.key),
                    task=name_of(task.key),
                    surroundings=self.surroundings,
                    wrapper=self.wrapper,
                )
            except GraphBubbleUp:
                raise
            except Exception as error:
                delay = delay_before_retry(error, tries)
                if tries == most or delay is None:
                    raise
                why = excerpt(explain(error), SHOWN_CHARS)
                self.progress.tell_of(task, "task_retried", arguments, error=why, delay=delay)
                await asyncio.sleep(delay)


def _digest(value: Any) -> str | None:
    """Of what is JSON; None for all else."""
    try:
        return digest(json.dumps(value, sort_keys=True))
    except (TypeError, ValueError, RecursionError):
        return None


def _namespace() -> list[str]:
    """Of the LangGraph task that this runs in."""
    name: str = get_config()["configurable"].get("checkpoint_ns", "")
    return name.split("|") if name else []
