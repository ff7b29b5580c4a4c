"""What a checkpoint holds of a plan's tasks while they run, and so what is known of a turn that never ended.

A run may be cancelled, killed, or left while it waits for a person. The plan and its results are then not yet in the
conversation, but what came of each call is in the checkpointer, and so is a note of each call that changes
something and was about to be made. The next question is preceded by both.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypedDict, cast
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.runtime import Runtime

from agent.conversation.messages import (
    NO_PLAN,
    apart,
    call_id,
    is_own_plan,
    map_sizes,
    observation,
    observation_id,
    observations,
    plan_id,
    tasks_of,
    with_tasks,
)
from agent.conversation.provenance import own_words, own_words_of_plan, words_of_others
from agent.language.references import find_references
from agent.language.tasks import Key, Task, name_of
from agent.language.values import to_text

IN_FLIGHT_CALLS = "notes"
"""The channel in which calls are noted before they are made."""

IN_FLIGHT = (
    "The run ended while this call was being made. It is not known whether it was done: find out before it is made "
    "again."
)
UNFINISHED = "No result: the run ended before this call was done."
UNDECIDED = "Not made: the conversation went on before a person had decided about it."
LONGEST_REASON = 100_000
"""Characters of why there is no result: all of it."""


class SavedOutcome(TypedDict):
    """What came of a call, as it is saved."""

    element: int | None
    arguments: dict[str, Any]
    """As planned."""

    message: ToolMessage | None
    paused: dict[str, Any] | None
    """The resolved arguments of a call that waits for approval."""

    why: str
    """Why it does."""

    trusted: bool
    """Whether the message is nobody else's words."""


class Settled(TypedDict):
    """What came of a task, as it is saved."""

    task: str
    tool: str
    arguments: dict[str, Any]
    """As planned."""

    inputs: str
    """A digest of what they stood for; empty if they refer to nothing."""

    outcomes: list[SavedOutcome]
    """That of the call; of a map, those of its elements."""


@dataclass(frozen=True)
class Superstep:
    """The superstep that a node runs in, as it is saved. What is noted there is known, whatever happens to the run."""

    saver: BaseCheckpointSaver[Any]
    checkpoint: RunnableConfig

    @classmethod
    def here(cls, runtime: Runtime[Any]) -> Self | None:
        """That of the node that this is called in; None if it isn't saved."""
        own, info = get_config()["configurable"], runtime.execution_info
        saver = own.get(CONFIG_KEY_CHECKPOINTER)
        if not isinstance(saver, BaseCheckpointSaver) or info is None:
            return None
        graph = str(own.get("checkpoint_ns", "")).rpartition("|")[0]  # empty if it is no part of another one
        here = {"thread_id": own["thread_id"], "checkpoint_ns": graph, "checkpoint_id": info.checkpoint_id}
        return cls(saver, {"configurable": here})

    @property
    def thread(self) -> str:
        """What tells the thread, and the graph in it, from all others."""
        here = self.checkpoint["configurable"]
        return f"{here['thread_id']}|{here['checkpoint_ns']}"

    async def note(self, channel: str, name: str, value: Any) -> None:
        """Save a value in a channel that no node reads, once for each name."""
        namespace = UUID(self.checkpoint["configurable"]["checkpoint_id"])
        await self.saver.aput_writes(self.checkpoint, [(channel, value)], str(uuid5(namespace, name)))

    async def note_call(self, task: Task, in_flight: ToolMessage) -> None:
        """Save that a call is about to be made.

        Args:
            task: The task, as planned.
            in_flight: What there will be to tell of the call if nothing more is saved.
        """
        outcome = SavedOutcome(
            element=task.element, arguments=task.arguments, message=in_flight, paused=None, why="", trusted=True
        )
        name = name_of(task.key)
        note = Settled(task=name, tool=task.tool, arguments=task.arguments, inputs="", outcomes=[outcome])
        await self.note(IN_FLIGHT_CALLS, name, note)


def may_be_left_behind(saved: CheckpointTuple) -> bool:
    """Whether there may be something to tell of a turn that never ended."""
    values = saved.checkpoint["channel_values"]
    return "paused" in values or "plan" in values or bool(_saved_plan(saved) or any(_records(saved)))


def left_behind(saved: CheckpointTuple, state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The update of the state with what is known of a turn that never ended; None if there is nothing to tell.

    Args:
        saved: The checkpoint that the thread stands at.
        state: The state that it has.
    """
    paused = state.get("paused")
    plan = paused["plan"] if paused else state.get("plan") or _saved_plan(saved)
    records = list(_records(saved))
    if plan is None and not records:
        return None
    id_ = (plan and plan.id) or plan_id(saved.checkpoint["id"])
    messages = state.get("messages", [])
    earlier, observed = apart(messages, id_)
    after = max((number for number, _ in observations(earlier)), default=0)
    written = [message for message in messages if message.id == id_ and is_own_plan(message)]
    tasks, known, trusted = _tasks_of(records, [plan, *written] if plan else [], after)
    observed |= known
    waited = paused and not any(call["decision"] for call in paused["waiting"])
    why_not = UNDECIDED if waited else UNFINISHED
    asked = {(call["task"], call["element"]): call["arguments"] for call in paused["waiting"]} if paused else {}
    for task in tasks:
        if task.is_call and task.key not in observed:
            resolved = {"arguments": asked[task.key]} if task.key in asked else {}
            observed[task.key] = observation(task, task.error or why_not, failed=True, most=LONGEST_REASON, **resolved)
    calls = [task.key for task in tasks if task.is_call]
    told = [observed[key].model_copy(update={"id": observation_id(id_, key)}) for key in calls]
    if not told:
        return None
    base = plan or AIMessage("", response_metadata={**NO_PLAN, "last": tasks[-1].number})
    new = [with_tasks(base, tasks, told).model_copy(update={"id": id_}), *told]
    own = state.get("own", ())
    trusted |= {call_id(key) for key, one in observed.items() if not words_of_others([one], own)}
    said = own_words_of_plan(new, words_of_others(earlier, own), trusted)
    return {"messages": new, "own": own_words(messages, own, said)}


def _saved_plan(saved: CheckpointTuple) -> AIMessage | None:
    values = (value for _, _, value in saved.pending_writes or ())
    return next((value for value in values if is_own_plan(value)), None)


def _records(saved: CheckpointTuple) -> Iterator[Settled]:
    """What was saved of the tasks of the superstep that never ended: first the notes, then what came of the calls."""
    records = [
        (channel, value)
        for _, channel, value in saved.pending_writes or ()
        if isinstance(value, dict) and Settled.__required_keys__ <= value.keys()
    ]
    yield from (cast("Settled", value) for channel, value in records if channel == IN_FLIGHT_CALLS)
    yield from (cast("Settled", value) for channel, value in records if channel != IN_FLIGHT_CALLS)


def _tasks_of(
    records: Iterable[Settled], plans: Sequence[AIMessage], after: int
) -> tuple[list[Task], dict[Key, ToolMessage], set[str]]:
    """The tasks of a plan that is known, as it was written and as it was at a pause, or as far as anything was saved of
    them; what came of them; and the tool call ids of the observations that are trusted.

    Calls that were made for another plan (a run was resumed, and its model wrote another one) have their own numbers.
    """
    tasks = {task.key: task for plan in plans for task in tasks_of(plan)}
    last = max([after, *(number for number, _ in tasks)])
    moved: dict[str, Key] = {}
    observed: dict[Key, ToolMessage] = {}
    trusted: set[str] = set()
    for record in records:
        number = int(record["task"].partition("[")[0])
        for outcome in record["outcomes"]:
            key, arguments = (number, outcome["element"]), outcome["arguments"]
            there = tasks.get(key) or tasks.get((number, None))
            is_its_own = there.tool == record["tool"] if there else not plans
            if is_its_own and there and there.key == key and not there.is_map:
                is_its_own = there.arguments == arguments
            if not is_its_own:
                made = to_text([name_of(key), record["tool"], arguments])
                last += made not in moved
                key = moved.setdefault(made, (last, None))
            needs = tuple(dict.fromkeys(reference.task for reference in find_references(arguments)))
            tasks.setdefault(key, Task(key[0], record["tool"], arguments, needs, element=key[1], positional=1))
            if message := outcome["message"]:
                observed[key] = message.model_copy(update={"tool_call_id": call_id(key)})
                trusted |= {call_id(key)} if outcome["trusted"] else set()
    for number, size in map_sizes(tasks).items():
        whole = next(task for key, task in tasks.items() if key[0] == number)
        for element in range(size):
            tasks.setdefault((number, element), Task(number, whole.tool, {}, element=element))
        tasks[number, None] = Task(number, whole.tool, {}, size=size)
    in_order = sorted(
        tasks.values(), key=lambda task: (task.number, sys.maxsize if task.element is None else task.element)
    )
    return in_order, observed, trusted
